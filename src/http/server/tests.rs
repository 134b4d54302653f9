//! The server against raw sockets.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::*;
use crate::demo::faults::{self, Step};

/// Echoes method, target and body; some paths misbehave.
fn start(settings: ServerSettings) -> Server {
    Server::start("127.0.0.1:0", settings, |request| match request.path() {
        "/hang" => faults::reply(vec![Step::Pause(None)]),
        "/reset" => faults::reply(vec![Step::Reset]),
        "/trickle" => faults::reply(vec![Step::Trickle {
            bytes: Answer::text(200, "slow").encode(),
            pause: Duration::from_millis(1),
        }]),
        "/cut" => {
            let whole = Answer::text(200, "0123456789").encode();
            faults::reply(vec![Step::Send(whole[..whole.len() - 6].to_vec())])
        }
        _ => {
            let text =
                format!("{} {} {}", request.method, request.target, String::from_utf8_lossy(&request.body));
            Reply::Answer(Answer::text(200, &text))
        }
    })
    .unwrap()
}

fn quick() -> ServerSettings {
    ServerSettings {
        connections_max: 8,
        header_bytes_max: 1024,
        body_bytes_max: 100,
        head_wait_max: Duration::from_millis(300),
        body_wait_max: Duration::from_millis(300),
        ..ServerSettings::default()
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(server: &Server) -> Client {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        // The server may have closed already: what it said is read later.
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Status and body of the next answer.
    fn answer(&mut self) -> std::io::Result<(u16, String)> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line)?;
            if line == "\r\n" {
                break;
            }
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, String::from_utf8(body).unwrap()))
    }

    fn ask(&mut self, request: &str) -> (u16, String) {
        self.send(request.as_bytes());
        self.answer().unwrap()
    }

    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).is_ok_and(|bytes| bytes == 0)
    }
}

#[test]
fn requests_share_a_connection_and_may_be_pipelined() {
    let server = start(quick());
    let mut client = Client::connect(&server);
    assert_eq!(client.ask("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"), (200, "GET /a?b \n".into()));
    client
        .send(b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\nGET /2 HTTP/1.1\nHost: x\n\n");
    assert_eq!(client.answer().unwrap(), (200, "POST /1 abc\n".into()));
    assert_eq!(client.answer().unwrap(), (200, "GET /2 \n".into()));
    assert_eq!(server.connections(), 1);
    assert_eq!(client.ask("GET /3 HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n").0, 200);
    assert!(client.is_closed());
    let mut old = Client::connect(&server);
    assert_eq!(old.ask("GET /4 HTTP/1.0\r\n\r\n"), (200, "GET /4 \n".into()));
    assert!(old.is_closed());
    let mut kept = Client::connect(&server);
    kept.send(b"GET /5 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(kept.0.read_line(&mut head).unwrap(), 0, "{head}");
    }
    assert!(head.contains("\r\nConnection: keep-alive\r\n"), "HTTP/1.0 needs to be told: {head}");
}

#[test]
fn chunked_bodies_and_expectations() {
    let server = start(quick());
    let mut client = Client::connect(&server);
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n";
    let body = "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    assert_eq!(client.ask(&format!("{head}{body}")), (200, "POST / abc0123456789\n".into()));
    client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.answer().unwrap(), (100, String::new()));
    assert_eq!(client.ask("ok"), (200, "PUT / ok\n".into()));
    for (body, status) in [
        ("65\r\n", 413),
        ("60\r\n0123456789", 408),
        ("x\r\n", 400),
        ("ffffffffffffffff\r\n", 413),
        ("3\r\nabcd\r\n", 400),
    ] {
        let mut client = Client::connect(&server);
        assert_eq!(client.ask(&format!("{head}{body}")).0, status, "{body}");
        assert!(client.is_closed());
    }
}

#[test]
fn what_is_too_much_or_ambiguous_is_refused() {
    let server = start(quick());
    let padding = "x".repeat(2000);
    for (request, status) in [
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n".to_string(), 413),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n".to_string(), 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_string(), 400),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_string(),
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n".to_string(), 501),
        ("GET / HTTP/1.1\r\n\r\n".to_string(), 400),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_string(), 505),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n".to_string(), 417),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX: {padding}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(100)), 431),
        ("\u{16}\u{3}\u{1}\0\u{1}\0".to_string(), 400),
        ("GET / HT".to_string(), 408),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc".to_string(), 408),
    ] {
        let mut client = Client::connect(&server);
        assert_eq!(client.ask(&request).0, status, "{request}");
        assert!(client.is_closed(), "{request}");
    }
}

