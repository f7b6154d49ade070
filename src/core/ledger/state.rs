//! What the log adds up to.

use serde::{Deserialize, Serialize};

use crate::core::config::Config;
use crate::core::decode::Problem;
use crate::core::ids::ReleaseName;
use crate::core::json::Json;
use crate::core::lint::is_full;
use crate::core::plan::{Check, Decision, Run, person};
use crate::core::table::Table;
use crate::core::time::Timestamp;

use super::event::{Actor, Change, Drain, GENESIS, Member, MemberList, Proposal, Row, Token, Told};

/// The version of what rows and states mean. That of the tables is the number of their migrations.
pub const SCHEMA: u64 = 1;

/// Tokens that ended this long ago are forgotten; the log keeps their history.
const FORGET_MS: u64 = 30 * 24 * 3_600_000;

/// Who turned something on, why and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub by: Actor,
    pub reason: String,
    pub since: Timestamp,
    /// Whether the reminder for one that stays on was sent.
    #[serde(default)]
    pub reminded: bool,
}

/// The fold of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub schema: u64,
    /// Rows so far.
    pub seq: u64,
    pub revision: u64,
    /// Hash of the last row.
    pub head: String,
    /// The configuration without its revision, sorted; `null` until there is one.
    pub document: Json,
    /// Emergency stops, by `all` or a release's name.
    pub stops: Table<String, Mark>,
    /// Kill switches that are on, by name (`canary`, `features/x`).
    pub kills: Table<String, Mark>,
    pub tokens: Table<String, Token>,
    pub drains: Table<ReleaseName, Drain>,
    pub proposals: Table<String, Proposal>,
    /// Since when a feature is for everybody, by `scope/key`.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub full: Table<String, Timestamp>,
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub plans: Table<ReleaseName, Planned>,
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub signals: Table<ReleaseName, Signals>,
}

/// A release's plan, as it was given, where it stands, and the last decision about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    pub document: Json,
    pub run: Run,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Decision>,
}

/// What was told of a release last, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    pub numbers: Table<String, Told>,
    pub checks: Table<String, Check>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            seq: 0,
            revision: 0,
            head: GENESIS.to_owned(),
            document: Json::Null,
            stops: Table::default(),
            kills: Table::default(),
            tokens: Table::default(),
            drains: Table::default(),
            proposals: Table::default(),
            full: Table::default(),
            plans: Table::default(),
            signals: Table::default(),
        }
    }
}

impl State {
    /// The text of a checkpoint.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a checkpoint.
    pub fn parse(text: &str) -> Option<Self> {
        let state: Self = serde_json::from_str(text).ok()?;
        // A later layout may look the same and mean something else.
        (state.schema == SCHEMA).then_some(state)
    }

    /// The document as it is published: with the revision in it. `None` until there is one.
    pub fn published(&self) -> Option<String> {
        if self.document == Json::Null {
            return None;
        }
        let mut document = self.document.clone();
        document.set("revision", Json::from(self.revision));
        Some(document.text())
    }

    /// The value of the `emergency-stop` key; `None` when it is to be absent. A release that an
    /// import or an edit left out is not named: a name that the edge does not know stops everything.
    pub fn stop_value(&self) -> Option<String> {
        if self.stops.contains("all") {
            return Some("all".to_owned());
        }
        let there = |name: &&str| self.document.at(&["releases", name]).is_some();
        let stopped = self.stops.keys().map(String::as_str);
        let names: Vec<&str> = stopped.filter(there).collect();
        (!names.is_empty()).then(|| names.join(","))
    }

    /// The configuration.
    ///
    /// # Errors
    /// What is wrong with it; one problem without a path when there is none yet.
    pub fn config(&self) -> Result<Config, Vec<Problem>> {
        let text = self.published().ok_or_else(|| {
            vec![Problem {
                path: String::new(),
                message: "there is no configuration yet".to_owned(),
            }]
        })?;
        Config::parse(&text)
    }

