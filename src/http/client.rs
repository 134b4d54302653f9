//! The one HTTP client: every option of the agent set explicitly.
