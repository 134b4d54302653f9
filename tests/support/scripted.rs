//! An HTTP server that answers every request with the same bytes: what is at an address that is
//! not a vCenter.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A server on a free port of loopback. Dropped, it stops listening.
pub struct Scripted {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    requests: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it answers.
pub enum Answer {
    /// A status line, a media type and a body.
    Page(&'static str, &'static str, String),
    /// Status 200, then this prefix and spaces up to so many bytes.
    Long(&'static str, usize),
    /// A Content-Length, fewer bytes, and the end of the connection.
    Short(&'static str),
}

impl Scripted {
    /// Starts listening.
    pub fn start(answer: Answer) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (requests, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                // The client may hang up in the middle of an answer it does not like.
                let _ = stream.and_then(|stream| serve(stream, &answer));
            }
        });
        Scripted { url, requests, stop, thread: Some(thread) }
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One request and its answer on one connection.
fn serve(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    read_request(&mut stream)?;
    match answer {
        Answer::Page(status, media_type, body) => write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
        Answer::Long(prefix, length) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\n\r\n")?;
            stream.write_all(prefix.as_bytes())?;
            let spaces = vec![b' '; 64 * 1024];
            for _ in 0..length.div_ceil(spaces.len()) {
                stream.write_all(&spaces)?;
            }
            Ok(())
        }
        Answer::Short(body) => write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len() + 1000
        ),
    }
}

/// Head and body: closing a socket with unread bytes would reset the connection.
fn read_request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(head) = find(&request, b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length = text.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
            let body: usize = length.and_then(|digits| digits.trim().parse().ok()).unwrap_or(0);
            if head + 4 + body <= request.len() {
                return Ok(());
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}
