//! Who may send events to a webhook: everybody, who knows an account or a token, or who signs the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::config::secret::Secret;
use crate::error::Result;
use crate::http::server::guard::{Guard, ServerAuth};
use crate::http::server::{Answer, InRequest};

/// What the configuration wants of senders.
#[derive(Clone, Debug, Default)]
pub(super) enum AccessConfig {
    /// Nothing.
    #[default]
    Open,
    /// A field `Authorization`.
    Credentials(ServerAuth),
    /// HMAC-SHA256 of the body.
    Signature {
        /// The field that holds it.
        header: String,
        /// The key that both sides know.
        key: Secret,
    },
}

/// Judges requests.
pub(super) enum Access {
    Open,
    Guarded(Guard, &'static str),
    Signed { header: String, key: Secret },
}

impl Access {
    /// # Errors
    /// When a secret cannot be read.
    pub(super) fn new(config: AccessConfig) -> Result<Access> {
        Ok(match config {
            AccessConfig::Open => Access::Open,
            AccessConfig::Credentials(credentials) => {
                let challenge = match credentials {
                    // As the Go router wrote it.
                    ServerAuth::Basic(_) => "Basic realm=\"restricted\", charset=\"UTF-8\"",
                    ServerAuth::Bearer(_) => "Bearer",
                };
                Access::Guarded(Guard::new(credentials)?, challenge)
            }
            AccessConfig::Signature { header, key } => {
                key.read()?;
                Access::Signed { header, key }
            }
        })
    }

    /// The answer to a request that is not let in.
    pub(super) fn refuses(&self, request: &InRequest) -> Option<Answer> {
        match self {
            Access::Open => None,
            Access::Guarded(guard, challenge) => {
                let is_admitted = guard.admits(request.header("authorization"));
                let refusal = || Answer::text(401, "Unauthorized").header("WWW-Authenticate", *challenge);
                (!is_admitted).then(refusal)
            }
            // A handshake has no body to sign, and tells nothing.
            Access::Signed { .. } if request.method == "OPTIONS" => None,
            Access::Signed { header, key } => {
                let given = request.header(header);
                let is_right = key
                    .read()
                    .is_ok_and(|key| given.is_some_and(|given| is_signed(&key, given, &request.body)));
                let refusal = || Answer::text(401, &format!("the signature in {header} is missing or wrong"));
                (!is_right).then(refusal)
            }
        }
    }
}

/// Whether `given` is the HMAC-SHA256 of the body, as hexadecimal digits or base64, with or without
/// `sha256=` before it. Takes as long whatever differs.
fn is_signed(key: &str, given: &str, body: &[u8]) -> bool {
    let text = given.trim();
    let text = text.strip_prefix("sha256=").or_else(|| text.strip_prefix("SHA256=")).unwrap_or(text);
    let Some(tag) = from_hex(text).or_else(|| STANDARD.decode(text).ok()) else { return false };
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body, &tag).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 2.
    const HEX: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const BODY: &[u8] = b"what do ya want for nothing?";

    #[test]
    fn a_signature_is_taken_in_each_of_its_forms() {
        let bytes = from_hex(HEX).unwrap();
        let base64 = STANDARD.encode(&bytes);
        for good in [HEX, &HEX.to_uppercase(), &format!("sha256={HEX}"), &base64, &format!(" {HEX} ")] {
            assert!(is_signed("Jefe", good, BODY), "{good}");
            assert!(!is_signed("jefe", good, BODY), "{good}");
            assert!(!is_signed("Jefe", good, b"what do ya want"), "{good}");
        }
        for bad in ["", "sha256=", &HEX[2..], &HEX[1..], &format!("sha1={HEX}"), "é", &HEX.replace('5', "6")]
        {
            assert!(!is_signed("Jefe", bad, BODY), "{bad}");
        }
    }
}
