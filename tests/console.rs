//! What a console reads besides: whose token it is, and releases and features as the ledger has them.

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

use serde_json::{Value, json};

use desk::{ADMIN, Desk};

const SECRET_UNIT: &str = "00112233445566778899aabbccddeeff";

fn get(desk: &mut Desk, token: &str, path: &str) -> Value {
    let (status, json) = desk.ask(token, "GET", path, Value::Null);
    assert_eq!(status, 200, "{path}: {json}");
    json
}

#[test]
fn a_token_says_what_it_is_good_for() {
    let mut desk = Desk::with(&json!({}));
    let admin = get(&mut desk, ADMIN, "/admin/whoami");
    let shown = json!([admin["id"], admin["role"], admin["expires"]]);
    assert_eq!(shown, json!(["admin", "release_manager", null]));
    let calls = |who: &Value| who["calls"].as_array().unwrap().clone();
    assert!(calls(&admin).contains(&json!("put_config")));
    let token = desk.mint("engineer");
    let engineer = get(&mut desk, &token, "/admin/whoami");
    assert_eq!(engineer["role"], "engineer");
    assert!(engineer["expires"].is_string());
    assert!(calls(&engineer).contains(&json!("set_features")));
    assert!(calls(&engineer).contains(&json!("who_am_i")));
    assert!(!calls(&engineer).contains(&json!("set_release")));
    assert!(!engineer.to_string().contains(&token));
}

#[test]
fn releases_are_the_ledgers() {
    let deny =
        json!({"releases": {"v1.1.0-beta": {"deny": [{"unit": SECRET_UNIT, "label": "x"}]}}});
    let mut desk = Desk::with(&deny);
    let plan = json!({"preset": "caro", "start": true});
    desk.admin("POST", "/rollout/v1.1.0-beta/plan", plan);
    let token = desk.mint("viewer");
    let seen = get(&mut desk, &token, "/admin/releases");
    assert_eq!(seen["stable"], "1.0.4");
    assert!(
        seen["versions"]
            .as_array()
            .unwrap()
            .contains(&json!("1.1.0-beta.2"))
    );
    let release = &seen["releases"][0];
    assert_eq!(release["name"], "v1.1.0-beta");
    assert_eq!(release["denied"], 1);
    assert_eq!(release["plan"]["name"], "caro");
    assert_eq!(release["plan"]["status"], "running");
    assert_eq!(release["stopped"], false);
    assert!(!seen.to_string().contains(SECRET_UNIT));
    let why = json!({"reason": "it crashes"});
    desk.admin("POST", "/rollout/v1.1.0-beta/emergency-stop", why);
    let seen = get(&mut desk, &token, "/admin/releases");
    let release = &seen["releases"][0];
    assert_eq!(
        [&release["stopped"], &release["percentage"]],
        [&json!(true), &json!(0)]
    );
    assert_eq!(release["plan"]["status"], "stopped");
}

#[test]
fn features_are_as_written_without_people() {
    let deny = json!([{"unit": SECRET_UNIT, "label": "x"}]);
    let feature = json!({"percentage": 10, "owner": "edge", "deny": deny});
    let mut desk = Desk::with(&json!({"features": {"*": {"new_parser": feature, "plain": false}}}));
    let token = desk.mint("viewer");
    let seen = get(&mut desk, &token, "/admin/features");
    let all = seen["features"].as_array().unwrap();
    let of = |key: &str| {
        all.iter()
            .find(|f| f["key"] == key && f["release"] == "*")
            .unwrap()
    };
    assert_eq!(
        of("new_parser")["definition"],
        json!({"percentage": 10, "owner": "edge"})
    );
    assert_eq!(of("new_parser")["denied"], 1);
    assert_eq!(of("plain")["definition"], false);
    assert_eq!(seen["defaults"]["validation_retry"], true);
    assert!(!seen.to_string().contains(SECRET_UNIT));
}
