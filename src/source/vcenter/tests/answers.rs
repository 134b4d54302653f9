//! Answers that are none: of another call, of somebody else, lost on their way though nothing failed.

use super::recovery::FAST;
use super::*;
use crate::demo::faults::{Step as Send, reply};
use crate::http::client::Request;
use crate::http::server::{Reply, Server, ServerSettings};

/// A SOAP document with this in its body.
fn envelope(body: &str) -> Vec<u8> {
    format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    )
    .into_bytes()
}

const EMPTY_PAGE: &str = "<ReadNextEventsResponse xmlns=\"urn:vim25\"></ReadNextEventsResponse>";

fn instead(body: &str) -> Effect {
    Effect::Instead(envelope(body), None)
}

fn i64s(keys: &[i32]) -> Vec<i64> {
    keys.iter().map(|key| i64::from(*key)).collect()
}

#[test]
fn what_is_no_answer_to_the_request_is_a_lost_answer() {
    for (body, said) in [
        (
            "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>2026-01-01T00:00:00Z</returnval></CurrentTimeResponse>",
            "CurrentTimeResponse",
        ),
        ("<ReadPreviousEventsResponse xmlns=\"urn:vim25\"/>", "ReadPreviousEventsResponse"),
        ("<html><body>busy</body></html>", "html"),
        ("<ReadNextEvents xmlns=\"urn:vim25\"><maxCount>5</maxCount></ReadNextEvents>", "ReadNextEvents"),
        ("<ReadNextEventsResponse>busy</ReadNextEventsResponse>", "in place of the events"),
        ("<ReadNextEventsResponse><error>busy</error></ReadNextEventsResponse>", "error stands in place"),
        ("", "the SOAP body is empty"),
    ] {
        let simulator = simulator();
        let keys = simulator.push_many((0..5).map(power));
        let mut source = source(&simulator);
        source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
        // The server takes the page for read.
        simulator.set_fault(Rule::once("ReadNextEvents", instead(body)));
        let error = source.read().unwrap_err();
        assert_eq!(error.failure, SourceFailure::Lost, "{body}: {error}");
        assert!(error.to_string().contains(said), "{body}: {error}");
        source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(read_keys(&mut source, 5), i64s(&keys), "{body}");
    }
}

#[test]
fn an_answer_to_another_call_opens_nothing() {
    for call in ["RetrieveServiceContent", "Login", "CurrentTime", "CreateCollectorForEvents"] {
        let simulator = simulator();
        let mut source = source(&simulator);
        let other =
            "<LogoutResponse xmlns=\"urn:vim25\"><returnval type=\"Folder\">x</returnval></LogoutResponse>";
        simulator.set_fault(Rule::once(call, Effect::Garbage(envelope(other))));
        let error = source.open(None).unwrap_err();
        assert_eq!(error.failure, SourceFailure::Lost, "{call}: {error}");
        let said = format!("it is <LogoutResponse>, no answer to {call}");
        assert!(error.to_string().contains(&said), "{call}: {error}");
        source.open(None).unwrap();
    }
}

/// Reads as a route does: after an error it opens the source again at `begin`, and knows what it has.
fn read_like_a_route(source: &mut Vcenter, begin: Timestamp, mut read: Vec<i64>, count: usize) -> Vec<i64> {
    let end = Instant::now() + SOON;
    let (_source, stop) = stop_signal();
    while read.len() < count && Instant::now() < end {
        let page = match source.read() {
            Ok(page) => page,
            Err(error) => {
                assert_eq!(error.failure, SourceFailure::Lost, "{error}");
                assert!(error.to_string().contains("did not come in its turn"), "{error}");
                source.open(Some(begin)).unwrap();
                continue;
            }
        };
        if !page.more {
            source.wait(&stop, Duration::from_millis(50)).unwrap();
        }
        for position in page.items.iter().filter_map(Item::position) {
            if !read.contains(&position.key) {
                read.push(position.key);
            }
        }
    }
    read
}

