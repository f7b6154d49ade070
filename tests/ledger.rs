//! The ledger: whatever is done to it, its log, its checkpoints and its state say the same, and what
//! must hold holds after each step.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/commands.rs"]
mod commands;
#[path = "support/desk.rs"]
mod desk;
#[path = "support/memory.rs"]
mod memory;
mod support;

use std::sync::OnceLock;

use caro_edge::api::control::ledger::state_at;
use caro_edge::api::ports::Stored;
use caro_edge::core::config::{Config, MAX_BYTES};
use caro_edge::core::ledger::State;
use caro_edge::core::ledger::event::{Change, GENESIS, Row};
use caro_edge::core::ledger::kv::{self, Publication};
use proptest::prelude::*;
use serde_json::{Value, json};

use commands::{Command, WHO, commands, run, staffed};
use desk::{ADMIN, Desk};
use memory::Memory;

/// The log from its first row on.
fn replayed(rows: &[Stored]) -> State {
    rows.iter().fold(State::default(), |mut state, stored| {
        state.fold(&Row::parse(&stored.text).unwrap(), stored.hash.clone());
        state
    })
}

fn document(state: &State) -> Value {
    serde_json::from_str(&state.document.text()).unwrap()
}

/// What holds after any step, and between the state before and the one after.
fn check_step(before: &State, desk: &Desk, command: &Command, status: u16) {
    let after = &desk.ledger.live.state;
    // The document can always be read: the edge gets it.
    let published = after.published().unwrap();
    let config = Config::parse(&published).unwrap_or_else(|e| panic!("{e:?}: {published}"));
    assert_eq!(Some(&config), desk.ledger.live.config.as_ref());
    // What is stopped stays so, whatever is sent.
    let document_after = document(after);
    for (name, release) in document_after["releases"].as_object().into_iter().flatten() {
        if after.stops.contains("all") || after.stops.contains(name.as_str()) {
            assert_eq!(release["percentage"], 0, "{name} after {command:?}");
            let state = release["state"].as_str().unwrap();
            assert!(["stopped", "draft"].contains(&state), "{name} is {state}");
        }
    }
    let lifts = |path: &str| path.contains("/clear-stop") || path.contains("/approve");
    let is_lift = matches!(command, Command::Call { path, .. } if lifts(path));
    for scope in before.stops.keys().filter(|_| !is_lift) {
        assert!(
            after.stops.contains(scope.as_str()),
            "{scope} lifted by {command:?}"
        );
    }
    if let Command::Call { who, .. } = command {
        if !(200..300).contains(&status) {
            assert_eq!(
                before.text(),
                after.text(),
                "refused, and done: {command:?}"
            );
        }
        check_reach(before, after, WHO[*who]);
    }
}

/// Nobody changes anything outside of their role's reach.
fn check_reach(before: &State, after: &State, role: &str) {
    if ["admin", "release_manager"].contains(&role) {
        return;
    }
    if ["bot", "viewer"].contains(&role) {
        assert_eq!(before.text(), after.text(), "changed by a {role}");
        return;
    }
    let (mut old, mut new) = (document(before), document(after));
    let features = |document: &mut Value| document.as_object_mut().unwrap().remove("features");
    let (old_features, new_features) = (features(&mut old), features(&mut new));
    assert_eq!(old, new, "by an {role}");
    assert!(
        before.stops == after.stops && before.tokens == after.tokens,
        "by an {role}"
    );
    assert!(before.drains == after.drains && before.proposals == after.proposals);
    if role == "engineer" {
        let (old, new) = (
            old_features.unwrap_or_default(),
            new_features.unwrap_or_default(),
        );
        let at = |features: &Value, scope: &str, key: &str| features[scope][key].clone();
        let places = |features: &Value| -> Vec<(String, String)> {
            let scopes = features.as_object().into_iter().flatten();
            let keys = |(s, flags): (&String, &Value)| -> Vec<(String, String)> {
                let keys = flags.as_object().unwrap().keys();
                keys.map(|k| (s.clone(), k.clone())).collect()
            };
            scopes.flat_map(keys).collect()
        };
        for (scope, key) in places(&old).into_iter().chain(places(&new)) {
            let (was, is) = (at(&old, &scope, &key), at(&new, &scope, &key));
            let development = |flag: &Value| flag.is_null() || flag["stage"] == "development";
            assert!(
                was == is || (development(&was) && development(&is)),
                "{scope}/{key}: {was} {is}"
            );
        }
    }
}

