//! From the document's features to what is evaluated.

use std::sync::Arc;

use super::{Choice, Counted, FeatureSet, Flag, Gate, Plan, Reason, Rule, order};
use crate::core::bucket::{Purpose, RolloutHash};
use crate::core::condition::Condition;
use crate::core::config::{
    Cohort as CohortConfig, CohortFeatures, Config, Experiment, Feature, FeatureScope, Layer,
    OnEmergency, Serve, boolean,
};
use crate::core::defaults::Defaults;
use crate::core::ids::{CohortName, FlagKey, Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::members::Members;
use crate::core::snapshot::Cohort;
use crate::core::table::Table;

/// Resolves sets of features.
pub(in crate::core) struct Features<'a> {
    pub defaults: &'a Defaults,
    pub config: Option<&'a Config>,
    /// Whether an emergency stop covers them.
    pub stopped: bool,
}

/// What the document says of a feature.
#[derive(Clone, Copy)]
enum Said<'a> {
    Nothing,
    Feature(&'a Feature),
    Experiment(&'a Experiment),
}

impl<'a> Said<'a> {
    fn feature(self) -> Option<&'a Feature> {
        match self {
            Self::Feature(feature) => Some(feature),
            _ => None,
        }
    }

    /// What it asks of requesters.
    fn conditions(self) -> Vec<&'a Condition> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Feature(feature) => feature.rules.iter().map(|rule| &rule.when).collect(),
            Self::Experiment(experiment) => experiment.only.iter().collect(),
        }
    }
}

/// A set with what the document says of each of its features.
pub(in crate::core) struct Resolved<'a> {
    pub set: FeatureSet,
    said: Vec<Said<'a>>,
}

