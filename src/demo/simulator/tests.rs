//! The simulated vCenter, asked over raw sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::super::script::{Effect, LatestEvent};
use super::*;
use crate::vim::tree::{self, Node};

const LONG: Duration = Duration::from_secs(20);

/// A logged-in client with one connection per call.
struct Client {
    address: String,
    cookie: String,
    version: &'static str,
}

/// An answer: status and the element in the SOAP body.
type Answered = std::io::Result<(u16, Node)>;

impl Client {
    fn anonymous(simulator: &Simulator) -> Client {
        Client { address: simulator.address.clone(), cookie: String::new(), version: "8.0.2.0" }
    }

    fn login(simulator: &Simulator) -> Client {
        let mut client = Client::anonymous(simulator);
        assert_eq!(client.try_login(simulator, &simulator.password()), "LoginResponse");
        client
    }

    fn try_login(&mut self, simulator: &Simulator, password: &str) -> String {
        let arguments = soap::text("userName", &simulator.username()) + &soap::text("password", password);
        let answer = self.call("Login", "SessionManager", "SessionManager", &arguments);
        fault_type(&answer).unwrap_or(answer.name)
    }

    fn exchange(
        &mut self,
        method: &str,
        ty: &str,
        this: &str,
        arguments: &str,
    ) -> std::io::Result<(u16, Vec<u8>)> {
        let body = format!(
            "<?xml version=\"1.0\"?><Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body>\
             <{method} xmlns=\"urn:vim25\">{}{arguments}</{method}></Body></Envelope>",
            soap::reference("_this", ty, this)
        );
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(LONG))?;
        write!(
            stream,
            "POST /sdk HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: test\r\nSOAPAction: urn:vim25/{}\r\n\
             Cookie: a=b; vmware_soap_session={}\r\nContent-Length: {}\r\n\r\n{body}",
            self.version,
            self.cookie,
            body.len()
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end =
            answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        if let Some(at) = head.find("vmware_soap_session=\"") {
            self.cookie = head[at + 21..].split('"').next().unwrap().to_string();
        }
        let length: usize =
            head.split("Content-Length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        let body = answer.split_off(end + 4);
        if body.len() < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok((head[9..12].parse().unwrap(), body))
    }

    fn try_call(&mut self, method: &str, ty: &str, this: &str, arguments: &str) -> Answered {
        let (status, body) = self.exchange(method, ty, this, arguments)?;
        let root = tree::parse(&body).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok((status, root.child("Body").map_or(Node::default(), |body| body.children[0].clone())))
    }

    fn call(&mut self, method: &str, ty: &str, this: &str, arguments: &str) -> Node {
        self.try_call(method, ty, this, arguments).unwrap().1
    }

    fn create_collector(&mut self, filter: &str) -> Node {
        let filter = format!("<filter>{filter}</filter>");
        self.call("CreateCollectorForEvents", "EventManager", "EventManager", &filter)
    }

    fn collector(&mut self, filter: &str) -> String {
        returned(&self.create_collector(filter))
    }

    fn read(&mut self, collector: &str, count: usize) -> Vec<i64> {
        let count = format!("<maxCount>{count}</maxCount>");
        keys(&self.call("ReadNextEvents", "EventHistoryCollector", collector, &count))
    }

    fn read_fault(&mut self, collector: &str) -> Option<String> {
        fault_type(&self.call("ReadNextEvents", "EventHistoryCollector", collector, "<maxCount>1</maxCount>"))
    }

    fn property(&mut self, ty: &str, object: &str, path: &str) -> Node {
        let arguments = format!(
            "<specSet><propSet><type>{ty}</type><pathSet>{path}</pathSet></propSet><objectSet>{}</objectSet></specSet>\
             <options/>",
            soap::reference("obj", ty, object)
        );
        self.call("RetrievePropertiesEx", "PropertyCollector", "propertyCollector", &arguments)
    }

    /// A property collector that watches the latest page.
    fn watch(&mut self, collector: &str) -> String {
        let id =
            returned(&self.call("CreatePropertyCollector", "PropertyCollector", "propertyCollector", ""));
        let spec = format!(
            "<spec><propSet><type>EventHistoryCollector</type><pathSet>latestPage</pathSet></propSet><objectSet>{}\
             </objectSet></spec><partialUpdates>false</partialUpdates>",
            soap::reference("obj", "EventHistoryCollector", collector)
        );
        assert!(fault_type(&self.call("CreateFilter", "PropertyCollector", &id, &spec)).is_none());
        id
    }

    fn wait(&mut self, watch: &str, version: &str, seconds: u32) -> Node {
        let arguments = format!(
            "<version>{version}</version><options><maxWaitSeconds>{seconds}</maxWaitSeconds></options>"
        );
        self.call("WaitForUpdatesEx", "PropertyCollector", watch, &arguments)
    }
}

fn returned(answer: &Node) -> String {
    assert_eq!(fault_type(answer), None);
    answer.child_text("returnval").to_string()
}

fn keys(answer: &Node) -> Vec<i64> {
    assert_eq!(fault_type(answer), None);
    answer.all("returnval").map(|event| event.child_text("key").parse().unwrap()).collect()
}

fn fault_type(answer: &Node) -> Option<String> {
    let detail = answer.child("detail")?;
    Some(detail.children.first().and_then(|fault| fault.xsi_type.clone()).unwrap_or_default())
}

fn power_on(n: usize) -> Draft {
    Draft::vm("VmPoweredOnEvent", &format!("web-{n:02}"), &format!("vm-{n}"))
}

fn start() -> Simulator {
    Simulator::start(Settings::default()).unwrap()
}

#[test]
fn service_content_and_versions_need_no_login() {
    let simulator = start();
    let mut client = Client::anonymous(&simulator);
    let content = client.call("RetrieveServiceContent", "ServiceInstance", "ServiceInstance", "");
    let content = content.child("returnval").unwrap();
    assert_eq!(content.child_text("eventManager"), "EventManager");
    assert_eq!(content.child("about").unwrap().child_text("apiVersion"), "8.0.3.0");
    assert!(!client.cookie.is_empty(), "a cookie comes before the login");
    let answer = client.call("CurrentTime", "ServiceInstance", "ServiceInstance", "");
    assert_eq!(fault_type(&answer).as_deref(), Some("NotAuthenticated"));
    let mut stream = TcpStream::connect(&simulator.address).unwrap();
    write!(stream, "GET /sdk/vimServiceVersions.xml HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let root = tree::parse(answer.split("\r\n\r\n").nth(1).unwrap().as_bytes()).unwrap();
    assert_eq!(root.child("namespace").unwrap().child_text("version"), "8.0.3.0");
}

#[test]
fn login_logout_and_sessions_are_counted() {
    let simulator = start();
    let mut client = Client::anonymous(&simulator);
    assert_eq!(client.try_login(&simulator, "wrong"), "InvalidLogin");
    assert_eq!(client.try_login(&simulator, &simulator.password()), "LoginResponse");
    let mut other = Client::login(&simulator);
    let list = other.property("SessionManager", "SessionManager", "sessionList");
    let list = list.child("returnval").unwrap().child("objects").unwrap().child("propSet").unwrap();
    let sessions: Vec<&Node> = list.child("val").unwrap().all("UserSession").collect();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0].child_text("userAgent"), "test");
    client.collector("");
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (2, 1));
    client.call("Logout", "SessionManager", "SessionManager", "");
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 0));
    let counts = simulator.counts();
    assert_eq!((counts.logins, counts.logins_refused, counts.logouts), (2, 1, 1));
    assert_eq!((simulator.calls("Login"), simulator.calls("CurrentTime")), (3, 0));
}