    /// Adds a row that was checked before.
    pub fn fold(&mut self, row: &Row, hash: String) {
        self.seq = row.seq;
        self.revision = row.revision;
        self.head = hash;
        for change in &row.changes {
            self.change(change, row);
        }
        self.mark_kills(row);
        self.mark_full(row);
        self.mark_plans(row);
        self.tokens.retain(|_, token| {
            let ended = token.revoked.unwrap_or(token.expires);
            row.at.millis_since(ended) < FORGET_MS
        });
    }

    fn change(&mut self, change: &Change, row: &Row) {
        match change {
            Change::Merge(patch) => self.document.merge(patch),
            Change::Document(document) => {
                self.document = document.clone();
                self.document.remove("revision");
                self.document.sort();
            }
            Change::Members { list, add, remove } => self.members(list, add, remove),
            Change::Stop(scope) => {
                if !self.stops.contains(scope.as_str()) {
                    self.stops.insert(scope.clone(), mark(row));
                }
            }
            Change::ClearStop(scope) => {
                self.stops.remove(scope.as_str());
            }
            Change::MintToken(token) => self.tokens.insert(token.id.clone(), token.clone()),
            Change::RevokeToken(id) => {
                if let Some(token) = self.tokens.get_mut(id.as_str()) {
                    token.revoked = Some(row.at);
                }
            }
            Change::StartDrain(drain) => self.drains.insert(drain.release.clone(), drain.clone()),
            Change::EndDrain(release) => {
                self.drains.remove(release.as_str());
            }
            Change::Propose(proposal) => {
                self.proposals.insert(proposal.id.clone(), proposal.clone());
            }
            Change::EndProposal(id) => {
                self.proposals.remove(id.as_str());
            }
            Change::Remind(switch) => {
                if let Some(mark) = self.kills.get_mut(switch.as_str()) {
                    mark.reminded = true;
                }
            }
            Change::Plan {
                release,
                document,
                run,
            } => {
                let planned = Planned {
                    document: document.clone(),
                    run: (**run).clone(),
                    last: None,
                };
                self.plans.insert(release.clone(), planned);
            }
            Change::Run { release, run } => {
                if let Some(planned) = self.plans.get_mut(release) {
                    planned.run = (**run).clone();
                }
            }
            Change::EndPlan(release) => {
                self.plans.remove(release);
            }
            Change::Decide {
                release, decision, ..
            } => {
                if let Some(planned) = self.plans.get_mut(release) {
                    planned.last = Some((**decision).clone());
                }
            }
            Change::Signals {
                release,
                numbers,
                checks,
            } => self.signals(release, numbers, checks, row.at),
        }
    }

    /// Takes in signals. A number that is older than what is known changes nothing.
    fn signals(
        &mut self,
        release: &ReleaseName,
        numbers: &Table<String, Told>,
        checks: &Table<String, bool>,
        at: Timestamp,
    ) {
        let mut signals = self.signals.get(release).cloned().unwrap_or_default();
        for (name, told) in numbers.iter() {
            let known = signals.numbers.get(name.as_str());
            if known.is_none_or(|known| known.at <= told.at) {
                signals.numbers.insert(name.clone(), told.clone());
            }
        }
        for (name, passed) in checks.iter() {
            let known = signals.checks.get(name.as_str()).copied();
            let (failures, passes) = known.map_or((0, 0), |known| (known.failures, known.passes));
            let check = match passed {
                true => (0, passes.saturating_add(1)),
                false => (failures.saturating_add(1), 0),
            };
            let check = Check {
                failures: check.0,
                passes: check.1,
                at,
            };
            signals.checks.insert(name.clone(), check);
        }
        self.signals.insert(release.clone(), signals);
    }

    /// A plan's release may be gone, and a stop ends a plan, whoever set it and however.
    fn mark_plans(&mut self, row: &Row) {
        let releases = self.document.get("releases").map(Json::entries);
        let releases = releases.unwrap_or_default();
        let there = |name: &ReleaseName| releases.iter().any(|(key, _)| key == name.as_str());
        self.plans.retain(|name, _| there(name));
        self.signals.retain(|name, _| there(name));
        let all = self.stops.contains("all");
        let stops = &self.stops;
        for (name, planned) in self.plans.iter_mut() {
            if (all || stops.contains(name.as_str())) && planned.run.status.is_live() {
                planned.run = person::stopped(&planned.run, row.at);
                let phase = ["releases", name.as_str(), "phase"];
                self.document.merge(&Json::nested(&phase, Json::Null));
            }
        }
    }

