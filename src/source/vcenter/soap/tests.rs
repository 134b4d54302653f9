use super::*;

fn object(ty: &str, value: &str) -> Reference {
    Reference { ty: ty.into(), value: value.into() }
}

fn envelope(body: &str) -> Vec<u8> {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"#
    )
    .into_bytes()
}

fn answered(body: &str) -> Node {
    content(&envelope(body)).unwrap()
}

fn body_of(envelope: Envelope) -> String {
    let text = String::from_utf8(envelope.text).unwrap();
    let start = text.find("<soapenv:Body>").unwrap() + "<soapenv:Body>".len();
    text[start..].strip_suffix("</soapenv:Body></soapenv:Envelope>").unwrap().to_string()
}

#[test]
fn requests_keep_the_order_of_the_schema() {
    let folder = object("Folder", "group-d1");
    let types = ["VmPoweredOnEvent".to_string(), "com.vmware.vc.A&B".to_string()];
    let filter = EventFilter {
        entity: &folder,
        begin: "2021-03-10T05:21:22.413999Z".parse().unwrap(),
        end: Some("2021-03-10T06:00:00Z".parse().unwrap()),
        types: &types,
    };
    assert_eq!(
        body_of(create_event_collector(&object("EventManager", "EventManager"), &filter)),
        concat!(
            r#"<CreateCollectorForEvents xmlns="urn:vim25"><_this type="EventManager">EventManager</_this>"#,
            r#"<filter><entity><entity type="Folder">group-d1</entity><recursion>all</recursion></entity>"#,
            "<time><beginTime>2021-03-10T05:21:22.413999Z</beginTime><endTime>2021-03-10T06:00:00Z</endTime></time>",
            "<eventTypeId>VmPoweredOnEvent</eventTypeId><eventTypeId>com.vmware.vc.A&amp;B</eventTypeId>",
            "</filter></CreateCollectorForEvents>"
        )
    );
    assert_eq!(
        body_of(create_filter(
            &object("PropertyCollector", "session[1]2"),
            &object("EventHistoryCollector", "session[1]3"),
            "latestPage"
        )),
        concat!(
            r#"<CreateFilter xmlns="urn:vim25"><_this type="PropertyCollector">session[1]2</_this>"#,
            "<spec><propSet><type>EventHistoryCollector</type><pathSet>latestPage</pathSet></propSet>",
            r#"<objectSet><obj type="EventHistoryCollector">session[1]3</obj></objectSet></spec>"#,
            "<partialUpdates>false</partialUpdates></CreateFilter>"
        )
    );
    assert_eq!(
        body_of(wait_for_updates(&object("PropertyCollector", "p"), "", 60)),
        concat!(
            r#"<WaitForUpdatesEx xmlns="urn:vim25"><_this type="PropertyCollector">p</_this>"#,
            "<version></version><options><maxWaitSeconds>60</maxWaitSeconds></options></WaitForUpdatesEx>"
        )
    );
    assert_eq!(
        body_of(read_next_events(&object("EventHistoryCollector", "c"), 1000)),
        concat!(
            r#"<ReadNextEvents xmlns="urn:vim25"><_this type="EventHistoryCollector">c</_this>"#,
            "<maxCount>1000</maxCount></ReadNextEvents>"
        )
    );
}

#[test]
fn every_printable_secret_reaches_the_server_unchanged() {
    let hard = "  DOMAIN\\u u@d $&<>\"'%*\r\n\t äöü €😀 ]]> ";
    let all: String = (' '..='~').collect();
    for secret in [hard, &all] {
        let envelope = login(&object("SessionManager", "SessionManager"), secret, secret);
        let sent = content(&envelope.text).unwrap();
        assert_eq!(sent.name, "Login");
        assert_eq!(sent.child("userName").unwrap().text, secret);
        assert_eq!(sent.child("password").unwrap().text, secret);
    }
}

