//! House rules that a reader relies on and a compiler does not check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Lines of a source file, its unit tests not counted.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// What must not stand in the program, where it may all the same, and what to write instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    (".unwrap()", &[], "return an Error, or match"),
    (".expect(\"", &[], "return an Error, or match"),
    ("panic!(", &[], "return an Error"),
    ("todo!(", &[], "write it"),
    ("unimplemented!(", &[], "write it"),
    ("dbg!(", &[], "log::debug!"),
    ("println!(", &["src/cli/", "src/processor/stdout.rs"], "log, or write to the given output"),
    ("print!(", &["src/cli/", "src/processor/stdout.rs"], "log, or write to the given output"),
    ("thread::sleep", &[], "wait on a Stop"),
    ("static mut", &[], "pass it"),
    (".sort", &["src/order.rs"], "order::sort: each type that the library sorts adds 4 KB to the program"),
    ("temp_dir(", &["src/temporary.rs"], "a TemporaryFolder"),
    ("poisoned", &["src/sync.rs"], "sync::lock or sync::unpoisoned"),
];

/// Code that is pure, so that it can be tested without a harness, and what it must not name. So is
/// every file whose first paragraph says `Pure`.
const PURE: &[&str] = &[
    "src/cloudevents.rs",
    "src/event.rs",
    "src/http/dns/message.rs",
    "src/http/dns/names.rs",
    "src/pattern/",
    "src/pipeline/ledger.rs",
    "src/pipeline/retry.rs",
    "src/position/progress.rs",
    "src/position/record.rs",
    "src/position/window.rs",
    "src/source/vcenter/soap.rs",
    "src/template/",
    "src/vim/",
];
const IMPURE: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "ureq",
];

/// Only these may open a socket.
// The service manager is told by datagrams, and nothing else speaks to it.
const SOCKETS: &[&str] = &["src/http/", "src/demo/", "src/observe/systemd.rs"];
const SOCKET_WORDS: &[&str] = &["TcpStream", "TcpListener", "UnixStream", "UnixDatagram", "ureq::"];

/// What serves every kind of sources, and the words of one kind that must not stand in it.
const COMMON: &[&str] = &[
    "src/cloudevents.rs",
    "src/event.rs",
    "src/finding.rs",
    "src/observe/",
    "src/pipeline/",
    "src/position/",
    "src/router.rs",
];
const KIND_WORDS: &[&str] = &["vcenter", "vmware", "vpxd", "vsphere", "sourcekind::"];
/// The Go router's name of its statistics, which programs ask for.
const GO_NAME: &str = "vmware.event.router.stats";

/// Pairs of modules of which the first must not import the second.
const APART: &[(&str, &str)] = &[
    ("source", "processor"),
    ("processor", "source"),
    ("source", "pipeline"),
    ("processor", "pipeline"),
    ("http", "source"),
    ("http", "processor"),
];

/// Stands in for another file where a feature is off, under its names.
const TWINS: &[&str] = &["src/demo/healthy.rs"];

#[test]
fn files_are_short() {
    let long = findings(|file| {
        let lines = file.code.lines().count();
        (FILE_LINES_MAX < lines).then(|| format!("{lines} lines")).into_iter().collect()
    });
    assert!(long.is_empty(), "files over {FILE_LINES_MAX} lines, split them by subject:\n{long}");
}

#[test]
fn functions_are_short() {
    let long = findings(|file| {
        functions(&file.code)
            .into_iter()
            .filter(|(_, lines)| FUNCTION_LINES_MAX <= *lines)
            .map(|(head, lines)| format!("{lines} lines: {head}"))
            .collect()
    });
    assert!(long.is_empty(), "functions of {FUNCTION_LINES_MAX} lines or more:\n{long}");
}

#[test]
fn banned_words_do_not_stand_in_the_program() {
    let banned = findings(|file| {
        let words = BANNED.iter().filter(|(_, allowed, _)| !file.is_in(allowed));
        words.flat_map(|(word, _, instead)| file.lines_with(word, instead)).collect()
    });
    assert!(banned.is_empty(), "banned words:\n{banned}");
}

