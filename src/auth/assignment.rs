//! Assignment tokens: what a requester was given, sealed, so that they can bring it back and nobody can make
//! one up or use another's. HMAC-SHA-256 (RFC 2104): only the router reads them.

use base64ct::{Base64UrlUnpadded, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::core::bucket::UnitHash;
use crate::core::sticky::Held;
use crate::core::time::Timestamp;

/// For how long one is good after it was last given, in seconds.
pub const LIFETIME_S: u64 = 30 * 86_400;

/// The longest that is looked at, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// The form of the payload.
const VERSION: u8 = 1;

/// Bytes of the code.
const CODE: usize = 16;

/// The key, made from a signing key. It is printed nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct AssignmentKey([u8; 32]);

impl std::fmt::Debug for AssignmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AssignmentKey")
    }
}

impl AssignmentKey {
    /// From a private key in PKCS #8: another purpose, so another key.
    pub fn of(private: &[u8]) -> Option<Self> {
        let mac = mac(private)?.chain_update("caro-edge assignment token");
        Some(Self(mac.finalize().into_bytes().into()))
    }

    fn code(&self, unit: &UnitHash, payload: &[u8]) -> Option<Hmac<Sha256>> {
        let unit = unit.as_u128().to_be_bytes();
        Some(mac(&self.0)?.chain_update(unit).chain_update(payload))
    }
}

fn mac(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

/// A token for one requester.
pub fn seal(held: &Held, unit: &UnitHash, key: &AssignmentKey, now: Timestamp) -> Option<String> {
    let seconds = now.millis_since(Timestamp::from_millis(0)) / 1000;
    let mut bytes = vec![VERSION];
    bytes.extend((seconds + LIFETIME_S).to_be_bytes());
    bytes.extend(held.bytes());
    let code = key.code(unit, &bytes)?.finalize().into_bytes();
    bytes.extend(code.iter().take(CODE));
    Some(Base64UrlUnpadded::encode_string(&bytes))
}

/// What a token says; `None`: it is another's, too old, or none of ours.
pub fn open(token: &str, unit: &UnitHash, keys: &[AssignmentKey], now: Timestamp) -> Option<Held> {
    if token.len() > MAX_BYTES {
        return None;
    }
    let bytes = Base64UrlUnpadded::decode_vec(token).ok()?;
    let (payload, code) = bytes.split_at_checked(bytes.len().checked_sub(CODE)?)?;
    let is_ours = |key: &AssignmentKey| {
        let mac = key.code(unit, payload);
        mac.is_some_and(|mac| mac.verify_truncated_left(code).is_ok())
    };
    if !keys.iter().any(is_ours) {
        return None;
    }
    let (version, rest) = payload.split_first()?;
    let (expires, rest) = rest.split_first_chunk::<8>()?;
    let seconds = now.millis_since(Timestamp::from_millis(0)) / 1000;
    if *version != VERSION || u64::from_be_bytes(*expires) < seconds {
        return None;
    }
    Held::from_bytes(rest)
}
