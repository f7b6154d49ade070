//! What can be looked at: rollout, status and health.

use serde::{Deserialize, Serialize};

use crate::core::decode::Problem;
use crate::core::ids::{Percentage, ReleaseName, Version};
use crate::core::snapshot::{Release, Snapshot};
use crate::core::stop::Stop;
use crate::core::time::Timestamp;

/// The public name of how far a rollout is: its plan's stage, else the highest stage of seed 000's plan (5, 25, 50,
/// 100) that its percentage has reached.
fn phase<'a>(snapshot: &Snapshot, release: &'a Release, effective: Percentage) -> &'a str {
    let offered = release.is_offered(snapshot);
    match (&release.phase, effective.thousandths()) {
        _ if release.stopped => "stopped",
        (Some(phase), _) if offered => phase.as_str(),
        (_, 0) => "off",
        (_, 1..25_000) => "canary",
        (_, 25_000..50_000) => "small_beta",
        (_, 50_000..100_000) => "large_beta",
        _ => "full",
    }
}

/// One release, as in `GET /rollout/{release}` and in the status.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Rollout<'a> {
    pub name: &'a ReleaseName,
    pub version: Option<&'a Version>,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["stable", "beta"])))]
    pub channel: &'static str,
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(with = "crate::core::config::State")
    )]
    pub state: &'static str,
    /// What requesters get now: 0 while the release is stopped.
    pub percentage: Percentage,
    /// What the configuration says.
    pub configured_percentage: Percentage,
    /// `off`, `canary`, `small_beta`, `large_beta`, `full` or `stopped`, or the stage of the release's plan.
    pub phase: &'a str,
    pub stopped: bool,
}

impl<'a> Rollout<'a> {
    pub fn of(snapshot: &'a Snapshot, release: &'a Release) -> Self {
        let build = snapshot.build(release.build);
        let percentage = release.percentage(snapshot);
        Self {
            name: &release.name,
            version: build.map(|b| &b.version),
            channel: build.map_or("beta", |b| b.channel.as_str()),
            state: release.state.as_str(),
            percentage,
            configured_percentage: release.configured,
            phase: phase(snapshot, release, percentage),
            stopped: release.stopped,
        }
    }
}

#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Stable<'a> {
    pub version: Option<&'a Version>,
}

/// The emergency stop as the edge sees it.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct StopStatus<'a> {
    pub active: bool,
    /// `none`, `all` or `releases`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["none", "all", "releases"])))]
    pub scope: &'static str,
    pub releases: Vec<&'a ReleaseName>,
}

impl<'a> StopStatus<'a> {
    pub fn of(stop: &'a Stop) -> Self {
        let (scope, releases) = match stop {
            Stop::None => ("none", Vec::new()),
            Stop::All { .. } => ("all", Vec::new()),
            Stop::Releases(names) => ("releases", names.keys().collect()),
        };
        Self {
            active: *stop != Stop::None,
            scope,
            releases,
        }
    }
}

/// How well the router knows what it answers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    Ok,
    /// It serves the last good configuration because something is wrong with the newest.
    Degraded,
    /// It has none and serves the safe defaults.
    Fallback,
}

/// `GET /status.json`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Status<'a> {
    pub product: &'a str,
    pub status: Condition,
    pub revision: Option<u64>,
    /// When both keys were last read.
    pub checked_at: Option<Timestamp>,
    pub age_seconds: Option<u64>,
    pub stable: Stable<'a>,
    pub emergency_stop: StopStatus<'a>,
    pub releases: Vec<Rollout<'a>>,
}

/// One named check of `GET /health`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Check {
    pub ok: bool,
    pub detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Checks {
    /// Could both keys be read?
    pub kv: Check,
    /// Is the document in KV the one that is served?
    pub config: Check,
    /// Was the emergency stop understood? An active stop is not a fault.
    pub emergency_stop: Check,
    /// Does the ledger answer, and does what it decides reach KV?
    pub ledger: Check,
    /// Are people told?
    pub alerts: Check,
    /// Are answers signed?
    pub signing: Check,
    /// Does what this edge sees of experiments get counted?
    pub experiments: Check,
    /// Does what is reported to this edge get counted?
    pub evidence: Check,
    /// Can plans be judged, and are they looked at?
    pub plans: Check,
    /// Can the Worker's variables be used?
    pub vars: Check,
}

impl Checks {
    pub fn all_ok(&self) -> bool {
        let Self {
            kv,
            config,
            emergency_stop,
            ledger,
            alerts,
            signing,
            experiments,
            evidence,
            plans,
            vars,
        } = self;
        let all = [
            kv,
            config,
            emergency_stop,
            ledger,
            alerts,
            signing,
            experiments,
            evidence,
            plans,
            vars,
        ];
        all.iter().all(|c| c.ok)
    }
}

/// `GET /health`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Health {
    pub status: Condition,
    pub revision: Option<u64>,
    pub checks: Checks,
}

/// What the ledger says of itself to the edge, for `/health` and `/metrics`. Nothing in it is
/// secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLook {
    pub revision: u64,
    pub rows: u64,
    /// As in `/ops/status.json`.
    pub publishing: String,
    /// Revisions that KV does not have yet.
    pub behind: u64,
    pub published_revision: Option<u64>,
    pub failing_seconds: Option<u64>,
    pub stops: u64,
    pub kill_switches: u64,
    pub drains: u64,
    pub plans_running: u64,
    pub plans_paused: u64,
    /// For how long the plan that waits longest was not looked at.
    pub plans_late_seconds: u64,
    /// Why the evidence of the plan that was looked at last could not be read.
    pub evidence_error: Option<String>,
    pub approvals: u64,
    /// Whether alerts have anywhere to go.
    pub webhook: bool,
    pub alerts_pending: u64,
    pub alerts_delivered: u64,
    pub oldest_alert_seconds: Option<u64>,
}