/// The keys that come when a page is empty in place of its events.
fn read_past_an_empty_page(
    what: &str,
    prepare: impl Fn(&Simulator),
    during: impl Fn(&Simulator, &mut Vcenter) -> (Vec<i64>, Vec<i64>),
) {
    let simulator = simulator();
    prepare(&simulator);
    let config = VcenterConfig { page_size: 5, ..config(&simulator) };
    let timing = StallTiming { step: Duration::from_secs(3600), ..StallTiming::default() };
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap().with_stall_timing(timing);
    let begin = simulator.now() - SignedDuration::from_mins(10);
    source.open(Some(begin)).unwrap();
    let (mut expected, read) = during(&simulator, &mut source);
    // Nothing is left out, nothing comes twice, and the order is vCenter's.
    expected.sort_unstable();
    assert_eq!(read_like_a_route(&mut source, begin, read, expected.len()), expected, "{what}");
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 1), "{what}");
}

fn no_witness(simulator: &Simulator) {
    simulator.script(|script| script.latest_event = LatestEvent::Absent);
    simulator.set_fault(Rule::always("WaitForUpdatesEx", Effect::Fault(Fault::NotSupported)));
}

#[test]
fn an_empty_page_in_the_place_of_one_is_remembered_until_it_is_read() {
    let lose = |simulator: &Simulator| simulator.set_fault(Rule::once("ReadNextEvents", instead(EMPTY_PAGE)));
    for with_witness in [true, false] {
        let prepare = |simulator: &Simulator| {
            if !with_witness {
                no_witness(simulator);
            }
        };
        let what = |what: &str| format!("{what}, witness {with_witness}");
        read_past_an_empty_page(&what("live"), prepare, |simulator, source| {
            let mut keys = simulator.push_many((0..3).map(power));
            let read = read_keys(source, 3);
            assert!(source.read().unwrap().items.is_empty());
            lose(simulator);
            keys.extend(simulator.push_many((0..5).map(power)));
            assert!(source.read().unwrap().items.is_empty(), "it is lost");
            keys.extend(simulator.push_many((0..5).map(power)));
            (i64s(&keys), read)
        });
        read_past_an_empty_page(&what("in a backlog"), prepare, |simulator, source| {
            let keys = simulator.push_many((0..30).map(power));
            let read = read_keys(source, 10);
            lose(simulator);
            (i64s(&keys), read)
        });
    }
    read_past_an_empty_page(
        "the first of all",
        |_| {},
        |simulator, _| {
            let keys = simulator.push_many((0..10).map(power));
            lose(simulator);
            (i64s(&keys), Vec::new())
        },
    );
    read_past_an_empty_page("the first of all, long ago", no_witness, |simulator, _| {
        let ago = simulator.now() - SignedDuration::from_mins(1);
        let keys = simulator.push_many((0..10).map(|number| power(number).at(ago)));
        lose(simulator);
        (i64s(&keys), Vec::new())
    });
    read_past_an_empty_page(
        "twice",
        |_| {},
        |simulator, _| {
            let keys = simulator.push_many((0..40).map(power));
            simulator.set_fault(Rule::always("ReadNextEvents", instead(EMPTY_PAGE)).every(4).times(2));
            (i64s(&keys), Vec::new())
        },
    );
}

/// Where the keys tell that all was found, reading does not begin again: what a start has to read anew would
/// never be through.
#[test]
fn pages_that_are_lost_again_and_again_end_nothing() {
    let simulator = simulator();
    let keys = simulator.push_many((0..500).map(power));
    let config = VcenterConfig { page_size: 5, ..config(&simulator) };
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap();
    let begin = simulator.now() - SignedDuration::from_mins(10);
    source.open(Some(begin)).unwrap();
    simulator.set_fault(Rule::always("ReadNextEvents", instead(EMPTY_PAGE)).every(7).after(7));
    let mut read = Vec::new();
    for _ in 0..1000 {
        read.extend(source.read().unwrap().items.iter().filter_map(Item::position).map(|it| it.key));
    }
    assert_eq!(read, i64s(&keys));
}

