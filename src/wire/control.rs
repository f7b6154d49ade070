//! The control API's bodies, asked and answered.

use serde::Serialize;

use crate::core::config::State;
use crate::core::decode::Problem;
use crate::core::ids::{CohortName, FlagKey, Percentage, Version};
use crate::core::impact::{FeatureImpact, Impact};
use crate::core::ledger::Mark;
use crate::core::ledger::event::{Actor, Drain, Proposal, Token};
use crate::core::ledger::kv::Landed;
use crate::core::plan::Decision;
use crate::core::role::Role;
use crate::core::table::Table;
use crate::core::time::Timestamp;

use super::body::{Label, Raw, Reason, Seconds, body};
use super::looks::Rollout;

body! {
    /// `POST /rollout/{release}`: at least one of the first four.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("anyOf" = [{ "required": ["percentage"] }, { "required": ["version"] }, { "required": ["state"] }, { "required": ["cohorts"] }])))]
    SetRollout {
        /// 0 to 100, at most three decimals.
        optional percentage: Percentage,
        /// One that is listed under `versions`.
        optional version: Version,
        /// `draft`, `active` or `complete`; `pause`, `resume` and `emergency-stop` are calls.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<super::schema::SteerableState>"))]
        optional state: State,
        /// Who always gets it.
        optional cohorts: Vec<CohortName>,
        optional reason: Reason,
        /// Needed where somebody would lose the release or get another build.
        optional confirm: bool,
    }
}

body! {
    /// `PUT /rollout/{release}`.
    PutRollout {
        required version: Version,
        /// 0 if left out.
        optional percentage: Percentage,
        /// `draft`, `active` (if left out) or `complete`.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<super::schema::SteerableState>"))]
        optional state: State,
        optional cohorts: Vec<CohortName>,
        /// For a version that is not listed yet: `assets` by platform and `excluded_platforms`, as in
        /// the configuration.
        optional build: Raw,
        optional reason: Reason,
        optional confirm: bool,
    }
}

body! {
    /// A call that needs to say no more than why.
    Because {
        /// Required for `emergency-stop` and `clear-stop`.
        optional reason: Reason,
        optional confirm: bool,
    }
}

body! {
    /// `POST /rollout/{release}/rollback`.
    Rollback {
        /// Down to; 0 if left out.
        optional percentage: Percentage,
        /// Over how long, evenly; at once if left out. At most a day.
        optional over_seconds: Seconds<0, 86_400>,
        optional reason: Reason,
    }
}

body! {
    /// `POST /rollout/{release}/approve`.
    Approve {
        /// Which, if several wait.
        optional approval: String,
        /// The stage of the release's plan that may be left; instead of a change that waits.
        optional stage: FlagKey,
        optional reason: Reason,
    }
}

body! {
    /// `POST /admin/kill-switches`: what is not named stays.
    SetKillSwitches {
        optional telemetry_disabled: bool,
        optional llm_backends_disabled: bool,
        optional command_execution_disabled: bool,
        /// The whole canary: no release is offered to anyone.
        optional canary: bool,
        /// By feature: `true` kills it.
        optional features: Table<FlagKey, bool>,
        /// By cohort: `true` kills it.
        optional cohorts: Table<CohortName, bool>,
        /// Required.
        optional reason: Reason,
        /// Turns on those of features that the configuration does not have, too.
        optional confirm: bool,
    }
}

body! {
    /// `POST /admin/canary`.
    SetCanary {
        required enabled: bool,
        optional reason: Reason,
        optional confirm: bool,
    }
}

body! {
    /// `PUT /admin/cohorts/{name}`.
    PutCohort {
        /// `true` if left out.
        optional enabled: bool,
        /// Of the buckets of the release that it is used for; 0 if left out.
        optional percentage: Percentage,
        /// `["all"]` or the features that its people always get.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<Vec<FlagKey>>"))]
        optional features: Vec<String>,
        optional reason: Reason,
        optional confirm: bool,
    }
}

