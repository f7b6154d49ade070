//! The features of one requester.

use std::rc::Rc;

use super::bucket::{Bucket, UnitHash};
use super::decide::is_in_cohort;
use super::identity::Unit;
use super::ids::FlagKey;
use super::snapshot::{FeatureSet, Rule, Snapshot};

/// Which features of a set are on: one bit each, in the order of [`FeatureSet::keys`]. Requesters
/// with equal values get the same answer, so it is also the key under which answers are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Values(Rc<[u64]>);

impl Values {
    /// Pairs each key with its value.
    pub fn of<'a>(&'a self, set: &'a FeatureSet) -> impl Iterator<Item = (&'a FlagKey, bool)> {
        set.keys().enumerate().map(|(i, key)| {
            let word = self.0.get(i / 64).copied().unwrap_or(0);
            (key, word >> (i % 64) & 1 == 1)
        })
    }
}

/// Evaluates every feature. A requester without a unit gets those that are on for everybody.
pub fn evaluate_all(snapshot: &Snapshot, set: &FeatureSet, unit: Option<&Unit<'_>>) -> Values {
    let mut hash = None;
    let mut hashed =
        || *hash.get_or_insert_with(|| unit.map(|unit| UnitHash::of(&snapshot.salt, unit)));
    let words = set.flags.chunks(64).map(|chunk| {
        chunk.iter().enumerate().fold(0, |word, (i, (_, rule))| {
            let on = match rule {
                Rule::Constant(on) => *on,
                Rule::Gate {
                    gate,
                    percentage,
                    cohorts,
                } => hashed().is_some_and(|unit| {
                    Bucket::of(&unit, *gate).is_in(*percentage)
                        || cohorts
                            .iter()
                            .any(|cohort| is_in_cohort(cohort, &unit, set.cohort_gate))
                }),
            };
            word | u64::from(on) << i
        })
    });
    Values(words.collect())
}
