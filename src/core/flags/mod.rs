//! The features of one requester: which variant of each, and why.

mod order;
mod reason;
mod resolve;

pub use order::order;
pub use reason::Reason;
pub(super) use resolve::{Features, cohorts};

use std::rc::Rc;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::banner::banner;
use super::bucket::{Bucket, RolloutHash, UnitHash, draw};
use super::condition::{Attribute, Condition, Subject};
use super::config::{Serve, Variant};
use super::decide::is_in_cohort;
use super::identity::Unit;
use super::ids::{CohortName, FlagKey, Percentage};
use super::json::Json;
use super::members::Members;
use super::snapshot::{Cohort, Snapshot};
use super::sticky::Held;
use super::table::Table;
use super::time::Timestamp;

/// What one requester gets of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// The variant's place.
    pub variant: u8,
    /// Whether the feature is on for them; the off variant may be served by a rule as well.
    pub on: bool,
    pub reason: Reason,
}

/// A feature, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    pub variants: Arc<[Variant]>,
    pub(super) off: u8,
    pub(super) plan: Plan,
    /// Who gets this one when it is off.
    pub fallback: Option<FlagKey>,
    /// Whether its numbers are fractional: then also those that happen to be whole.
    pub(super) is_float: bool,
    /// What it is called to people.
    pub(super) title: Option<Arc<str>>,
    /// By which it is known to those who keep it; `None` where nobody can.
    pub(super) rollout: Option<RolloutHash>,
}

/// A value as it is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Json(&'a Json),
    /// A number of a flag whose numbers are fractional.
    Float(f64),
    Switch(bool),
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(json) => json.serialize(s),
            // `1.0` and not `1`: a client that asked for a float takes no integer.
            Self::Float(number) => s.serialize_f64(*number),
            Self::Switch(on) => s.serialize_bool(*on),
        }
    }
}

impl Flag {
    /// Whether it asks others, or is asked for by them: then it belongs to one set.
    fn is_linked(&self) -> bool {
        match &self.plan {
            Plan::Gate(gate) => {
                self.fallback.is_some()
                    || !gate.prerequisites.is_empty()
                    || !gate.fallback_of.is_empty()
            }
            Plan::Constant(_) => self.fallback.is_some(),
        }
    }

    pub fn variant(&self, choice: Choice) -> Option<&Variant> {
        self.variants.get(usize::from(choice.variant))
    }

    /// What whoever has it is told while it is being rolled out.
    pub fn banner(&self, key: &FlagKey, choice: Choice) -> Option<String> {
        match &self.plan {
            Plan::Gate(gate) if choice.on => banner(key, self.title.as_deref(), gate.percentage),
            _ => None,
        }
    }

    /// The value of what was chosen.
    pub fn value(&self, choice: Choice) -> Value<'_> {
        match self.variant(choice).map(|variant| &variant.value) {
            Some(Json::Number(number)) if self.is_float => Value::Float(*number),
            Some(json) => Value::Json(json),
            None => Value::Json(&Json::Null),
        }
    }
}

/// How a feature is answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plan {
    /// The same for everybody.
    Constant(Choice),
    /// Shared by the sets of several releases.
    Gate(Arc<Gate>),
}

/// What is asked, in this order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gate {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    /// A feature's place, and the variants that will do.
    pub prerequisites: Vec<(usize, Vec<u8>)>,
    pub deny: Members,
    /// Who else is not in.
    pub only: Option<Condition>,
    pub cohorts: Vec<Cohort>,
    /// The places of those that fall back to this one.
    pub fallback_of: Vec<usize>,
    pub rules: Vec<Rule>,
    pub holdout: Option<(RolloutHash, Percentage)>,
    pub layer: Option<(RolloutHash, u32, u32)>,
    pub gate: RolloutHash,
    pub percentage: Percentage,
    pub split: RolloutHash,
    pub serve: Serve,
}

/// A rule, resolved.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub when: Condition,
    pub serve: Option<Serve>,
    pub percentage: Percentage,
}

