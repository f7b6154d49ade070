//! Who got which variant of an experiment, and which arm of a rollout, on its way from an isolate to where it is
//! counted. Nobody waits for it: what is lost with an isolate is seen again when the same requester asks again.

use std::sync::Arc;

use crate::core::bucket::UnitHash;
use crate::core::evidence::{Observation, number_of_day};
use crate::core::experiment::tally::{MAX_MARKS, Seen, day};
use crate::core::flags::{Choice, FeatureSet};
use crate::core::identity::Unit;
use crate::core::snapshot::Snapshot;
use crate::core::time::Timestamp;

/// What waits at most; beyond it is dropped until there is room.
const MAX_PENDING: usize = 5_000;

/// Sightings that are remembered, so that who asks often is sent once a day; a power of two.
const REMEMBERED: usize = 4_096;

/// A sending that has not ended after this long was ended by the runtime.
const LOCK_MS: u64 = 15_000;

/// What one isolate has seen and not sent.
#[derive(Debug, Default)]
pub struct Exposures {
    pending: Vec<(Arc<str>, Seen)>,
    requests: Vec<Observation>,
    /// By a hash of requester, experiment (or none) and day: that itself. Empty until it is needed.
    lately: Vec<u64>,
    sending: Option<Timestamp>,
    /// Why the last sending failed, if it did.
    pub error: Option<String>,
}

impl Exposures {
    /// Notes the experiments among the features that a requester was told. `key`: only of that one.
    pub fn note(
        &mut self,
        snapshot: &Snapshot,
        set: &FeatureSet,
        unit: Option<Unit<'_>>,
        choices: &[Choice],
        key: Option<&str>,
        now: Timestamp,
    ) {
        let Some(unit) = unit else { return };
        for (name, counted, variant, unit) in set.taking_part(snapshot, &unit, choices) {
            if key.is_some_and(|key| key != name.as_str()) {
                continue;
            }
            // The unit's number is of this experiment alone. Days are some ten thousands.
            let hash = (unit ^ u64::from(day(now))).max(1);
            if !self.is_new(hash) {
                continue;
            }
            let seen = Seen {
                unit,
                variant: variant.name.to_string(),
                outcome: None,
            };
            self.pending.push((counted.tally.clone(), seen));
        }
    }

    /// The number of a requester of an install script for the day, if they are to be noted: see [`Self::note_request`].
    pub fn is_new_today(&mut self, unit: &UnitHash, now: Timestamp) -> Option<u64> {
        let number = number_of_day(unit, now);
        self.is_new(number.max(1)).then_some(number)
    }

    /// Notes what they were answered.
    pub fn note_request(&mut self, seen: Observation) {
        self.requests.push(seen);
    }

    /// Whether to note somebody; if so they are remembered.
    fn is_new(&mut self, hash: u64) -> bool {
        let is_known = self.lately.get(slot(hash)) == Some(&hash);
        let is_new = !is_known && self.pending.len() + self.requests.len() < MAX_PENDING;
        if is_new {
            self.remember(hash);
        }
        is_new
    }

    fn remember(&mut self, hash: u64) {
        if self.lately.is_empty() {
            self.lately = vec![0; REMEMBERED];
        }
        if let Some(place) = self.lately.get_mut(slot(hash)) {
            *place = hash;
        }
    }

    /// Whether there is anything to send.
    pub const fn is_waiting(&self) -> bool {
        !self.pending.is_empty() || !self.requests.is_empty()
    }

    /// Whether to begin to send, now.
    pub fn begin(&mut self, now: Timestamp) -> bool {
        let held = |at: Timestamp| now.apart(at) < LOCK_MS;
        if !self.is_waiting() || self.sending.is_some_and(held) {
            return false;
        }
        self.sending = Some(now);
        true
    }

    /// What there is to send, by tally, in parts that one report may have.
    pub fn take(&mut self) -> Vec<(Arc<str>, Vec<Seen>)> {
        self.sending = None;
        let mut parts: Vec<(Arc<str>, Vec<Seen>)> = Vec::new();
        for (tally, seen) in std::mem::take(&mut self.pending) {
            let open = parts
                .iter_mut()
                .find(|(name, part)| *name == tally && part.len() < MAX_MARKS);
            match open {
                Some((_, part)) => part.push(seen),
                None => parts.push((tally, vec![seen])),
            }
        }
        parts
    }

    /// The same of install scripts; asked for after the other.
    pub fn take_requests(&mut self) -> Vec<Vec<Observation>> {
        let all = std::mem::take(&mut self.requests);
        all.chunks(MAX_MARKS).map(<[_]>::to_vec).collect()
    }

    /// After a failure nobody is remembered, so that they are counted when they ask again.
    pub fn forget(&mut self) {
        self.lately = Vec::new();
    }

    /// How a sending went. After a failure nobody is remembered, so that they are counted when they ask again.
    pub fn sent(&mut self, result: Result<(), String>) {
        if result.is_err() {
            self.forget();
        }
        self.error = result.err();
    }
}

fn slot(hash: u64) -> usize {
    // Fewer than the bits there are.
    (hash as usize) & (REMEMBERED - 1)
}