/// The log, the checkpoints and the live state agree.
fn check_whole(desk: &mut Desk) {
    let live = desk.ledger.live.state.text();
    let kept = &desk.ledger.store.kept;
    assert_eq!(replayed(&kept.log).text(), live);
    assert_eq!(state_at(&desk.ledger.store, u64::MAX).unwrap().text(), live);
    for (seq, text) in &kept.checkpoints {
        let (before, after) = kept.log.split_at(*seq as usize);
        assert_eq!(replayed(before).text(), *text, "checkpoint {seq}");
        let mut state = State::parse(text).unwrap();
        for stored in after {
            state.fold(&Row::parse(&stored.text).unwrap(), stored.hash.clone());
        }
        assert_eq!(state.text(), live, "from checkpoint {seq}");
    }
    assert_eq!(desk.reopened().ledger.live.state.text(), live);
    let mut prev = GENESIS.to_owned();
    let mut revision = 0;
    for (i, stored) in kept.log.iter().enumerate() {
        let row = Row::parse(&stored.text).unwrap();
        assert_eq!(row.text(), stored.text);
        assert_eq!((row.seq, stored.seq), (i as u64 + 1, i as u64 + 1));
        assert_eq!(row.prev, prev);
        assert_eq!(row.revision, stored.revision);
        if row.action == "config.adopt" {
            assert!(row.revision > revision, "row {}", row.seq);
        } else {
            assert_eq!(row.revision, revision + 1, "row {}", row.seq);
        }
        revision = row.revision;
        prev = Row::hash(&stored.text);
        assert_eq!(stored.hash, prev);
    }
    let verified = desk.verify();
    assert_eq!(verified["ok"], true, "{verified}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_done_the_log_adds_up(commands in commands(160)) {
        let (mut desk, tokens) = staffed();
        for (command, fails) in &commands {
            let before = desk.ledger.live.state.clone();
            let kept = desk.ledger.store.kept.clone();
            if *fails {
                desk.ledger.store.fail_next();
            }
            let writes = desk.ledger.store.writes;
            let status = run(&mut desk, &tokens, command);
            let failed = *fails && desk.ledger.store.writes > writes;
            desk.ledger.store.fails_at = None;
            if failed {
                // In no case is a part of it there.
                prop_assert_eq!(status, 503, "{:?}", command);
                prop_assert_eq!(&desk.ledger.live.state.text(), &before.text());
                prop_assert_eq!(&desk.ledger.store.kept, &kept);
            }
            check_step(&before, &desk, command, status);
        }
        check_whole(&mut desk);
    }
}

/// Two checkpoints and rows before, between and after them. Made once: it takes a while.
fn long() -> Desk {
    static LONG: OnceLock<Memory> = OnceLock::new();
    Desk::open(LONG.get_or_init(|| filled().ledger.store).clone())
}

fn filled() -> Desk {
    let (mut desk, _) = staffed();
    for i in 0..70 {
        desk.admin(
            "POST",
            "/rollout/v1.1.0-beta",
            json!({"percentage": i, "confirm": true}),
        );
        desk.admin("POST", "/features/*", json!({"new_parser": i % 2 == 0}));
        desk.admin(
            "POST",
            "/admin/tokens",
            json!({"role": "bot", "label": format!("bot {i}")}),
        );
        desk.now = desk.now.plus_millis(1_001);
    }
    desk
}

#[test]
fn a_long_log_adds_up_from_each_of_its_checkpoints() {
    let mut desk = long();
    assert_eq!(desk.ledger.store.kept.checkpoints.len(), 2);
    check_whole(&mut desk);
}

#[test]
fn a_checkpoint_of_another_layout_is_not_read() {
    let mut desk = long();
    for text in desk.ledger.store.kept.checkpoints.values_mut() {
        *text = text.replacen("\"schema\":1", "\"schema\":2", 1);
    }
    assert!(state_at(&desk.ledger.store, u64::MAX).is_err());
}

