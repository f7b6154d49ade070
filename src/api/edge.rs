//! One isolate's state: the snapshot it serves, where that came from, and when to look again.
//! No clock and no I/O: the Worker asks [`Edge::next`] what to do, reads, and calls
//! [`Edge::apply`]. Every rule about stale, broken or missing configuration is here.

use sha2::{Digest, Sha256};

use crate::core::config::Config;
use crate::core::decode::Problem;
use crate::core::defaults::Defaults;
use crate::core::ledger::kv::Value;
use crate::core::snapshot::Snapshot;
use crate::core::stop::Stop;
use crate::core::time::Timestamp;
use crate::wire::looks::LedgerLook;

use super::asks::Asks;
use super::exposures::Exposures;
use super::fragments::Fragments;
use super::history::History;
use super::install;
use super::reply::Kept;
use super::reports::Reports;
use super::signing::Signing;

/// A snapshot younger than this is served without looking. The worst case from a KV write to an
/// answer is this, plus the 30 s for which the edge keeps a KV value, plus KV's own propagation.
pub const SOFT_TTL_MS: u64 = 5_000;

/// A snapshot that was not looked after for this long is not served before looking: an isolate that
/// nobody asked for an hour must not hand out what was stopped half an hour ago.
pub const HARD_TTL_MS: u64 = 30_000;

/// After a failed read the next one waits this long.
const RETRY_MS: u64 = 1_000;

/// A refresh that has not ended after this long was ended by the runtime, and another may start.
const LOCK_MS: u64 = 15_000;

/// What to do before answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Answer.
    Serve,
    /// Answer, and read in the background.
    Refresh,
    /// Nothing was ever read, or too long ago: read first.
    Load,
}

/// What the ledger said of itself is good for this long.
const LEDGER_TTL_MS: u64 = 5_000;

/// The ledger is told of a person's edit at most this often by one isolate.
const POKE_MS: u64 = 10_000;

/// KV's replicas are behind for no longer than this: 60 s of its own, 30 s of the edge's.
const BEHIND_MS: u64 = 120_000;

/// The ledger is asked for a revision that it does not have so often a second by one isolate.
const MAX_FUTILE: u32 = 20;

/// Revisions are below 2^53.
const MAX_REVISION: u64 = 1 << 53;

/// What the ledger says is in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Current {
    pub revision: u64,
    pub config: Option<String>,
    pub stop: Option<String>,
}

/// What was read from KV; `None` for a key that is absent.
#[derive(Debug, Clone)]
pub struct Read {
    pub config: Result<Option<Value>, ReadError>,
    pub stop: Result<Option<Value>, ReadError>,
}

/// When a read was begun, relative to others of the isolate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ticket(u64);

/// Why a key could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("KV did not answer in time")]
    Timeout,
    #[error("KV failed")]
    Failed,
    #[error("the KV binding ROLLOUT is missing; see wrangler.toml")]
    NoBinding,
}

/// One isolate's state.
#[derive(Debug)]
pub struct Edge {
    pub defaults: Defaults,
    pub var_problems: Vec<Problem>,
    pub snapshot: Snapshot,
    pub kept: Kept,
    pub signing: Signing,
    pub fragments: Fragments,
    pub exposures: Exposures,
    pub reports: Reports,
    pub asks: Asks,
    /// Stands for everything that answers are made from: the same in every isolate that has the same.
    pub digest: [u8; 32],
    /// Whether clients can be told of changes.
    pub streams: bool,
    /// Counts snapshots, so that whoever derives things from one knows when they are old.
    pub generation: u32,
    /// When both keys were last read.
    pub confirmed: Option<Timestamp>,
    /// Why the last read failed, if it did.
    pub read_error: Option<ReadError>,
    /// Why the document in KV is not the one served.
    pub config_problems: Vec<Problem>,
    /// What the ledger said of itself last, or why it said nothing.
    pub ledger: Option<(Result<LedgerLook, String>, Timestamp)>,
    /// What it said of what happened.
    pub history: History,
    config: Option<Config>,
    /// SHA-256 of its text.
    text_digest: [u8; 32],
    /// The document last looked at, good or bad, so that it is parsed once per change.
    seen: Option<String>,
    /// The stop's value; `None` until it was read once.
    stop: Option<Option<String>>,
    /// The last read begun, and the latest begun of those taken in.
    begun: Ticket,
    taken: Ticket,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    /// Whether something was read that the ledger did not write, and when it was last told.
    edited: bool,
    poked: Option<Timestamp>,
    /// The revision that was had from the ledger before KV had it, and when.
    ahead: Option<(u64, Timestamp)>,
    /// How often it was asked for one that it does not have, in the second that began then.
    futile: (u32, Timestamp),
}

