//! What a console has to know besides: who asks, and what the ledger steers.

use serde::Serialize;

use crate::core::config::{Config, Release};
use crate::core::ids::{CohortName, FlagKey, Version};
use crate::core::json::Json;
use crate::core::ledger::State;
use crate::core::ledger::event::Drain;
use crate::core::plan::Status;
use crate::core::role::Role;
use crate::core::table::Table;
use crate::core::time::Timestamp;

use super::looks::Rollout;

/// `GET /admin/whoami`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct WhoAmI<'a, C> {
    /// The token's public id; `admin` for the Worker's secret.
    pub id: &'a str,
    pub label: &'a str,
    pub role: Role,
    /// `null`: the secret is good until it is changed.
    pub expires: Option<Timestamp>,
    /// What the role may do, by the names of the calls.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Vec<String>"))]
    pub calls: Vec<C>,
}

/// `GET /admin/releases`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Releases<'a> {
    pub stable: &'a Version,
    /// Those that a release can offer.
    pub versions: Vec<&'a Version>,
    /// The newest first.
    pub releases: Vec<Steered<'a>>,
}

/// One release as the ledger has it, which an edge may hear of a moment later.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "SteeredRelease"))]
pub struct Steered<'a> {
    #[serde(flatten)]
    pub rollout: Rollout<'a>,
    pub cohorts: &'a [CohortName],
    /// Whether the percentage is one of the cohorts' people alone.
    pub within_cohorts: bool,
    /// How many are on its deny list.
    pub denied: usize,
    pub plan: Option<PlanBrief<'a>>,
    /// A percentage on its way down.
    pub drain: Option<&'a Drain>,
}

/// Where a release's plan stands.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct PlanBrief<'a> {
    pub name: &'a str,
    pub status: Status,
    pub stage: Option<&'a str>,
}

impl<'a> Steered<'a> {
    pub fn of(rollout: Rollout<'a>, release: &'a Release, state: &'a State) -> Self {
        let planned = state.plans.get(rollout.name);
        let text = |json: Option<&'a Json>| json.and_then(Json::as_str);
        Self {
            cohorts: &release.cohorts,
            within_cohorts: release.within_cohorts,
            denied: listed(
                &state.document,
                &["releases", rollout.name.as_str(), "deny"],
            ),
            plan: planned.map(|planned| PlanBrief {
                name: text(planned.document.get("name")).unwrap_or_default(),
                status: planned.run.status,
                stage: match planned.document.get("stages") {
                    Some(Json::Array(stages)) => {
                        text(stages.get(planned.run.stage).and_then(|s| s.get("id")))
                    }
                    _ => None,
                },
            }),
            drain: state.drains.get(rollout.name),
            rollout,
        }
    }
}

/// `GET /admin/features`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Definitions<'a> {
    pub features: Vec<Definition<'a>>,
    /// What a feature answers of which nothing is written: booleans by key.
    pub defaults: Json,
}

/// A feature as it is written.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Definition<'a> {
    /// A release, or `*`.
    pub release: &'a str,
    pub key: &'a str,
    /// Whether its kill switch is on.
    pub killed: bool,
    /// Without `deny`: that holds hashes of people.
    pub definition: Json,
    /// How many are on its deny list.
    pub denied: usize,
    /// Since when it is for everybody.
    pub full_since: Option<Timestamp>,
}

impl<'a> Definitions<'a> {
    pub fn of(state: &'a State, defaults: &Table<FlagKey, bool>) -> Self {
        let scopes = state
            .document
            .get("features")
            .map_or(&[][..], Json::entries);
        let one = |release: &'a str, key: &'a str, written: &Json| {
            let mut definition = written.clone();
            definition.remove("deny");
            Definition {
                release,
                key,
                killed: state.kills.contains(&format!("features/{key}")),
                definition,
                denied: listed(written, &["deny"]),
                full_since: state.full.get(&format!("{release}/{key}")).copied(),
            }
        };
        let features = scopes.iter().flat_map(|(release, features)| {
            let features = features.entries().iter();
            features.map(move |(key, written)| one(release, key, written))
        });
        Self {
            features: features.collect(),
            defaults: Json::object(
                defaults
                    .iter()
                    .map(|(key, on)| (key.to_string(), Json::from(*on))),
            ),
        }
    }
}

/// How many are on a list.
fn listed(json: &Json, path: &[&str]) -> usize {
    match json.at(path) {
        Some(Json::Array(items)) => items.len(),
        _ => 0,
    }
}

/// The versions of a configuration, the newest first.
pub fn versions(config: &Config) -> Vec<&Version> {
    let mut versions: Vec<&Version> = config.versions.keys().collect();
    versions.reverse();
    versions
}