/// One way to tamper with what is stored.
#[derive(Debug, Clone)]
enum Tampering {
    /// Another character at a place of the text.
    Text(prop::sample::Index, char),
    Hash(prop::sample::Index),
    /// One of the columns that are searched.
    Column(u8),
    Drop,
    SwapWithNext,
    /// The rows change places and get each other's number.
    SwapTexts,
    /// Text and hash, so that the row by itself is sound.
    Forge,
    Checkpoint(prop::sample::Index, char),
    /// A checkpoint of an earlier row in its place.
    OldCheckpoint,
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let index = any::<prop::sample::Index>;
    let sign = prop::char::range(' ', '~');
    prop_oneof![
        4 => (index(), sign.clone()).prop_map(|(at, c)| Tampering::Text(at, c)),
        1 => index().prop_map(Tampering::Hash),
        1 => (0..6_u8).prop_map(Tampering::Column),
        1 => Just(Tampering::Drop),
        1 => Just(Tampering::SwapWithNext),
        1 => Just(Tampering::SwapTexts),
        1 => Just(Tampering::Forge),
        3 => (index(), sign).prop_map(|(at, c)| Tampering::Checkpoint(at, c)),
        1 => Just(Tampering::OldCheckpoint),
    ]
}

/// Another character at a place where there is an ASCII one.
fn altered(text: &str, at: prop::sample::Index, c: char) -> String {
    let places: Vec<usize> = (0..text.len())
        .filter(|i| text.as_bytes()[*i].is_ascii())
        .collect();
    let at = places[at.index(places.len())];
    let c = if text.as_bytes()[at] == c as u8 {
        '~'
    } else {
        c
    };
    let c = if text.as_bytes()[at] == c as u8 {
        '!'
    } else {
        c
    };
    format!("{}{c}{}", &text[..at], &text[at + 1..])
}

