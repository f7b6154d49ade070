//! Plans by the control API: what people and the clock do, over memory.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/desk.rs"]
mod desk;
#[path = "support/memory.rs"]
mod memory;
mod support;

use caro_edge::api::control::ledger::Busy;
use caro_edge::api::ports::Store;
use caro_edge::core::gate::{Counts, Evidence};
use caro_edge::core::ledger::kv::Landed;
use serde_json::{Value, json};

use desk::{ADMIN, Desk};

const RELEASE: &str = "/rollout/v1.1.0-beta";
const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;

/// Two steps by themselves, the third by approval.
fn plan() -> Value {
    json!({
        "name": "three", "watch_hours": 1,
        "stages": [
            {"id": "some", "percentage": 25, "soak": {"min_hours": 2}, "gates": [{"rate": "errors", "at_most": 5, "ceiling": 10}]},
            {"id": "half", "percentage": 50, "soak": {"min_hours": 2}, "approval": {"roles": ["engineering_lead"], "lifetime_hours": 3}},
            {"id": "all", "percentage": 100},
        ],
        "halts": [
            {"id": "p0", "when": {"number": "p0_open", "over": 0}, "action": "rollback"},
            {"id": "errors", "when": {"rate": "errors", "over": 20, "window_minutes": 10, "min_samples": 50}, "action": "pause"},
        ],
        "policy": {"lead_minutes": {"advance": 30}},
    })
}

fn errors(bad: u64, total: u64) -> Evidence {
    let mut evidence = Evidence::default();
    let counts = Counts {
        total,
        good: total - bad,
    };
    evidence.canary.insert("errors".into(), counts);
    evidence
}

struct Story(Desk);

impl Story {
    fn new(patch: &Value) -> Self {
        let mut desk = Desk::with(patch);
        desk.evidence = Ok(errors(0, 1000));
        Self(desk)
    }

    /// With the plan begun.
    fn begun() -> Self {
        let mut story = Self::new(&json!({}));
        story.0.admin(
            "POST",
            &format!("{RELEASE}/plan"),
            json!({"plan": plan(), "start": true}),
        );
        story
    }

    /// The clock goes on, and the ledger looks each half hour.
    fn pass(&mut self, ms: u64) {
        let end = self.0.now.plus_millis(ms);
        while self.0.now < end {
            self.0.now = self.0.now.plus_millis(30 * MINUTE).min(end);
            self.0.ledger.tick(self.0.now).unwrap();
            self.0.guard();
        }
    }

    fn post(&mut self, path: &str, body: Value) -> (u16, Value) {
        self.0
            .ask(ADMIN, "POST", &format!("{RELEASE}/{path}"), body)
    }

    fn plan(&mut self) -> Value {
        self.0.admin("GET", &format!("{RELEASE}/plan"), Value::Null)
    }

    /// What anybody sees of it.
    fn phase(&mut self) -> Value {
        let config = self.0.admin("GET", "/admin/config", Value::Null);
        config["releases"]["v1.1.0-beta"]["phase"].clone()
    }

    /// Where it stands: status, stage, and what the configuration says.
    fn stands(&mut self) -> String {
        let plan = self.plan();
        let config = self.0.admin("GET", "/admin/config", Value::Null);
        let release = &config["releases"]["v1.1.0-beta"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {}",
            text(&plan["status"]),
            text(&plan["stage"]["id"]),
            release["percentage"],
            text(&release["state"]),
        )
    }

    fn alerts(&self) -> Vec<String> {
        let alerts = self.0.ledger.store.alerts(1000).unwrap();
        let mut alerts: Vec<_> = alerts
            .into_iter()
            .map(|alert| (alert.id, alert.text))
            .collect();
        alerts.sort_unstable();
        alerts.into_iter().map(|(_, text)| text).collect()
    }

    fn alerted(&self, part: &str) -> usize {
        self.alerts()
            .iter()
            .filter(|text| text.contains(part))
            .count()
    }
}

