//! Handles of the peers that `tests/run` installs: vcsim and govc, the receivers on CloudEvents
//! SDKs, pyvmomi, and event-ruler.

use serde_json::Value;
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::process::Process;
use super::{SOON, Test, wait_for};

/// A running vcsim with one account.
pub struct Vcsim {
    /// `http://127.0.0.1:PORT/sdk`, or https.
    pub url: String,
    /// SHA-256 of its certificate in hexadecimal digits; empty without TLS.
    pub sha256: String,
    /// Its certificate in PEM, likewise.
    pub certificate: String,
    process: Process,
}

/// The account of every [`Vcsim`]: characters that XML must escape included.
pub const USERNAME: &str = "router@vsphere.local";
/// Its password.
pub const PASSWORD: &str = "p&ss <w'\"rd>";

/// An event as pyvmomi reads it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// vCenter's number of the event.
    pub key: i64,
    /// The class, or the eventTypeId of an EventEx.
    pub ty: String,
    /// Name of the virtual machine, if the event is about one.
    pub vm: Option<String>,
}

impl Vcsim {
    /// Starts one with `machines` virtual machines per pool (there are two pools).
    pub fn start(machines: usize, tls: bool) -> Vcsim {
        Vcsim::start_at(0, machines, tls)
    }

    /// Starts one likewise on a certain port of loopback.
    pub fn start_at(port: u16, machines: usize, tls: bool) -> Vcsim {
        let mut command = Command::new(program("vcsim"));
        command.args(["-l", &format!("127.0.0.1:{port}")]);
        command.args(["-username", USERNAME, "-password", PASSWORD, "-vm", &machines.to_string()]);
        if tls {
            command.arg("-tls");
        }
        let mut process = Process::start("vcsim", command);
        let started = json(&process.first_line());
        let text = |name: &str| started[name].as_str().unwrap_or_default().to_string();
        Vcsim { url: text("url"), sha256: text("sha256"), certificate: text("certificate"), process }
    }

    /// `[source.NAME]` of router.toml. Over HTTPS the simulator's certificate is not verified.
    pub fn source(&self, name: &str) -> String {
        let Vcsim { url, .. } = self;
        let mut text = format!(
            "[source.{name}]\ntype = \"vcenter\"\naddress = \"{url}\"\nusername = \"{USERNAME}\"\npassword = {}\n",
            // a JSON string is a TOML string too
            Value::from(PASSWORD)
        );
        if url.starts_with("https") {
            text += &format!("[source.{name}.tls]\ninsecure = true\n");
        }
        text
    }

    /// Paths of all virtual machines.
    pub fn machines(&self) -> Vec<String> {
        self.govc(&["find", "/", "-type", "m"]).lines().map(str::to_string).collect()
    }

    /// Switches virtual machines on or off; they are in the other state.
    pub fn power(&self, on: bool, machines: &[&str]) {
        let mut arguments = vec!["vm.power", if on { "-on" } else { "-off" }];
        arguments.extend(machines);
        self.govc(&arguments);
    }

    /// Switches every virtual machine off and on.
    pub fn off_and_on(&self) {
        let machines = self.machines();
        let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
        self.power(false, &machines);
        self.power(true, &machines);
    }

    /// Runs one govc command and gives its output.
    pub fn govc(&self, arguments: &[&str]) -> String {
        let output = Command::new(program("govc"))
            .args(arguments)
            .env_clear()
            .env("GOVC_URL", &self.url)
            .env("GOVC_USERNAME", USERNAME)
            .env("GOVC_PASSWORD", PASSWORD)
            .env("GOVC_INSECURE", "1")
            .env("GOVC_PERSIST_SESSION", "false")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "govc {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// All events that it holds, read by pyvmomi.
    pub fn events(&self) -> Vec<Recorded> {
        events(&self.url, USERNAME, PASSWORD)
    }

    /// Makes event collectors until it allows no more, and leaves them; gives how many.
    pub fn occupy_collectors(&self) -> i64 {
        pyvmomi(&["collectors", &self.url, USERNAME, PASSWORD])[0]["made"].as_i64().unwrap()
    }

    /// User agents of its sessions, pyvmomi's own left out.
    pub fn session_agents(&self) -> Vec<String> {
        session_agents(&self.url, USERNAME, PASSWORD)
    }
}

/// All events that a vCenter holds, read by pyvmomi.
pub fn events(url: &str, username: &str, password: &str) -> Vec<Recorded> {
    pyvmomi(&["events", url, username, password])
        .iter()
        .map(|line| Recorded {
            key: line["key"].as_i64().unwrap(),
            ty: line["type"].as_str().unwrap().to_string(),
            vm: line["vm"].as_str().map(str::to_string),
        })
        .collect()
}

/// User agents of a vCenter's sessions, pyvmomi's own left out.
pub fn session_agents(url: &str, username: &str, password: &str) -> Vec<String> {
    let sessions = pyvmomi(&["sessions", url, username, password]);
    sessions.iter().map(|line| line["agent"].as_str().unwrap().to_string()).collect()
}

fn pyvmomi(arguments: &[&str]) -> Vec<Value> {
    let lines = python("vsphere.py", arguments, b"");
    lines.unwrap_or_else(|error| panic!("pyvmomi: {error}")).lines().map(json).collect()
}

impl Drop for Vcsim {
    fn drop(&mut self) {
        self.process.end_input();
    }
}

/// A CloudEvents SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// For Go.
    Go,
    /// For JavaScript.
    JavaScript,
    /// For Python.
    Python,
}