impl<'a> Features<'a> {
    /// The compiled-in defaults, overlaid by everybody's features.
    pub fn everybodys(&self, cohort_gate: RolloutHash) -> Resolved<'a> {
        let mut chosen: Table<&FlagKey, Said<'a>> = Table::default();
        for key in self.defaults.features.keys() {
            chosen.insert(key, Said::Nothing);
        }
        for (key, said) in self.own(&FeatureScope::All) {
            chosen.insert(key, said);
        }
        let chosen = chosen.iter().map(|(key, said)| (*key, *said, None));
        self.resolved(chosen.collect(), cohort_gate, Table::default())
    }

    /// A release's features over those of everybody, with which they share what is the same. `None`:
    /// it has none of its own.
    pub fn over(
        &self,
        base: &'a Resolved<'a>,
        release: &ReleaseName,
        cohort_gate: RolloutHash,
    ) -> Option<FeatureSet> {
        let scope = FeatureScope::Release(release.clone());
        let mut own = self.own(&scope).into_iter().peekable();
        own.peek()?;
        // Both are sorted.
        let mut chosen = Vec::new();
        for ((key, flag), said) in base.set.flags.iter().zip(&base.said) {
            while let Some((k, own)) = own.next_if(|(k, _)| *k < key) {
                chosen.push((k, own, None));
            }
            match own.next_if(|(k, _)| *k == key) {
                Some((k, own)) => chosen.push((k, own, None)),
                None => chosen.push((key, *said, Some(flag))),
            }
        }
        chosen.extend(own.map(|(key, own)| (key, own, None)));
        let resolved = self.resolved(chosen, cohort_gate, base.set.cohorts.clone());
        Some(resolved.set)
    }

    /// A scope's features and experiments, sorted.
    fn own(&self, scope: &FeatureScope) -> Vec<(&'a FlagKey, Said<'a>)> {
        let Some(config) = self.config else {
            return Vec::new();
        };
        let features = config.features.get(scope).into_iter().flat_map(Table::iter);
        let mut own: Vec<_> = features
            .map(|(key, feature)| (key, Said::Feature(feature)))
            .collect();
        let experiments = config.experiments.iter().filter(|(_, e)| e.scope == *scope);
        let before = own.len();
        own.extend(experiments.map(|(key, e)| (key, Said::Experiment(e))));
        if own.len() > before {
            own.sort_by_key(|(key, _)| *key);
        }
        own
    }

    /// A set of these features, sorted; a flag is given where one was resolved before.
    fn resolved(
        &self,
        chosen: Vec<(&FlagKey, Said<'a>, Option<&Flag>)>,
        cohort_gate: RolloutHash,
        mut cohorts: Table<CohortName, Cohort>,
    ) -> Resolved<'a> {
        let fallback = |feature: &Option<&'a Feature>| feature.and_then(|f| f.fallback.as_ref());
        let said: Vec<Said<'a>> = chosen.iter().map(|(_, said, _)| *said).collect();
        let features: Vec<Option<&Feature>> = said.iter().map(|said| said.feature()).collect();
        let mut fallbacks: Vec<&FlagKey> = features.iter().filter_map(fallback).collect();
        fallbacks.sort_unstable();
        let mut has_rules = false;
        let mut flags = Vec::with_capacity(chosen.len());
        let mut experiments = Vec::new();
        for (place, (key, said, known)) in chosen.into_iter().enumerate() {
            has_rules |= !said.conditions().is_empty();
            if let Said::Experiment(experiment) = said {
                experiments.push(Counted {
                    place,
                    tally: experiment.rollout_id.as_str().into(),
                    mark: RolloutHash::of(Purpose::Count, &experiment.rollout_id),
                });
            }
            let is_fallback = !fallbacks.is_empty() && fallbacks.binary_search(&key).is_ok();
            let flag = match known.filter(|flag| !is_fallback && !flag.is_linked()) {
                Some(flag) => flag.clone(),
                None => {
                    self.name_cohorts(said, &mut cohorts);
                    self.flag(key, said, is_fallback)
                }
            };
            flags.push((key.clone(), flag));
        }
        let order = self.link(&mut flags, &features);
        let set = FeatureSet {
            flags: flags.into(),
            order: order.map(Into::into),
            has_rules,
            experiments: experiments.into(),
            cohort_gate,
            cohorts,
        };
        Resolved { set, said }
    }

    /// Keeps the cohorts that a feature's conditions name, if they are switched on.
    fn name_cohorts(&self, said: Said<'_>, cohorts: &mut Table<CohortName, Cohort>) {
        let conditions = said.conditions();
        for name in conditions.into_iter().flat_map(Condition::cohorts) {
            let live = self.config.and_then(|config| live(config, name).next());
            if let Some(cohort) = live {
                cohorts.insert(name.clone(), resolve(cohort));
            }
        }
    }

    /// One feature by itself.
    fn flag(&self, key: &FlagKey, said: Said<'_>, is_fallback: bool) -> Flag {
        let (variants, off) = match said {
            Said::Feature(feature) => (feature.variants.clone(), feature.off),
            Said::Experiment(experiment) => (experiment.variants.clone(), experiment.control),
            Said::Nothing => (boolean(), 0),
        };
        let is_float = variants
            .iter()
            .any(|v| matches!(v.value, Json::Number(number) if number.fract() != 0.0));
        Flag {
            variants,
            off,
            is_float,
            title: said.feature().and_then(|feature| feature.title.clone()),
            rollout: said
                .feature()
                .map(|feature| RolloutHash::of(Purpose::Gate, &feature.rollout_id)),
            plan: self.plan(key, said, off, is_fallback),
            fallback: said.feature().and_then(|feature| feature.fallback.clone()),
        }
    }

    fn plan(&self, key: &FlagKey, said: Said<'_>, off: u8, is_fallback: bool) -> Plan {
        let feature = said.feature();
        let constant = |variant, on, reason| {
            Plan::Constant(Choice {
                variant,
                on,
                reason,
            })
        };
        let keep = feature.is_some_and(|f| f.on_emergency == OnEmergency::Keep);
        if self.is_killed(key) {
            return constant(off, false, Reason::Killed);
        }
        if self.stopped && !keep {
            return constant(off, false, Reason::Stopped);
        }
        if let (Said::Experiment(experiment), Some(config)) = (said, self.config) {
            return match experiment.enabled {
                true => Plan::Gate(Arc::new(experiment_gate(config, experiment))),
                false => constant(off, false, Reason::Disabled),
            };
        }
        let (Some(feature), Some(config)) = (feature, self.config) else {
            let on = self.defaults.features.get(key).is_some_and(|&on| on);
            return constant(u8::from(on), on, Reason::Static);
        };
        if !feature.enabled {
            return constant(off, false, Reason::Disabled);
        }
        let cohorts = always_in(config, key, feature);
        let is_plain = feature.rules.is_empty()
            && feature.prerequisites.is_empty()
            && feature.start.is_none()
            && feature.end.is_none()
            && feature.deny.is_empty()
            && feature.holdout.is_none()
            && feature.layer.is_none();
        let nobody = feature.percentage == Percentage::ZERO && cohorts.is_empty();
        match &feature.serve {
            Serve::One(variant) if is_plain && feature.percentage == Percentage::FULL => {
                return constant(*variant, true, Reason::Static);
            }
            _ if is_plain && nobody && !is_fallback => {
                return constant(off, false, Reason::Static);
            }
            _ => {}
        }
        let rules = feature.rules.iter().map(|rule| Rule {
            when: rule.when.clone(),
            serve: rule.serve.clone(),
            percentage: rule.percentage,
        });
        let gate = RolloutHash::of(Purpose::Gate, &feature.rollout_id);
        let is_split = |serve: &Serve| matches!(serve, Serve::Split(_));
        let of_rules = feature.rules.iter().filter_map(|rule| rule.serve.as_ref());
        let split = match is_split(&feature.serve) || of_rules.into_iter().any(is_split) {
            true => RolloutHash::of(Purpose::Variant, &feature.rollout_id),
            // Not asked for.
            false => gate,
        };
        Plan::Gate(Arc::new(Gate {
            start: feature.start,
            end: feature.end,
            prerequisites: Vec::new(),
            deny: feature.deny.clone(),
            only: None,
            cohorts,
            fallback_of: Vec::new(),
            rules: rules.collect(),
            holdout: holdout(config, feature.holdout.as_ref()),
            layer: layer(feature.layer.as_ref()),
            gate,
            percentage: feature.percentage,
            split,
            serve: feature.serve.clone(),
        }))
    }

    /// What features ask of each other; gives the order in which they are evaluated, if that matters.
    fn link(
        &self,
        flags: &mut [(FlagKey, Flag)],
        features: &[Option<&Feature>],
    ) -> Option<Vec<usize>> {
        let mut asks: Vec<Vec<usize>> = vec![Vec::new(); flags.len()];
        let mut ask = |at: usize, other: usize| {
            if let Some(asked) = asks.get_mut(at) {
                asked.push(other);
            }
        };
        let mut linked = false;
        for (at, feature) in features.iter().enumerate() {
            let Some(feature) = feature else { continue };
            if feature.prerequisites.is_empty() && feature.fallback.is_none() {
                continue;
            }
            linked = true;
            let prerequisites = feature.prerequisites.iter();
            let prerequisites: Vec<_> = prerequisites
                .map(|(key, wanted)| prerequisite(flags, key, wanted))
                .collect();
            for (other, _) in &prerequisites {
                ask(at, *other);
            }
            if let Some(gate) = gate(flags, at) {
                gate.prerequisites = prerequisites;
            }
            let fallback = feature.fallback.as_ref();
            if let Some(other) = fallback.and_then(|key| place(flags, key)) {
                // Whoever falls back is asked first.
                ask(other, at);
                if let Some(gate) = gate(flags, other) {
                    gate.fallback_of.push(at);
                }
            }
        }
        // `Config` has no cycle: that was checked when it was read.
        linked.then(|| order(&asks).ok()).flatten()
    }

    fn is_killed(&self, key: &FlagKey) -> bool {
        let Some(config) = self.config else {
            return false;
        };
        let switches = &config.kill_switches;
        switches.features.contains(key)
            || switches
                .client()
                .iter()
                .any(|(_, on, feature)| *on && *feature == Some(key.as_str()))
    }
}

