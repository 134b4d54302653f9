//! What the tests share: a fresh folder per test, processes that end with it, waits with a
//! deadline, and handles of the peers.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub mod api;
pub mod aws;
pub mod forwarder;
pub mod front;
pub mod functions;
pub mod horizon;
pub mod kubernetes;
pub mod openfaas;
pub mod peers;
pub mod process;
pub mod random;
pub mod scripted;
pub mod sender;
pub mod stream;
pub mod watcher;

use process::{Exit, Process};

/// Long enough for anything that should happen at once, on a loaded machine too.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something; the test fails after `longest`.
#[track_caller]
pub fn wait_for<T>(what: &str, longest: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + longest;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "not within {longest:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One test: a fresh folder in which the router runs. The folder is removed when the test passes
/// and named when it fails.
pub struct Test {
    folder: PathBuf,
}

impl Test {
    /// `name` only makes the folder recognisable.
    pub fn new(name: &str) -> Test {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
        std::fs::create_dir(&folder).unwrap();
        // Another user may look into it too, whatever the umask.
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        Test { folder }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file of the folder, for its owner alone: it may hold passwords.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Names of what lies in the folder, sorted.
    pub fn listing(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs the router to its end, in the folder and with an empty environment.
    pub fn router(&self, arguments: &[&str]) -> Exit {
        self.start(arguments).wait_exit(SOON)
    }

    /// Starts the router likewise.
    pub fn start(&self, arguments: &[&str]) -> Process {
        self.start_with(arguments, &[])
    }

    /// Starts the router in the folder, with nothing in its environment but `variables`.
    pub fn start_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Process {
        let mut command = router_command();
        command.args(arguments).env_clear().env("TMPDIR", &self.folder).current_dir(&self.folder);
        command.envs(variables.iter().copied());
        Process::start(&format!("router {}", arguments.join(" ")), command)
    }
}

/// The router: the one that was built with the tests, or `ROUTER_TEST_BINARY`, such as the static
/// build.
pub fn router_command() -> Command {
    let binary = std::env::var_os("ROUTER_TEST_BINARY");
    Command::new(binary.unwrap_or_else(|| env!("CARGO_BIN_EXE_router").into()))
}

impl Drop for Test {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the folder of the failed test: {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A port of loopback on which nothing listens.
pub fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
