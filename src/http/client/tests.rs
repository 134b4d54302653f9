//! The client against scripted servers.

use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc;

use super::*;
use crate::http::testing::{read_request, serve, serve_answer, until_closed};

fn client() -> Client {
    client_by(&ConnectionConfig::default())
}

fn client_by(connection: &ConnectionConfig) -> Client {
    Client::new(&ClientSettings { connection, connections_max: 4 }).unwrap()
}

fn post<'a>(url: &'a str, body: &'a [u8]) -> Request<'a> {
    Request {
        method: "POST",
        url,
        headers: &[("content-type", "text/plain")],
        body,
        timeout: Duration::from_secs(20),
        body_bytes_max: 1000,
        repeat_if_stale: true,
        head_suffices: false,
    }
}

fn get(url: &str) -> Request<'_> {
    Request { method: "GET", headers: &[], ..post(url, b"") }
}

#[test]
fn request_on_the_wire_and_headers_of_the_answer() {
    let (sender, requests) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            sender.send(request).unwrap();
            let answer =
                "HTTP/1.1 201 Created\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let client = client();
    let answer = client.send(&post(&server.url("/a?b=c"), b"data")).unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), answer.truncated), (201, &b"ok"[..], false));
    assert_eq!(answer.header("content-length"), Some("2"));
    assert_eq!(answer.header_all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    let request = requests.recv().unwrap();
    assert_eq!(request.body, b"data");
    let mut rows: Vec<_> = request.head.lines().map(str::to_owned).collect();
    rows[1..].sort_unstable();
    let expected = [
        "POST /a?b=c HTTP/1.1".to_owned(),
        "content-length: 4".to_owned(),
        "content-type: text/plain".to_owned(),
        format!("host: {}", server.address),
        format!("user-agent: event-router/{}", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(rows, expected);

    client.send(&get(&server.url("/"))).unwrap();
    let request = requests.recv().unwrap();
    assert!(request.head.starts_with("GET / HTTP/1.1"), "{}", request.head);
    assert_eq!(request.header("content-length"), None);
    assert_eq!(server.connections(), 1);
}

#[test]
fn heads_and_bodies_of_any_length_arrive_whole() {
    let (sender, requests) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            sender.send(request).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    let client = client();
    // Name, colon, blank and line end belong to the row.
    let row_max = HTTP_OUTPUT_BYTES - "x-0: \r\n".len();
    for rows in [[1, 1, 1], [1, row_max, 1], [row_max, row_max, row_max], [5000, 5000, 5000]] {
        let values = rows.map(|length| "v".repeat(length));
        let headers = [("x-0", &*values[0]), ("x-1", &*values[1]), ("x-2", &*values[2])];
        for length in [0, 1, 5000, HTTP_OUTPUT_BYTES - 1, HTTP_OUTPUT_BYTES, HTTP_OUTPUT_BYTES + 1, 200_000] {
            let body: Vec<u8> = (0..length).map(|at| b'a' + (at % 23) as u8).collect();
            let url = server.url("/");
            client.send(&Request { headers: &headers, ..post(&url, &body) }).unwrap();
            let request = requests.recv().unwrap();
            assert!(request.body == body, "{rows:?} {length}");
            for (name, value) in headers {
                assert!(request.header(name) == Some(value), "{rows:?} {length}");
            }
        }
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn every_status_is_an_answer_and_redirects_are_not_followed() {
    for (status, body) in [(302, ""), (307, "there"), (404, "nothing"), (503, "later")] {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nLocation: /b\r\nContent-Length: {length}\r\n\r\n{body}");
        let server = serve_answer(answer);
        let client = client();
        for _ in 0..2 {
            let answer = client.send(&post(&server.url("/"), b"x")).unwrap();
            assert_eq!((answer.status, answer.body.as_slice()), (status, body.as_bytes()));
        }
        assert_eq!(server.connections(), 1, "{status}");
    }
}

#[test]
fn interim_answers_are_skipped() {
    let server = serve_answer("HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client().send(&post(&server.url("/"), b"x")).unwrap().status, 204);
}

#[test]
fn long_bodies_are_cut_and_exact_ones_are_not() {
    let sized = |n: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    let chunked = |n: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{n:x}\r\n{}\r\n0\r\n\r\n",
            "x".repeat(n)
        )
    };
    for (answer, length, truncated) in [
        (sized(1000), 1000, false),
        (sized(1001), 1000, true),
        (chunked(1000), 1000, false),
        (chunked(70_000), 1000, true),
    ] {
        let server = serve(move |_, mut stream| {
            while read_request(&mut stream).is_some() && stream.write_all(answer.as_bytes()).is_ok() {}
        });
        let client = client();
        for _ in 0..2 {
            let answer = client.send(&get(&server.url("/"))).unwrap();
            assert_eq!((answer.body.len(), answer.truncated), (length, truncated));
        }
        // What was not read to its end cannot be used again.
        assert_eq!(server.connections(), if truncated { 2 } else { 1 });
    }
}

#[test]
fn silence_and_trickle_end_at_the_timeout() {
    let trickle = serve(|_, mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // The wait for the client's end is also the pace of the trickle.
        while !matches!(stream.peek(&mut [0]), Ok(0)) && stream.write_all(b"x").is_ok() {}
    });
    let silence = serve(|_, mut stream| until_closed(&mut stream));
    for (server, phase) in [(&silence, "waiting for the answer"), (&trickle, "reading the answer")] {
        let client = client();
        let started = Instant::now();
        let url = server.url("/p");
        let request = Request { timeout: Duration::from_millis(400), ..post(&url, b"x") };
        let error = client.send(&request).unwrap_err();
        let took = started.elapsed();
        assert!(Duration::from_millis(390) < took && took < Duration::from_secs(4), "{took:?}");
        assert_eq!((error.kind, error.unsent), (SendErrorKind::Timeout, false));
        let expected = format!("POST {url}: timeout of 400ms while {phase}");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn peer_that_does_not_read_ends_at_the_timeout() {
    let (sender, done) = mpsc::channel::<()>();
    let done = std::sync::Mutex::new(done);
    let server = serve(move |_, stream| {
        let _ = done.lock().unwrap().recv();
        drop(stream);
    });
    let client = client();
    let body = vec![0; 64 * 1024 * 1024];
    let url = server.url("/");
    let request = Request { timeout: Duration::from_millis(400), ..post(&url, &body) };
    let error = client.send(&request).unwrap_err();
    drop(sender);
    assert!(error.to_string().contains(": timeout of 400ms while sending the request"), "{error}");
}

#[test]
fn refused_and_unresolvable_are_unsent() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client().send(&post(&format!("http://{free}/"), b"x")).unwrap_err();
    assert_eq!((error.kind, error.unsent), (SendErrorKind::Connect, true));
    assert_eq!(error.to_string(), format!("POST http://{free}/: connect {free}: connection refused"));

    let error = client().send(&get("http://no-such-host.invalid/")).unwrap_err();
    assert_eq!((error.kind, error.unsent), (SendErrorKind::Resolve, true));
    let intent = "GET http://no-such-host.invalid/: resolve no-such-host.invalid: ";
    assert!(error.to_string().starts_with(intent), "{error}");
}

#[test]
fn all_addresses_of_a_name_are_tried() {
    // The server listens on 127.0.0.1 alone; localhost often is ::1 first.
    let server = serve_answer("HTTP/1.1 204 No Content\r\n\r\n");
    let url = format!("http://localhost:{}/", server.address.port());
    assert_eq!(client().send(&get(&url)).unwrap().status, 204);
}

/// Connection 0 answers once, reads the second request and closes; the others answer.
fn stale_server() -> crate::http::testing::TestServer {
    serve(|number, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        while read_request(&mut stream).is_some() && number != 0 {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    })
}

#[test]
fn stale_connection_is_replaced_once_where_asked() {
    let server = stale_server();
    let client = client();
    let url = server.url("/");
    for _ in 0..3 {
        assert_eq!(client.send(&post(&url, b"x")).unwrap().status, 204);
    }
    assert_eq!(server.connections(), 2);
}

#[test]
fn stale_connection_is_an_error_where_not_asked() {
    let server = stale_server();
    let client = client();
    let url = server.url("/");
    let request = Request { repeat_if_stale: false, ..post(&url, b"x") };
    client.send(&request).unwrap();
    let error = client.send(&request).unwrap_err();
    assert_eq!((error.kind, error.unsent), (SendErrorKind::Broken, false));
    assert!(error.to_string().ends_with("the peer closed the connection without an answer"), "{error}");
    assert_eq!(server.connections(), 1);
}

#[test]
fn connection_closed_while_idle_is_not_even_tried() {
    let (sender, closed) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        drop(stream);
        let _ = sender.send(());
    });
    let client = client();
    let url = server.url("/");
    let request = Request { repeat_if_stale: false, ..post(&url, b"x") };
    for _ in 0..3 {
        assert_eq!(client.send(&request).unwrap().status, 204);
        closed.recv().unwrap();
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn answer_nobody_asked_for_is_not_taken_for_the_next() {
    let server = serve(|number, mut stream| {
        read_request(&mut stream);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
        stream.write_all(answer.repeat(2).as_bytes()).unwrap();
        until_closed(&mut stream);
    });
    let client = client();
    let url = server.url("/");
    for number in 0..3 {
        assert_eq!(client.send(&post(&url, b"x")).unwrap().body, number.to_string().as_bytes());
    }
}

#[test]
fn first_use_of_a_connection_is_never_stale() {
    let server = serve(|_, mut stream| {
        read_request(&mut stream);
    });
    let error = client().send(&post(&server.url("/"), b"x")).unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Broken);
    assert_eq!(server.connections(), 1);
}

#[test]
fn broken_answers() {
    for (answer, text) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "in the middle of its answer"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal", "in the middle of its answer"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not valid HTTP"),
        ("HTTP/1.1 200 OK\r\nX", "in the middle of its answer"),
    ] {
        let server = serve(move |_, mut stream| {
            read_request(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = client().send(&get(&server.url("/"))).unwrap_err();
        assert_eq!((error.kind, error.unsent), (SendErrorKind::Broken, false), "{answer:?}: {error}");
        assert!(error.to_string().contains(text), "{answer:?}: {error}");
    }
}

#[test]
fn endless_head_is_refused() {
    let server = serve(|_, mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-Filler: 0123456789012345678901234567890123456789\r\n").is_ok() {}
    });
    let error = client().send(&get(&server.url("/"))).unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Broken, "{error}");
}

#[test]
fn refusal_of_a_large_body_is_read_although_the_peer_stops_reading() {
    let server = serve(|_, mut stream| {
        let mut head = [0; 20];
        std::io::Read::read_exact(&mut stream, &mut head).unwrap();
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            .unwrap();
        // Closing with unread input resets the connection.
    });
    let body = vec![b'x'; 8 * 1024 * 1024];
    let answer = client().send(&post(&server.url("/"), &body)).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (413, &b"big"[..]));
}

