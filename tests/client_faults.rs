//! The client against a router where things go wrong: whatever happens it keeps what it knew, says why, and does not ask
//! again too soon.

#![cfg(all(feature = "client", not(target_arch = "wasm32")))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use caro_edge::client::world::World;
use caro_edge::client::{Client, Failure, Origin, Outcome, Source};
use serde_json::json;

mod support;
#[path = "support/unsound.rs"]
mod unsound;

use unsound::{Clock, Fault, Router, SEED, builder, public_key};

const HOUR: i64 = 3600;

/// Has it ask again.
fn later(client: &Client, clock: &Clock) -> Outcome {
    clock.forward(2 * HOUR);
    client.refresh().outcome
}

/// A client that has heard the router once: `validation_retry` is on there, and by default too, `flag` only there.
fn started() -> (Router, Clock, Client) {
    let clock = Clock::default();
    let features = json!({"features": {"v1.1.0-beta": {"flag": true}}});
    let router = Router::start(&features, &clock);
    let client = builder(&router, &clock).build().unwrap();
    assert_eq!(client.refresh().outcome, Outcome::Fetched);
    assert!(client.bool("flag", false));
    (router, clock, client)
}

#[test]
fn what_is_asked() {
    let (router, clock, client) = started();
    let asked = &router.asked()[0];
    assert_eq!(
        asked.target,
        "/features/v1.1.0-beta?detail=1&os=linux&arch=amd64"
    );
    assert_eq!(asked.header("x-caro-id"), Some("alice"));
    assert_eq!(asked.header("accept-encoding"), Some("gzip"));
    assert_eq!(asked.header("if-none-match"), None);
    assert!(
        asked
            .header("user-agent")
            .unwrap()
            .starts_with("caro-edge-client/")
    );
    // Not before it is time, and then with the tag of what is known.
    assert_eq!(client.refresh().outcome, Outcome::NotDue);
    assert_eq!(later(&client, &clock), Outcome::NotModified);
    assert!(router.asked()[1].header("if-none-match").is_some());
    let status = client.status();
    assert_eq!(
        (status.source, status.revision, status.failures),
        (Source::Router, Some(7), 0)
    );
    assert_eq!(status.confirmed_at, Some(clock.now()));
    assert!(status.fetched_at < status.confirmed_at);
    assert_eq!(status.last_error, None);
}

#[test]
fn what_changes_is_told() {
    let (router, clock, client) = started();
    let patch = json!({"revision": 8, "features": {"v1.1.0-beta": {"flag": false, "new": true}}});
    router.set(&patch, None);
    clock.forward(2 * HOUR);
    let refreshed = client.refresh();
    assert_eq!(refreshed.outcome, Outcome::Fetched);
    let changes = serde_json::to_value(refreshed.changes).unwrap();
    let expected = json!([{"key": "flag", "old": true, "new": false}, {"key": "new", "old": null, "new": true}]);
    assert_eq!(changes, expected);
    // A new revision that changes nothing for this requester is a revision all the same.
    router.set(&json!({"revision": 9, "features": patch["features"]}), None);
    assert_eq!(later(&client, &clock), Outcome::NotModified);
    assert_eq!(client.status().revision, Some(9));
}

