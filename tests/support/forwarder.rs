//! A TCP forwarder: the network between the router and a peer, which a test can take away.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards connections from a free port of loopback. Dropped, it cuts all of them.
pub struct Forwarder {
    /// `127.0.0.1:PORT`.
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    target: String,
    is_down: AtomicBool,
    is_half_open: AtomicBool,
    is_over: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Forwarder {
    /// Forwards to `target`, an address with a port.
    pub fn start(target: &str) -> Forwarder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            target: target.to_string(),
            is_down: AtomicBool::new(false),
            is_half_open: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // What cannot be forwarded is closed.
                let _ = accepting.forward(connection);
            }
        });
        Forwarder { address, shared }
    }

    /// Cuts all connections and lets no new one live.
    pub fn take_down(&self) {
        self.shared.is_down.store(true, Ordering::SeqCst);
        self.shared.cut();
    }

    /// Swallows answers: what is sent arrives, and whoever sent it never hears of it.
    pub fn open_half(&self) {
        self.shared.is_half_open.store(true, Ordering::SeqCst);
    }

    /// Forwards again.
    pub fn bring_up(&self) {
        self.shared.is_half_open.store(false, Ordering::SeqCst);
        self.shared.is_down.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    fn forward(self: &Arc<Shared>, near: TcpStream) -> io::Result<()> {
        let far = TcpStream::connect(&self.target)?;
        self.connections.lock().unwrap().extend([near.try_clone()?, far.try_clone()?]);
        // It may have been taken down meanwhile.
        if self.is_down.load(Ordering::SeqCst) {
            self.cut();
        }
        let (mut from, mut to) = (near.try_clone()?, far.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let (shared, mut from, mut to) = (self.clone(), far, near);
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count) = from.read(&mut buffer)
                && 0 < count
                && (shared.is_half_open.load(Ordering::SeqCst) || to.write_all(&buffer[..count]).is_ok())
            {
            }
            let _ = to.shutdown(Shutdown::Write);
        });
        Ok(())
    }

    fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.take_down();
        let _ = TcpStream::connect(&self.address);
    }
}
