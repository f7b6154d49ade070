//! One isolate's state: when it looks again, and what it keeps when what it finds is stale, broken
//! or missing.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::api::edge::{Current, Edge, HARD_TTL_MS, Next, Read, ReadError, SOFT_TTL_MS};
use caro_edge::core::config::MAX_BYTES;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::ledger::kv;
use caro_edge::core::time::Timestamp;
use serde_json::json;

use support::{decided, document, value};

const RETRY_MS: u64 = 1_000;
const LOCK_MS: u64 = 15_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_768_467_600_000 + i64::try_from(millis).unwrap())
}

fn cold() -> Edge {
    Edge::new(Defaults::default(), Vec::new())
}

/// The golden document at a revision and a percentage.
fn revision(revision: u64, percentage: u64) -> String {
    let release = json!({"v1.1.0-beta": {"percentage": percentage}});
    document(&json!({"revision": revision, "releases": release}))
}

type Value<'a> = Result<Option<&'a str>, ReadError>;

const ABSENT: Value<'static> = Ok(None);
const FAILED: Value<'static> = Err(ReadError::Failed);

fn apply(edge: &mut Edge, config: Value<'_>, stop: Value<'_>, millis: u64) {
    let own = |read: Value<'_>| read.map(|text| text.map(value));
    let (config, stop) = (own(config), own(stop));
    let ticket = edge.begin();
    edge.apply(Read { config, stop }, ticket, at(millis));
}

/// What is served: `"7: 1.1.0-beta.2 bucket"` for the requester `inside`.
fn served(edge: &Edge) -> String {
    let revision = edge
        .snapshot
        .revision
        .map_or("none".to_owned(), |r| r.to_string());
    format!("{revision}: {}", decided(&edge.snapshot, "inside"))
}

const BETA: &str = "7: 1.1.0-beta.2 bucket";
const STOPPED: &str = "7: 1.0.4 emergency_stop";
const FALLBACK: &str = "none: 1.0.4 fallback";

/// An edge that has read revision 7, at time 0.
fn warm() -> Edge {
    let mut edge = cold();
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, 0);
    assert_eq!(served(&edge), BETA);
    edge
}

#[test]
fn before_anything_was_read_every_request_reads() {
    let mut edge = cold();
    assert_eq!(served(&edge), FALLBACK);
    // A promise of one request cannot be awaited in another, so there is no lock here.
    for millis in [0, 0, 1, 60_000] {
        assert_eq!(edge.next(at(millis)), Next::Load);
    }
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, 60_001);
    assert_eq!(edge.next(at(60_002)), Next::Serve);
    assert_eq!(served(&edge), BETA);
}

#[test]
fn one_refresh_at_a_time_after_the_soft_limit() {
    let mut edge = warm();
    for (millis, expect) in [
        (0, Next::Serve),
        (SOFT_TTL_MS - 1, Next::Serve),
        (SOFT_TTL_MS, Next::Refresh),
        // The refresh is under way.
        (SOFT_TTL_MS, Next::Serve),
        (SOFT_TTL_MS + LOCK_MS - 1, Next::Serve),
        // It never came back: the runtime ended it with its request. Another one starts.
        (SOFT_TTL_MS + LOCK_MS, Next::Refresh),
        (SOFT_TTL_MS + LOCK_MS + 1, Next::Serve),
    ] {
        assert_eq!(edge.next(at(millis)), expect, "at {millis} ms");
    }
    let end = SOFT_TTL_MS + LOCK_MS + 2;
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, end);
    // The limit counts from the end of the refresh.
    assert_eq!(edge.next(at(end + SOFT_TTL_MS - 1)), Next::Serve);
    assert_eq!(edge.next(at(end + SOFT_TTL_MS)), Next::Refresh);
}