impl Edge {
    pub fn new(defaults: Defaults, var_problems: Vec<Problem>) -> Self {
        Self {
            snapshot: Snapshot::fallback(&defaults, Stop::None),
            defaults,
            var_problems,
            kept: Kept::default(),
            signing: Signing::default(),
            fragments: Fragments::default(),
            exposures: Exposures::default(),
            reports: Reports::default(),
            asks: Asks::default(),
            digest: [0; 32],
            text_digest: [0; 32],
            streams: false,
            generation: 0,
            confirmed: None,
            read_error: None,
            config_problems: Vec::new(),
            ledger: None,
            history: History::default(),
            config: None,
            seen: None,
            stop: None,
            begun: Ticket::default(),
            taken: Ticket::default(),
            started: None,
            finished: None,
            edited: false,
            poked: None,
            ahead: None,
            futile: (0, Timestamp::from_millis(0)),
        }
    }

    /// What to do at `now`. After `Refresh` or `Load` the caller reads and calls [`Self::apply`];
    /// if it is killed before that, the lock runs out. Requests that have to wait read each for
    /// itself, because a promise of one request cannot be awaited in another.
    pub fn next(&mut self, now: Timestamp) -> Next {
        // In both directions: a clock that was set back must not put off the next look, because
        // that look may find an emergency stop.
        let within = |at: Timestamp, limit| now.apart(at) < limit;
        let finished = match self.finished {
            Some(finished) if within(finished, HARD_TTL_MS) => finished,
            _ => {
                self.started = Some(now);
                return Next::Load;
            }
        };
        let ttl = if self.read_error.is_some() {
            RETRY_MS
        } else {
            SOFT_TTL_MS
        };
        if self.started.is_some_and(|at| within(at, LOCK_MS)) || within(finished, ttl) {
            return Next::Serve;
        }
        self.started = Some(now);
        Next::Refresh
    }

    /// Call before reading, and give the ticket to [`Self::apply`].
    pub fn begin(&mut self) -> Ticket {
        self.begun.0 += 1;
        self.begun
    }

    /// Takes in what was read. The last good configuration stays unless there is a better one. A
    /// read that was overtaken by one begun later is dropped: it may be from before a stop.
    pub fn apply(&mut self, read: Read, ticket: Ticket, now: Timestamp) {
        if ticket < self.taken {
            return;
        }
        self.started = None;
        self.finished = Some(now);
        self.read_error = read
            .config
            .as_ref()
            .err()
            .or(read.stop.as_ref().err())
            .cloned();
        if self.read_error.is_none() {
            self.taken = ticket;
            self.confirmed = Some(now);
        }

        let mut changed = false;
        // A replica that is older than what the ledger said: its stop may be older as well, and may
        // stop, but not lift one.
        let behind = self.is_behind(read.config.as_ref().ok().and_then(Option::as_ref), now);
        if let Ok(value) = read.config
            && !behind
        {
            changed |= self.apply_config(value);
        }
        if let Ok(value) = read.stop
            && !(behind && value.is_none())
        {
            let text = value.as_ref().map(|value| &value.text);
            if self.stop.as_ref().map(Option::as_ref) != Some(text) {
                self.edited |= value.as_ref().is_some_and(|value| !value.is_ledgers());
                self.stop = Some(value.map(|value| value.text));
                changed = true;
            }
        }
        if changed {
            self.rebuild();
        }
    }

    /// Whether to ask the ledger before answering who was told of a revision: it is newer than what is
    /// served here.
    pub fn wants_revision(&mut self, revision: Option<u64>, now: Timestamp) -> bool {
        let served = self.snapshot.revision.unwrap_or(0);
        if revision.is_none_or(|revision| revision <= served || revision > MAX_REVISION) {
            return false;
        }
        // Anybody can name one that is not there: for those the ledger is asked this often and no more.
        let (count, since) = self.futile;
        let lately = now.apart(since) < 1_000;
        !lately || count < MAX_FUTILE
    }

    /// Takes in what the ledger says is in force, before KV has it. It puts off no look at KV: that is where
    /// a person stops things by hand, and anybody can have this called.
    pub fn apply_current(&mut self, current: Current, wanted: Option<u64>, now: Timestamp) {
        if wanted.is_some_and(|wanted| wanted > current.revision) {
            let (count, since) = self.futile;
            self.futile = match now.apart(since) {
                0..1_000 => (count + 1, since),
                _ => (1, now),
            };
        }
        let kv = (
            self.taken,
            self.started,
            self.finished,
            self.confirmed,
            self.read_error.clone(),
        );
        let Current {
            revision,
            config,
            stop,
        } = current;
        let value = |text| Some(Value::of_ledger(text, revision));
        let ticket = self.begin();
        let read = Read {
            config: Ok(config.and_then(value)),
            stop: Ok(stop.and_then(value)),
        };
        self.apply(read, ticket, now);
        (
            self.taken,
            self.started,
            self.finished,
            self.confirmed,
            self.read_error,
        ) = kv;
        self.ahead = Some((revision, now));
    }