#[test]
fn service_content_is_read_with_any_prefix() {
    for prefix in ["", "vim25:"] {
        let p = prefix;
        let node = answered(&format!(
            r#"<{p}RetrieveServiceContentResponse xmlns="urn:vim25" xmlns:vim25="urn:vim25"><{p}returnval>
            <{p}rootFolder type="Folder">group-d1</{p}rootFolder>
            <{p}propertyCollector type="PropertyCollector">propertyCollector</{p}propertyCollector>
            <{p}about><{p}fullName>VMware vCenter Server 8.0.3 &amp; more</{p}fullName><{p}apiVersion>8.0.3.0</{p}apiVersion>
            <{p}instanceUuid>dbed6e0c</{p}instanceUuid></{p}about>
            <{p}sessionManager type="SessionManager">SessionManager</{p}sessionManager>
            <{p}eventManager type="EventManager">EventManager</{p}eventManager>
            </{p}returnval></{p}RetrieveServiceContentResponse>"#
        ));
        let content = service_content(&node).unwrap();
        assert_eq!(content.root_folder, object("Folder", "group-d1"));
        assert_eq!(content.event_manager, object("EventManager", "EventManager"));
        assert_eq!(content.full_name, "VMware vCenter Server 8.0.3 & more");
        assert_eq!(content.api_version, "8.0.3.0");
        assert_eq!(content.instance_uuid, "dbed6e0c");
    }
    let node = answered(
        "<RetrieveServiceContentResponse><returnval><about/></returnval></RetrieveServiceContentResponse>",
    );
    let lacks = Error::new("the answer lacks rootFolder");
    assert_eq!(service_content(&node).unwrap_err(), AnswerError::Garbled(lacks));
    for (about, what) in [
        (
            "<fullName>VMware ESXi 8.0.2 build-1</fullName><apiType>HostAgent</apiType>",
            "an ESXi host, VMware ESXi 8.0.2",
        ),
        (
            "<fullName>VMware Server 2.0</fullName><apiType>HostAgent2</apiType>",
            "VMware Server 2.0 of the kind HostAgent2",
        ),
        ("<apiType>X</apiType>", "a server without a name of the kind X"),
    ] {
        let node = answered(&format!(
            "<RetrieveServiceContentResponse><returnval><about>{about}</about></returnval></RetrieveServiceContentResponse>"
        ));
        match service_content(&node).unwrap_err() {
            AnswerError::NotVcenter(said) => {
                assert!(said.starts_with(what) && said.ends_with("(the answer lacks rootFolder)"), "{said}");
            }
            error => panic!("{error:?}"),
        }
    }
    let other = answer(&envelope("<CurrentTimeResponse/>"), "Login").unwrap_err();
    assert_eq!(other, AnswerError::Garbled(Error::new("it is <CurrentTimeResponse>, no answer to Login")));
    assert!(
        answer(&envelope("<LoginResponse/>"), "Login").is_ok()
            && answer(&envelope("<Login/>"), "Login").is_err()
    );
}

#[test]
fn faults_are_told_by_their_type() {
    for (detail, ty, subject) in [
        (
            r#"<NotAuthenticatedFault xmlns="urn:vim25" xsi:type="NotAuthenticated"><privilegeId>System.View</privilegeId></NotAuthenticatedFault>"#,
            "NotAuthenticated",
            "System.View",
        ),
        (
            r#"<Fault xmlns:v="urn:vim25" xsi:type="v:ManagedObjectNotFound"><obj type="EventHistoryCollector">x</obj></Fault>"#,
            "ManagedObjectNotFound",
            "",
        ),
        (
            r#"<InvalidArgumentFault i:type="vim25:InvalidArgument" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><invalidProperty>eventTypeId</invalidProperty></InvalidArgumentFault>"#,
            "InvalidArgument",
            "eventTypeId",
        ),
        ("<SomethingFault/>", "", ""),
        ("", "", ""),
    ] {
        let body = envelope(&format!(
            "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>Die Sitzung ist nicht authentifiziert.</faultstring><detail>{detail}</detail></soapenv:Fault>"
        ));
        let Err(AnswerError::Fault(fault)) = content(&body) else { panic!("{detail}") };
        assert_eq!((fault.ty.as_str(), fault.subject.as_str()), (ty, subject));
        assert_eq!(fault.message, "Die Sitzung ist nicht authentifiziert.");
    }
}

#[test]
fn what_is_not_soap_says_what_it_is() {
    for (body, said) in [
        (
            "<!DOCTYPE html><html><head><title> Welcome to\nnginx! </title></head>",
            "an HTML page titled \"Welcome to nginx!\"",
        ),
        ("\u{feff}\n<HTML><body>It works", "an HTML page"),
        ("", "an empty body"),
        ("Failed to connect to endpoint", "the text \"Failed to connect to endpoint\""),
        ("<rss><channel/></rss>", "an XML document <rss>"),
    ] {
        assert_eq!(content(body.as_bytes()), Err(AnswerError::NotSoap(said.into())));
    }
}

#[test]
fn gzip_that_was_not_asked_for_is_named() {
    let said = "data compressed by gzip, which was not asked for";
    assert_eq!(content(&[0x1f, 0x8b, 8, 0]), Err(AnswerError::NotSoap(said.into())));
}

#[test]
fn every_truncation_of_an_answer_is_reported() {
    let whole = envelope(
        r#"<CurrentTimeResponse xmlns="urn:vim25"><returnval>2021-03-10T05:21:22.4Z</returnval></CurrentTimeResponse>"#,
    );
    for end in 1..whole.len() {
        let error = content(&whole[..end]).unwrap_err();
        assert!(matches!(error, AnswerError::Garbled(_)), "{end}: {error:?}");
    }
    assert_eq!(time(&content(&whole).unwrap()).unwrap().to_string(), "2021-03-10T05:21:22.4Z");
}

#[test]
fn times_with_and_without_offset() {
    for (text, time) in [
        ("2021-03-10T05:21:22.413999Z", Some("2021-03-10T05:21:22.413999Z")),
        ("2021-03-10T05:21:22.413999123+01:00", Some("2021-03-10T04:21:22.413999123Z")),
        ("2021-03-10T05:21:22", Some("2021-03-10T05:21:22Z")),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(parse_time(text).map(|time| time.to_string()).as_deref(), time, "{text}");
    }
}

