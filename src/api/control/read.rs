//! Every read of the control API.

use crate::api::ports::{self, KEEP_DELIVERED, Store};
use crate::api::reply::Reply;
use crate::api::request::{Request, query_value};
use crate::auth::permission::Call;
use crate::core::config::{CohortFeatures, Config};
use crate::core::experiment::analyse;
use crate::core::explain::explain;
use crate::core::identity::Unit;
use crate::core::ids::{CohortName, FlagKey};
use crate::core::json::Json;
use crate::core::ledger::event::MemberList;
use crate::core::ledger::{Live, State};
use crate::core::lint::{Severity, lint};
use crate::core::table::Table;
use crate::core::time::Timestamp;
use crate::wire::control::{
    Alert, Alerts, Approval, Approvals, Canary, Cohort, Cohorts, Counts, KillSwitches, Linted,
    Members, OnSwitch, Ops, Outbox, Publishing, TokenInfo, Tokens,
};
use crate::wire::experiment::Experiments;
use crate::wire::problem::ProblemType;

use super::audit::{audit, verify};
use super::console::{features, releases};
use super::evidence::evidence_look;
use super::ledger::Ledger;
use super::plans::plan_look;
use super::query::{limit, number};
use super::report::report;
use super::route::Target;
use super::write::snapshot;
use super::{Environment, Refusal, answer};

pub(super) fn read<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    call: Call,
    target: &Target,
    environment: &Environment,
) -> Result<Reply, Refusal> {
    let state = &ledger.live.state;
    let now = environment.now;
    let revision = state.revision;
    Ok(match call {
        Call::ReadKillSwitches => answer(200, revision, &kill_switches(state, now)),
        Call::ReadCanary => {
            let config = config(&ledger.live)?;
            let allowlist = items(&state.document, &["canary", "allowlist"]);
            let body = Canary {
                enabled: config.canary.enabled,
                killed: config.kill_switches.canary,
                members: allowlist.len(),
            };
            answer(200, revision, &body)
        }
        Call::ReadCohorts => return cohorts(&ledger.live, target),
        Call::ReadPlan => {
            let Target::Release(name) = target else {
                return Err(Refusal::new(ProblemType::UnknownPath, "No such release."));
            };
            return plan_look(&ledger.live, name, environment);
        }
        Call::ReadReport => {
            let Target::Release(name) = target else {
                return Err(Refusal::new(ProblemType::UnknownPath, "No such release."));
            };
            return report(ledger, request, name, environment);
        }
        Call::ReadEvidence => {
            let Target::Release(name) = target else {
                return Err(Refusal::new(ProblemType::UnknownPath, "No such release."));
            };
            return evidence_look(ledger, request, name, environment);
        }
        Call::ReadExperiments => return experiments(&ledger.live, target, environment),
        Call::ReadApprovals => {
            let waiting = state.proposals.values().filter(|p| p.expires > now);
            let approvals = waiting.map(Approval::from).collect();
            answer(200, revision, &Approvals { approvals })
        }
        Call::ReadTokens => {
            let tokens = state.tokens.values();
            let tokens = tokens.map(|token| TokenInfo::of(token, now)).collect();
            answer(200, revision, &Tokens { tokens })
        }
        Call::ReadAlerts => {
            let limit = limit(request, ALERTS, KEEP_DELIVERED)?;
            let alerts = ledger.store.newest_alerts(limit)?;
            let webhook = environment.webhook;
            let alerts = alerts.into_iter().map(|alert| told(alert, webhook));
            let alerts = alerts.collect();
            answer(200, revision, &Alerts { webhook, alerts })
        }
        Call::ReadAudit => return audit(ledger, request),
        Call::VerifyAudit => answer(200, revision, &verify(ledger)?),
        Call::Lint => answer(200, revision, &linted(&ledger.live, now)?),
        Call::ReadReleases => return releases(ledger),
        Call::ReadFeatures => features(ledger),
        Call::Explain => return explained(ledger, request, now),
        Call::ReadConfig => {
            let Some(text) = state.published() else {
                return Err(crate::core::ledger::Rejection::NoConfiguration.into());
            };
            Reply::new(200, "application/json", "no-store", text)
                .with("ETag", format!("\"{revision}\""))
                .with("X-Caro-Revision", revision.to_string())
        }
        _ => answer(200, revision, &ops(ledger, environment)?),
    })
}

/// Alerts of an answer, if not said.
const ALERTS: u64 = 50;

fn told(alert: ports::Alert, webhook: bool) -> Alert {
    let waits = webhook && alert.delivered.is_none();
    Alert {
        id: alert.id,
        at: alert.at,
        text: alert.text,
        delivered_at: alert.delivered,
        attempts: alert.attempts,
        next_attempt_at: waits.then_some(alert.next),
    }
}