/// An experiment is a feature that everybody who takes part has, split into its variants.
fn experiment_gate(config: &Config, experiment: &Experiment) -> Gate {
    let id = &experiment.rollout_id;
    Gate {
        start: experiment.start,
        end: experiment.end,
        prerequisites: Vec::new(),
        deny: Members::default(),
        only: experiment.only.clone(),
        cohorts: Vec::new(),
        fallback_of: Vec::new(),
        rules: Vec::new(),
        holdout: holdout(config, experiment.holdout.as_ref()),
        layer: layer(experiment.layer.as_ref()),
        gate: RolloutHash::of(Purpose::Gate, id),
        percentage: experiment.traffic,
        split: RolloutHash::of(Purpose::Experiment, id),
        serve: Serve::Split(experiment.allocation.clone()),
    }
}

fn holdout(config: &Config, name: Option<&FlagKey>) -> Option<(RolloutHash, Percentage)> {
    let percentage = *config.holdouts.get(name?)?;
    let id = format!("holdout/{}", name?);
    Some((RolloutHash::of(Purpose::Holdout, &id), percentage))
}

fn layer(layer: Option<&Layer>) -> Option<(RolloutHash, u32, u32)> {
    let layer = layer?;
    let id = format!("layer/{}", layer.name);
    Some((RolloutHash::of(Purpose::Gate, &id), layer.from, layer.to))
}