#[test]
fn another_session_is_terminated_by_its_key() {
    let simulator = start();
    let mut victim = Client::login(&simulator);
    let session = victim.property("SessionManager", "SessionManager", "currentSession");
    let session = session.child("returnval").unwrap().child("objects").unwrap().child("propSet").unwrap();
    let id = soap::text("sessionId", session.child("val").unwrap().child_text("key"));
    let own = victim.call("TerminateSession", "SessionManager", "SessionManager", &id);
    assert_eq!(fault_type(&own).as_deref(), Some("InvalidArgument"));
    let mut other = Client::login(&simulator);
    other.call("TerminateSession", "SessionManager", "SessionManager", &id);
    assert_eq!(victim.read_fault("x").as_deref(), Some("NotAuthenticated"));
    let again = other.call("TerminateSession", "SessionManager", "SessionManager", &id);
    assert_eq!(fault_type(&again).as_deref(), Some("NotFound"));
}

#[test]
fn pages_follow_the_filter_and_pick_up_new_events() {
    let simulator = start();
    simulator.push_many((1..=5).map(power_on));
    let begin = simulator.now() + Duration::from_secs(1);
    simulator.push_many([power_on(6).at(begin), Draft::event_ex("com.vmware.vc.ha.X").at(begin)]);
    let mut client = Client::login(&simulator);
    let all = client
        .collector("<entity><entity type=\"Folder\">group-d1</entity><recursion>all</recursion></entity>");
    assert_eq!(client.read(&all, 3), [1, 2, 3]);
    assert_eq!(client.read(&all, 1000), [4, 5, 6, 7]);
    assert!(client.read(&all, 1000).is_empty());
    simulator.push(power_on(8).at(begin));
    assert_eq!(client.read(&all, 1000), [8]);
    let time = format!("<time><beginTime>{begin}</beginTime></time>");
    let late = client.collector(&time);
    assert_eq!(client.read(&late, 1000), [6, 7, 8], "the begin is inclusive");
    let typed = client.collector(&format!("{time}<eventTypeId>com.vmware.vc.ha.X</eventTypeId>"));
    assert_eq!(client.read(&typed, 1000), [7]);
    let one = client.collector(
        "<entity><entity type=\"VirtualMachine\">vm-2</entity><recursion>self</recursion></entity>",
    );
    assert_eq!(client.read(&one, 1000), [2]);
    let count = client.call("ReadNextEvents", "EventHistoryCollector", &all, "<maxCount>1001</maxCount>");
    assert_eq!(fault_type(&count).as_deref(), Some("InvalidArgument"));
    client.call("DestroyCollector", "EventHistoryCollector", &all, "");
    assert_eq!(client.read_fault(&all).as_deref(), Some("ManagedObjectNotFound"));
    assert_eq!(simulator.open_collectors(), 3);
}

