//! Signed answers: what is signed, that nothing of it can be changed, and that the verifier says why.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic)]

use caro_edge::auth::keys::PublicKey;
use caro_edge::auth::signature::{Content, LIFETIME_S, Message, Params, digest};
use caro_edge::auth::verify::{Distrust, Received, key_of_pem, keys_of, verify};
use caro_edge::core::time::Timestamp;
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

const BODY: &str = r#"{"validation_retry":true}"#;
const PATH: &str = "/features/v1.1.0-beta";

fn key(seed: u8) -> (SigningKey, PublicKey) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let public = PublicKey::new(key.verifying_key().to_bytes());
    (key, public)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds as i64 * 1000)
}

/// An answer as a client has it.
#[derive(Clone)]
struct Answer {
    status: u16,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn of(message: &Message, body: &str, created: u64, seed: u8) -> Self {
        let (key, public) = key(seed);
        let params = Params::now(at(created), &public.thumbprint());
        let signature = key.sign(message.base(&params).as_bytes()).to_bytes();
        let mut headers: Vec<(String, String)> = message
            .headers(&params, &signature)
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        headers.push(("x-caro-revision".into(), message.revision.clone()));
        match &message.content {
            Content::Body { content_type, .. } => {
                headers.push(("content-type".into(), content_type.clone()));
            }
            Content::NotModified { etag } => headers.push(("etag".into(), etag.clone())),
        }
        Self {
            status: message.status,
            path: message.path.clone(),
            headers,
            body: body.to_owned(),
        }
    }

    fn header(&mut self, name: &str) -> &mut String {
        let found = self.headers.iter_mut().find(|(n, _)| n == name);
        &mut found.unwrap().1
    }

    fn verified(&self, keys: &[PublicKey], now: u64) -> Result<(), Distrust> {
        let received = Received {
            status: self.status,
            path: &self.path,
            header: |name: &str| {
                let found = self.headers.iter().find(|(n, _)| n == name);
                found.map(|(_, value)| value.as_str())
            },
            body: self.body.as_bytes(),
        };
        verify(&received, keys, at(now), 60)
    }
}

fn message() -> Message {
    Message {
        status: 200,
        path: PATH.into(),
        revision: "7".into(),
        content: Content::Body {
            content_type: "application/json".into(),
            digest: digest(BODY.as_bytes()),
        },
    }
}

fn signed() -> Answer {
    Answer::of(&message(), BODY, 1000, 1)
}

/// Ed25519 is deterministic, so a signature can be pinned: whoever verified yesterday's must verify
/// tomorrow's.
#[test]
fn the_bytes_that_are_signed() {
    let params = Params {
        created: 1000,
        expires: 1600,
        keyid: "key".into(),
    };
    assert_eq!(
        message().base(&params),
        "\"@status\": 200\n\
         \"@path\";req: /features/v1.1.0-beta\n\
         \"content-type\": application/json\n\
         \"content-digest\": sha-256=:VwODuES2N0+hgc2FExdMV+yYHpx7rgs/2BD+o87/xEo=:\n\
         \"x-caro-revision\": 7\n\
         \"@signature-params\": (\"@status\" \"@path\";req \"content-type\" \"content-digest\" \
         \"x-caro-revision\");created=1000;expires=1600;keyid=\"key\";alg=\"ed25519\";tag=\"caro-edge\""
    );
    let not_modified = Message {
        status: 304,
        content: Content::NotModified {
            etag: "\"abc\"".into(),
        },
        ..message()
    };
    assert!(not_modified.base(&params).starts_with(
        "\"@status\": 304\n\"@path\";req: /features/v1.1.0-beta\n\"etag\": \"abc\"\n"
    ));
}

#[test]
fn what_was_signed_is_trusted() {
    let (_, public) = key(1);
    assert_eq!(signed().verified(&[key(2).1, public], 1000), Ok(()));
    let not_modified = Message {
        status: 304,
        content: Content::NotModified {
            etag: "\"abc\"".into(),
        },
        ..message()
    };
    let answer = Answer::of(&not_modified, "", 1000, 1);
    assert_eq!(answer.verified(&[public], 1000), Ok(()));
    // Somebody on the way may sign as well.
    let mut answer = signed();
    for name in ["signature-input", "signature"] {
        let ours = answer.header(name).clone();
        let theirs = if name == "signature" {
            "=:AAAA:"
        } else {
            "=(\"@status\")"
        };
        *answer.header(name) = format!("proxy{theirs}, {ours}");
    }
    assert_eq!(answer.verified(&[public], 1000), Ok(()));
}

