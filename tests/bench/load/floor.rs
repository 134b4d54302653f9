//! The floor: what the machine allows at best. A bare loop that reads the same pages over a raw
//! socket and posts a prepared request for each event over others: no XML, no JSON, no retry, no
//! position. And a plain scan of a page, which is the least that reading its XML takes.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use event_router::vim::json::convert_page;

use crate::load::Load;
use crate::process::{Role, processor_time, thread_time};
use crate::scan::scan;

/// Scans and conversions of a page, of which the mean counts.
const ROUNDS: u32 = 30;
/// Senders at a time, where the load names no number.
const WORKERS: usize = 8;

/// What the floor needs.
pub(crate) struct Floor {
    /// Microseconds of processor time for each event.
    pub(crate) cpu_us: f64,
    /// Microseconds of an event in a plain scan of its page.
    pub(crate) scan_us: f64,
    /// The same in the conversion to JSON.
    pub(crate) convert_us: f64,
}

/// Runs the floor in a process of its own.
pub(crate) fn measure(source: &str, sink: &str, load: &Load) -> Floor {
    let arguments = [
        source.to_owned(),
        sink.to_owned(),
        load.workers.unwrap_or(WORKERS).to_string(),
        load.page.to_string(),
    ];
    let role = Role::start("floor", &arguments);
    let numbers: Vec<f64> = role.greeting.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [cpu_us, scan_us, convert_us] = numbers[..] else { panic!("the floor said {:?}", role.greeting) };
    Floor { cpu_us, scan_us, convert_us }
}

/// The role: prints what [`Floor`] holds.
pub(crate) fn serve(arguments: &[String]) {
    let [source, sink, workers, page] = arguments else { panic!("the arguments of the floor") };
    let mut vcenter = Vcenter::open(source);
    let (sender, receiver) = sync_channel::<()>(1000);
    let receiver = Arc::new(Mutex::new(receiver));
    let workers: Vec<_> = (0..workers.parse().expect("a number"))
        .map(|_| {
            let (receiver, sink) = (receiver.clone(), sink.clone());
            std::thread::spawn(move || post(&receiver, &sink))
        })
        .collect();
    let (mut events, mut first) = (0u32, Vec::new());
    loop {
        let body = vcenter.call(&format!(
            "<ReadNextEvents xmlns=\"urn:vim25\"><_this type=\"EventHistoryCollector\">{}</_this>\
             <maxCount>{page}</maxCount></ReadNextEvents>",
            vcenter.collector
        ));
        let found = body.matches("<returnval ").count();
        if found == 0 {
            break;
        }
        events += found as u32;
        (0..found).for_each(|_| sender.send(()).expect("a worker"));
        if first.is_empty() {
            first = body.into_bytes();
        }
    }
    drop(sender);
    workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
    let cpu_us = processor_time("self").as_secs_f64() * 1e6 / f64::from(events);
    let in_page = first.windows(11).filter(|text| text == b"<returnval ").count() as f64;
    let scan_us = time_us(|| scan(&first)) / in_page;
    let convert_us = time_us(|| convert_page(&first).expect("a page").len()) / in_page;
    println!("{cpu_us} {scan_us} {convert_us}");
}

/// Posts one prepared request for each event that is announced.
fn post(receiver: &Mutex<Receiver<()>>, sink: &str) {
    let host = sink.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).expect("the sink");
    stream.set_nodelay(true).expect("no delay");
    let body = format!("{{\"Key\":1,\"Message\":\"{}\"}}", "x".repeat(1000));
    let request = format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut answer = [0; 1024];
    while receiver.lock().expect("the lock").recv().is_ok() {
        stream.write_all(request.as_bytes()).expect("the sink");
        assert!(0 < stream.read(&mut answer).expect("an answer"), "the sink closed the connection");
    }
}

/// As little of a client of vCenter as reads pages.
struct Vcenter {
    stream: TcpStream,
    host: String,
    cookie: String,
    collector: String,
}

impl Vcenter {
    fn open(url: &str) -> Vcenter {
        let host = url.trim_start_matches("http://").trim_end_matches("/sdk").to_owned();
        let stream = TcpStream::connect(&host).expect("the source");
        let mut vcenter = Vcenter { stream, host, cookie: String::new(), collector: String::new() };
        vcenter.call(
            "<Login xmlns=\"urn:vim25\"><_this type=\"SessionManager\">SessionManager</_this>\
             <userName>router@vsphere.local</userName><password>simulated</password></Login>",
        );
        let answer = vcenter.call(
            "<CreateCollectorForEvents xmlns=\"urn:vim25\"><_this type=\"EventManager\">EventManager</_this>\
             <filter></filter></CreateCollectorForEvents>",
        );
        let end = answer.find("</returnval>").expect("a collector");
        let begin = answer[..end].rfind('>').expect("a collector") + 1;
        vcenter.collector = answer[begin..end].to_owned();
        vcenter
    }

    fn call(&mut self, call: &str) -> String {
        let envelope = format!(
            "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\">\
             <soapenv:Body>{call}</soapenv:Body></soapenv:Envelope>"
        );
        let request = format!(
            "POST /sdk HTTP/1.1\r\nhost: {}\r\nsoapaction: \"urn:vim25/8.0.3.0\"\r\n{}content-length: {}\r\n\r\n{envelope}",
            self.host,
            self.cookie,
            envelope.len()
        );
        self.stream.write_all(request.as_bytes()).expect("the source");
        let mut answer = Vec::new();
        let mut chunk = vec![0; 256 * 1024];
        loop {
            let bytes = self.stream.read(&mut chunk).expect("the source");
            assert!(0 < bytes, "the source closed the connection");
            answer.extend_from_slice(&chunk[..bytes]);
            let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
            let text = String::from_utf8_lossy(&answer[..head]).to_lowercase();
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim().to_owned())
            };
            if let Some(cookie) = value("set-cookie:") {
                self.cookie = format!("cookie: {}\r\n", cookie.split(';').next().unwrap_or_default());
            }
            let length: usize = value("content-length:").and_then(|text| text.parse().ok()).unwrap_or(0);
            if head + 4 + length <= answer.len() {
                return String::from_utf8(answer.split_off(head + 4)).expect("UTF-8");
            }
        }
    }
}

/// Microseconds of processor time of one run.
fn time_us(mut run: impl FnMut() -> usize) -> f64 {
    black_box(run());
    let begin = thread_time();
    (0..ROUNDS).for_each(|_| {
        black_box(run());
    });
    (thread_time() - begin).as_secs_f64() * 1e6 / f64::from(ROUNDS)
}
