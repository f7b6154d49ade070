//! An answer of the router: what is kept of it, whether it is to be trusted, what it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::keys::PublicKey;
use crate::auth::verify::{Distrust, Received, verify};
use crate::core::flags::Reason;
use crate::core::ids::FlagKey;
use crate::core::time::Timestamp;
use crate::wire::etag;

use super::merge::Told;
use super::schedule::SKEW_MS;

/// The longest body that is read, in bytes, after decompression: several thousand features.
pub const MAX_BODY_BYTES: u64 = 256 << 10;

/// The headers that are kept.
pub(super) const HEADERS: [&str; 6] = [
    "content-type",
    "content-digest",
    "etag",
    "signature",
    "signature-input",
    "x-caro-revision",
];

/// Why there is no new answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection, or it broke.
    #[error("the router cannot be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the router did not answer within {0} ms")]
    Slow(u64),
    /// The client was told to stop asking.
    #[error("asking was broken off")]
    Cancelled,
    /// A status that brings no answer.
    #[error("the router answered {status}{hint}", hint = hint(*.status))]
    Status {
        /// Of HTTP.
        status: u16,
        /// How long it wants to be left alone, in milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// Too long.
    #[error("the answer is longer than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// No answer of a router.
    #[error("the answer is none of a router: {0}")]
    Malformed(String),
    /// Not signed as it must be.
    #[error("{0}")]
    Distrusted(#[from] Distrust),
    /// From before what is known.
    #[error(
        "the answer is of revision {got}, older than revision {have}, which is known; if the router \
         was set up anew, delete the cache file"
    )]
    Older {
        /// The answer's revision.
        got: u64,
        /// The known one.
        have: u64,
    },
}

fn hint(status: u16) -> &'static str {
    match status {
        300..400 => ", a redirect, which is not followed",
        400 => ": is the id too long?",
        404 => ": it knows no such release",
        407 => ": the proxy wants a password",
        429 => ": too many requests",
        _ => "",
    }
}

/// A body with the headers that vouch for it; of a 304 the headers alone. Kept on disk as it is, and checked again
/// when it is read from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Of HTTP: 200 or 304.
    pub status: u16,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// As text, after decompression.
    pub body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.trim())
    }

    /// The tag to ask with next time. Only one that is this body's own: a tag is not signed beside a body, and with that
    /// of another a later 304 would confirm what the router does not say.
    pub fn etag(&self) -> Option<&str> {
        let own = etag::of_body(&self.body);
        self.header("etag").filter(|tag| *tag == own)
    }

    /// The configuration's revision that it was made from.
    ///
    /// # Errors
    /// When there is none: then no router answered.
    pub fn revision(&self) -> Result<u64, Failure> {
        let text = self.header("x-caro-revision").and_then(|r| r.parse().ok());
        text.ok_or_else(|| Failure::Malformed("it has no revision".into()))
    }

    /// Whether one of the keys signed it for this path, with a clock that agrees with `now` to five minutes. Without keys
    /// everything is trusted.
    ///
    /// # Errors
    /// Why it is not to be trusted.
    pub fn verify(&self, path: &str, keys: &[PublicKey], now: Timestamp) -> Result<(), Distrust> {
        if keys.is_empty() {
            return Ok(());
        }
        let received = Received {
            status: self.status,
            path,
            header: |name: &str| self.header(name),
            body: self.body.as_bytes(),
        };
        verify(&received, keys, now, SKEW_MS / 1000)
    }

    /// The same for one from the disk, which may be of any age: it was in time when it came.
    ///
    /// # Errors
    /// Why it is not to be trusted.
    pub fn verify_kept(&self, path: &str, keys: &[PublicKey]) -> Result<(), Distrust> {
        match self.verify(path, keys, Timestamp::from_millis(0)) {
            // Every other check comes before those of time.
            Err(Distrust::Expired(_) | Distrust::Early(_)) => Ok(()),
            other => other,
        }
    }

    /// Whether this 304 is about that body. A router may leave the tag out where nothing is signed.
    fn confirms(&self, answer: &Self) -> bool {
        let own = answer.etag();
        let theirs = self.header("etag");
        self.status == 304 && own.is_some() && (theirs == own || theirs.is_none())
    }

    /// What it says of each feature (`GET /features/{release}?detail=1`).
    ///
    /// # Errors
    /// When it is not that: nothing of it is used then.
    pub fn read(&self) -> Result<BTreeMap<FlagKey, Told>, Failure> {
        #[derive(Deserialize)]
        struct Detail {
            value: Value,
            reason: String,
            #[serde(default)]
            banner: Option<String>,
        }
        let kind = self.header("content-type").unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let what = format!("its type is {kind:?}; does a login page stand in between?");
            return Err(Failure::Malformed(what));
        }
        let details: BTreeMap<FlagKey, Detail> =
            serde_json::from_str(&self.body).map_err(|e| Failure::Malformed(e.to_string()))?;
        // A flag that answers a reason of neither kind is off for this requester, or on.
        let taken = [Reason::Killed.as_str(), Reason::Stopped.as_str()];
        let told = details.into_iter().map(|(key, detail)| {
            let told = Told {
                killed: taken.contains(&detail.reason.as_str()),
                value: detail.value,
                banner: detail.banner,
            };
            (key, told)
        });
        Ok(told.collect())
    }
}

/// The last good answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// With the body.
    pub answer: Answer,
    /// The newest 304 that said it still holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Answer>,
    /// When the body came.
    pub fetched_at: Timestamp,
    /// When the router last said so.
    pub confirmed_at: Timestamp,
}

impl Kept {
    /// Just come.
    pub const fn new(answer: Answer, now: Timestamp) -> Self {
        Self {
            answer,
            confirmed: None,
            fetched_at: now,
            confirmed_at: now,
        }
    }

    /// The newest revision that it is known to be of.
    pub fn revision(&self) -> u64 {
        let confirmed = self.confirmed.as_ref();
        let revision = confirmed.map_or(Ok(0), Answer::revision).unwrap_or(0);
        self.answer.revision().unwrap_or(0).max(revision)
    }

    /// From the disk: checked again, but for its age.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn check(
        &self,
        path: &str,
        keys: &[PublicKey],
    ) -> Result<BTreeMap<FlagKey, Told>, Failure> {
        self.answer.verify_kept(path, keys)?;
        self.answer.revision()?;
        if let Some(confirmed) = &self.confirmed {
            confirmed.verify_kept(path, keys)?;
            confirmed.revision()?;
            if !confirmed.confirms(&self.answer) {
                let what = "its confirmation is of another".to_owned();
                return Err(Failure::Malformed(what));
            }
        }
        self.answer.read()
    }

    /// Takes in an answer that was trusted.
    ///
    /// # Errors
    /// Why it cannot be used: it is older, or a 304 for another body.
    pub fn confirm(&mut self, not_modified: Answer, now: Timestamp) -> Result<(), Failure> {
        let (got, have) = (not_modified.revision()?, self.revision());
        if got < have {
            return Err(Failure::Older { got, have });
        }
        if !not_modified.confirms(&self.answer) {
            let what = "it confirms what was not asked about".to_owned();
            return Err(Failure::Malformed(what));
        }
        self.confirmed = Some(not_modified);
        self.confirmed_at = now;
        Ok(())
    }
}
