//! Bearer tokens: made from 32 random bytes, shown once, kept as a hash.
//!
//! A token has 256 bits of randomness, so one SHA-256 is enough: there is nothing to guess that a
//! slow hash would protect.

use sha2::{Digest, Sha256};

use crate::core::decode::to_hex;
use crate::core::role::TOKEN_PREFIX;

/// The shortest `ADMIN_TOKEN` that is accepted, in bytes.
pub const MIN_ADMIN_BYTES: usize = 16;

/// The longest token that is looked at, in bytes.
const MAX_BYTES: usize = 512;

/// SHA-256 of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Lowercase hexadecimal, as it is stored.
    pub fn hex(&self) -> String {
        to_hex(&self.0)
    }

    /// Compares in constant time: how long it takes does not depend on where two differ. (What is
    /// compared are hashes already, so a difference in time would tell nothing about the token.)
    pub fn is(&self, stored: &str) -> bool {
        let own = self.hex();
        let difference = own
            .bytes()
            .zip(stored.bytes())
            .fold(0, |difference, (a, b)| difference | (a ^ b));
        std::hint::black_box(difference) == 0 && own.len() == stored.len()
    }
}

/// The text of a new token.
pub fn mint(random: &[u8; 32]) -> String {
    format!("{TOKEN_PREFIX}{}", to_hex(random))
}

/// The token of an `Authorization` header (RFC 6750, 2.1); the scheme's case does not matter
/// (RFC 9110, 11.1).
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim();
    let usable = !token.is_empty() && token.len() <= MAX_BYTES;
    (scheme.eq_ignore_ascii_case("bearer") && usable).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization_headers() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer   abc "), Some("abc"));
        for bad in ["", "abc", "Basic abc", "Bearer", "Bearer  "] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
        assert_eq!(bearer(&format!("Bearer {}", "x".repeat(513))), None);
    }

    #[test]
    fn a_hash_is_its_tokens_only() {
        let token = mint(&[7; 32]);
        assert_eq!(token.len(), 69);
        let hash = TokenHash::of(&token);
        assert!(hash.is(&TokenHash::of(&token).hex()));
        assert!(!hash.is(&TokenHash::of(&mint(&[8; 32])).hex()));
        assert!(!hash.is(""));
        assert!(!hash.is(&hash.hex()[..63]));
        assert!(!hash.is(&format!("{}0", hash.hex())));
    }
}
