//! A client that watches: what it calls back with, how fast it ends, and that nothing is left of it.

#![cfg(all(feature = "client", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use caro_edge::client::{Change, Client, Outcome, Watch};
use serde_json::{Value, json};
use tempfile::tempdir;

mod support;
#[path = "support/unsound.rs"]
mod unsound;

use unsound::{Clock, Fault, Router, builder};

const HOUR: i64 = 3600;
const LONG: Duration = Duration::from_secs(20);

/// One at a time, because threads are counted.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads of watches, by the name that the system knows.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "caro-flags").count()
}

/// Waits until the threads of all watches are gone. A thread that was joined is listed for a moment longer.
fn gone() {
    let begun = Instant::now();
    while threads() > 0 {
        assert!(begun.elapsed() < LONG, "a watch's thread goes on");
        thread::yield_now();
    }
}

fn flag(revision: u64, on: bool) -> Value {
    json!({"revision": revision, "features": {"v1.1.0-beta": {"flag": on}}})
}

fn watched(client: &Client) -> (Watch, Receiver<Vec<Change>>) {
    let (tell, told) = channel();
    let callback = move |changes: &[Change]| tell.send(changes.to_vec()).unwrap_or_default();
    (client.watch(callback).unwrap(), told)
}

/// What it called back with, as JSON.
fn next(told: &Receiver<Vec<Change>>) -> Value {
    serde_json::to_value(told.recv_timeout(LONG).unwrap()).unwrap()
}

