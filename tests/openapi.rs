//! `www/openapi.json` is what the types say, names every call and no other, and describes what is
//! really answered.

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

use std::collections::BTreeSet;
use std::fs;

use caro_edge::api::control::query;
use caro_edge::api::control::route::{Found, find};
use caro_edge::api::edge::Edge;
use caro_edge::api::handle::{evaluate, evidence, handle, history, report};
use caro_edge::api::history::Turn;
use caro_edge::api::openapi::{document, operations};
use caro_edge::api::reply::{Answer, Reply};
use caro_edge::api::reports;
use caro_edge::auth::permission::{Call, PERMISSIONS};
use caro_edge::core::defaults::Defaults;
use caro_edge::wire::looks::LedgerLook;
use caro_edge::wire::problem::ProblemType;
use serde_json::{Value, json};

use desk::{ADMIN, Desk};
use support::{Incoming, NOW, edge};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/www/openapi.json");

#[test]
fn the_file_is_what_the_types_say() {
    let text = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::write(FILE, &text).unwrap();
    }
    let file = fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        file == text,
        "www/openapi.json is not what the types say; make it anew, and read what changed:\n\
         UPDATE=1 cargo test --test openapi && git diff www/openapi.json"
    );
}

/// A path with a name in each place.
fn filled(path: &str) -> String {
    let path = path.replace("{release}", "v1.1.0-beta");
    let path = path.replace("{key}", "static_matcher");
    let path = path.replace("{version}", "1.1.0-beta.2");
    path.replace("{name}", "internal_test")
        .replace("{id}", "0123456789ab")
}

/// The document's path that a path is an instance of: the one with the fewest names in it.
fn template(path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let own: Vec<&str> = template.split('/').collect();
        let same = |(own, part): (&&str, &&str)| own.starts_with('{') || own == part;
        own.len() == parts.len() && own.iter().zip(&parts).all(same)
    };
    operations()
        .iter()
        .map(|operation| operation.path)
        .filter(|path| fits(path))
        .min_by_key(|path| path.matches('{').count())
}

#[test]
fn every_call_is_described() {
    for operation in operations() {
        let found = find(operation.method, &filled(operation.path));
        match (operation.call, found) {
            (Some(call), Found::Call(found, _)) => assert_eq!(call, found, "{}", operation.path),
            (None, Found::Nothing | Found::Method(_)) => {}
            (_, found) => panic!("{} {}: {found:?}", operation.method, operation.path),
        }
    }
    let described: BTreeSet<Call> = operations().iter().filter_map(|o| o.call).collect();
    let known: BTreeSet<Call> = PERMISSIONS.iter().map(|(call, _)| *call).collect();
    assert_eq!(described, known);
}

/// Every path that can be made of the words in the router's source.
#[test]
fn nothing_else_is_routed() {
    let source = include_str!("../src/api/control/route.rs");
    let strings = source.split('"').skip(1).step_by(2);
    let words: BTreeSet<&str> = strings
        .filter(|s| {
            s.bytes()
                .all(|b| b.is_ascii_lowercase() || b"-.*".contains(&b))
        })
        .chain(["v1.1.0-beta", "x"])
        .collect();
    assert!(words.len() > 15, "the words were not found: {words:?}");
    let mut paths = vec![String::new()];
    let mut calls = 0;
    for _ in 0..4 {
        paths = paths
            .iter()
            .flat_map(|path| words.iter().map(move |word| format!("{path}/{word}")))
            .filter(|path| {
                ["/rollout", "/features", "/ops", "/admin"]
                    .iter()
                    .any(|first| path.split('/').nth(1) == first.strip_prefix('/'))
            })
            .collect();
        for path in &paths {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let Found::Call(call, _) = find(method, path) else {
                    continue;
                };
                calls += 1;
                let template = template(path);
                let is_it = |o: &&caro_edge::api::openapi::Operation| {
                    Some(o.path) == template && o.method == method && o.call == Some(call)
                };
                let described = operations().iter().find(is_it).is_some();
                assert!(
                    described,
                    "{method} {path} is not in the document: {call:?}"
                );
            }
        }
    }
    assert!(calls > 50, "only {calls} were found");
}