    /// Whether KV is known to be behind what is served, or, without a value, may be.
    fn is_behind(&self, value: Option<&Value>, now: Timestamp) -> bool {
        let Some((revision, since)) = self.ahead else {
            return false;
        };
        let lately = now.apart(since) < BEHIND_MS;
        // A person's edit has no metadata; it says itself of which revision it is.
        let of = |value: &Value| match &value.metadata {
            Some(metadata) => Some(metadata.revision),
            None => Some(Config::parse(&value.text).ok()?.revision),
        };
        lately && value.and_then(of).is_none_or(|of| of < revision)
    }

    /// Whether there is a new configuration.
    fn apply_config(&mut self, value: Option<Value>) -> bool {
        let whole = |message: String| {
            vec![Problem {
                path: String::new(),
                message,
            }]
        };
        let Some(value) = value else {
            self.seen = None;
            self.config_problems = whole("is missing: KV has no key \"config\"".to_owned());
            return false;
        };
        if self.seen.as_ref() == Some(&value.text) {
            return false;
        }
        self.edited |= !value.is_ledgers();
        let parsed = value.config();
        let text_digest = Sha256::digest(&value.text).into();
        self.seen = Some(value.text);
        let served = self.config.as_ref().map_or(0, |config| config.revision);
        match parsed {
            Err(problems) => {
                self.config_problems = problems;
                false
            }
            Ok(config) if config.revision < served => {
                self.config_problems = whole(format!(
                    "has revision {}, older than revision {served}, which is served; to go back, \
                     write the old content with a higher revision",
                    config.revision
                ));
                false
            }
            Ok(config) => {
                self.config_problems.clear();
                let changed = self.config.as_ref() != Some(&config);
                self.config = Some(config);
                self.text_digest = text_digest;
                changed
            }
        }
    }

    /// The configuration that is served.
    pub const fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Whether to ask the ledger for the configuration that it published last: there is none here,
    /// and the one in KV cannot be used.
    pub fn wants_last_good(&self) -> bool {
        self.config.is_none() && self.stop.is_some() && !self.config_problems.is_empty()
    }

    /// Takes in the ledger's configuration. What is wrong with KV's stays to be seen.
    pub fn apply_last_good(&mut self, text: &str) {
        if self.config.is_none()
            && let Ok(config) = Config::parse(text)
        {
            self.config = Some(config);
            self.text_digest = Sha256::digest(text).into();
            self.rebuild();
        }
    }

    /// Whether the ledger is to be told, now, that somebody else wrote to KV.
    pub fn take_poke(&mut self, now: Timestamp) -> bool {
        let lately = self.poked.is_some_and(|at| now.millis_since(at) < POKE_MS);
        let poke = self.edited && !lately;
        if poke {
            self.edited = false;
            self.poked = Some(now);
        }
        poke
    }

    /// Whether what the ledger said of itself is too old to be told.
    pub fn wants_ledger(&self, now: Timestamp) -> bool {
        let fresh = |(_, at): &(_, Timestamp)| now.millis_since(*at) < LEDGER_TTL_MS;
        !self.ledger.as_ref().is_some_and(fresh)
    }

    /// Resolves the configuration anew and renders ahead what most requests will ask for. Until
    /// the stop was read once it could be on, so nothing but the fallback is served.
    fn rebuild(&mut self) {
        let value = self.stop.as_ref().and_then(Option::as_deref);
        let stop = Stop::parse(value, self.config.as_ref());
        self.snapshot = match &self.config {
            Some(config) if self.stop.is_some() => Snapshot::new(config, stop, &self.defaults),
            _ => Snapshot::fallback(&self.defaults, stop),
        };
        self.kept = Kept::default();
        self.fragments = Fragments::default();
        let mut digest = Sha256::new()
            .chain_update(self.text_digest)
            .chain_update([u8::from(self.snapshot.is_fallback())])
            .chain_update(value.unwrap_or_default());
        for (key, on) in self.defaults.features.iter() {
            digest.update(key.as_str());
            digest.update([u8::from(*on)]);
        }
        self.digest = digest.finalize().into();
        self.generation = self.generation.wrapping_add(1);
        install::render_ahead(self);
    }
}