#[test]
fn it_goes_on_after_the_soak_and_an_announcement_and_waits_for_a_person() {
    let mut story = Story::begun();
    assert_eq!(story.stands(), "running some 25 active");
    story.pass(90 * MINUTE);
    assert_eq!(story.stands(), "running some 25 active");
    // The hourly decision announces, and half an hour later it is done.
    story.pass(30 * MINUTE);
    assert_eq!(
        story.alerted("half at 50 % in 30 min, unless somebody pauses it"),
        1
    );
    assert_eq!(story.stands(), "running some 25 active");
    story.pass(30 * MINUTE);
    assert_eq!(story.stands(), "running half 50 active");
    story.pass(24 * HOUR);
    assert_eq!(story.stands(), "running half 50 active");
    assert_eq!(
        story.alerted("waits for approval by 1 × engineering_lead"),
        1
    );
    // A release manager's does not count where a lead's is asked, and neither does one for another stage.
    assert_eq!(story.post("approve", json!({"stage": "half"})).0, 409);
    let lead = story.0.mint("engineering_lead");
    let path = format!("{RELEASE}/approve");
    assert_eq!(
        story
            .0
            .ask(&lead, "POST", &path, json!({"stage": "some"}))
            .0,
        409
    );
    assert_eq!(
        story
            .0
            .ask(&lead, "POST", &path, json!({"stage": "half"}))
            .0,
        200
    );
    story.pass(2 * HOUR);
    assert_eq!(story.stands(), "running all 100 active");
    story.pass(3 * HOUR);
    assert_eq!(story.stands(), "complete all 100 complete");
    assert_eq!(story.phase(), "all");
    assert_eq!(story.0.verify()["ok"], true);
}

#[test]
fn an_approval_runs_out() {
    let mut story = Story::begun();
    let lead = story.0.mint("engineering_lead");
    story.pass(150 * MINUTE);
    assert_eq!(story.stands(), "running half 50 active");
    let path = format!("{RELEASE}/approve");
    assert_eq!(
        story
            .0
            .ask(&lead, "POST", &path, json!({"stage": "half"}))
            .0,
        200
    );
    // Not enough for a decision within its three hours.
    story.0.evidence = Err("the counters do not answer".to_owned());
    story.pass(4 * HOUR);
    story.0.evidence = Ok(errors(0, 1000));
    story.pass(4 * HOUR);
    assert_eq!(story.stands(), "running half 50 active");
}

#[test]
fn an_announcement_is_called_off() {
    let mut story = Story::begun();
    story.pass(2 * HOUR);
    assert_eq!(story.alerted("unless somebody pauses it"), 1);
    story.0.evidence = Ok(errors(80, 1000));
    story.pass(30 * MINUTE);
    assert_eq!(story.alerted("called off"), 1);
    assert_eq!(story.stands(), "running some 25 active");
}

#[test]
fn a_halt_holds_and_a_rollback_is_suggested_once() {
    let mut story = Story::begun();
    story.pass(30 * MINUTE);
    story.0.evidence = Ok(errors(300, 1000));
    story.pass(30 * MINUTE);
    assert_eq!(story.stands(), "paused some 25 paused");
    assert_eq!(
        story.alerted("paused at 25 %: errors: 300 of 1000 went wrong, above 20 %"),
        1
    );
    story.pass(5 * HOUR);
    assert_eq!(story.alerted("errors: 300 of 1000"), 1);
    let (status, json) = story.post("signals", json!({"numbers": {"p0_open": 1}}));
    assert_eq!(status, 200, "{json}");
    story.pass(3 * HOUR);
    assert_eq!(
        story.alerted("suggested: POST /rollout/v1.1.0-beta/rollback"),
        1
    );
    assert_eq!(story.stands(), "paused some 25 paused");
    // It halts again when somebody goes on although nothing is better.
    story.post("resume", Value::Null);
    story.pass(MINUTE);
    assert_eq!(story.stands(), "paused some 25 paused");
    let (status, json) = story.post("rollback", json!({"reason": "P0"}));
    assert_eq!(status, 200, "{json}");
    assert_eq!(story.stands(), "rolled_back some 0 paused");
    story.pass(MINUTE);
    assert_eq!(story.alerted("the rollback is verified"), 1);
}