#[test]
fn what_a_page_leaves_out_is_read() {
    let simulator = simulator();
    let mut source = source(&simulator);
    let begin = simulator.now() - SignedDuration::from_mins(10);
    source.open(Some(begin)).unwrap();
    let keys = simulator.push_many((0..10).map(power));
    // The first two and the last of them only.
    let part: String = [0, 1, 9]
        .map(|place: usize| {
            let record = &simulator.records()[place];
            format!(
                "<returnval xsi:type=\"VmPoweredOnEvent\"><key>{}</key><chainId>{0}</chainId><createdTime>{:.6}</createdTime>\
                 <userName/></returnval>",
                record.key, record.time
            )
        })
        .concat();
    simulator.set_fault(Rule::once(
        "ReadNextEvents",
        instead(&format!("<ReadNextEventsResponse>{part}</ReadNextEventsResponse>")),
    ));
    assert_eq!(read_like_a_route(&mut source, begin, Vec::new(), 10), i64s(&keys));
}

#[test]
fn an_empty_page_is_remembered_where_the_server_filters() {
    let simulator = simulator();
    no_witness(&simulator);
    let ago = simulator.now() - SignedDuration::from_mins(1);
    let keys = simulator.push_many((0..20).map(|number| power(number).at(ago)));
    let config = VcenterConfig { page_size: 5, ..config(&simulator) };
    let types = ["VmPoweredOnEvent".to_string()];
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap().with_types(&types);
    let begin = simulator.now() - SignedDuration::from_mins(10);
    source.open(Some(begin)).unwrap();
    simulator.set_fault(Rule::once("ReadNextEvents", instead(EMPTY_PAGE)).after(2));
    assert_eq!(read_like_a_route(&mut source, begin, Vec::new(), 20), i64s(&keys));
}

#[test]
fn a_stream_with_gaps_between_its_keys_is_looked_at_a_few_times_and_then_believed() {
    let simulator = simulator();
    simulator.script(|script| script.key_gap = 3);
    let mut source = source(&simulator);
    source.open(None).unwrap();
    for _ in 0..30 {
        let key = simulator.push(power(1));
        assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
    }
    let looked = simulator.calls("CreateCollectorForEvents") - 1;
    assert!((1..=u64::from(crate::limits::DOUBT_IDLE_GAPS_MAX)).contains(&looked), "{looked}");
}

#[test]
fn a_page_that_comes_newest_first_is_turned() {
    let simulator = simulator();
    simulator.script(|script| script.newest_first = true);
    let keys = simulator.push_many((0..50).map(power));
    let mut source =
        Vcenter::new("vc01", &VcenterConfig { page_size: 7, ..config(&simulator) }, Format::Router).unwrap();
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    assert_eq!(read_keys(&mut source, 50), i64s(&keys));
}