fn place(flags: &[(FlagKey, Flag)], key: &FlagKey) -> Option<usize> {
    flags.binary_search_by(|(k, _)| k.cmp(key)).ok()
}

fn gate(flags: &mut [(FlagKey, Flag)], at: usize) -> Option<&mut Gate> {
    match &mut flags.get_mut(at)?.1.plan {
        Plan::Gate(gate) => Some(Arc::make_mut(gate)),
        Plan::Constant(_) => None,
    }
}

/// A feature's place, and those of the variants that will do. One that is not there is never met.
fn prerequisite(flags: &[(FlagKey, Flag)], key: &FlagKey, wanted: &[FlagKey]) -> (usize, Vec<u8>) {
    let Some(at) = place(flags, key) else {
        return (usize::MAX, Vec::new());
    };
    let variants = flags.get(at).map_or(&[][..], |(_, flag)| &flag.variants);
    let places = variants.iter().enumerate();
    let wanted = places.filter(|(_, variant)| wanted.contains(&variant.name));
    (
        at,
        wanted.filter_map(|(i, _)| u8::try_from(i).ok()).collect(),
    )
}

/// Who always gets a feature.
fn always_in(config: &Config, key: &FlagKey, feature: &Feature) -> Vec<Cohort> {
    let mut found = cohorts(config, &feature.cohorts);
    for (name, cohort) in config.cohorts.iter() {
        if cohort.features != CohortFeatures::Only(Vec::new()) && cohort.features.holds(key) {
            found.extend(live(config, name).map(resolve));
        }
    }
    found
}

fn live<'c>(
    config: &'c Config,
    name: &CohortName,
) -> impl Iterator<Item = &'c CohortConfig> + use<'c> {
    let switches = &config.kill_switches;
    let on = !switches.canary && !switches.cohorts.contains(name);
    config
        .cohorts
        .get(name)
        .filter(|cohort| on && cohort.enabled)
        .into_iter()
}

/// Those of these cohorts that are switched on.
pub(in crate::core) fn cohorts(config: &Config, names: &[CohortName]) -> Vec<Cohort> {
    names
        .iter()
        .flat_map(|name| live(config, name))
        .map(resolve)
        .collect()
}

fn resolve(cohort: &CohortConfig) -> Cohort {
    Cohort {
        members: cohort.members.clone(),
        percentage: cohort.percentage,
    }
}
