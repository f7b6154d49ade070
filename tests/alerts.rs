//! Messages to people: stored with the change, delivered once, and naming nobody.

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
use caro_edge::core::ledger::kv::{Seen, Value as KvValue};
use serde_json::{Value, json};

use desk::Desk;
use support::document;

fn texts(desk: &Desk) -> Vec<String> {
    desk.ledger.store.messages().map(str::to_owned).collect()
}

/// What is told of which call.
#[test]
fn stops_kills_rollbacks_and_waiting_changes_are_told() {
    let mut desk = Desk::with(&json!({"policy": {"approvals": {"full_rollout": true}}}));
    for (method, path, body, part) in [
        (
            "POST",
            "/rollout/v1.1.0-beta",
            json!({"percentage": 30}),
            None,
        ),
        (
            "POST",
            "/rollout/v1.1.0-beta",
            json!({"percentage": 100}),
            Some("second release manager"),
        ),
        (
            "POST",
            "/rollout/v1.1.0-beta/rollback",
            json!({"percentage": 5}),
            Some("rolled back 30 % → 5 %"),
        ),
        (
            "POST",
            "/admin/kill-switches",
            json!({"canary": true, "reason": "leak"}),
            Some("canary on, by admin (release_manager). Reason: leak."),
        ),
        (
            "POST",
            "/admin/kill-switches",
            json!({"canary": false, "reason": "mended"}),
            Some("canary off"),
        ),
        (
            "POST",
            "/rollout/all/emergency-stop?reason=crash",
            Value::Null,
            Some("emergency stop of everything, by admin"),
        ),
        (
            "POST",
            "/rollout/all/emergency-stop?reason=again",
            Value::Null,
            None,
        ),
        (
            "POST",
            "/rollout/all/clear-stop?reason=fine",
            Value::Null,
            Some("cleared"),
        ),
        (
            "POST",
            "/features/*",
            json!({"static_matcher": false}),
            None,
        ),
    ] {
        let before = texts(&desk).len();
        desk.admin(method, path, body);
        let told = texts(&desk).split_off(before);
        match part {
            Some(part) => assert!(
                told.len() == 1 && told[0].contains(part),
                "{path}: {told:?}"
            ),
            None => assert!(told.is_empty(), "{path}: {told:?}"),
        }
    }
}

/// A switch that is turned with the whole document is told of like any other.
#[test]
fn kill_switches_in_a_document_are_told() {
    let mut desk = Desk::with(&json!({}));
    let killed = document(&json!({"kill_switches": {"telemetry_disabled": true}}));
    assert_eq!(desk.put_config(&killed).status, 200);
    let told = texts(&desk);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("Kill switch telemetry_disabled was turned on, by admin."));

    let seen = Seen {
        config: Some(KvValue {
            text: document(&json!({"revision": 50})),
            metadata: None,
        }),
        stop: None,
    };
    // In one write with the row: there is none without the other.
    desk.ledger.store.fail_next();
    assert!(desk.ledger.look(&seen, desk.now).is_err());
    assert_eq!(texts(&desk).len(), 1);
    desk.ledger.look(&seen, desk.now).unwrap();
    let told = texts(&desk);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].contains("edited by hand") && told[2].contains("turned off, by edit of KV"));
}

#[test]
fn a_message_is_stored_with_its_change_or_neither_is() {
    let mut desk = Desk::with(&json!({}));
    let (writes, rows) = (desk.ledger.store.writes, desk.ledger.store.kept.log.len());
    desk.ledger.store.fail_next();
    let stop = "/rollout/all/emergency-stop?reason=crash";
    let (status, problem) = desk.ask(desk::ADMIN, "POST", stop, Value::Null);
    assert_eq!(
        (status, &problem["type"]),
        (503, &json!("urn:caro-edge:problem:ledger-unavailable"))
    );
    assert!(texts(&desk).is_empty() && desk.ledger.store.kept.log.len() == rows);
    desk.admin("POST", stop, Value::Null);
    assert_eq!(desk.ledger.store.writes, writes + 2);
    assert_eq!(
        (texts(&desk).len(), desk.ledger.store.kept.log.len()),
        (1, rows + 1)
    );
}

#[test]
fn delivery_is_tried_less_and_less_often_and_done_once() {
    let mut desk = Desk::with(&json!({}));
    desk.admin(
        "POST",
        "/rollout/all/emergency-stop?reason=crash",
        Value::Null,
    );
    let mut waits = Vec::new();
    for _ in 0..13 {
        let alert = desk.ledger.begin_delivery(desk.now).unwrap().unwrap();
        // It is under way, and nobody else's for half a minute.
        let soon = desk.now.plus_millis(29_999);
        assert_eq!(desk.ledger.begin_delivery(soon), Ok(None));
        desk.ledger
            .delivered(&alert, Err("refused".to_owned()), desk.now)
            .unwrap();
        let next = desk.ledger.store.kept.outbox[0].alert.next;
        waits.push(next.millis_since(desk.now) / 1000);
        // Not a moment before, and then it is what wakes the ledger.
        let early = caro_edge::core::time::Timestamp::from_millis(next.millis() - 1);
        assert_eq!(desk.ledger.begin_delivery(early), Ok(None));
        let idle = Busy::default();
        assert!(desk.ledger.wake_at(true, &idle, desk.now).unwrap() <= next);
        desk.now = next;
    }
    assert_eq!(
        waits,
        [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600]
    );
    // One that was begun and never heard of again is tried once more.
    desk.ledger.begin_delivery(desk.now).unwrap().unwrap();
    desk.now = desk.now.plus_millis(30_000);
    let alert = desk.ledger.begin_delivery(desk.now).unwrap().unwrap();
    desk.ledger.delivered(&alert, Ok(()), desk.now).unwrap();
    let later = desk.now.plus_millis(1 << 40);
    assert_eq!(desk.ledger.begin_delivery(later), Ok(None));
    let ops = desk.admin("GET", "/ops/status.json", Value::Null);
    assert_eq!(
        ops["alerts"],
        json!({
            "webhook": true, "pending": 0, "delivered": 1, "oldest": null, "last_error": null
        })
    );
}