body! {
    /// Somebody, by their id or address, which is hashed and forgotten; to remove, by label as well.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("anyOf" = [{ "required": ["id"] }, { "required": ["ip"] }, { "required": ["label"] }])))]
    Person {
        /// An id as `X-Caro-Id` has it: 1 to 256 bytes.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<super::schema::Id>"))]
        optional id: String,
        /// An IPv4 or IPv6 address. Of an IPv6 address the /64 counts.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<super::schema::Address>"))]
        optional ip: String,
        /// What the list shows.
        optional label: Label,
    }
}

body! {
    /// `POST …/members`: somebody to add or to remove.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("anyOf" = [{ "required": ["add"] }, { "required": ["remove"] }])))]
    SetMembers {
        optional add: Vec<Person>,
        optional remove: Vec<Person>,
        optional reason: Reason,
        optional confirm: bool,
    }
}

body! {
    /// `POST /admin/tokens`.
    MintToken {
        required role: Role,
        /// Whom it is for; shown in the audit log.
        required label: Label,
        /// `standard` (90 days, at most 366), `development` or `debug` (24 hours at most).
        #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["standard", "development", "debug"])))]
        optional kind: String,
        optional expires_in_seconds: Seconds<60, 31_622_400>,
        optional reason: Reason,
    }
}

/// What a change did, or would do.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Changed<'a> {
    /// The ledger's revision now. The edge serves it within seconds.
    pub revision: u64,
    /// `false`: everything was as asked already.
    pub changed: bool,
    pub dry_run: bool,
    pub summary: String,
    /// Whether the stop was written to KV before this answer; said of stops alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<bool>,
    /// Shares of requesters, exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
    /// Of a change of features: who sees which turn on or off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<FeatureImpact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout<'a>>,
    /// The token, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Minted>,
    /// What was decided of a plan, with all of its reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// A new token.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Minted {
    pub id: String,
    /// Not shown again; `null` when the answer is a repeated one.
    pub secret: Option<String>,
    pub role: Role,
    pub label: String,
    pub expires: Timestamp,
}

/// A change that waits for somebody else.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Pending {
    pub revision: u64,
    pub changed: bool,
    pub dry_run: bool,
    pub summary: String,
    pub approval: Approval,
}

#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Approval {
    pub id: String,
    pub by: Actor,
    pub target: String,
    pub summary: String,
    pub reason: String,
    pub created: Timestamp,
    pub expires: Timestamp,
    /// The call with which another release manager agrees.
    pub approve: String,
}

impl From<&Proposal> for Approval {
    fn from(p: &Proposal) -> Self {
        Self {
            id: p.id.clone(),
            by: p.by.clone(),
            target: p.target.clone(),
            summary: p.summary.clone(),
            reason: p.reason.clone(),
            created: p.created,
            expires: p.expires,
            approve: format!("POST /rollout/{}/approve", p.target),
        }
    }
}

/// `GET /admin/approvals`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Approvals {
    pub approvals: Vec<Approval>,
}

/// `GET /admin/kill-switches`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct KillSwitches<'a> {
    pub telemetry_disabled: bool,
    pub llm_backends_disabled: bool,
    pub command_execution_disabled: bool,
    pub canary: bool,
    pub features: Vec<&'a str>,
    pub cohorts: Vec<&'a str>,
    /// Those that are on, with why, by whom and since when.
    pub on: Vec<OnSwitch<'a>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct OnSwitch<'a> {
    /// `canary`, `features/{key}`, …
    pub switch: &'a str,
    pub by: &'a Actor,
    pub reason: &'a str,
    pub since: Timestamp,
    pub active_seconds: u64,
}

impl<'a> OnSwitch<'a> {
    pub fn of(switch: &'a str, mark: &'a Mark, now: Timestamp) -> Self {
        Self {
            switch,
            by: &mark.by,
            reason: &mark.reason,
            since: mark.since,
            active_seconds: now.millis_since(mark.since) / 1000,
        }
    }
}

/// `GET /admin/canary`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Canary {
    pub enabled: bool,
    /// By the kill switch of the whole canary.
    pub killed: bool,
    pub members: usize,
}

