//! What of an answer is signed, and how that is written: HTTP Message Signatures (RFC 9421) with
//! `Content-Digest` (RFC 9530).
//!
//! Signed are the status, the path that was asked, the revision and, of an answer with content, its
//! type and digest; of a 304 its `ETag`. So nobody on the way can change an answer, give that of one
//! release for another's, or one of yesterday. Who asked is not in it: one signature is good for all who
//! get the same answer.

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use crate::core::time::Timestamp;

/// What the signature is called in the headers, and its `tag`.
pub const LABEL: &str = "caro";
pub const TAG: &str = "caro-edge";

/// For how long a signature is good, in seconds. Whoever keeps an answer back can show it as new for so
/// long, a kill switch's absence with it.
pub const LIFETIME_S: u64 = 600;

/// When a kept signature is made anew, in milliseconds: half its life, so that a client whose clock
/// is some minutes ahead still takes it.
pub const RENEW_MS: u64 = LIFETIME_S * 500;

const CONTENT: [&str; 5] = [
    "\"@status\"",
    "\"@path\";req",
    "\"content-type\"",
    "\"content-digest\"",
    "\"x-caro-revision\"",
];

const NOT_MODIFIED: [&str; 4] = [
    "\"@status\"",
    "\"@path\";req",
    "\"etag\"",
    "\"x-caro-revision\"",
];

/// An answer, as far as it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub status: u16,
    /// That was asked, still percent-encoded.
    pub path: String,
    pub revision: String,
    pub content: Content,
}

/// What the answer brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Body {
        content_type: String,
        /// As in the header `Content-Digest`.
        digest: String,
    },
    /// 304: the client's own, by its tag.
    NotModified { etag: String },
}

/// The parameters of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    pub created: u64,
    pub expires: u64,
    /// A key's thumbprint.
    pub keyid: String,
}

/// The value of `Content-Digest`.
pub fn digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", Base64::encode_string(&Sha256::digest(body)))
}

impl Params {
    /// Those of a signature made now.
    pub fn now(now: Timestamp, keyid: &str) -> Self {
        let created = now.millis_since(Timestamp::from_millis(0)) / 1000;
        Self {
            created,
            expires: created + LIFETIME_S,
            keyid: keyid.to_owned(),
        }
    }
}

impl Message {
    /// The names of what is signed, as they are written.
    pub const fn components(&self) -> &'static [&'static str] {
        match self.content {
            Content::Body { .. } => &CONTENT,
            Content::NotModified { .. } => &NOT_MODIFIED,
        }
    }

    /// The value of `@signature-params`.
    fn params(&self, params: &Params) -> String {
        let Params {
            created,
            expires,
            keyid,
        } = params;
        let components = self.components().join(" ");
        format!(
            "({components});created={created};expires={expires};keyid=\"{keyid}\";\
             alg=\"ed25519\";tag=\"{TAG}\""
        )
    }

    /// The bytes that are signed (RFC 9421, 2.5).
    pub fn base(&self, params: &Params) -> String {
        let status = self.status.to_string();
        let values = match &self.content {
            Content::Body {
                content_type,
                digest,
            } => vec![&status, &self.path, content_type, digest, &self.revision],
            Content::NotModified { etag } => vec![&status, &self.path, etag, &self.revision],
        };
        let mut base = String::new();
        for (name, value) in self.components().iter().zip(values) {
            base.push_str(name);
            base.push_str(": ");
            base.push_str(value);
            base.push('\n');
        }
        base.push_str("\"@signature-params\": ");
        base.push_str(&self.params(params));
        base
    }

    /// The headers that carry a signature.
    pub fn headers(&self, params: &Params, signature: &[u8]) -> Vec<(&'static str, String)> {
        let signature = Base64::encode_string(signature);
        let mut headers = vec![
            (
                "Signature-Input",
                format!("{LABEL}={}", self.params(params)),
            ),
            ("Signature", format!("{LABEL}=:{signature}:")),
        ];
        if let Content::Body { digest, .. } = &self.content {
            headers.push(("Content-Digest", digest.clone()));
        }
        headers
    }
}
