//! A child process: its output kept, shown when the test fails, and its end made sure.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{SOON, wait_for};

/// Time for a peer to end by itself; then it is killed.
const PEER_END_MAX: Duration = Duration::from_secs(5);

/// A running process. Dropped, it is killed and waited for.
pub struct Process {
    name: String,
    child: Child,
    stdout: Lines,
    stderr: Lines,
    readers: Vec<JoinHandle<()>>,
    /// Peers end when their standard input does.
    stdin: Option<ChildStdin>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Process {
    /// Starts `command` with both outputs captured; `name` heads them when the test fails.
    pub fn start(name: &str, mut command: Command) -> Process {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let (stdout, first) = collect(child.stdout.take().unwrap());
        let (stderr, second) = collect(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        Process { name: name.to_string(), child, stdout, stderr, readers: vec![first, second], stdin }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines of standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    /// The lines of standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// The first line of standard output, when it has come.
    pub fn first_line(&mut self) -> String {
        self.line("first line of standard output", |process| process.stdout().into_iter().next())
    }

    /// The first line of standard error that contains all of `words`, when it has come.
    pub fn log_line(&mut self, words: &[&str]) -> String {
        self.line(&format!("log line with {words:?}"), |process| {
            process.stderr().into_iter().find(|line| words.iter().all(|word| line.contains(word)))
        })
    }

    fn line(&mut self, what: &str, find: impl Fn(&Process) -> Option<String>) -> String {
        let name = self.name.clone();
        wait_for(&format!("{what} of {name}"), SOON, || {
            // the last words of a process that has ended may still be on their way
            let ended =
                self.child.try_wait().unwrap().filter(|_| self.readers.iter().all(JoinHandle::is_finished));
            let line = find(self);
            assert!(line.is_some() || ended.is_none(), "{name} ended ({}) before: {what}", ended.unwrap());
            line
        })
    }

    /// Sends signals by name right after each other, such as `TERM` or `TERM INT`.
    pub fn signal(&self, signals: &str) {
        let script = format!("for signal in {signals}; do kill -$signal {} || exit; done", self.child.id());
        let status = Command::new("sh").args(["-c", &script]).status().expect("run sh");
        assert!(status.success(), "kill -{signals} of {}", self.name);
    }

    /// A signal, then the end.
    pub fn end_by(self, signal: &str) -> Exit {
        self.signal(signal);
        self.wait_exit(SOON)
    }

    /// The exit code (none after a signal), once it has ended.
    pub fn has_ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    /// Lets a peer end by itself, so that it takes its temporary files with it.
    pub fn end_input(&mut self) {
        self.stdin = None;
        let end = Instant::now() + PEER_END_MAX;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end.
    pub fn wait_exit(mut self, longest: Duration) -> Exit {
        let status = wait_for(&format!("end of {}", self.name), longest, || self.child.try_wait().unwrap());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Exit { code: status.code(), stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let status = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- {} ended: {status:?}", self.name);
            eprintln!("--- its standard output:\n{}", excerpt(&self.stdout));
            eprintln!("--- its standard error:\n{}", excerpt(&self.stderr));
        }
    }
}

/// Reads a pipe to its end in a thread, so that the child never waits for us.
fn collect(pipe: impl Read + Send + 'static) -> (Lines, JoinHandle<()>) {
    let lines = Lines::default();
    let writer = Arc::clone(&lines);
    let thread = std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            writer.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
    (lines, thread)
}

fn text(lines: &Lines) -> String {
    lines.lock().unwrap().iter().map(|line| format!("{line}\n")).collect()
}

/// The last lines, none longer than a screen.
fn excerpt(lines: &Lines) -> String {
    let lines = lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let shown = &lines[lines.len().saturating_sub(100)..];
    shown.iter().map(|line| format!("{}\n", line.chars().take(500).collect::<String>())).collect()
}
