//! The flags of one requester, before and after.

use std::collections::BTreeMap;

use super::tally::Cause;
use crate::core::bucket::{Bucket, UnitHash};
use crate::core::explain::detail;
use crate::core::flags::{Choice, FeatureSet, Flag, Plan, Reason, Value};
use crate::core::ids::FlagKey;

/// A flag with what was chosen of it, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    flag: &'a Flag,
    choice: Choice,
    hash: &'a UnitHash,
}

impl Answer<'_> {
    pub fn bucket(&self) -> Option<Bucket> {
        match &self.flag.plan {
            Plan::Gate(gate) => Some(Bucket::of(self.hash, gate.gate)),
            Plan::Constant(_) => None,
        }
    }

    fn value(&self) -> Value<'_> {
        self.flag.value(self.choice)
    }

    pub fn variant(&self) -> String {
        let variant = self.flag.variant(self.choice);
        variant.map_or_else(String::new, |variant| variant.name.to_string())
    }

    pub fn reason(&self) -> &'static str {
        self.choice.reason.as_str()
    }

    pub fn detail(&self) -> String {
        detail(self.flag, self.choice, Some(self.hash))
    }

    fn is_member(&self) -> bool {
        match &self.flag.plan {
            Plan::Gate(gate) => {
                let mut cohorts = gate.cohorts.iter();
                cohorts.any(|cohort| cohort.members.contains(self.hash))
            }
            Plan::Constant(_) => false,
        }
    }

    fn cause(&self) -> Cause {
        match self.choice.reason {
            // A cohort's own percentage is one as well.
            Reason::Cohort if !self.is_member() => Cause::Percentage,
            Reason::Cohort | Reason::Denied | Reason::Sticky => Cause::List,
            Reason::Bucket | Reason::Static | Reason::NoUnit => Cause::Percentage,
            Reason::HeldOut | Reason::Layer => Cause::Percentage,
            Reason::Disabled | Reason::Killed | Reason::Stopped => Cause::Switch,
            Reason::Scheduled | Reason::Prerequisite | Reason::Fallback | Reason::Rule => {
                Cause::Rule
            }
        }
    }
}

/// One flag of one requester.
pub(super) struct Pair<'a> {
    pub key: &'a FlagKey,
    pub before: Option<Answer<'a>>,
    pub after: Option<Answer<'a>>,
}

impl Pair<'_> {
    /// Whether it is on before, and after. One that is not there is off.
    pub fn is_on(&self) -> (bool, bool) {
        let on = |side: &Option<Answer<'_>>| side.is_some_and(|answer| answer.choice.on);
        (on(&self.before), on(&self.after))
    }

    pub fn differs(&self) -> bool {
        let (was, is) = self.is_on();
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => was != is || before.value() != after.value(),
            _ => was != is,
        }
    }

    pub fn cause(&self, salted: bool) -> Cause {
        let sides = [&self.before, &self.after].into_iter().flatten();
        let causes: Vec<Cause> = sides.map(Answer::cause).collect();
        let (was, is) = self.is_on();
        if causes.contains(&Cause::Switch) {
            Cause::Switch
        } else if let Some(cause) = causes.iter().find(|cause| cause.is_outlier()) {
            *cause
        } else if was == is {
            Cause::Value
        } else if salted {
            Cause::Salt
        } else {
            Cause::Percentage
        }
    }
}

/// A set, what was chosen of it, and for whom.
pub(super) type Chosen<'a> = (&'a FeatureSet, &'a [Choice], &'a UnitHash);

/// The flags that answer something else.
pub(super) fn changed<'a>(before: Chosen<'a>, after: Chosen<'a>) -> Vec<Pair<'a>> {
    let mut pairs: BTreeMap<&FlagKey, Pair<'a>> = BTreeMap::new();
    for (is_after, (set, choices, hash)) in [(false, before), (true, after)] {
        for (key, flag, choice) in set.chosen(choices) {
            let pair = pairs.entry(key).or_insert(Pair {
                key,
                before: None,
                after: None,
            });
            let side = if is_after {
                &mut pair.after
            } else {
                &mut pair.before
            };
            *side = Some(Answer { flag, choice, hash });
        }
    }
    pairs.into_values().filter(Pair::differs).collect()
}

/// Whether a feature is decided by buckets and lists alone, so that exact shares of it are everybody's.
pub(super) fn is_by_bucket(set: &FeatureSet, key: &FlagKey) -> bool {
    let flag = set.place(key.as_str()).and_then(|at| set.flags.get(at));
    match flag.map(|(_, flag)| &flag.plan) {
        None | Some(Plan::Constant(_)) => true,
        Some(Plan::Gate(gate)) => {
            gate.start.is_none()
                && gate.end.is_none()
                && gate.prerequisites.is_empty()
                && gate.only.is_none()
                && gate.fallback_of.is_empty()
                && gate.rules.is_empty()
                && gate.holdout.is_none()
                && gate.layer.is_none()
        }
    }
}
