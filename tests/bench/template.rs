//! Events per second that one core turns into requests: `cargo bench --bench template`.
//!
//! The first line is the promise: a template of five paths over an event of about 1 KB, half a million
//! events per second. The last ones send batches of 100 to a sink of the same process.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use event_router::cloudevents::CloudEvent;
use event_router::config::file::Overrides;
use event_router::event::{Event, Lane, Position};
use event_router::kinds;
use event_router::processor::Delivery;
use event_router::template::{Input, Syntax, Template};

const FIVE: &str = r#"{"text": "<$.data.FullFormattedMessage>", "vm": "<$.data.Vm.Name>", "ref": <$.data.Vm.Vm.Value>, "user": "<$.data.UserName>", "host": <$.data.Host.Name>}"#;
/// Requests of each sender of a measurement.
const REQUESTS: usize = 3000;
const BATCH: usize = 100;
const SENDERS: usize = 4;

fn main() {
    let event = event(1);
    println!("event of {} bytes, events per second on one core", event.ce.data.len());
    row("five paths", FIVE, &event.ce);
    row("one path and the id", r#"{"text": "<$.data.Vm.Name>", "id": "<id>"}"#, &event.ce);
    row("the whole event", r#"{"time": <time.s>, "event": <event>}"#, &event.ce);
    row("the data as text", r#"{"body": "<data>"}"#, &event.ce);
    println!("batches of {BATCH}, {SENDERS} senders, events per second with sink");
    batches("five paths", &format!("transform.template = '{FIVE}'\nbatch = {{}}"));
    batches("CloudEvents", "body = 'batch'");
}

fn event(key: i64) -> Event {
    let reference = |kind: &str, id: &str, name: &str| {
        format!(r#"{{"Name":"{name}","{kind}":{{"Type":"{kind}","Value":"{id}"}}}}"#)
    };
    let data = format!(
        r#"{{"Key":{key},"ChainId":4709,"CreatedTime":"2026-05-04T10:11:12.345678Z","UserName":"VSPHERE.LOCAL\\Administrator","Datacenter":{},"ComputeResource":{},"Host":{},"Vm":{},"Ds":null,"Net":null,"Dvs":null,"FullFormattedMessage":"Virtual machine web-01 on host esx-07 in dc-01 is powered on","ChangeTag":"","Template":false,"Arguments":[{{"Key":"a","Value":"2"}},{{"Key":"b","Value":"2"}}]}}"#,
        reference("Datacenter", "datacenter-3", "dc-01"),
        reference("ComputeResource", "domain-c8", "cluster-01"),
        reference("Host", "host-21", "esx-07"),
        reference("Vm", "vm-56", "web-01"),
    );
    let time: jiff::Timestamp = "2026-05-04T10:11:12.345678Z".parse().expect("a time");
    let ce = CloudEvent {
        id: "6ba7b810-9dad-51d1-80b4-00c04fd430c8".into(),
        source: "https://vc01.corp.local/sdk".into(),
        ty: "com.vmware.event.router/event".into(),
        name_in_type: None,
        subject: Some("VmPoweredOnEvent".into()),
        time: Some(time.to_string()),
        datacontenttype: Some("application/json".into()),
        data: data.into_bytes(),
        extensions: [("vsphereapiversion".into(), "8.0.3.0".into())].into(),
    };
    Event {
        position: Position { key, time },
        lane: Lane(key as u64),
        ce,
        anomalies: Vec::new(),
        receipt: None,
    }
}

fn row(name: &str, template: &str, ce: &CloudEvent) {
    let template = Template::compile(template, &[], Syntax::Json).expect("a valid template");
    let input = Input { ce, extensions: &[], route: "bench" };
    let mut out = Vec::new();
    template.fill(&input, &mut out).expect("an event of JSON");
    let bytes = out.len();
    let (mut rounds, begin) = (0u64, Instant::now());
    while begin.elapsed() < Duration::from_secs(1) {
        for _ in 0..1000 {
            out.clear();
            template.fill(black_box(&input), &mut out).expect("an event of JSON");
            assert_eq!(black_box(&out).len(), bytes);
        }
        rounds += 1000;
    }
    let rate = rounds as f64 / begin.elapsed().as_secs_f64();
    println!("{name:28} {rate:9.0}/s {:6.0} ns  {bytes} bytes", 1e9 / rate);
}

/// Sends from several threads, as the workers of a route do.
fn batches(name: &str, keys: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    let source = "[source.a]\ntype = 'vcenter'\naddress = 'https://vc'\nusername = 'u'\npassword = 'p'\n";
    let text = format!("{source}[processor.b]\ntype = 'http'\nuri = '{url}'\n{keys}\n");
    let config = kinds::parse(&text, Path::new("router.toml"), &Overrides::default(), &|_| None);
    let processor = kinds::make_processor(&config.expect("a configuration"), "b").expect("a processor");
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                let batch: Vec<_> = (0..BATCH).map(|key| Delivery::new(event(key as i64))).collect();
                let mut verdicts = Vec::new();
                for _ in 0..REQUESTS {
                    verdicts.clear();
                    processor.deliver(&batch, &mut verdicts);
                    assert!(verdicts.len() == BATCH && verdicts.iter().all(|verdict| verdict.is_delivered()));
                }
            });
        }
    });
    let rate = (SENDERS * REQUESTS * BATCH) as f64 / begin.elapsed().as_secs_f64();
    println!("{name:28} {rate:9.0}/s");
}

/// Takes requests with a length and answers each, until the sender leaves.
fn answer(stream: TcpStream) {
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    let mut body = Vec::new();
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        if reader.read_exact(&mut body).is_err()
            || reader.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").is_err()
        {
            return;
        }
    }
}
