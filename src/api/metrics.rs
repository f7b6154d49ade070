//! `GET /metrics`: the Prometheus text format, version 0.0.4.
//!
//! Nearly everything here is the same wherever it is asked: an isolate's own counters jump with each scrape, because
//! each may reach another isolate. What became of reports is all the same counted by isolate: it is for looking why
//! they do not arrive, not for adding up.

use crate::core::evidence::Refusal;
use crate::core::stop::Stop;
use crate::core::time::Timestamp;

use super::edge::Edge;
use super::reply::{Answer, Reply};
use super::reports::Reports;

/// A text in the making.
struct Text(String);

impl Text {
    /// One metric: its help, then each sample with its labels.
    fn gauge(&mut self, name: &str, help: &str, samples: &[(String, String)]) {
        if samples.is_empty() {
            return;
        }
        let Self(text) = self;
        text.push_str(&format!(
            "# HELP caro_edge_{name} {help}\n# TYPE caro_edge_{name} gauge\n"
        ));
        for (labels, value) in samples {
            text.push_str(&format!("caro_edge_{name}{labels} {value}\n"));
        }
    }

    fn one(&mut self, name: &str, help: &str, value: u64) {
        self.gauge(name, help, &[(String::new(), value.to_string())]);
    }
}

pub fn metrics(edge: &Edge, now: Timestamp) -> Answer {
    let snapshot = &edge.snapshot;
    let mut text = Text(String::new());
    text.one(
        "fallback",
        "Whether only the compiled-in defaults can be served.",
        snapshot.is_fallback().into(),
    );
    if let Some(revision) = snapshot.revision {
        text.one(
            "revision",
            "Revision of the configuration served.",
            revision,
        );
    }
    if let Some(at) = edge.confirmed {
        let age = now.millis_since(at) / 1000;
        text.one(
            "configuration_age_seconds",
            "Seconds since KV was last read.",
            age,
        );
    }
    text.one(
        "configuration_problems",
        "Problems of the document in KV, which keep it from being served.",
        edge.config_problems.len() as u64,
    );
    text.one(
        "emergency_stop",
        "Whether an emergency stop is on, of everything or of some releases.",
        (snapshot.stop != Stop::None).into(),
    );
    text.one(
        "canary_killed",
        "Whether the kill switch of the whole canary is on.",
        snapshot.killed.into(),
    );
    // Names are lowercase letters, digits and .-_: none needs escaping in a label.
    let label = |name: &str| format!("{{release=\"{name}\"}}");
    let releases = || snapshot.releases.iter();
    let percentages: Vec<_> = releases()
        .map(|r| (label(r.name.as_str()), r.percentage(snapshot).to_string()))
        .collect();
    text.gauge(
        "release_percentage",
        "Share of requesters that get the release by their bucket, 0 to 100.",
        &percentages,
    );
    let stopped: Vec<_> = releases()
        .map(|r| (label(r.name.as_str()), u64::from(r.stopped).to_string()))
        .collect();
    text.gauge(
        "release_stopped",
        "Whether the release is stopped.",
        &stopped,
    );
    reports(&edge.reports, &mut text);
    ledger(edge, &mut text);
    let reply = Reply::new(
        200,
        "text/plain; version=0.0.4; charset=utf-8",
        "no-store",
        text.0,
    );
    Answer::Fresh(reply)
}

fn reports(reports: &Reports, text: &mut Text) {
    let label = |name: &str| format!("{{outcome=\"{name}\"}}");
    let counts = [
        ("accepted", reports.accepted),
        ("duplicate", reports.duplicates),
        ("ignored", reports.ignored),
        ("oversized", reports.oversized),
        ("limited", reports.limited),
        ("failed", reports.failed),
    ];
    let refused = Refusal::ALL.into_iter().zip(reports.refused);
    let samples: Vec<_> = refused
        .map(|(why, count)| (why.as_str(), count))
        .chain(counts)
        .map(|(name, count)| (label(name), count.to_string()))
        .collect();
    text.gauge(
        "reports",
        "What this isolate did with reports: of events each one, of what was too long, too much or not counted \
         each call.",
        &samples,
    );
}

fn ledger(edge: &Edge, text: &mut Text) {
    let look = edge
        .ledger
        .as_ref()
        .and_then(|(look, _)| look.as_ref().ok());
    text.one(
        "ledger_up",
        "Whether the ledger answers.",
        look.is_some().into(),
    );
    let Some(look) = look else {
        return;
    };
    for (name, help, value) in [
        ("ledger_revision", "The ledger's revision.", look.revision),
        ("ledger_rows", "Rows of the audit log.", look.rows),
        (
            "publish_behind_revisions",
            "Revisions that KV does not have yet.",
            look.behind,
        ),
        (
            "publish_failing_seconds",
            "For how long KV has refused writes.",
            look.failing_seconds.unwrap_or(0),
        ),
        (
            "bad_edit",
            "Whether somebody's edit of KV cannot be used.",
            (look.publishing == "bad_edit").into(),
        ),
        ("stops", "Emergency stops that are on.", look.stops),
        (
            "kill_switches",
            "Kill switches that are on.",
            look.kill_switches,
        ),
        ("drains", "Rollbacks that are being drained.", look.drains),
        ("plans_running", "Plans that run.", look.plans_running),
        ("plans_paused", "Plans that are paused.", look.plans_paused),
        (
            "plans_late_seconds",
            "For how long the plan that waits longest was not looked at.",
            look.plans_late_seconds,
        ),
        (
            "evidence_readable",
            "Whether the evidence of plans could be read.",
            look.evidence_error.is_none().into(),
        ),
        (
            "approvals_pending",
            "Changes that wait for an approval.",
            look.approvals,
        ),
        (
            "alerts_pending",
            "Alerts that wait to be delivered.",
            look.alerts_pending,
        ),
        (
            "alerts_delivered",
            "Alerts delivered so far.",
            look.alerts_delivered,
        ),
    ] {
        text.one(name, help, value);
    }
}
