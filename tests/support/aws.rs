//! A simulated AWS with authentication (moto), and AWS's own signer (botocore).

use std::process::Command;

use serde_json::Value;

use super::peers::{python_of, run};
use super::process::Process;

/// A running AWS with accounts, buses and a rule.
pub struct Aws {
    /// Address of all its services.
    pub url: String,
    /// ARN of the rule `forward` of the bus `forward`: three types of events.
    pub rule: String,
    /// ARN of a role that may put events.
    pub role: String,
    accounts: Value,
    _process: Process,
}

impl Aws {
    /// Starts one.
    pub fn start() -> Aws {
        let mut process = Process::start("moto", python_of("venv-moto", "moto/server.py"));
        let started: Value = serde_json::from_str(&process.first_line()).unwrap();
        let text = |name: &str| started[name].as_str().unwrap().to_string();
        Aws {
            url: text("url"),
            rule: text("rule"),
            role: text("role"),
            accounts: started["accounts"].clone(),
            _process: process,
        }
    }

    /// Access key and secret of a user: `router`, `lister`, `assumer`, `nobody`.
    pub fn keys(&self, user: &str) -> (&str, &str) {
        let keys = &self.accounts[user];
        (keys["id"].as_str().unwrap(), keys["secret"].as_str().unwrap())
    }

    /// The events that a bus has got since the last call.
    pub fn received(&self, bus: &str) -> Vec<Value> {
        let output = self.admin("received", bus);
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Changes the pattern of the rule.
    pub fn change_rule(&self, pattern: &str) {
        self.admin("rule", pattern);
    }

    fn admin(&self, what: &str, argument: &str) -> String {
        let (id, secret) = self.keys("admin");
        let mut command = client();
        command.args([what, &self.url, id, secret, argument]);
        String::from_utf8(run(&mut command, b"").unwrap()).unwrap()
    }
}

/// What botocore adds to each request, given as one JSON line each, to sign it.
pub fn botocore_signs(requests: &str) -> Vec<Value> {
    let output = run(client().arg("sign"), requests.as_bytes()).unwrap();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn client() -> Command {
    python_of("venv-moto", "moto/aws.py")
}
