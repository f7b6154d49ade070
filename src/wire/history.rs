//! What anybody may know of what happened.

use serde::{Deserialize, Serialize};

use crate::core::history::{Kind, PlanHistory};
use crate::core::ids::Percentage;
use crate::core::ledger::kv::Convergence;
use crate::core::time::Timestamp;

use super::looks::Rollout;

/// `GET /history.json`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct History<'a> {
    pub product: &'a str,
    pub generated_at: Timestamp,
    pub revision: u64,
    /// The version that everybody falls back to; `null` without a configuration.
    pub stable: Option<String>,
    pub releases: Vec<ReleaseHistory<'a>>,
    /// The newest first, at most 50.
    pub changes: Vec<PublicChange>,
    /// How long the last change took until KV had it.
    pub convergence: Option<&'a Convergence>,
}

/// A release, and what happened to it.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct ReleaseHistory<'a> {
    #[serde(flatten)]
    pub rollout: Rollout<'a>,
    pub plan: Option<PlanHistory>,
    /// The oldest first, the newest 200 at most.
    pub history: Vec<Happened>,
}

/// Something that happened to a release.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Happened {
    pub at: Timestamp,
    /// After it.
    pub percentage: Percentage,
    /// The stage that its plan is at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    pub event: Kind,
}

/// The public part of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct PublicChange {
    pub at: Timestamp,
    pub revision: u64,
    pub text: String,
}

/// As much of a history as a feed needs.
#[derive(Debug, Deserialize)]
pub struct Changes {
    pub product: String,
    pub generated_at: Timestamp,
    pub revision: u64,
    pub changes: Vec<PublicChange>,
}