pub(super) fn config(live: &Live) -> Result<&Config, Refusal> {
    let none = || crate::core::ledger::Rejection::NoConfiguration.into();
    live.config.as_ref().ok_or_else(none)
}

fn items<'a>(document: &'a Json, path: &[&str]) -> &'a [Json] {
    match document.at(path) {
        Some(Json::Array(items)) => items,
        _ => &[],
    }
}

fn kill_switches(state: &State, now: Timestamp) -> KillSwitches<'_> {
    let is_on = |name: &str| state.kills.contains(name);
    let below = |group: &str| -> Vec<&str> {
        let prefix = |name: &'_ String| name.len() > group.len() && name.starts_with(group);
        let names = state.kills.keys().filter(|name| prefix(name));
        names
            .filter_map(|name| name.split_once('/'))
            .map(|(_, key)| key)
            .collect()
    };
    KillSwitches {
        telemetry_disabled: is_on("telemetry_disabled"),
        llm_backends_disabled: is_on("llm_backends_disabled"),
        command_execution_disabled: is_on("command_execution_disabled"),
        canary: is_on("canary"),
        features: below("features/"),
        cohorts: below("cohorts/"),
        on: marks(&state.kills, now),
    }
}

fn marks(marks: &Table<String, crate::core::ledger::Mark>, now: Timestamp) -> Vec<OnSwitch<'_>> {
    marks
        .iter()
        .map(|(name, mark)| OnSwitch::of(name, mark, now))
        .collect()
}

fn cohorts(live: &Live, target: &Target) -> Result<Reply, Refusal> {
    let revision = live.state.revision;
    let unknown = |name: &CohortName| {
        let detail = format!("There is no cohort {name}; GET /admin/cohorts lists them.");
        Refusal::new(ProblemType::NotFound, detail)
    };
    Ok(match target {
        Target::Cohort(name) => {
            let body = cohort(live, name)?.ok_or_else(|| unknown(name))?;
            answer(200, revision, &body)
        }
        Target::Members(list) => {
            let path = match list {
                MemberList::Allowlist => vec!["canary", "allowlist"],
                MemberList::Cohort(name) => {
                    if !config(live)?.cohorts.contains(name) {
                        return Err(unknown(name));
                    }
                    vec!["cohorts", name.as_str(), "members"]
                }
            };
            let members = items(&live.state.document, &path);
            let labels: Vec<&str> = members
                .iter()
                .filter_map(|item| item.get("label")?.as_str())
                .collect();
            let body = Members {
                count: members.len(),
                unlabelled: members.len() - labels.len(),
                labels,
            };
            answer(200, revision, &body)
        }
        _ => {
            let names = config(live)?.cohorts.keys();
            let cohorts: Result<Vec<_>, Refusal> = names
                .filter_map(|name| cohort(live, name).transpose())
                .collect();
            answer(200, revision, &Cohorts { cohorts: cohorts? })
        }
    })
}

fn cohort<'a>(live: &'a Live, name: &'a CohortName) -> Result<Option<Cohort<'a>>, Refusal> {
    let config = config(live)?;
    Ok(config.cohorts.get(name).map(|cohort| {
        let uses = config
            .releases
            .iter()
            .filter(|(_, r)| r.cohorts.contains(name));
        let path = ["cohorts", name.as_str(), "members"];
        Cohort {
            name: name.as_str(),
            enabled: cohort.enabled,
            killed: config.kill_switches.cohorts.contains(name),
            percentage: cohort.percentage,
            features: match &cohort.features {
                CohortFeatures::All => vec!["all"],
                CohortFeatures::Only(keys) => keys.iter().map(FlagKey::as_str).collect(),
            },
            members: items(&live.state.document, &path).len(),
            releases: uses.map(|(release, _)| release.as_str()).collect(),
        }
    }))
}

/// Every experiment, or what one of them shows.
fn experiments(live: &Live, target: &Target, environment: &Environment) -> Result<Reply, Refusal> {
    let (config, revision) = (config(live)?, live.state.revision);
    let now = environment.now;
    let Target::Experiment(name) = target else {
        return Ok(answer(200, revision, &Experiments::of(config, now)));
    };
    let Some(experiment) = config.experiments.get(name) else {
        let detail = format!("There is no experiment {name}; GET /admin/experiments lists them.");
        return Err(Refusal::new(ProblemType::NotFound, detail));
    };
    let counts = environment.counts.as_ref().map_err(|why| {
        let detail = format!("What was counted of {name} cannot be read: {why}.");
        Refusal::new(ProblemType::TallyUnavailable, detail).with("Retry-After", "5")
    })?;
    Ok(answer(200, revision, &analyse(experiment, counts, now)))
}

