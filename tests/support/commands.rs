//! Random things that people, the clock and KV do to a ledger.

use caro_edge::core::ledger::kv::{Seen, Value as KvValue};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::desk::{ADMIN, Desk};
use crate::support::document;

/// Who asks: the admin, then one of each role.
pub const WHO: [&str; 6] = [
    "admin",
    "release_manager",
    "engineering_lead",
    "engineer",
    "bot",
    "viewer",
];

#[derive(Debug, Clone)]
pub enum Command {
    Call {
        who: usize,
        method: &'static str,
        path: String,
        body: Value,
    },
    /// A person's edit of KV: a patch of the golden document, and by how much its revision leads.
    Edit(Value, i64),
    /// The stop's key, set by hand.
    HandStop(String),
    /// Time passes, and the ledger does what is due.
    Tick(u64),
}

/// A command, and whether the store fails while it is carried out.
pub fn commands(length: usize) -> impl Strategy<Value = Vec<(Command, bool)>> {
    let command = prop_oneof![
        12 => call(),
        1 => (config_patch(), -3..6_i64).prop_map(|(patch, lead)| Command::Edit(patch, lead)),
        1 => select(vec!["all", "v1.1.0-beta", "v2", "1.1.0-beta.2", "tyop", ""])
            .prop_map(|text| Command::HandStop(text.to_owned())),
        2 => (0..90_000_000_u64).prop_map(Command::Tick),
        4 => (0..9_000_u64).prop_map(Command::Tick),
    ];
    prop::collection::vec((command, prop::bool::weighted(0.1)), length)
}

fn call() -> impl Strategy<Value = Command> {
    // Most by those who may.
    let who = prop_oneof![3 => 0..2_usize, 1 => 0..WHO.len()];
    let what = prop_oneof![
        4 => steering(),
        2 => features().prop_map(|(scope, body)| ("POST", format!("/features/{scope}"), body)),
        1 => switches(),
        2 => people(),
        1 => config_patch().prop_map(|patch| {
            let whole = serde_json::from_str(&document(&patch)).unwrap();
            ("PUT", "/admin/config?confirm=1".to_owned(), whole)
        }),
    ];
    (who, what).prop_map(|(who, (method, path, body))| Command::Call {
        who,
        method,
        path,
        body,
    })
}

fn release() -> impl Strategy<Value = &'static str> {
    select(vec!["v1.1.0-beta", "v2", "v3"])
}

fn percentage() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..=100_000_u32).prop_map(|t| json!(f64::from(t) / 1000.0)),
        select(vec![json!(0), json!(5), json!(100), json!(0.001)]),
    ]
}

fn steering() -> impl Strategy<Value = (&'static str, String, Value)> {
    let state = select(vec!["active", "draft", "complete"]);
    let version = select(vec!["1.1.0-beta.1", "1.1.0-beta.2", "1.0.3"]);
    prop_oneof![
        4 => (release(), percentage()).prop_map(|(name, percentage)| {
            let body = json!({"percentage": percentage, "confirm": true});
            ("POST", format!("/rollout/{name}"), body)
        }),
        1 => (release(), state.clone(), version.clone()).prop_map(|(name, state, version)| {
            let body = json!({"state": state, "version": version, "confirm": true});
            ("POST", format!("/rollout/{name}"), body)
        }),
        2 => (release(), percentage(), state, version).prop_map(|(name, p, state, version)| {
            let body = json!({"percentage": p, "state": state, "version": version, "confirm": true});
            ("PUT", format!("/rollout/{name}"), body)
        }),
        1 => release().prop_map(|n| ("DELETE", format!("/rollout/{n}?confirm=1"), Value::Null)),
        4 => (
            prop_oneof![2 => release(), 1 => Just("all")],
            select(vec!["emergency-stop", "clear-stop", "clear-stop", "approve", "pause", "resume"]),
        )
            .prop_map(|(name, what)| {
                ("POST", format!("/rollout/{name}/{what}?reason=because"), Value::Null)
            }),
        2 => (release(), percentage(), select(vec![0, 1, 30, 3600, 86_400])).prop_map(
            |(name, percentage, over)| {
                let body = json!({"percentage": percentage, "over_seconds": over});
                ("POST", format!("/rollout/{name}/rollback"), body)
            }
        ),
    ]
}

fn features() -> impl Strategy<Value = (&'static str, Value)> {
    let key = select(vec![
        "validation_retry",
        "confidence_refinement",
        "new_parser",
        "newest",
    ]);
    let value = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(Value::Null),
        percentage().prop_map(|p| json!({"percentage": p})),
        percentage().prop_map(|p| json!({"percentage": p, "stage": "development"})),
        Just(json!({"stage": "ga"})),
        Just(json!({"stage": null, "cohorts": ["internal_test"]})),
    ];
    let patch = prop::collection::btree_map(key, value, 1..3);
    let scope = select(vec!["*", "v1.1.0-beta", "v2"]);
    (scope, patch.prop_map(|patch| json!(patch)))
}

