//! Which build this is.

/// The version of the program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from, if the builder told.
pub(crate) const COMMIT: Option<&str> = option_env!("EVENT_ROUTER_COMMIT");

/// What it was built for, such as `x86_64-linux-musl`.
pub(crate) fn target() -> String {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-{}-{libc}", std::env::consts::ARCH, std::env::consts::OS)
}