#[test]
fn a_failed_read_is_tried_again_soon() {
    let ok = revision(7, 25);
    for (config, stop) in [
        (FAILED, ABSENT),
        (Ok(Some(ok.as_str())), FAILED),
        (Err(ReadError::Timeout), Err(ReadError::Timeout)),
    ] {
        let mut edge = warm();
        assert_eq!(edge.next(at(SOFT_TTL_MS)), Next::Refresh);
        let end = SOFT_TTL_MS + 10;
        apply(&mut edge, config, stop, end);
        assert!(edge.read_error.is_some());
        assert_eq!(edge.confirmed, Some(at(0)), "a failure confirms nothing");
        assert_eq!(edge.next(at(end + RETRY_MS - 1)), Next::Serve);
        assert_eq!(edge.next(at(end + RETRY_MS)), Next::Refresh);
        assert_eq!(served(&edge), BETA);
        apply(&mut edge, Ok(Some(&ok)), ABSENT, end + RETRY_MS);
        assert_eq!(
            (&edge.read_error, edge.confirmed),
            (&None, Some(at(end + RETRY_MS)))
        );
    }
    // In an isolate that has nothing yet, too: it serves the defaults in between.
    let mut edge = cold();
    apply(&mut edge, FAILED, FAILED, 0);
    assert_eq!(edge.next(at(RETRY_MS - 1)), Next::Serve);
    assert_eq!(edge.next(at(RETRY_MS)), Next::Refresh);
    assert_eq!((served(&edge).as_str(), edge.confirmed), (FALLBACK, None));
}

/// Set back, a clock must neither hide an emergency stop until it has caught up, nor hold a lock.
#[test]
fn a_clock_that_goes_backwards() {
    let day = 86_400_000;
    let mut edge = cold();
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, day);
    assert_eq!(
        edge.next(at(day - 3)),
        Next::Serve,
        "a small step is no reason to look"
    );
    assert_eq!(edge.next(at(day - SOFT_TTL_MS)), Next::Refresh);
    assert_eq!(
        edge.next(at(0)),
        Next::Load,
        "a day is too long ago, either way"
    );
    apply(&mut edge, Ok(Some(&revision(7, 25))), Ok(Some("all")), 1);
    assert_eq!(served(&edge), STOPPED);
    assert_eq!(edge.next(at(2)), Next::Serve);
    assert_eq!(edge.next(at(1 + SOFT_TTL_MS)), Next::Refresh);

    let mut edge = cold();
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, day);
    assert_eq!(edge.next(at(day + SOFT_TTL_MS)), Next::Refresh);
    let earlier = day + SOFT_TTL_MS - LOCK_MS;
    assert_eq!(
        edge.next(at(earlier)),
        Next::Refresh,
        "the lock of a refresh from the future"
    );
    assert_eq!(edge.next(at(earlier + 1)), Next::Serve);
}

/// Two requests read at once, one before a stop and one after; the slower answer is the older.
#[test]
fn a_read_that_was_overtaken_lifts_no_stop() {
    let read = |stop: Value<'_>| Read {
        config: Ok(Some(value(revision(7, 25)))),
        stop: stop.map(|text| text.map(value)),
    };
    let mut edge = warm();
    let (before, after) = (edge.begin(), edge.begin());
    edge.apply(read(Ok(Some("all"))), after, at(10));
    edge.apply(read(ABSENT), before, at(20));
    assert_eq!(served(&edge), STOPPED);

    // One that failed says nothing, so what was begun before it still counts.
    let mut edge = warm();
    let (before, after) = (edge.begin(), edge.begin());
    edge.apply(read(FAILED), after, at(10));
    edge.apply(read(Ok(Some("all"))), before, at(20));
    assert_eq!(served(&edge), STOPPED);
}

/// An isolate that slept through an emergency stop looks before it answers.
#[test]
fn what_was_not_looked_after_is_not_served() {
    let mut edge = warm();
    assert_eq!(edge.next(at(HARD_TTL_MS - 1)), Next::Refresh);
    // That refresh was ended with its request; every request now reads for itself.
    for millis in [HARD_TTL_MS, HARD_TTL_MS + 1] {
        assert_eq!(edge.next(at(millis)), Next::Load);
    }
    apply(
        &mut edge,
        Ok(Some(&revision(7, 25))),
        Ok(Some("all")),
        HARD_TTL_MS + 2,
    );
    assert_eq!(edge.next(at(HARD_TTL_MS + 3)), Next::Serve);
    assert_eq!(served(&edge), STOPPED);

    // While KV fails nobody has to wait again: a failed look is a look.
    apply(&mut edge, FAILED, FAILED, 2 * HARD_TTL_MS);
    assert_eq!(edge.next(at(2 * HARD_TTL_MS + RETRY_MS)), Next::Refresh);
    assert_eq!(served(&edge), STOPPED);
}

