//! When the router is asked next. Pure: clock and dice are handed in.

use serde::{Deserialize, Serialize};

use crate::core::time::Timestamp;

/// The shortest wait after a failure, in milliseconds. Also how long one process that has begun to ask
/// keeps others from it.
pub const FLOOR_MS: u64 = 60_000;

/// The longest that a router may ask to be left alone (`Retry-After`), in milliseconds: a day.
pub const LONGEST_MS: u64 = 86_400_000;

/// How far the clocks of two machines, or of one machine at two times, may be apart, in milliseconds.
pub const SKEW_MS: u64 = 300_000;

/// When to ask next, and how it went before. Kept on disk, so that programs that are started again and again do not
/// each ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// When this was decided.
    pub set_at: Timestamp,
    /// When to ask.
    pub next: Timestamp,
    /// Failures since the last success.
    pub failures: u32,
}

impl Default for Schedule {
    /// Never asked: due.
    fn default() -> Self {
        let start = Timestamp::from_millis(0);
        Self {
            set_at: start,
            next: start,
            failures: 0,
        }
    }
}

impl Schedule {
    /// Whether to ask now. `interval_ms` is the usual time between two answers.
    ///
    /// A clock that was set back, or a file with nonsense in it, puts nothing off for longer than the longest wait.
    pub fn is_due(&self, now: Timestamp, interval_ms: u64) -> bool {
        let from_the_future = now.plus_millis(SKEW_MS) < self.set_at;
        let longest = match self.failures {
            // It may have been decided by a process with a longer interval.
            0 => jittered(interval_ms).1.max(FLOOR_MS),
            _ => LONGEST_MS.max(interval_ms),
        };
        now >= self.next || from_the_future || now.millis_since(self.set_at) >= longest
    }

    /// After an answer: the interval, give or take a tenth, so that clients that began together do not stay together.
    pub fn succeeded(now: Timestamp, interval_ms: u64, random: u64) -> Self {
        Self {
            set_at: now,
            next: now.plus_millis(between(jittered(interval_ms), random)),
            failures: 0,
        }
    }

    /// After a failure: anywhere between the floor and a ceiling that doubles with each failure up to the interval
    /// (exponential back-off with full jitter), or when the router says (`Retry-After`), at most a day later.
    #[must_use]
    pub fn failed(
        &self,
        now: Timestamp,
        interval_ms: u64,
        random: u64,
        retry_after_ms: Option<u64>,
    ) -> Self {
        let failures = self.failures.saturating_add(1);
        let floor = FLOOR_MS.min(interval_ms);
        let doubled = floor.saturating_mul(1_u64.checked_shl(failures).unwrap_or(u64::MAX));
        let wait = between((floor, doubled.min(interval_ms)), random);
        let asked = retry_after_ms.unwrap_or(0).min(LONGEST_MS);
        Self {
            set_at: now,
            next: now.plus_millis(wait.max(asked)),
            failures,
        }
    }

    /// While one process asks, so that others do not, and so that a program that never lives long enough to hear
    /// the answer asks once a minute and not at each start.
    #[must_use]
    pub fn claimed(&self, now: Timestamp, interval_ms: u64) -> Self {
        Self {
            set_at: now,
            next: now.plus_millis(FLOOR_MS.min(interval_ms)),
            failures: self.failures,
        }
    }
}

/// The interval less and plus a tenth.
const fn jittered(interval_ms: u64) -> (u64, u64) {
    let tenth = interval_ms / 10;
    (interval_ms - tenth, interval_ms.saturating_add(tenth))
}

/// A number of a range, ends included.
fn between((low, high): (u64, u64), random: u64) -> u64 {
    let span = u128::from(high.saturating_sub(low)) + 1;
    let part = (u128::from(random) * span) >> 64;
    // Below the span, so it fits.
    low.saturating_add(u64::try_from(part).unwrap_or(0))
}

/// The wait that a `Retry-After` asks for (RFC 9110, 10.2.3), in milliseconds: seconds, or a date.
pub fn retry_after(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let mut parts = value.split_ascii_whitespace().skip(1);
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months.iter().position(|name| *name == month)? + 1;
    let date: Timestamp = format!("{year}-{month:02}-{day}T{time}Z").parse().ok()?;
    Some(date.millis_since(now))
}