#[test]
fn pure_code_names_no_socket_file_thread_or_clock() {
    let impure = findings(|file| {
        let words = IMPURE.iter().filter(|_| file.is_in(PURE) || file.calls_itself_pure());
        words.flat_map(|word| file.lines_with(word, "take it as a value")).collect()
    });
    assert!(impure.is_empty(), "impure code in pure files:\n{impure}");
}

#[test]
fn sockets_are_opened_in_one_place() {
    let sockets = findings(|file| {
        let words = SOCKET_WORDS.iter().filter(|_| !file.is_in(SOCKETS));
        let lines = words.flat_map(|word| file.lines_with(word, "use src/http"));
        // ureq::http holds values, such as Uri
        lines.filter(|line| !line.contains("use ureq::http::")).collect()
    });
    assert!(sockets.is_empty(), "sockets outside of {SOCKETS:?}:\n{sockets}");
}

#[test]
fn every_line_of_the_log_names_its_logger() {
    let nameless = findings(|file| {
        let calls = file.code.split("log::").skip(1).filter(|rest| {
            let level = rest.split_once("!(").map_or("", |(word, _)| word);
            ["error", "warn", "info", "debug", "trace", "log"].contains(&level)
        });
        let arguments = calls.map(|rest| rest.split_once('(').map_or("", |(_, rest)| rest).trim_start());
        let nameless = arguments.filter(|arguments| !arguments.starts_with("target: "));
        nameless.map(|arguments| arguments.lines().next().unwrap_or_default().to_string()).collect()
    });
    assert!(
        nameless.is_empty(),
        "say `target: \"route NAME\"` or a word that a person understands:\n{nameless}"
    );
}

/// The table quotes the log, so that people find by search what they read there: `...` stands for what
/// differs each time.
#[test]
fn symptoms_in_the_manual_are_lines_of_the_program() {
    let manual = include_str!("../README.md").split_once("\n## Symptoms\n").unwrap().1;
    let rows = manual.lines().skip_while(|line| !line.starts_with("| --- ")).skip(1);
    // A text that goes on in the next line of the source is one line.
    let text = |code: &str| {
        let pieces = code.split("\\\n").enumerate();
        pieces.map(|(place, piece)| if place == 0 { piece } else { piece.trim_start() }).collect::<String>()
    };
    let lines: Vec<String> = sources()
        .iter()
        .flat_map(|file| text(&file.code).lines().map(str::to_string).collect::<Vec<_>>())
        .collect();
    let mut quotes = 0;
    for row in rows.take_while(|row| row.starts_with('|')) {
        for quote in row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2) {
            let is_said = |line: &String| {
                let mut rest = line.as_str();
                quote.split("...").map(str::trim).all(|part| match rest.split_once(part) {
                    Some((_, after)) => {
                        rest = after;
                        true
                    }
                    None => false,
                })
            };
            assert!(lines.iter().any(is_said), "no line of the program says `{quote}`");
            quotes += 1;
        }
    }
    assert!(15 < quotes, "{quotes} quotes were found");
}

#[test]
fn common_code_knows_no_kind_of_sources() {
    let words = findings(|file| {
        let code = file.code.to_lowercase().replace(GO_NAME, "");
        let lower = File { path: file.path.clone(), code };
        let words = KIND_WORDS.iter().filter(|_| file.is_in(COMMON));
        words.flat_map(|word| lower.lines_with(word, "let the source say it: src/kinds.rs")).collect()
    });
    assert!(words.is_empty(), "words of one kind in code for all:\n{words}");
}

#[test]
fn modules_form_no_circle() {
    let graph = imports();
    assert!(4 < graph.len(), "the imports were not found: {graph:?}");
    for (from, to) in APART {
        let imported = graph.get(*from).is_some_and(|targets| targets.contains(*to));
        assert!(!imported, "src/{from} must not import src/{to}");
    }
    if let Some(circle) = circle(&graph) {
        panic!("modules import each other in a circle: {}", circle.join(" -> "));
    }
}

#[test]
fn files_form_no_circle() {
    let files = modules();
    let graph = file_imports(&files);
    let arrows: usize = graph.values().map(BTreeSet::len).sum();
    assert!(100 < arrows, "the imports were not found: {arrows}");
    if let Some(circle) = circle(&graph) {
        panic!("files import each other in a circle: {}", circle.join(" -> "));
    }
}

