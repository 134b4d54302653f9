//! One example at least for every form that AWS's guide describes, and the known differences from
//! its engine.

use super::Answer::{self, Invalid, Match, NoMatch};

/// An instance changed its state: the event most examples are about.
const STATE: &str = r#"{"version":"0","id":"6a7e","detail-type":"Instance State-change","source":"acme.compute","account":"111122223333","time":"2026-05-04T10:11:12Z","region":"eu-central-1","resources":["arn:aws:x:eu-central-1:111122223333:instance/i-1","arn:aws:x:eu-central-1:111122223333:instance/i-2"],"detail":{"state":"Running","previous":"","user":null,"c-count":5,"d-count":3,"x-limit":301.8,"source-ip":"10.0.0.33","source-ip6":"2001:db8::33","path":"dir/2026/photo.png","ok":true,"tags":["blue","green"],"disks":[{"size":10,"type":"ssd"},{"size":500,"type":"hdd"}],"empty":[]}}"#;

/// The event of the first router's README: a CloudEvent as the detail.
const VM: &str = r#"{"detail-type":"VmPoweredOnEvent","source":"https://vc01.corp.local/sdk","detail":{"specversion":"1.0","id":"1","source":"https://vc01.corp.local/sdk","type":"com.vmware.event.router/event","subject":"VmPoweredOnEvent","data":{"Key":4711,"UserName":"CORP\\ann","Vm":{"Name":"web-01","Vm":{"Type":"VirtualMachine","Value":"vm-56"}},"Net":null,"Arguments":[{"Key":"reason","Value":"test"},{"Key":"ticket","Value":"42"}]}}}"#;