/// What a query may name is what is documented.
#[test]
fn queries_are_those_that_are_taken() {
    let document = document();
    for operation in operations().iter().filter(|o| o.call.is_some()) {
        let method = operation.method.to_lowercase();
        let described = &document["paths"][operation.path][method.as_str()]["parameters"];
        let described = described.as_array().into_iter().flatten();
        let parameter = |reference: &Value| {
            let at = reference["$ref"].as_str().unwrap().trim_start_matches('#');
            document.pointer(at).unwrap().clone()
        };
        let queries = described.map(parameter).filter(|p| p["in"] == "query");
        let described: BTreeSet<_> = queries
            .map(|p| p["name"].as_str().unwrap().to_owned())
            .collect();
        let taken = query::names(operation.call.unwrap());
        let taken: BTreeSet<_> = taken.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(described, taken, "{} {}", operation.method, operation.path);
    }
}

/// `Allow` lists what the document lists.
#[test]
fn methods_are_those_that_are_allowed() {
    let mut by_path: std::collections::BTreeMap<&str, BTreeSet<&str>> = Default::default();
    for operation in operations() {
        let methods = by_path.entry(operation.path).or_default();
        methods.insert(operation.method);
    }
    for (path, methods) in by_path {
        let allow = match find("PATCH", &filled(path)) {
            Found::Method(allow) => allow.to_owned(),
            _ => {
                let mut request = Incoming::get(&filled(path));
                request.method = "PATCH".to_owned();
                let Answer::Fresh(reply) = handle(&mut edge(None, None), &request, NOW) else {
                    panic!("{path}");
                };
                reply.header("Allow").unwrap().to_owned()
            }
        };
        let allowed: BTreeSet<&str> = allow
            .split(", ")
            .filter(|method| !["HEAD", "OPTIONS"].contains(method))
            .collect();
        assert_eq!(methods, allowed, "{path}");
    }
}

/// Checks answers against the document, in which every object is closed: what is answered beyond
/// it is an error as well.
struct Checker(Value);

impl Checker {
    fn new() -> Self {
        let mut document = document();
        let schemas = document.pointer_mut("/components/schemas").unwrap();
        for schema in schemas.as_object_mut().unwrap().values_mut() {
            if schema["properties"].is_object() && schema.get("additionalProperties").is_none() {
                schema["additionalProperties"] = Value::Bool(false);
            }
        }
        Self(document)
    }

    fn check(&self, method: &str, path: &str, reply: &Reply) {
        let what = format!("{method} {path}: {} {}", reply.status, reply.body);
        let path = path.split('?').next().unwrap();
        let Some(template) = template(path) else {
            panic!("{what}: no such path");
        };
        let operation = &self.0["paths"][template][method.to_ascii_lowercase()];
        let mut answer = &operation["responses"][reply.status.to_string()];
        if let Some(reference) = answer["$ref"].as_str() {
            answer = self.0.pointer(reference.trim_start_matches('#')).unwrap();
        }
        assert!(answer.is_object(), "{what}: the status is not described");
        for (name, header) in answer["headers"].as_object().into_iter().flatten() {
            let always = header["required"] == true;
            assert!(!always || reply.header(name).is_some(), "{what}: no {name}");
        }
        for (name, _) in &reply.headers {
            let matters = name.starts_with("X-Caro-")
                || [
                    "ETag",
                    "Retry-After",
                    "WWW-Authenticate",
                    "Link",
                    "Idempotent-Replayed",
                ]
                .contains(name);
            let described = answer["headers"][name].is_object();
            assert!(!matters || described, "{what}: {name} is not described");
        }
        let kind = reply.header("Content-Type").unwrap();
        let content = &answer["content"][kind];
        if reply.status == 304 {
            return;
        }
        assert!(content.is_object(), "{what}: {kind} is not described");
        if kind == "application/json" || kind.ends_with("+json") {
            let body: Value = serde_json::from_str(&reply.body).unwrap();
            let errors = self.errors(&content["schema"], &body);
            assert!(errors.is_empty(), "{what}: {errors:#?}");
        }
    }