/// A running receiver on a CloudEvents SDK.
pub struct Receiver {
    /// Where it takes events.
    pub url: String,
    certificate: String,
    file: PathBuf,
    _process: Process,
}

/// An event as the SDK understood it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Seconds since 1970 at which the request had come in.
    pub seconds: f64,
    /// `binary` or `structured`.
    pub mode: String,
    /// What was answered.
    pub status: i64,
    /// `id`.
    pub id: String,
    /// `source`.
    pub source: String,
    /// `subject`.
    pub subject: String,
    /// The data.
    pub data: Value,
    /// All attributes that the SDK found, extensions included.
    pub attributes: Value,
    headers: Value,
    time: String,
}

impl Received {
    /// vCenter's number of the event.
    pub fn key(&self) -> i64 {
        self.data["Key"].as_i64().unwrap_or_else(|| panic!("no Key in {}", self.data))
    }

    /// Seconds since 1970 at which vCenter recorded it, by `time`.
    pub fn created_seconds(&self) -> f64 {
        let time: jiff::Timestamp =
            self.time.parse().unwrap_or_else(|error| panic!("{}: {error}", self.time));
        time.as_nanosecond() as f64 / 1e9
    }

    /// A header of the request; empty if it was not there.
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.as_object().unwrap().iter();
        let found = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str()).unwrap_or_default()
    }

    /// Name of the virtual machine, if the event is about one.
    pub fn vm(&self) -> Option<&str> {
        self.data["Vm"]["Name"].as_str()
    }
}

impl Receiver {
    /// Starts the one on the Python SDK, which appends to the file `name` of the test; `options` are
    /// those of receiver.py.
    pub fn start(test: &Test, name: &str, options: &[&str]) -> Receiver {
        Receiver::start_on(Sdk::Python, test, name, options)
    }

    /// Starts one likewise on an SDK; only the one for Python has options.
    pub fn start_on(sdk: Sdk, test: &Test, name: &str, options: &[&str]) -> Receiver {
        let file = test.path(name);
        let mut command = match sdk {
            Sdk::Python => python_command("receiver.py"),
            Sdk::Go => Command::new(program("goreceiver")),
            Sdk::JavaScript => {
                let mut command = Command::new("node");
                command.arg(installed("javascript/receiver.js"));
                command
            }
        };
        command.arg("--file").arg(&file).args(options);
        let mut process = Process::start(&format!("receiver on the SDK for {sdk:?}"), command);
        let started = json(&process.first_line());
        Receiver {
            url: started["url"].as_str().unwrap().to_string(),
            certificate: started["certificate"].as_str().unwrap_or_default().to_string(),
            file,
            _process: process,
        }
    }

    /// `[processor.NAME]` of router.toml. Over HTTPS the receiver's authority is trusted.
    pub fn processor(&self, name: &str, encoding: &str) -> String {
        let Receiver { url, .. } = self;
        let mut text =
            format!("[processor.{name}]\ntype = \"knative\"\nuri = \"{url}\"\nencoding = \"{encoding}\"\n");
        if url.starts_with("https") {
            let authority = self.file.with_extension("authority.pem");
            std::fs::write(&authority, &self.certificate).unwrap();
            text += &format!("[processor.{name}.tls]\nca_file = \"{}\"\n", authority.display());
        }
        text
    }