#[test]
fn one_odd_answer_on_a_working_session_passes() {
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let html = b"<html><head><title>Log in</title></head></html>".to_vec();
    let plain = envelope(EMPTY_PAGE);
    for (effect, said) in [
        (Effect::Instead(html, None), "an HTML page titled \"Log in\""),
        (Effect::Instead(Vec::new(), None), "an empty body"),
        (Effect::Instead(gzip.to_vec(), None), "data compressed by gzip, which was not asked for"),
        (Effect::Instead(gzip.to_vec(), Some("gzip")), "data compressed by gzip, which was not asked for"),
        (Effect::Instead(b"\x0b\x02".to_vec(), Some("br")), "data compressed by br, which was not asked for"),
        (Effect::Status(200), "an HTML page"),
        (Effect::Status(302), "redirects to"),
    ] {
        for call in ["ReadNextEvents", "RetrievePropertiesEx", "CurrentTime", "Login"] {
            let simulator = simulator();
            let mut source = source(&simulator).with_stall_timing(FAST);
            source.open(None).unwrap();
            simulator.set_fault(Rule::once(call, effect.clone()));
            let failed = match call {
                "Login" => source.open(None).map(|_| ()),
                "CurrentTime" => source.present().map(|_| ()),
                _ => (0..100).try_for_each(|_| {
                    std::thread::sleep(Duration::from_millis(1));
                    source.read().map(|_| ())
                }),
            };
            let error = failed.unwrap_err();
            assert_eq!(error.failure, SourceFailure::Lost, "{call}: {error}");
            assert!(error.to_string().contains(said), "{call}: {error}");
            assert!(!error.to_string().contains("not a vCenter"), "{error}");
            source.open(None).unwrap();
        }
        if let Effect::Instead(..) = effect {
            // At an address where no vCenter was ever met it is a mistake.
            let simulator = simulator();
            simulator.set_fault(Rule::always("RetrieveServiceContent", effect));
            let error = source(&simulator).open(None).unwrap_err();
            assert_eq!(error.failure, SourceFailure::Misconfigured, "{error}");
            assert!(
                error.to_string().contains("not a vCenter") && error.to_string().contains(said),
                "{error}"
            );
        }
    }
    // Who says gzip and sends plain text is understood.
    let simulator = simulator();
    let mut source = source(&simulator);
    source.open(None).unwrap();
    simulator.set_fault(Rule::once("ReadNextEvents", Effect::Instead(plain, Some("gzip"))));
    assert!(source.read().unwrap().items.is_empty());
}

/// A balancer before the simulator: it sets a cookie, in a folded header, refuses who does not bring it
/// back, and counts the refusals.
#[test]
fn all_cookies_go_back_and_folded_headers_are_read() {
    let simulator = simulator();
    let target = simulator.url().trim_end_matches("/sdk").to_string();
    let connection = ConnectionConfig::default();
    let settings = ClientSettings { connection: &connection, connections_max: 4 };
    let client = Client::new(&settings).unwrap();
    let balancer = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let cookie = request.header("cookie").unwrap_or_default().to_string();
        let is_first = request.method == "GET";
        if !is_first && !cookie.contains("BIGipServer~pool=1.2.3") {
            return Reply::Answer(crate::http::server::Answer::text(503, "no way"));
        }
        let headers: Vec<(&str, &str)> = ["cookie", "content-type", "soapaction"]
            .iter()
            .filter_map(|name| Some((*name, request.header(name)?)))
            .collect();
        let asked = Request {
            method: if is_first { "GET" } else { "POST" },
            url: &format!("{target}{}", request.path()),
            headers: &headers,
            body: &request.body,
            timeout: SOON,
            body_bytes_max: 1 << 20,
            repeat_if_stale: true,
            head_suffices: false,
        };
        let answer = client.send(&asked).unwrap();
        let mut bytes =
            format!("HTTP/1.1 {} OK\r\nContent-Type: text/xml;\r\n charset=utf-8\r\n", answer.status);
        if is_first {
            bytes += "Set-Cookie: BIGipServer~pool=1.2.3;\r\n\tPath=/;\r\n  HttpOnly\r\n";
        }
        for cookie in answer.header_all("set-cookie") {
            bytes += &format!("Set-Cookie: {}\r\n", cookie.replace("; ", ";\r\n "));
        }
        bytes += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n", answer.body.len());
        reply(vec![Send::Send([bytes.into_bytes(), answer.body].concat())])
    })
    .unwrap();
    let address = format!("http://{}/sdk", balancer.address());
    let config = VcenterConfig { address, ..config(&simulator) };
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap();
    source.open(None).unwrap();
    let key = simulator.push(power(1));
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
    source.close();
}

