//! The HTTP contract of the data plane, run without a runtime. `tests/golden/contract.json` holds
//! the cases, `tests/golden/README.md` its format; `tests/http` sends the same cases to the built
//! Worker.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::api::edge::Edge;
use caro_edge::api::handle::{evaluate, evidence, handle, report};
use caro_edge::api::reply::{Answer, Reply, asset_headers};
use caro_edge::api::reports;
use caro_edge::wire::looks::LedgerLook;
use serde_json::{Value, json};

use support::{Incoming, NOW, document, edge};

const CASES: &str = include_str!("golden/contract.json");

#[test]
fn the_contract_holds() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    let mut complaints = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        check_fields(name, case);
        for complaint in check(case) {
            complaints.push(format!("{name}: {complaint}"));
        }
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    assert!(cases.len() > 200, "cases got lost");
}

/// A mistyped expectation would expect nothing.
fn check_fields(name: &str, case: &Value) {
    let levels: [(&Value, &[&str]); 4] = [
        (case, &["name", "config", "stop", "request", "expect"]),
        (
            &case["request"],
            &["method", "path", "headers", "body", "again"],
        ),
        (&case["expect"], &["status", "file", "headers", "body"]),
        (
            &case["expect"]["body"],
            &["equals", "contains", "not_contains", "json"],
        ),
    ];
    for (value, known) in levels {
        for key in value.as_object().into_iter().flat_map(|o| o.keys()) {
            assert!(known.contains(&key.as_str()), "{name}: unknown field {key}");
        }
    }
}

fn check(case: &Value) -> Vec<String> {
    let text = match case.get("config") {
        None => Some(document(&json!({}))),
        Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(patch) => Some(document(patch)),
    };
    let mut edge = edge(text.as_deref(), case["stop"].as_str());
    edge.ledger = Some((Ok(LedgerLook::default()), NOW));
    let mut request = Incoming::get(case["request"]["path"].as_str().unwrap());
    request.method = case["request"]["method"].as_str().unwrap().to_owned();
    for (name, value) in case["request"]["headers"].as_object().into_iter().flatten() {
        request = request.with(name, value.as_str().unwrap());
    }
    let body = match &case["request"]["body"] {
        Value::Null => String::new(),
        Value::String(raw) => raw.clone(),
        json => json.to_string(),
    };
    let mut answer = Received::of(&mut edge, &request, &body);
    if let Some(template) = case["request"]["again"].as_str() {
        let etag = answer.header("ETag").expect("an ETag to ask again with");
        request = request.with("If-None-Match", &template.replace("{etag}", etag));
        answer = Received::of(&mut edge, &request, &body);
    }
    let mut complaints = answer.check(&case["expect"]);
    complaints.extend(answer.check_always());
    complaints
}

/// An answer as the Worker carries it out.
#[derive(Debug)]
struct Received {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// HEAD, 204 and 304 have no body.
    is_bodiless: bool,
    file: Option<String>,
}

impl Received {
    fn of(edge: &mut Edge, request: &Incoming, body: &str) -> Self {
        let mut answer = handle(edge, request, NOW);
        if answer == Answer::Evaluate {
            answer = Answer::Fresh(evaluate(edge, request, Some(body.as_bytes()), NOW));
        }
        if answer == Answer::Report {
            // What it counts is the tally's; here it counts.
            let reported = report(edge, request, Some(body.as_bytes()), NOW);
            answer = Answer::Fresh(reported.map_or_else(|refused| refused, |r| r.reply));
        }
        if answer == Answer::Evidence {
            let taken = evidence(edge, request, Some(body.as_bytes()), NOW);
            answer = Answer::Fresh(taken.map_or_else(
                |refused| refused,
                |batch| {
                    let fates = vec![b'c'; batch.observations.len()];
                    reports::answer(&mut edge.reports, batch, &fates)
                },
            ));
        }
        let (status, reply) = match &answer {
            Answer::Fresh(reply) => (reply.status, reply),
            Answer::Kept(id) => {
                let reply = edge.kept.reply(*id).unwrap();
                (reply.status, reply)
            }
            Answer::NotModified(id) => (304, edge.kept.reply(*id).unwrap()),
            Answer::Asset(path) => return Self::file(path),
            Answer::Evaluate | Answer::Report | Answer::Evidence => panic!("it was evaluated"),
            Answer::Stream => panic!("streams are tested on workerd"),
            Answer::AskLedger | Answer::AskHistory => panic!("the ledger was asked already"),
            Answer::Control => panic!("{} {} is in control.json", request.method, request.url),
        };
        let Reply { headers, body, .. } = reply;
        let is_bodiless = request.method == "HEAD" || status == 204 || status == 304;
        Self {
            status,
            headers: headers
                .iter()
                .map(|(n, v)| ((*n).to_owned(), v.clone()))
                .collect(),
            body: if is_bodiless {
                String::new()
            } else {
                body.clone()
            },
            is_bodiless,
            file: None,
        }
    }

