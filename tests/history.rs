//! What anybody may know of what happened: `/history.json` and `/feed.atom`, where they are made. Nothing that a
//! person wrote may be in them.

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

use caro_edge::api::history::feed;
use caro_edge::core::gate::{Counts, Evidence};
use caro_edge::core::ledger::kv::{Metadata, Put, Seen, Value as KvValue};
use caro_edge::wire::history::Changes;
use desk::Desk;
use serde_json::{Value, json};
use support::document;

const RELEASE: &str = "/rollout/v1.1.0-beta";
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

fn history(desk: &mut Desk) -> Value {
    serde_json::from_str(&desk.ledger.history(desk.now).unwrap()).unwrap()
}

/// What happened to the release: `raised 50`, with its phase.
fn happened(desk: &mut Desk) -> Vec<String> {
    let history = history(desk);
    let events = history["releases"][0]["history"].as_array().unwrap();
    let text = |event: &Value| {
        let phase = event["phase"]
            .as_str()
            .map_or(String::new(), |p| format!(" {p}"));
        format!(
            "{} {}{phase}",
            event["event"].as_str().unwrap(),
            event["percentage"]
        )
    };
    events.iter().map(text).collect()
}

/// The newest change.
fn said(desk: &mut Desk) -> String {
    let history = history(desk);
    history["changes"][0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn each_kind_of_change_is_told() {
    let mut desk = Desk::with(&json!({}));
    assert_eq!(happened(&mut desk), ["created 25"]);
    assert_eq!(
        said(&mut desk),
        "the stable version is 1.0.4; v1.1.0-beta: version 1.1.0-beta.2 at 25 %"
    );
    for (method, path, body, events, text) in [
        (
            "POST",
            "",
            json!({"percentage": 50}),
            &["raised 50"][..],
            "v1.1.0-beta: 25 % → 50 %",
        ),
        (
            "POST",
            "/pause",
            Value::Null,
            &["paused 50"],
            "v1.1.0-beta: paused at 50 %",
        ),
        (
            "POST",
            "/resume",
            Value::Null,
            &["resumed 50"],
            "v1.1.0-beta: goes on at 50 %",
        ),
        (
            "POST",
            "/rollback",
            json!({"percentage": 0.5}),
            &["lowered 0.5", "paused 0.5"],
            "v1.1.0-beta: 50 % → 0.5 %; v1.1.0-beta: paused at 0.5 %",
        ),
        (
            "POST",
            "?confirm=1",
            json!({"version": "1.1.0-beta.1"}),
            &["version 0.5"],
            "v1.1.0-beta: version 1.1.0-beta.1",
        ),
        (
            "POST",
            "/emergency-stop?reason=x",
            Value::Null,
            &["stopped 0"],
            "v1.1.0-beta: emergency stop",
        ),
        (
            "POST",
            "/clear-stop?reason=x",
            Value::Null,
            &["stop_cleared 0"],
            "v1.1.0-beta: emergency stop lifted",
        ),
        (
            "POST",
            "?confirm=1",
            json!({"state": "complete", "percentage": 5}),
            &["raised 5", "completed 5"],
            "v1.1.0-beta: 0 % → 5 %; v1.1.0-beta: complete at 5 %",
        ),
    ] {
        let before = happened(&mut desk).len();
        desk.now = desk.now.plus_millis(1000);
        desk.admin(method, &format!("{RELEASE}{path}"), body);
        assert_eq!(happened(&mut desk)[before..], *events, "{path}");
        assert_eq!(said(&mut desk), text);
        let now = desk.now.to_string();
        let history = history(&mut desk);
        assert_eq!(history["changes"][0]["at"], now);
        assert_eq!(history["changes"][0]["revision"], history["revision"]);
    }
    for (state, event) in [
        ("stopped", "ended 5"),
        ("active", "activated 5"),
        ("draft", "drafted 5"),
    ] {
        let release = json!({"percentage": 5, "state": state, "version": "1.1.0-beta.1"});
        let reply = desk.put_config(&document(&json!({"releases": {"v1.1.0-beta": release}})));
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(happened(&mut desk).last().unwrap(), event);
    }
    // What is nobody's business, or changes nothing that anybody gets.
    let before = history(&mut desk)["changes"].clone();
    desk.mint("viewer");
    desk.admin("POST", "/features/*", json!({"static_matcher": false}));
    desk.admin(
        "POST",
        "/admin/kill-switches",
        json!({"telemetry_disabled": true, "reason": "x"}),
    );
    desk.admin(
        "POST",
        "/admin/canary/members",
        json!({"add": [{"id": "x"}]}),
    );
    assert_eq!(history(&mut desk)["changes"], before);
    let switch = |canary: bool| json!({"canary": canary, "reason": "x"});
    desk.put_config(&document(&json!({})));
    for (is_killed, event, text) in [
        (true, "killed 0", "v1.1.0-beta: canary switched off"),
        (
            false,
            "restored 25",
            "v1.1.0-beta: canary switched on again at 25 %",
        ),
    ] {
        desk.admin("POST", "/admin/kill-switches", switch(is_killed));
        assert_eq!(happened(&mut desk).last().unwrap(), event);
        assert_eq!(said(&mut desk), text);
    }
    desk.admin("POST", "/rollout/all/emergency-stop?reason=x", Value::Null);
    assert_eq!(said(&mut desk), "emergency stop of everything");
    let stopped = &history(&mut desk)["releases"][0];
    assert_eq!(
        (
            &stopped["phase"],
            &stopped["stopped"],
            &stopped["percentage"]
        ),
        (&json!("stopped"), &json!(true), &json!(0))
    );
    desk.admin("POST", "/rollout/all/clear-stop?reason=x", Value::Null);
    assert_eq!(said(&mut desk), "emergency stop of everything lifted");
    desk.admin("DELETE", &format!("{RELEASE}?confirm=1"), Value::Null);
    assert_eq!(said(&mut desk), "v1.1.0-beta: deleted");
    assert_eq!(history(&mut desk)["releases"], json!([]));
}

#[test]
fn a_drain_is_told_when_it_has_arrived() {
    let mut desk = Desk::with(&json!({}));
    let down = json!({"percentage": 5, "over_seconds": 300});
    desk.admin("POST", &format!("{RELEASE}/rollback"), down);
    for _ in 0..59 {
        desk.now = desk.now.plus_millis(5_000);
        desk.ledger.tick(desk.now).unwrap();
    }
    assert_eq!(happened(&mut desk), ["created 25", "paused 25"]);
    desk.now = desk.now.plus_millis(5_000);
    desk.ledger.tick(desk.now).unwrap();
    assert_eq!(
        happened(&mut desk),
        ["created 25", "paused 25", "lowered 5"]
    );
    assert_eq!(said(&mut desk), "v1.1.0-beta: 25 % → 5 %");
}

fn plan() -> Value {
    json!({
        "name": "three", "watch_hours": 1, "description": "SECRET of the plan",
        "stages": [
            {"id": "some", "percentage": 25, "soak": {"min_hours": 2}, "gates": [{"id": "secret_gate", "rate": "errors", "at_most": 5, "ceiling": 10}]},
            {"id": "half", "percentage": 50, "soak": {"min_hours": 2}},
            {"id": "all", "percentage": 100},
        ],
        "halts": [{"id": "secret_halt", "when": {"number": "secret_number", "over": 0}, "action": "pause"}],
        "policy": {"lead_minutes": {"advance": 30}, "max_percentage": 100},
    })
}

fn good(desk: &mut Desk) {
    let mut evidence = Evidence::default();
    let counts = Counts {
        total: 1000,
        good: 1000,
    };
    evidence.canary.insert("errors".into(), counts);
    desk.evidence = Ok(evidence);
}

fn pass(desk: &mut Desk, ms: u64) {
    let end = desk.now.plus_millis(ms);
    while desk.now < end {
        desk.now = desk.now.plus_millis(30 * MINUTE).min(end);
        desk.ledger.tick(desk.now).unwrap();
        desk.guard();
    }
}

#[test]
fn a_plan_is_shown_as_far_as_it_is() {
    let mut desk = Desk::with(&json!({}));
    let begin = desk.now;
    let of_plan = |desk: &mut Desk| history(desk)["releases"][0]["plan"].clone();
    assert_eq!(of_plan(&mut desk), Value::Null);
    desk.admin("POST", &format!("{RELEASE}/plan"), json!({"plan": plan()}));
    let draft = of_plan(&mut desk);
    assert_eq!(
        (&draft["status"], &draft["why"], &draft["stage"]),
        (&json!("draft"), &json!("not begun"), &Value::Null)
    );
    desk.admin("POST", &format!("{RELEASE}/plan"), json!({"start": true}));
    pass(&mut desk, HOUR);
    let at = |ms: u64| json!(begin.plus_millis(ms).to_string());
    let expected = json!({
        "name": "three", "status": "running", "why": "soaking", "stage": "some",
        "stages": [
            {"id": "some", "percentage": 25, "soak_seconds": 7200, "entered_at": at(0), "left_at": null},
            {"id": "half", "percentage": 50, "soak_seconds": 7200, "entered_at": null, "left_at": null},
            {"id": "all", "percentage": 100, "soak_seconds": 3600, "entered_at": null, "left_at": null},
        ],
        "soaked_seconds": 3600, "next_decision_at": at(2 * HOUR), "pending": null, "complete_at": at(5 * HOUR),
    });
    assert_eq!(of_plan(&mut desk), expected);
    pass(&mut desk, HOUR);
    assert_eq!(of_plan(&mut desk)["why"], "waits for evidence");
    good(&mut desk);
    pass(&mut desk, HOUR);
    let pending = of_plan(&mut desk);
    assert_eq!(
        pending["pending"],
        json!({"percentage": 50, "at": at(3 * HOUR + 30 * MINUTE)})
    );
    assert_eq!(pending["why"], "the next step is announced");
    pass(&mut desk, 12 * HOUR);
    let done = of_plan(&mut desk);
    assert_eq!(
        (
            &done["status"],
            &done["complete_at"],
            &done["next_decision_at"]
        ),
        (&json!("complete"), &Value::Null, &Value::Null)
    );
    let stages = done["stages"].as_array().unwrap();
    for pair in stages.windows(2) {
        assert_eq!(pair[0]["left_at"], pair[1]["entered_at"], "{done}");
    }
    assert_eq!(stages[1]["entered_at"], at(3 * HOUR + 30 * MINUTE));
    assert!(stages[2]["left_at"].is_string(), "{done}");
    let all = happened(&mut desk);
    assert_eq!(
        all,
        [
            "created 25",
            "stage 25 some",
            "raised 50 half",
            "raised 100 all",
            "completed 100 all"
        ]
    );
    assert_eq!(said(&mut desk), "v1.1.0-beta: complete at 100 %");

    // Another plan with the same stages has been nowhere yet.
    desk.admin("DELETE", &format!("{RELEASE}/plan"), Value::Null);
    desk.admin("POST", &format!("{RELEASE}/plan"), json!({"plan": plan()}));
    assert_eq!(of_plan(&mut desk)["stages"][0]["entered_at"], Value::Null);
}

#[test]
fn a_plan_that_goes_back_has_left_the_stage_twice() {
    let mut desk = Desk::with(&json!({}));
    good(&mut desk);
    desk.admin(
        "POST",
        &format!("{RELEASE}/plan"),
        json!({"plan": plan(), "start": true}),
    );
    pass(&mut desk, 3 * HOUR);
    let back = desk.now.to_string();
    desk.admin(
        "POST",
        &format!("{RELEASE}/rollback"),
        json!({"percentage": 25, "reason": "SECRET"}),
    );
    let history = history(&mut desk);
    let plan = &history["releases"][0]["plan"];
    assert_eq!(
        (&plan["status"], &plan["why"], &plan["stage"]),
        (&json!("paused"), &json!("paused"), &json!("some"))
    );
    assert_eq!(plan["stages"][1]["left_at"], back, "{plan}");
    assert_eq!(
        (
            &plan["stages"][0]["entered_at"],
            &plan["stages"][0]["left_at"]
        ),
        (&json!(back), &Value::Null)
    );
}

/// Everything that a person may write, wherever it may be written.
#[test]
fn nothing_that_a_person_wrote_is_in_it() {
    let mut desk = Desk::with(
        &json!({"policy": {"approvals": {"full_rollout": true}}, "cohorts": {"secret_cohort": {"enabled": true}}}),
    );
    good(&mut desk);
    let label = "SECRET <b>label</b> &amp; \"quoted\"";
    let minted = desk.admin(
        "POST",
        "/admin/tokens",
        json!({"role": "release_manager", "label": label, "reason": "SECRET"}),
    );
    let token = minted["token"]["secret"].as_str().unwrap().to_owned();
    let id = minted["token"]["id"].as_str().unwrap().to_owned();
    let mut calls = 0;
    let mut call = |desk: &mut Desk, path: &str, mut body: Value| {
        body["reason"] = json!("SECRET reason ]]> <script> & crash");
        desk.now = desk.now.plus_millis(1000);
        let (status, json) = desk.ask(&token, "POST", path, body);
        assert!((200..300).contains(&status), "{path}: {json}");
        calls += 1;
    };
    call(
        &mut desk,
        "/admin/cohorts/secret_cohort/members",
        json!({"add": [{"id": "SECRET-person", "label": "SECRET"}]}),
    );
    let release = &format!("{RELEASE}?confirm=1");
    call(
        &mut desk,
        release,
        json!({"percentage": 30, "cohorts": ["secret_cohort"]}),
    );
    call(
        &mut desk,
        &format!("{RELEASE}/plan"),
        json!({"plan": plan(), "start": true}),
    );
    call(
        &mut desk,
        &format!("{RELEASE}/signals"),
        json!({"numbers": {"secret_number": {"value": 3, "source": "SECRET"}}}),
    );
    pass(&mut desk, HOUR);
    assert_eq!(
        history(&mut desk)["releases"][0]["plan"]["status"],
        "paused"
    );
    call(&mut desk, &format!("{RELEASE}/resume"), json!({}));
    call(&mut desk, &format!("{RELEASE}/evaluate"), json!({}));
    call(&mut desk, &format!("{RELEASE}/pause"), json!({}));
    call(
        &mut desk,
        &format!("{RELEASE}/rollback"),
        json!({"percentage": 1}),
    );
    call(&mut desk, release, json!({"state": "active"}));
    call(&mut desk, release, json!({"percentage": 100}));
    call(
        &mut desk,
        "/admin/kill-switches",
        json!({"features": {"static_matcher": true}}),
    );
    call(
        &mut desk,
        "/features/*",
        json!({"static_matcher": {"description": "SECRET", "owner": "SECRET"}}),
    );
    call(&mut desk, &format!("{RELEASE}/emergency-stop"), json!({}));
    call(&mut desk, &format!("{RELEASE}/clear-stop"), json!({}));
    call(&mut desk, "/rollout/all/emergency-stop", json!({}));
    let edit = document(
        &json!({"features": {"*": {"static_matcher": {"description": "SECRET"}}}, "releases": {"v1.1.0-beta": {"percentage": 7}}}),
    );
    let edit = Some(KvValue {
        text: edit,
        metadata: None,
    });
    desk.ledger
        .look(
            &Seen {
                config: edit,
                stop: None,
            },
            desk.now,
        )
        .unwrap();
    assert!(calls > 14);

    let text = desk.ledger.history(desk.now).unwrap();
    let changes: Changes = serde_json::from_str(&text).unwrap();
    assert!(changes.changes.len() > 8, "{text}");
    let feed = feed(&changes, "https://get.caro.sh");
    for text in [&text, &feed] {
        let lower = text.to_lowercase();
        for private in [
            "secret",
            "script",
            "crash",
            "admin",
            "static_matcher",
            &id,
            "kv",
            "telemetry",
        ] {
            assert!(!lower.contains(private), "{private} in {text}");
        }
    }
    // Nothing of it is kept either.
    let kept: String = desk.ledger.store.kept.history.values().cloned().collect();
    assert!(!kept.to_lowercase().contains("secret"), "{kept}");
}

#[test]
fn what_is_shown_is_bounded() {
    let mut desk = Desk::with(&json!({}));
    for round in 0..250 {
        desk.now = desk.now.plus_millis(1000);
        let body = json!({"percentage": 30 + round % 2, "confirm": true});
        desk.admin("POST", RELEASE, body);
    }
    let history = history(&mut desk);
    let of_release = history["releases"][0]["history"].as_array().unwrap();
    let changes = history["changes"].as_array().unwrap();
    assert_eq!((of_release.len(), changes.len()), (200, 50));
    assert_eq!(of_release[199]["at"], changes[0]["at"]);
    assert!(of_release.is_sorted_by_key(|event| event["at"].as_str()));
    assert!(changes.is_sorted_by(|a, b| a["revision"].as_u64() > b["revision"].as_u64()));
}

/// However often it is asked for.
#[test]
fn it_is_made_once_in_five_seconds_or_for_a_change() {
    let mut desk = Desk::with(&json!({}));
    let first = desk.ledger.history(desk.now).unwrap();
    desk.ledger.store.kept.history.clear();
    desk.now = desk.now.plus_millis(4_999);
    assert_eq!(desk.ledger.history(desk.now).unwrap(), first);
    desk.now = desk.now.plus_millis(1);
    assert_ne!(desk.ledger.history(desk.now).unwrap(), first);
    desk.admin("POST", RELEASE, json!({"percentage": 26}));
    assert_eq!(said(&mut desk), "v1.1.0-beta: 25 % → 26 %");
}

/// What an older router wrote has no records.
#[test]
fn records_are_made_of_rows_where_there_are_none() {
    let mut desk = Desk::with(&json!({}));
    for round in 0..250 {
        let body = json!({"percentage": 30 + round % 2, "confirm": true});
        desk.admin("POST", RELEASE, body);
    }
    let whole = history(&mut desk)["changes"].clone();
    desk.ledger.store.kept.history.clear();
    let mut again = desk.reopened();
    assert_eq!(history(&mut again)["changes"], whole);
    assert_eq!(again.ledger.store.kept.history.len(), 200);
    // It is not done twice.
    let writes = again.ledger.store.writes;
    assert_eq!(again.reopened().ledger.store.writes, writes);
    // A ledger whose disk is full can still stop things.
    desk.ledger.store.fail_next();
    let mut full = desk.reopened();
    assert_eq!(full.ledger.store.kept.history.len(), 0);
    full.admin("POST", "/rollout/all/emergency-stop?reason=x", Value::Null);
    assert_eq!(said(&mut full), "emergency stop of everything");
}

#[test]
fn how_long_a_change_took_is_told() {
    let mut desk = Desk::with(&json!({}));
    assert_eq!(history(&mut desk)["convergence"], Value::Null);
    let changed = desk.now;
    let land = |desk: &mut Desk, ms: u64| {
        desk.now = desk.now.plus_millis(ms);
        let state = &desk.ledger.live.state;
        let value = state.published();
        let metadata = Metadata::of(state.revision, value.as_deref().unwrap());
        let put = Put {
            key: "config",
            value,
            metadata,
        };
        desk.ledger.wrote(&put, Ok(()), desk.now).unwrap();
    };
    land(&mut desk, 1_234);
    let took = json!({
        "revision": 1, "changed_at": changed.to_string(), "published_at": changed.plus_millis(1_234).to_string(),
        "milliseconds": 1_234,
    });
    assert_eq!(history(&mut desk)["convergence"], took);
    // Written again because somebody deleted it: that says nothing of how long a change takes.
    land(&mut desk, 500_000);
    assert_eq!(history(&mut desk)["convergence"], took);
    assert_eq!(history(&mut desk.reopened())["convergence"], took);
    desk.admin("POST", RELEASE, json!({"percentage": 26}));
    land(&mut desk, 7);
    assert_eq!(history(&mut desk)["convergence"]["milliseconds"], 7);
}

#[test]
fn a_feed_is_valid_whatever_is_in_it() {
    let changes = |text: &str| -> Changes {
        serde_json::from_value(json!({
            "product": "a <b> & \"c\"", "generated_at": "2026-01-15T09:00:00Z", "revision": 9,
            "changes": [
                {"at": "2026-01-15T08:00:00Z", "revision": 9, "text": text},
                {"at": "2026-01-14T08:00:00Z", "revision": 7, "text": "v1: 5 % → 25 %"},
            ],
        }))
        .unwrap()
    };
    let origin = "https://get.example.org/a&b";
    for text in [
        "plain",
        "]]> <x a='1'> & \u{0}\u{8}\u{1b}\u{fffe} ä 🟢",
        "\n\t\r",
    ] {
        let feed = feed(&changes(text), origin);
        let xml = roxmltree::Document::parse(&feed).unwrap_or_else(|e| panic!("{e}: {feed}"));
        let of = |node: &roxmltree::Node<'_, '_>, name: &str| {
            let found = node
                .children()
                .find(|child| child.has_tag_name(("http://www.w3.org/2005/Atom", name)));
            found
                .unwrap_or_else(|| panic!("no {name} in {feed}"))
                .text()
                .unwrap_or_default()
                .to_owned()
        };
        let root = xml.root_element();
        assert!(root.has_tag_name(("http://www.w3.org/2005/Atom", "feed")));
        assert_eq!(of(&root, "id"), format!("{origin}/feed.atom"));
        assert_eq!(of(&root, "updated"), "2026-01-15T08:00:00Z");
        assert!(of(&root, "title").starts_with("a <b> & \"c\""));
        let links: Vec<_> = root
            .children()
            .filter(|n| n.tag_name().name() == "link")
            .collect();
        let links: Vec<_> = links
            .iter()
            .map(|n| (n.attribute("rel").unwrap(), n.attribute("href").unwrap()))
            .collect();
        assert_eq!(
            links,
            [
                ("self", format!("{origin}/feed.atom").as_str()),
                ("alternate", format!("{origin}/status").as_str())
            ]
        );
        let entries: Vec<_> = root
            .children()
            .filter(|n| n.tag_name().name() == "entry")
            .collect();
        let ids: Vec<_> = entries.iter().map(|entry| of(entry, "id")).collect();
        assert_eq!(
            ids,
            [9, 7].map(|revision| format!("{origin}/feed.atom#revision-{revision}"))
        );
        assert_eq!(of(&entries[1], "title"), "v1: 5 % → 25 %");
        assert_eq!(of(&entries[1], "content"), "v1: 5 % → 25 %");
        assert_eq!(of(&entries[0], "updated"), "2026-01-15T08:00:00Z");
    }
    let none = Changes {
        changes: Vec::new(),
        ..changes("")
    };
    let feed = feed(&none, origin);
    assert!(
        feed.contains("<updated>2026-01-15T09:00:00Z</updated>")
            && roxmltree::Document::parse(&feed).is_ok()
    );
}