#[test]
fn unit_tests_lie_in_one_of_two_places() {
    let elsewhere = findings(|file| {
        let mut found = file.lines_with("#[test]", "move it");
        found.extend(file.lines_with("#[path", "name the file as its module"));
        let after = file.code.split("#[cfg(test)]\n").skip(1).filter_map(|rest| rest.lines().next());
        let modules = after.filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
        found.extend(
            modules.filter(|name| !holds_only_tests(Path::new(name))).map(|name| format!("mod {name}")),
        );
        let whole = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file.path)).unwrap();
        let tests = whole[file.code.len()..].trim_end();
        found.extend(tests.contains("\n}\n\n").then(|| "code after `mod tests`".to_string()));
        found
    });
    assert!(
        elsewhere.is_empty(),
        "tests of `foo` lie in `mod tests` at its end or in foo/tests.rs:\n{elsewhere}"
    );
}

/// What is public the compiler cannot find to be dead.
#[test]
fn what_is_public_is_used() {
    let files = sources();
    let code: String = files.iter().map(|file| file.code.as_str()).collect();
    let code = code + &integration_tests();
    let used = words(&code);
    let dead = findings(|file| {
        let names = public_names(&file.code).into_iter();
        names.filter(|name| used.get(name.as_str()) == Some(&1)).collect()
    });
    assert!(dead.is_empty(), "public, and nobody uses it but perhaps its own unit test:\n{dead}");
}

#[test]
fn public_types_have_names_of_their_own() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for file in sources().iter().filter(|file| !TWINS.contains(&file.path.as_str())) {
        for name in public_types(&file.code) {
            places.entry(name).or_default().push(file.path.clone());
        }
    }
    assert!(20 < places.len(), "the public types were not found: {places:?}");
    places.retain(|_, places| 1 < places.len());
    assert!(places.is_empty(), "public types of one name: {places:?}");
}

#[test]
fn rules_find_what_they_look_for() {
    let code = "fn a() {\n    x.unwrap();\n}\n\nimpl B {\n    pub fn c(\n        d: D,\n    ) {\n        e();\n    }\n}\n";
    assert_eq!(functions(code), [("fn a() {".to_string(), 3), ("pub fn c(".to_string(), 5)]);
    let file = File { path: "src/a.rs".into(), code: format!("// y.unwrap()\n{code}") };
    assert_eq!(file.lines_with(".unwrap()", "no").len(), 1);
    let calls_itself_pure = |head: &str| File { path: String::new(), code: head.into() }.calls_itself_pure();
    assert!(calls_itself_pure("//! What is known. Pure: time\n//! is a value.\n"));
    assert!(calls_itself_pure("//! What is known.\n//! Pure data.\n"));
    assert!(!calls_itself_pure("//! What purely is.\n//!\n//! Pure is another.\n"));
    let graph = |pairs: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in pairs {
            graph.entry(from.to_string()).or_default().insert(to.to_string());
        }
        graph
    };
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert!(circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")])).is_some());
    let files: BTreeMap<String, String> = [
        ("a", "use crate::b::{self, c::Y};\nuse super::d;\n"),
        ("b", "mod c;\n"),
        ("b::c", "use super::super::a::{Z, W};\n// use crate::d;\n"),
        ("d", ""),
    ]
    .map(|(name, code)| (name.to_string(), code.to_string()))
    .into();
    let found = file_imports(&files);
    assert_eq!(found["a"], ["b", "b::c", "d"].map(String::from).into());
    assert_eq!(found["b::c"], ["a".to_string()].into());
    assert_eq!(circle(&found), Some(["a", "b::c", "a"].map(String::from).into()));
    let public = "pub struct A {\n    pub b: u8,\n    c: u8,\n}\npub(crate) fn d() {}\nfn e() {}\npub(super) enum F {}\n#[cfg(test)]\npub fn g() {}\n";
    assert_eq!(public_names(public), ["A", "b", "d", "F"]);
    assert_eq!(public_types(public), ["A"]);
    assert_eq!(
        words("a b // a\n// c\na_b a").into_iter().collect::<Vec<_>>(),
        [("a", 2), ("a_b", 1), ("b", 1)]
    );
    let tested = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(without_tests(tested), "fn a() {}\n\n");
}