#[test]
fn updates_say_whether_something_changed() {
    let quiet = answered("<WaitForUpdatesExResponse/>");
    assert_eq!(updates(&quiet), Ok(None));

    let event = |key: i64, second: u32| {
        format!(
            r#"<Event xsi:type="FooEventOfTheFuture"><key>{key}</key><createdTime>2021-03-10T05:21:{second:02}Z</createdTime><x><key>9</key></x></Event>"#
        )
    };
    let node = answered(&format!(
        r#"<WaitForUpdatesExResponse><returnval><version>7</version><filterSet><filter type="PropertyFilter">f</filter><objectSet>
        <kind>modify</kind><obj type="EventHistoryCollector">c</obj><changeSet><name>latestPage</name><op>assign</op>
        <val xsi:type="ArrayOfEvent">{}{}{}</val></changeSet></objectSet></filterSet><truncated>true</truncated></returnval></WaitForUpdatesExResponse>"#,
        event(8, 1),
        event(-5, 3),
        event(7, 2)
    ));
    let update = updates(&node).unwrap().unwrap();
    assert_eq!((update.version.as_str(), update.changed), ("7", true));
    let latest = update.latest.unwrap();
    assert_eq!(latest.key, -5, "the newest by time: keys are opaque and the page is unordered");
    assert_eq!(latest.created, parse_time("2021-03-10T05:21:03Z"));

    let empty = answered(
        "<WaitForUpdatesExResponse><returnval><version>8</version></returnval></WaitForUpdatesExResponse>",
    );
    assert!(!updates(&empty).unwrap().unwrap().changed);
}

#[test]
fn a_fault_inside_a_missing_set_is_a_fault() {
    let missing = r#"<missingSet><path>latestEvent</path><fault><fault xsi:type="NotAuthenticated"><privilegeId>System.View</privilegeId></fault><localizedMessage>Nein.</localizedMessage></fault></missingSet>"#;
    let node = answered(&format!(
        r#"<RetrievePropertiesExResponse><returnval><objects><obj type="EventManager">EventManager</obj>{missing}</objects></returnval></RetrievePropertiesExResponse>"#
    ));
    let Err(AnswerError::Fault(fault)) = latest_event(&node) else { panic!() };
    assert_eq!((fault.ty.as_str(), fault.message.as_str()), ("NotAuthenticated", "Nein."));

    let set = |inner: &str| {
        answered(&format!(
            "<WaitForUpdatesExResponse><returnval><version>1</version><filterSet>{inner}</filterSet></returnval></WaitForUpdatesExResponse>"
        ))
    };
    assert!(matches!(updates(&set(missing)), Err(AnswerError::Fault(_))));
    assert!(matches!(
        updates(&set(&format!("<objectSet>{missing}</objectSet>"))),
        Err(AnswerError::Fault(_))
    ));
}

#[test]
fn the_latest_event_is_read_leniently() {
    let result = |inner: &str| {
        answered(&format!(
            r#"<RetrievePropertiesExResponse><returnval><objects><obj type="EventManager">EventManager</obj>{inner}</objects></returnval></RetrievePropertiesExResponse>"#
        ))
    };
    let node = result(
        r#"<propSet><name>latestEvent</name><val xsi:type="ContentLibraryItem"><key>-7</key><createdTime>then</createdTime></val></propSet>"#,
    );
    let newest = |name: &str| Newest { event: Latest { key: -7, created: None }, name: name.into() };
    assert_eq!(latest_event(&node), Ok(Some(newest("ContentLibraryItem"))));
    let node = result(
        r#"<propSet><name>latestEvent</name><val xsi:type="EventEx"><key>-7</key><eventTypeId>esx.problem</eventTypeId></val></propSet>"#,
    );
    assert_eq!(latest_event(&node), Ok(Some(newest("esx.problem"))), "its class stands for many");
    let unknown = r#"<missingSet><path>latestEvent</path><fault><fault xsi:type="InvalidProperty"><name>latestEvent</name></fault></fault></missingSet>"#;
    assert_eq!(latest_event(&result(unknown)), Ok(None));
    assert_eq!(latest_event(&result("")), Ok(None));
}

#[test]
fn the_version_file_names_the_version_of_vim25() {
    let file = br#"<?xml version="1.0" encoding="UTF-8" ?><namespaces version="1.0">
        <namespace><name>urn:other</name><version>1.0</version></namespace>
        <namespace><name>urn:vim25</name><version>8.0.3.0</version><priorVersions><version>6.0</version></priorVersions></namespace>
        </namespaces>"#;
    assert_eq!(service_version(file).as_deref(), Some("8.0.3.0"));
    assert_eq!(service_version(b"<html>"), None);
    let evil =
        b"<namespaces><namespace><name>urn:vim25</name><version>8\r\nX: y</version></namespace></namespaces>";
    assert_eq!(service_version(evil), None, "it becomes part of a header");
}