/// An experiment among the features of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    pub(super) place: usize,
    /// Under what it is counted: its rollout id.
    pub tally: Arc<str>,
    pub(super) mark: RolloutHash,
}

/// The features of one release, or of everybody; sorted by key.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSet {
    pub(super) flags: Arc<[(FlagKey, Flag)]>,
    /// The places in an order in which each comes after those that it asks; `None`: any will do.
    pub(super) order: Option<Arc<[usize]>>,
    pub(super) has_rules: bool,
    pub(super) experiments: Arc<[Counted]>,
    /// The bucket that cohort percentages are counted in.
    pub(super) cohort_gate: RolloutHash,
    /// Those that conditions name and that are switched on.
    pub(super) cohorts: Table<CohortName, Cohort>,
}

impl FeatureSet {
    pub fn keys(&self) -> impl Iterator<Item = &FlagKey> {
        self.flags.iter().map(|(key, _)| key)
    }

    /// Each feature with what was chosen of it.
    pub fn chosen<'a>(
        &'a self,
        choices: &'a [Choice],
    ) -> impl Iterator<Item = (&'a FlagKey, &'a Flag, Choice)> {
        let flags = self.flags.iter().zip(choices);
        flags.map(|((key, flag), choice)| (key, flag, *choice))
    }

    /// Whether any of them asks what a requester says of themselves.
    pub const fn has_rules(&self) -> bool {
        self.has_rules
    }

    /// What somebody who was given these may keep: what they have by their bucket, or like everybody now.
    pub fn holdable(&self, choices: &[Choice]) -> Held {
        let mut held = Held::default();
        for (_, flag, choice) in self.chosen(choices) {
            let by_share = matches!(
                choice.reason,
                Reason::Bucket | Reason::Rule | Reason::Static | Reason::Sticky
            );
            if let (true, true, Some(rollout)) = (choice.on, by_share, flag.rollout) {
                held.push(rollout, flag.variant(choice).map(|variant| &variant.name));
            }
        }
        held
    }

    /// The experiments among them that a requester takes part in, with the variant and what they are
    /// counted as.
    pub fn taking_part<'a>(
        &'a self,
        snapshot: &Snapshot,
        unit: &Unit<'_>,
        choices: &'a [Choice],
    ) -> Vec<(&'a FlagKey, &'a Counted, &'a Variant, u64)> {
        if self.experiments.is_empty() {
            return Vec::new();
        }
        let hash = UnitHash::of(&snapshot.salt, unit);
        let one = |counted: &'a Counted| {
            let (key, flag) = self.flags.get(counted.place)?;
            let choice = choices.get(counted.place).filter(|choice| choice.on)?;
            let unit = draw(&hash, counted.mark);
            Some((key, counted, flag.variant(*choice)?, unit))
        };
        self.experiments.iter().filter_map(one).collect()
    }

    /// The same for a release that says nothing of its own: only where cohorts are counted differs.
    pub(super) fn counted_in(&self, cohort_gate: RolloutHash) -> Self {
        Self {
            cohort_gate,
            ..self.clone()
        }
    }

    pub(super) fn place(&self, key: &str) -> Option<usize> {
        let found = self.flags.binary_search_by(|(k, _)| k.as_str().cmp(key));
        found.ok()
    }
}

/// The variants of a set's features, in the order of its keys. Requesters with equal values get the
/// same answer, so it is also the key under which answers are kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Values(Rc<[u8]>);

impl Values {
    pub fn of(choices: &[Choice]) -> Self {
        Self(choices.iter().map(|choice| choice.variant).collect())
    }
}

/// Who asks, what they say of themselves, and when.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub unit: Option<Unit<'a>>,
    pub attributes: &'a [(&'a str, Attribute<'a>)],
    pub now: Timestamp,
    /// What they were given before and want to keep.
    pub held: Option<&'a Held>,
}

impl<'a> Asking<'a> {
    /// Somebody who says nothing of themselves.
    pub const fn unit(unit: Option<Unit<'a>>, now: Timestamp) -> Self {
        Self {
            unit,
            attributes: &[],
            now,
            held: None,
        }
    }
}

