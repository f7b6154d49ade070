//! What KV holds against what the ledger published: whose it is, and what is to be written.
//!
//! KV answers from replicas, so an old value may come back for a minute. The ledger's own values
//! carry metadata and are known by it; a value without is a person's.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::config::{Config, MAX_BYTES, too_long};
use crate::core::decode::{Problem, to_hex};
use crate::core::json::Json;
use crate::core::stop::Stop;
use crate::core::time::Timestamp;

use super::Live;
use super::event::Scope;

/// For how long a replica may still answer with what was there before: KV's documented minute, the
/// half a minute of the edge's own copy, and some more.
pub const STALE_MS: u64 = 120_000;

/// KV takes one write a second to a key.
const SPACING_MS: u64 = 1_000;

/// The first wait after a failed write; it doubles up to [`MAX_RETRY_MS`].
const RETRY_MS: u64 = 1_000;
const MAX_RETRY_MS: u64 = 10_000;

/// A person may give revisions below this, so that there is always room for those that follow.
const REVISION_LIMIT: u64 = 1 << 50;

/// How many edits are remembered, so that a replica's late answer is not taken for a new one.
const MAX_ADOPTED: usize = 16;

/// What the ledger writes beside its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub revision: u64,
    /// SHA-256 of the value, hexadecimal.
    pub hash: String,
}

impl Metadata {
    pub fn of(revision: u64, value: &str) -> Self {
        Self {
            revision,
            hash: hash(value),
        }
    }
}

/// A key's value as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub text: String,
    /// `None`: there is none, or it is not the ledger's.
    pub metadata: Option<Metadata>,
}

impl Value {
    /// What the ledger writes, or will.
    pub fn of_ledger(text: String, revision: u64) -> Self {
        let hash = hash(&text);
        Self {
            text,
            metadata: Some(Metadata { revision, hash }),
        }
    }

    /// Whether the ledger wrote it.
    pub fn is_ledgers(&self) -> bool {
        let own = |m: &Metadata| m.hash == hash(&self.text);
        self.metadata.as_ref().is_some_and(own)
    }

    /// The configuration in it. What the ledger wrote may go a little further than what a person
    /// may write, because others were to follow.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn config(&self) -> Result<Config, Vec<Problem>> {
        let config = Config::parse(&self.text)?;
        let problem = if self.text.len() > MAX_BYTES {
            ("", too_long(&self.text))
        } else if config.revision >= REVISION_LIMIT {
            (
                "/revision",
                format!("must be below {REVISION_LIMIT}, so that others can follow"),
            )
        } else {
            return Ok(config);
        };
        if self.is_ledgers() {
            return Ok(config);
        }
        let (path, message) = problem;
        Err(vec![Problem {
            path: path.to_owned(),
            message,
        }])
    }
}

/// Both keys as they were read; `None` for one that is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub config: Option<Value>,
    pub stop: Option<Value>,
}

/// One write that landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Landed {
    pub revision: u64,
    pub at: Timestamp,
}

/// How long a revision took from its row until KV had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Convergence {
    pub revision: u64,
    pub changed_at: Timestamp,
    pub published_at: Timestamp,
    pub milliseconds: u64,
}

/// An edit that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadEdit {
    pub hash: String,
    pub since: Timestamp,
    pub problems: Vec<Problem>,
}

/// What the ledger knows of KV. It is kept beside the log: it says nothing about the rollout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub config: Option<Landed>,
    /// Of the last revision that was new to KV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convergence: Option<Convergence>,
    /// The stop's value that was last written; `None` inside is an absent key.
    pub stop: Option<(Option<String>, Timestamp)>,
    /// When a stop that was set by hand was last taken in, or written over.
    pub stop_by_hand: Option<Timestamp>,
    /// Whether it was not written over yet.
    pub stop_echoes: bool,
    /// Whether the stop's value that was last seen is a person's.
    pub stop_is_foreign: bool,
    /// Whether somebody was told that the stop's key is gone.
    pub stop_missing: bool,
    /// Hashes of edits taken in lately, and when each was taken in or written over.
    pub adopted: Vec<(String, Timestamp)>,
    pub bad_edit: Option<BadEdit>,
    /// When KV was last read, and why that or a write failed last.
    pub checked: Option<Timestamp>,
    pub error: Option<String>,
    /// Since when writes have failed.
    pub failing_since: Option<Timestamp>,
    /// Of each key its own: neither waits for the other.
    pub config_retry: Retry,
    pub stop_retry: Retry,
}

/// Failed writes of a key in a row, and when the next attempt is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    pub failures: u32,
    pub at: Option<Timestamp>,
}

