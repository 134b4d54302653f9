//! What a server offers that the router cannot speak with: a greeting with all that TLS had before 1.3
//! (RFC 5246, RFC 8422), and what the answer tells. Pure.

use crate::x509::{Certificate, key_kind};

/// Cipher suites by IANA's number and OpenSSL's name, the best first; those of the router begin the list.
const SUITES: &[(u16, &str)] = &[
    (0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (0xc030, "ECDHE-RSA-AES256-GCM-SHA384"),
    (0xc02f, "ECDHE-RSA-AES128-GCM-SHA256"),
    (0xcca8, "ECDHE-RSA-CHACHA20-POLY1305"),
    (0x009f, "DHE-RSA-AES256-GCM-SHA384"),
    (0x009e, "DHE-RSA-AES128-GCM-SHA256"),
    (0xccaa, "DHE-RSA-CHACHA20-POLY1305"),
    (0xc024, "ECDHE-ECDSA-AES256-SHA384"),
    (0xc023, "ECDHE-ECDSA-AES128-SHA256"),
    (0xc028, "ECDHE-RSA-AES256-SHA384"),
    (0xc027, "ECDHE-RSA-AES128-SHA256"),
    (0xc00a, "ECDHE-ECDSA-AES256-SHA"),
    (0xc009, "ECDHE-ECDSA-AES128-SHA"),
    (0xc014, "ECDHE-RSA-AES256-SHA"),
    (0xc013, "ECDHE-RSA-AES128-SHA"),
    (0x006b, "DHE-RSA-AES256-SHA256"),
    (0x0067, "DHE-RSA-AES128-SHA256"),
    (0x0039, "DHE-RSA-AES256-SHA"),
    (0x0033, "DHE-RSA-AES128-SHA"),
    (0x009d, "AES256-GCM-SHA384"),
    (0x009c, "AES128-GCM-SHA256"),
    (0x003d, "AES256-SHA256"),
    (0x003c, "AES128-SHA256"),
    (0x0035, "AES256-SHA"),
    (0x002f, "AES128-SHA"),
    (0xc012, "ECDHE-RSA-DES-CBC3-SHA"),
    (0x000a, "DES-CBC3-SHA"),
    (0x0005, "RC4-SHA"),
    (0x0004, "RC4-MD5"),
];
const GROUPS: &[(u16, &str)] =
    &[(29, "X25519"), (23, "P-256"), (24, "P-384"), (25, "P-521"), (30, "X448"), (22, "secp256k1")];
/// Hash and signature, SHA-512 to SHA-1, ECDSA and RSA, PSS and Ed25519.
const SIGNATURES: &[u16] =
    &[0x0603, 0x0503, 0x0403, 0x0807, 0x0806, 0x0805, 0x0804, 0x0601, 0x0501, 0x0401, 0x0203, 0x0201];
/// TLS_EMPTY_RENEGOTIATION_INFO_SCSV: safe renegotiation, which some servers insist on.
const SAFE_RENEGOTIATION: u16 = 0x00ff;

const RECORD_ALERT: u8 = 21;
const RECORD_HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const SERVER_HELLO_DONE: u8 = 14;

/// A ClientHello for TLS 1.2 and all before it; `name` is asked for if it is one of DNS.
pub(in crate::http) fn client_hello(random: &[u8; 32], name: Option<&str>) -> Vec<u8> {
    let numbers = |list: &mut dyn Iterator<Item = u16>| list.flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let suites = SUITES.iter().map(|(number, _)| *number).chain([SAFE_RENEGOTIATION]);
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0], short(name.as_bytes()).as_slice()].concat();
        extensions.extend(extension(0, &short(&entry)));
    }
    extensions.extend(extension(10, &short(&numbers(&mut GROUPS.iter().map(|(number, _)| *number)))));
    extensions.extend(extension(11, &[1, 0]));
    extensions.extend(extension(13, &short(&numbers(&mut SIGNATURES.iter().copied()))));
    let hello = [
        &[3, 3],
        random.as_slice(),
        &[0],
        &short(&numbers(&mut suites.into_iter())),
        &[1, 0],
        &short(&extensions),
    ]
    .concat();
    let message = [&[1, 0], short(&hello).as_slice()].concat();
    [&[RECORD_HANDSHAKE, 3, 1], short(&message).as_slice()].concat()
}

fn extension(number: u16, body: &[u8]) -> Vec<u8> {
    [number.to_be_bytes().as_slice(), &short(body)].concat()
}

/// With its length in two bytes before it; nothing here is longer.
fn short(body: &[u8]) -> Vec<u8> {
    [u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes().as_slice(), body].concat()
}

/// Whether an answer is complete: what follows it the server does not say before the client speaks.
pub(in crate::http) fn is_complete(answer: &[u8]) -> bool {
    let (messages, alert) = read(answer);
    alert.is_some() || messages.iter().any(|(kind, _)| *kind == SERVER_HELLO_DONE)
}

