//! Sticky by consent: who brings along what they were given stays when a percentage goes down, and nothing
//! else changes for anybody.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use caro_edge::api::edge::Edge;
use caro_edge::api::handle::{evaluate, handle};
use caro_edge::api::reply::{Answer, Reply};
use caro_edge::api::signing::{Keys, Signing};
use caro_edge::auth::assignment::{AssignmentKey, LIFETIME_S, open, seal};
use caro_edge::auth::keys::PublicKey;
use caro_edge::core::bucket::{Purpose, RolloutHash, UnitHash};
use caro_edge::core::sticky::{Held, MAX_HELD};
use caro_edge::core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{Incoming, NOW, document};

fn key(seed: u8) -> AssignmentKey {
    AssignmentKey::of(&[seed; 48]).unwrap()
}

fn unit(seed: u8) -> UnitHash {
    UnitHash::new([seed; 16])
}

fn held() -> Held {
    let mut held = Held::default();
    held.push(RolloutHash::of(Purpose::Gate, "release/v1.1.0-beta"), None);
    let variant = "large".parse().unwrap();
    held.push(
        RolloutHash::of(Purpose::Gate, "feature/size"),
        Some(&variant),
    );
    held
}

#[test]
fn a_token_is_its_requesters_and_ours() {
    let token = seal(&held(), &unit(1), &key(1), NOW).unwrap();
    let opened = |unit: &UnitHash, keys: &[AssignmentKey], now| open(&token, unit, keys, now);
    assert_eq!(opened(&unit(1), &[key(1)], NOW), Some(held()));
    // After a change of keys, as long as the old one is there.
    assert_eq!(opened(&unit(1), &[key(2), key(1)], NOW), Some(held()));
    assert_eq!(opened(&unit(1), &[key(2)], NOW), None);
    assert_eq!(opened(&unit(2), &[key(1)], NOW), None);
    let end = NOW.plus_millis(LIFETIME_S * 1000);
    assert_eq!(opened(&unit(1), &[key(1)], end), Some(held()));
    assert_eq!(opened(&unit(1), &[key(1)], end.plus_millis(1000)), None);
    // It names neither rollouts nor the requester.
    assert!(token.len() < 100 && !token.contains("size"));
}

proptest! {
    #[test]
    fn nothing_else_is_a_token(text in ".{0,200}", at in 0_usize..80, with in "[A-Za-z0-9_-]") {
        prop_assert_eq!(open(&text, &unit(1), &[key(1)], NOW), None);
        let token = seal(&held(), &unit(1), &key(1), NOW).unwrap();
        prop_assume!(at < token.len() && token[at..=at] != with);
        let mut changed = token.clone();
        changed.replace_range(at..=at, &with);
        prop_assert_eq!(open(&changed, &unit(1), &[key(1)], NOW), None);
    }

    #[test]
    fn bytes_and_back(names in proptest::collection::vec("[a-z0-9]{0,64}", 0..120), bytes: Vec<u8>) {
        let mut held = Held::default();
        for (i, name) in names.iter().enumerate() {
            let rollout = RolloutHash::of(Purpose::Gate, &i.to_string());
            held.push(rollout, name.parse().ok().as_ref());
        }
        prop_assert_eq!(Held::from_bytes(&held.bytes()), Some(held.clone()));
        let last = RolloutHash::of(Purpose::Gate, &(MAX_HELD - 1).to_string());
        prop_assert_eq!(held.variant(last).is_some(), names.len() >= MAX_HELD);
        // Whatever the bytes are.
        let _ = Held::from_bytes(&bytes);
    }
}

fn edge(config: &Value) -> Edge {
    let mut edge = support::edge(Some(&document(config)), None);
    edge.signing = Signing::On(Keys {
        public: vec![PublicKey::new([9; 32])],
        assignment: vec![key(1)],
    });
    edge
}