/// Pattern, event, and what EventBridge's documentation says about them.
pub const EXAMPLES: &[(&str, &str, Answer)] = &[
    // Exact values; all named fields, any alternative.
    (r#"{"source":["acme.compute"],"detail-type":["Instance State-change"]}"#, STATE, Match),
    (r#"{"source":["acme.compute"],"detail":{"state":["Stopped","Running"]}}"#, STATE, Match),
    (r#"{"source":["acme.compute"],"detail":{"state":["Stopped"]}}"#, STATE, NoMatch),
    (r#"{"source":["acme.storage"],"detail":{"state":["Running"]}}"#, STATE, NoMatch),
    (r#"{"detail":{"state":["running"]}}"#, STATE, NoMatch),
    (r#"{"detail":{"c-count":[5]}}"#, STATE, Match),
    (r#"{"detail":{"c-count":["5"]}}"#, STATE, NoMatch),
    (r#"{"detail":{"ok":[true]}}"#, STATE, Match),
    (r#"{"detail":{"ok":["true"]}}"#, STATE, NoMatch),
    (r#"{"account":["111122223333"],"region":["eu-central-1"],"version":["0"]}"#, STATE, Match),
    (r#"{"time":[{"prefix":"2026-05-04"}]}"#, STATE, Match),
    // Null, empty, absent.
    (r#"{"detail":{"user":[null]}}"#, STATE, Match),
    (r#"{"detail":{"previous":[null]}}"#, STATE, NoMatch),
    (r#"{"detail":{"previous":[""]}}"#, STATE, Match),
    (r#"{"detail":{"missing":[null]}}"#, STATE, NoMatch),
    (r#"{"detail":{"missing":[""]}}"#, STATE, NoMatch),
    // Arrays: any element; array in pattern and in event.
    (r#"{"detail":{"tags":["green","red"]}}"#, STATE, Match),
    (r#"{"detail":{"tags":["red"]}}"#, STATE, NoMatch),
    (r#"{"resources":[{"suffix":"/i-2"}]}"#, STATE, Match),
    (r#"{"detail":{"disks":{"size":[500],"type":["hdd"]}}}"#, STATE, Match),
    (r#"{"detail":{"disks":{"size":[10],"type":["hdd"]}}}"#, STATE, NoMatch),
    // Prefix and suffix, and both in any letter case.
    (r#"{"region":[{"prefix":"eu-"}]}"#, STATE, Match),
    (r#"{"region":[{"prefix":"us-"}]}"#, STATE, NoMatch),
    (r#"{"detail":{"state":[{"prefix":{"equals-ignore-case":"rUN"}}]}}"#, STATE, Match),
    (r#"{"detail":{"path":[{"suffix":".png"}]}}"#, STATE, Match),
    (r#"{"detail":{"path":[{"suffix":".PNG"}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"path":[{"suffix":{"equals-ignore-case":".PNG"}}]}}"#, STATE, Match),
    // Anything but: one value, lists, and each operator inside.
    (r#"{"detail":{"state":[{"anything-but":"Initializing"}]}}"#, STATE, Match),
    (r#"{"detail":{"state":[{"anything-but":"Running"}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"x-limit":[{"anything-but":123}]}}"#, STATE, Match),
    (r#"{"detail":{"x-limit":[{"anything-but":301.8}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"state":[{"anything-but":["Stopped","Overloaded"]}]}}"#, STATE, Match),
    (r#"{"detail":{"state":[{"anything-but":["Stopped","Running"]}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"c-count":[{"anything-but":[1,5.0]}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"state":[{"anything-but":{"equals-ignore-case":"running"}}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"state":[{"anything-but":{"equals-ignore-case":["stopped","paused"]}}]}}"#, STATE, Match),
    (r#"{"detail":{"state":[{"anything-but":{"prefix":"Run"}}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"state":[{"anything-but":{"prefix":["Init","Stop"]}}]}}"#, STATE, Match),
    (r#"{"detail":{"path":[{"anything-but":{"suffix":".txt"}}]}}"#, STATE, Match),
    (r#"{"detail":{"path":[{"anything-but":{"suffix":[".txt",".png"]}}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"path":[{"anything-but":{"wildcard":"*/2026/*"}}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"path":[{"anything-but":{"wildcard":["*/2025/*","*.rpm"]}}]}}"#, STATE, Match),
    (r#"{"detail":{"missing":[{"anything-but":"x"}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"tags":[{"anything-but":"blue"}]}}"#, STATE, Match),
    // Numbers.
    (r#"{"detail":{"c-count":[{"numeric":[">",0,"<=",5]}],"d-count":[{"numeric":["<",10]}]}}"#, STATE, Match),
    (r#"{"detail":{"x-limit":[{"numeric":["=",3.018e2]}]}}"#, STATE, Match),
    (r#"{"detail":{"c-count":[{"numeric":[">",5]}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"c-count":[{"numeric":[">=",5,"<",5.5]}]}}"#, STATE, Match),
    (r#"{"account":[{"numeric":[">",0]}]}"#, STATE, NoMatch),
    // Addresses.
    (r#"{"detail":{"source-ip":[{"cidr":"10.0.0.0/24"}]}}"#, STATE, Match),
    (r#"{"detail":{"source-ip":[{"cidr":"10.0.1.0/24"}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"source-ip6":[{"cidr":"2001:db8::/32"}]}}"#, STATE, Match),
    // Existence: of values only.
    (r#"{"detail":{"state":[{"exists":true}]}}"#, STATE, Match),
    (r#"{"detail":{"missing":[{"exists":true}]}}"#, STATE, NoMatch),
    (r#"{"detail":{"missing":[{"exists":false}]},"source":["acme.compute"]}"#, STATE, Match),
    (r#"{"detail":{"user":[{"exists":false}]}}"#, STATE, NoMatch),
    (r#"{"detail":[{"exists":true}]}"#, STATE, NoMatch),
    (r#"{"detail":[{"exists":false}]}"#, STATE, Match),
    (r#"{"detail":{"empty":[{"exists":false}]}}"#, STATE, Match),
    // Letter case and wildcards.
    (r#"{"detail-type":[{"equals-ignore-case":"instance state-CHANGE"}]}"#, STATE, Match),
    (r#"{"detail":{"path":[{"wildcard":"dir/*.png"}]}}"#, STATE, Match),
    (r#"{"detail":{"path":[{"wildcard":"*.jpg"}]}}"#, STATE, NoMatch),
    (r#"{"resources":[{"wildcard":"arn:aws:x:*:*:instance/*"}]}"#, STATE, Match),
    // Combinations and $or.
    (
        r#"{"detail":{"$or":[{"c-count":[{"numeric":[">",5]}]},{"d-count":[{"numeric":["<",10]}]},{"x-limit":[{"numeric":["=",1]}]}]}}"#,
        STATE,
        Match,
    ),
    (
        r#"{"source":["acme.compute"],"$or":[{"region":["x"]},{"account":["y"],"version":["0"]}]}"#,
        STATE,
        NoMatch,
    ),
    (
        r#"{"region":[{"prefix":"eu-"}],"detail":{"state":[{"anything-but":"Stopped"}],"source-ip":[{"cidr":"10.0.0.0/8"}],"c-count":[{"numeric":[">",0]},{"exists":false}]}}"#,
        STATE,
        Match,
    ),
    // The rule that the project began with, and rules over the CloudEvent.
    (r#"{"detail":{"subject":["VmPoweredOnEvent","VmPoweredOffEvent","VmRemovedEvent"]}}"#, VM, Match),
    (r#"{"detail":{"subject":["VmPoweredOffEvent","VmRemovedEvent"]}}"#, VM, NoMatch),
    (r#"{"detail":{"data":{"Vm":{"Name":[{"prefix":"web-"}]}}}}"#, VM, Match),
    (r#"{"detail":{"data":{"Vm":{"Vm":{"Value":["vm-56"]}},"Net":[null]}}}"#, VM, Match),
    (r#"{"detail":{"data":{"UserName":[{"wildcard":"CORP\\\\*"}]}}}"#, VM, Match),
    (r#"{"detail":{"data":{"UserName":[{"anything-but":{"prefix":"CORP\\"}}]}}}"#, VM, NoMatch),
    (r#"{"detail":{"data":{"Arguments":{"Key":["ticket"],"Value":["42"]}}}}"#, VM, Match),
    (r#"{"detail":{"data":{"Arguments":{"Key":["reason"],"Value":["42"]}}}}"#, VM, NoMatch),
    (r#"{"source":[{"prefix":"https://vc01"}],"detail-type":[{"prefix":"Vm"}]}"#, VM, Match),
    // What EventBridge refuses.
    (r#"{"detail":{"subject":[{"shellstyle":"Vm*"}]}}"#, VM, Invalid),
    (r#"{"detail":{"subject":"VmPoweredOnEvent"}}"#, VM, Invalid),
    (r#"{"detail":{}}"#, VM, Invalid),
    (r#"{"detail":{"subject":[]}}"#, VM, Invalid),
    (r#"{"detail":{"subject":[{"wildcard":"Vm**"}]}}"#, VM, Invalid),
    (r#"{"detail":{"source-ip":[{"cidr":"10.0.0.1/32"}]}}"#, STATE, Invalid),
    (r#"{"detail":{"c-count":[{"numeric":["<",5,">",0]}]}}"#, STATE, Invalid),
    (r#"{"detail":{"state":[{"anything-but":["a",1]}]}}"#, STATE, Invalid),
    (r#"{"detail":{"$or":[{"state":["Running"]}]}}"#, STATE, Invalid),
];

/// Pattern and event of what only AWS's engine tells, not its guide; and what both answer.
pub const ODDITIES: &[(&str, &str, Answer)] = &[
    // The quotes around a value count for what begins and ends it.
    (r#"{"a":[{"prefix":"ab\""}]}"#, r#"{"a":"ab"}"#, Match),
    (r#"{"a":[{"prefix":"ab\""}]}"#, r#"{"a":"abc"}"#, NoMatch),
    (r#"{"a":[{"prefix":"ab\""}]}"#, r#"{"a":"ab\"c"}"#, Match),
    (r#"{"a":[{"prefix":"\""}]}"#, r#"{"a":""}"#, Match),
    (r#"{"a":[{"suffix":"\"ab"}]}"#, r#"{"a":"ab"}"#, Match),
    (r#"{"a":[{"suffix":"\"ab"}]}"#, r#"{"a":"cab"}"#, NoMatch),
    (r#"{"a":[{"prefix":{"equals-ignore-case":"AB\""}}]}"#, r#"{"a":"ab"}"#, Match),
    (r#"{"a":[{"suffix":{"equals-ignore-case":"\"AB"}}]}"#, r#"{"a":"ab"}"#, Match),
    (r#"{"a":[{"anything-but":{"prefix":"ab\""}}]}"#, r#"{"a":"ab"}"#, NoMatch),
    (r#"{"a":[{"anything-but":{"suffix":["\"ab"]}}]}"#, r#"{"a":"ab"}"#, NoMatch),
    // An operator with an empty list may stand anywhere but first.
    (r#"{"a":[1,{"anything-but":{"prefix":[]}}]}"#, r#"{"a":1}"#, Match),
    (r#"{"a":[1,{"anything-but":{"wildcard":[]}}]}"#, r#"{"a":"x"}"#, NoMatch),
    (r#"{"a":[{"anything-but":{"prefix":[]}},1]}"#, r#"{"a":1}"#, Invalid),
    (r#"{"a":[{"exists":false},{"anything-but":{"suffix":[]}}],"b":[1]}"#, r#"{"b":1}"#, Match),
    (r#"{"a":[1,{"anything-but":[]}]}"#, r#"{"a":1}"#, Invalid),
    // Beside a field that is called $or, later forms of anything-but are not known.
    (r#"{"$or":["x"],"a":[{"anything-but":{"prefix":"x"}}]}"#, r#"{"$or":"x","a":"b"}"#, Match),
    (r#"{"$or":["x"],"a":[{"anything-but":{"prefix":["x"]}}]}"#, r#"{"$or":"x","a":"b"}"#, Invalid),
    (r#"{"$or":["x"],"a":[{"anything-but":{"wildcard":"x*"}}]}"#, r#"{"$or":"x","a":"b"}"#, Invalid),
    (
        r#"{"$or":["x"],"a":[{"anything-but":{"equals-ignore-case":["x","y"]}}]}"#,
        r#"{"$or":"x","a":"b"}"#,
        Match,
    ),
    // What follows the pattern is not read.
    (r#"{"a":[1]} x"#, r#"{"a":1}"#, Match),
    (r#"{"a":[1]}}"#, r#"{"a":2}"#, NoMatch),
];

/// Pattern, event, what event-ruler answers, and what we do: the rows of the table in
/// `src/pattern/mod.rs`, in its order.
pub const DIFFERENCES: &[(&str, &str, Answer, Answer)] = &[
    (r#"{"a":[{"cidr":"0.0.0.0/1"}]}"#, r#"{"a":"2001::1"}"#, Match, NoMatch),
    (r#"{"a":[{"cidr":"16.0.0.0/8"}]}"#, r#"{"a":105}"#, Match, NoMatch),
    (r#"{"a":[{"equals-ignore-case":"😀"}]}"#, r#"{"a":"😀"}"#, NoMatch, Match),
    (r#"{"a":[{"wildcard":"*b"},{"equals-ignore-case":"Ω"}]}"#, r#"{"a":"ŉ"}"#, Match, NoMatch),
    (r#"{"$or":[{"a":["x"]},{"a":["x","y"]}]}"#, r#"{"a":"y"}"#, NoMatch, Match),
    (r#"{"a":{"x":[1],"y":[2]}}"#, r#"{"a":{"y":2},"a":[{"y":0},{"x":1}]}"#, NoMatch, Match),
    (r#"{"a":[{"numeric":["=",2e23]}]}"#, r#"{"a":2e23}"#, Invalid, Match),
];