#[test]
fn the_last_good_configuration_stays() {
    let older = revision(6, 0);
    let unknown_version = document(&json!({"revision": 8, "stable": "9.9.9"}));
    let rows: [(Value<'_>, &str); 6] = [
        (ABSENT, "is missing"),
        (Ok(Some("")), "is not valid JSON"),
        (Ok(Some("{")), "is not valid JSON"),
        (Ok(Some("{}")), "is missing"),
        (Ok(Some(&unknown_version)), "names version 9.9.9"),
        (Ok(Some(&older)), "has revision 6, older than revision 7"),
    ];
    for (config, complaint) in rows {
        let mut edge = warm();
        let generation = edge.generation;
        // However often it is read, it is as bad, and said to be.
        for millis in [10, 20] {
            apply(&mut edge, config.clone(), ABSENT, millis);
            let problems = &edge.config_problems;
            assert!(
                problems[0].message.contains(complaint),
                "{problems:?} for {config:?}"
            );
            assert_eq!(served(&edge), BETA, "{config:?}");
            assert_eq!(edge.generation, generation);
        }
        // KV was read well: that is not what is wrong.
        assert_eq!((&edge.read_error, edge.confirmed), (&None, Some(at(20))));
        // Mended.
        apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, 30);
        assert_eq!(edge.config_problems, []);
        assert_eq!(served(&edge), BETA);
    }
}

#[test]
fn revisions_only_rise() {
    let mut edge = warm();
    for (read, expect) in [
        (revision(8, 0), "8: 1.0.4 default"),
        // A place that has not heard of 8 yet.
        (revision(7, 25), "8: 1.0.4 default"),
        (revision(0, 25), "8: 1.0.4 default"),
        // A person's edit that forgot the revision: what KV says counts.
        (revision(8, 100), "8: 1.1.0-beta.2 bucket"),
        (revision(9, 0), "9: 1.0.4 default"),
        (revision(1_000_000, 25), "1000000: 1.1.0-beta.2 bucket"),
    ] {
        apply(&mut edge, Ok(Some(&read)), ABSENT, 10);
        assert_eq!(served(&edge), expect);
    }
}

/// What follows a person's document has to fit as well.
#[test]
fn what_leaves_no_room_is_not_taken_from_a_person() {
    let mut edge = warm();
    let far = revision(1 << 50, 0);
    apply(&mut edge, Ok(Some(&far)), ABSENT, 6_000);
    assert_eq!(served(&edge), BETA);
    assert_eq!(edge.config_problems[0].path, "/revision");
    let long = revision(8, 0) + &" ".repeat(MAX_BYTES);
    apply(&mut edge, Ok(Some(&long)), ABSENT, 12_000);
    assert_eq!(served(&edge), BETA);
    assert!(edge.config_problems[0].message.contains("at most 1048576"));
    // From the ledger it is.
    for text in [long, far] {
        let own = Some(kv::Value {
            metadata: Some(kv::Metadata::of(8, &text)),
            text,
        });
        let mut edge = warm();
        let ticket = edge.begin();
        let read = Read {
            config: Ok(own),
            stop: Ok(None),
        };
        edge.apply(read, ticket, at(18_000));
        assert_eq!(edge.config_problems, []);
    }
}

#[test]
fn a_stop_that_cannot_be_read_stays_as_it_was() {
    let config = revision(7, 25);
    let mut edge = warm();
    for (stop, expect) in [
        (FAILED, BETA),
        (Ok(Some("all")), STOPPED),
        (FAILED, STOPPED),
        (Err(ReadError::Timeout), STOPPED),
        // Deleted: everything resumes.
        (ABSENT, BETA),
        (Ok(Some("v1.1.0-beta")), STOPPED),
        (Ok(Some("")), STOPPED),
        (ABSENT, BETA),
    ] {
        apply(&mut edge, Ok(Some(&config)), stop.clone(), 10);
        assert_eq!(served(&edge), expect, "{stop:?}");
    }
    // It is felt as well when the configuration cannot be read, or is broken.
    for broken in [FAILED, ABSENT, Ok(Some("{"))] {
        let mut edge = warm();
        apply(&mut edge, broken.clone(), Ok(Some("all")), 10);
        assert_eq!(served(&edge), STOPPED, "{broken:?}");
    }
}