    fn members(&mut self, list: &MemberList, add: &[Member], remove: &[String]) {
        let path: [&str; 2] = match list {
            MemberList::Allowlist => ["canary", "allowlist"],
            MemberList::Cohort(name) => {
                let mut members = self
                    .document
                    .at(&["cohorts", name.as_str(), "members"])
                    .cloned();
                edit_members(&mut members, add, remove);
                let patch = Json::nested(
                    &["cohorts", name.as_str(), "members"],
                    members.unwrap_or(Json::Array(Vec::new())),
                );
                self.document.merge(&patch);
                return;
            }
        };
        let mut members = self.document.at(&path).cloned();
        edit_members(&mut members, add, remove);
        let mut patch = Json::nested(&path, members.unwrap_or(Json::Array(Vec::new())));
        if self.document.at(&["canary", "enabled"]).is_none() {
            // The document requires it beside an allowlist.
            patch.merge(&Json::nested(&["canary", "enabled"], Json::Bool(false)));
        }
        self.document.merge(&patch);
    }

    /// Remembers since when each feature is for everybody.
    fn mark_full(&mut self, row: &Row) {
        let scopes = self.document.get("features").map(Json::entries);
        let features = scopes
            .unwrap_or_default()
            .iter()
            .flat_map(|(scope, features)| {
                let full = features
                    .entries()
                    .iter()
                    .filter(|(_, feature)| is_full(feature));
                full.map(move |(key, _)| format!("{scope}/{key}"))
            });
        let full: Vec<String> = features.collect();
        self.full.retain(|name, _| full.contains(name));
        for name in full {
            if !self.full.contains(name.as_str()) {
                self.full.insert(name, row.at);
            }
        }
    }

    /// Remembers who turned each switch on.
    fn mark_kills(&mut self, row: &Row) {
        let on = kills_on(&self.document);
        self.kills.retain(|name, _| on.contains(name));
        for name in on {
            if !self.kills.contains(name.as_str()) {
                self.kills.insert(name, mark(row));
            }
        }
    }
}

fn mark(row: &Row) -> Mark {
    Mark {
        by: row.actor.clone(),
        reason: row.reason.clone(),
        since: row.at,
        reminded: false,
    }
}

/// The hash of a member in the document, bare or with a label.
pub fn member_unit(json: &Json) -> Option<&str> {
    json.as_str().or_else(|| json.get("unit")?.as_str())
}

fn edit_members(members: &mut Option<Json>, add: &[Member], remove: &[String]) {
    let mut items = match members.take() {
        Some(Json::Array(items)) => items,
        _ => Vec::new(),
    };
    let gone = |item: &Json| {
        member_unit(item).is_some_and(|unit| {
            remove.iter().any(|r| r == unit) || add.iter().any(|m| m.unit == unit)
        })
    };
    items.retain(|item| !gone(item));
    items.extend(add.iter().map(|member| {
        let unit = ("unit", Json::from(member.unit.as_str()));
        match &member.label {
            Some(label) => Json::object([("label", Json::from(label.as_str())), unit]),
            None => Json::from(member.unit.as_str()),
        }
    }));
    items.sort_by(|a, b| member_unit(a).cmp(&member_unit(b)));
    *members = Some(Json::Array(items));
}

/// The switches that a document has on: its own names, `features/{key}` and `cohorts/{name}`.
pub fn kills_on(document: &Json) -> Vec<String> {
    let Some(switches) = document.get("kill_switches") else {
        return Vec::new();
    };
    let mut on = Vec::new();
    for (name, value) in switches.entries() {
        match value {
            Json::Bool(true) => on.push(name.clone()),
            Json::Array(items) => {
                let keys = items.iter().filter_map(Json::as_str);
                on.extend(keys.map(|key| format!("{name}/{key}")));
            }
            _ => {}
        }
    }
    on
}