    /// Whether a request's body is what the document takes.
    fn takes(&self, method: &str, path: &str, body: &Value) -> Vec<String> {
        let operation = &self.0["paths"][path][method.to_ascii_lowercase()];
        let content = &operation["requestBody"]["content"]["application/json"];
        assert!(content.is_object(), "{method} {path} takes no body");
        self.errors(&content["schema"], body)
    }

    fn errors(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut schema = schema.clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        validator
            .iter_errors(value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect()
    }
}

/// Asks, and checks what is asked and what is answered.
fn ask(desk: &mut Desk, checker: &Checker, method: &str, path: &str, body: Value) -> Reply {
    let text = match &body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let reply = if path.starts_with("/ofrep/") {
        let mut request = Incoming::get(path);
        request.method = method.to_owned();
        let mut edge = edge(Some(support::CONFIG), None);
        evaluate(&mut edge, &request, Some(text.as_bytes()), NOW)
    } else if path.starts_with("/experiments/") {
        let mut request = Incoming::get(path);
        request.method = method.to_owned();
        let config = support::document(&json!({"experiments": {path.split('/').nth(2).unwrap(): {
            "variants": {"control": 1, "other": 2}, "control": "control",
            "metrics": ["command_success", {"name": "latency_ms", "at_most": 2000}],
        }}}));
        let edge = edge(Some(&config), None);
        let reported = report(&edge, &request, Some(text.as_bytes()), NOW);
        reported.map_or_else(|refused| refused, |report| report.reply)
    } else if ["/report", "/api/events"].contains(&path.split('?').next().unwrap()) {
        let mut request = Incoming::get(path);
        request.method = method.to_owned();
        let mut edge = edge(Some(support::CONFIG), None);
        let taken = evidence(&mut edge, &request, Some(text.as_bytes()), NOW);
        taken.map_or_else(
            |refused| refused,
            |batch| {
                let fates = vec![b'c'; batch.observations.len()];
                reports::answer(&mut edge.reports, batch, &fates)
            },
        )
    } else {
        desk.send(Some(ADMIN), method, path, &[], text.as_bytes())
    };
    checker.check(method, path, &reply);
    if body != Value::Null && reply.status < 400 {
        let template = template(path.split('?').next().unwrap()).unwrap();
        let errors = checker.takes(method, template, &body);
        assert!(errors.is_empty(), "{method} {path} {body}: {errors:?}");
    }
    reply
}

#[test]
fn examples_work() {
    let checker = Checker::new();
    for (path, operations) in checker.0["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                let what = format!("{method} {path} {name}");
                let method = method.to_ascii_uppercase();
                let errors = checker.takes(&method, path, &example["value"]);
                assert!(errors.is_empty(), "{what}: {errors:?}");
                let mut desk = Desk::with(&json!({}));
                if path.ends_with("/resume") {
                    desk.admin("POST", "/rollout/v1.1.0-beta/pause", Value::Null);
                }
                if path.ends_with("/promote") || path.ends_with("/evaluate") || method == "DELETE" {
                    desk.admin("POST", "/rollout/v1.1.0-beta/plan", small_plan());
                }
                let path = filled(path) + "?dry_run=1";
                let reply = ask(
                    &mut desk,
                    &checker,
                    &method,
                    &path,
                    example["value"].clone(),
                );
                let waits = path.contains("/approve") && reply.status == 404;
                assert!(reply.status < 300 || waits, "{what}: {}", reply.body);
            }
        }
    }
}

/// One that goes on by itself.
fn small_plan() -> Value {
    let stages = json!([{"id": "one", "percentage": 25}, {"id": "two", "percentage": 30}]);
    json!({"plan": {"name": "small", "stages": stages}, "start": true})
}

