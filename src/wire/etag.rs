//! Entity tags (RFC 9110, 8.8.3).

use sha2::{Digest, Sha256};

/// A strong validator of a body: the first half of its SHA-256, so that a client can tell whether a tag
/// is that of the body it has.
pub fn of_body(body: &str) -> String {
    of_digest(&Sha256::digest(body))
}

/// A digest's first half as a tag.
pub fn of_digest(digest: &[u8]) -> String {
    let (half, _) = digest.split_at(digest.len() / 2);
    format!("\"{}\"", crate::core::decode::to_hex(half))
}
