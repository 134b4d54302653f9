//! A gateway of OpenFaaS in the test's own process, whose functions answer as they are told and record
//! what they took.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_router::demo::faults::{self, Step};
use event_router::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use serde_json::{Value, json};

use super::wait_for;

/// What a function does with its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It takes events.
    Takes,
    /// It answers 500.
    Fails,
    /// It answers 500 to what is about this machine, and takes the others.
    Refuses(&'static str),
    /// It never answers.
    Hangs,
    /// The gateway does not show it, and answers 404.
    Gone,
}

/// An event as a function saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// vCenter's number.
    pub key: i64,
    /// The reference of its virtual machine.
    pub machine: String,
}

#[derive(Default)]
struct Function {
    topic: &'static str,
    mood: Option<Mood>,
    taken: Vec<Taken>,
    refused: Vec<Taken>,
}

type All = Mutex<HashMap<&'static str, Function>>;

/// A running gateway.
pub struct Functions {
    functions: Arc<All>,
    server: Server,
}

impl Functions {
    /// Starts one with these functions of one topic, which take everything.
    pub fn start(topic: &'static str, names: &[&'static str]) -> Functions {
        let function = |name: &&'static str| (*name, Function { topic, ..Function::default() });
        let functions = Arc::new(Mutex::new(names.iter().map(function).collect()));
        let handled = functions.clone();
        let settings = ServerSettings { connections_max: 512, ..ServerSettings::default() };
        let server =
            Server::start("127.0.0.1:0", settings, move |request| handle(&handled, request)).unwrap();
        Functions { functions, server }
    }

    /// The section of a configuration that names it; `options` are more lines of it.
    pub fn processor(&self, name: &str, options: &str) -> String {
        format!(
            "[processor.{name}]\ntype = \"openfaas\"\naddress = \"http://{}\"\nrefresh = \"1s\"\n{options}\n",
            self.server.address()
        )
    }

    /// From now on the function behaves like this.
    pub fn set(&self, name: &str, mood: Mood) {
        self.functions.lock().unwrap().get_mut(name).expect("a function").mood = Some(mood);
    }

    /// What a function took, in its order.
    pub fn taken(&self, name: &str) -> Vec<Taken> {
        self.functions.lock().unwrap()[name].taken.clone()
    }

    /// What it was called with and did not take.
    pub fn refused(&self, name: &str) -> Vec<Taken> {
        self.functions.lock().unwrap()[name].refused.clone()
    }

    /// Waits until a function took so many.
    #[track_caller]
    pub fn wait_taken(&self, name: &str, count: usize, longest: Duration) {
        wait_for(&format!("{count} events at {name}"), longest, || {
            (count <= self.functions.lock().unwrap()[name].taken.len()).then_some(())
        });
    }
}

fn handle(functions: &All, request: &InRequest) -> Reply {
    let mut functions = functions.lock().unwrap();
    match request.path() {
        "/system/namespaces" => Reply::Answer(Answer::new(200, "application/json", r#"["fn"]"#)),
        "/system/functions" => {
            let shown = functions.iter().filter(|(_, function)| function.mood != Some(Mood::Gone));
            let list: Vec<Value> = shown
                .map(|(name, function)| json!({"name": name, "annotations": {"topic": function.topic}}))
                .collect();
            Reply::Answer(Answer::new(200, "application/json", Value::from(list).to_string()))
        }
        path => {
            let name = path.strip_prefix("/function/").and_then(|name| name.strip_suffix(".fn"));
            match functions.get_mut(name.unwrap_or_default()) {
                Some(function) => call(function, request),
                None => Reply::Answer(Answer::text(404, "no such function")),
            }
        }
    }
}

fn call(function: &mut Function, request: &InRequest) -> Reply {
    let event: Value = serde_json::from_slice(&request.body).expect("the body is a CloudEvent");
    let key = event["data"]["Key"].as_i64().expect("the data has a key");
    let machine = event["data"]["Vm"]["Vm"]["Value"].as_str().unwrap_or_default().to_string();
    let taken = Taken { key, machine };
    let mood = function.mood.unwrap_or(Mood::Takes);
    if mood == Mood::Takes || matches!(mood, Mood::Refuses(machine) if machine != taken.machine) {
        function.taken.push(taken);
        return Reply::Answer(Answer::text(200, "done"));
    }
    function.refused.push(taken);
    match mood {
        Mood::Hangs => faults::reply(vec![Step::Pause(None)]),
        Mood::Gone => Reply::Answer(Answer::text(404, "no such function")),
        Mood::Takes | Mood::Fails | Mood::Refuses(_) => Reply::Answer(Answer::text(500, "out of memory")),
    }
}