/// Until the stop was read once it could be on, so nothing but the fallback is served.
#[test]
fn a_configuration_alone_is_not_enough() {
    let mut edge = cold();
    apply(&mut edge, Ok(Some(&revision(7, 25))), FAILED, 0);
    assert_eq!(served(&edge), FALLBACK);
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, 1);
    assert_eq!(served(&edge), BETA);

    // Nor is a stop alone; but it is kept, and turns features off.
    let mut edge = cold();
    apply(&mut edge, FAILED, Ok(Some("all")), 0);
    assert_eq!(served(&edge), FALLBACK);
    assert_ne!(edge.snapshot.stop, caro_edge::core::stop::Stop::None);
    apply(&mut edge, Ok(Some(&revision(7, 25))), FAILED, 1);
    assert_eq!(served(&edge), STOPPED);
}

/// A stop is read against the configuration of the moment, whichever of the two came first.
#[test]
fn a_stop_by_name_follows_the_configuration() {
    let mut edge = warm();
    let other = json!({"revision": 8, "releases": {
        "v1.0.3": {"version": "1.0.3", "percentage": 100, "state": "active"}}});
    // Not known yet, so it counts as all.
    apply(
        &mut edge,
        Ok(Some(&revision(7, 25))),
        Ok(Some("v1.0.3")),
        10,
    );
    assert_eq!(served(&edge), STOPPED);
    // The release arrives: now it is the one that is stopped.
    apply(
        &mut edge,
        Ok(Some(&document(&other))),
        Ok(Some("v1.0.3")),
        20,
    );
    assert_eq!(served(&edge), "8: 1.1.0-beta.2 bucket");
    assert_eq!(decided(&edge.snapshot, "outside"), "1.0.4 default");
}

/// Whoever derives things from a snapshot sees by the generation that they are old. It rises when
/// something changed, and only then.
#[test]
fn generations() {
    let mut edge = cold();
    let mut last = edge.generation;
    let mut check = |config: Value<'_>, stop: Value<'_>, rises: bool| {
        apply(&mut edge, config.clone(), stop.clone(), 10);
        let expect = last.wrapping_add(u32::from(rises));
        assert_eq!(edge.generation, expect, "{config:?} {stop:?}");
        last = expect;
    };
    let (seven, eight) = (revision(7, 25), revision(8, 50));
    let blanks = format!("{seven}\n");
    check(FAILED, FAILED, false);
    check(Ok(Some(&seven)), ABSENT, true);
    check(Ok(Some(&seven)), ABSENT, false);
    check(FAILED, ABSENT, false);
    check(Ok(Some(&seven)), FAILED, false);
    // Other text, same meaning.
    check(Ok(Some(&blanks)), ABSENT, false);
    check(Ok(Some("{")), ABSENT, false);
    check(Ok(Some(&seven)), ABSENT, false);
    check(Ok(Some(&eight)), ABSENT, true);
    check(Ok(Some(&seven)), ABSENT, false);
    check(Ok(Some(&eight)), Ok(Some("all")), true);
    check(Ok(Some(&eight)), Ok(Some("all")), false);
    check(Ok(Some(&eight)), Ok(Some("ALL")), true);
    check(FAILED, ABSENT, true);
}

/// What the ledger says is in force.
fn current(edge: &mut Edge, number: u64, percentage: u64, stop: Option<&str>, millis: u64) {
    let current = Current {
        revision: number,
        config: Some(revision(number, percentage)),
        stop: stop.map(str::to_owned),
    };
    edge.apply_current(current, Some(number), at(millis));
}

