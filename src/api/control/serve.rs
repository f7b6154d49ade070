//! What the Worker needs of the ledger besides answering calls.

use crate::api::edge::Current;
use crate::api::ports::{Alert, Store, StoreError};
use crate::api::reply::Reply;
use crate::api::request::Request;
use crate::api::stream::changed;
use crate::auth::permission::Call;
use crate::core::ledger::kv::hash;
use crate::core::plan::Status;
use crate::core::time::Timestamp;
use crate::wire::looks::LedgerLook;

use super::ledger::Ledger;
use super::read::publishing;
use super::route::{Found, Target, find};
use super::{Environment, authenticate, is_read};

/// Whether KV is looked at before a request is answered: for a write that its token allows, because a person's edit
/// comes first; and for a read as long as the ledger knows of no configuration, because KV may have had one all along.
pub fn looks_first<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    environment: &Environment,
) -> bool {
    let Found::Call(call, _) = find(request.method(), request.path()) else {
        return false;
    };
    (!is_read(call) || ledger.live.config.is_none())
        && authenticate(ledger, request, environment).is_ok_and(|(_, role)| call.allows(role))
}

/// The tally to ask before a call can be answered.
pub fn wanted_counts<S: Store>(ledger: &Ledger<S>, request: &impl Request) -> Option<String> {
    let found = find(request.method(), request.path());
    let Found::Call(Call::ReadExperiments, Target::Experiment(name)) = found else {
        return None;
    };
    let experiment = ledger.live.config.as_ref()?.experiments.get(&name)?;
    Some(experiment.rollout_id.clone())
}

/// What anyone may know of the ledger.
///
/// # Errors
/// When the store fails.
pub fn look<S: Store>(
    ledger: &Ledger<S>,
    webhook: bool,
    now: Timestamp,
) -> Result<LedgerLook, StoreError> {
    let state = &ledger.live.state;
    let publishing = publishing(ledger);
    let alerts = ledger.store.alert_counts()?;
    let plans = |status: Status| {
        let plans = state.plans.values();
        plans.filter(|planned| planned.run.status == status).count() as u64
    };
    let live = state
        .plans
        .values()
        .any(|planned| planned.run.status.is_live());
    Ok(LedgerLook {
        revision: state.revision,
        rows: state.seq,
        publishing: publishing.state.to_owned(),
        behind: publishing.behind,
        published_revision: publishing.published.map(|landed| landed.revision),
        failing_seconds: publishing
            .failing_since
            .map(|at| now.millis_since(at) / 1000),
        stops: state.stops.len() as u64,
        kill_switches: state.kills.len() as u64,
        drains: state.drains.len() as u64,
        plans_running: plans(Status::Running),
        plans_paused: plans(Status::Paused),
        plans_late_seconds: ledger.plans_late_ms(now) / 1000,
        evidence_error: ledger.evidence_error.clone().filter(|_| live),
        approvals: state.proposals.values().filter(|p| p.expires > now).count() as u64,
        webhook,
        alerts_pending: alerts.pending,
        alerts_delivered: alerts.delivered,
        oldest_alert_seconds: alerts.oldest.map(|at| now.millis_since(at) / 1000),
    })
}

/// The answer to a stop, with whether KV has it by now.
pub fn with_published(mut reply: Reply, published: bool) -> Reply {
    // Any other answer is an error, and changed nothing.
    if reply.status == 200
        && let Some(open) = reply.body.strip_suffix('}')
    {
        reply.body = format!("{open},\"published\":{published}}}");
    }
    reply
}

/// What is sent to the webhook, in the form that Slack and those like it take.
pub fn webhook_body(alert: &Alert) -> String {
    #[derive(serde::Serialize)]
    struct Message<'a> {
        text: &'a str,
    }
    // A struct of a string always serializes.
    serde_json::to_string(&Message { text: &alert.text }).unwrap_or_default()
}

impl<S: Store> Ledger<S> {
    /// What is in force.
    pub fn current(&self) -> Current {
        let state = &self.live.state;
        Current {
            revision: state.revision,
            config: state.published(),
            stop: state.stop_value(),
        }
    }

    /// What to tell clients: the event, if what they are answered from has changed since the last. After a
    /// restart they are told in any case, because it may have been between a change and that.
    pub fn news(&mut self) -> Option<String> {
        let state = &self.live.state;
        let seq = state.seq;
        if self.told.as_ref().is_some_and(|(told, _)| *told == seq) {
            return None;
        }
        let stop = state.stop_value().unwrap_or_default();
        let hash = hash(&format!("{stop}\n{}", state.document.text()));
        let same = self.told.as_ref().is_some_and(|(_, told)| *told == hash);
        self.told = Some((seq, hash));
        (!same).then(|| changed(state.revision))
    }

    /// Whether KV has the stop as it is now.
    pub fn stop_landed(&self) -> bool {
        let wanted = self.live.state.stop_value();
        let wrote = self.publication.stop.as_ref();
        wrote.map_or(wanted.is_none(), |(value, _)| *value == wanted)
    }
}