#[test]
fn answers_about_plans_are_described() {
    let checker = Checker::new();
    let mut desk = Desk::with(&json!({}));
    let mut calls = |calls: Vec<(&str, &str, Value, u16)>| {
        for (method, path, body, status) in calls {
            let path = format!("/rollout/v1.1.0-beta/{path}");
            let reply = ask(&mut desk, &checker, method, &path, body);
            assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        }
    };
    let why = || json!({"force": true, "reason": "mends a leak"});
    let numbers = json!({"numbers": {"p0_open": 0, "awu": {"value": 1.5, "at": "2026-01-01T00:00:00Z", "source": "survey"}}, "checks": {"health": false}});
    calls(vec![
        ("GET", "plan", Value::Null, 409),
        ("POST", "evaluate", Value::Null, 409),
        ("GET", "report", Value::Null, 409),
        ("POST", "plan", json!({"preset": "none"}), 422),
        (
            "POST",
            "plan",
            json!({"plan": {"name": "x", "stages": []}}),
            422,
        ),
        ("POST", "plan", json!({"preset": "canary"}), 422),
        ("POST", "plan", json!({"preset": "caro"}), 200),
        ("GET", "plan", Value::Null, 200),
        ("POST", "evaluate", Value::Null, 200),
        ("POST", "promote", Value::Null, 409),
        ("POST", "plan", json!({"start": true}), 200),
        ("POST", "plan", json!({"start": true}), 409),
        ("POST", "signals", numbers, 200),
        (
            "POST",
            "signals",
            json!({"numbers": {"p0_open": {"value": 1, "at": "2036-01-01T00:00:00Z"}}}),
            422,
        ),
        ("POST", "evaluate?dry_run=1", Value::Null, 200),
        ("POST", "evaluate", Value::Null, 200),
        ("POST", "promote", Value::Null, 409),
        ("POST", "promote", json!({"force": true}), 422),
        ("POST", "approve", json!({"stage": "canary"}), 409),
        ("POST", "promote", why(), 200),
        ("POST", "approve", json!({"stage": "large_beta"}), 200),
        ("GET", "plan", Value::Null, 200),
        ("GET", "report", Value::Null, 200),
        ("GET", "report?kind=announcement", Value::Null, 200),
        ("GET", "report?kind=post-mortem", Value::Null, 200),
        ("GET", "report?kind=status&format=text", Value::Null, 200),
        ("GET", "report?kind=none", Value::Null, 400),
        ("GET", "evidence", Value::Null, 200),
        (
            "GET",
            "evidence?seconds=300&points=5&by=platform&platform=linux",
            Value::Null,
            200,
        ),
        ("GET", "evidence?by=cohort&cohort=beta", Value::Null, 200),
        ("GET", "evidence?points=49", Value::Null, 400),
        ("POST", "rollback", Value::Null, 200),
        ("POST", "resume", Value::Null, 409),
        ("DELETE", "plan", Value::Null, 200),
        ("DELETE", "plan", Value::Null, 409),
    ]);
}

