//! Where a plan stands, and what was decided of it.

use serde::{Deserialize, Serialize};

use super::document::{Action, Plan};
use crate::core::gate::{Counts, Evidence, Histogram, Judgement, Verdict};
use crate::core::ids::Percentage;
use crate::core::role::Role;
use crate::core::table::Table;
use crate::core::time::Timestamp;

/// Where a plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "PlanStatus"))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Draft,
    Running,
    /// Held by a person, a halt, a hand edit or the breaker. Its halts still hold.
    Paused,
    /// By an emergency stop. It is begun anew, by a person.
    Stopped,
    Complete,
    RolledBack,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Complete => "complete",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Whether its halts are looked at.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// What the stable version did before the plan began. It is kept, so that a drift does not move it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    pub counts: Table<String, Counts>,
    pub latencies: Table<String, Histogram>,
}

/// Something announced, and when it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "PendingAction"))]
pub struct Pending {
    pub action: Action,
    pub at: Timestamp,
    pub why: String,
}

/// An approval as it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "StageApproval"))]
pub struct Given {
    /// A token's public id.
    pub by: String,
    pub role: Role,
    pub at: Timestamp,
}

/// The breaker's state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Circuit {
    #[default]
    Closed,
    /// Nobody gets the release; `from` is what it had.
    Open { since: Timestamp, from: Percentage },
    /// Few get it, to see.
    HalfOpen { since: Timestamp, from: Percentage },
}

/// Where a plan stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub status: Status,
    /// The revision that the plan was set with: approvals are bound to it.
    pub plan: u64,
    /// Place of the stage.
    pub stage: usize,
    pub entered: Timestamp,
    /// Time at the stage up to `since`, pauses not counted.
    pub soaked_ms: u64,
    /// Since when it runs; `None` while it does not.
    pub since: Option<Timestamp>,
    /// What the plan set last. Another one in the configuration is a person's.
    pub percentage: Percentage,
    pub pending: Option<Pending>,
    pub approvals: Vec<Given>,
    pub baseline: Baseline,
    pub circuit: Circuit,
    pub decided: Option<Timestamp>,
    /// What people were told of this stage, so that it is said once.
    pub told: Vec<String>,
    /// Why it is not running, or what it waits for.
    pub why: String,
    /// A rollback that is not yet seen to have arrived.
    pub unverified: bool,
    /// Whether an open breaker waits for a person: it was paused, or changed by hand, besides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub held: bool,
    /// How often the breaker's check had passed in a row when it was half opened: those prove nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub passed: u64,
}

/// What most rows would say is left out of them.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Run {
    /// A plan that has not begun.
    pub fn draft(plan: u64, percentage: Percentage, now: Timestamp) -> Self {
        Self {
            status: Status::Draft,
            plan,
            stage: 0,
            entered: now,
            soaked_ms: 0,
            since: None,
            percentage,
            pending: None,
            approvals: Vec::new(),
            baseline: Baseline::default(),
            circuit: Circuit::Closed,
            decided: None,
            told: Vec::new(),
            why: "not begun".to_owned(),
            unverified: false,
            held: false,
            passed: 0,
        }
    }

    /// When something is decided next; `None`: it is not live, or was not looked at yet.
    pub fn next_decision(&self, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
        let decided = self.decided.filter(|_| self.status.is_live());
        decided.map(|at| at.plus_millis(plan.policy.decide_ms).max(now))
    }

    /// Time at the stage, pauses not counted.
    pub fn soak_ms(&self, now: Timestamp) -> u64 {
        let running = self.since.map_or(0, |since| now.millis_since(since));
        self.soaked_ms.saturating_add(running)
    }
}

/// How a check went lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Check {
    /// In a row; one of the two is 0.
    pub failures: u64,
    pub passes: u64,
    pub at: Timestamp,
}

/// Everything that a decision is made from besides plan, run and clock. It is recorded with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Of the stage so far.
    pub stage: Evidence,
    /// Of the last so many milliseconds.
    pub windows: Table<u64, Evidence>,
    pub checks: Table<String, Check>,
    /// Why the evidence could not be read.
    pub error: Option<String>,
    /// What the configuration says.
    pub percentage: Percentage,
    /// Whether a drain is on its way.
    pub draining: bool,
    /// Whether a kill switch keeps the release from everybody.
    #[serde(default)]
    pub killed: bool,
    /// Whether a second release manager has to agree to 100 %.
    #[serde(default)]
    pub two_people: bool,
    /// Whether the release's state is another than active: a running plan did not make it so.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inactive: bool,
}

/// What one gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Judged {
    pub gate: String,
    #[serde(flatten)]
    pub judgement: Judgement,
}

/// A halt that fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Fired {
    pub halt: String,
    pub action: Action,
    pub why: String,
}

/// A decision and all of its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Decision {
    pub at: Timestamp,
    pub stage: String,
    pub percentage: Percentage,
    /// Of all gates together.
    pub verdict: Verdict,
    pub gates: Vec<Judged>,
    pub halts: Vec<Fired>,
    /// What the evidence asks for.
    pub asked: Action,
    /// What is done: as far as the policy goes.
    pub done: Action,
    /// Where the percentage goes, if anywhere.
    pub to: Option<Percentage>,
    /// In a sentence.
    pub why: String,
    /// What a person would do, where the router may not.
    pub suggestion: Option<String>,
}