/// Reasons and edits may hold what must not get out.
#[test]
fn no_message_holds_a_token_an_id_or_an_address() {
    let mut desk = Desk::with(&json!({}));
    let token = desk.mint("release_manager");
    let hidden = ["192.0.2.7", "2001:db8::7", token.as_str(), "alice-0815"];
    let reason = format!("crash at 192.0.2.7, (2001:db8::7); used {token}.");
    let calls = [
        (
            "/rollout/v1.1.0-beta/rollback",
            json!({"percentage": 5, "reason": reason}),
        ),
        ("/rollout/all/emergency-stop", json!({"reason": reason})),
        ("/rollout/all/clear-stop", json!({"reason": reason})),
        (
            "/admin/kill-switches",
            json!({"canary": true, "reason": reason}),
        ),
        (
            "/admin/canary/members",
            json!({"add": [{"id": "alice-0815"}, {"ip": "192.0.2.7"}]}),
        ),
    ];
    for (path, body) in calls {
        desk.admin("POST", path, body);
    }
    // A person who writes an address where a hash belongs.
    let edit = document(&json!({"canary": {"allowlist": ["192.0.2.7", {"alice-0815": 1}]}}));
    let seen = Seen {
        config: Some(KvValue {
            text: edit,
            metadata: None,
        }),
        stop: Some(KvValue {
            text: "192.0.2.7".to_owned(),
            metadata: None,
        }),
    };
    desk.ledger.look(&seen, desk.now).unwrap();
    let told = texts(&desk);
    assert!(told.len() >= 6, "{told:?}");
    let ops = desk
        .admin("GET", "/ops/status.json", Value::Null)
        .to_string();
    let log: Vec<String> = desk
        .ledger
        .store
        .kept
        .log
        .iter()
        .map(|r| r.text.clone())
        .collect();
    for text in told.iter().chain(&log).chain([&ops]) {
        for secret in hidden {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn alerts_can_be_read_and_old_ones_go() {
    let mut desk = Desk::with(&json!({}));
    let read = |desk: &mut Desk, query: &str| {
        let answer = desk.admin("GET", &format!("/admin/alerts{query}"), Value::Null);
        assert_eq!(answer["webhook"], true);
        answer["alerts"].as_array().unwrap().clone()
    };
    assert!(read(&mut desk, "").is_empty());
    let kill = |desk: &mut Desk, on: bool| {
        let body = json!({"telemetry_disabled": on, "reason": "leak at 192.0.2.7"});
        desk.admin("POST", "/admin/kill-switches", body);
    };
    kill(&mut desk, true);
    let now = desk.now.to_string();
    let text = "kill switches: telemetry_disabled on, by admin (release_manager). Reason: leak at \
                [address]. Revision 2.";
    let waiting = json!([{
        "id": 1, "at": now, "text": text, "delivered_at": null, "attempts": 0, "next_attempt_at": now,
    }]);
    assert_eq!(Value::Array(read(&mut desk, "")), waiting);
    let alert = desk.ledger.begin_delivery(desk.now).unwrap().unwrap();
    desk.ledger
        .delivered(&alert, Err("refused".to_owned()), desk.now)
        .unwrap();
    desk.now = desk.now.plus_millis(2_000);
    assert_eq!(read(&mut desk, "")[0]["attempts"], 1);
    assert_eq!(
        read(&mut desk, "")[0]["next_attempt_at"],
        desk.now.to_string()
    );
    // As many as are kept, one more, and one that waits from before them.
    let deliver = |desk: &mut Desk| {
        let alert = desk.ledger.begin_delivery(desk.now).unwrap().unwrap();
        desk.ledger.delivered(&alert, Ok(()), desk.now).unwrap();
    };
    deliver(&mut desk);
    for round in 0..200 {
        kill(&mut desk, round % 2 == 1);
        deliver(&mut desk);
    }
    kill(&mut desk, false);
    let all = read(&mut desk, "?limit=200");
    let ids: Vec<u64> = all
        .iter()
        .map(|alert| alert["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (3..=202).rev().collect::<Vec<_>>());
    assert_eq!(all[0]["delivered_at"], Value::Null);
    assert_eq!(all[1]["delivered_at"], desk.now.to_string());
    assert_eq!(all[1].get("next_attempt_at"), None);
    let kept = desk.ledger.store.newest_alerts(1000).unwrap();
    assert_eq!((kept.len(), kept.last().unwrap().id), (201, 2));
    let ops = desk.admin("GET", "/ops/status.json", Value::Null);
    assert_eq!(
        (&ops["alerts"]["pending"], &ops["alerts"]["delivered"]),
        (&json!(1), &json!(201))
    );
    assert_eq!(read(&mut desk, "").len(), 50);
    assert_eq!(read(&mut desk, "?limit=1").len(), 1);
    for limit in ["0", "201", "x"] {
        let path = format!("/admin/alerts?limit={limit}");
        let (status, json) = desk.ask(desk::ADMIN, "GET", &path, Value::Null);
        assert_eq!(
            (status, &json["type"]),
            (400, &json!("urn:caro-edge:problem:bad-query"))
        );
    }
}
