//! Every operator, arrays, `$or`, refusals; `tests/pattern.rs` compares with AWS's engine at random.

use super::*;

/// Whether `event` matches `pattern`, as one text and in parts.
fn matches(pattern: &str, event: &str) -> bool {
    let pattern = Pattern::compile(pattern).unwrap();
    let whole = pattern.matches(event.as_bytes()).unwrap();
    let value: serde_json::Value = serde_json::from_str(event).unwrap();
    let texts: Vec<(String, String)> =
        value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let parts: Vec<(&str, Part)> =
        texts.iter().map(|(name, json)| (&**name, Part::Json(json.as_bytes()))).collect();
    assert_eq!(pattern.matches_members(&parts).unwrap(), whole);
    whole
}

#[track_caller]
fn yes(pattern: &str, event: &str) {
    assert!(matches(pattern, event), "{pattern} should match {event}");
}

#[track_caller]
fn no(pattern: &str, event: &str) {
    assert!(!matches(pattern, event), "{pattern} should not match {event}");
}

/// For patterns and events of one field `x`.
#[track_caller]
fn values(alternative: &str, matching: &[&str], others: &[&str]) {
    let pattern = format!(r#"{{"x":[{alternative}]}}"#);
    matching.iter().for_each(|value| yes(&pattern, &format!(r#"{{"y":0,"x":{value}}}"#)));
    others.iter().for_each(|value| no(&pattern, &format!(r#"{{"x":{value},"y":{{"x":1}}}}"#)));
    no(&pattern, r#"{"y":1}"#);
}

#[test]
fn exact_values() {
    values(r#""abc""#, &[r#""abc""#, r#""\u0061bc""#, r#"["z","abc"]"#], &[r#""Abc""#, r#""ab""#, "1", "[]"]);
    values(r#""""#, &[r#""""#], &[r#""x""#, "null", "[]", "{}"]);
    values("300", &["300", "300.0", "3e2", "[1,300]"], &[r#""300""#, "301", "true"]);
    values(
        "12345678901234567890",
        &["12345678901234567890"],
        &["12345678901234567891", "1.2345678901234567890e19"],
    );
    values("null", &["null", "[null]"], &[r#""null""#, "0", "false"]);
    values("true", &["true"], &["false", r#""true""#, "1"]);
    values(r#""a",2,false"#, &[r#""a""#, "2", "false"], &["true", r#""2""#]);
    values(r#"{"exactly":"a"}"#, &[r#""a""#], &[r#""b""#]);
    values(
        r#""10.0.0.1""#,
        &[r#""10.0.0.1""#, r#""010.0.0.1""#, r#""::ffff:a00:1""#],
        &[r#""10.0.0.2""#, "10"],
    );
    values(r#""1::2""#, &[r#""1:0:0:0:0:0:0:2""#, r#""1::2""#], &[r#""1::3""#]);
}

#[test]
fn text_operators() {
    values(r#"{"prefix":"we"}"#, &[r#""we""#, r#""web""#], &[r#""Web""#, r#""w""#, "1", "null"]);
    values(r#"{"prefix":""}"#, &[r#""""#, r#""x""#], &["1", "null", "true"]);
    values(r#"{"prefix":{"equals-ignore-case":"WE"}}"#, &[r#""web""#, r#""WEB""#], &[r#""eweb""#]);
    values(r#"{"suffix":".png"}"#, &[r#"".png""#, r#""a.png""#], &[r#""a.PNG""#, r#""png""#, "0"]);
    values(r#"{"suffix":{"equals-ignore-case":".png"}}"#, &[r#""a.PNG""#], &[r#""a.pn""#]);
    values(r#"{"equals-ignore-case":"aLPha"}"#, &[r#""alpha""#, r#""ALPHA""#], &[r#""alphas""#, r#""alph""#]);
    values(r#"{"wildcard":"*Power*On*"}"#, &[r#""VmPoweredOnEvent""#], &[r#""VmOnPower""#, "5"]);
    values(r#"{"wildcard":"a\\*b\\\\"}"#, &[r#""a*b\\""#], &[r#""axb\\""#]);
}

#[test]
fn negations() {
    values(
        r#"{"anything-but":"a"}"#,
        &[r#""b""#, "1", "null", "true", r#"["a","b"]"#],
        &[r#""a""#, r#"["a"]"#, "[]", "{}"],
    );
    values(r#"{"anything-but":["a","b"]}"#, &[r#""c""#, "1"], &[r#""a""#, r#""b""#]);
    values(r#"{"anything-but":1}"#, &["2", r#""1""#, "null"], &["1", "1.0"]);
    values(r#"{"anything-but":[1,2]}"#, &["3", "123456789012345678"], &["1", "2e0"]);
    values(r#"{"anything-but":{"prefix":"a"}}"#, &[r#""b""#, "1"], &[r#""a""#, r#""ab""#]);
    values(r#"{"anything-but":{"prefix":["a","b"]}}"#, &[r#""c""#], &[r#""ab""#, r#""b""#]);
    values(r#"{"anything-but":{"suffix":["a","b"]}}"#, &[r#""c""#, "null"], &[r#""ba""#, r#""b""#]);
    values(r#"{"anything-but":{"equals-ignore-case":["A"]}}"#, &[r#""b""#], &[r#""a""#, r#""A""#]);
    values(r#"{"anything-but":{"wildcard":"*x*"}}"#, &[r#""b""#, "1"], &[r#""axb""#]);
}

#[test]
fn numbers_addresses_existence() {
    values(r#"{"numeric":["=",3.018e2]}"#, &["301.8", "301.80"], &["301", r#""301.8""#]);
    values(r#"{"numeric":[">",0,"<=",5]}"#, &["5", "0.001", "[9,1]"], &["0", "5.01", r#""3""#, "null"]);
    values(r#"{"numeric":["<",-1.5]}"#, &["-2", "-1e300"], &["-1.5", "0", "123456789012345678"]);
    values(r#"{"numeric":[">=",10]}"#, &["10", "1e1"], &["9.999"]);
    values(
        r#"{"cidr":"10.0.0.0/24"}"#,
        &[r#""10.0.0.0""#, r#""10.0.0.255""#],
        &[r#""10.0.1.0""#, r#""x""#, "10"],
    );
    values(r#"{"cidr":"2001:db8::/32"}"#, &[r#""2001:DB8::1""#], &[r#""2001:db9::1""#, r#""10.0.0.1""#]);
    values(r#"{"exists":true}"#, &["1", "null", r#"[false]"#, r#"[{"z":1},2]"#], &["[]", "{}", r#"{"z":1}"#]);
    let absent = r#"{"x":[{"exists":false}],"y":[1]}"#;
    yes(absent, r#"{"y":1}"#);
    yes(absent, r#"{"y":1,"x":{"z":1}}"#);
    yes(absent, r#"{"y":1,"x":[]}"#);
    no(absent, r#"{"y":1,"x":null}"#);
    let absent_or = r#"{"x":[{"exists":false},"a"]}"#;
    yes(absent_or, "{}");
    yes(absent_or, r#"{"x":"a"}"#);
    no(absent_or, r#"{"x":"b"}"#);
}

#[test]
fn fields_combine() {
    let pattern = r#"{"source":["a"],"detail":{"state":["on","off"],"vm":{"name":[{"prefix":"web"}]}}}"#;
    yes(pattern, r#"{"detail":{"vm":{"name":"web1"},"state":"off"},"source":"a"}"#);
    no(pattern, r#"{"detail":{"vm":{"name":"db1"},"state":"off"},"source":"a"}"#);
    no(pattern, r#"{"detail":{"vm":{"name":"web1"},"state":"off"}}"#);
    no(pattern, r#"{"detail":[],"source":"a"}"#);
    yes(r#"{"a.b":[1]}"#, r#"{"a":{"b":1}}"#);
    yes(r#"{"a":{"b.c":[1]}}"#, r#"{"a.b":{"c":1}}"#);
    yes(r#"{"a":[1]}"#, r#"{"a":2,"a":1}"#);
}

#[test]
fn or_at_any_level() {
    let pattern = r#"{"s":["x"],"$or":[{"a":[1]},{"b":{"c":[2]},"d":[3]},{"$or":[{"e":[4]},{"e":[5]}]}]}"#;
    yes(pattern, r#"{"s":"x","a":1}"#);
    yes(pattern, r#"{"s":"x","d":3,"b":{"c":2}}"#);
    yes(pattern, r#"{"s":"x","e":5}"#);
    no(pattern, r#"{"s":"x","d":3}"#);
    no(pattern, r#"{"a":1}"#);
    let nested = r#"{"detail":{"$or":[{"a":[1]},{"a":[2],"b":[{"exists":false}]}]}}"#;
    yes(nested, r#"{"detail":{"a":2}}"#);
    no(nested, r#"{"detail":{"a":2,"b":0}}"#);
    yes(r#"{"$or":["a","b"]}"#, r#"{"$or":"b"}"#);
    yes(r#"{"$or":[{"prefix":"a"},{"suffix":"b"}]}"#, r#"{"$or":"ab"}"#);
    yes(r#"{"$or":{"x":[1]}}"#, r#"{"$or":{"x":1}}"#);
}

#[test]
fn fields_of_one_array_stay_in_one_element() {
    let pattern = r#"{"employees":{"first":["Anna"],"last":["Jones"]}}"#;
    no(pattern, r#"{"employees":[{"first":"Anna","last":"Smith"},{"first":"Peter","last":"Jones"}]}"#);
    yes(pattern, r#"{"employees":[{"first":"Peter","last":"Jones"},{"first":"Anna","last":"Jones"}]}"#);
    let deep = r#"{"a":{"x":[1],"b":{"y":[2],"z":[3]}}}"#;
    yes(deep, r#"{"a":[{"x":1,"b":[{"y":2},{"y":2,"z":3}]}]}"#);
    no(deep, r#"{"a":[{"x":1,"b":[{"y":2},{"z":3}]}]}"#);
    no(deep, r#"{"a":[{"x":1,"b":[{"y":2}]},{"x":0,"b":[{"y":2,"z":3}]}]}"#);
    // Two arrays do not constrain each other.
    yes(r#"{"a":{"x":[1]},"b":{"y":[2]}}"#, r#"{"a":[{"x":0},{"x":1}],"b":[{"y":2},{"y":0}]}"#);
    // Absence counts within the elements that the fields before it, by path, have settled on.
    yes(r#"{"a":{"p":[1],"q":[{"exists":false}]}}"#, r#"{"a":[{"p":1},{"p":2,"q":1}]}"#);
    no(r#"{"a":{"q":[1],"p":[{"exists":false}]}}"#, r#"{"a":[{"q":1},{"p":2,"q":2}]}"#);
    no(r#"{"a":{"p":[1],"q":[{"exists":false}]}}"#, r#"{"a":[{"p":1,"q":0},{"p":2}]}"#);
    yes(r#"{"a":{"p":[1],"q":[2]}}"#, r#"{"a":[[{"p":1}],[{"p":1,"q":2}]]}"#);
}

#[test]
fn refusals_name_place_and_reason() {
    for (pattern, message) in [
        ("", "event pattern: not JSON: EOF while parsing a value at line 1 column 0"),
        ("{} x", "event pattern: not JSON: trailing characters at line 1 column 4"),
        ("[]", "event pattern: top level: a pattern is an object of fields"),
        ("{}", "event pattern: top level: an object without fields"),
        (r#"{"a":{"b":{}}}"#, "event pattern: a.b: an object without fields"),
        (r#"{"a":{"b":[]}}"#, "event pattern: a.b: a list without alternatives"),
        (r#"{"a":"b"}"#, r#"event pattern: a: neither a list of alternatives, ["like this"], nor an object"#),
        (r#"{"a":["x",["y"]]}"#, "event pattern: a[1]: a list inside the list of alternatives"),
        (
            r#"{"a":[{"shellstyle":"x"}]}"#,
            "event pattern: a[0]: unknown operator \"shellstyle\"; known are prefix, suffix, \
             equals-ignore-case, wildcard, anything-but, numeric, cidr, exists",
        ),
        (
            r#"{"a":[{"prefix":"x","suffix":"y"}]}"#,
            "event pattern: a[0]: more than one operator in one object",
        ),
        (r#"{"a":[1],"a":[2]}"#, "event pattern: a: the same field a second time"),
        (r#"{"a.b":[1],"a":{"b":[2]}}"#, "event pattern: a.b: the same field a second time"),
        (r#"{"a":[{"wildcard":"**"}]}"#, "event pattern: a[0]: wildcard \"**\": two wildcards side by side"),
        (
            r#"{"a":[{"numeric":[">",5,"<",5]}]}"#,
            "event pattern: a[0]: the lower bound of numeric is not below the upper one",
        ),
        (r#"{"$or":[{"a":[1]}]}"#, "event pattern: top level: $or needs at least two objects"),
    ] {
        assert_eq!(Pattern::compile(pattern).unwrap_err().to_string(), message);
    }
}

#[test]
fn what_aws_refuses_is_refused() {
    for alternative in [
        "{}",
        r#"{"prefix":1}"#,
        r#"{"prefix":{"suffix":"a"}}"#,
        r#"{"prefix":{"equals-ignore-case":"a","x":1}}"#,
        r#"{"equals-ignore-case":["a"]}"#,
        r#"{"wildcard":"a\\b"}"#,
        r#"{"anything-but":[]}"#,
        r#"{"anything-but":[1,"a"]}"#,
        r#"{"anything-but":null}"#,
        r#"{"anything-but":[true]}"#,
        r#"{"anything-but":{"prefix":""}}"#,
        r#"{"anything-but":{"suffix":["a",""]}}"#,
        r#"{"anything-but":{"numeric":["=",1]}}"#,
        r#"{"anything-but":{"wildcard":1}}"#,
        r#"{"numeric":[]}"#,
        r#"{"numeric":["=","1"]}"#,
        r#"{"numeric":["=",1,"<",2]}"#,
        r#"{"numeric":["<",1,">",0]}"#,
        r#"{"numeric":["!=",1]}"#,
        r#"{"numeric":[">",1,"<",2,"<",3]}"#,
        r#"{"numeric":["=",123456789012345678]}"#,
        r#"{"cidr":"10.0.0.0/32"}"#,
        r#"{"cidr":"10.0.0.0"}"#,
        r#"{"cidr":5}"#,
        r#"{"exists":"true"}"#,
    ] {
        let pattern = format!(r#"{{"x":[{alternative}]}}"#);
        assert!(Pattern::compile(&pattern).is_err(), "{pattern}");
    }
}

#[test]
fn events_that_cannot_be_judged_are_errors() {
    let pattern = Pattern::compile(r#"{"a":{"b":[1]}}"#).unwrap();
    for event in ["", "[]", "7", "{", r#"{"a""#, r#"{"a":{"b":}}"#, r#"{"x":1 "a":2}"#] {
        assert!(pattern.matches(event.as_bytes()).is_err(), "{event}");
    }
    let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let error = pattern.matches(deep.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "match event pattern: event nests too deep");
    // As deep as is allowed, on half the stack of a route's thread.
    let deepest = format!(r#"{{"a":{}{{"b":1}}{}}}"#, "[".repeat(98), "]".repeat(98));
    let judge = move || pattern.matches(deepest.as_bytes()).unwrap();
    let thread = std::thread::Builder::new().stack_size(crate::limits::THREAD_STACK_BYTES / 2);
    assert!(thread.spawn(judge).unwrap().join().unwrap());
    let too_deep = format!("{}[1]{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert!(Pattern::compile(&too_deep).is_err());
}

#[test]
fn or_is_bounded() {
    let one = r#"{"$or":[{"a":[1]},{"b":[1]}]}"#;
    let many = (0..10).fold(one.to_string(), |all, n| {
        format!(r#"{{"n{n}":{{"$or":[{{"a":[1]}},{{"b":[1]}}]}},{}"#, &all[1..])
    });
    let error = Pattern::compile(&many).unwrap_err().to_string();
    assert!(error.ends_with("$or makes more than 1000 combinations"), "{error}");
}

#[test]
fn an_event_in_parts_is_matched_in_place() {
    let pattern =
        Pattern::compile(r#"{"source":["s"],"detail":{"data":{"Vm":[{"prefix":"web"}]}}}"#).unwrap();
    let detail = [("id", Part::Text("1\"")), ("data", Part::Json(br#"{"Key":1,"Vm":"web1"}"#))];
    let event = [("source", Part::Text("s")), ("detail", Part::Members(&detail))];
    assert!(pattern.matches_members(&event).unwrap());
    assert!(!pattern.matches_members(&event[..1]).unwrap());
}