#[test]
fn a_stop_ends_it_whoever_stops() {
    let mut story = Story::begun();
    story.pass(3 * HOUR);
    let (status, json) = story.post("emergency-stop", json!({"reason": "deletes files"}));
    assert_eq!(status, 200, "{json}");
    assert_eq!(story.stands(), "stopped half 0 stopped");
    assert_eq!(story.phase(), Value::Null);
    for (path, body) in [
        ("resume", Value::Null),
        ("promote", json!({"force": true, "reason": "x"})),
        ("plan", json!({"start": true})),
        ("approve", json!({"stage": "half"})),
    ] {
        let (status, json) = story.post(path, body);
        assert_eq!(status, 409, "{path}: {json}");
    }
    story.pass(24 * HOUR);
    assert_eq!(story.stands(), "stopped half 0 stopped");
    let (status, json) = story.post("clear-stop", json!({"reason": "mended"}));
    assert_eq!(status, 200, "{json}");
    story.pass(24 * HOUR);
    assert_eq!(story.stands(), "stopped half 0 active");
    let (status, json) = story.post("plan", json!({"start": true}));
    assert_eq!(status, 200, "{json}");
    assert_eq!(story.stands(), "running some 25 active");
}

#[test]
fn a_kill_and_a_hand_on_the_percentage_pause_it() {
    let mut story = Story::begun();
    story.0.admin(
        "POST",
        "/admin/kill-switches",
        json!({"canary": true, "reason": "x"}),
    );
    story.pass(3 * HOUR);
    assert_eq!(story.stands(), "paused some 25 paused");
    story.0.admin(
        "POST",
        "/admin/kill-switches",
        json!({"canary": false, "reason": "x"}),
    );
    assert_eq!(story.post("resume", Value::Null).0, 200);
    assert_eq!(story.stands(), "running some 25 active");
    story.0.admin("POST", RELEASE, json!({"percentage": 30}));
    story.pass(MINUTE);
    assert_eq!(story.stands(), "paused some 30 paused");
    assert_eq!(story.phase(), Value::Null);
    assert_eq!(story.alerted("changed by hand from 25 % to 30 %"), 1);
    assert_eq!(story.post("resume", Value::Null).0, 200);
    story.pass(150 * MINUTE);
    assert_eq!(story.stands(), "running half 50 active");
}

#[test]
fn two_people_agree_to_everybody_where_that_is_the_rule() {
    let mut story = Story::new(&json!({"policy": {"approvals": {"full_rollout": true}}}));
    story.0.admin(
        "POST",
        &format!("{RELEASE}/plan"),
        json!({"plan": plan(), "start": true}),
    );
    story.pass(150 * MINUTE);
    let path = format!("{RELEASE}/approve");
    let managers = [
        story.0.mint("release_manager"),
        story.0.mint("release_manager"),
    ];
    for _ in 0..2 {
        assert_eq!(
            story
                .0
                .ask(&managers[0], "POST", &path, json!({"stage": "half"}))
                .0,
            200
        );
    }
    story.pass(150 * MINUTE);
    assert_eq!(story.stands(), "running half 50 active");
    // By a person's promotion neither.
    let (status, json) = story.post("promote", json!({"force": true, "reason": "x"}));
    assert_eq!(status, 202, "{json}");
    assert_eq!(story.stands(), "running half 50 active");
    assert_eq!(
        story
            .0
            .ask(&managers[0], "POST", &path, json!({"stage": "half"}))
            .0,
        200
    );
    assert_eq!(
        story
            .0
            .ask(&managers[1], "POST", &path, json!({"stage": "half"}))
            .0,
        200
    );
    story.pass(2 * HOUR);
    assert_eq!(story.stands(), "running all 100 active");
}