/// A `ServiceContent` of a server that says this about itself.
fn content(about: &str, event_manager: &str) -> Effect {
    Effect::Garbage(envelope(&format!(
        "<RetrieveServiceContentResponse xmlns=\"urn:vim25\"><returnval><rootFolder type=\"Folder\">group-d1</rootFolder>\
         <propertyCollector type=\"PropertyCollector\">propertyCollector</propertyCollector><about>{about}</about>\
         <sessionManager type=\"SessionManager\">SessionManager</sessionManager>{event_manager}</returnval>\
         </RetrieveServiceContentResponse>"
    )))
}

const ESXI: &str = "<name>VMware ESXi</name><fullName>VMware ESXi 8.0.2 build-22380479</fullName>\
     <apiType>HostAgent</apiType><apiVersion>8.0.2.0</apiVersion>";

#[test]
fn a_host_and_a_vcenter_that_is_none_are_told_what_they_are() {
    use super::super::probe::{Outcome, probe};
    let event_manager = "<eventManager type=\"EventManager\">EventManager</eventManager>";
    let simulator = simulator();
    simulator.set_fault(Rule::always("RetrieveServiceContent", content(ESXI, event_manager)));
    let mut source = source(&simulator);
    source.open(None).unwrap();
    assert!(source.stranger_named, "it is read all the same");
    let key = simulator.push(power(1));
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
    source.close();
    let mut first = None;
    probe(&config(&simulator), &mut |step| {
        first.get_or_insert(step.outcome);
    });
    let Some(Outcome::Doubtful(text)) = first else { panic!("{first:?}") };
    assert!(text.contains("this is an ESXi host, VMware ESXi 8.0.2 build-22380479, not a vCenter"), "{text}");

    let other = "<fullName>VMware Site Recovery 9</fullName><apiType>Recovery</apiType>";
    simulator.clear_faults();
    simulator.set_fault(Rule::always("RetrieveServiceContent", content(other, "")));
    let error = source.open(None).unwrap_err();
    assert_eq!(error.failure, SourceFailure::Misconfigured);
    let said =
        "not a vCenter: it is VMware Site Recovery 9 of the kind Recovery (the answer lacks eventManager)";
    assert!(error.to_string().contains(said), "{error}");
}

/// How often the long poll calls, and what becomes of it, when it is always answered in this way.
fn long_poll_calls(effect: Effect) -> (u64, Vec<i64>) {
    let simulator = simulator();
    simulator.set_fault(Rule::always("WaitForUpdatesEx", effect));
    let mut source = source(&simulator);
    source.open(None).unwrap();
    let (_source, stop) = stop_signal();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        assert!(source.read().unwrap().items.is_empty());
        source.wait(&stop, SOON).unwrap();
    }
    let calls = simulator.calls("WaitForUpdatesEx");
    let key = simulator.push(power(1));
    let read = read_keys(&mut source, 1);
    assert_eq!(read, [i64::from(key)]);
    (calls, read)
}

#[test]
fn a_long_poll_that_is_answered_at_once_is_given_up_for_a_while() {
    let changed = "<WaitForUpdatesExResponse xmlns=\"urn:vim25\"><returnval><version>1</version><filterSet>\
         <filter type=\"PropertyFilter\">f</filter><objectSet><kind>modify</kind>\
         <obj type=\"EventHistoryCollector\">c</obj><changeSet><name>latestPage</name><op>assign</op>\
         <val xsi:type=\"ArrayOfEvent\"/></changeSet></objectSet></filterSet></returnval></WaitForUpdatesExResponse>";
    for effect in [
        Effect::Garbage(envelope("<WaitForUpdatesExResponse xmlns=\"urn:vim25\"/>")),
        Effect::Garbage(envelope(changed)),
        Effect::Fault(Fault::InvalidCollectorVersion),
    ] {
        let (calls, _) = long_poll_calls(effect.clone());
        // 20 in the first second, then one after another wait, and once more after twice that.
        assert!((2..=60).contains(&calls), "{calls} calls, {effect:?}");
    }
}