#[test]
fn it_tells_what_is_different() {
    let _alone = alone();
    let folder = tempdir().unwrap();
    let file = folder.path().join("features.toml");
    let clock = Clock::default();
    let router = Router::start(&flag(7, true), &clock);
    let client = builder(&router, &clock)
        .defaults([("flag", false)])
        .overrides(&file)
        .build()
        .unwrap();
    let (watch, told) = watched(&client);
    // At once, without being asked.
    let first = next(&told);
    assert!(
        first
            .as_array()
            .unwrap()
            .contains(&json!({"key": "flag", "old": false, "new": true}))
    );
    // By the router, when it is time.
    router.set(&flag(8, false), None);
    clock.forward(2 * HOUR);
    watch.look();
    assert_eq!(
        next(&told),
        json!([{"key": "flag", "old": true, "new": false}])
    );
    // By the person at the machine, who waits for no hour.
    fs::write(&file, "[features]\nflag = true\n").unwrap();
    watch.look();
    assert_eq!(
        next(&told),
        json!([{"key": "flag", "old": false, "new": true}])
    );
    assert!(client.bool("flag", false));
    // A file in the middle of being edited changes nothing.
    fs::write(&file, "[features").unwrap();
    watch.look();
    // By another thread's refresh.
    router.set(&json!({"revision": 9, "kill_switches": {"features": ["flag"]}, "features": {"v1.1.0-beta": {"flag": true}}}), None);
    clock.forward(2 * HOUR);
    client.refresh();
    watch.look();
    assert_eq!(
        next(&told),
        json!([{"key": "flag", "old": true, "new": false}])
    );
    assert!(
        client
            .status()
            .warnings
            .iter()
            .any(|warning| warning.contains("is not TOML"))
    );
    assert_eq!(router.count(), 3);
    drop(watch);
    assert_eq!(told.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    gone();
}

/// Whatever the request hangs in, its end does not wait for it.
#[test]
fn it_ends_at_once() {
    let _alone = alone();
    for fault in [Fault::Hang, Fault::Drip, Fault::Endless, Fault::None] {
        let clock = Clock::default();
        let router = Router::start(&flag(7, true), &clock);
        router.fail(fault.clone());
        let client = builder(&router, &clock)
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        let (watch, told) = watched(&client);
        router.wait_for(1);
        let start = Instant::now();
        drop(watch);
        let took = start.elapsed();
        assert!(took < LONG, "{fault:?}: {took:?} of the request's minute");
        gone();
        // What was under way may have come just in time. This ends when the callback is gone.
        told.into_iter().for_each(drop);
        // The client goes on without it, and what was broken off is no failure.
        let status = client.status();
        assert!(
            status.failures == 0 || matches!(fault, Fault::Endless),
            "{status:?}"
        );
        router.fail(Fault::None);
        clock.forward(2 * HOUR);
        let outcome = client.refresh().outcome;
        assert!(
            matches!(outcome, Outcome::Fetched | Outcome::NotModified),
            "{outcome:?}"
        );
    }
}

/// A machine that answers no packet: connecting cannot be broken off, and is not waited for.
#[test]
fn it_ends_at_once_where_nobody_answers() {
    let _alone = alone();
    // A listener whose queue is full drops what comes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        queue.push(stream);
    }
    let clock = Clock::default();
    let client = Client::builder(&format!("http://{address}"))
        .release("v1")
        .no_cache()
        .no_overrides();
    let client = client
        .timeout(Duration::from_millis(800))
        .world(clock)
        .build()
        .unwrap();
    let (watch, told) = watched(&client);
    // A connection to that port of which only the first packet was sent, as the system lists it.
    let line = format!(":{:04X} 02 ", address.port());
    let begun = Instant::now();
    while !fs::read_to_string("/proc/self/net/tcp")
        .unwrap()
        .contains(&line)
    {
        assert!(begun.elapsed() < LONG, "it does not connect");
        thread::yield_now();
    }
    let start = Instant::now();
    drop(watch);
    let took = start.elapsed();
    assert!(took < Duration::from_millis(100), "{took:?}");
    // The thread ends with the timeout, and tells nobody anything.
    assert_eq!(told.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    let hung = start.elapsed();
    assert!(
        hung > Duration::from_millis(200) && hung < Duration::from_secs(5),
        "{hung:?}"
    );
}

#[test]
fn it_asks_only_when_it_is_time() {
    let _alone = alone();
    let clock = Clock::default();
    let router = Router::start(&flag(7, true), &clock);
    router.fail(Fault::Status(500, None));
    let client = builder(&router, &clock).build().unwrap();
    let watches: Vec<_> = (0..3).map(|_| watched(&client)).collect();
    router.wait_for(1);
    for _ in 0..50 {
        watches.iter().for_each(|(watch, _)| watch.look());
        thread::yield_now();
    }
    // A refresh that finds nothing to do has seen that the first was noted.
    while client.refresh().outcome != Outcome::NotDue {}
    drop(watches);
    assert_eq!(router.count(), 1);
    gone();
}

#[test]
fn one_request_at_a_time() {
    let _alone = alone();
    let clock = Clock::default();
    let router = Router::start(&flag(7, true), &clock);
    router.fail(Fault::Hang);
    let client = builder(&router, &clock).build().unwrap();
    let watch = watched(&client);
    router.wait_for(1);
    let start = Instant::now();
    assert_eq!(client.refresh().outcome, Outcome::Busy);
    // Reading and looking wait for nothing.
    assert!(client.bool("validation_retry", false));
    assert_eq!(client.status().failures, 0);
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(watch);
    assert_eq!(router.count(), 1);
}

#[test]
fn a_callback_may_end_its_own_watch() {
    let _alone = alone();
    let clock = Clock::default();
    let router = Router::start(&flag(7, true), &clock);
    let client = builder(&router, &clock).build().unwrap();
    let (ended, end) = channel();
    let own: Arc<Mutex<Option<Watch>>> = Arc::default();
    let theirs = Arc::clone(&own);
    let mut held = own.lock().unwrap();
    let callback = move |_: &[Change]| {
        drop(theirs.lock().unwrap().take());
        ended.send(()).unwrap();
    };
    *held = Some(client.watch(callback).unwrap());
    drop(held);
    end.recv_timeout(LONG).unwrap();
    // The sender goes with the thread.
    assert_eq!(end.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
}

/// A callback that panics takes only its own watch along.
#[test]
fn a_callback_may_panic() {
    let _alone = alone();
    let clock = Clock::default();
    let router = Router::start(&flag(7, true), &clock);
    let client = builder(&router, &clock).build().unwrap();
    let (ended, end) = channel::<()>();
    let callback = move |_: &[Change]| {
        let _ended = &ended;
        panic!("the program's own");
    };
    let watch = client.watch(callback).unwrap();
    assert_eq!(end.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    assert!(client.bool("flag", false));
    clock.forward(2 * HOUR);
    assert_eq!(client.refresh().outcome, Outcome::NotModified);
    drop(watch);
    gone();
}

/// Readers of many threads while values change: never anything in between, never a wait for the network.
#[test]
fn readers_see_one_time() {
    let _alone = alone();
    let clock = Clock::default();
    let both = |revision: u64, on: bool| json!({"revision": revision, "features": {"v1.1.0-beta": {"flag": on, "other": on}}});
    let router = Router::start(&both(7, true), &clock);
    let client = builder(&router, &clock).build().unwrap();
    client.refresh();
    let all_read = Barrier::new(3);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while client.status().revision < Some(27) {
                        let values = client.values();
                        let value = |key| values.get(key).unwrap().value.clone();
                        assert_eq!(value("flag"), value("other"));
                        reads += 1;
                        if reads == 1 {
                            all_read.wait();
                        }
                    }
                    reads
                })
            })
            .collect();
        all_read.wait();
        for revision in 8..=27 {
            router.set(&both(revision, revision % 2 == 1), None);
            clock.forward(2 * HOUR);
            assert_eq!(client.refresh().outcome, Outcome::Fetched);
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}
