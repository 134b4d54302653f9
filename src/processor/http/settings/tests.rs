use std::path::Path;

use crate::config::file::Overrides;
use crate::kinds::parse;

/// What is said about a section with these keys; empty if it is right.
fn said(keys: &str) -> Vec<String> {
    let source = "[source.a]\ntype = 'vcenter'\naddress = 'https://vc'\nusername = 'u'\npassword = 'p'\n";
    let text = format!("{source}[processor.b]\ntype = 'http'\n{keys}\n");
    let environment = |name: &str| (name == "HOOK").then(|| "https://hooks.corp.local/T1/canary".to_string());
    match parse(&text, Path::new("router.toml"), &Overrides::default(), &environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn right_settings_are_taken() {
    for keys in [
        "uri = 'https://h/path?x=1'",
        "uri = { env = 'HOOK' }\nmethod = 'PUT'\nbody = 'data'\ncontent_type = 'text/plain'",
        "uri = 'http://h'\ntoken = 't'\nscheme = 'Splunk'\nsuccess = ['2xx', 409]\nretry_on = [429, '5xx']",
        "uri = 'http://h'\ntransform = { paths = { vm = '$.data.Vm.Name' }, template = '{\"a\":\"<vm>\"}' }",
        "uri = 'http://h'\nbody = 'template'\ntransform.template = \"\"\"{\\n\"a\": <id>\\n}\"\"\"",
        "uri = 'http://h'\ncontent_type = 'text/plain'\ntransform.template = '<id> is \"on\"'",
        "uri = 'http://h'\ncontent_type = 'application/x-ndjson'\ntransform.template = '{}{}'",
        "uri = 'http://h'\nbody = 'batch'",
        "uri = 'http://h'\nbody = 'batch'\nbatch = { max_events = 10, max_size = '64KiB' }",
        "uri = 'http://h'\ntransform.template = '{\"a\":<id>}'\nbatch = { prefix = '[', separator = ',', suffix = ']' }",
        "uri = 'http://h'\ntransform.template = '{\"event\":<event>}'\nbatch = {}",
        "uri = 'http://h'\ncontent_type = 'application/x-ndjson'\njudge = 'bulk'\nbatch = { suffix = \"\\n\" }\ntransform.template = \"\"\"{\"create\":{}}\n<data>\"\"\"",
        "uri = 'http://h'\nsignature = { header = 'X-Sig', secret = 's', algorithm = 'sha512', format = 'base64', prefix = 'a=' }",
        "uri = 'http://h'\nhealth = '/health?x=1'\npreset = 'otlp'",
        "uri = 'http://h'\nheaders = { Idempotency-Key = '<id>' }",
        "uri = 'http://h'\nusername = 'u'\npassword = 'p'\nheaders = { X-Scope-OrgID = 'a b', X-Key = { env = 'HOOK' } }",
    ] {
        assert_eq!(said(keys), [""; 0], "{keys}");
    }
}

#[test]
fn each_mistake_is_one_clear_line() {
    for (keys, words) in [
        ("", "processor.b.uri: is missing"),
        ("uri = 'h/path'", "not an absolute URL"),
        ("uri = 'https://u:p@h/'", "must not hold a user or password"),
        ("uri = 'https://h/_create/<id>'", "the same for all events: placeholders go in `transform`"),
        ("uri = { env = 'NONE' }", "environment variable NONE is not set"),
        ("uri = 'http://h'\nmethod = 'GET'", "\"GET\" is not known"),
        ("uri = 'http://h'\nmethod = 'Post'", "did you mean \"POST\"?"),
        ("uri = 'http://h'\nbody = 'jsn'", "\"jsn\" is not known"),
        ("uri = 'http://h'\nheaders = { 'a b' = 'c' }", "not the name of a header"),
        ("uri = 'http://h'\nheaders = { Content-Type = 'c' }", "write `content_type` instead"),
        ("uri = 'http://h'\nheaders = { Host = 'c' }", "it follows from `uri`"),
        ("uri = 'http://h'\nheaders = { A = '1', a = '2' }", "stands here twice"),
        ("uri = 'http://h'\nheaders = { A = 'ä' }", "a character that a header cannot"),
        ("uri = 'http://h'\ntoken = 't'\nusername = 'u'\npassword = 'p'", "expected either"),
        ("uri = 'http://h'\nusername = 'u'", "expected both"),
        ("uri = 'http://h'\nscheme = 'Splunk'", "`scheme` stands before a `token`"),
        ("uri = 'http://h'\ntoken = 't'\nscheme = 'a b'", "no scheme of Authorization"),
        ("uri = 'http://h'\ntoken = 't'\nheaders = { Authorization = 'x' }", "expected one of them"),
        ("uri = 'http://h'\nbody = 'template'", "needs a `transform`"),
        ("uri = 'http://h'\nbody = 'data'\ntransform.template = '1'", "leave out `body`"),
        ("uri = 'http://h'\ntransform = '1'", "holds keys of its own"),
        ("uri = 'http://h'\ntransform = {}", "transform.template: is missing"),
        ("uri = 'http://h'\ntransform = { template = 1 }", "expected a string"),
        ("uri = 'http://h'\ntransform = { template = '1', path = {} }", "did you mean `paths`?"),
        ("uri = 'http://h'\ntransform = { template = '1', paths = { a = 1 } }", "paths.a: expected a string"),
        ("uri = 'http://h'\ntransform.template = '<vm>'", "line 1, column 1: placeholder <vm> is not known"),
        ("uri = 'http://h'\ntransform.template = 'on'", "cannot become JSON"),
        ("uri = 'http://h'\nheaders = { A = '<vm>' }", "placeholder <vm> is not known"),
        ("uri = 'http://h'\nbatch = {}", "needs body = \"batch\""),
        ("uri = 'http://h'\nbody = 'binary'\nbatch = {}", "does not go with body = \"binary\""),
        ("uri = 'http://h'\nbody = 'batch'\nbatch = { separator = ',' }", "leave out `separator`"),
        ("uri = 'http://h'\nbody = 'batch'\nheaders = { A = '<id>' }", "placeholders in `headers`"),
        ("uri = 'http://h'\nbody = 'batch'\nbatch = { max_events = 1001 }", "from 1 to 1000"),
        ("uri = 'http://h'\nbody = 'batch'\nbatch = { max_size = '1B' }", "too small"),
        ("uri = 'http://h'\ntransform.template = '<id>'\nbatch = { prefix = '[' }", "cannot become JSON"),
        (
            "uri = 'http://h'\ntransform.template = '<id>'\nbatch = { prefix = '[\"', suffix = '\"]' }",
            "prefix has a \" without its end",
        ),
        ("uri = 'http://h'\nsignature = { header = 'X' }", "signature.secret: is missing"),
        ("uri = 'http://h'\nsignature = { header = 'X Y', secret = 's' }", "not the name of a header"),
        (
            "uri = 'http://h'\nsignature = { header = 'X', secret = 's', algorithm = 'md5' }",
            "\"md5\" is not known",
        ),
        ("uri = 'http://h'\nhealth = 'health'", "not an absolute URL"),
        ("uri = 'http://h'\npreset = 'otpl'", "did you mean \"otlp\"?"),
        ("uri = 'http://h'\npreset = 'otlp'\njudge = 'bulk'", "leave out `judge`"),
        ("uri = 'http://h'\nsuccess = []", "names no status"),
        ("uri = 'http://h'\nsuccess = ['20x']", "\"20x\" is no status"),
        ("uri = 'http://h'\nretry_on = [99]", "from 100 to 599"),
        ("uri = 'http://h'\nbody = 'binary'\ncontent_type = 'text/plain'", "the event's own"),
    ] {
        let said = said(keys);
        assert_eq!(said.len(), 1, "{keys}: {said:?}");
        assert!(said[0].contains(words) && !said[0].contains('\n'), "{keys}: {said:?}");
    }
}