/// A source file without its unit tests.
struct File {
    path: String,
    code: String,
}

impl File {
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// Its first paragraph has a sentence that begins with `Pure`.
    fn calls_itself_pure(&self) -> bool {
        let mut head = self.code.lines().map_while(|line| line.strip_prefix("//! "));
        head.any(|line| line.split(". ").any(|sentence| sentence.starts_with("Pure")))
    }

    /// Lines of code, not of comments, that hold `word`.
    fn lines_with(&self, word: &str, instead: &str) -> Vec<String> {
        let lines = self.code.lines().enumerate();
        lines
            .filter(|(_, line)| !line.trim_start().starts_with("//") && has_word(line, word))
            .map(|(number, line)| format!("line {}: {} ({word}: {instead})", number + 1, line.trim()))
            .collect()
    }
}

/// `word` stands in `line` and is not the end of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with(char::is_alphabetic) || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// What `rule` says about every file, one line each.
fn findings(rule: impl Fn(&File) -> Vec<String>) -> String {
    let files = sources();
    assert!(10 < files.len(), "the sources were not found");
    let lines = files.iter().flat_map(|file| {
        let found = rule(file);
        found.into_iter().map(|finding| format!("  {}: {finding}\n", file.path))
    });
    lines.collect()
}

/// All files of the program, without those that hold only tests.
fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join("src"), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter(|path| !holds_only_tests(path))
        .map(|path| File {
            code: without_tests(&std::fs::read_to_string(&path).unwrap()).to_string(),
            path: path.strip_prefix(root).unwrap().to_str().unwrap().to_string(),
        })
        .collect()
}

/// By name: `tests.rs` beside a module, and `testing.rs` for what they share; `walk` leaves out `tests/`.
fn holds_only_tests(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    stem == "tests" || stem == "testing"
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                walk(&path, paths);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The code before the unit tests, which stand at the end of a file.
fn without_tests(code: &str) -> &str {
    let heads = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\npub(super) mod tests {"];
    heads.iter().find_map(|head| code.find(head)).map_or(code, |end| &code[..=end])
}

/// First lines and lengths of all functions, in code that rustfmt formatted: a body ends at the
/// first brace as far left as its `fn`.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let is_head = text.split(['(', '<']).next().is_some_and(|head| {
            let mut words = head.split_whitespace();
            let qualifiers = words.by_ref().take_while(|word| *word != "fn").collect::<Vec<_>>();
            let plain = |word: &&str| matches!(*word, "pub" | "const" | "async") || word.starts_with("pub(");
            head.split_whitespace().any(|word| word == "fn") && qualifiers.iter().all(plain)
        }) || text.starts_with("pub(super) fn ")
            || text.starts_with("pub(crate) fn ");
        if !is_head || text.ends_with(';') || text.ends_with('}') {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - text.len()]);
        let length = lines[start..].iter().position(|line| *line == close || line.trim_end() == close);
        found.push((text.to_string(), length.map_or(1, |end| end + 1)));
    }
    found
}

/// The code of each module, by its path such as `http::client`.
fn modules() -> BTreeMap<String, String> {
    let named = sources().into_iter().map(|file| {
        let path = file.path.trim_start_matches("src/").trim_end_matches(".rs");
        (path.trim_end_matches("/mod").replace('/', "::"), file.code)
    });
    named.filter(|(name, _)| name != "main" && name != "lib").collect()
}

/// Which file imports which, by paths that begin with `crate`, `self` or `super`.
fn file_imports(files: &BTreeMap<String, String>) -> Graph {
    let mut graph = Graph::new();
    for (name, code) in files {
        let code: String = code_lines(code).map(|line| format!("{line}\n")).collect();
        let mut targets = BTreeSet::new();
        let starts = ["crate::", "self::", "super::"].map(|word| code.match_indices(word));
        for (at, word) in starts.into_iter().flatten() {
            if code[..at].ends_with("::") || code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let mut base: Vec<&str> = if word == "crate::" { Vec::new() } else { name.split("::").collect() };
            let mut rest = &code[at..];
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            rest = rest.strip_prefix("crate::").or(rest.strip_prefix("self::")).unwrap_or(rest);
            targets.extend(paths(&base, rest).iter().filter_map(|path| module_of(path, files)));
        }
        targets.remove(name);
        graph.insert(name.clone(), targets);
    }
    graph
}