    /// PEM of the authority behind its certificate; empty without TLS.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// All requests so far, in the order of their arrival. What the SDK refused fails the test.
    pub fn received(&self) -> Vec<Received> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => panic!("{}: {error}", self.file.display()),
        };
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(|line| received(&json(line))).collect()
    }

    /// Those answered with a 2xx.
    pub fn accepted(&self) -> Vec<Received> {
        self.received().into_iter().filter(|event| (200..300).contains(&event.status)).collect()
    }

    /// Waits until `done` holds for what was accepted.
    pub fn wait(&self, what: &str, done: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        wait_for(what, SOON, || Some(self.accepted()).filter(|events| done(events)))
    }

    /// Waits until it has accepted every event that `vcsim` recorded from the first accepted one
    /// on, and gives both: what was recorded, and what was accepted.
    pub fn wait_for_all(&self, vcsim: &Vcsim) -> (Vec<Recorded>, Vec<Received>) {
        let first = self.wait("a first event", |events| !events.is_empty());
        let first = first.iter().map(Received::key).min().unwrap();
        let mut recorded = vcsim.events();
        recorded.retain(|event| first <= event.key);
        let end = Instant::now() + SOON;
        loop {
            let accepted = self.accepted();
            let keys: HashSet<i64> = accepted.iter().map(Received::key).collect();
            let missing: Vec<&Recorded> =
                recorded.iter().filter(|event| !keys.contains(&event.key)).collect();
            if missing.is_empty() {
                return (recorded, accepted);
            }
            assert!(Instant::now() < end, "not within {SOON:?}: {missing:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn received(record: &Value) -> Received {
    assert!(record["refused"].is_null(), "the CloudEvents SDK refused: {record}");
    let text = |name: &str| record["attributes"][name].as_str().unwrap_or_default().to_string();
    Received {
        seconds: record["received"].as_f64().unwrap(),
        mode: record["mode"].as_str().unwrap().to_string(),
        status: record["status"].as_i64().unwrap(),
        id: text("id"),
        source: text("source"),
        subject: text("subject"),
        data: record["data"].clone(),
        attributes: record["attributes"].clone(),
        headers: record["headers"].clone(),
        time: text("time"),
    }
}

/// Has the CloudEvents SDK parse one JSON text per line; gives how many there were, or what it
/// refuses.
pub fn validate(lines: &str) -> Result<usize, String> {
    python("validate.py", &[], lines.as_bytes()).map(|count| count.trim().parse().unwrap())
}

/// What LocalStack's input transformer makes of each line: a template, its paths and an event.
pub fn transform(lines: &str) -> Vec<Value> {
    let made = run(&mut python_of("venv-localstack", "localstack/transform.py"), lines.as_bytes());
    let made = made.unwrap_or_else(|error| panic!("transform.py: {error}"));
    String::from_utf8(made).unwrap().lines().map(json).collect()
}

/// Has the Prometheus client for Python parse metrics; gives the families, each with name, type and
/// samples.
pub fn metrics_families(text: &str) -> Vec<Value> {
    let families = python("metrics.py", &[], text.as_bytes()).unwrap();
    serde_json::from_str(&families).unwrap()
}

/// Runs a Go peer to its end and gives its output.
pub fn run_go(name: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    try_go(name, arguments, input).unwrap_or_else(|error| panic!("{name} {arguments:?}: {error}"))
}

/// The same, with the last line of standard error if it refuses.
pub fn try_go(name: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    run(Command::new(program(name)).args(arguments), input)
}

/// Runs a Python peer to its end and gives its output, or its last line of standard error.
fn python(script: &str, arguments: &[&str], input: &[u8]) -> Result<String, String> {
    run(python_command(script).args(arguments), input).map(|output| String::from_utf8(output).unwrap())
}

/// Runs a peer to its end and gives its output, or its last line of standard error.
pub(super) fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The peers read all input before they write, so that neither side can wait for the other.
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(String::from_utf8_lossy(&output.stderr).lines().next_back().unwrap_or_default().to_string())
}

fn python_command(script: &str) -> Command {
    python_of("venv", &format!("python/{script}"))
}

/// A sender on the CloudEvents SDK for Python; its argument is where it posts.
pub fn python_sender() -> Command {
    python_command("sender.py")
}

/// The same on the SDK for JavaScript.
pub fn javascript_sender() -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/javascript/sender.js"));
    command.env("NODE_PATH", installed("javascript/node_modules"));
    command
}

/// Python with the packages of a place, about to run a script of `tests/peers`.
pub fn python_of(venv: &str, script: &str) -> Command {
    let mut command = Command::new(installed(&format!("{venv}/bin/python")));
    command.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script));
    command
}

/// AWS's event-ruler, which answers a line for every line with a pattern and an event.
pub fn ruler() -> Command {
    let folder = installed("ruler");
    let folder = folder.display();
    let mut command = Command::new("java");
    // Without a hosts file of its own, Java asks the name service about texts like 1.2.3.256.
    command.args(["-Xshare:auto", "-Djdk.net.hosts.file=/dev/null", "-cp"]);
    command.arg(format!("{folder}/lib/*:{folder}/classes")).arg("Oracle");
    command
}

/// A program among the peers.
pub fn program(name: &str) -> PathBuf {
    installed("bin").join(name)
}

fn installed(name: &str) -> PathBuf {
    let folder = std::env::var_os("ROUTER_TEST_PEERS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: tests/run installs the peers", path.display());
    path
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
