//! The log: levels by duty, text or JSON, on standard error.