#[test]
fn nothing_of_it_can_be_changed() {
    let keys = [key(1).1];
    let check = |change: &dyn Fn(&mut Answer), expected: Distrust| {
        let mut answer = signed();
        change(&mut answer);
        assert_eq!(answer.verified(&keys, 1000), Err(expected));
    };
    let wrong = || Distrust::Signature;
    check(&|a| a.status = 410, wrong());
    check(&|a| a.path = "/features/v1.2.0-beta".into(), wrong());
    check(&|a| *a.header("x-caro-revision") = "8".into(), wrong());
    check(&|a| *a.header("content-type") = "text/html".into(), wrong());
    check(
        &|a| a.body = BODY.replace("true", "false"),
        Distrust::Content,
    );
    check(&|a| a.body.clear(), Distrust::Content);
    let other = digest(b"{}");
    check(
        &|a| {
            a.body = "{}".into();
            *a.header("content-digest") = other.clone();
        },
        wrong(),
    );
    let rewrite = |from: &'static str, to: &'static str| {
        move |a: &mut Answer| {
            let text = a.header("signature-input");
            assert!(text.contains(from));
            *text = text.replace(from, to);
        }
    };
    check(&rewrite("expires=1600", "expires=9999"), wrong());
    check(&rewrite("created=1000", "created=900"), wrong());
    // Less may not be signed, nor with another method.
    let malformed = || Distrust::Malformed("signature-input");
    check(&rewrite("\"content-digest\" ", ""), malformed());
    check(&rewrite("\"@path\";req", "\"@path\""), malformed());
    check(&rewrite("ed25519", "hmac-sha256"), malformed());
    check(&rewrite("tag=\"caro-edge\"", "tag=\"other\""), malformed());
    check(&rewrite(";created=1000", ""), malformed());
    check(&rewrite("caro=", "other="), malformed());
    for name in [
        "signature-input",
        "signature",
        "content-digest",
        "x-caro-revision",
    ] {
        check(
            &|a| a.headers.retain(|(n, _)| n != name),
            Distrust::Missing(name),
        );
    }
    check(
        &|a| *a.header("signature") = "caro=:AAAA:".into(),
        Distrust::Malformed("signature"),
    );
    // A 304 for what is no 304.
    let mut answer = signed();
    answer.status = 304;
    answer.headers.push(("etag".into(), "\"abc\"".into()));
    assert_eq!(answer.verified(&keys, 1000), Err(malformed()));
}

#[test]
fn only_the_keys_that_are_trusted() {
    let distrust = signed().verified(&[key(2).1], 1000);
    assert_eq!(distrust, Err(Distrust::UnknownKey(key(1).1.thumbprint())));
    // Another's signature under the name of a trusted key.
    let mut answer = Answer::of(&message(), BODY, 1000, 2);
    let name = key(1).1.thumbprint();
    let text = answer.header("signature-input").clone();
    *answer.header("signature-input") = text.replace(&key(2).1.thumbprint(), &name);
    let distrust = answer.verified(&[key(1).1], 1000);
    assert_eq!(distrust, Err(Distrust::Signature));
}

#[test]
fn neither_old_nor_early() {
    let keys = [key(1).1];
    let end = 1000 + LIFETIME_S;
    assert_eq!(signed().verified(&keys, end + 60), Ok(()));
    assert_eq!(
        signed().verified(&keys, end + 61),
        Err(Distrust::Expired(61))
    );
    assert_eq!(signed().verified(&keys, 940), Ok(()));
    assert_eq!(signed().verified(&keys, 939), Err(Distrust::Early(61)));
}

#[test]
fn keys_as_they_are_published() {
    let (_, public) = key(1);
    assert_eq!(key_of_pem(&public.pem()), Ok(public));
    assert!(key_of_pem("<html>").is_err());
    let jwk = serde_json::to_string(&public.jwk()).unwrap();
    let other = r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#;
    let directory = format!(r#"{{"keys":[{other},{jwk}]}}"#);
    assert_eq!(keys_of(&directory), Ok(vec![public]));
    assert!(keys_of("[]").is_err());
}

proptest! {
    /// Whatever comes, it is refused in words, never by a panic.
    #[test]
    fn any_headers(input in ".{0,80}", signature in "(caro=:[A-Za-z0-9+/=]{0,90}:|.{0,40})") {
        let mut answer = signed();
        *answer.header("signature-input") = input;
        *answer.header("signature") = signature;
        prop_assert!(answer.verified(&[key(1).1], 1000).is_err());
    }

    /// One changed byte anywhere in what is signed.
    #[test]
    fn any_byte(at in 0usize..BODY.len(), with: u8) {
        let mut answer = signed();
        let mut bytes = answer.body.clone().into_bytes();
        prop_assume!(bytes[at] != with && with.is_ascii());
        bytes[at] = with;
        answer.body = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(answer.verified(&[key(1).1], 1000), Err(Distrust::Content));
    }
}
