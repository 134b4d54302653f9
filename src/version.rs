//! Which build this is.

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that it was built from, if the builder told.
pub const COMMIT: Option<&str> = option_env!("EVENT_ROUTER_COMMIT");

/// What it was built for, such as `x86_64-linux-musl`.
pub fn target() -> String {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!("{}-{}-{libc}", std::env::consts::ARCH, std::env::consts::OS)
}