#[test]
fn answers_of_the_control_api_are_described() {
    let checker = Checker::new();
    let rules = json!({"policy": {"approvals": {"full_rollout": true, "clear_stop": true}}});
    let mut desk = Desk::with(&rules);
    let mut admin = |method: &str, path: &str, body: Value, status: u16| -> Value {
        let reply = ask(&mut desk, &checker, method, path, body);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap_or(Value::Null)
    };
    let release = "/rollout/v1.1.0-beta";
    let none = || Value::Null;
    admin("POST", release, json!({"percentage": 50}), 200);
    admin(
        "POST",
        release,
        json!({"percentage": 33.125, "confirm": true}),
        200,
    );
    admin("POST", release, json!({"percentage": 1}), 409);
    admin("POST", release, json!({"percentage": 33.3333}), 422);
    admin(
        "POST",
        release,
        json!({"percentage": 100, "reason": "done"}),
        202,
    );
    admin("POST", "/rollout/v1.1.0-beta/approve", json!({}), 403);
    admin("POST", "/rollout/none/pause", none(), 404);
    admin("POST", "/rollout/None/pause", none(), 404);
    admin("POST", "/rollout/v1.1.0-beta/pause", none(), 200);
    admin(
        "POST",
        "/rollout/v1.1.0-beta/pause?dry_run=maybe",
        none(),
        400,
    );
    admin("POST", "/rollout/v1.1.0-beta/resume", none(), 200);
    let drain = json!({"percentage": 1, "over_seconds": 600, "reason": "slow"});
    admin("POST", "/rollout/v1.1.0-beta/rollback", drain, 200);
    let second = json!({"version": "1.1.0-beta.1", "percentage": 0.5, "state": "draft", "cohorts": ["internal_test"]});
    admin("PUT", "/rollout/second", second, 200);
    admin("DELETE", "/rollout/second", none(), 200);
    let patch = json!({
        "static_matcher": {"percentage": 12.5, "stage": "beta", "cohorts": null},
        "validation_retry": false, "embedded_backend": null, "reason": "first look",
    });
    admin("POST", "/features/v1.1.0-beta", patch, 200);
    admin("POST", "/features/*", json!({"static_matcher": true}), 200);
    let kills = json!({
        "telemetry_disabled": true, "features": {"static_matcher": true},
        "cohorts": {"internal_test": true}, "reason": "too much",
    });
    admin("POST", "/admin/kill-switches", kills, 200);
    admin("POST", "/admin/canary", json!({"enabled": true}), 200);
    let people = json!({"add": [{"id": "alice", "label": "Alice"}, {"ip": "2001:db8::7"}]});
    admin("POST", "/admin/canary/members", people.clone(), 200);
    admin("POST", "/admin/cohorts/internal_test/members", people, 200);
    let people = json!({"remove": [{"label": "Alice"}], "confirm": true});
    admin("POST", "/admin/cohorts/internal_test/members", people, 200);
    admin(
        "PUT",
        "/admin/cohorts/friends",
        json!({"percentage": 2, "features": ["all"]}),
        200,
    );
    admin("DELETE", "/admin/cohorts/friends", none(), 200);
    let bot = json!({"role": "bot", "label": "bot", "kind": "debug", "expires_in_seconds": 60});
    admin("POST", "/admin/tokens?dry_run=1", bot.clone(), 200);
    let minted = admin("POST", "/admin/tokens", bot, 201);
    let id = minted["token"]["id"].as_str().unwrap();
    admin("DELETE", &format!("/admin/tokens/{id}"), none(), 200);
    admin("DELETE", "/admin/tokens/none", none(), 404);
    let why = || json!({"reason": "it deletes files"});
    admin("POST", "/rollout/v1.1.0-beta/emergency-stop", none(), 422);
    admin("POST", "/rollout/v1.1.0-beta/emergency-stop", why(), 200);
    admin("POST", "/rollout/all/emergency-stop?dry_run=1", why(), 200);
    admin("POST", "/rollout/v1.1.0-beta/clear-stop", why(), 202);
    let document = admin("GET", "/admin/config", none(), 200);
    admin("PUT", "/admin/config", document, 200);
    admin("PUT", "/admin/config", json!({"schema": 1}), 422);
    for (path, status) in [
        ("/admin/kill-switches", 200),
        ("/admin/canary", 200),
        ("/admin/canary/members", 200),
        ("/admin/cohorts", 200),
        ("/admin/cohorts/internal_test", 200),
        ("/admin/cohorts/internal_test/members", 200),
        ("/admin/cohorts/none", 404),
        ("/admin/approvals", 200),
        ("/admin/tokens", 200),
        ("/admin/audit", 200),
        (
            "/admin/audit?limit=3&actor=admin&since=2026-01-01T00:00:00Z",
            200,
        ),
        ("/admin/audit?format=ndjson", 200),
        ("/admin/audit?limit=0", 400),
        ("/admin/audit/verify", 200),
        ("/admin/explain?id=alice", 200),
        ("/admin/explain?ip=192.0.2.7&release=v1.1.0-beta&at=1", 200),
        ("/admin/explain", 200),
        ("/admin/explain?ip=none", 400),
        ("/admin/explain?id=a&at=99999", 404),
        ("/ops/status.json", 200),
        ("/admin/releases", 200),
        ("/admin/features", 200),
        ("/admin/whoami", 200),
        ("/admin/lint", 200),
    ] {
        admin("GET", path, none(), status);
    }
    let waiting = admin("GET", "/admin/approvals", none(), 200);
    let id = waiting["approvals"][0]["id"].as_str().unwrap();
    admin("DELETE", &format!("/admin/approvals/{id}"), none(), 200);
}