    fn file(path: &str) -> Self {
        let headers = asset_headers(path);
        Self {
            status: 200,
            headers: headers
                .into_iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            body: String::new(),
            is_bodiless: true,
            file: Some(path.to_owned()),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert_eq!(found.next(), None, "{name} is there twice");
        value
    }

    fn check(&self, expect: &Value) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut complain = |text: String| complaints.push(text);
        match expect["file"].as_str() {
            None if json!(self.status) != expect["status"] => {
                complain(format!("status {}, not {}", self.status, expect["status"]));
            }
            file if self.file.as_deref() != file => {
                complain(format!("file {:?}, not {file:?}", self.file));
            }
            _ => {}
        }
        for (name, wanted) in expect["headers"].as_object().into_iter().flatten() {
            let got = self.header(name);
            let fits = match wanted {
                Value::Null => got.is_none(),
                Value::String(text) => got == Some(text),
                how => got.is_some_and(|got| {
                    match (how["prefix"].as_str(), how["contains"].as_str()) {
                        (Some(prefix), None) => got.starts_with(prefix),
                        (None, Some(part)) => got.contains(part),
                        _ => panic!("{name}: say prefix or contains"),
                    }
                }),
            };
            if !fits {
                complain(format!("{name} is {got:?}, not {wanted}"));
            }
        }
        let body = &expect["body"];
        if let Some(text) = body["equals"].as_str()
            && self.body != text
        {
            complain(format!("body {:?}, not {text:?}", self.body));
        }
        for (field, wanted) in [("contains", true), ("not_contains", false)] {
            for part in body[field].as_array().into_iter().flatten() {
                if self.body.contains(part.as_str().unwrap()) != wanted {
                    complain(format!("body {field} {part} fails: {:?}", self.body));
                }
            }
        }
        if let Some(wanted) = body.get("json") {
            let got = serde_json::from_str(&self.body).unwrap_or(Value::Null);
            if !holds(&got, wanted) {
                complain(format!("body {got}, not {wanted}"));
            }
        }
        complaints
    }

    /// What every answer promises, whatever was asked.
    fn check_always(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            (
                "Strict-Transport-Security",
                "max-age=31536000; includeSubDomains",
            ),
        ] {
            if self.header(name) != Some(value) {
                complaints.push(format!("no {name}: {value}"));
            }
        }
        let csp = self.header("Content-Security-Policy").unwrap_or_default();
        if !csp.starts_with("default-src 'none'") || !csp.ends_with("frame-ancestors 'none'") {
            complaints.push("no strict Content-Security-Policy".to_owned());
        }
        let is_script = self.header("Content-Type") == Some("text/plain; charset=utf-8");
        if is_script && !self.is_bodiless {
            if self.body.is_empty() || !self.body.is_ascii() || self.body.contains('\r') {
                complaints.push("the script is empty, or not ASCII with LF".to_owned());
            }
            if self.status != 200 && !self.body.ends_with("\nexit 1\n") {
                complaints.push("the shell would not see this failure".to_owned());
            }
        }
        complaints
    }
}

/// Whether all that is wanted is there: members of objects by name, items of arrays by position.
fn holds(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, w)| got.get(key).is_some_and(|g| holds(g, w))),
        (Value::Array(got), Value::Array(wanted)) => {
            got.len() == wanted.len() && got.iter().zip(wanted).all(|(g, w)| holds(g, w))
        }
        _ => got == wanted,
    }
}
