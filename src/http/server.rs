//! Inbound HTTP/1.1 with a limit on everything a peer can send or hold.
