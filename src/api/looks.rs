//! What anyone may look at: a release's rollout, the status, the health.

use crate::auth::keys::PublicKey;
use crate::core::snapshot::Snapshot;
use crate::core::stop::Stop;
use crate::core::time::Timestamp;
use crate::wire::looks::{Check, Checks, Condition, Health, Rollout, Stable, Status, StopStatus};
use crate::wire::problem::ProblemType;

use super::edge::Edge;
use super::reply::{Answer, Key, Reply};
use super::signing::Signing;

pub fn rollout(edge: &mut Edge, name: &str) -> Answer {
    let Edge { snapshot, kept, .. } = edge;
    let position = snapshot
        .releases
        .iter()
        .position(|r| r.name.as_str() == name);
    let Some((index, release)) = position.and_then(|i| Some((i, snapshot.releases.get(i)?))) else {
        return Answer::Fresh(unknown_release(snapshot));
    };
    kept.get(Key::Rollout(index), || {
        let body = json(&Rollout::of(snapshot, release));
        let revision = snapshot.revision.unwrap_or(0).to_string();
        Reply::json(200, "no-cache", body).with("X-Caro-Revision", revision)
    })
}

/// 404, with the names there are.
pub fn unknown_release(snapshot: &Snapshot) -> Reply {
    let names: Vec<&str> = snapshot.releases.iter().map(|r| r.name.as_str()).collect();
    let detail = match names[..] {
        [] => "No release is configured.".to_owned(),
        _ => format!("The releases are {}.", names.join(", ")),
    };
    Reply::problem(ProblemType::UnknownRelease, &detail)
}

pub fn status(edge: &Edge, now: Timestamp) -> Answer {
    let snapshot = &edge.snapshot;
    let status = Status {
        product: &edge.defaults.product,
        status: condition(edge, &checks(edge, now)),
        revision: snapshot.revision,
        checked_at: edge.confirmed,
        age_seconds: age(edge, now),
        stable: Stable {
            version: snapshot.build(snapshot.stable).map(|b| &b.version),
        },
        emergency_stop: StopStatus::of(&snapshot.stop),
        releases: snapshot
            .releases
            .iter()
            .map(|release| Rollout::of(snapshot, release))
            .collect(),
    };
    Answer::Fresh(Reply::json(200, "public, max-age=5", json(&status)))
}

/// 503 only when the router has nothing but its defaults: with a last good configuration it still
/// serves as it should, and a monitor that took it out of service would make things worse.
pub fn health(edge: &Edge, now: Timestamp) -> Answer {
    let checks = checks(edge, now);
    let health = Health {
        status: condition(edge, &checks),
        revision: edge.snapshot.revision,
        checks,
    };
    let code = if edge.snapshot.is_fallback() {
        503
    } else {
        200
    };
    Answer::Fresh(Reply::json(code, "no-store", json(&health)))
}

fn condition(edge: &Edge, checks: &Checks) -> Condition {
    if edge.snapshot.is_fallback() {
        Condition::Fallback
    } else if checks.all_ok() {
        Condition::Ok
    } else {
        Condition::Degraded
    }
}

fn age(edge: &Edge, now: Timestamp) -> Option<u64> {
    edge.confirmed.map(|at| now.millis_since(at) / 1000)
}