#[test]
fn head_has_the_length_but_no_body() {
    let server = start(quick());
    let mut client = Client::connect(&server);
    client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    client.0.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("Content-Length: 8\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_head_of_a_mebibyte_is_refused_without_being_kept() {
    let server = start(quick());
    let mut client = Client::connect(&server);
    let mut writer = client.0.get_ref().try_clone().unwrap();
    let thread = std::thread::spawn(move || writer.write_all(&b"GET / HTTP/1.1\r\nX: ".repeat(60_000)));
    assert_eq!(client.answer().unwrap().0, 431);
    let _ = thread.join().unwrap();
}

#[test]
fn slow_and_idle_peers_yield_to_a_new_one() {
    let long = Duration::from_secs(60);
    let server = start(ServerSettings { head_wait_max: long, body_wait_max: long, ..quick() });
    let mut held: Vec<Client> = (0..40).map(|_| Client::connect(&server)).collect();
    for (n, client) in held.iter_mut().enumerate() {
        client.send(
            ["", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na"][n % 3].as_bytes(),
        );
    }
    let begin = Instant::now();
    assert_eq!(Client::connect(&server).ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").0, 200);
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!(server.connections() <= 8);
}

#[test]
fn peers_that_do_not_take_their_answers_yield_to_a_new_one() {
    let answer = Answer::text(200, &"x".repeat(16 << 20));
    let settings = ServerSettings { write_wait_max: Duration::from_secs(60), ..quick() };
    let connections_max = settings.connections_max;
    let server = Server::start("127.0.0.1:0", settings, move |request| match request.path() {
        "/big" => Reply::Answer(answer.clone()),
        _ => Reply::Answer(Answer::text(200, "ok")),
    })
    .unwrap();
    let mut held: Vec<Client> = (0..connections_max).map(|_| Client::connect(&server)).collect();
    for client in &mut held {
        client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
        // The answer is on its way.
        client.0.fill_buf().unwrap();
    }
    assert_eq!(Client::connect(&server).ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (200, "ok\n".into()));
}

#[test]
fn busy_connections_are_not_given_up() {
    let (told, begun) = bounded(1);
    let settings = ServerSettings { connections_max: 1, ..quick() };
    let mut server = Server::start("127.0.0.1:0", settings, move |request| {
        let _ = told.send(());
        request.stop.wait(Duration::from_secs(60));
        Reply::Answer(Answer::text(200, "stopped"))
    })
    .unwrap();
    let mut busy = Client::connect(&server);
    busy.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    begun.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(Client::connect(&server).answer().unwrap().0, 503);
    server.stop();
    assert_eq!(busy.answer().unwrap(), (200, "stopped\n".into()), "running requests are finished");
}

#[test]
fn scripted_replies_are_seen_by_the_peer() {
    let server = start(quick());
    let ask = |path: &str| {
        let mut client = Client::connect(&server);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        client.answer()
    };
    assert_eq!(ask("/trickle").unwrap(), (200, "slow\n".into()));
    assert_eq!(ask("/cut").unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(ask("/reset").unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn stop_ends_everything_and_frees_the_address() {
    let mut server = start(quick());
    let address = server.address().to_string();
    let mut idle = Client::connect(&server);
    idle.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut hung = Client::connect(&server);
    hung.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < limits::SERVER_STOP_WAIT_MAX);
    assert!(idle.is_closed() && hung.answer().is_err());
    assert_eq!(server.connections(), 0);
    assert!(TcpStream::connect(&address).is_err());
    Server::start(&address, quick(), |_| Reply::Answer(Answer::text(200, "again"))).unwrap();
}

#[test]
fn a_peer_that_left_is_noticed() {
    let (told, left) = bounded(1);
    let server = Server::start("127.0.0.1:0", quick(), move |request| {
        let begin = Instant::now();
        while !faults::is_abandoned(request) && begin.elapsed() < Duration::from_secs(10) {
            request.stop.wait(Duration::from_millis(1));
        }
        let _ = told.send(faults::is_abandoned(request));
        Reply::Answer(Answer::text(200, ""))
    })
    .unwrap();
    let mut client = Client::connect(&server);
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(left.recv_timeout(Duration::from_millis(50)).is_err(), "it is still there");
    drop(client);
    assert!(left.recv_timeout(Duration::from_secs(20)).unwrap());
}
