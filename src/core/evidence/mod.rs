//! What is known of how a release does, from the reports of installers and clients and from what the edge itself
//! answers. A report becomes [`Observation`]s, those become counters ([`fold`]), and the counters of a span become the
//! [`Evidence`](super::gate::Evidence) that gates are asked about.
//!
//! Only counters are kept. To count nothing twice a **mark** is kept of each report for two days, and one of each session
//! with the release that it runs: hashes with a key that only the object has. None can be turned back.

mod answer;
mod fold;
pub mod metric;
mod read;
pub mod series;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bucket::{Purpose, RolloutHash, UnitHash, draw};
use super::config::Config;
use super::decide::is_in_cohort;
use super::flags::cohorts;
use super::ids::{CohortName, ReleaseName};
use super::time::Timestamp;

pub use answer::{evidence, share};
pub use fold::{Fate, Folded, Key, Known, Place, fold, marks};
pub use read::{Batch, MAX_EVENTS, Refusal, Refused, Setting, events, install, platform};

/// In how many objects the counters are.
pub const SHARDS: u64 = 4;

/// Milliseconds of the clock's parts.
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How long counters are kept by minute and by hour, and marks.
pub const KEEP_MINUTES_MS: i64 = 3 * DAY_MS;
pub const KEEP_HOURS_MS: i64 = 90 * DAY_MS;
pub const KEEP_MARKS_MS: i64 = 50 * HOUR_MS;

/// Spans that begin later than this are read by minute.
const BY_MINUTE_MS: i64 = 48 * HOUR_MS;

/// Whose requester, session or install it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvidenceArm"))]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    Canary,
    /// The stable version, for every release alike.
    Control,
}

impl Arm {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Control => "control",
        }
    }
}

/// What somebody runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Of {
    /// Empty for the control.
    pub release: String,
    pub arm: Arm,
    /// The first of the release's cohorts that they are in, or nothing.
    pub cohort: String,
    /// `linux-amd64`, `linux`, or nothing.
    pub platform: String,
}

impl Of {
    /// Whoever runs the stable version.
    pub const fn control() -> Self {
        Self {
            release: String::new(),
            arm: Arm::Control,
            cohort: String::new(),
            platform: String::new(),
        }
    }
}

/// So many more of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell(pub Cow<'static, str>, pub u32, pub u64, pub u64);

impl Cell {
    /// `edge`: [`metric::NO_EDGE`], or the upper edge of a latency.
    pub const fn new(metric: &'static str, edge: u32, total: u64, good: u64) -> Self {
        Self(Cow::Borrowed(metric), edge, total, good)
    }
}

/// One thing that was seen, on its way to the object that counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// What is counted once.
    pub id: u64,
    /// Decides which object; and finds what is known of the session.
    pub key: u64,
    /// `None`: of what the session said when it began.
    pub of: Option<Of>,
    /// Whether that is to be remembered of the session.
    pub begins: bool,
    /// The snapshot's.
    pub revision: u64,
    /// Minutes since 1970.
    pub at: u32,
    pub cells: Vec<Cell>,
    /// Follows from another one: nobody is told what becomes of it.
    #[serde(skip)]
    pub derived: bool,
}

impl Observation {
    /// The object that counts it.
    pub const fn shard(&self) -> u64 {
        self.key % SHARDS
    }

    /// A requester of an install script, by their number of the day.
    pub fn request(number: u64, of: Of, by_bucket: bool, revision: u64, now: Timestamp) -> Self {
        Self {
            id: number,
            key: number,
            of: Some(of),
            begins: false,
            revision,
            at: minute(now),
            cells: vec![metric::one(metric::REQUESTS, by_bucket)],
            derived: false,
        }
    }
}

/// The minute of a point in time.
pub fn minute(at: Timestamp) -> u32 {
    u32::try_from(at.millis().div_euclid(MINUTE_MS)).unwrap_or_default()
}

/// The hour's first minute.
pub const fn hour(minute: u32) -> u32 {
    minute - minute % 60
}

