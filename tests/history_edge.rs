//! How an isolate has the public history: without asking the ledger more than it must, and without leaving anybody
//! waiting.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::api::handle::{handle, history};
use caro_edge::api::history::{Form, History, Turn};
use caro_edge::api::reply::Answer;
use caro_edge::core::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use support::{CONFIG, Incoming, NOW};

const ORIGIN: &str = "https://get.caro.sh";

fn at(ms: u64) -> Timestamp {
    NOW.plus_millis(ms)
}

fn text(revision: u64) -> Option<String> {
    let change =
        json!({"at": "2026-01-15T08:00:00Z", "revision": revision, "text": "v1: 5 % → 25 %"});
    let text = json!({
        "product": "caro", "generated_at": "2026-01-15T09:00:00Z", "revision": revision, "changes": [change],
    });
    Some(text.to_string())
}

fn turn(history: &mut History, revision: u64, since: u64, now: u64) -> Turn {
    history.turn(Form::Json, Some(revision), at(since), at(now))
}

/// The revision that is served, or the status.
fn served(turn: &Turn) -> String {
    match turn {
        Turn::Serve(reply) if reply.status == 200 => {
            reply.header("X-Caro-Revision").unwrap().to_owned()
        }
        Turn::Serve(reply) => reply.status.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn one_asks_and_the_others_wait_for_it() {
    let mut history = History::default();
    assert_eq!(turn(&mut history, 7, 0, 0), Turn::Ask);
    assert_eq!(turn(&mut history, 7, 1, 1), Turn::Wait);
    assert_eq!(turn(&mut history, 7, 1, 900), Turn::Wait);
    history.took(text(7), ORIGIN, at(1_000));
    assert_eq!(served(&turn(&mut history, 7, 1, 1_001)), "7");
    assert_eq!(served(&turn(&mut history, 7, 20_999, 20_999)), "7");
    // Then one asks again, and meanwhile the others get what there is.
    assert_eq!(turn(&mut history, 7, 21_000, 21_000), Turn::Ask);
    assert_eq!(served(&turn(&mut history, 7, 21_001, 21_001)), "7");
    // It was never heard of again: another one asks.
    assert_eq!(turn(&mut history, 7, 24_000, 24_000), Turn::Ask);
}

#[test]
fn a_change_is_asked_for_sooner_and_not_at_once() {
    let mut history = History::default();
    turn(&mut history, 7, 0, 0);
    history.took(text(7), ORIGIN, at(0));
    assert_eq!(served(&turn(&mut history, 8, 4_999, 4_999)), "7");
    assert_eq!(turn(&mut history, 8, 5_000, 5_000), Turn::Ask);
    // The ledger does not have it, and never may: somebody wrote a number into KV.
    history.took(text(7), ORIGIN, at(5_000));
    assert_eq!(served(&turn(&mut history, 8, 5_001, 5_001)), "7");
    assert_eq!(turn(&mut history, 8, 10_000, 10_000), Turn::Ask);
}

#[test]
fn without_the_ledger_what_was_had_last_or_503() {
    let mut history = History::default();
    turn(&mut history, 7, 0, 0);
    history.took(None, ORIGIN, at(2_000));
    let Turn::Serve(reply) = turn(&mut history, 7, 0, 2_001) else {
        panic!("it has nothing, and says so");
    };
    assert_eq!(
        (reply.status, reply.header("Retry-After")),
        (503, Some("5"))
    );
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/problem+json")
    );
    assert_eq!(served(&turn(&mut history, 7, 6_999, 6_999)), "503");
    assert_eq!(turn(&mut history, 7, 7_000, 7_000), Turn::Ask);
    history.took(text(7), ORIGIN, at(7_001));
    for broken in [None, Some("{".to_owned()), Some("{}".to_owned())] {
        let now = if broken.is_none() { 30_000 } else { 40_000 };
        history.took(broken, ORIGIN, at(now));
        assert_eq!(
            served(&turn(&mut history, 7, now, now + 1)),
            "7",
            "the last one is kept"
        );
    }
    // Who waits for one that is never heard of waits no longer than that one may ask.
    let mut history = History::default();
    turn(&mut history, 7, 0, 0);
    assert_eq!(turn(&mut history, 7, 1, 2_999), Turn::Wait);
    assert_eq!(turn(&mut history, 7, 1, 3_000), Turn::Ask);
}

#[test]
fn both_forms_are_open_and_conditional() {
    let mut edge = support::edge(Some(CONFIG), None);
    for (path, kind) in [
        ("/history.json", "application/json"),
        ("/feed.atom", "application/atom+xml; charset=utf-8"),
    ] {
        edge.history = History::default();
        let request = Incoming::get(path);
        assert_eq!(handle(&mut edge, &request, NOW), Answer::AskHistory);
        assert_eq!(history(&mut edge, &request, NOW, NOW), Turn::Ask);
        edge.history.took(text(7), ORIGIN, NOW);
        let Answer::Fresh(reply) = handle(&mut edge, &request, NOW) else {
            panic!("{path} is at hand");
        };
        assert_eq!(
            history(&mut edge, &request, NOW, NOW),
            Turn::Serve(reply.clone())
        );
        for (name, value) in [
            ("Content-Type", kind),
            ("Cache-Control", "public, max-age=30"),
            ("Access-Control-Allow-Origin", "*"),
            ("X-Caro-Revision", "7"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path}");
        }
        let again = request.with("If-None-Match", reply.header("ETag").unwrap());
        let Answer::Fresh(again) = handle(&mut edge, &again, NOW) else {
            panic!("{path} is at hand");
        };
        assert_eq!((again.status, again.body.as_str()), (304, ""));
    }
}

proptest! {
    /// Any number of requests at any times, a ledger that answers or does not: it is asked at most once in five seconds
    /// (three, where one was never heard of), and nobody waits for longer than three.
    #[test]
    fn the_ledger_is_left_alone(
        requests in prop::collection::vec((0..400_u64, 0..4_u8, 0..3_u64), 1..300),
    ) {
        let mut history = History::default();
        let (mut now, mut revision) = (0, 7);
        let mut asked: Vec<u64> = Vec::new();
        for (pause, fate, news) in requests {
            now += pause;
            revision += u64::from(news == 0);
            match turn(&mut history, revision, now, now) {
                Turn::Ask => {
                    if let Some(last) = asked.last() {
                        prop_assert!(now - last >= 3_000, "at {last} and {now}");
                    }
                    asked.push(now);
                    match fate {
                        0 => {}
                        1 => history.took(None, ORIGIN, at(now)),
                        _ => history.took(text(revision), ORIGIN, at(now)),
                    }
                    if fate > 0 {
                        prop_assert!(matches!(turn(&mut history, revision, now, now), Turn::Serve(_)));
                    }
                }
                Turn::Wait => {
                    prop_assert!(asked.last().is_some_and(|last| now - last < 3_000));
                    prop_assert_ne!(turn(&mut history, revision, now, now + 3_000), Turn::Wait);
                    // It was somebody's turn just now.
                    history = History::default();
                    asked.clear();
                }
                Turn::Serve(_) => {}
            }
        }
    }
}