/// Something that KV says and the ledger has to act on.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A person's edit: the document, and the revision it names.
    Edit {
        document: Json,
        revision: u64,
        hash: String,
    },
    /// An edit that cannot be used, seen for the first time.
    BadEdit(BadEdit),
    /// The bad edit is gone.
    Mended,
    /// The `emergency-stop` key was set by hand.
    Stop(Vec<Scope>),
    /// The key was removed by hand while the stop stands.
    StopRemoved,
}

/// Compares. `known` tells the hash that was published as a revision.
pub fn examine(
    live: &Live,
    publication: &Publication,
    seen: &Seen,
    known: impl Fn(u64) -> Option<String>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The stop first: it is taken in whatever else is wrong.
    findings.extend(examine_stop(live, publication, seen.stop.as_ref(), now));
    let edit = seen.config.as_ref().filter(|value| {
        let ours = |m: &Metadata| value.is_ledgers() && known(m.revision).as_ref() == Some(&m.hash);
        !value.metadata.as_ref().is_some_and(ours)
    });
    match edit {
        Some(value) => findings.extend(examine_edit(publication, value, now)),
        None if publication.bad_edit.is_some() => findings.push(Finding::Mended),
        None => {}
    }
    findings
}

fn examine_edit(publication: &Publication, value: &Value, now: Timestamp) -> Option<Finding> {
    let hash = hash(&value.text);
    // What was taken in last is there until it is written over, however long that takes.
    let is_over = publication.config.as_ref().is_some_and(|c| c.revision > 0);
    let pending = publication.adopted.last().filter(|_| !is_over);
    let lately =
        |(adopted, at): &(String, Timestamp)| *adopted == hash && now.millis_since(*at) < STALE_MS;
    if publication.adopted.iter().any(lately) || pending.is_some_and(|(last, _)| *last == hash) {
        return None;
    }
    let bad = |problems| {
        let is_new = publication.bad_edit.as_ref().is_none_or(|b| b.hash != hash);
        is_new.then(|| {
            Finding::BadEdit(BadEdit {
                hash: hash.clone(),
                since: now,
                problems,
            })
        })
    };
    let config = match value.config() {
        Ok(config) => config,
        Err(problems) => return bad(problems),
    };
    // It was parsed once already.
    let document = Json::parse(&value.text).ok()?;
    Some(Finding::Edit {
        document,
        revision: config.revision,
        hash,
    })
}

fn examine_stop(
    live: &Live,
    publication: &Publication,
    value: Option<&Value>,
    now: Timestamp,
) -> Option<Finding> {
    let wanted = live.state.stop_value();
    let wrote = publication.stop.as_ref();
    let long_ago = |at: &Timestamp| now.millis_since(*at) >= STALE_MS;
    let settled = wrote.is_none_or(|(_, at)| long_ago(at));
    match value {
        // Nobody set it, or a replica has not heard yet.
        None => {
            let written = wrote.is_some_and(|(value, _)| *value == wanted);
            (wanted.is_some() && written && settled).then_some(Finding::StopRemoved)
        }
        Some(value) if value.is_ledgers() || Some(&value.text) == wanted.as_ref() => None,
        // Somebody cleared a stop that was set by hand a moment ago, and this may be its echo. It
        // holds at the edge as long as it is there, and is looked at again.
        Some(_) if wanted.is_none() && !publication.stop_by_hand.as_ref().is_none_or(long_ago) => {
            None
        }
        Some(value) => {
            let scopes = match Stop::parse(Some(&value.text), live.config.as_ref()) {
                Stop::None => Vec::new(),
                Stop::All { .. } => vec![Scope::All],
                Stop::Releases(names) => names.keys().cloned().map(Scope::Release).collect(),
            };
            let new = |scope: &Scope| !live.state.stops.contains(scope.as_str());
            scopes.iter().any(new).then_some(Finding::Stop(scopes))
        }
    }
}

/// A write to KV; `None` deletes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub key: &'static str,
    pub value: Option<String>,
    pub metadata: Metadata,
}