/// A requester, hashed.
struct Hashed<'a> {
    asking: &'a Asking<'a>,
    set: &'a FeatureSet,
    hash: Option<UnitHash>,
}

impl Subject for Hashed<'_> {
    fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        let mut given = self.asking.attributes.iter();
        given.find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    fn hash(&self) -> Option<UnitHash> {
        self.hash
    }

    fn is_member(&self, name: &CohortName) -> bool {
        let cohort = self.set.cohorts.get(name);
        cohort
            .zip(self.hash)
            .is_some_and(|(cohort, hash)| is_in_cohort(cohort, &hash, self.set.cohort_gate))
    }
}

/// Evaluates every feature. A requester without a unit gets what needs none.
pub fn evaluate_all(snapshot: &Snapshot, set: &FeatureSet, asking: &Asking<'_>) -> Vec<Choice> {
    let hash = || asking.unit.map(|unit| UnitHash::of(&snapshot.salt, &unit));
    evaluate_hashed(set, asking, hash)
}

/// The same for a hash in hand; `hash` is asked at most once.
pub(super) fn evaluate_hashed(
    set: &FeatureSet,
    asking: &Asking<'_>,
    hash: impl FnOnce() -> Option<UnitHash>,
) -> Vec<Choice> {
    let constant = |flag: &Flag| match &flag.plan {
        Plan::Constant(choice) => *choice,
        Plan::Gate(_) => Choice {
            variant: flag.off,
            on: false,
            reason: Reason::Static,
        },
    };
    let mut choices: Vec<Choice> = set.flags.iter().map(|(_, flag)| constant(flag)).collect();
    let is_gate = |(_, flag): &(FlagKey, Flag)| matches!(flag.plan, Plan::Gate(_));
    if !set.flags.iter().any(is_gate) {
        return choices;
    }
    let hashed = Hashed {
        asking,
        set,
        hash: hash(),
    };
    let mut choose = |at: usize| {
        if let Some((_, flag)) = set.flags.get(at)
            && let Plan::Gate(gate) = &flag.plan
        {
            let choice = choice(flag, gate, &hashed, &choices);
            if let Some(place) = choices.get_mut(at) {
                *place = choice;
            }
        }
    };
    match &set.order {
        None => (0..set.flags.len()).for_each(&mut choose),
        Some(order) => order.iter().copied().for_each(&mut choose),
    }
    choices
}

/// Evaluates one feature. `None`: there is none, or it asks others; then all have to be evaluated. Of the
/// others the choices say that they are off.
pub fn evaluate_one(
    snapshot: &Snapshot,
    set: &FeatureSet,
    key: &str,
    asking: &Asking<'_>,
) -> Option<Vec<Choice>> {
    let at = set.place(key)?;
    let (_, flag) = set.flags.get(at)?;
    let own = match &flag.plan {
        Plan::Constant(choice) => *choice,
        Plan::Gate(gate) => {
            if !gate.prerequisites.is_empty() || !gate.fallback_of.is_empty() {
                return None;
            }
            let hash = asking.unit.map(|unit| UnitHash::of(&snapshot.salt, &unit));
            choice(flag, gate, &Hashed { asking, set, hash }, &[])
        }
    };
    let off = Choice {
        variant: 0,
        on: false,
        reason: Reason::Static,
    };
    let mut choices = vec![off; set.flags.len()];
    if let Some(place) = choices.get_mut(at) {
        *place = own;
    }
    Some(choices)
}