/// What waits is carried out with the evidence of then, and giving a plan and beginning it at once is no way around.
#[test]
fn what_waits_for_a_second_person_is_carried_out() {
    let mut story = Story::new(&json!({"policy": {"approvals": {"full_rollout": true}}}));
    let other = story.0.mint("release_manager");
    let approve = format!("{RELEASE}/approve");
    let full = json!({"name": "full", "stages": [{"id": "all", "percentage": 100}]});
    let (status, json) = story.post("plan", json!({"plan": full, "start": true}));
    assert_eq!(status, 202, "{json}");
    let (status, json) = story
        .0
        .ask(ADMIN, "GET", &format!("{RELEASE}/plan"), Value::Null);
    assert_eq!(status, 409, "{json}");
    let id = story.0.admin("GET", "/admin/approvals", Value::Null)["approvals"][0]["id"].clone();
    let withdraw = format!("/admin/approvals/{}", id.as_str().unwrap());
    story.0.admin("DELETE", &withdraw, Value::Null);

    let stages = json!([{"id": "half", "percentage": 50}, {"id": "all", "percentage": 100}]);
    let plan = json!({"name": "two", "stages": stages});
    story.0.admin(
        "POST",
        &format!("{RELEASE}/plan"),
        json!({"plan": plan, "start": true}),
    );
    let (status, json) = story.post("promote", Value::Null);
    assert_eq!(status, 202, "{json}");
    let (status, json) = story.0.ask(&other, "POST", &approve, Value::Null);
    assert_eq!(status, 200, "{json}");
    assert_eq!(story.stands(), "running all 100 active");
}

/// Who has the release keeps it unless somebody means it.
#[test]
fn a_plan_for_a_cohort_alone_asks_before_it_takes_the_release_away() {
    let mut story = Story::new(&json!({"cohorts": {"eng": {"enabled": true}}}));
    let audience = json!({"mode": "and", "cohorts": ["eng"]});
    let plan =
        json!({"name": "inside", "stages": [{"id": "in", "percentage": 30, "audience": audience}]});
    let (status, json) = story.post("plan", json!({"plan": plan, "start": true}));
    assert_eq!(status, 409, "{json}");
    assert_eq!(json["impact"]["leave"], 25);
    let (status, json) = story.post(
        "plan",
        json!({"plan": plan, "start": true, "confirm": true}),
    );
    assert_eq!(status, 200, "{json}");
}

#[test]
fn what_it_needs_can_go_away() {
    let mut story = Story::new(&json!({"cohorts": {"friends": {"enabled": true}}}));
    let mut with = plan();
    with["stages"][1]["audience"] = json!({"mode": "or", "cohorts": ["friends"]});
    story.0.admin(
        "POST",
        &format!("{RELEASE}/plan?confirm=1"),
        json!({"plan": with, "start": true}),
    );
    story
        .0
        .admin("DELETE", "/admin/cohorts/friends", Value::Null);
    story.pass(3 * HOUR);
    assert_eq!(story.stands(), "paused some 25 active");
    assert_eq!(story.alerted("the plan cannot go on"), 1);
    story
        .0
        .admin("DELETE", "/rollout/v1.1.0-beta?confirm=1", Value::Null);
    assert_eq!(
        story
            .0
            .ask(ADMIN, "GET", &format!("{RELEASE}/plan"), Value::Null)
            .0,
        404
    );
    story.pass(HOUR);
}

#[test]
fn an_audience_is_let_in_and_stays() {
    let config = json!({"cohorts": {"friends": {"enabled": true}, "eng": {"enabled": true}}});
    let mut story = Story::new(&config);
    let plan = json!({"name": "audiences", "stages": [
        {"id": "inside", "percentage": 30, "audience": {"mode": "and", "cohorts": ["eng"]}},
        {"id": "named", "percentage": 30, "audience": {"mode": "or", "cohorts": ["friends"]}},
        {"id": "more", "percentage": 40},
    ], "policy": {"lead_minutes": {"advance": 0}}});
    let release = |story: &mut Story| {
        let config = story.0.admin("GET", "/admin/config", Value::Null);
        let release = &config["releases"]["v1.1.0-beta"];
        json!([release["percentage"], release["cohorts"], release["mode"]])
    };
    let path = format!("{RELEASE}/plan?confirm=1");
    story
        .0
        .admin("POST", &path, json!({"plan": plan, "start": true}));
    assert_eq!(release(&mut story), json!([30, ["eng"], "and"]));
    story.pass(HOUR);
    assert_eq!(release(&mut story), json!([30, ["friends"], null]));
    story.pass(HOUR);
    assert_eq!(release(&mut story), json!([40, ["friends"], null]));
}