/// What is to be written, and when at the earliest; nothing when KV is as it should be. The stop
/// comes first.
pub fn due(
    live: &Live,
    publication: &Publication,
    seen: Option<&Seen>,
    now: Timestamp,
) -> Vec<(Timestamp, Put)> {
    let mut puts = Vec::new();
    // What lies further ahead than anything ever waits is of a clock that was set back since.
    let sane = |at: &Timestamp| *at <= now.plus_millis(MAX_RETRY_MS);
    let after = |landed: Option<Timestamp>, retry: &Retry| {
        let spaced = landed.map(|at| at.plus_millis(SPACING_MS));
        let earliest = spaced.filter(sane).max(retry.at.filter(sane));
        earliest.unwrap_or(Timestamp::from_millis(0))
    };
    let revision = live.state.revision;

    let wanted = live.state.stop_value();
    let wrote = publication.stop.as_ref();
    let written = wrote.map_or(wanted.is_none(), |(value, _)| *value == wanted);
    let there = seen.map(|seen| seen.stop.as_ref());
    let taken_away =
        wanted.is_some() && there.is_some_and(|v| v.map(|v| &v.text) != wanted.as_ref());
    // A person's stop that is not taken in yet is never deleted.
    let by_hand = match seen {
        Some(seen) => seen.stop.as_ref().is_some_and(|value| !value.is_ledgers()),
        None => publication.stop_is_foreign,
    };
    // One of the ledger's own that landed unheard, of a stop that was cleared since.
    let is_own = there.flatten().is_some_and(Value::is_ledgers);
    let settled = wrote.is_none_or(|(_, at)| now.millis_since(*at) >= STALE_MS);
    let left_over = wanted.is_none() && is_own && settled;
    if (!written || taken_away || left_over) && !(wanted.is_none() && by_hand) {
        let metadata = Metadata::of(revision, wanted.as_deref().unwrap_or_default());
        let put = Put {
            key: "emergency-stop",
            value: wanted,
            metadata,
        };
        let at = after(wrote.map(|(_, at)| *at), &publication.stop_retry);
        puts.push((at, put));
    }

    let landed = publication.config.as_ref();
    let behind = landed.is_none_or(|landed| landed.revision != revision);
    if (behind || lost(landed, seen, now))
        && let Some(value) = live.state.published()
    {
        let put = Put {
            key: "config",
            metadata: Metadata::of(revision, &value),
            value: Some(value),
        };
        let at = after(landed.map(|l| l.at), &publication.config_retry);
        puts.push((at, put));
    }
    puts
}

/// Whether what landed long ago is not there any more: deleted, or an older one of the ledger's own
/// put back. A person's edit, good or bad, is left alone.
fn lost(landed: Option<&Landed>, seen: Option<&Seen>, now: Timestamp) -> bool {
    let (Some(landed), Some(seen)) = (landed, seen) else {
        return false;
    };
    let is_other = match &seen.config {
        None => true,
        Some(value) if !value.is_ledgers() => false,
        Some(value) => {
            let revision = value.metadata.as_ref().map(|m| m.revision);
            revision.is_some_and(|revision| revision < landed.revision)
        }
    };
    is_other && now.millis_since(landed.at) >= STALE_MS
}

impl Publication {
    /// Takes in how a write went.
    pub fn wrote(&mut self, put: &Put, result: Result<(), String>, now: Timestamp) {
        let is_config = put.key == "config";
        let retry = match is_config {
            true => &mut self.config_retry,
            false => &mut self.stop_retry,
        };
        if let Err(error) = result {
            let wait = RETRY_MS << retry.failures.min(10);
            retry.failures += 1;
            retry.at = Some(now.plus_millis(wait.min(MAX_RETRY_MS)));
            self.failing_since.get_or_insert(now);
            self.error = Some(error);
            return;
        }
        *retry = Retry::default();
        if self.failures() == 0 {
            self.failing_since = None;
            self.error = None;
        }
        if is_config {
            self.config_landed(put.metadata.revision, now);
        } else {
            self.stop = Some((put.value.clone(), now));
            self.stop_missing = false;
            if std::mem::take(&mut self.stop_echoes) {
                self.stop_by_hand = Some(now);
            }
        }
    }

    fn config_landed(&mut self, revision: u64, now: Timestamp) {
        let was_over = self.config.as_ref().is_some_and(|c| c.revision > 0);
        if let Some((_, at)) = self.adopted.last_mut().filter(|_| !was_over) {
            // Replicas answer with it for some time from now on.
            *at = now;
        }
        self.config = Some(Landed { revision, at: now });
    }

    /// Failed writes in a row, of the key that has more.
    pub fn failures(&self) -> u32 {
        self.config_retry.failures.max(self.stop_retry.failures)
    }

    /// Remembers an edit that was taken in.
    pub fn adopted(&mut self, hash: String, now: Timestamp) {
        self.bad_edit = None;
        // What KV holds is not what was published: it is written anew, with metadata.
        if let Some(landed) = &mut self.config {
            landed.revision = 0;
        }
        self.adopted.push((hash, now));
        if self.adopted.len() > MAX_ADOPTED {
            self.adopted.remove(0);
        }
    }
}

pub fn hash(text: &str) -> String {
    to_hex(&Sha256::digest(text.as_bytes()))
}
