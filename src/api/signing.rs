//! Signed answers: which are, with what, and where the public keys are.

use crate::auth::assignment::AssignmentKey;
use crate::auth::keys::{Directory, PublicKey};
use crate::auth::signature::{Content, Message, Params, digest};
use crate::core::time::Timestamp;

use super::edge::Edge;
use super::reply::{Answer, Reply};

/// How this isolate signs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Signing {
    /// The secret was not read yet.
    #[default]
    Unread,
    /// There is no key.
    Off,
    /// There is one that cannot be used, and why.
    Broken(String),
    On(Keys),
}

/// What a secret holds, as far as it is needed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The first of these signs.
    pub public: Vec<PublicKey>,
    /// The first of these seals.
    pub assignment: Vec<AssignmentKey>,
}

/// The public keys are asked for again this often, in seconds: far less than the overlap of two keys.
const KEYS_CACHE: &str = "public, max-age=300";

/// `GET /.well-known/http-message-signatures-directory`: every key that may have signed, as a JWK set.
pub fn directory(edge: &Edge) -> Reply {
    let keys = keys(edge).iter().map(PublicKey::jwk).collect();
    // A struct of strings always serializes.
    let body = serde_json::to_string(&Directory { keys }).unwrap_or_default();
    let mut reply = Reply::json(200, KEYS_CACHE, body);
    reply.set(
        "Content-Type",
        "application/http-message-signatures-directory+json",
    );
    reply
}

/// `GET /.well-known/signing-key.pem`: the key that signs now, for `openssl`.
pub fn pem(edge: &Edge) -> Option<Reply> {
    let key = keys(edge).first()?;
    let reply = Reply::new(200, "application/x-pem-file", KEYS_CACHE, key.pem());
    Some(reply.open())
}

fn keys(edge: &Edge) -> &[PublicKey] {
    match &edge.signing {
        Signing::On(keys) => &keys.public,
        _ => &[],
    }
}

/// An answer that is to be signed.
#[derive(Debug, Clone)]
pub struct Unsigned {
    pub reply: Reply,
    pub message: Message,
    pub params: Params,
    /// The snapshot's.
    pub generation: u32,
}

/// Whether an answer is signed here.
pub fn is_signed(edge: &Edge, answer: &Answer) -> bool {
    matches!(edge.signing, Signing::On(_)) && reply(edge, answer).is_some_and(|reply| reply.signed)
}

fn reply<'a>(edge: &'a Edge, answer: &'a Answer) -> Option<&'a Reply> {
    match answer {
        Answer::Kept(id) | Answer::NotModified(id) => edge.kept.reply(*id),
        Answer::Fresh(reply) => Some(reply),
        _ => None,
    }
}

/// What there is to sign of an answer to a request for `path`.
pub fn prepare(edge: &Edge, answer: &Answer, path: &str, now: Timestamp) -> Option<Unsigned> {
    let mut reply = reply(edge, answer)?.clone();
    if matches!(answer, Answer::NotModified(_)) {
        reply.status = 304;
        reply.body.clear();
    }
    let text = |name| reply.header(name).map(str::to_owned);
    let content = match reply.status {
        304 => Content::NotModified {
            etag: text("ETag")?,
        },
        _ => Content::Body {
            content_type: text("Content-Type")?,
            digest: digest(reply.body.as_bytes()),
        },
    };
    let message = Message {
        status: reply.status,
        path: path.to_owned(),
        revision: text("X-Caro-Revision")?,
        content,
    };
    let params = Params::now(now, &keys(edge).first()?.thumbprint());
    Some(Unsigned {
        reply,
        message,
        params,
        generation: edge.generation,
    })
}

impl Unsigned {
    /// The answer with its signature. Nobody on the way may compress it: the digest is that of the bytes
    /// as they are sent.
    pub fn signed(self, signature: &[u8]) -> Reply {
        let mut reply = self.reply;
        if let Some(cache) = reply.header("Cache-Control")
            && !cache.contains("no-transform")
        {
            let cache = format!("{cache}, no-transform");
            reply.set("Cache-Control", cache);
        }
        let headers = self.message.headers(&self.params, signature);
        reply.headers.extend(headers);
        reply
    }
}
