//! Who is let in: an account of Basic authentication, or whoever holds a bearer token.

use std::hint::black_box;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use crate::config::BasicAuth;
use crate::config::secret::Secret;
use crate::error::Result;

/// What a peer must know.
#[derive(Clone, Debug)]
pub(crate) enum ServerAuth {
    /// Name and password, as `Authorization: Basic`.
    Basic(BasicAuth),
    /// A token, as `Authorization: Bearer`.
    Bearer(Secret),
}

/// Lets in who knows the credentials.
#[derive(Debug)]
pub(crate) struct Guard {
    credentials: ServerAuth,
    // The digest of what was right when it could be read last.
    good: Mutex<[u8; 32]>,
}

impl Guard {
    /// Reads the credentials once.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn new(credentials: ServerAuth) -> Result<Guard> {
        let good = Mutex::new(credentials.read()?);
        Ok(Guard { credentials, good })
    }

    /// Whether this field `Authorization` holds them.
    pub(crate) fn admits(&self, authorization: Option<&str>) -> bool {
        let mut good = crate::sync::lock(&self.good);
        // A rotated secret is good at once; while its file is away, the old one stays.
        if let Ok(digest) = self.credentials.read() {
            *good = digest;
        }
        self.credentials.given(authorization).is_some_and(|given| is_equal(&given, &good))
    }
}

impl ServerAuth {
    fn read(&self) -> Result<[u8; 32]> {
        Ok(match self {
            ServerAuth::Basic(BasicAuth { username, password }) => {
                digest_of(format!("{}:{}", username.read()?, password.read()?).as_bytes())
            }
            ServerAuth::Bearer(token) => digest_of(token.read()?.as_bytes()),
        })
    }

    // The digest of those of a request.
    fn given(&self, authorization: Option<&str>) -> Option<[u8; 32]> {
        let (scheme, text) = authorization?.split_once(' ')?;
        let text = text.trim();
        let (expected, given) = match self {
            ServerAuth::Basic(_) => ("basic", digest_of(&STANDARD.decode(text).ok()?)),
            ServerAuth::Bearer(_) => ("bearer", digest_of(text.as_bytes())),
        };
        scheme.eq_ignore_ascii_case(expected).then_some(given)
    }
}

fn digest_of(text: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text).as_ref());
    bytes
}

/// Takes as long whatever the difference is: how long an answer takes must not tell how much of a
/// password is right.
fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_as_a_whole() {
        let guard = Guard::new(ServerAuth::Bearer(Secret::Literal("t0ken".into()))).unwrap();
        for (authorization, admitted) in [
            ("Bearer t0ken", true),
            ("bearer  t0ken ", true),
            ("Bearer t0ke", false),
            ("Bearer t0ken2", false),
            ("Basic t0ken", false),
            ("Bearer", false),
            ("", false),
        ] {
            assert_eq!(guard.admits(Some(authorization)), admitted, "{authorization}");
        }
        assert!(!guard.admits(None));
    }
}
