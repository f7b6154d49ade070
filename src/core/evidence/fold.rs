//! From observations to counters: what the object does, without its storage.

use sha2::{Digest, Sha256};

use super::{Observation, Of, first, hour};
use crate::core::table::{Set, Table};

/// The key of an object's marks.
pub type Key = [u8; 16];

/// What an object has already.
pub struct Known {
    /// Marks of what was counted.
    pub seen: Set<u64>,
    /// What sessions said when they began, by mark.
    pub sessions: Table<u64, Of>,
}

/// What a counter is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    /// The minute, or the hour's first.
    pub at: u32,
    pub release: String,
    pub arm: &'static str,
    pub revision: u64,
    pub cohort: String,
    pub platform: String,
    pub metric: String,
    pub edge: u32,
}

/// What becomes of an observation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Counted,
    Duplicate,
    /// Nobody knows what its session runs.
    Unknown,
}

impl Fate {
    /// As the object answers it: one letter for each.
    pub const fn letter(self) -> char {
        match self {
            Self::Counted => 'c',
            Self::Duplicate => 'd',
            Self::Unknown => 'u',
        }
    }
}

/// What there is to write.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Of each observation, in order.
    pub fates: Vec<Fate>,
    pub marks: Vec<u64>,
    pub sessions: Table<u64, Of>,
    pub minutes: Table<Place, (u64, u64)>,
    pub hours: Table<Place, (u64, u64)>,
}

/// Under which something is remembered: 53 bits, because that is how far whole numbers reach in JavaScript.
fn mark(key: &Key, kind: u8, value: u64) -> u64 {
    let digest = Sha256::new()
        .chain_update(key)
        .chain_update([kind])
        .chain_update(value.to_be_bytes())
        .finalize();
    first(&digest) >> 11
}

/// What a batch may be known by: the marks of what it says, and of its sessions.
pub fn marks(key: &Key, batch: &[Observation]) -> (Vec<u64>, Vec<u64>) {
    let seen = batch.iter().map(|o| mark(key, b'o', o.id)).collect();
    let sessions = batch.iter().map(|o| mark(key, b's', o.key)).collect();
    (seen, sessions)
}

/// Counts a batch, each thing once. The order within it does not matter.
pub fn fold(batch: &[Observation], key: &Key, known: &Known) -> Folded {
    let mut folded = Folded::default();
    let (marks, sessions) = marks(key, batch);
    let all = || batch.iter().zip(marks.iter().zip(&sessions));
    for (observation, (_, session)) in all() {
        if let (true, Some(of)) = (observation.begins, &observation.of) {
            folded.sessions.insert(*session, of.clone());
        }
    }
    let mut new = Set::default();
    for (observation, (mark, session)) in all() {
        let said = || folded.sessions.get(session);
        let of = observation.of.as_ref();
        let of = of
            .or_else(said)
            .or_else(|| known.sessions.get(session))
            .cloned();
        let fate = if known.seen.contains(mark) || new.contains(mark) {
            Fate::Duplicate
        } else if let Some(of) = of {
            new.insert(*mark, ());
            count(&mut folded, observation, &of);
            Fate::Counted
        } else {
            Fate::Unknown
        };
        folded.fates.push(fate);
    }
    folded.marks = new.keys().copied().collect();
    folded
}

fn count(folded: &mut Folded, observation: &Observation, of: &Of) {
    for cell in &observation.cells {
        let mut place = Place {
            at: observation.at,
            release: of.release.clone(),
            arm: of.arm.as_str(),
            revision: observation.revision,
            cohort: of.cohort.clone(),
            platform: of.platform.clone(),
            metric: cell.0.to_string(),
            edge: cell.1,
        };
        add(&mut folded.minutes, place.clone(), cell.2, cell.3);
        place.at = hour(place.at);
        add(&mut folded.hours, place, cell.2, cell.3);
    }
}

fn add(table: &mut Table<Place, (u64, u64)>, place: Place, total: u64, good: u64) {
    match table.get_mut(&place) {
        Some(count) => {
            count.0 += total;
            count.1 += good;
        }
        None => table.insert(place, (total, good)),
    }
}