/// The first of a release's cohorts that somebody is in.
pub fn cohort_of<'c>(
    config: &'c Config,
    release: &ReleaseName,
    unit: &UnitHash,
) -> Option<&'c CohortName> {
    let release = config.releases.get(release)?;
    if release.cohorts.is_empty() {
        return None;
    }
    let gate = RolloutHash::of(Purpose::Gate, &release.rollout_id);
    let is_in = |name: &&CohortName| {
        let live = cohorts(config, std::slice::from_ref(name));
        live.iter().any(|cohort| is_in_cohort(cohort, unit, gate))
    };
    release.cohorts.iter().find(is_in)
}

/// A requester's number for a day. What is drawn from their hash is drawn for this alone.
pub fn number_of_day(unit: &UnitHash, now: Timestamp) -> u64 {
    let day = u64::from(minute(now) / (24 * 60));
    // The day in every bit, so that numbers of different days are as far apart as those of different people.
    draw(unit, RolloutHash::from_bytes(*b"requests")) ^ day.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What something is counted under. The parts hold no NUL.
pub fn id(kind: &str, parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new().chain_update(kind);
    for part in parts {
        hasher.update([0]);
        hasher.update(part);
    }
    first(&hasher.finalize())
}

fn first(digest: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(digest.split_at(8).0);
    u64::from_be_bytes(bytes)
}

/// A time from `from` until just before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
}

/// What is asked of the counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// By name. What is seen of the stable version comes with it.
    pub release: String,
    pub spans: Vec<Span>,
}

/// A counter, summed over a span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    pub arm: Arm,
    pub cohort: String,
    pub platform: String,
    pub metric: String,
    /// [`metric::NO_EDGE`], the upper edge of a latency in milliseconds, or [`metric::BEYOND`].
    pub edge: u32,
    pub total: u64,
    pub good: u64,
}

/// Adds rows to others: those of one shard to those of the rest.
pub fn add_rows(sum: &mut Vec<Row>, rows: Vec<Row>) {
    let name = |row: &Row| {
        (
            row.arm,
            row.metric.clone(),
            row.edge,
            row.cohort.clone(),
            row.platform.clone(),
        )
    };
    for row in rows {
        match sum.binary_search_by(|other| name(other).cmp(&name(&row))) {
            Ok(at) => {
                if let Some(other) = sum.get_mut(at) {
                    other.total += row.total;
                    other.good += row.good;
                }
            }
            Err(at) => sum.insert(at, row),
        }
    }
}

/// A part of a span: the counters by minute or by hour that begin in `from..to`, in minutes since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    pub by_hour: bool,
    pub from: u32,
    pub to: u32,
}

/// Which counters make up a span. Nothing from before it is among them: what began earlier is left out, a minute or,
/// in a span that began more than two days ago, an hour. Its last, broken hour is read by minute.
pub fn pieces(span: &Span, now: Timestamp) -> [Piece; 2] {
    let up = |at: Timestamp, unit: i64| at.millis().saturating_add(unit - 1).div_euclid(unit);
    let minutes = |ms: i64| u32::try_from(ms / MINUTE_MS).unwrap_or_default();
    let from = minutes(up(span.from, MINUTE_MS) * MINUTE_MS);
    // A minute that has begun belongs to it: nothing is counted ahead of its time.
    let to = minutes(up(span.to, MINUTE_MS) * MINUTE_MS);
    let piece = |by_hour, from, to| Piece { by_hour, from, to };
    if span.from.millis() > now.millis() - BY_MINUTE_MS {
        return [piece(true, from, from), piece(false, from, to)];
    }
    let first = minutes(up(span.from, HOUR_MS) * HOUR_MS);
    let last = minutes(span.to.millis().div_euclid(HOUR_MS) * HOUR_MS).max(first);
    // Of a span that ended before that, no minutes are left.
    let kept = minutes(now.millis() - KEEP_MINUTES_MS) < last;
    let tail = if kept { to.max(last) } else { last };
    [piece(true, first, last), piece(false, last, tail)]
}
