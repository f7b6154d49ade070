//! Who may do what: every call by every role, by real requests. The table is written down from the
//! contract and not taken from the code.

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

use caro_edge::auth::permission::{Call, PERMISSIONS};
use caro_edge::core::role::Role;
use serde_json::{Value, json};

use desk::{ADMIN, Desk};

const ROLES: [&str; 5] = [
    "release_manager",
    "engineering_lead",
    "engineer",
    "bot",
    "viewer",
];

/// Who may: a letter each for release manager, engineering lead, engineer, bot and viewer.
const MANAGER: &str = "m";
const LEAD: &str = "ml";
const FEATURES: &str = "mle";
const EVERYBODY: &str = "mlebv";
const BOT: &str = "mb";
const SIGNALS: &str = "mlb";

/// Each call with a request that works in [`world`], and who may make it.
#[rustfmt::skip]
fn table() -> Vec<(Call, &'static str, &'static str, Value, &'static str)> {
    let dev = json!({"new_parser": {"percentage": 50}});
    vec![
        (Call::SetRelease, "POST", "/rollout/v1.1.0-beta", json!({"percentage": 30}), MANAGER),
        (Call::PutRelease, "PUT", "/rollout/v1.1.1-beta", json!({"version": "1.1.0-beta.1", "state": "draft", "confirm": true}), MANAGER),
        (Call::DeleteRelease, "DELETE", "/rollout/v1.1.0-beta?confirm=1", Value::Null, MANAGER),
        (Call::EmergencyStop, "POST", "/rollout/v1.1.0-beta/emergency-stop?reason=x", Value::Null, MANAGER),
        (Call::ClearStop, "POST", "/rollout/v1.1.0-beta/clear-stop?reason=x", Value::Null, MANAGER),
        (Call::Pause, "POST", "/rollout/v1.1.0-beta/pause", Value::Null, MANAGER),
        (Call::Resume, "POST", "/rollout/v1.1.0-beta/resume", Value::Null, MANAGER),
        (Call::Rollback, "POST", "/rollout/v1.1.0-beta/rollback", json!({"percentage": 5}), MANAGER),
        (Call::Approve, "POST", "/rollout/v1.1.0-beta/approve", Value::Null, MANAGER),
        (Call::Approve, "POST", "/rollout/v1.0.9-beta/approve", json!({"stage": "one"}), LEAD),
        (Call::ReadPlan, "GET", "/rollout/v1.0.9-beta/plan", Value::Null, EVERYBODY),
        (Call::SetPlan, "POST", "/rollout/v1.1.0-beta/plan", json!({"preset": "caro", "start": true}), MANAGER),
        (Call::DeletePlan, "DELETE", "/rollout/v1.0.9-beta/plan", Value::Null, MANAGER),
        (Call::Promote, "POST", "/rollout/v1.0.9-beta/promote", json!({"force": true, "reason": "x"}), MANAGER),
        (Call::Evaluate, "POST", "/rollout/v1.0.9-beta/evaluate", Value::Null, BOT),
        (Call::Signal, "POST", "/rollout/v1.1.0-beta/signals", json!({"numbers": {"p0_open": 0}}), SIGNALS),
        (Call::ReadReport, "GET", "/rollout/v1.0.9-beta/report", Value::Null, EVERYBODY),
        (Call::ReadEvidence, "GET", "/rollout/v1.0.9-beta/evidence", Value::Null, EVERYBODY),
        (Call::SetFeatures, "POST", "/features/*", dev, FEATURES),
        (Call::ReadExperiments, "GET", "/admin/experiments", Value::Null, EVERYBODY),
        (Call::ReadExperiments, "GET", "/admin/experiments/running", Value::Null, EVERYBODY),
        (Call::SetExperiments, "POST", "/admin/experiments", json!({"running": false}), LEAD),
        (Call::ReadKillSwitches, "GET", "/admin/kill-switches", Value::Null, EVERYBODY),
        (Call::SetKillSwitches, "POST", "/admin/kill-switches", json!({"canary": true, "reason": "x"}), MANAGER),
        (Call::ReadCanary, "GET", "/admin/canary", Value::Null, EVERYBODY),
        (Call::SetCanary, "POST", "/admin/canary", json!({"enabled": false, "confirm": true}), MANAGER),
        (Call::ReadCohorts, "GET", "/admin/cohorts", Value::Null, EVERYBODY),
        (Call::ReadCohorts, "GET", "/admin/cohorts/internal_test/members", Value::Null, EVERYBODY),
        (Call::PutCohort, "PUT", "/admin/cohorts/friends", json!({"percentage": 1}), MANAGER),
        (Call::DeleteCohort, "DELETE", "/admin/cohorts/spare", Value::Null, MANAGER),
        (Call::SetMembers, "POST", "/admin/cohorts/spare/members", json!({"add": [{"id": "x"}]}), MANAGER),
        (Call::SetMembers, "POST", "/admin/canary/members", json!({"add": [{"id": "x"}]}), MANAGER),
        (Call::ReadApprovals, "GET", "/admin/approvals", Value::Null, EVERYBODY),
        (Call::WithdrawApproval, "DELETE", "/admin/approvals/{approval}", Value::Null, MANAGER),
        (Call::ReadTokens, "GET", "/admin/tokens", Value::Null, MANAGER),
        (Call::MintToken, "POST", "/admin/tokens", json!({"role": "viewer", "label": "x"}), MANAGER),
        (Call::RevokeToken, "DELETE", "/admin/tokens/{token}", Value::Null, MANAGER),
        (Call::ReadAlerts, "GET", "/admin/alerts", Value::Null, EVERYBODY),
        (Call::ReadAudit, "GET", "/admin/audit", Value::Null, EVERYBODY),
        (Call::VerifyAudit, "GET", "/admin/audit/verify", Value::Null, EVERYBODY),
        (Call::Explain, "GET", "/admin/explain?id=x", Value::Null, EVERYBODY),
        (Call::ReadConfig, "GET", "/admin/config", Value::Null, MANAGER),
        (Call::PutConfig, "PUT", "/admin/config?confirm=1", serde_json::from_str(&support::document(&rules())).unwrap(), MANAGER),
        (Call::Lint, "GET", "/admin/lint", Value::Null, EVERYBODY),
        (Call::ReadReleases, "GET", "/admin/releases", Value::Null, EVERYBODY),
        (Call::ReadFeatures, "GET", "/admin/features", Value::Null, EVERYBODY),
        (Call::WhoAmI, "GET", "/admin/whoami", Value::Null, EVERYBODY),
        (Call::ReadOps, "GET", "/ops/status.json", Value::Null, EVERYBODY),
    ]
}

