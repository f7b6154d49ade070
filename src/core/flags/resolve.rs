//! From the document's features to what is evaluated.

use super::{Choice, FeatureSet, Flag, Gate, Plan, Reason, Rule, order};
use crate::core::bucket::{Purpose, RolloutHash};
use crate::core::config::{
    Cohort as CohortConfig, CohortFeatures, Config, Feature, FeatureScope, OnEmergency, Serve,
    boolean,
};
use crate::core::defaults::Defaults;
use crate::core::ids::{CohortName, FlagKey, Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::snapshot::Cohort;
use crate::core::table::Table;

/// Resolves sets of features.
pub(in crate::core) struct Features<'a> {
    pub defaults: &'a Defaults,
    pub config: Option<&'a Config>,
    /// Whether an emergency stop covers them.
    pub stopped: bool,
}

impl<'a> Features<'a> {
    /// The compiled-in defaults, overlaid by everybody's features, overlaid by the release's.
    pub fn set(&self, release: Option<&ReleaseName>, cohort_gate: RolloutHash) -> FeatureSet {
        let scopes = [
            Some(FeatureScope::All),
            release.cloned().map(FeatureScope::Release),
        ];
        let mut chosen: Table<&FlagKey, Option<&Feature>> = Table::default();
        for key in self.defaults.features.keys() {
            chosen.insert(key, None);
        }
        for scope in scopes.iter().flatten() {
            let features = self.config.and_then(|config| config.features.get(scope));
            for (key, feature) in features.into_iter().flat_map(Table::iter) {
                chosen.insert(key, Some(feature));
            }
        }
        let flags: Vec<(FlagKey, Flag)> = chosen
            .iter()
            .map(|(key, feature)| ((*key).clone(), self.flag(key, *feature)))
            .collect();
        let mut set = FeatureSet {
            flags,
            order: None,
            has_rules: false,
            cohort_gate,
            cohorts: Table::default(),
        };
        let given = chosen.values().map(|feature| feature.as_ref().copied());
        self.link(&mut set, &given.collect::<Vec<_>>());
        set
    }

    /// One feature by itself.
    fn flag(&self, key: &FlagKey, feature: Option<&Feature>) -> Flag {
        let (variants, off) = match feature {
            Some(feature) => (feature.variants.clone(), feature.off),
            None => (boolean(), 0),
        };
        let is_float = variants
            .iter()
            .any(|v| matches!(v.value, Json::Number(number) if number.fract() != 0.0));
        Flag {
            variants,
            off,
            is_float,
            plan: self.plan(key, feature, off),
            fallback: feature.and_then(|feature| feature.fallback.clone()),
        }
    }

    fn plan(&self, key: &FlagKey, feature: Option<&Feature>, off: u8) -> Plan {
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
            _ if is_plain && nobody && !self.is_fallback(key) => {
                return constant(off, false, Reason::Static);
            }
            _ => {}
        }
        let rules = feature.rules.iter().map(|rule| Rule {
            when: rule.when.clone(),
            serve: rule.serve.clone(),
            percentage: rule.percentage,
        });
        let holdout = feature.holdout.as_ref().and_then(|name| {
            let percentage = *config.holdouts.get(name)?;
            let id = format!("holdout/{name}");
            Some((RolloutHash::of(Purpose::Holdout, &id), percentage))
        });
        let layer = feature.layer.as_ref().map(|layer| {
            let id = format!("layer/{}", layer.name);
            (RolloutHash::of(Purpose::Gate, &id), layer.from, layer.to)
        });
        Plan::Gate(Box::new(Gate {
            start: feature.start,
            end: feature.end,
            prerequisites: Vec::new(),
            deny: feature.deny.clone(),
            cohorts,
            fallback_of: Vec::new(),
            rules: rules.collect(),
            holdout,
            layer,
            gate: RolloutHash::of(Purpose::Gate, &feature.rollout_id),
            percentage: feature.percentage,
            split: RolloutHash::of(Purpose::Variant, &feature.rollout_id),
            serve: feature.serve.clone(),
        }))
    }

    /// What features ask of each other, and of cohorts.
    fn link(&self, set: &mut FeatureSet, features: &[Option<&Feature>]) {
        let Some(config) = self.config else {
            return;
        };
        let mut asks: Vec<Vec<usize>> = vec![Vec::new(); set.flags.len()];
        let mut linked = false;
        for (at, feature) in features.iter().enumerate() {
            let Some(feature) = feature else { continue };
            let place = |key: &FlagKey| set.place(key.as_str());
            let prerequisites: Vec<(usize, Vec<u8>)> = feature
                .prerequisites
                .iter()
                .map(|(key, wanted)| {
                    // One that is not there is never met.
                    let Some(other) = place(key) else {
                        return (usize::MAX, Vec::new());
                    };
                    let variants = set.flags.get(other).map(|(_, flag)| flag.variants.clone());
                    let variants = variants.unwrap_or_else(boolean);
                    let is_wanted = |(i, _): &(usize, _)| {
                        variants.get(*i).is_some_and(|v| wanted.contains(&v.name))
                    };
                    let places = variants.iter().enumerate().filter(is_wanted);
                    (
                        other,
                        places.filter_map(|(i, _)| u8::try_from(i).ok()).collect(),
                    )
                })
                .collect();
            let fallback = feature.fallback.as_ref().and_then(place);
            for (other, _) in &prerequisites {
                if let Some(asked) = asks.get_mut(at) {
                    asked.push(*other);
                    linked = true;
                }
            }
            if let Some((_, flag)) = set.flags.get_mut(at)
                && let Plan::Gate(gate) = &mut flag.plan
            {
                gate.prerequisites = prerequisites;
            }
            if let Some(other) = fallback {
                if let Some(asked) = asks.get_mut(other) {
                    asked.push(at);
                    linked = true;
                }
                if let Some((_, flag)) = set.flags.get_mut(other)
                    && let Plan::Gate(gate) = &mut flag.plan
                {
                    gate.fallback_of.push(at);
                }
            }
            set.has_rules |= !feature.rules.is_empty();
            for rule in &feature.rules {
                for name in rule.when.cohorts() {
                    if let Some(cohort) = live(config, name).next() {
                        set.cohorts.insert(name.clone(), resolve(cohort));
                    }
                }
            }
        }
        if linked {
            // `Config` has no cycle: that was checked when it was read.
            set.order = order(&asks).ok();
        }
    }

    fn is_fallback(&self, key: &FlagKey) -> bool {
        let config = self.config.into_iter();
        let mut features = config
            .flat_map(|c| c.features.values())
            .flat_map(Table::values);
        features.any(|feature| feature.fallback.as_ref() == Some(key))
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