#[test]
fn who_was_told_of_a_revision_is_not_answered_from_before_it() {
    let mut edge = warm();
    assert!(!edge.wants_revision(None, at(100)));
    assert!(!edge.wants_revision(Some(7), at(100)));
    assert!(!edge.wants_revision(Some(u64::MAX), at(100)));
    assert!(edge.wants_revision(Some(8), at(100)));
    current(&mut edge, 8, 0, None, 100);
    assert_eq!(served(&edge), "8: 1.0.4 default");
    assert!(!edge.wants_revision(Some(8), at(100)));
}

/// Anybody can name a revision.
#[test]
fn the_ledger_is_not_asked_without_end() {
    let mut edge = warm();
    let mut asked = 0;
    for _ in 0..1000 {
        if edge.wants_revision(Some(99), at(100)) {
            asked += 1;
            let current = Current {
                revision: 7,
                config: Some(revision(7, 25)),
                stop: None,
            };
            edge.apply_current(current, Some(99), at(100));
        }
    }
    assert_eq!(asked, 20);
    assert!(edge.wants_revision(Some(99), at(1100)));
    // Many who were told at once are all answered from it.
    assert!((0..1000).all(|_| edge.wants_revision(Some(8), at(1100))));
}

#[test]
fn kv_behind_the_ledger_takes_nothing_back() {
    let mut edge = warm();
    current(&mut edge, 8, 25, Some("all"), 100);
    assert_eq!(served(&edge), "8: 1.0.4 emergency_stop");
    // A replica from before the change: neither its configuration nor the absence of its stop counts.
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, 5_000);
    assert_eq!(served(&edge), "8: 1.0.4 emergency_stop");
    assert!(edge.config_problems.is_empty());
    // It has caught up, and then the stop is lifted.
    apply(
        &mut edge,
        Ok(Some(&revision(8, 25))),
        Ok(Some("all")),
        10_000,
    );
    assert_eq!(served(&edge), "8: 1.0.4 emergency_stop");
    apply(&mut edge, Ok(Some(&revision(8, 25))), ABSENT, 15_000);
    assert_eq!(served(&edge), "8: 1.1.0-beta.2 bucket");
}

/// Which revision a stop belongs to is known only with the configuration beside it.
#[test]
fn half_a_read_lifts_no_stop_that_the_ledger_told_of() {
    let mut edge = warm();
    current(&mut edge, 8, 25, Some("all"), 100);
    apply(&mut edge, FAILED, ABSENT, 5_000);
    assert_eq!(served(&edge), "8: 1.0.4 emergency_stop");
    apply(&mut edge, ABSENT, ABSENT, 10_000);
    assert_eq!(served(&edge), "8: 1.0.4 emergency_stop");
    apply(&mut edge, Ok(Some(&revision(8, 25))), ABSENT, 15_000);
    assert_eq!(served(&edge), "8: 1.1.0-beta.2 bucket");
}

#[test]
fn a_stop_in_a_replica_that_is_behind_stops() {
    let mut edge = warm();
    current(&mut edge, 8, 25, None, 100);
    apply(
        &mut edge,
        Ok(Some(&revision(7, 25))),
        Ok(Some("all")),
        5_000,
    );
    assert_eq!(served(&edge), "8: 1.0.4 emergency_stop");
}

/// Beyond what KV may be behind it is KV that counts: the ledger was perhaps set back.
#[test]
fn kv_is_not_disbelieved_for_ever() {
    let mut edge = warm();
    current(&mut edge, 8, 25, Some("all"), 0);
    apply(&mut edge, Ok(Some(&revision(7, 25))), ABSENT, 121_000);
    assert_eq!(served(&edge), "8: 1.1.0-beta.2 bucket");
    assert_eq!(edge.config_problems.len(), 1);
}

#[test]
fn asking_the_ledger_puts_off_no_look_at_kv() {
    let mut edge = warm();
    let soft = SOFT_TTL_MS;
    current(&mut edge, 8, 25, None, soft - 1);
    assert_eq!(edge.next(at(soft)), Next::Refresh);
    // A read that had begun before is still taken in.
    let ticket = edge.begin();
    current(&mut edge, 9, 25, None, soft + 1);
    let read = Read {
        config: Ok(Some(value(revision(7, 25)))),
        stop: Ok(Some(value("all"))),
    };
    edge.apply(read, ticket, at(soft + 2));
    assert_eq!(served(&edge), "9: 1.0.4 emergency_stop");
}