/// What the answer tells about the server, as what follows "the server offers"; none if it tells nothing.
pub(in crate::http) fn offer(answer: &[u8]) -> Option<String> {
    /// RFC 5246 section 7.2.
    const PROTOCOL_VERSION: u8 = 70;
    let (messages, alert) = read(answer);
    let body =
        |wanted: u8| messages.iter().find(|(kind, _)| *kind == wanted).map(|(_, body)| body.as_slice());
    let Some(hello) = body(SERVER_HELLO) else {
        return (alert == Some(PROTOCOL_VERSION)).then(|| "nothing older than TLS 1.3".to_owned());
    };
    let (version, rest) = (number(hello)?, hello.get(34..)?);
    let session = usize::from(*rest.first()?);
    let suite = number(rest.get(1 + session..)?)?;
    let mut text = version_name(version).to_owned();
    match name_in(SUITES, suite) {
        Some(name) => text += &format!(" with {name}"),
        None => text += &format!(" with cipher suite {suite:#06x}"),
    }
    // The curve of an ephemeral key is a named one.
    if let Some([3, group @ ..]) = body(SERVER_KEY_EXCHANGE)
        && let Some(group) = number(group).and_then(|group| name_in(GROUPS, group))
        && text.contains("ECDHE")
    {
        text += &format!(" on {group}");
    }
    let leaf = body(CERTIFICATE).and_then(|chain| {
        let length = chain.get(3..6)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        chain.get(6..6 + length)
    });
    if let Some(kind) = leaf.and_then(Certificate::read).and_then(|leaf| key_kind(leaf.public_key_info)) {
        text += &format!(", its certificate has a key {kind}");
        if ["P-521", "secp256k1", "Ed448", "DSA"].contains(&kind.as_str()) {
            text += ", which the router does not verify: RSA of 2048 bits or more, P-256, P-384 and Ed25519 it does";
        }
    }
    Some(text)
}

fn version_name(version: u16) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        _ => "an unknown version of TLS",
    }
}

fn name_in(table: &[(u16, &'static str)], wanted: u16) -> Option<&'static str> {
    table.iter().find(|(number, _)| *number == wanted).map(|(_, name)| *name)
}

fn number(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// The whole handshake messages, and the alert, of an answer.
fn read(mut answer: &[u8]) -> (Vec<(u8, Vec<u8>)>, Option<u8>) {
    let (mut stream, mut alert) = (Vec::new(), None);
    while let [kind, 3, _, high, low, rest @ ..] = answer {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((body, rest)) = rest.split_at_checked(length) else { break };
        match (*kind, body) {
            (RECORD_HANDSHAKE, body) => stream.extend_from_slice(body),
            // A warning, such as about the name, ends nothing.
            (RECORD_ALERT, [2, description]) => alert = Some(*description),
            (RECORD_ALERT, _) => {}
            _ => break,
        }
        answer = rest;
    }
    let (mut messages, mut rest) = (Vec::new(), stream.as_slice());
    while let [kind, high, middle, low, after @ ..] = rest {
        let length = [*high, *middle, *low].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let Some((body, after)) = after.split_at_checked(length) else { break };
        messages.push((*kind, body.to_vec()));
        rest = after;
    }
    (messages, alert)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3], short(body).as_slice()].concat()
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0], short(body).as_slice()].concat()
    }

    fn server_hello(version: [u8; 2], suite: u16) -> Vec<u8> {
        let body = [&version, [7; 32].as_slice(), &[2, 1, 2], &suite.to_be_bytes(), &[0]].concat();
        message(SERVER_HELLO, &body)
    }

    #[test]
    fn what_a_server_offers() {
        let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let length = |body: &[u8]| [&[0], short(body).as_slice()].concat();
        let chain = message(CERTIFICATE, &length(&length(made.cert.der())));
        let key = message(SERVER_KEY_EXCHANGE, &[3, 0, 25, 1, 4]);
        let done = message(SERVER_HELLO_DONE, &[]);
        for (messages, expected) in [
            (vec![server_hello([3, 1], 0x2f), done.clone()], "TLS 1.0 with AES128-SHA"),
            (
                vec![server_hello([3, 3], 0xc02c), chain, key, done.clone()],
                "TLS 1.2 with ECDHE-ECDSA-AES256-GCM-SHA384 on P-521, its certificate has a key P-256",
            ),
            (vec![server_hello([3, 2], 0xc0ff), done], "TLS 1.1 with cipher suite 0xc0ff"),
        ] {
            let stream = messages.concat();
            // However the messages lie in records.
            let one = record(RECORD_HANDSHAKE, &stream);
            let many: Vec<u8> = stream.chunks(5).flat_map(|piece| record(RECORD_HANDSHAKE, piece)).collect();
            for answer in [one, many] {
                assert!(is_complete(&answer) && !is_complete(&answer[..answer.len() - 1]));
                assert_eq!(offer(&answer).as_deref(), Some(expected));
                (0..answer.len()).for_each(|end| drop(offer(&answer[..end])));
            }
        }
        assert_eq!(offer(&record(RECORD_ALERT, &[2, 70])).as_deref(), Some("nothing older than TLS 1.3"));
        assert_eq!(offer(&record(RECORD_ALERT, &[2, 40])), None);
        assert!(
            is_complete(&record(RECORD_ALERT, &[2, 40])) && !is_complete(&record(RECORD_ALERT, &[1, 112]))
        );
        assert_eq!(offer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
    }

    #[test]
    fn a_greeting_that_a_server_understands() {
        let hello = client_hello(&[1; 32], Some("vc01.test"));
        let mut acceptor = rustls::server::Acceptor::default();
        acceptor.read_tls(&mut hello.as_slice()).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        assert_eq!(accepted.client_hello().server_name(), Some("vc01.test"));
        assert_eq!(accepted.client_hello().cipher_suites().len(), SUITES.len() + 1);
        assert_eq!(accepted.client_hello().signature_schemes().len(), SIGNATURES.len());
        assert!(client_hello(&[1; 32], None).len() < hello.len());
    }
}