/// Everything that brings no answer: the last good one holds, and a minute or two pass before the next.
#[test]
fn the_last_good_answer_stays() {
    let huge: &'static str =
        Box::leak(format!("{{\"x\":\"{}\"}}", "a".repeat(300_000)).into_boxed_str());
    let (router, clock, client) = started();
    let elsewhere = Router::start(&json!({}), &clock);
    let status = |status| Fault::Status(status, None);
    let location = (
        "Location",
        format!("{}/features/v1.1.0-beta?detail=1", elsewhere.url()),
    );
    let cases = [
        (status(500), "the router answered 500"),
        (status(404), "it knows no such release"),
        (status(429), "too many requests"),
        (status(304), "the answer is not signed"),
        (status(204), "204"),
        (Fault::Status(302, Some(location.clone())), "not followed"),
        (Fault::Status(308, Some(location)), "not followed"),
        (
            Fault::Raw(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
            "cannot be reached",
        ),
        (Fault::Raw(vec![0; 4096]), "cannot be reached"),
        (
            Fault::Raw(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
            "it has no header",
        ),
        (Fault::Close, "cannot be reached"),
        (Fault::Reset, "cannot be reached"),
        (Fault::Truncated, "cannot be reached"),
        (Fault::Body(huge), "longer than 262144 bytes"),
        (Fault::Endless, "longer than 262144 bytes"),
        (Fault::GzipBomb(64), "longer than 262144 bytes"),
        (Fault::ContentType("text/html"), "the signature is wrong"),
        (Fault::Body("{}"), "not that which was signed"),
        (Fault::Body("<html>"), "not that which was signed"),
        (Fault::WrongKey, "not among those that are trusted"),
        (Fault::Stripped, "the answer is not signed"),
        (
            Fault::Signed(-HOUR),
            "expired 3000 s ago; is this clock right?",
        ),
        (
            Fault::Signed(HOUR),
            "will be made in 3600 s; is this clock right?",
        ),
    ];
    // So that it is a body that comes and not a 304.
    for (i, (fault, reason)) in cases.into_iter().enumerate() {
        let patch = json!({"revision": 100 + i, "features": {"v1.1.0-beta": {"flag": false}}});
        router.set(&patch, None);
        router.fail(fault.clone());
        let Outcome::Failed(failure) = later(&client, &clock) else {
            panic!("{fault:?} was taken");
        };
        assert!(failure.to_string().contains(reason), "{fault:?}: {failure}");
        assert!(client.bool("flag", false), "{fault:?}");
        let status = client.status();
        assert_eq!(status.revision, Some(7), "{fault:?}");
        assert_eq!(status.failures, i as u32 + 1);
        assert_eq!(status.source, Source::LastGood);
        assert_eq!(status.last_error.unwrap().message, failure.to_string());
        let wait = status.next_due.millis_since(clock.now());
        assert!((60_000..=3_600_000).contains(&wait), "{fault:?}: {wait}");
        assert_eq!(client.refresh().outcome, Outcome::NotDue, "{fault:?}");
    }
    assert_eq!(elsewhere.count(), 0, "a redirect was followed");
    router.fail(Fault::None);
    assert_eq!(later(&client, &clock), Outcome::Fetched);
    assert!(!client.bool("flag", true));
    assert_eq!(
        (client.status().failures, client.status().last_error),
        (0, None)
    );
}

/// Nothing is known, so nothing was asked with a tag.
#[test]
fn a_confirmation_of_nothing() {
    let clock = Clock::default();
    let router = Router::start(&json!({}), &clock);
    router.fail(Fault::Status(304, None));
    let client = builder(&router, &clock).build().unwrap();
    let outcome = client.refresh().outcome;
    assert!(
        matches!(
            outcome,
            Outcome::Failed(Failure::Status { status: 304, .. })
        ),
        "{outcome:?}"
    );
}

#[test]
fn nobody_is_there() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let clock = Clock::default();
    let client = Client::builder(&url)
        .release("v1.1.0-beta")
        .no_cache()
        .no_overrides();
    let client = client.world(clock.clone()).build().unwrap();
    let outcome = client.refresh().outcome;
    assert!(
        matches!(&outcome, Outcome::Failed(Failure::Unreachable(_))),
        "{outcome:?}"
    );
    assert!(client.bool("validation_retry", false), "the default");
    assert_eq!(client.status().source, Source::Defaults);
}

/// A router that is slow in any way costs the timeout and no more.
#[test]
fn the_deadline_holds() {
    for fault in [Fault::Hang, Fault::Drip] {
        let clock = Clock::default();
        let router = Router::start(&json!({}), &clock);
        router.fail(fault.clone());
        let client = builder(&router, &clock)
            .timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        let start = Instant::now();
        let outcome = client.refresh().outcome;
        let took = start.elapsed();
        assert!(
            matches!(outcome, Outcome::Failed(Failure::Slow(_))),
            "{fault:?}: {outcome:?}"
        );
        assert!(
            took >= Duration::from_millis(250) && took < Duration::from_secs(3),
            "{took:?}"
        );
    }
}

#[test]
fn a_router_that_wants_to_be_left_alone_is() {
    for (value, wait) in [
        ("7200", 7200),
        ("Thu, 15 Jan 2026 12:00:00 GMT", 3 * HOUR),
        ("99999999", 86_400),
    ] {
        for status in [429, 503] {
            let clock = Clock::default();
            let router = Router::start(&json!({}), &clock);
            router.fail(Fault::Status(
                status,
                Some(("Retry-After", value.to_owned())),
            ));
            let client = builder(&router, &clock).build().unwrap();
            client.refresh();
            let next = client.status().next_due.millis_since(clock.now());
            assert_eq!(next, wait as u64 * 1000, "{status} {value}");
            clock.forward(wait - 1);
            assert_eq!(client.refresh().outcome, Outcome::NotDue);
            router.fail(Fault::None);
            clock.forward(1);
            assert_eq!(client.refresh().outcome, Outcome::Fetched);
            assert_eq!(router.count(), 2);
        }
    }
}

/// Down for a day: some two dozen requests, whatever the program does.
#[test]
fn no_retry_storm() {
    let clock = Clock::default();
    let router = Router::start(&json!({}), &clock);
    router.fail(Fault::Status(500, None));
    let client = builder(&router, &clock).build().unwrap();
    for second in 0..86_400_u64 {
        clock.throw(second.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        clock.forward(1);
        client.refresh();
    }
    // An interval's half on average, and some more at the beginning.
    let count = router.count();
    assert!((30..80).contains(&count), "{count} requests");
}

/// Somebody on the way wants to hide a kill: by an answer from before it, rightly signed and not expired.
#[test]
fn an_older_revision_is_not_taken() {
    let clock = Clock::default();
    let on = json!({"v1.1.0-beta": {"flag": true}});
    let router = Router::start(&json!({"features": on}), &clock);
    let client = builder(&router, &clock)
        .interval(Duration::from_mins(1))
        .build()
        .unwrap();
    let next = || {
        clock.forward(70);
        client.refresh().outcome
    };
    assert_eq!(next(), Outcome::Fetched);
    let old = router.record();
    let killed = json!({"revision": 8, "kill_switches": {"features": ["flag"]}, "features": on});
    router.set(&killed, None);
    assert_eq!(next(), Outcome::Fetched);
    assert!(client.is_killed("flag") && !client.bool("flag", true));
    router.fail(Fault::Raw(old.clone()));
    assert_eq!(next(), Outcome::Failed(Failure::Older { got: 7, have: 8 }));
    assert!(client.is_killed("flag"));
    // Nor later.
    clock.forward(HOUR);
    let outcome = next();
    assert!(
        matches!(outcome, Outcome::Failed(Failure::Distrusted(_))),
        "{outcome:?}"
    );
    assert!(client.is_killed("flag"));
    // A router that lags behind is no better.
    router.fail(Fault::None);
    router.set(&json!({"features": on}), None);
    assert_eq!(next(), Outcome::Failed(Failure::Older { got: 7, have: 8 }));
    // One that goes on takes the kill back.
    router.set(&json!({"revision": 9, "features": on}), None);
    assert_eq!(next(), Outcome::Fetched);
    assert!(client.bool("flag", false) && !client.is_killed("flag"));
}

/// Killed, stopped, switched off, not for this requester: only the first two are above an override.
#[test]
fn a_kill_is_not_merely_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("features.toml");
    std::fs::write(
        &file,
        "[features]\nkilled = true\noff = true\nothers = true\ntelemetry_disabled = false\n",
    )
    .unwrap();
    let features =
        json!({"v1.1.0-beta": {"killed": true, "off": false, "others": {"percentage": 0}}});
    let kills = json!({"features": ["killed"], "telemetry_disabled": true});
    let clock = Clock::default();
    let router = Router::start(
        &json!({"features": features, "kill_switches": kills}),
        &clock,
    );
    let client = builder(&router, &clock).overrides(&file).build().unwrap();
    assert!(client.bool("killed", false), "nothing is known yet");
    client.refresh();
    assert!(!client.bool("killed", true) && client.is_killed("killed"));
    assert!(client.bool("telemetry_disabled", false) && client.is_killed("telemetry_disabled"));
    assert!(client.is_killed("telemetry_opt_in"));
    assert!(client.bool("off", false) && client.bool("others", false));
    let status = client.status();
    let void: Vec<_> = status.void.iter().map(|key| key.as_str()).collect();
    assert_eq!(void, ["killed", "telemetry_disabled"]);
    assert_eq!(status.overrides.len(), 2);
    assert!(
        status
            .warnings
            .iter()
            .any(|w| w.contains("the override of killed is void"))
    );
    // An emergency stop is above overrides as well.
    let stopped = json!({"revision": 8, "features": features});
    router.set(&stopped, Some("all"));
    later(&client, &clock);
    for key in ["killed", "off", "others"] {
        assert!(!client.bool(key, true) && client.is_killed(key), "{key}");
    }
    assert!(
        client.bool("static_matcher", false),
        "it stays on through a stop"
    );
    // The router goes away: what was stopped stays so.
    router.fail(Fault::Close);
    later(&client, &clock);
    assert!(!client.bool("off", true));
}

#[test]
fn any_of_the_keys_will_do() {
    let clock = Clock::default();
    let router = Router::start(&json!({}), &clock);
    let new = |keys: Vec<u8>| {
        let keys = keys.into_iter().map(public_key);
        let client = Client::builder(&router.url())
            .release("v1.1.0-beta")
            .keys(keys);
        client
            .no_cache()
            .no_overrides()
            .world(clock.clone())
            .build()
            .unwrap()
    };
    assert_eq!(new(vec![9, SEED]).refresh().outcome, Outcome::Fetched);
    let outcome = new(vec![9]).refresh().outcome;
    assert!(
        matches!(outcome, Outcome::Failed(Failure::Distrusted(_))),
        "{outcome:?}"
    );
}

/// Five minutes to either side, beyond the ten for which a signature is good.
#[test]
fn clocks_may_differ() {
    for (seconds, ok) in [(299, true), (301, false), (-899, true), (-901, false)] {
        let clock = Clock::default();
        let router = Router::start(&json!({}), &clock);
        router.fail(Fault::Signed(seconds));
        let client = builder(&router, &clock).build().unwrap();
        let outcome = client.refresh().outcome;
        assert_eq!(outcome == Outcome::Fetched, ok, "{seconds}: {outcome:?}");
    }
}

/// A clock that is set back does not keep the client from asking.
#[test]
fn a_clock_that_goes_back() {
    let (_router, clock, client) = started();
    clock.forward(-86_400);
    assert_eq!(client.refresh().outcome, Outcome::NotModified);
    assert_eq!(client.refresh().outcome, Outcome::NotDue);
}

/// The tag is not signed beside a body: with another's, a 304 that the router signed would confirm what it does not say.
#[test]
fn a_tag_of_another_body_is_not_asked_with() {
    let clock = Clock::default();
    let router = Router::start(&json!({}), &clock);
    router.fail(Fault::Tag("\"00000000000000000000000000000000\""));
    let client = builder(&router, &clock).build().unwrap();
    assert_eq!(client.refresh().outcome, Outcome::Fetched);
    router.fail(Fault::None);
    assert_eq!(later(&client, &clock), Outcome::Fetched);
    assert_eq!(router.asked()[1].header("if-none-match"), None);
    assert_eq!(later(&client, &clock), Outcome::NotModified);
}

/// Whoever packs an answer on the way changes nothing of it.
#[test]
fn packed_on_the_way() {
    let clock = Clock::default();
    let router = Router::start(&json!({}), &clock);
    router.fail(Fault::Gzip);
    let client = builder(&router, &clock).build().unwrap();
    assert_eq!(client.refresh().outcome, Outcome::Fetched);
}

#[test]
fn without_keys_unsigned_is_taken_but_not_anything() {
    let clock = Clock::default();
    let router = Router::unsigned(
        &json!({"features": {"v1.1.0-beta": {"flag": {"percentage": 100}}}}),
        &clock,
    );
    let client = builder(&router, &clock).build().unwrap();
    assert_eq!(client.refresh().outcome, Outcome::Fetched);
    assert!(client.bool("flag", false));
    assert_eq!(client.values().get("flag").unwrap().origin, Origin::Router);
    router.set(&json!({"revision": 8}), None);
    for (fault, reason) in [
        (Fault::ContentType("text/html; charset=utf-8"), "login page"),
        (Fault::Body("{"), "EOF"),
        (Fault::Body("[]"), "expected a map"),
        (Fault::Body(r#"{"flag":false}"#), "expected struct"),
        (
            Fault::Body(r#"{"NO KEY":{"value":true,"reason":"static"}}"#),
            "lowercase",
        ),
        (
            Fault::Raw(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
                    .to_vec(),
            ),
            "no revision",
        ),
    ] {
        router.fail(fault.clone());
        let outcome = later(&client, &clock);
        let Outcome::Failed(failure) = outcome else {
            panic!("{fault:?} was taken");
        };
        assert!(failure.to_string().contains(reason), "{fault:?}: {failure}");
        assert!(client.bool("flag", false));
    }
}