#[test]
fn a_session_has_32_collectors_at_most() {
    let simulator = start();
    let mut client = Client::login(&simulator);
    let first = client.collector("");
    (1..32).for_each(|_| drop(client.collector("")));
    assert_eq!(fault_type(&client.create_collector("")).as_deref(), Some("InvalidState"));
    client.call("DestroyCollector", "EventHistoryCollector", &first, "");
    client.collector("");
}

#[test]
fn the_long_poll_wakes_at_once_and_only_for_its_events() {
    let simulator = start();
    simulator.push(power_on(1));
    let mut client = Client::login(&simulator);
    let collector = client.collector("<eventTypeId>VmPoweredOnEvent</eventTypeId>");
    client.call("SetCollectorPageSize", "EventHistoryCollector", &collector, "<maxCount>1</maxCount>");
    let watch = client.watch(&collector);
    let first = client.wait(&watch, "", 10);
    let set = first.child("returnval").unwrap();
    assert_eq!(set.child_text("version"), "1");
    let change = set.child("filterSet").unwrap().child("objectSet").unwrap().child("changeSet").unwrap();
    let event = change.child("val").unwrap().child("Event").unwrap();
    assert_eq!((event.child_text("key"), event.xsi_type.as_deref()), ("1", Some("VmPoweredOnEvent")));
    simulator.push(Draft::event_ex("com.vmware.vc.ha.X"));
    assert!(client.wait(&watch, "1", 0).child("returnval").is_none(), "other events do not wake it");
    let (begin, calls) = (Instant::now(), simulator.calls("WaitForUpdatesEx"));
    std::thread::scope(|scope| {
        let woken = scope.spawn(|| client.wait(&watch, "1", 60));
        assert!(simulator.wait_until(LONG, |s| calls < s.calls("WaitForUpdatesEx")));
        simulator.push(power_on(2));
        assert_eq!(woken.join().unwrap().child("returnval").unwrap().child_text("version"), "2");
    });
    assert!(begin.elapsed() < LONG);
    let again = client.wait(&watch, "1", 0);
    assert_eq!(again.child("returnval").unwrap().child_text("version"), "3", "a lost answer is repeated");
    assert_eq!(fault_type(&client.wait(&watch, "77", 0)).as_deref(), Some("InvalidCollectorVersion"));
}

