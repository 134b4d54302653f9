//! `router send`: a sink can be tried without a vCenter.

use std::sync::{Arc, Mutex};

use event_router::http::server::{Answer, Reply, Server, ServerSettings};

use crate::support::Test;

#[test]
fn a_sample_event_shows_what_the_sink_answers() {
    let test = Test::new("send");
    let received: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let seen = received.clone();
    let sink = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let subject = request.header("ce-subject").unwrap_or_default().to_string();
        seen.lock().unwrap().push((subject.clone(), String::from_utf8_lossy(&request.body).into_owned()));
        match subject.as_str() {
            "VmPoweredOffEvent" => Reply::Answer(Answer::text(400, "no off, please")),
            _ => Reply::Answer(Answer::text(202, "ok")),
        }
    })
    .unwrap();
    test.write(
        "router.toml",
        &format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"vc01.corp.example\"\nusername = \"u\"\npassword = \"p\"\n\
             [processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n",
            sink.address()
        ),
    );
    let good = test.router(&["send"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.stdout.starts_with("sending VmPoweredOnEvent ") && good.stdout.contains("\nacknowledged after ")
    );

    let refused = test.router(&["send", "--type", "VmPoweredOffEvent"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("no off, please") && refused.stderr.contains("dead letter"),
        "{refused:?}"
    );

    test.write("data.json", "{\"Mine\":true}");
    let own = test.router(&["send", "--type", "com.example.Test", "--data", "data.json"]);
    assert_eq!(own.code, Some(0), "{own:?}");
    assert_eq!(received.lock().unwrap()[2], ("com.example.Test".to_string(), "{\"Mine\":true}".to_string()));
    assert!(!test.path("state").exists(), "nothing is kept on disk");
}