struct World {
    desk: Desk,
    tokens: Vec<String>,
    /// The id of a token that nobody uses, and of a change that waits.
    spare: String,
    approval: String,
}

fn rules() -> Value {
    json!({
        "policy": {"approvals": {"full_rollout": true}},
        "cohorts": {"spare": {"enabled": true}},
        "releases": {"v1.0.9-beta": {"version": "1.1.0-beta.1", "percentage": 0, "state": "active"}},
        "features": {"*": {"new_parser": {"stage": "development"}}},
        "experiments": {"running": {
            "variants": {"control": 1, "other": 2}, "control": "control", "metrics": ["success"],
        }},
    })
}

/// Where each of the calls can be made.
fn world() -> World {
    let mut desk = Desk::with(&rules());
    let tokens = ROLES.map(|role| desk.mint(role)).to_vec();
    let spare = desk.admin(
        "POST",
        "/admin/tokens",
        json!({"role": "bot", "label": "spare"}),
    );
    let plan = json!({"name": "small", "stages": [
        {"id": "one", "percentage": 0, "approval": {"roles": ["release_manager", "engineering_lead"]}},
        {"id": "two", "percentage": 1},
    ]});
    let plan = json!({"plan": plan, "start": true});
    desk.admin("POST", "/rollout/v1.0.9-beta/plan", plan);
    let full = json!({"percentage": 100});
    let pending = desk.admin("POST", "/rollout/v1.1.0-beta", full);
    World {
        desk,
        tokens,
        spare: spare["token"]["id"].as_str().unwrap().to_owned(),
        approval: pending["approval"]["id"].as_str().unwrap().to_owned(),
    }
}

impl World {
    fn ask(&mut self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let path = path.replace("{token}", &self.spare);
        let path = path.replace("{approval}", &self.approval);
        self.desk.ask(token, method, &path, body.clone())
    }
}