#[test]
fn the_long_poll_ends_with_what_it_waits_for() {
    let simulator = start();
    let ends = |end: &dyn Fn(&Simulator, &mut Client, &str)| {
        let mut client = Client::login(&simulator);
        let collector = client.collector("");
        let watch = client.watch(&collector);
        client.wait(&watch, "", 0);
        let mut waiter = Client {
            address: client.address.clone(),
            cookie: client.cookie.clone(),
            version: client.version,
        };
        let calls = simulator.calls("WaitForUpdatesEx");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| fault_type(&waiter.wait(&watch, "1", 60)).unwrap());
            assert!(simulator.wait_until(LONG, |s| calls < s.calls("WaitForUpdatesEx")));
            // The call is counted before it waits: repeat until the wait has begun.
            while !thread.is_finished() {
                end(&simulator, &mut client, &watch);
                std::thread::yield_now();
            }
            thread.join().unwrap()
        })
    };
    let cancel = |_: &Simulator, client: &mut Client, watch: &str| {
        client.call("CancelWaitForUpdates", "PropertyCollector", watch, "");
    };
    assert_eq!(ends(&cancel), "RequestCanceled");
    assert_eq!(ends(&|simulator, _, _| simulator.end_sessions()), "NotAuthenticated");
}

#[test]
fn latest_event_and_descriptions_are_properties() {
    let simulator = start();
    let mut client = Client::login(&simulator);
    let latest = |client: &mut Client| {
        let answer = client.property("EventManager", "EventManager", "latestEvent");
        let set = answer.child("returnval").unwrap().child("objects").unwrap().child("propSet").cloned();
        set.map(|set| set.child("val").unwrap().child_text("key").to_string())
    };
    assert_eq!(latest(&mut client), None);
    simulator.push_many([power_on(1), power_on(2)]);
    assert_eq!(latest(&mut client).as_deref(), Some("2"));
    simulator.script(|script| script.latest_event = LatestEvent::Fixed(1));
    assert_eq!(latest(&mut client).as_deref(), Some("1"));
    simulator.script(|script| script.latest_event = LatestEvent::Absent);
    assert_eq!(latest(&mut client), None);
    let all = "<specSet><propSet><type>EventManager</type><all>true</all></propSet><objectSet><obj \
               type=\"EventManager\">EventManager</obj></objectSet></specSet>";
    let all = client.call("RetrieveProperties", "PropertyCollector", "propertyCollector", all);
    let names = all.child("returnval").unwrap().all("propSet").map(|set| set.child_text("name"));
    assert_eq!(names.collect::<Vec<_>>(), ["description", "maxCollector"]);
    let unknown = client.property("EventManager", "EventManager", "nonsense");
    assert_eq!(fault_type(&unknown).as_deref(), Some("InvalidProperty"));
    let info = client.property("EventManager", "EventManager", "description.eventInfo");
    let info = info.child("returnval").unwrap().child("objects").unwrap().child("propSet").unwrap();
    assert!(info.child("val").unwrap().all("EventDescriptionEventDetail").count() > 3);
}