fn ask(edge: &mut Edge, path: &str, id: &str, token: Option<&str>, now: Timestamp) -> Reply {
    let mut request = Incoming::get(path);
    request.headers.push(("X-Caro-Id".into(), id.into()));
    if let Some(token) = token {
        request
            .headers
            .push(("X-Caro-Assignment".into(), token.into()));
    }
    match handle(edge, &request, now) {
        Answer::Kept(id) => edge.kept.reply(id).unwrap().clone(),
        Answer::Fresh(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn token(reply: &Reply) -> String {
    reply.header("X-Caro-Assignment").unwrap().to_owned()
}

/// The feature `f` of whoever asks, with the reason.
fn feature(edge: &mut Edge, id: &str, token: Option<&str>) -> (Value, String, Option<String>) {
    let reply = ask(edge, "/features/1.0.4?detail=1", id, token, NOW);
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    let f = &json["f"];
    let reason = f["reason"].as_str().unwrap().to_owned();
    let token = reply.header("X-Caro-Assignment").map(str::to_owned);
    (f["value"].clone(), reason, token)
}

fn with(feature: Value) -> Edge {
    edge(&json!({ "features": { "*": { "f": feature } } }))
}

#[test]
fn who_does_not_ask_is_given_nothing() {
    let mut edge = with(json!({ "percentage": 50 }));
    assert_eq!(feature(&mut edge, "alice", None).2, None);
    assert!(feature(&mut edge, "alice", Some("new")).2.is_some());
    edge.signing = Signing::Off;
    assert_eq!(feature(&mut edge, "alice", Some("new")).2, None);
    let mut refused = edge_with_policy(false);
    assert_eq!(feature(&mut refused, "alice", Some("new")).2, None);
}

fn edge_with_policy(sticky: bool) -> Edge {
    edge(
        &json!({ "features": { "*": { "f": { "percentage": 50 } } }, "policy": { "sticky": sticky } }),
    )
}

#[test]
fn lowering_leaves_who_asked_and_takes_everybody_else() {
    let (mut half, mut tenth) = (
        with(json!({ "percentage": 50 })),
        with(json!({ "percentage": 10 })),
    );
    let (mut stayed, mut left) = (0, 0);
    for i in 0..400 {
        let id = format!("unit-{i}");
        let (before, _, token) = feature(&mut half, &id, Some("new"));
        let (without, ..) = feature(&mut tenth, &id, None);
        let (after, reason, again) = feature(&mut tenth, &id, token.as_deref());
        assert_eq!(before, after, "{id}: {reason}");
        assert!(again.is_some());
        stayed += i32::from(reason == "sticky");
        left += i32::from(before != without);
        // Who was not in has nothing to keep, and another's token is no use.
        let other = feature(&mut tenth, "somebody else", token.as_deref()).0;
        assert_eq!(other, feature(&mut tenth, "somebody else", None).0);
    }
    assert!(stayed > 120 && stayed == left, "{stayed} {left}");
}

#[test]
fn what_takes_back_for_good_wins() {
    let mut full = with(json!({ "percentage": 100 }));
    let (value, _, token) = feature(&mut full, "alice", Some("new"));
    assert_eq!(value, json!(true));
    let token = token.as_deref();
    for (config, reason) in [
        (
            json!({ "features": { "*": { "f": { "percentage": 0, "rules": [{ "if": { "attribute": "x", "is": 1 } }] } } } }),
            "bucket",
        ),
        (json!({ "features": { "*": { "f": false } } }), "disabled"),
        (
            json!({ "features": { "*": { "f": { "percentage": 1 } } }, "kill_switches": { "features": ["f"] } }),
            "killed",
        ),
        (
            json!({ "features": { "*": { "f": { "percentage": 1, "schedule": { "end": "2000-01-01T00:00:00Z" } } } } }),
            "scheduled",
        ),
        (
            json!({ "features": { "*": { "f": { "percentage": 1, "deny": ["3cfb95514487b16d39e0302c53b44e55"] } } } }),
            "denied",
        ),
    ] {
        let got = feature(&mut edge(&config), "alice", token);
        assert_eq!((got.0, got.1.as_str()), (json!(false), reason));
    }
    let stopped = json!({ "features": { "*": { "f": { "percentage": 1 } } } });
    let mut stopped = support::edge(Some(&document(&stopped)), Some("all"));
    stopped.signing = full.signing.clone();
    assert_eq!(feature(&mut stopped, "alice", token).1, "stopped");
    // But it does hold where nothing of that is.
    assert_eq!(
        feature(&mut with(json!({ "percentage": 0.001 })), "alice", token).1,
        "sticky"
    );
}

#[test]
fn a_variant_is_kept_while_there_is_any_of_it() {
    let split = |a: f64, b: f64, percentage: u32| {
        with(json!({
            "variants": { "a": 1, "b": 2, "off": 0 }, "off": "off", "percentage": percentage,
            "serve": [{ "variant": "a", "weight": a }, { "variant": "b", "weight": b }]
        }))
    };
    let mut before = split(50.0, 50.0, 100);
    let in_a = (0..50).map(|i| format!("unit-{i}"));
    let in_a: Vec<_> = in_a
        .filter(|id| feature(&mut before, id, None).0 == json!(1))
        .collect();
    assert!(in_a.len() > 10);
    for id in in_a {
        let token = feature(&mut before, &id, Some("new")).2;
        let got = |edge: &mut Edge| feature(edge, &id, token.as_deref()).0;
        assert_eq!(got(&mut split(0.001, 50.0, 100)), json!(1));
        assert_eq!(got(&mut split(0.001, 50.0, 1)), json!(1));
        // There is none left.
        assert_ne!(got(&mut split(0.0, 50.0, 100)), json!(1));
    }
}

#[test]
fn a_release_is_kept_until_it_is_taken_back() {
    let release = |percentage: f64, state: &str| {
        let release = json!({ "percentage": percentage, "state": state });
        edge(&json!({ "releases": { "v1.1.0-beta": release } }))
    };
    let reply = ask(
        &mut release(100.0, "active"),
        "/install.sh",
        "alice",
        Some("new"),
        NOW,
    );
    assert_eq!(reply.header("X-Caro-Version"), Some("1.1.0-beta.2"));
    assert_eq!(
        reply.header("Cache-Control"),
        Some("private, no-store, no-transform")
    );
    let token = token(&reply);
    let got = |edge: &mut Edge| {
        let reply = ask(edge, "/install.sh", "alice", Some(&token), NOW);
        reply.header("X-Caro-Reason").unwrap().to_owned()
    };
    assert_eq!(got(&mut release(0.001, "active")), "sticky");
    assert_eq!(got(&mut release(0.001, "paused")), "sticky");
    assert_eq!(got(&mut release(0.0, "active")), "default");
    assert_eq!(got(&mut release(0.001, "stopped")), "emergency_stop");
    assert_eq!(got(&mut release(0.001, "draft")), "default");
    // What was pinned is nothing to keep.
    let pinned = ask(
        &mut release(0.0, "active"),
        "/v1.1.0-beta",
        "alice",
        Some("new"),
        NOW,
    );
    assert_eq!(pinned.header("X-Caro-Assignment"), None);
}

#[test]
fn open_feature_clients_may_ask_as_well() {
    let evaluated = |edge: &mut Edge, token: &str| {
        let mut request = Incoming::get("/ofrep/v1/evaluate/flags/f");
        request.method = "POST".into();
        request
            .headers
            .push(("X-Caro-Assignment".into(), token.into()));
        let body = br#"{"context":{"targetingKey":"alice"}}"#;
        evaluate(edge, &request, Some(body), NOW)
    };
    let first = evaluated(&mut with(json!({ "percentage": 100 })), "new");
    let exposed = first.header("Access-Control-Expose-Headers").unwrap();
    assert!(exposed.contains("ETag") && exposed.contains("X-Caro-Assignment"));
    let second = evaluated(&mut with(json!({ "percentage": 0.001 })), &token(&first));
    assert!(second.body.contains(r#""value":true"#), "{}", second.body);
    assert!(second.body.contains(r#""why":"sticky""#), "{}", second.body);
}