#[test]
fn every_call_by_every_role() {
    for (call, method, path, body, who) in table() {
        for (i, role) in ROLES.iter().enumerate() {
            let mut world = world();
            let before = world.desk.ledger.live.state.text();
            let token = world.tokens[i].clone();
            let (status, json) = world.ask(&token, method, path, &body);
            let what = format!("{call:?} by {role}: {status} {json}");
            if who.contains(&"mlebv"[i..=i]) {
                assert!((200..300).contains(&status), "{what}");
                continue;
            }
            assert_eq!(status, 403, "{what}");
            assert_eq!(json["type"], "urn:caro-edge:problem:forbidden", "{what}");
            // The least role that may.
            let least = match who {
                // A lead may approve a plan's stage.
                _ if call == Call::Approve && *role != "engineering_lead" => "engineering_lead",
                MANAGER => "release_manager",
                LEAD => "engineering_lead",
                FEATURES => "engineer",
                BOT | SIGNALS => "bot",
                _ => "viewer",
            };
            assert_eq!(json["required_role"], least, "{what}");
            assert_eq!(world.desk.ledger.live.state.text(), before, "{what}");
        }
    }
}

/// The Worker's secret is the first release manager.
#[test]
fn the_admin_may_do_everything() {
    for (call, method, path, body, _) in table() {
        if call == Call::Approve {
            // Its own change waits there.
            continue;
        }
        let (status, json) = world().ask(ADMIN, method, path, &body);
        assert!((200..300).contains(&status), "{call:?}: {status} {json}");
    }
}

#[test]
fn no_call_is_left_out() {
    for (call, roles) in PERMISSIONS {
        assert!(
            table().iter().any(|row| row.0 == call),
            "{call:?} is not in the table"
        );
        let listed = PERMISSIONS.iter().filter(|(c, _)| *c == call);
        assert_eq!(listed.count(), 1, "{call:?}");
        assert_eq!(roles.first(), Some(&Role::ReleaseManager), "{call:?}");
        assert_eq!(roles.last().copied(), Some(call.least()), "{call:?}");
    }
    for row in table() {
        assert!(
            PERMISSIONS.iter().any(|(call, _)| *call == row.0),
            "{:?}",
            row.0
        );
    }
}

#[test]
fn no_token_and_a_dead_one_get_nothing() {
    let unknown = format!("caro_{}", "f".repeat(64));
    let too_long = "x".repeat(600);
    for (call, method, path, body, _) in table() {
        let mut world = world();
        // One that was revoked and one that has expired.
        let revoked = world.desk.mint("release_manager");
        let tokens = world.desk.admin("GET", "/admin/tokens", Value::Null);
        let ids = tokens["tokens"].as_array().unwrap();
        let id = |token: &Value| token["id"].as_str().unwrap().to_owned();
        let last = ids.iter().map(id).max().unwrap();
        world
            .desk
            .admin("DELETE", &format!("/admin/tokens/{last}"), Value::Null);
        let short = json!({
            "role": "release_manager", "label": "x", "kind": "debug", "expires_in_seconds": 60
        });
        let short = world.desk.admin("POST", "/admin/tokens", short);
        let short = short["token"]["secret"].as_str().unwrap().to_owned();
        world.desk.now = world.desk.now.plus_millis(60_000);
        let before = world.desk.ledger.live.state.text();

        for token in [&revoked, &short, &unknown, &too_long] {
            let (status, json) = world.ask(token, method, path, &body);
            assert_eq!(status, 401, "{call:?} with {token}: {json}");
        }
        let reply = world.desk.send(None, method, path, &[], b"");
        assert_eq!(reply.status, 401, "{call:?} without a token");
        let challenge = reply.header("WWW-Authenticate").unwrap();
        assert!(challenge.starts_with("Bearer realm="), "{challenge}");
        assert_eq!(world.desk.ledger.live.state.text(), before);
    }
}

#[test]
fn a_token_works_until_it_expires() {
    let mut desk = Desk::with(&json!({}));
    let body = json!({"role": "viewer", "label": "x", "expires_in_seconds": 60});
    let minted = desk.admin("POST", "/admin/tokens", body);
    let token = minted["token"]["secret"].as_str().unwrap();
    let mut at = |millis| {
        desk.now = support::NOW.plus_millis(millis);
        desk.ask(token, "GET", "/ops/status.json", Value::Null).0
    };
    assert_eq!(
        [at(0), at(59_999), at(60_000), at(1 << 40)],
        [200, 200, 401, 401]
    );
}
