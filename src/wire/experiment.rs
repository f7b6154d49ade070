//! Experiments, as they are asked and shown.

use serde::Serialize;

use crate::core::config::{Config, Experiment, FeatureScope};
use crate::core::experiment::State;
use crate::core::ids::{FlagKey, Percentage};
use crate::core::time::Timestamp;

/// `GET /admin/experiments`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Experiments<'a> {
    pub experiments: Vec<Listed<'a>>,
}

/// One of them.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "ListedExperiment"))]
pub struct Listed<'a> {
    pub name: &'a FlagKey,
    pub state: State,
    /// The release whose clients it is for; `null`: everybody's.
    pub release: Option<&'a str>,
    pub variants: Vec<&'a FlagKey>,
    pub control: Option<&'a FlagKey>,
    pub traffic: Percentage,
    /// The first one decides.
    pub metrics: Vec<&'a FlagKey>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
}

impl<'a> Experiments<'a> {
    pub fn of(config: &'a Config, now: Timestamp) -> Self {
        let one = |(name, e): (&'a FlagKey, &'a Experiment)| Listed {
            name,
            state: State::of(e, now),
            release: match &e.scope {
                FeatureScope::All => None,
                FeatureScope::Release(name) => Some(name.as_str()),
            },
            variants: e.variants.iter().map(|v| &v.name).collect(),
            control: e.variants.get(usize::from(e.control)).map(|v| &v.name),
            traffic: e.traffic,
            metrics: e.metrics.iter().map(|m| &m.name).collect(),
            start: e.start,
            end: e.end,
        };
        Self {
            experiments: config.experiments.iter().map(one).collect(),
        }
    }
}