fn switches() -> impl Strategy<Value = (&'static str, String, Value)> {
    let body = prop_oneof![
        any::<bool>().prop_map(|on| json!({"canary": on, "reason": "x"})),
        any::<bool>().prop_map(|on| json!({"features": {"validation_retry": on}, "reason": "x"})),
        any::<bool>().prop_map(|on| json!({"cohorts": {"internal_test": on}, "reason": "x"})),
    ];
    prop_oneof![
        3 => body.prop_map(|body| ("POST", "/admin/kill-switches".to_owned(), body)),
        1 => any::<bool>().prop_map(|on| {
            ("POST", "/admin/canary".to_owned(), json!({"enabled": on, "confirm": true}))
        }),
    ]
}

fn people() -> impl Strategy<Value = (&'static str, String, Value)> {
    let someone = select(vec!["a", "b", "c"]).prop_map(|id| json!({"id": id, "label": id}));
    let list = select(vec!["canary", "cohorts/internal_test", "cohorts/friends"]);
    prop_oneof![
        (list, someone, any::<bool>()).prop_map(|(list, someone, add)| {
            let field = if add { "add" } else { "remove" };
            (
                "POST",
                format!("/admin/{list}/members?confirm=1"),
                json!({field: [someone]}),
            )
        }),
        percentage().prop_map(|p| {
            (
                "PUT",
                "/admin/cohorts/friends?confirm=1".to_owned(),
                json!({"percentage": p}),
            )
        }),
        Just((
            "DELETE",
            "/admin/cohorts/friends?confirm=1".to_owned(),
            Value::Null
        )),
        (select(WHO[1..].to_vec()), 60..86_400_u64).prop_map(|(role, seconds)| {
            let body = json!({"role": role, "label": "x", "expires_in_seconds": seconds});
            ("POST", "/admin/tokens".to_owned(), body)
        }),
        // The ids of a desk's tokens count up.
        (0..60_u64).prop_map(|n| ("DELETE", format!("/admin/tokens/{n:012x}"), Value::Null)),
    ]
}

/// The golden document, changed by hand.
pub fn config_patch() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({})),
        (percentage(), select(vec!["active", "paused", "stopped"])).prop_map(|(p, state)| {
            json!({"releases": {"v1.1.0-beta": {"percentage": p, "state": state}}})
        }),
        percentage().prop_map(|p| {
            json!({"releases": {"v2": {"version": "1.1.0-beta.1", "percentage": p, "state": "active"}}})
        }),
        Just(json!({"releases": null, "features": null})),
        any::<bool>().prop_map(|on| json!({"kill_switches": {"telemetry_disabled": on}})),
        (any::<bool>(), any::<bool>()).prop_map(|(full, clear)| {
            json!({"policy": {"approvals": {"full_rollout": full, "clear_stop": clear}}})
        }),
        // Not valid.
        Just(json!({"releases": {"v1.1.0-beta": {"percentage": 101}}})),
    ]
}

/// A desk with the golden document and a token of each of [`WHO`].
pub fn staffed() -> (Desk, Vec<String>) {
    let mut desk =
        Desk::with(&json!({"features": {"*": {"new_parser": {"stage": "development"}}}}));
    let mut tokens = vec![ADMIN.to_owned()];
    tokens.extend(WHO[1..].iter().map(|role| desk.mint(role)));
    (desk, tokens)
}

/// Carries a command out.
pub fn run(desk: &mut Desk, tokens: &[String], command: &Command) -> u16 {
    let revision = desk.ledger.live.state.revision as i64;
    let look = |desk: &mut Desk, config: Option<String>, stop: Option<String>| {
        let value = |text| KvValue {
            text,
            metadata: None,
        };
        let seen = Seen {
            config: config.map(value),
            stop: stop.map(value),
        };
        desk.ledger.look(&seen, desk.now).map_or(503, |()| 200)
    };
    match command {
        Command::Call {
            who,
            method,
            path,
            body,
        } => desk.ask(&tokens[*who], method, path, body.clone()).0,
        Command::Edit(patch, lead) => {
            let mut edit: Value = serde_json::from_str(&document(patch)).unwrap();
            edit["revision"] = json!((revision + lead).max(0));
            look(desk, Some(edit.to_string()), None)
        }
        Command::HandStop(text) => look(desk, None, Some(text.clone())),
        Command::Tick(millis) => {
            desk.now = desk.now.plus_millis(*millis);
            desk.ledger.tick(desk.now).map_or(503, |()| 200)
        }
    }
}
