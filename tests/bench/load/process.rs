//! Processes of a measurement: their start and end, and what the system knows about them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::Load;

/// Clock ticks of a second, which is how `/proc` counts processor time.
const TICKS: u64 = 100;
/// For the router to stop.
const END_WAIT_MAX: Duration = Duration::from_secs(30);

/// A process that plays a part beside the router. Ends when it is dropped.
pub(crate) struct Role {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The first line that it printed.
    pub(crate) greeting: String,
}

impl Role {
    /// This program again, as `role`.
    pub(crate) fn start(role: &str, arguments: &[String]) -> Role {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a role");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut role = Role { child, input, output, greeting: String::new() };
        role.greeting = role.line();
        role
    }

    /// Says a word; the answer.
    pub(crate) fn ask(&mut self, word: &str) -> String {
        self.input.write_all(format!("{word}\n").as_bytes()).expect("a role that lives");
        self.line()
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a role that lives");
        line.trim_end().to_owned()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a configuration and its state; removed at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let now = jiff::Timestamp::now().as_nanosecond();
        let path = std::env::temp_dir().join(format!("event-router-bench-{}-{now}", std::process::id()));
        std::fs::create_dir(&path).expect("make a folder");
        Folder(path)
    }

    /// Writes the configuration of `routes` routes from that source to that sink.
    pub(crate) fn configure(&self, source: &str, sink: &str, load: &Load, routes: usize) {
        let mut text = format!(
            "state_dir = \"state\"\n[source.vc]\ntype = \"vcsim\"\ncheckpoint = true\naddress = \"{source}\"\n\
             username = \"router@vsphere.local\"\npassword = \"simulated\"\npage_size = {}\n",
            load.page
        );
        let tls = load
            .tls
            .as_ref()
            .map_or(String::new(), |ca_file| format!("tls = {{ ca_file = \"{}\" }}\n", ca_file.display()));
        for route in 0..routes {
            let workers = load.workers.map_or(String::new(), |workers| format!("workers = {workers}\n"));
            let kind = match load.batch {
                0 => "type = \"knative\"\n".to_string(),
                most => format!("type = \"http\"\nbody = \"batch\"\nbatch = {{ max_events = {most} }}\n"),
            };
            text.push_str(&format!(
                "[processor.p{route}]\n{kind}uri = \"{sink}{route}\"\n{tls}\
                 [route.r{route}]\nfrom = \"vc\"\nto = \"p{route}\"\n{workers}"
            ));
        }
        let path = self.0.join("router.toml");
        std::fs::write(&path, text).expect("write the configuration");
        // It holds a password.
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("keep it to ourselves");
    }

    /// Moves the positions of that many routes to `time`.
    pub(crate) fn set_position(&self, router: &Path, time: &str, routes: usize) {
        for route in 0..routes {
            let mut command = Command::new(router);
            command.args(["checkpoint", "set", "--route", &format!("r{route}"), "-c"]);
            let done = command.arg(self.0.join("router.toml")).arg(time).output().expect("start the router");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running router, alone or under a tool that watches it.
pub(crate) struct Router {
    child: Child,
    log: PathBuf,
    /// Of the router itself.
    pub(crate) pid: u32,
}

impl Router {
    /// `command` and then `run -c` the configuration of the folder.
    pub(crate) fn start(mut command: Command, folder: &Folder) -> Router {
        let log = folder.0.join("log");
        let child = command
            .args(["run", "-c"])
            .arg(folder.0.join("router.toml"))
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("make a log"))
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let pid = child.id();
        Router { child, log, pid }
    }

    /// The router runs below the process that was started: a tool that does not become it.
    pub(crate) fn find_child(&mut self) {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let deadline = Instant::now() + END_WAIT_MAX;
        while Instant::now() < deadline {
            let children = std::fs::read_to_string(&path).unwrap_or_default();
            // The tool may have other children, and this one is the tool itself at first.
            let is_router = |pid: &&str| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
                name.is_ok_and(|name| name.starts_with("router"))
            };
            if let Some(pid) = children.split_whitespace().find(is_router).and_then(|pid| pid.parse().ok()) {
                self.pid = pid;
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the tool started no router: {}", self.log());
    }

    /// Stops it as a service manager does, and waits.
    pub(crate) fn stop(mut self) -> String {
        let killed = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the router has ended: {}", self.log());
        let status = self.child.wait().expect("the end of the router");
        assert!(status.success(), "the router ended with {status}: {}", self.log());
        self.log()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Processor time so far, user and system.
    pub(crate) fn processor_time(&self) -> Duration {
        processor_time(&self.pid.to_string())
    }

    /// A value of `/proc/PID/status` in KiB, such as `VmRSS` or `VmHWM`.
    pub(crate) fn memory_kib(&self, name: &str) -> u64 {
        status_value(&format!("/proc/{}/status", self.pid), name)
    }

    /// Threads, times that they went to sleep, and their processor time to the nanosecond.
    pub(crate) fn threads(&self) -> Threads {
        let mut threads = Threads::default();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the router's threads");
        for task in tasks.flatten() {
            let path = task.path();
            let schedstat = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            let time = schedstat.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0);
            threads.count += 1;
            threads.sleeps += status_value(&path.join("status").to_string_lossy(), "voluntary_ctxt_switches");
            threads.time += Duration::from_nanos(time);
        }
        threads
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // Only after a panic of this program: `stop` waits.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// See [`Router::threads`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Threads {
    pub(crate) count: u64,
    pub(crate) sleeps: u64,
    pub(crate) time: Duration,
}

/// User and system time of a process, `self` or a number.
pub(crate) fn processor_time(pid: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything: state is the first field, utime the 12th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// Processor time of this thread.
pub(crate) fn thread_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(schedstat.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0))
}

fn status_value(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