#[test]
fn a_version_that_is_not_spoken_is_refused_on_demand() {
    let simulator =
        Simulator::start(Settings { api_version: "9.9.9.9".into(), ..Settings::default() }).unwrap();
    let mut client = Client::login(&simulator);
    let fetched = client.call("Fetch", "EventManager", "EventManager", "<prop>maxCollector</prop>");
    assert_eq!(fetched.child_text("returnval"), "32", "a known older version");
    simulator.script(|script| script.unknown_versions_refused = true);
    client.call("Fetch", "EventManager", "EventManager", "<prop>maxCollector</prop>");
    client.version = "77.0";
    let (status, fault) = client.try_call("CurrentTime", "ServiceInstance", "ServiceInstance", "").unwrap();
    assert_eq!((status, fault.child_text("faultcode")), (500, "VersionMismatchFaultCode"));
    assert_eq!(fault_type(&fault).as_deref(), Some(""), "a fault without a type");
    simulator.script(|script| script.unknown_versions_refused = false);
    assert_eq!(client.try_call("CurrentTime", "ServiceInstance", "ServiceInstance", "").unwrap().0, 200);
}

#[test]
fn keys_run_over_begin_again_and_leave_gaps() {
    let simulator = Simulator::start(Settings { first_key: Some(i32::MAX), ..Settings::default() }).unwrap();
    assert_eq!(simulator.push_many((0..2).map(power_on)), [i32::MAX, i32::MIN]);
    simulator.set_next_key(1);
    simulator.script(|script| script.key_gap = 9);
    assert_eq!(simulator.push_many((0..2).map(power_on)), [1, 11]);
    let mut client = Client::login(&simulator);
    let collector = client.collector("");
    assert_eq!(client.read(&collector, 9), [2_147_483_647, -2_147_483_648, 1, 11]);
}