/// `GET /admin/cohorts/{name}`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Cohort<'a> {
    pub name: &'a str,
    pub enabled: bool,
    pub killed: bool,
    pub percentage: Percentage,
    pub features: Vec<&'a str>,
    pub members: usize,
    /// Releases that it is used for.
    pub releases: Vec<&'a str>,
}

/// `GET /admin/cohorts`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Cohorts<'a> {
    pub cohorts: Vec<Cohort<'a>>,
}

/// `GET …/members`: who is on a list, as far as labels say. No hash is shown.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Members<'a> {
    pub count: usize,
    pub labels: Vec<&'a str>,
    pub unlabelled: usize,
}

/// One token, without its secret.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct TokenInfo<'a> {
    pub id: &'a str,
    pub role: Role,
    pub label: &'a str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["standard", "development", "debug"])))]
    pub kind: &'a str,
    pub created: Timestamp,
    pub expires: Timestamp,
    pub revoked: Option<Timestamp>,
    /// Neither revoked nor expired.
    pub active: bool,
}

impl<'a> TokenInfo<'a> {
    pub fn of(token: &'a Token, now: Timestamp) -> Self {
        Self {
            id: &token.id,
            role: token.role,
            label: &token.label,
            kind: &token.kind,
            created: token.created,
            expires: token.expires,
            revoked: token.revoked,
            active: token.revoked.is_none() && token.expires > now,
        }
    }
}

/// `GET /admin/tokens`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Tokens<'a> {
    pub tokens: Vec<TokenInfo<'a>>,
}

/// `GET /admin/audit/verify`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Verified {
    pub ok: bool,
    pub rows: u64,
    /// The hash of the last row, to be compared with one that was noted elsewhere.
    pub head: String,
    /// The first row that is not what was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_at: Option<u64>,
    pub detail: String,
}

/// `GET /ops/status.json`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Ops<'a> {
    pub revision: u64,
    pub rows: u64,
    pub head: &'a str,
    pub publishing: Publishing<'a>,
    pub stops: Vec<OnSwitch<'a>>,
    pub kill_switches: Vec<OnSwitch<'a>>,
    pub drains: Vec<&'a Drain>,
    pub approvals: Vec<Approval>,
    pub alerts: Outbox,
    pub counts: Counts,
}

/// `GET /admin/alerts`: the newest first.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Alerts {
    /// Whether `ALERT_WEBHOOK` is set. Without it alerts wait until it is.
    pub webhook: bool,
    pub alerts: Vec<Alert>,
}

/// A message to people.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Alert {
    pub id: u64,
    pub at: Timestamp,
    pub text: String,
    /// `null` while it waits.
    pub delivered_at: Option<Timestamp>,
    /// How often delivering it was tried.
    pub attempts: u32,
    /// While it waits and there is a webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
}

/// How far KV is behind.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Publishing<'a> {
    /// `in_sync`, `pending`, `failing`, `bad_edit` (a person's edit cannot be used) or `empty`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("enum" = ["in_sync", "pending", "failing", "bad_edit", "empty"])))]
    pub state: &'static str,
    pub published: Option<&'a Landed>,
    /// Revisions that KV does not have yet.
    pub behind: u64,
    pub checked: Option<Timestamp>,
    pub error: Option<&'a str>,
    pub failing_since: Option<Timestamp>,
    /// Of the edit that cannot be used.
    pub problems: &'a [Problem],
}

/// Alerts that wait to be delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Outbox {
    /// Whether `ALERT_WEBHOOK` is set.
    pub webhook: bool,
    pub pending: u64,
    pub delivered: u64,
    pub oldest: Option<Timestamp>,
    pub last_error: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Counts {
    pub releases: usize,
    pub features: usize,
    pub cohorts: usize,
    pub members: usize,
    pub active_tokens: usize,
}

/// What is wrong with features beyond what breaks.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Linted {
    pub errors: usize,
    pub warnings: usize,
    /// The worst first.
    pub findings: Vec<crate::core::lint::Finding>,
}