/// The paths of a `use` tree or of an expression: `a::{b, c::d}` is two.
fn paths(base: &[&str], text: &str) -> Vec<Vec<String>> {
    let mut base: Vec<String> = base.iter().map(|part| part.to_string()).collect();
    let mut rest = text;
    loop {
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let end = list.find(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            });
            let list = &list[..end.unwrap_or(list.len())];
            let mut depth = 0;
            let parts = list.split(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                c == ',' && depth == 0
            });
            let base: Vec<&str> = base.iter().map(String::as_str).collect();
            return parts.flat_map(|part| paths(&base, part.trim())).collect();
        }
        let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        rest = &rest[word.len()..];
        if word != "self" && !word.is_empty() {
            base.push(word);
        }
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => return vec![base],
        }
    }
}

/// The module in which a path ends.
fn module_of(path: &[String], files: &BTreeMap<String, String>) -> Option<String> {
    (1..=path.len()).rev().map(|length| path[..length].join("::")).find(|name| files.contains_key(name))
}

/// Lines that are no comments.
fn code_lines(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// How often each word stands in code.
fn words(code: &str) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in code_lines(code) {
        let line = line.split(" // ").next().unwrap_or_default();
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()) {
            *counts.entry(word).or_default() += 1;
        }
    }
    counts
}

/// The code of the tests and benchmarks that use the program as a library.
fn integration_tests() -> String {
    let mut paths = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["tests", "tests/support", "tests/bench", "tests/bench/load", "tests/fuzz/fuzz_targets"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        paths.extend(entries.map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// What a file makes known outside of itself: items, methods and members.
fn public_names(code: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim_start();
        let rest = line
            .strip_prefix("pub ")
            .or_else(|| line.strip_prefix("pub(")?.split_once(") ").map(|it| it.1))?;
        let kinds = ["const fn ", "fn ", "const ", "static ", "struct ", "enum ", "trait ", "type "];
        let item = kinds.iter().find_map(|kind| rest.strip_prefix(kind));
        let member = rest.split_once(": ").map(|(name, _)| name);
        let text = item.or(member)?;
        let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!name.is_empty()).then_some(name)
    };
    let lines: Vec<&str> = code_lines(code).collect();
    let is_for_tests = |at: usize| 0 < at && lines[at - 1].trim() == "#[cfg(test)]";
    (0..lines.len()).filter(|at| !is_for_tests(*at)).filter_map(|at| name(lines[at])).collect()
}

/// The types that the library shows to others.
fn public_types(code: &str) -> Vec<String> {
    let kinds = ["pub struct ", "pub enum ", "pub trait "];
    let types = code.lines().filter_map(|line| kinds.iter().find_map(|kind| line.strip_prefix(kind)));
    types.map(|text| text.chars().take_while(|c| c.is_alphanumeric()).collect()).collect()
}

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Which top-level module imports which.
fn imports() -> Graph {
    let mut graph = Graph::new();
    for file in sources() {
        let name = file.path.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_string();
        if name == "main" || name == "lib" {
            continue;
        }
        for (at, _) in file.code.match_indices("crate::") {
            let path = &file.code[at + "crate::".len()..];
            let target: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            assert!(!target.is_empty(), "{}: import one module per `use crate::`", file.path);
            if target != name {
                graph.entry(name.clone()).or_default().insert(target);
            }
        }
    }
    graph
}

/// A circle of the graph, if there is one: what is left after taking away, again and again, the
/// modules that import nothing that is left.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    let mut left = graph.clone();
    loop {
        let before = left.len();
        let names: BTreeSet<String> = left.keys().cloned().collect();
        left.retain(|_, targets| targets.intersection(&names).next().is_some());
        if left.len() == before {
            break;
        }
    }
    let mut path = vec![left.keys().next()?.clone()];
    loop {
        let next = left[path.last()?].iter().find(|target| left.contains_key(*target))?.clone();
        if let Some(start) = path.iter().position(|name| *name == next) {
            path.drain(..start);
            path.push(next);
            return Some(path);
        }
        path.push(next);
    }
}