/// Each decision can be made again from what its row holds.
#[test]
fn decisions_are_recomputed_from_the_log() {
    let mut story = Story::begun();
    story.pass(3 * HOUR);
    story.0.evidence = Ok(errors(300, 1000));
    story.pass(HOUR);
    let mut state = caro_edge::core::ledger::State::default();
    let mut seen = 0;
    for stored in story.0.ledger.store.rows(0, 10_000).unwrap() {
        use caro_edge::core::ledger::event::{Change, Row};
        use caro_edge::core::plan::{Look, Plan, decide};
        let row = Row::parse(&stored.text).unwrap();
        for change in &row.changes {
            if let Change::Decide {
                release,
                seen: inputs,
                decision,
            } = change
            {
                let planned = state.plans.get(release).unwrap();
                let plan = Plan::parse(&planned.document).unwrap();
                let look = Look {
                    plan: &plan,
                    run: &planned.run,
                    seen: inputs,
                    now: row.at,
                    release: release.as_str(),
                };
                assert_eq!(decide(&look).decision.as_ref(), Some(&**decision));
                seen += 1;
            }
        }
        state.fold(&row, stored.hash);
    }
    assert!(seen >= 4, "{seen}");
}

/// A newer router may have written it, before this one was put back.
#[test]
fn a_plan_that_cannot_be_read_is_not_asked_for_in_a_loop() {
    let mut story = Story::begun();
    story.pass(MINUTE);
    let ledger = &mut story.0.ledger;
    let release = "v1.1.0-beta";
    ledger.live.state.plans.get_mut(release).unwrap().document = caro_edge::core::json::Json::Null;
    ledger.publication.checked = Some(story.0.now.plus_millis(HOUR));
    let now = story.0.now.plus_millis(HOUR);
    assert!(ledger.plans_due(now).is_empty());
    let revision = ledger.live.state.revision;
    ledger.publication.config = Some(Landed { revision, at: now });
    let wake = ledger.wake_at(false, &Busy::default(), now).unwrap();
    assert!(wake > now, "{wake} is not after {now}");
}

/// As often as its own plan says, and not the one before.
#[test]
fn a_plan_is_looked_at_as_often_as_it_says() {
    let mut story = Story::new(&json!({}));
    let begin = |story: &mut Story, seconds: u64| {
        let mut plan = plan();
        plan["policy"]["guard_seconds"] = json!(seconds);
        story.post("plan", json!({"plan": plan, "start": true}));
    };
    let due = |story: &mut Story, after: u64| {
        story.0.now = story.0.now.plus_millis(after);
        let due = !story.0.ledger.plans_due(story.0.now).is_empty();
        story.0.guard();
        due
    };
    begin(&mut story, 3600);
    assert!(due(&mut story, 0));
    assert!(!due(&mut story, HOUR - 1));
    assert!(due(&mut story, 1));
    story
        .0
        .admin("DELETE", &format!("{RELEASE}/plan"), Value::Null);
    begin(&mut story, 10);
    assert!(due(&mut story, 1000));
    assert!(!due(&mut story, 9_999));
    assert!(due(&mut story, 1));
    let revision = story.plan()["plan_revision"].as_u64().unwrap();
    let audit = story
        .0
        .admin("GET", "/admin/audit?action=plan.start&limit=1", Value::Null);
    assert_eq!(
        audit["rows"][0]["revision"].as_u64(),
        Some(revision),
        "{audit}"
    );
}