fn tamper(desk: &mut Desk, row: prop::sample::Index, how: &Tampering) {
    let kept = &mut desk.ledger.store.kept;
    let at = row.index(kept.log.len() - 1);
    let seq = *kept
        .checkpoints
        .keys()
        .nth(row.index(kept.checkpoints.len()))
        .unwrap();
    let stored = &mut kept.log[at];
    match how {
        Tampering::Text(place, c) => stored.text = altered(&stored.text, *place, *c),
        Tampering::Hash(place) => stored.hash = altered(&stored.hash, *place, 'x'),
        Tampering::Column(0) => stored.seq += 1_000,
        Tampering::Column(1) => stored.revision += 1,
        Tampering::Column(2) => stored.at = stored.at.plus_millis(1),
        Tampering::Column(3) => stored.actor.push('x'),
        Tampering::Column(4) => stored.action.push('x'),
        Tampering::Column(_) => stored.target.push('x'),
        Tampering::Drop => {
            kept.log.remove(at);
        }
        Tampering::SwapWithNext => {
            let next = kept.log[at + 1].seq;
            kept.log[at + 1].seq = kept.log[at].seq;
            kept.log[at].seq = next;
        }
        Tampering::SwapTexts => {
            let (a, b) = (kept.log[at].clone(), kept.log[at + 1].clone());
            kept.log[at] = Stored { seq: a.seq, ..b };
            kept.log[at + 1] = Stored {
                seq: kept.log[at + 1].seq,
                ..a
            };
        }
        Tampering::Forge => {
            let mut row = Row::parse(&stored.text).unwrap();
            row.summary.push('.');
            stored.text = row.text();
            stored.hash = Row::hash(&stored.text);
        }
        Tampering::Checkpoint(place, c) => {
            let text = altered(&kept.checkpoints[&seq], *place, *c);
            kept.checkpoints.insert(seq, text);
        }
        Tampering::OldCheckpoint => {
            let text = replayed(&kept.log[..50]).text();
            kept.checkpoints.insert(seq, text);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn tampering_is_found(row: prop::sample::Index, how in tampering()) {
        let mut desk = long();
        prop_assert_eq!(&desk.verify()["ok"], true);
        tamper(&mut desk, row, &how);
        let verified = desk.verify();
        prop_assert_eq!(&verified["ok"], false);
        prop_assert!(verified["broken_at"].is_u64(), "{}", verified);
        prop_assert!(verified["detail"].as_str().unwrap().ends_with('.'));
    }
}

#[test]
fn a_last_row_that_is_gone_is_missed() {
    let mut desk = long();
    desk.ledger.store.kept.log.pop();
    let verified = desk.verify();
    assert_eq!(verified["ok"], false);
    assert_eq!(verified["broken_at"], verified["rows"]);

    // A restart does not forget it, and nor does what is written after it: no number and no
    // revision is given out twice.
    let (seq, revision) = (&verified["rows"], desk.ledger.live.state.revision);
    let mut desk = desk.reopened();
    let path = "/rollout/all/emergency-stop?reason=tampered";
    let stop = desk.admin("POST", path, Value::Null);
    assert_eq!(stop["revision"], revision + 1);
    let mut desk = desk.reopened();
    let verified = desk.verify();
    assert_eq!(
        (&verified["ok"], &verified["broken_at"]),
        (&json!(false), seq)
    );
}

#[test]
fn the_largest_document_can_be_stopped() {
    let filled = |members: usize| {
        let members: Vec<String> = (0..members).map(|n| format!("{n:032x}")).collect();
        support::document(&json!({"cohorts": {"filler": {"enabled": true, "members": members}}}))
    };
    // 35 bytes each.
    let text = filled((MAX_BYTES - filled(0).len()) / 35);
    assert!(text.len() > MAX_BYTES - 100);
    let mut desk = Desk::empty();
    let reply = desk.put_config(&text);
    assert_eq!(reply.status, 200, "{}", reply.body);
    // Nothing more goes in, but everything can be stopped and rolled back.
    let patch: serde_json::Map<_, _> = (0..20)
        .map(|n| (format!("one_more_{n}"), json!({"percentage": 10})))
        .collect();
    let (status, json) = desk.ask(ADMIN, "POST", "/features/*", Value::Object(patch));
    assert_eq!(status, 422, "{json}");
    desk.admin(
        "POST",
        "/rollout/v1.1.0-beta/rollback?reason=x",
        Value::Null,
    );
    desk.admin("POST", "/rollout/all/emergency-stop?reason=x", Value::Null);
    let published = desk.ledger.live.state.published().unwrap();
    let own = kv::Value {
        metadata: Some(kv::Metadata::of(9, &published)),
        text: published,
    };
    assert!(own.config().is_ok());
}

/// What rows and states mean. A change of it has to be meant: a new `SCHEMA`, and what reads the old one.
#[test]
fn the_stored_layout_is_pinned() {
    assert_eq!(caro_edge::core::ledger::SCHEMA, 1);
    let golden: Value = serde_json::from_str(include_str!("golden/ledger.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows: Vec<String> = golden["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    let mut state = State::default();
    let mut kinds = Vec::new();
    for text in &rows {
        let row = Row::parse(text).unwrap_or_else(|| panic!("cannot be read: {text}"));
        assert_eq!(row.text(), *text);
        assert_eq!(row.prev, state.head);
        kinds.extend(row.changes.iter().map(kind));
        state.fold(&row, Row::hash(text));
        // As much of it as a checkpoint holds.
        assert_eq!(State::parse(&state.text()).unwrap(), state);
    }
    let checkpoint = text(&golden["checkpoint"]);
    assert_eq!(state.text(), checkpoint);
    assert_eq!(State::parse(&checkpoint).unwrap().text(), checkpoint);
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 17, "a kind of change has no row: {kinds:?}");

    let publication = text(&golden["publication"]);
    let read: Publication = serde_json::from_str(&publication).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), publication);
}

/// A new variant does not compile before it is pinned.
fn kind(change: &Change) -> &'static str {
    match change {
        Change::Merge(_) => "merge",
        Change::Document(_) => "document",
        Change::Members { .. } => "members",
        Change::Stop(_) => "stop",
        Change::ClearStop(_) => "clear_stop",
        Change::MintToken(_) => "mint_token",
        Change::RevokeToken(_) => "revoke_token",
        Change::StartDrain(_) => "start_drain",
        Change::EndDrain(_) => "end_drain",
        Change::Propose(_) => "propose",
        Change::EndProposal(_) => "end_proposal",
        Change::Remind(_) => "remind",
        Change::Plan { .. } => "plan",
        Change::Run { .. } => "run",
        Change::EndPlan(_) => "end_plan",
        Change::Decide { .. } => "decide",
        Change::Signals { .. } => "signals",
    }
}
