//! The control API, run without a runtime. `tests/golden/control.json` holds the stories,
//! `tests/golden/README.md` their format; `tests/http/control.test.mjs` tells the same ones to the
//! built Worker.

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

use std::collections::BTreeMap;

use caro_edge::api::reply::Reply;
use serde_json::{Value, json};

use desk::{ADMIN, Desk};

const STORIES: &str = include_str!("golden/control.json");

#[test]
fn the_stories_hold() {
    let stories: Vec<Value> = serde_json::from_str(STORIES).unwrap();
    let mut complaints = Vec::new();
    let mut names = Vec::new();
    for story in &stories {
        let name = story["name"].as_str().unwrap();
        known(name, story, &["name", "config", "steps"]);
        names.push(name);
        complaints.extend(
            Story::tell(story)
                .into_iter()
                .map(|c| format!("{name}\n  {c}")),
        );
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    names.sort_unstable();
    names.dedup();
    assert!(
        names.len() == stories.len() && names.len() >= 60,
        "stories got lost"
    );
}

/// A mistyped expectation would expect nothing.
fn known(name: &str, value: &Value, fields: &[&str]) {
    for key in value.as_object().into_iter().flat_map(|o| o.keys()) {
        assert!(
            fields.contains(&key.as_str()),
            "{name}: unknown field {key}"
        );
    }
}

struct Story {
    desk: Desk,
    /// What steps took from answers, for later ones.
    captured: BTreeMap<String, Value>,
    tokens: BTreeMap<String, String>,
}

impl Story {
    /// Everything that does not go as told.
    fn tell(story: &Value) -> Vec<String> {
        let desk = match story.get("config") {
            Some(Value::Null) => Desk::empty(),
            Some(patch) => Desk::with(patch),
            None => Desk::with(&json!({})),
        };
        let mut told = Self {
            desk,
            captured: BTreeMap::new(),
            tokens: BTreeMap::new(),
        };
        let steps = story["steps"].as_array().unwrap();
        // Tokens first, so that minting does not come between two revisions.
        for who in steps.iter().map(|step| step["as"].as_str().unwrap()) {
            let is_role = who.parse::<caro_edge::core::role::Role>().is_ok();
            if is_role && !told.tokens.contains_key(who) {
                let token = told.desk.mint(who);
                told.tokens.insert(who.to_owned(), token);
            }
        }
        let number = |i: usize| format!("step {}", i + 1);
        let complaints = steps.iter().enumerate().flat_map(|(i, step)| {
            let complaints = told.step(step, &number(i));
            complaints
                .into_iter()
                .map(move |c| format!("{}: {c}", number(i)))
        });
        complaints.collect()
    }

    fn token(&self, who: &str) -> Option<String> {
        match who {
            "none" => None,
            "bad" => Some(format!("caro_{}", "0".repeat(64))),
            "admin" => Some(ADMIN.to_owned()),
            role if self.tokens.contains_key(role) => self.tokens.get(role).cloned(),
            captured => Some(self.captured[captured].as_str().unwrap().to_owned()),
        }
    }

    fn step(&mut self, step: &Value, name: &str) -> Vec<String> {
        let fields = [
            "as", "method", "path", "headers", "body", "capture", "expect",
        ];
        known(name, step, &fields);
        let token = self.token(step["as"].as_str().unwrap());
        let path = self.fill(step["path"].as_str().unwrap());
        let headers: Vec<(String, String)> = pairs(&step["headers"])
            .map(|(name, value)| (name.clone(), self.fill(value.as_str().unwrap())))
            .collect();
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let body = self.body(&step["body"]);
        let method = step["method"].as_str().unwrap();
        let reply = self
            .desk
            .send(token.as_deref(), method, &path, &headers, body.as_bytes());
        let json = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        for (name, pointer) in pairs(&step["capture"]) {
            let value = json.pointer(pointer.as_str().unwrap());
            let Some(value) = value else {
                return vec![format!(
                    "nothing at {pointer} of {} {}",
                    reply.status, reply.body
                )];
            };
            self.captured.insert(name.clone(), value.clone());
        }
        let expect = self.fill_json(&step["expect"]);
        check(&reply, &json, &expect, name)
    }

    fn body(&self, body: &Value) -> String {
        match (&body["raw"], &body["repeat"], &body["times"]) {
            (Value::String(text), ..) => text.clone(),
            (_, Value::String(text), Value::Number(n)) => text.repeat(n.as_u64().unwrap() as usize),
            _ if body.is_null() => String::new(),
            _ => self.fill_json(body).to_string(),
        }
    }

    /// `{name}`, `{name+1}` and `{name-1}` in a text.
    fn fill(&self, text: &str) -> String {
        self.places()
            .fold(text.to_owned(), |text, (place, value)| match value {
                Value::String(s) => text.replace(&place, &s),
                value => text.replace(&place, &value.to_string()),
            })
    }

    /// The same in JSON; a text that is nothing else becomes the value itself.
    fn fill_json(&self, json: &Value) -> Value {
        match json {
            Value::String(text) => self
                .places()
                .find(|(place, _)| place == text)
                .map_or_else(|| json!(self.fill(text)), |(_, value)| value),
            Value::Array(items) => items.iter().map(|item| self.fill_json(item)).collect(),
            Value::Object(entries) => {
                let entries = entries.iter();
                entries
                    .map(|(k, v)| (k.clone(), self.fill_json(v)))
                    .collect()
            }
            other => other.clone(),
        }
    }

    fn places(&self) -> impl Iterator<Item = (String, Value)> {
        self.captured.iter().flat_map(|(name, value)| {
            let around = (-9..=9).filter(|by| *by != 0).filter_map(move |by: i64| {
                let moved = value.as_i64()? + by;
                Some((format!("{{{name}{by:+}}}"), json!(moved)))
            });
            std::iter::once((format!("{{{name}}}"), value.clone())).chain(around)
        })
    }
}

fn pairs(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn check(reply: &Reply, json: &Value, expect: &Value, name: &str) -> Vec<String> {
    let fields = [
        "status",
        "problem",
        "headers",
        "json",
        "lines",
        "contains",
        "not_contains",
    ];
    known(name, expect, &fields);
    let mut complaints = Vec::new();
    if json!(reply.status) != expect["status"] {
        complaints.push(format!("status {}, not {}", reply.status, expect["status"]));
    }
    if let Some(slug) = expect["problem"].as_str() {
        let is_it = json["type"] == format!("urn:caro-edge:problem:{slug}")
            && json["status"] == expect["status"]
            && json["detail"]
                .as_str()
                .is_some_and(|text| text.ends_with(['.', ')', '…']))
            && reply.header("Content-Type") == Some("application/problem+json");
        if !is_it {
            complaints.push(format!("no problem {slug}"));
        }
    }
    for (name, wanted) in pairs(&expect["headers"]) {
        let got = reply.header(name);
        let fits = match wanted {
            Value::Null => got.is_none(),
            Value::String(text) => got == Some(text),
            Value::Number(n) => got == Some(&n.to_string()),
            how => got.is_some_and(|got| got.contains(how["contains"].as_str().unwrap())),
        };
        if !fits {
            complaints.push(format!("{name} is {got:?}, not {wanted}"));
        }
    }
    if let Some(wanted) = expect.get("json")
        && let Err(at) = holds(json, wanted)
    {
        complaints.push(format!("not as wanted at {at}"));
    }
    if let Some(wanted) = expect.get("lines") {
        let lines = reply
            .body
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or(json!(line)));
        if let Err(at) = holds(&lines.collect::<Vec<Value>>().into(), wanted) {
            complaints.push(format!("lines not as wanted at {at}"));
        }
    }
    for (field, wanted) in [("contains", true), ("not_contains", false)] {
        for part in expect[field].as_array().into_iter().flatten() {
            if reply.body.contains(part.as_str().unwrap()) != wanted {
                complaints.push(format!("{field} {part} fails"));
            }
        }
    }
    if let Some(last) = complaints.last_mut() {
        last.push_str(&format!("\n    {:.1500}", reply.body));
    }
    complaints
}

/// Whether all that is wanted is there, or where it is not: members of objects by name, items of
/// arrays by position.
fn holds(got: &Value, wanted: &Value) -> Result<(), String> {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => wanted.iter().try_for_each(|(key, w)| {
            let got = got.get(key).ok_or_else(|| format!("/{key}: missing"))?;
            holds(got, w).map_err(|at| format!("/{key}{at}"))
        }),
        (Value::Array(got), Value::Array(wanted)) if got.len() == wanted.len() => {
            let mut both = got.iter().zip(wanted).enumerate();
            both.try_for_each(|(i, (g, w))| holds(g, w).map_err(|at| format!("/{i}{at}")))
        }
        _ if got == wanted => Ok(()),
        // 50 and 50.0 are one number.
        _ if got.as_f64().is_some() && got.as_f64() == wanted.as_f64() => Ok(()),
        _ => Err(format!(": {got}, not {wanted}")),
    }
}
