use jiff::Timestamp;

use super::json::{BrokenEvent, Page, PageEntry, VimEvent, convert_page};
use super::{Anomaly, AnomalyKind};
use crate::limits::{ANOMALY_NAME_BYTES_MAX, EVENT_ANOMALIES_MAX, OBJECT_MEMBERS_MAX, XML_DEPTH_MAX};

fn page(events: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>\n\
         <ReadNextEventsResponse xmlns=\"urn:vim25\">{events}</ReadNextEventsResponse>\n\
         </soapenv:Body>\n</soapenv:Envelope>"
    )
}

fn event(class: &str, key: i64, members: &str) -> String {
    format!(
        "<returnval xsi:type=\"{class}\"><key>{key}</key><chainId>{key}</chainId>\
         <createdTime>2021-03-10T05:21:22.413999Z</createdTime><userName>root</userName>\
         {members}</returnval>"
    )
}

fn convert(events: &str) -> Vec<PageEntry> {
    convert_page(page(events).as_bytes()).unwrap()
}

fn only(events: &str) -> VimEvent {
    match convert(events).pop() {
        Some(PageEntry::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn event_of_a_virtual_machine() {
    let vm = "<vm><name>t</name><vm type=\"VirtualMachine\">vm-56</vm></vm>";
    let event = only(&event("VmPoweredOnEvent", -3, vm));
    assert_eq!(event.class, "VmPoweredOnEvent");
    assert_eq!(event.key, -3);
    assert_eq!(event.created, "2021-03-10T05:21:22.413999Z".parse().unwrap());
    assert_eq!(event.object.as_deref(), Some("vm-56"));
    let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
    assert_eq!(data["Key"], -3);
    assert_eq!(data["Vm"]["Vm"]["Value"], "vm-56");
}

#[test]
fn broken_event_leaves_the_others() {
    let events = [
        event("VmPoweredOnEvent", 1, ""),
        event("VmPoweredOnEvent", 2, "<vm><name></vm>"),
        "<returnval><key>3</key></returnval>".to_owned(),
        event("VmPoweredOnEvent", 4, ""),
    ];
    let entries = convert(&events.concat());
    assert!(matches!(&entries[0], PageEntry::Event(e) if e.key == 1));
    let PageEntry::Broken(broken) = &entries[1] else { panic!() };
    assert_eq!((broken.key, broken.created.is_some()), (Some(2), true));
    assert_eq!(broken.raw, events[1].as_bytes());
    let PageEntry::Broken(broken) = &entries[2] else { panic!() };
    assert_eq!(broken.reason, "the event has no valid createdTime");
    assert_eq!(broken.raw, events[2].as_bytes());
    assert!(matches!(&entries[3], PageEntry::Event(e) if e.key == 4));
    assert_eq!(entries.len(), 4);
}

#[test]
fn any_prefix_and_nested_declarations() {
    let text = "<S:Envelope xmlns:S='http://schemas.xmlsoap.org/soap/envelope/'><S:Header/>\
        <S:Body><v:ReadNextEventsResponse xmlns:v='urn:vim25'><!-- c --><v:returnval \
        xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:type='v:AlarmEvent'>\
        <v:key>7</v:key><v:createdTime>2021-03-10T05:21:22+02:00</v:createdTime>\
        </v:returnval></v:ReadNextEventsResponse></S:Body></S:Envelope>";
    let entries = convert_page(text.as_bytes()).unwrap();
    assert!(matches!(&entries[..], [PageEntry::Event(e)] if e.class == "AlarmEvent"));
}

#[test]
fn unusable_pages() {
    let whole = page(&event("VmPoweredOnEvent", 1, ""));
    for cut in [0, 1, 50, 300, 400, whole.len() - 20, whole.len() - 1] {
        assert!(convert_page(&whole.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
    let fault = whole.replace("ReadNextEventsResponse", "Fault");
    assert!(convert_page(fault.as_bytes()).is_err());
    assert!(convert_page(b"<html><body>502</body></html>").is_err());
    assert_eq!(convert(""), []);
    assert_eq!(convert(" <!-- nothing -->\n"), []);
    for (name, answer) in [
        ("CurrentTimeResponse", page("").replace("ReadNextEventsResponse", "CurrentTimeResponse")),
        ("ReadPreviousEventsResponse", page(&event("VmPoweredOnEvent", 1, "")).replace("Next", "Previous")),
        ("ReadNextEvents>", page("").replace("ReadNextEventsResponse", "ReadNextEvents")),
        ("html", page("").replace("ReadNextEventsResponse", "html")),
        ("text", page("Service Unavailable")),
        ("html", page("<html><body>502</body></html>")),
        ("Returnval", page("<Returnval><key>1</key></Returnval>")),
    ] {
        let error = convert_page(answer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(name), "{answer}: {error}");
    }
}

#[test]
fn text_of_all_kinds() {
    let text = "<fullFormattedMessage>a&lt;b<![CDATA[<&\r\n]]><!-- no -->&#x41;&#8;\u{1}&nbsp; & \
        \u{2028}\"\\</fullFormattedMessage>";
    let event = only(&event("VmPoweredOnEvent", 1, text));
    let data = String::from_utf8(event.data).unwrap();
    let expected = "\"FullFormattedMessage\":\"a\\u003cb\\u003c\\u0026\\nA\u{fffd}\u{fffd}\
        \\u0026nbsp; \\u0026 \\u2028\\\"\\\\\"";
    assert!(data.contains(expected), "{data}");
}

fn data(event: &VimEvent) -> serde_json::Value {
    serde_json::from_slice(&event.data).unwrap()
}

fn text(event: &VimEvent) -> &str {
    std::str::from_utf8(&event.data).unwrap()
}

fn anomaly(kind: AnomalyKind, name: &str) -> Anomaly {
    Anomaly { kind, name: name.into() }
}

/// All members of the base class, as they are when nothing else is said.
const BASE: &str = r#"{"Key":1,"ChainId":1,"CreatedTime":"2021-03-10T05:21:22.413999Z","UserName":"root","Datacenter":null,"ComputeResource":null,"Host":null,"Vm":null,"Ds":null,"Net":null,"Dvs":null,"FullFormattedMessage":"","ChangeTag":"""#;

#[test]
fn absent_members_are_null_empty_or_zero() {
    let event = only(&event("VmPoweredOnEvent", 1, ""));
    assert_eq!(text(&event), format!("{BASE},\"Template\":false}}"));
    assert_eq!(event.object, None);
}

#[test]
fn unknown_class_keeps_the_base_and_adds_what_came() {
    let own = "<flag>true</flag><item type=\"ContentLibraryItem\">urn:1</item><part>a</part><part>b</part>\
        <deep><inner xsi:type=\"xsd:int\">7</inner><none/></deep><key2 xsi:type=\"KeyValue\"><key>k</key></key2>";
    let event = only(&event("FooEvent", 1, own));
    assert_eq!(event.class, "FooEvent");
    let expected = format!(
        "{BASE},\"Flag\":\"true\",\"Item\":{{\"Type\":\"ContentLibraryItem\",\"Value\":\"urn:1\"}},\
         \"Part\":[\"a\",\"b\"],\"Deep\":{{\"Inner\":7,\"None\":\"\"}},\"Key2\":{{\"Key\":\"k\",\"Value\":\"\"}}}}"
    );
    assert_eq!(text(&event), expected);
    assert_eq!(event.anomalies[0], anomaly(AnomalyKind::Class, "FooEvent"));
    assert_eq!(event.anomalies[1], anomaly(AnomalyKind::Member, "Event.flag"));
}

#[test]
fn event_without_a_class_is_an_event() {
    let plain = event("X", 1, "").replace(" xsi:type=\"X\"", "");
    let event = only(&plain);
    assert_eq!((event.class.as_str(), text(&event)), ("Event", format!("{BASE}}}").as_str()));
    assert_eq!(event.anomalies, []);
}

#[test]
fn event_class_and_reference_that_other_clients_refuse() {
    let spec = "<hostSubSpec><name>n</name><createdTime>2021-03-10T05:21:22Z</createdTime>\
        <data>AQ==</data></hostSubSpec>";
    let update = only(&event("HostSubSpecificationUpdateEvent", 1, spec));
    assert_eq!(data(&update)["HostSubSpec"]["Name"], "n");
    assert_eq!(data(&update)["HostSubSpec"]["Data"], "QVE9PQ==");
    let entity = "<source><name>i</name><entity type=\"ContentLibraryItem\">urn:1</entity></source>";
    let alarm = only(&event("AlarmStatusChangedEvent", 1, entity));
    assert_eq!(data(&alarm)["Source"]["Entity"]["Type"], "ContentLibraryItem");
    assert_eq!((update.anomalies, alarm.anomalies), (vec![], vec![]));
}

#[test]
fn members_of_the_future_stand_behind_the_known() {
    let event = only(&event(
        "VmPoweredOnEvent",
        1,
        "<soon>1</soon><template>true</template><soon>2</soon><vm><name>n</name><later/></vm>",
    ));
    let vm = r#""Vm":{"Name":"n","Vm":{"Type":"","Value":""},"Later":""}"#;
    let expected = format!("{BASE},\"Template\":true,\"Soon\":[\"1\",\"2\"]}}").replace("\"Vm\":null", vm);
    assert_eq!(text(&event), expected);
    let anomalies = ["VmPoweredOnEvent.soon", "VmEventArgument.later"];
    assert_eq!(event.anomalies, anomalies.map(|name| anomaly(AnomalyKind::Member, name)));
}

#[test]
fn members_newer_than_the_go_router_have_their_kinds() {
    let info = "<info><key>task-1</key><progressDetails><key>a</key><value xsi:type=\"xsd:long\">5</value>\
        </progressDetails><activationId>x</activationId></info>";
    let event = only(&event("TaskEvent", 1, info));
    let behind = text(&event).split_once("\"RootTaskKey\"").unwrap().1;
    assert_eq!(behind, r#":"","ActivationId":"x","ProgressDetails":[{"Key":"a","Value":5}]}}"#);
    assert_eq!(event.anomalies, []);
}

#[test]
fn members_in_any_order_and_twice() {
    let event = only(&event(
        "EventEx",
        1,
        "<message>m</message><arguments><key>a</key></arguments><severity>info</severity>\
         <arguments><key>b</key></arguments><eventTypeId>x.y</eventTypeId><message>n</message>",
    ));
    let own = r#","EventTypeId":"x.y","Severity":"info","Message":["m","n"],"Arguments":[{"Key":"a","Value":null},{"Key":"b","Value":null}],"ObjectId":"","ObjectType":"","ObjectName":"","Fault":null}"#;
    assert_eq!(text(&event), format!("{BASE}{own}"));
    assert_eq!(event.event_type_id.as_deref(), Some("x.y"));
    assert_eq!(event.anomalies, [anomaly(AnomalyKind::Value, "EventEx.message")]);
}

#[test]
fn names_that_print_alike_print_once() {
    let event = only(&event("VmEvent", 1, "<Template>true</Template><new>1</new><New>2</New><Vm/>"));
    let vm = r#""Vm":{"Name":"","Vm":{"Type":"","Value":""}}"#;
    let expected = format!("{BASE},\"Template\":true,\"New\":[\"1\",\"2\"]}}").replace("\"Vm\":null", vm);
    assert_eq!(text(&event), expected);
}

#[test]
fn unknown_types_of_members_keep_what_they_hold() {
    let fault = "<fault><fault xsi:type=\"FooFault\"><faultMessage><key>k</key></faultMessage><own>1</own></fault>\
        <localizedMessage>l</localizedMessage></fault>";
    let arguments = "<arguments><key>a</key><value xsi:type=\"Bar\"><x>1</x></value></arguments>\
        <arguments><key>b</key><value xsi:type=\"BarState\">on</value></arguments>\
        <arguments><key>c</key><value>bare</value></arguments>\
        <arguments><key>d</key><value xsi:type=\"ArrayOfString\"><string>s</string></value></arguments>\
        <arguments><key>e</key><value xsi:type=\"ArrayOfHostSystemResource\"><y/></value></arguments>\
        <arguments><key>f</key><value xsi:type=\"ArrayOfKeyValue\"><KeyValue><key>k</key></KeyValue></value></arguments>";
    let event = only(&event("EventEx", 1, &format!("{arguments}{fault}")));
    let data = data(&event);
    let values: Vec<String> =
        data["Arguments"].as_array().unwrap().iter().map(|argument| argument["Value"].to_string()).collect();
    let expected = [
        r#"{"X":"1"}"#,
        r#""on""#,
        r#""bare""#,
        r#"{"String":["s"]}"#,
        r#"{"Y":""}"#,
        r#"{"KeyValue":[{"Key":"k","Value":""}]}"#,
    ];
    assert_eq!(values, expected);
    assert_eq!(data["Fault"]["Fault"]["FaultMessage"][0]["Key"], "k");
    assert_eq!(data["Fault"]["Fault"]["Own"], "1");
    assert_eq!(data["Fault"]["LocalizedMessage"], "l");
    let anomalies =
        ["Bar", "ArrayOfHostSystemResource", "FooFault"].map(|name| anomaly(AnomalyKind::Type, name));
    assert!(anomalies.iter().all(|anomalies| event.anomalies.contains(anomalies)), "{:?}", event.anomalies);
}

#[test]
fn values_that_their_members_should_not_have() {
    let own = "<template>maybe</template><host>text</host><ds><name><b>1</b></name></ds>\
        <fullFormattedMessage><p>a</p><p>b</p></fullFormattedMessage>";
    let event = only(&event("VmPoweredOnEvent", 1, own));
    let data = data(&event);
    assert_eq!(data["Template"], "maybe");
    assert_eq!(data["Host"], "text");
    assert_eq!(data["Ds"]["Name"], serde_json::json!({"B": "1"}));
    assert_eq!(data["FullFormattedMessage"], serde_json::json!({"P": ["a", "b"]}));
    assert!(
        event.anomalies.iter().all(|anomalies| anomalies.kind == AnomalyKind::Value)
            && event.anomalies.len() == 4
    );
}

#[test]
fn object_is_the_most_telling_one() {
    let about =
        |name: &str, id: &str| format!("<{name}><name>n</name><{name} type=\"T\">{id}</{name}></{name}>");
    let all = ["datacenter", "computeResource", "host", "vm", "ds", "net", "dvs"];
    for (best, expected) in [(7, "vm"), (3, "host"), (2, "computeResource"), (1, "datacenter")] {
        let members: String = all[..best].iter().map(|name| about(name, name)).collect();
        assert_eq!(only(&event("VmEvent", 1, &members)).object.as_deref(), Some(expected));
    }
    let storage: String = all[4..].iter().map(|name| about(name, name)).collect();
    assert_eq!(only(&event("Event", 1, &storage)).object.as_deref(), Some("ds"));
    let by_id = "<objectId>host-9</objectId>";
    assert_eq!(only(&event("EventEx", 1, by_id)).object.as_deref(), Some("host-9"));
    let both = format!("{}{by_id}", about("vm", "vm-1"));
    assert_eq!(only(&event("EventEx", 1, &both)).object.as_deref(), Some("vm-1"));
}

#[test]
fn large_events() {
    let arguments =
        "<arguments><key>k</key><value xsi:type=\"xsd:string\">v</value></arguments>".repeat(10_000);
    let wide = only(&event("EventEx", 1, &arguments));
    assert_eq!(data(&wide)["Arguments"].as_array().unwrap().len(), 10_000);
    let message = "é&lt;x".repeat(1_000_000);
    let long = only(&event("EventEx", 1, &format!("<fullFormattedMessage>{message}</fullFormattedMessage>")));
    assert_eq!(data(&long)["FullFormattedMessage"].as_str().unwrap().len(), 4_000_000);
}

#[test]
fn what_is_no_text_is_replaced() {
    let mut body =
        page(&event("VmPoweredOnEvent", 1, "<changeTag>a#b\u{1}&#x2;&#xD800;\u{b}</changeTag>")).into_bytes();
    let at = body.iter().position(|byte| *byte == b'#').unwrap();
    body[at] = 0xff;
    let Some(PageEntry::Event(event)) = convert_page(&body).unwrap().pop() else { panic!() };
    assert_eq!(data(&event)["ChangeTag"], "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
}

#[test]
fn too_much_of_anything_breaks_only_its_event() {
    let deep = format!("{}{}", "<a>".repeat(XML_DEPTH_MAX), "</a>".repeat(XML_DEPTH_MAX));
    let wide: String = (0..=OBJECT_MEMBERS_MAX).map(|n| format!("<m{n}/>")).collect();
    let many: String = (0..50).map(|n| format!("<m{n}/>")).collect();
    let name = "n".repeat(10_000);
    let bodies = [&deep, &wide, &many, &format!("<{name}/>"), &format!("<a></{name}>"), ""];
    let events: String = bodies.iter().map(|own| event("VmPoweredOnEvent", 1, own)).collect();
    let entries = convert(&events);
    let reasons: Vec<String> = entries.iter().map(|entry| reason(entry).to_string()).collect();
    assert_eq!(reasons[0], format!("elements are nested deeper than {XML_DEPTH_MAX}"));
    assert_eq!(reasons[1], format!("an object has more than {OBJECT_MEMBERS_MAX} unusual members"));
    assert!(reasons[4].starts_with("the element \"a\" ends with \"nnn") && reasons[4].len() < 200);
    let PageEntry::Event(many) = &entries[2] else { panic!("{}", reasons[2]) };
    assert_eq!(many.anomalies.len(), EVENT_ANOMALIES_MAX);
    let PageEntry::Event(named) = &entries[3] else { panic!("{}", reasons[3]) };
    assert_eq!(named.anomalies[0].name.len(), ANOMALY_NAME_BYTES_MAX);
    assert!(matches!(entries[5], PageEntry::Event(_)));
}

fn reason(entry: &PageEntry) -> &str {
    match entry {
        PageEntry::Broken(BrokenEvent { reason, .. }) => reason,
        PageEntry::Event(_) => "",
    }
}

#[test]
fn one_of_a_hundred_is_broken() {
    for broken in [
        "<returnval><key>x</key>",
        "<returnval><!-- </returnval> --><![CDATA[</returnval>]]></vm>",
        "<returnval><a><returnval>inner</returnval></b></a>",
        "<returnval><",
        "<returnval></>",
    ] {
        let mut events: Vec<String> = (0..100).map(|key| event("VmPoweredOnEvent", key, "")).collect();
        events[50] = format!("{broken}</returnval>");
        let entries = convert(&events.concat());
        assert!(reason(&entries[50]).len() > 5, "{broken}");
        let delivered = entries.iter().filter(|entry| matches!(entry, PageEntry::Event(_))).count();
        assert_eq!((entries.len(), delivered), (100, 99), "{broken}");
    }
}

#[test]
fn keys_and_times_that_are_none() {
    let sound = event("VmPoweredOnEvent", 7, "");
    for (from, to, expected) in [
        ("<key>7</key>", "", "the event has no valid key"),
        ("<key>7</key>", "<key>seven</key>", "the event has no valid key"),
        ("<key>7</key>", "<key><a/></key>", "the event has no valid key"),
        ("<key>7</key>", "<key/>", "the event has no valid key"),
        ("<key>7</key>", "<key></key>", "the event has no valid key"),
        ("<key>7</key>", "<key><!-- --></key>", "the event has no valid key"),
        ("<key>7</key>", "<key> </key>", "the event has no valid key"),
        ("<key>7</key>", "<userName/><key/>", "the event has no valid key"),
        ("2021-03-10T05", "2021-13-10T05", "the event has no valid createdTime"),
        ("22.413999Z", "22.413999+0200", "the event has no valid createdTime"),
        ("<createdTime>", "<createdTime/><createdTime>-", "the event has no valid createdTime"),
    ] {
        let entries = convert(&sound.replace(from, to));
        assert_eq!(reason(&entries[0]), expected, "{to}");
    }
    assert_eq!(only(&event("VmPoweredOnEvent", -2147483648, "")).key, -2147483648);
}

#[test]
fn times_as_other_writers_have_them() {
    for (written, meant) in [
        ("2021-03-10T05:21:22", "2021-03-10T05:21:22Z"),
        ("\n 2021-03-10T05:21:22Z ", "2021-03-10T05:21:22Z"),
        ("2021-03-10T24:00:00Z", "2021-03-11T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2021-03-10t05:21:22z", "2021-03-10T05:21:22Z"),
        ("2021-03-10T05:21:22+14:00", "2021-03-09T15:21:22Z"),
    ] {
        let event = only(&event("VmPoweredOnEvent", 1, "").replace("2021-03-10T05:21:22.413999Z", written));
        assert_eq!(event.created, meant.parse().unwrap(), "{written}");
        let printed: Timestamp = data(&event)["CreatedTime"].as_str().unwrap().parse().unwrap();
        assert_eq!(printed, event.created, "{written}");
    }
}

/// What a scan takes that begins anew at each place: a page of four times the length takes 16 times
/// the steps, and not 4.
#[test]
fn broken_markup_takes_time_by_its_length() {
    let units = [
        "<returnval><",
        "<returnval></b></returnval>",
        "<returnval>\"<z \"</returnval>",
        "<returnval>'<z '</returnval>",
        "<returnval><z y=\"</returnval>\"/>",
        "<returnval><?x </returnval>",
        "<returnval><!DOCTYPE [ </returnval>",
        "<returnval><!-- </returnval>",
        "<returnval><a b=\"<!--\"/></b></returnval>",
        "<returnval><![CDATA[</returnval>",
        "<returnval \"> \"<z </returnval>",
        "<returnval><key></returnval>",
        "<returnval>&</returnval>",
        "<",
        "<a",
        "<returnval ",
        "</",
        "<a:",
        "<!",
        "<?",
        "&",
        "<!--",
        "<a \"",
    ];
    for unit in units {
        let tails = ["", "> --> ]]> ?> </returnval>", " \" ' >", "--></returnval>"];
        for (head, tail) in ["", "<returnval></b>"].iter().flat_map(|head| tails.map(|tail| (head, tail))) {
            let steps = |count: usize| {
                let text = page(&format!("{head}{}{tail}", unit.repeat(count)));
                let mut page = Page::new(&text);
                let _ = page.entries();
                (page.steps, text.len())
            };
            let ((few, _), (many, length)) = (steps(2_000), steps(8_000));
            assert!(
                many <= 5 * few.max(length / 4) && many <= 8 * length,
                "{head}{unit}{tail}: {few} {many}"
            );
        }
    }
}

#[test]
fn namespaces_without_end_break_only_their_event() {
    let many: String = (0..100).map(|n| format!(" xmlns:p{n}='u'")).collect();
    let sound = event("VmPoweredOnEvent", 1, "");
    let broken = event("VmPoweredOnEvent", 2, &format!("<vm{many}><name/></vm>"));
    let entries = convert(&format!("{sound}{broken}{sound}"));
    assert!(matches!(&entries[0], PageEntry::Event(event) if event.key == 1));
    assert!(reason(&entries[1]).starts_with("more than 64 namespaces"), "{}", reason(&entries[1]));
    assert!(matches!(&entries[2], PageEntry::Event(event) if event.key == 1));
}

#[test]
fn types_under_any_prefix() {
    let class = |attributes: &str| {
        let plain = event("X", 1, "").replace(" xsi:type=\"X\"", &format!(" {attributes}"));
        only(&plain).class
    };
    let declared = "xmlns:i='http://www.w3.org/2001/XMLSchema-instance'";
    assert_eq!(class(&format!("i:type='AlarmEvent' {declared}")), "AlarmEvent");
    assert_eq!(class(&format!("{declared} o:type='Wrong' i:type = \"vim25:AlarmEvent\"")), "AlarmEvent");
    assert_eq!(class(&format!("i:type='AlarmEvent' o:type='Wrong' {declared}")), "AlarmEvent");
    assert_eq!(class("xmlns:xsi='urn:other' xsi:type='Wrong'"), "Event");
    assert_eq!(class("type='Wrong'"), "Event");
}

#[test]
fn white_space_comments_and_empty_elements() {
    let spaced = event("VmPoweredOnEvent", 1, "<vm>\n <name> n </name>\n <vm type='V'/></vm><host/>")
        .replace("<key>1</key>", "<key> 1<!-- one --></key>")
        .replace("><", ">\n<?pi?><!-- < & -->\n<");
    let event = only(&spaced);
    assert_eq!(event.key, 1);
    let data = data(&event);
    assert_eq!(data["Vm"], serde_json::json!({"Name": " n ", "Vm": {"Type": "V", "Value": ""}}));
    assert_eq!(data["Host"], serde_json::json!({"Name": "", "Host": {"Type": "", "Value": ""}}));
    assert_eq!(event.anomalies, []);
}

#[test]
fn byte_order_marks_anywhere_are_no_reason_to_stop() {
    let mark = '\u{feff}';
    let sound = event("VmPoweredOnEvent", 1, &format!("<vm>{mark}<name>{mark}n</name></vm>"));
    let marked = sound.replacen('>', &format!(">{mark}"), 1);
    let broken = format!("<returnval>{mark}<a></returnval>");
    for begin in [String::new(), mark.to_string(), format!("{mark}{mark}"), format!("{mark}{mark}{mark}")] {
        let page = page(&format!("{sound}{broken}{mark}{marked}{broken}{mark}<x/>{marked}"));
        let page = page.trim_start_matches(|c| c != '\n').to_owned();
        let entries = convert_page(format!("{begin}{page}").as_bytes()).unwrap();
        let sound = entries.iter().filter(|entry| reason(entry).is_empty()).count();
        assert_eq!((entries.len(), sound), (5, 3), "{entries:?}");
        let _ = convert_page(format!("{begin}<retu/nv9l>{mark}").as_bytes());
        let _ = convert_page(format!("{begin}<a{mark}/>").as_bytes());
    }
}
