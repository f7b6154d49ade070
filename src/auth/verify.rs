//! For clients: is an answer what a router signed? Native only; the edge never verifies.

use ed25519_dalek::{Signature, VerifyingKey};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use super::keys::{Block, PublicKey, blocks};
use super::signature::{Content, LABEL, Message, Params, TAG, digest};
use crate::core::time::Timestamp;

/// Why an answer is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error("the answer is not signed: it has no header {0}")]
    Missing(&'static str),
    #[error("the header {0} cannot be read, or does not sign what it must")]
    Malformed(&'static str),
    #[error("the answer is signed with the key {0}, which is not among those that are trusted")]
    UnknownKey(String),
    #[error("the content is not that which was signed")]
    Content,
    #[error("the signature is wrong")]
    Signature,
    #[error("the signature expired {0} s ago; is this clock right?")]
    Expired(u64),
    #[error("the signature will be made in {0} s; is this clock right?")]
    Early(u64),
}

/// An answer as it came.
pub struct Received<'a, H> {
    pub status: u16,
    /// That was asked, without the query.
    pub path: &'a str,
    /// Gives a header's value by its name in lower case.
    pub header: H,
    /// Before any content coding is taken off; empty for a 304.
    pub body: &'a [u8],
}

/// Checks an answer against the keys that are trusted. The clocks may differ by `skew_s` seconds.
///
/// # Errors
/// Why it is not to be trusted.
pub fn verify<'h>(
    received: &Received<'_, impl Fn(&str) -> Option<&'h str>>,
    keys: &[PublicKey],
    now: Timestamp,
    skew_s: u64,
) -> Result<(), Distrust> {
    let header = |name: &'static str| (received.header)(name).ok_or(Distrust::Missing(name));
    let input = header("signature-input")?;
    let signature = header("signature")?;
    let content = match received.status {
        304 => Content::NotModified {
            etag: header("etag")?.trim().to_owned(),
        },
        _ => Content::Body {
            content_type: header("content-type")?.trim().to_owned(),
            digest: header("content-digest")?.trim().to_owned(),
        },
    };
    let message = Message {
        status: received.status,
        path: received.path.to_owned(),
        revision: header("x-caro-revision")?.trim().to_owned(),
        content,
    };
    let params = params(input, &message).ok_or(Distrust::Malformed("signature-input"))?;
    let key = keys.iter().find(|key| key.thumbprint() == params.keyid);
    let key = key.ok_or_else(|| Distrust::UnknownKey(params.keyid.clone()))?;
    let bytes = signature_bytes(signature).ok_or(Distrust::Malformed("signature"))?;
    let key = VerifyingKey::from_bytes(key.bytes()).map_err(|_| Distrust::Signature)?;
    key.verify_strict(
        message.base(&params).as_bytes(),
        &Signature::from_bytes(&bytes),
    )
    .map_err(|_| Distrust::Signature)?;
    if let Content::Body { digest: signed, .. } = &message.content
        && *signed != digest(received.body)
    {
        return Err(Distrust::Content);
    }
    let now = now.millis_since(Timestamp::from_millis(0)) / 1000;
    if now > params.expires + skew_s {
        return Err(Distrust::Expired(now - params.expires));
    }
    if params.created > now + skew_s {
        return Err(Distrust::Early(params.created - now));
    }
    Ok(())
}

/// The parameters of our signature, if it signs just what it must.
fn params(input: &str, message: &Message) -> Option<Params> {
    let dictionary: Dictionary = Parser::new(input).parse().ok()?;
    let ListEntry::InnerList(InnerList { items, params }) = dictionary.get(LABEL)? else {
        return None;
    };
    let written = items.iter().map(|item| {
        let name = item.bare_item.as_string()?.as_str();
        let req = match item.params.len() {
            0 => "",
            1 if item.params.get("req")?.as_boolean()? => ";req",
            _ => return None,
        };
        Some(format!("\"{name}\"{req}"))
    });
    let written: Vec<String> = written.collect::<Option<_>>()?;
    let text = |name: &str| {
        params
            .get(name)?
            .as_string()
            .map(|text| text.as_str().to_owned())
    };
    let number = |name: &str| u64::try_from(i64::from(params.get(name)?.as_integer()?)).ok();
    let ours = written == message.components()
        && text("alg")? == "ed25519"
        && text("tag")? == TAG
        && params.len() == 5;
    ours.then_some(Params {
        created: number("created")?,
        expires: number("expires")?,
        keyid: text("keyid")?,
    })
}

fn signature_bytes(signature: &str) -> Option<[u8; 64]> {
    let dictionary: Dictionary = Parser::new(signature).parse().ok()?;
    let ListEntry::Item(item) = dictionary.get(LABEL)? else {
        return None;
    };
    let BareItem::ByteSequence(bytes) = &item.bare_item else {
        return None;
    };
    bytes.as_slice().try_into().ok()
}

/// The keys of a router's directory (`/.well-known/http-message-signatures-directory`).
///
/// # Errors
/// When it is no such directory.
pub fn keys_of(directory: &str) -> Result<Vec<PublicKey>, String> {
    #[derive(serde::Deserialize)]
    struct Given {
        keys: Vec<Key>,
    }
    #[derive(serde::Deserialize)]
    struct Key {
        crv: Option<String>,
        x: Option<String>,
    }
    let given: Given =
        serde_json::from_str(directory).map_err(|e| format!("the key directory: {e}"))?;
    let ours = given
        .keys
        .iter()
        .filter(|key| key.crv.as_deref() == Some("Ed25519"));
    Ok(ours
        .filter_map(|key| PublicKey::from_x(key.x.as_deref()?))
        .collect())
}

/// The public key of a PEM block, as `/.well-known/signing-key.pem` gives it.
///
/// # Errors
/// When there is none.
pub fn key_of_pem(pem: &str) -> Result<PublicKey, &'static str> {
    let blocks = blocks(pem)?;
    let mut public = blocks.iter().filter_map(|block| match block {
        Block::Public(key) => Some(*key),
        Block::Private(_) => None,
    });
    public.next().ok_or("has no public key")
}