#[test]
fn large_bodies_arrive_whole() {
    let (sender, requests) = mpsc::channel();
    let server = serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            sender.send(request.body).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    let client = client();
    for size in [1, 15_000, 16_384, 16_385, 300_000] {
        let body: Vec<u8> = (0..size).map(|n: u32| n as u8).collect();
        client.send(&post(&server.url("/"), &body)).unwrap();
        assert!(requests.recv().unwrap() == body, "{size}");
    }
    let (url, long) = (server.url("/"), "v".repeat(8000));
    let request = Request { headers: &[("a", &long), ("b", &long), ("c", &long)], ..get(&url) };
    client.send(&request).unwrap();
}

#[test]
fn requests_that_are_wrong_in_themselves() {
    let client = client();
    for (request, text) in [
        (get("ftp://host/"), "must begin with http:// or https://"),
        (get("http://a b/"), "not a valid address"),
        (get("/sdk"), "must begin with"),
        (get("http://user:secret@host/"), "user information"),
        (Request { headers: &[("a", "secret\r\nb: c")], ..get("http://host/") }, "the value of header a "),
        (Request { headers: &[("a b", "")], ..get("http://host/") }, "header name"),
    ] {
        let error = client.send(&request).unwrap_err();
        assert_eq!((error.kind, error.unsent), (SendErrorKind::Request, true));
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn addresses_in_messages_hold_no_secret() {
    for (url, text) in [
        ("https://vc.local/sdk", "https://vc.local/sdk"),
        ("https://u:p@vc.local:8443/sdk?token=1#x", "https://vc.local:8443/sdk?..."),
        ("https://u:p@ss/w@vc.local", "https://ss/w@vc.local"),
        ("http://h?x=http://u:p@b/", "http://h?..."),
        ("u:p@host", "host"),
    ] {
        assert_eq!(url_text(url), text);
    }
}

#[test]
fn folded_headers_are_read_whatever_comes_when() {
    let server = serve(move |number, mut stream| {
        let answer = "HTTP/1.1 200 OK\r\nX-Long: a\r\n  b;\r\n\tc\r\nContent-Length: 5\r\n\r\nx\r\n y";
        while read_request(&mut stream).is_some() {
            // A write for each piece; nodelay is set.
            for piece in answer.as_bytes().chunks(if number == 0 { 1 } else { 1000 }) {
                stream.write_all(piece).unwrap();
            }
        }
    });
    for client in [client(), client()] {
        for _ in 0..3 {
            let answer = client.send(&get(&server.url("/"))).unwrap();
            let words: Vec<&str> = answer.header("x-long").unwrap().split_whitespace().collect();
            assert_eq!((words, answer.body.as_slice()), (vec!["a", "b;", "c"], &b"x\r\n y"[..]));
        }
    }
    assert_eq!(server.connections(), 2);
}

fn through(proxy: String) -> ConnectionConfig {
    ConnectionConfig { proxy: Some(proxy), ..ConnectionConfig::default() }
}

#[test]
fn proxy_tunnels_with_credentials() {
    let (sender, heads) = mpsc::channel();
    let proxy = serve(move |_, mut stream| {
        sender.send(read_request(&mut stream).unwrap().head).unwrap();
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        while read_request(&mut stream).is_some() {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        }
    });
    let client = client_by(&through(format!("http://me:p%40ss@{}", proxy.address)));
    for _ in 0..2 {
        assert_eq!(client.send(&post("http://no-such-host.invalid/x", b"y")).unwrap().status, 204);
    }
    let expected = format!(
        "CONNECT no-such-host.invalid:80 HTTP/1.1\r\nHost: no-such-host.invalid:80\r\nUser-Agent: {USER_AGENT}\r\n\
         Proxy-Authorization: Basic bWU6cEBzcw=="
    );
    assert_eq!(heads.recv().unwrap(), expected);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn proxy_that_refuses() {
    for (answer, login, text) in [
        ("HTTP/1.1 407 Login\r\n\r\n", "", "the proxy wants a user and a password"),
        ("HTTP/1.1 407 Login\r\n\r\n", "me:secret@", "the proxy refuses the user and password"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "me:secret@", "the proxy answers 403 Forbidden"),
        ("HTTP/1.1 403 Forbidden\r\nVia: a\r\n b\r\n\r\n", "me:secret@", "the proxy answers 403 Forbidden"),
        ("HTTP/1.1 200 OK\r\n\r\nwhat", "", "the proxy sent data before the target could"),
        ("nonsense\r\n\r\n", "", "the proxy does not answer in HTTP"),
        ("", "", "the proxy closed the connection"),
    ] {
        let proxy = serve(move |_, mut stream| {
            read_request(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let client = client_by(&through(format!("http://{login}{}/", proxy.address)));
        let error = client.send(&get("http://target:8080/")).unwrap_err();
        assert_eq!((error.kind, error.unsent), (SendErrorKind::Proxy, true), "{error}");
        let intent =
            format!("GET http://target:8080/: CONNECT target:8080 by proxy {}: {text}", proxy.address);
        assert!(error.to_string().starts_with(&intent), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn proxies_that_are_none() {
    for (proxy, text) in [
        ("socks5://u:secret@h:1", "scheme socks5 is not supported"),
        ("proxy:3128", "scheme none is not supported"),
        ("http://u:secret@h:1/path", "a path has no meaning"),
        ("http://u:sec ret@h", "not a URL"),
    ] {
        let connection = through(proxy.to_owned());
        let error = Client::new(&ClientSettings { connection: &connection, connections_max: 1 }).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert!(!error.to_string().contains("sec"), "{error}");
    }
}

#[test]
fn a_header_row_that_cannot_leave_is_refused_before_anything_is_sent() {
    let (url, long) = ("http://127.0.0.1:9/", "v".repeat(HTTP_OUTPUT_BYTES));
    let request = Request { headers: &[("ce-subject", &long)], ..post(url, b"{}") };
    let error = client().send(&request).unwrap_err();
    assert_eq!((error.kind, error.unsent), (SendErrorKind::Request, true), "{error}");
    assert!(error.to_string().contains("the value of header ce-subject has 8192 bytes"), "{error}");
}

/// Whatever becomes of the body of an answer, its head has said that the event is taken.
#[test]
fn where_the_head_suffices_the_body_may_fail() {
    for (head, body) in [
        ("Content-Length: 100", "short"),
        ("Transfer-Encoding: chunked", "no chunk"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Content-Length: 10", ""),
    ] {
        let server = serve(move |_, mut stream| {
            read_request(&mut stream);
            // Then nothing more comes, and the connection ends.
            let _ = stream.write_all(format!("HTTP/1.1 202 Accepted\r\n{head}\r\n\r\n{body}").as_bytes());
        });
        let url = server.url("/");
        let request = Request { head_suffices: true, ..post(&url, b"{}") };
        let answer = client().send(&request).unwrap_or_else(|error| panic!("{head}: {error}"));
        assert_eq!(answer.status, 202, "{head}");
        let wants_all = Request { head_suffices: false, ..request };
        assert!(client().send(&wants_all).is_err(), "{head}");
    }
}

#[test]
fn a_body_that_trickles_does_not_hold_a_verdict_up() {
    let server = serve(move |_, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n").unwrap();
        while stream.write_all(b".").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let url = server.url("/");
    let long = Duration::from_secs(60);
    let request =
        Request { head_suffices: true, timeout: long, body_bytes_max: 1 << 20, ..post(&url, b"{}") };
    let began = Instant::now();
    assert_eq!(client().send(&request).unwrap().status, 202);
    assert!(began.elapsed() < long / 2, "{:?}", began.elapsed());
}

#[test]
fn plain_text_to_a_port_of_tls_is_told() {
    const ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46";
    const PAGE: &[u8] = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    for (answer, told) in [
        (ALERT, "the peer speaks TLS on this port: write https:// in the URL"),
        (PAGE, "the peer speaks TLS on this port: write https:// in the URL"),
        (b"", "the peer closed the connection without an answer: is this port one for https://?"),
    ] {
        let server = serve(move |_, mut stream| {
            read_request(&mut stream);
            let _ = stream.write_all(answer);
        });
        let error = client().send(&get(&server.url("/"))).unwrap_err();
        assert!(error.kind == SendErrorKind::Broken && error.to_string().ends_with(told), "{error}");
    }
}