fn linted(live: &Live, now: Timestamp) -> Result<Linted, Refusal> {
    let state = &live.state;
    let findings = lint(&state.document, config(live)?, &state.full, now);
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    let errors = errors.count();
    Ok(Linted {
        errors,
        warnings: findings.len() - errors,
        findings,
    })
}

/// What a requester gets and why, today or as of a revision.
fn explained<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    now: Timestamp,
) -> Result<Reply, Refusal> {
    let bad = |detail: String| Refusal::new(ProblemType::BadQuery, detail);
    let (id, ip) = (query_value(request, "id"), query_value(request, "ip"));
    let unit = match (&id, &ip) {
        (Some(_), Some(_)) => return Err(bad("Give ?id or ?ip, not both.".to_owned())),
        (Some(id), None) => Unit::from_id(id).map_err(|e| bad(format!("?id: {e}.")))?,
        (None, Some(ip)) => {
            let unit = Unit::from_address(ip);
            Some(unit.ok_or_else(|| bad("?ip is no IPv4 or IPv6 address.".to_owned()))?)
        }
        (None, None) => None,
    };
    let past = match number(request, "at")? {
        None => None,
        Some(at) if at > ledger.live.state.revision => {
            let detail = format!(
                "There is no revision {at}; the last is {}.",
                ledger.live.state.revision
            );
            return Err(Refusal::new(ProblemType::NotFound, detail));
        }
        Some(at) => Some(ledger.at_revision(at)?.ok_or_else(|| {
            let detail = format!("There was no revision {at}.");
            Refusal::new(ProblemType::NotFound, detail)
        })?),
    };
    let live = past.as_ref().unwrap_or(&ledger.live);
    let snapshot = snapshot(live, &ledger.defaults);
    let release = query_value(request, "release");
    if let Some(name) = &release
        && snapshot.release(name).is_none()
    {
        let detail = format!("There is no release {name} in that revision.");
        return Err(Refusal::new(ProblemType::UnknownRelease, detail));
    }
    let explanation = explain(
        &snapshot,
        live.config.as_ref(),
        unit.as_ref(),
        release.as_deref(),
        now,
    );
    Ok(answer(200, ledger.live.state.revision, &explanation))
}

fn ops<'a, S: Store>(ledger: &'a Ledger<S>, environment: &Environment) -> Result<Ops<'a>, Refusal> {
    let state = &ledger.live.state;
    let now = environment.now;
    let alerts = ledger.store.alert_counts()?;
    let config = ledger.live.config.as_ref();
    let count = |path: &[&str]| items(&state.document, path).len();
    let members = config.map_or(0, |config| {
        let names = config.cohorts.keys();
        let in_cohorts: usize = names
            .map(|name| count(&["cohorts", name.as_str(), "members"]))
            .sum();
        in_cohorts + count(&["canary", "allowlist"])
    });
    Ok(Ops {
        revision: state.revision,
        rows: state.seq,
        head: &state.head,
        publishing: publishing(ledger),
        stops: marks(&state.stops, now),
        kill_switches: marks(&state.kills, now),
        drains: state.drains.values().collect(),
        approvals: state
            .proposals
            .values()
            .filter(|p| p.expires > now)
            .map(Approval::from)
            .collect(),
        alerts: Outbox {
            webhook: environment.webhook,
            pending: alerts.pending,
            delivered: alerts.delivered,
            oldest: alerts.oldest,
            last_error: alerts.last_error,
        },
        counts: Counts {
            releases: config.map_or(0, |c| c.releases.len()),
            features: config.map_or(0, |c| c.features.values().map(Table::len).sum()),
            cohorts: config.map_or(0, |c| c.cohorts.len()),
            members,
            active_tokens: state
                .tokens
                .values()
                .filter(|t| t.revoked.is_none() && t.expires > now)
                .count(),
        },
    })
}

/// How far KV is behind.
pub fn publishing<S: Store>(ledger: &Ledger<S>) -> Publishing<'_> {
    let known = &ledger.publication;
    let revision = ledger.live.state.revision;
    let landed = known.config.as_ref().map_or(0, |l| l.revision);
    let has_config = ledger.live.config.is_some();
    let behind = if has_config {
        revision.saturating_sub(landed)
    } else {
        0
    };
    Publishing {
        state: if known.bad_edit.is_some() {
            "bad_edit"
        } else if known.error.is_some() {
            "failing"
        } else if behind > 0 {
            "pending"
        } else if has_config {
            "in_sync"
        } else {
            "empty"
        },
        published: known.config.as_ref(),
        behind,
        checked: known.checked,
        error: known.error.as_deref(),
        failing_since: known.failing_since,
        problems: known.bad_edit.as_ref().map_or(&[], |b| &b.problems),
    }
}
