//! One isolate's state: the snapshot it serves, where that came from, and when to look again.
//! No clock and no I/O: the Worker asks [`Edge::next`] what to do, reads, and calls
//! [`Edge::apply`]. Every rule about stale, broken or missing configuration is here.

use crate::core::config::Config;
use crate::core::decode::Problem;
use crate::core::defaults::Defaults;
use crate::core::snapshot::Snapshot;
use crate::core::stop::Stop;
use crate::core::time::Timestamp;

use super::install;
use super::reply::Kept;

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

/// What was read from KV: each key's text, `None` if it is absent.
#[derive(Debug, Clone)]
pub struct Read {
    pub config: Result<Option<String>, ReadError>,
    pub stop: Result<Option<String>, ReadError>,
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
    /// Counts snapshots, so that whoever derives things from one knows when they are old.
    pub generation: u32,
    /// When both keys were last read.
    pub confirmed: Option<Timestamp>,
    /// Why the last read failed, if it did.
    pub read_error: Option<ReadError>,
    /// Why the document in KV is not the one served.
    pub config_problems: Vec<Problem>,
    config: Option<Config>,
    /// The document last looked at, good or bad, so that it is parsed once per change.
    seen: Option<String>,
    /// The stop's value; `None` until it was read once.
    stop: Option<Option<String>>,
    /// The last read begun, and the latest begun of those taken in.
    begun: Ticket,
    taken: Ticket,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
}

impl Edge {
    pub fn new(defaults: Defaults, var_problems: Vec<Problem>) -> Self {
        Self {
            snapshot: Snapshot::fallback(&defaults, Stop::None),
            defaults,
            var_problems,
            kept: Kept::default(),
            generation: 0,
            confirmed: None,
            read_error: None,
            config_problems: Vec::new(),
            config: None,
            seen: None,
            stop: None,
            begun: Ticket::default(),
            taken: Ticket::default(),
            started: None,
            finished: None,
        }
    }

    /// What to do at `now`. After `Refresh` or `Load` the caller reads and calls [`Self::apply`];
    /// if it is killed before that, the lock runs out. Requests that have to wait read each for
    /// itself, because a promise of one request cannot be awaited in another.
    pub fn next(&mut self, now: Timestamp) -> Next {
        // In both directions: a clock that was set back must not put off the next look, because
        // that look may find an emergency stop.
        let within = |at: Timestamp, limit| now.millis_since(at).max(at.millis_since(now)) < limit;
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
        if let Ok(text) = read.config {
            changed |= self.apply_config(text);
        }
        if let Ok(stop) = read.stop
            && self.stop.as_ref() != Some(&stop)
        {
            self.stop = Some(stop);
            changed = true;
        }
        if changed {
            self.rebuild();
        }
    }

    /// Whether there is a new configuration.
    fn apply_config(&mut self, text: Option<String>) -> bool {
        let whole = |message: String| {
            vec![Problem {
                path: String::new(),
                message,
            }]
        };
        let Some(text) = text else {
            self.seen = None;
            self.config_problems = whole("is missing: KV has no key \"config\"".to_owned());
            return false;
        };
        if self.seen.as_ref() == Some(&text) {
            return false;
        }
        let parsed = Config::parse(&text);
        self.seen = Some(text);
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
                changed
            }
        }
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
        self.generation = self.generation.wrapping_add(1);
        install::render_ahead(self);
    }
}