#[test]
fn faults_of_calls_are_seen_by_the_client() {
    let simulator = start();
    let mut client = Client::login(&simulator);
    let now = |client: &mut Client| client.try_call("CurrentTime", "ServiceInstance", "ServiceInstance", "");
    simulator.set_fault(Rule::once("CurrentTime", Effect::Fault(Fault::HostCommunication)).after(1));
    assert_eq!(now(&mut client).unwrap().0, 200);
    let (status, fault) = now(&mut client).unwrap();
    assert_eq!((status, fault_type(&fault).as_deref()), (500, Some("HostCommunication")));
    assert_eq!(now(&mut client).unwrap().0, 200);
    let mut once = |effect: Effect| {
        simulator.set_fault(Rule::once("CurrentTime", effect));
        client.exchange("CurrentTime", "ServiceInstance", "ServiceInstance", "")
    };
    assert!(
        once(Effect::Status(503)).is_ok_and(|(status, body)| status == 503 && body.starts_with(b"<html>"))
    );
    assert_eq!(once(Effect::Garbage(b"\0\xff".to_vec())).unwrap(), (200, b"\0\xff".to_vec()));
    assert_eq!(once(Effect::Reset).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(once(Effect::Truncate(40)).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(
        once(Effect::Hang(Some(Duration::from_millis(1)))).unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    assert_eq!(once(Effect::Inflate(100_000)).unwrap().1.len(), 100_000);
    assert_eq!(once(Effect::Trickle(Duration::from_micros(10))).unwrap().0, 200);
    let begin = Instant::now();
    assert_eq!(once(Effect::Delay(Duration::from_millis(30))).unwrap().0, 200);
    assert!(Duration::from_millis(30) <= begin.elapsed());
    assert_eq!(once(Effect::EndSession).unwrap().0, 500);
    assert_eq!(simulator.open_sessions(), 0);
    simulator.set_fault(Rule::always("*", Effect::Reset));
    assert!(now(&mut client).is_err() && now(&mut client).is_err());
    simulator.clear_faults();
    assert!(now(&mut client).is_ok());
}

#[test]
fn an_answer_that_was_lost_has_moved_the_collector() {
    let simulator = start();
    simulator.push_many((1..=4).map(power_on));
    let mut client = Client::login(&simulator);
    let collector = client.collector("");
    simulator.set_fault(Rule::once("ReadNextEvents", Effect::Reset));
    let count = "<maxCount>2</maxCount>";
    assert!(client.try_call("ReadNextEvents", "EventHistoryCollector", &collector, count).is_err());
    assert_eq!(client.read(&collector, 2), [3, 4]);
    simulator.set_fault(Rule::once("ReadNextEvents", Effect::EndCollectors));
    assert_eq!(client.read_fault(&collector).as_deref(), Some("ManagedObjectNotFound"));
}

#[test]
fn faults_hide_in_missing_sets() {
    let simulator = start();
    let mut client = Client::login(&simulator);
    simulator.set_fault(Rule::always("*", Effect::MissingSet(Fault::NotAuthenticated)));
    let answer = client.property("Folder", "group-d1", "name");
    let object = answer.child("returnval").unwrap().child("objects").unwrap();
    assert!(object.child("propSet").is_none());
    let fault = object.child("missingSet").unwrap().child("fault").unwrap();
    assert_eq!(fault.child("fault").unwrap().xsi_type.as_deref(), Some("NotAuthenticated"));
    let collector = client.collector("");
    let watch = client.watch(&collector);
    let answer = client.wait(&watch, "", 0);
    let object = answer.child("returnval").unwrap().child("filterSet").unwrap().child("objectSet").unwrap();
    assert!(object.child("missingSet").is_some() && object.child("changeSet").is_none());
}

#[test]
fn a_stalled_stream_moves_only_the_latest_event() {
    let simulator = start();
    let mut client = Client::login(&simulator);
    let collector = client.collector("");
    let watch = client.watch(&collector);
    client.wait(&watch, "", 0);
    simulator.script(|script| script.pages_stay_empty = true);
    simulator.push(power_on(1));
    assert!(client.read(&collector, 10).is_empty());
    assert!(client.wait(&watch, "1", 0).child("returnval").is_none());
    let latest = client.property("EventManager", "EventManager", "latestEvent");
    assert!(latest.child("returnval").unwrap().child("objects").unwrap().child("propSet").is_some());
    simulator.script(|script| script.pages_stay_empty = false);
    assert_eq!(client.read(&collector, 10), [1]);
}

#[test]
fn clock_retention_and_identity_change_on_command() {
    let simulator = start();
    simulator.push_many((1..=3).map(|n| power_on(n).at(Timestamp::from_second(n as i64).unwrap())));
    let mut client = Client::login(&simulator);
    let collector = client.collector("");
    simulator.forget_before(Timestamp::from_second(3).unwrap());
    assert_eq!(client.read(&collector, 9), [3]);
    simulator.set_clock_offset(SignedDuration::from_hours(3));
    let text = returned(&client.call("CurrentTime", "ServiceInstance", "ServiceInstance", ""));
    let ahead = text.parse::<Timestamp>().unwrap().duration_since(Timestamp::now());
    assert!(SignedDuration::from_mins(179) < ahead && ahead < SignedDuration::from_mins(181), "{ahead}");
    simulator.set_instance_uuid("other");
    let content = client.call("RetrieveServiceContent", "ServiceInstance", "ServiceInstance", "");
    assert_eq!(
        content.child("returnval").unwrap().child("about").unwrap().child_text("instanceUuid"),
        "other"
    );
}

#[test]
fn a_vcenter_comes_back_at_its_address_with_its_history() {
    let mut simulator = start();
    simulator.push(power_on(1));
    let mut client = Client::login(&simulator);
    simulator.take_down();
    assert!(client.try_call("CurrentTime", "ServiceInstance", "ServiceInstance", "").is_err());
    simulator.bring_up().unwrap();
    assert_eq!(client.read_fault("x").as_deref(), Some("NotAuthenticated"));
    let mut client = Client::login(&simulator);
    let collector = client.collector("");
    assert_eq!(client.read(&collector, 9), [1]);
}

#[test]
fn an_idle_session_ends() {
    let settings = Settings { session_idle_max: Duration::ZERO, ..Settings::default() };
    let simulator = Simulator::start(settings).unwrap();
    let mut client = Client::login(&simulator);
    assert_eq!(client.read_fault("x").as_deref(), Some("NotAuthenticated"));
    assert_eq!(simulator.counts().sessions_ended, 1);
}