/// What every call answers to who may not make it, and without a configuration.
#[test]
fn refusals_are_described() {
    let checker = Checker::new();
    let (mut empty, mut desk) = (Desk::empty(), Desk::with(&json!({})));
    let viewer = desk.mint("viewer");
    for operation in operations().iter().filter(|o| o.call.is_some()) {
        let (method, path) = (operation.method, filled(operation.path));
        let may = operation.call.is_some_and(|call| {
            let role = "viewer".parse().unwrap();
            call.allows(role)
        });
        for (token, status) in [
            (None, Some(401)),
            (Some("wrong"), Some(401)),
            (Some(viewer.as_str()), (!may).then_some(403)),
        ] {
            let reply = desk.send(token, method, &path, &[], b"");
            checker.check(method, &path, &reply);
            assert!(status.is_none_or(|s| s == reply.status), "{method} {path}");
        }
        let headers: [&[(&str, &str)]; 4] = [
            &[],
            &[("If-Match", "\"99\"")],
            &[("Content-Type", "text/html")],
            &[("Idempotency-Key", "")],
        ];
        for headers in headers {
            for body in ["", "{", "[]", "{\"unknown\":1}", "{\"reason\":\"why\"}"] {
                let reply = desk.send(Some(ADMIN), method, &path, headers, body.as_bytes());
                checker.check(method, &path, &reply);
                let reply = empty.send(Some(ADMIN), method, &path, headers, body.as_bytes());
                checker.check(method, &path, &reply);
            }
        }
        let large = vec![b' '; (1 << 20) + 1];
        let reply = desk.send(Some(ADMIN), method, &path, &[], &large);
        checker.check(method, &path, &reply);
    }
}

/// The edge's answers, with a configuration, without, and under a stop.
#[test]
fn answers_of_the_edge_are_described() {
    let checker = Checker::new();
    let paths = [
        "/",
        "/?id=a%00",
        "/install.sh",
        "/install.ps1?id=a",
        "/stable",
        "/beta",
        "/1.0.4",
        "/v1.1.0-beta",
        "/v9.9.9",
        "/nonsense",
        "/stable/install.sh",
        "/beta/install.ps1",
        "/rollout/v1.1.0-beta",
        "/rollout/none",
        "/features/v1.1.0-beta",
        "/features/v1.1.0-beta?id=a%00",
        "/features/none",
        "/status.json",
        "/history.json",
        "/feed.atom",
        "/health",
        "/metrics",
    ];
    let look = LedgerLook::default;
    for (config, stop) in [
        (Some(support::CONFIG), None),
        (Some(support::CONFIG), Some("all")),
        (Some("{"), None),
        (None, None),
    ] {
        let read = || edge(config, stop);
        let never = || Edge::new(Defaults::default(), Vec::new());
        for mut edge in [read(), never()] {
            edge.ledger = Some((Ok(look()), NOW));
            for path in paths {
                let request = Incoming::get(path);
                let reply = answer(&mut edge, &request);
                checker.check("GET", path, &reply);
                if let Some(tag) = reply.header("ETag") {
                    let again = answer(&mut edge, &request.with("If-None-Match", tag));
                    assert_eq!(again.status, 304);
                    checker.check("GET", path, &again);
                }
            }
        }
    }
}

fn answer(edge: &mut Edge, request: &Incoming) -> Reply {
    match handle(edge, request, NOW) {
        Answer::Kept(id) => edge.kept.reply(id).unwrap().clone(),
        Answer::NotModified(id) => Reply {
            status: 304,
            ..edge.kept.reply(id).unwrap().clone()
        },
        Answer::Fresh(reply) => reply,
        Answer::AskHistory => loop {
            match history(edge, request, NOW, NOW) {
                Turn::Serve(reply) => return reply,
                Turn::Wait => panic!("nobody else asks"),
                Turn::Ask => {
                    let knows = !edge.snapshot.is_fallback();
                    let told = knows.then(|| Desk::with(&json!({})).ledger.history(NOW).unwrap());
                    edge.history.took(told, "https://get.caro.sh", NOW);
                }
            }
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_problem_has_a_place() {
    let document = document();
    let problems = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
        .as_array()
        .unwrap();
    assert_eq!(problems.len(), ProblemType::ALL.len());
    let described = &document["components"]["responses"];
    for kind in ProblemType::ALL {
        let name = format!("Problem{}", kind.status());
        assert!(described[&name].is_object(), "{name}");
    }
}