fn checks(edge: &Edge, now: Timestamp) -> Checks {
    let check = |ok, detail: String, problems| Check {
        ok,
        detail,
        problems,
    };
    let kv = match (&edge.read_error, age(edge, now)) {
        (Some(e), Some(age)) => check(false, format!("{e}; last read {age} s ago"), vec![]),
        (Some(e), None) => check(false, format!("{e}; never read"), vec![]),
        (None, Some(age)) => check(true, format!("last read {age} s ago"), vec![]),
        (None, None) => check(false, "never read".to_owned(), vec![]),
    };
    let served = match edge.snapshot.revision {
        Some(revision) => format!("revision {revision} is served"),
        None => "the compiled-in defaults are served".to_owned(),
    };
    let config = match edge.config_problems.len() {
        0 if edge.snapshot.is_fallback() => check(false, served, vec![]),
        0 => check(true, served, vec![]),
        n => check(
            false,
            format!("the document in KV has {n} problem(s) and is not used; {served}"),
            edge.config_problems.clone(),
        ),
    };
    let emergency_stop = match &edge.snapshot.stop {
        Stop::None => check(true, "not set".to_owned(), vec![]),
        Stop::All { unread: false } => check(true, "stops all releases".to_owned(), vec![]),
        Stop::All { unread: true } => check(
            false,
            "its value is neither \"all\" nor a list of releases, so it stops all releases"
                .to_owned(),
            vec![],
        ),
        Stop::Releases(names) => check(true, format!("stops {} release(s)", names.len()), vec![]),
    };
    let (ledger, alerts) = ledger_checks(edge);
    let signing = match &edge.signing {
        Signing::On(keys) => {
            let keyid = keys
                .public
                .first()
                .map(PublicKey::thumbprint)
                .unwrap_or_default();
            check(true, format!("answers are signed with {keyid}"), vec![])
        }
        Signing::Broken(why) => check(
            false,
            format!("answers are not signed: the secret SIGNING_KEYS {why}"),
            vec![],
        ),
        Signing::Unread | Signing::Off => {
            let detail = "answers are not signed: the secret SIGNING_KEYS is not set";
            check(true, detail.to_owned(), vec![])
        }
    };
    let experiments = match &edge.exposures.error {
        None => check(
            true,
            "nothing waits to be counted for long".to_owned(),
            vec![],
        ),
        Some(why) => check(
            false,
            format!("who got which variant could not be counted: {why}"),
            vec![],
        ),
    };
    let plans = plans_check(edge);
    let evidence = match &edge.reports.error {
        None => check(true, "what is reported is counted".to_owned(), vec![]),
        Some(why) => check(
            false,
            format!("what is reported could not be counted: {why}"),
            vec![],
        ),
    };
    let vars = match edge.var_problems.len() {
        0 => check(true, "used".to_owned(), vec![]),
        n => check(
            false,
            format!("{n} variable(s) of wrangler.toml cannot be used; caro's own stand in"),
            edge.var_problems.clone(),
        ),
    };
    Checks {
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
    }
}

/// KV may be behind for so long, in seconds, before that counts as a fault.
const BEHIND_S: u64 = 30;

/// An alert may wait for so long, in seconds.
const ALERT_S: u64 = 300;

fn ledger_checks(edge: &Edge) -> (Check, Check) {
    let check = |ok, detail: String| Check {
        ok,
        detail,
        problems: Vec::new(),
    };
    match &edge.ledger {
        None => {
            let not_asked = || check(true, "not asked yet".to_owned());
            (not_asked(), not_asked())
        }
        Some((Err(e), _)) => (
            check(
                false,
                format!("{e}; what is in KV is served, and nothing can be changed but there"),
            ),
            check(true, "not known".to_owned()),
        ),
        Some((Ok(look), _)) => {
            let late = look.failing_seconds.is_some_and(|s| s >= BEHIND_S);
            let ledger = match look.publishing.as_str() {
                "bad_edit" => check(
                    false,
                    "somebody edited the configuration in KV and it cannot be used; \
                     /ops/status.json lists what is wrong"
                        .to_owned(),
                ),
                "failing" => check(
                    !late,
                    format!(
                        "KV refuses writes; {} revision(s) are kept to be published",
                        look.behind
                    ),
                ),
                _ => check(
                    true,
                    format!(
                        "at revision {}, KV is {} behind",
                        look.revision, look.behind
                    ),
                ),
            };
            let waits = look.oldest_alert_seconds.unwrap_or(0);
            let alerts = match (look.webhook, look.alerts_pending) {
                (_, 0) => check(true, "none waits".to_owned()),
                (false, n) => check(
                    true,
                    format!("{n} wait(s): ALERT_WEBHOOK is not set, so nobody is told"),
                ),
                (true, n) => check(
                    waits < ALERT_S,
                    format!("{n} wait(s) to be delivered, the oldest for {waits} s"),
                ),
            };
            (ledger, alerts)
        }
    }
}

/// A plan that is looked at each minute may be late by so much, in seconds.
const LATE_S: u64 = 300;

fn plans_check(edge: &Edge) -> Check {
    let check = |ok, detail: String| Check {
        ok,
        detail,
        problems: Vec::new(),
    };
    let Some((Ok(look), _)) = &edge.ledger else {
        return check(true, "not known".to_owned());
    };
    let plans = format!(
        "{} run(s), {} paused",
        look.plans_running, look.plans_paused
    );
    match &look.evidence_error {
        Some(e) => check(
            false,
            format!("{plans}; they hold, because the evidence cannot be read: {e}"),
        ),
        None => check(
            look.plans_late_seconds < LATE_S,
            format!("{plans}, looked at {} s late", look.plans_late_seconds),
        ),
    }
}

/// These types hold nothing that JSON cannot.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
