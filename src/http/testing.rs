//! Scripted servers on loopback for the tests of all that sends requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server whose connections are driven by a script. Dropping it waits for the script's threads and
/// passes on their panics, so declare it before the client.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
    workers: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

/// Starts a server; the script gets each connection with its number, from 0, in a thread of its own.
pub(crate) fn serve(script: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> TestServer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let workers = Arc::new(Mutex::new(Vec::new()));
    let acceptor = std::thread::spawn({
        let (connections, stopping, workers) = (connections.clone(), stopping.clone(), workers.clone());
        let script = Arc::new(script);
        move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let script = script.clone();
                let stream = stream.unwrap();
                // What a script wrote before it closes must have left, reset or not.
                stream.set_nodelay(true).unwrap();
                let worker = std::thread::spawn(move || script(number, stream));
                workers.lock().unwrap().push(worker);
            }
        }
    });
    TestServer { address, connections, stopping, acceptor: Some(acceptor), workers }
}

/// A server that gives the same answer to each request, on kept connections.
pub(crate) fn serve_answer(answer: impl Into<Vec<u8>>) -> TestServer {
    let answer = answer.into();
    serve(move |_, mut stream| {
        while read_request(&mut stream).is_some() {
            stream.write_all(&answer).unwrap();
        }
    })
}

/// The same over TLS: the script gets the decrypted stream of each handshake that succeeds.
pub(crate) fn serve_tls(
    config: ServerConfig,
    script: impl Fn(usize, &mut TlsStream) + Send + Sync + 'static,
) -> TestServer {
    let config = Arc::new(config);
    serve(move |number, mut stream| {
        let mut connection = ServerConnection::new(config.clone()).unwrap();
        // Also a refused handshake is worth waiting for: the client's alert ends it.
        if connection.complete_io(&mut stream).is_ok() {
            script(number, &mut StreamOwned::new(connection, stream));
        }
    })
}

/// A server's end of a TLS connection.
pub(crate) type TlsStream = StreamOwned<ServerConnection, TcpStream>;

impl TestServer {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections were accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let mut threads: Vec<_> = self.acceptor.take().into_iter().collect();
        threads.append(&mut self.workers.lock().unwrap());
        for thread in threads {
            if let Err(panic) = thread.join()
                && !std::thread::panicking()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct RawRequest {
    /// Request line and header rows, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl RawRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|row| {
            let (key, value) = row.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Reads one request with a body of known length; none at the end of the connection.
pub(crate) fn read_request(stream: &mut impl Read) -> Option<RawRequest> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(bytes).unwrap().trim_end().to_owned();
    let mut request = RawRequest { head, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Waits until the peer closes, so that a script can hang without a fixed sleep.
pub(crate) fn until_closed(stream: &mut impl Read) {
    while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
}