fn choice(flag: &Flag, gate: &Gate, who: &Hashed<'_>, choices: &[Choice]) -> Choice {
    let off = |reason| Choice {
        variant: flag.off,
        on: false,
        reason,
    };
    let now = who.asking.now;
    if gate.start.is_some_and(|start| now < start) || gate.end.is_some_and(|end| now >= end) {
        return off(Reason::Scheduled);
    }
    let met = |(at, wanted): &(usize, Vec<u8>)| {
        let other = choices.get(*at);
        other.is_some_and(|other| wanted.contains(&other.variant))
    };
    if !gate.prerequisites.iter().all(met) {
        return off(Reason::Prerequisite);
    }
    let hash = who.hash;
    if hash.is_some_and(|hash| gate.deny.contains(&hash)) {
        return off(Reason::Denied);
    }
    if gate.only.as_ref().is_some_and(|only| !only.holds(who)) {
        return off(Reason::Rule);
    }
    let kept = |serve: &Serve| {
        let name = who.asking.held?.variant(flag.rollout?)?;
        let variant = flag.variants.iter().position(|v| v.name.as_str() == name)?;
        let variant = u8::try_from(variant).ok()?;
        is_served(serve, variant).then_some(variant)
    };
    // Who is in gets what is served; of a split, what their bucket says, or what they keep.
    let on = |serve: &Serve, reason| match kept(serve).or_else(|| served(gate, serve, hash)) {
        Some(variant) => Choice {
            variant,
            on: true,
            reason,
        },
        None => off(if hash.is_none() {
            Reason::NoUnit
        } else {
            reason
        }),
    };
    let in_cohort = |hash: UnitHash| {
        let mut cohorts = gate.cohorts.iter();
        cohorts.any(|cohort| is_in_cohort(cohort, &hash, who.set.cohort_gate))
    };
    if hash.is_some_and(in_cohort) {
        return on(&gate.serve, Reason::Cohort);
    }
    let fell = |at: &usize| choices.get(*at).is_some_and(|other| !other.on);
    if gate.fallback_of.iter().any(fell) {
        return on(&gate.serve, Reason::Fallback);
    }
    let below = |percentage: Percentage| match hash {
        Some(hash) => Bucket::of(&hash, gate.gate).is_in(percentage),
        None => percentage == Percentage::FULL,
    };
    if let Some(rule) = gate.rules.iter().find(|rule| rule.when.holds(who)) {
        let serve = rule.serve.as_ref().unwrap_or(&gate.serve);
        return match (below(rule.percentage), hash) {
            (true, _) => on(serve, Reason::Rule),
            (false, None) => off(Reason::NoUnit),
            _ if rule.percentage > Percentage::ZERO && kept(serve).is_some() => {
                on(serve, Reason::Sticky)
            }
            (false, Some(_)) => off(Reason::Rule),
        };
    }
    if let Some(hash) = hash {
        let held = |(holdout, percentage)| Bucket::of(&hash, holdout).is_in(percentage);
        if gate.holdout.is_some_and(held) {
            return off(Reason::HeldOut);
        }
        let outside = |(layer, from, to): (RolloutHash, u32, u32)| {
            !(from..to).contains(&Bucket::of(&hash, layer).value())
        };
        if gate.layer.is_some_and(outside) {
            return off(Reason::Layer);
        }
    } else if gate.holdout.is_some() || gate.layer.is_some() {
        return off(Reason::NoUnit);
    }
    match (below(gate.percentage), hash) {
        (true, _) => on(&gate.serve, Reason::Bucket),
        (false, None) => off(Reason::NoUnit),
        // At 0 nobody is left: that is how a feature is taken back.
        _ if gate.percentage > Percentage::ZERO && kept(&gate.serve).is_some() => {
            on(&gate.serve, Reason::Sticky)
        }
        (false, Some(_)) => off(Reason::Bucket),
    }
}

/// Whether anybody can get a variant.
fn is_served(serve: &Serve, variant: u8) -> bool {
    match serve {
        Serve::One(one) => *one == variant,
        Serve::Split(ranges) => ranges.iter().any(|r| r.variant == variant && r.from < r.to),
    }
}

/// The variant of whoever is in; `None` where a split has none for them.
fn served(gate: &Gate, serve: &Serve, hash: Option<UnitHash>) -> Option<u8> {
    match serve {
        Serve::One(variant) => Some(*variant),
        Serve::Split(ranges) => {
            let bucket = Bucket::of(&hash?, gate.split).value();
            let own = |r: &&super::config::Range| (r.from..r.to).contains(&bucket);
            ranges.iter().find(own).map(|range| range.variant)
        }
    }
}
