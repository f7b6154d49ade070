//! What goes with an answer about features: how long it may be kept, what people are told, who may ask.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use caro_edge::api::edge::Edge;
use caro_edge::api::handle::{evaluate, handle};
use caro_edge::api::reply::{Answer, Reply};
use caro_edge::auth::token::TokenHash;
use serde_json::{Value, json};

use support::{Incoming, NOW, document};

fn get(edge: &mut Edge, path: &str, id: &str) -> Reply {
    let mut request = Incoming::get(path);
    request.headers.push(("X-Caro-Id".into(), id.into()));
    match handle(edge, &request, NOW) {
        Answer::Kept(id) => edge.kept.reply(id).unwrap().clone(),
        Answer::Fresh(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn edge(patch: &Value, stop: Option<&str>) -> Edge {
    support::edge(Some(&document(patch)), stop)
}

/// A client that asks every hour hears of a change within it; while anything is stopped, each time.
#[test]
fn answers_are_kept_for_a_minute_and_not_at_all_while_something_is_stopped() {
    let cache = |patch: Value, stop: Option<&str>| {
        let reply = get(&mut edge(&patch, stop), "/features/v1.1.0-beta", "inside");
        assert_eq!(reply.header("Vary"), Some("X-Caro-Id, X-Caro-Assignment"));
        reply.header("Cache-Control").unwrap().to_owned()
    };
    assert_eq!(cache(json!({}), None), "private, max-age=60");
    for (patch, stop) in [
        (json!({}), Some("all")),
        (json!({}), Some("v1.1.0-beta")),
        (
            json!({"releases": {"v1.1.0-beta": {"state": "stopped"}}}),
            None,
        ),
        (json!({"kill_switches": {"canary": true}}), None),
        (json!({"kill_switches": {"telemetry_disabled": true}}), None),
        (json!({"kill_switches": {"features": ["anything"]}}), None),
        (
            json!({"kill_switches": {"cohorts": ["internal_test"]}}),
            None,
        ),
    ] {
        assert_eq!(
            cache(patch.clone(), stop),
            "private, no-cache",
            "{patch} {stop:?}"
        );
    }
    let mut nothing = support::edge(None, None);
    let reply = get(&mut nothing, "/features/v1.1.0-beta", "inside");
    assert_eq!(reply.header("Cache-Control"), Some("private, no-cache"));
}

/// Seed 002, "Rollout Notification".
#[test]
fn who_has_what_is_being_rolled_out_is_told() {
    let features = json!({ "features": { "*": {
        "intent_bar_v1_rollout": { "percentage": 10, "cohorts": ["internal_test"] },
        "av1_encode_rollout": { "percentage": 99.999, "title": "AV1 encoding" },
        "everybody": { "percentage": 100 },
        "nobody": { "percentage": 0, "cohorts": ["internal_test"] },
    } } });
    let member = "internal-1";
    let mut features_and_member = features.clone();
    let salt = document(&json!({}));
    let salt: Value = serde_json::from_str(&salt).unwrap();
    let salt = caro_edge::core::decode::hex(salt["salt"].as_str().unwrap()).unwrap();
    let salt = caro_edge::core::bucket::Salt::new(salt);
    let unit = support::unit(member).unwrap();
    let hash = caro_edge::core::bucket::UnitHash::of(&salt, &unit).as_u128();
    features_and_member["cohorts"] =
        json!({"internal_test": {"enabled": true, "members": [format!("{hash:032x}")]}});
    let mut edge = edge(&features_and_member, None);
    let reply = get(&mut edge, "/features/1.0.4?detail=1", member);
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    let said = |key: &str| json[key]["banner"].clone();
    assert_eq!(
        said("intent_bar_v1_rollout"),
        "Intent Bar is now available for 10% of users."
    );
    assert_eq!(
        said("av1_encode_rollout"),
        "AV1 encoding is now available for 99.999% of users."
    );
    for key in ["everybody", "nobody", "validation_retry"] {
        assert_eq!(said(key), Value::Null, "{key}");
    }
    // Who has it not is told nothing.
    let reply = get(&mut edge, "/features/1.0.4?detail=1", "outside");
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    let intent = &json["intent_bar_v1_rollout"];
    assert_eq!(
        (&intent["value"], intent.get("banner")),
        (&json!(false), None)
    );
    // OpenFeature clients find it in the metadata.
    let mut request = Incoming::get("/ofrep/v1/evaluate/flags/av1_encode_rollout");
    request.method = "POST".into();
    let body = br#"{"context":{"targetingKey":"inside"}}"#;
    let reply = evaluate(&mut edge, &request, Some(body), NOW);
    assert!(
        reply.body.contains(r#""banner":"AV1 encoding is now"#),
        "{}",
        reply.body
    );
}

#[test]
fn with_keys_in_the_policy_only_who_has_one_may_evaluate() {
    let hash = TokenHash::of("the app's key").hex();
    let mut edge = edge(
        &json!({ "policy": { "ofrep": { "keys": { "app": hash } } } }),
        None,
    );
    let mut ask = |headers: &[(&str, &str)], path: &str| {
        let mut request = Incoming::get(path);
        request.method = "POST".into();
        for (name, value) in headers {
            request.headers.push(((*name).into(), (*value).into()));
        }
        evaluate(&mut edge, &request, Some(b"{}"), NOW)
    };
    for path in [
        "/ofrep/v1/evaluate/flags",
        "/ofrep/v1/evaluate/flags/static_matcher",
    ] {
        for headers in [
            &[("Authorization", "Bearer the app's key")][..],
            &[("Authorization", "bearer  the app's key")],
            &[("X-API-Key", "the app's key")],
        ] {
            assert_eq!(ask(headers, path).status, 200, "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("X-API-Key", "")],
            &[("X-API-Key", "another")],
            &[("X-API-Key", hash.as_str())],
            &[("Authorization", "Basic dGhl")],
            &[
                ("Authorization", "Bearer another"),
                ("X-API-Key", "the app's key"),
            ],
        ] {
            let reply = ask(headers, path);
            assert_eq!(reply.status, 401, "{headers:?}");
            assert!(
                reply
                    .header("WWW-Authenticate")
                    .unwrap()
                    .starts_with("Bearer")
            );
            assert_eq!(reply.header("Access-Control-Allow-Origin"), Some("*"));
            assert!(!reply.body.contains("validation_retry"));
        }
    }
    // No keys: nobody may; no policy: everybody.
    let mut nobody = self::edge(&json!({ "policy": { "ofrep": { "keys": {} } } }), None);
    let mut request = Incoming::get("/ofrep/v1/evaluate/flags");
    request.method = "POST".into();
    assert_eq!(
        evaluate(&mut nobody, &request, Some(b"{}"), NOW).status,
        401
    );
    let mut open = self::edge(&json!({}), None);
    assert_eq!(evaluate(&mut open, &request, Some(b"{}"), NOW).status, 200);
}
