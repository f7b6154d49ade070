//! What was counted of requesters who were decided twice.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::core::bucket::Bucket;
use crate::core::ids::{FlagKey, Percentage};
use crate::core::impact::FeatureImpact;

/// Bars of a histogram: five percent of the buckets each.
const BINS: usize = 20;

/// Why a requester gets something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A percentage: of a release, a flag, a cohort, a holdout or a layer.
    Percentage,
    /// The same release or flag gives something else.
    Value,
    /// A stop, a kill, a draft, a flag that is switched.
    Switch,
    /// Another salt: every bucket is drawn anew.
    Salt,
    /// An allowlist, a deny list, a cohort's members.
    List,
    /// A rule, a schedule, a prerequisite or a fallback.
    Rule,
}

impl Cause {
    /// Whether a person should look at who it is: neither a percentage nor something that is for everybody explains
    /// it.
    pub const fn is_outlier(self) -> bool {
        matches!(self, Self::List | Self::Rule)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Percentage => "percentage",
            Self::Value => "value",
            Self::Switch => "switch",
            Self::Salt => "salt",
            Self::List => "list",
            Self::Rule => "rule",
        }
    }
}

/// Somebody to whom it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub id: String,
    /// A version, or a flag's variant.
    pub from: String,
    pub to: String,
    /// Why before, in a sentence.
    pub before: String,
    /// Why after.
    pub after: String,
    /// Percent, 0 to 99.999, in what changes. `null` where no bucket counts.
    pub bucket: Option<Percentage>,
}

/// What decides otherwise: a release or a flag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Decider {
    /// `release` or `flag`.
    pub kind: &'static str,
    pub name: String,
}

/// Requesters to whom the same happens for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    #[serde(flatten)]
    pub decider: Decider,
    /// The rule that decided before; `absent` where what decides was not there.
    pub before: &'static str,
    pub after: &'static str,
    pub cause: Cause,
    pub ids: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// In which buckets decisions differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Histogram {
    #[serde(flatten)]
    pub decider: Decider,
    /// Requesters who get something else, by bucket: 0 to 5 %, 5 to 10 %, …
    pub changed: [u64; BINS],
}

/// For how many a flag turns, of those who run a release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FeatureCount {
    pub on: u64,
    pub off: u64,
    /// Another value, and turned neither on nor off.
    pub other: u64,
    /// Of all requesters. `null` where it depends on what they say of themselves, on other flags, or on the time.
    pub exact: Option<FeatureImpact>,
}

/// Counts of requesters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub ids: u64,
    /// From stable to a beta.
    pub enter: u64,
    /// From a beta to stable.
    pub leave: u64,
    /// From one beta to another.
    pub switch: u64,
    pub stay: u64,
    /// Another build: who enters, leaves, switches, or gets another stable version.
    pub builds: u64,
    /// The same build, and another value of one of its flags.
    pub flags: u64,
    /// By release (`*`: whoever runs none) and flag.
    #[serde(skip)]
    pub features: BTreeMap<(String, FlagKey), FeatureCount>,
    #[serde(skip)]
    groups: BTreeMap<(Decider, &'static str, &'static str, Cause), Group>,
    #[serde(skip)]
    histograms: BTreeMap<Decider, Histogram>,
}

impl Tally {
    /// Requesters to whom the same happens, the largest group first.
    pub fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.ids));
        groups
    }

    pub fn histograms(&self) -> impl Iterator<Item = &Histogram> {
        self.histograms.values()
    }

    /// Counts one change of one requester; at most `keep` of a group are kept as examples.
    pub(super) fn add(
        &mut self,
        decider: Decider,
        (before, after): (&'static str, &'static str),
        cause: Cause,
        bucket: Option<Bucket>,
        keep: usize,
        example: impl FnOnce() -> Example,
    ) {
        let key = (decider.clone(), before, after, cause);
        let group = self.groups.entry(key).or_insert_with(|| Group {
            decider: decider.clone(),
            before,
            after,
            cause,
            ids: 0,
            examples: Vec::new(),
        });
        group.ids += 1;
        if group.examples.len() < keep {
            group.examples.push(example());
        }
        let Some(bucket) = bucket else { return };
        let histogram = self.histograms.entry(decider.clone());
        let histogram = histogram.or_insert_with(|| Histogram {
            decider,
            changed: [0; BINS],
        });
        let bin = bucket.value() as usize * BINS / Bucket::COUNT as usize;
        if let Some(bin) = histogram.changed.get_mut(bin) {
            *bin += 1;
        }
    }

    /// A release has most features from everybody: what is said of them is said once.
    pub(super) fn drop_repeated(&mut self) {
        let general = |key: &FlagKey| self.features.get(&("*".to_owned(), key.clone()));
        let repeated = |((release, key), count): &(&(String, FlagKey), &FeatureCount)| {
            release != "*" && general(key) == Some(count)
        };
        let repeated = self.features.iter().filter(repeated);
        let repeated: Vec<_> = repeated.map(|(key, _)| key.clone()).collect();
        for key in repeated {
            self.features.remove(&key);
        }
    }
}
