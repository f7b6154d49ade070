//! Replies that are kept ready, and what happens when there are too many to keep.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use caro_edge::api::edge::Edge;
use caro_edge::api::handle::handle;
use caro_edge::api::reply::{Answer, Reply};
use serde_json::json;
use support::{Incoming, NOW, document};

/// An edge whose release has fourteen features at 50 %: up to 16384 different answers.
fn edge() -> Edge {
    let features: serde_json::Map<_, _> = (0..14)
        .map(|i| (format!("feature_{i}"), json!({"percentage": 50})))
        .collect();
    let document = document(&json!({"features": {"v1.1.0-beta": features}}));
    support::edge(Some(&document), None)
}

fn ask(edge: &mut Edge, id: usize, if_none_match: Option<&str>) -> Answer {
    let mut request = Incoming::get(&format!("/features/v1.1.0-beta?id=user-{id}"));
    if let Some(etag) = if_none_match {
        request = request.with("If-None-Match", etag);
    }
    handle(edge, &request, NOW)
}

/// What fits is kept; the rest are made anew each time, and are no worse for it.
#[test]
fn beyond_the_limit_answers_are_fresh_and_still_conditional() {
    let mut edge = edge();
    let mut fresh: Option<(usize, Reply)> = None;
    let mut kept_count = 0;
    for id in 0..8000 {
        match ask(&mut edge, id, None) {
            Answer::Kept(kept) => {
                kept_count += 1;
                assert!(edge.kept.reply(kept).is_some());
            }
            Answer::Fresh(reply) => fresh = Some((id, reply)),
            other => panic!("{other:?}"),
        }
    }
    let (id, reply) = fresh.expect("more different answers than are kept");
    assert!(kept_count > 4000, "{kept_count} are kept");
    assert_eq!(reply.status, 200);
    let etag = reply.header("ETag").unwrap().to_owned();

    let Answer::Fresh(known) = ask(&mut edge, id, Some(&etag)) else {
        panic!("it was not kept before");
    };
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    assert_eq!(known.header("ETag"), Some(etag.as_str()));

    let Answer::Fresh(other) = ask(&mut edge, id, Some("\"other\"")) else {
        panic!("it was not kept before");
    };
    assert_eq!(other, reply);
}

/// Two requesters with the same values share one reply, whatever their ids.
#[test]
fn equal_answers_are_one() {
    let mut edge = edge();
    let Answer::Kept(first) = ask(&mut edge, 0, None) else {
        panic!("the first answer is kept");
    };
    assert_eq!(ask(&mut edge, 0, None), Answer::Kept(first));
    let same = (1..40_000).find(|&id| ask(&mut edge, id, None) == Answer::Kept(first));
    assert!(same.is_some(), "one of 16384 combinations comes up again");
}
