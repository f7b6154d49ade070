//! What the largest configuration that is taken keeps in memory: an isolate has 128 MB, and ours is to stay below
//! 48. Counted natively, where pointers are twice as long as in wasm.

#![cfg(not(target_arch = "wasm32"))]
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use caro_edge::api::edge::{Edge, Read};
use caro_edge::core::defaults::Defaults;
use caro_edge::core::ledger::kv::Value;
use caro_edge::core::time::Timestamp;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is left to the system's allocator; only sizes are added up.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const MB: usize = 1 << 20;

/// So many features, and releases that each have one of their own.
fn document(features: usize, releases: usize) -> String {
    let sha = "1".repeat(64);
    let build = format!(
        r#"{{"assets":{{"linux-amd64":{{"size":1,"sha256":"{sha}"}}}},
        "excluded_platforms":["linux-arm64","macos-intel","macos-silicon","windows-amd64"]}}"#
    );
    let own = features / releases;
    let each = |f: &dyn Fn(usize) -> String| (0..releases).map(f).collect::<Vec<_>>().join(",");
    let version = |i: usize| format!("1.{}.0-beta.1", i + 1);
    let rule = r#","rules":[{"if":{"attribute":"os","in":["linux","macos"]},"percentage":50}]"#;
    let flags = |release: usize| {
        let flag = |i: usize| {
            let rule = if i.is_multiple_of(3) { rule } else { "" };
            format!(r#""feature_{release:03}_{i:04}":{{"percentage":25{rule}}}"#)
        };
        (0..own).map(flag).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"schema":1,"revision":1,"salt":"000102030405060708090a0b0c0d0e0f","stable":"1.0.4",
        "versions":{{"1.0.4":{build},{}}},"releases":{{{}}},"features":{{{}}}}}"#,
        each(&|i| format!(r#""{}":{build}"#, version(i))),
        each(&|i| format!(
            r#""v{}":{{"version":"{}","percentage":25,"state":"active"}}"#,
            version(i),
            version(i)
        )),
        each(&|i| format!(r#""v{}":{{{}}}"#, version(i), flags(i))),
    )
}

fn read(text: &str, revision: u64) -> Read {
    let text = text.replace(r#""revision":1"#, &format!(r#""revision":{revision}"#));
    Read {
        config: Ok(Some(Value::of_ledger(text, revision))),
        stop: Ok(None),
    }
}

#[test]
fn five_thousand_features_of_a_hundred_releases() {
    let text = document(5_000, 100);
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut edge = Edge::new(Defaults::default(), Vec::new());
    for revision in 1..=3 {
        // A change while the last one is served: for a moment there are two.
        let ticket = edge.begin();
        edge.apply(read(&text, revision), ticket, Timestamp::from_millis(0));
    }
    assert_eq!(edge.snapshot.revision, Some(3));
    let kept = NOW.load(Ordering::Relaxed) - before;
    let most = MOST.load(Ordering::Relaxed) - before;
    println!(
        "{} kB of text: {} kB kept, {} kB at most",
        text.len() / 1000,
        kept / 1000,
        most / 1000
    );
    assert!(kept < 20 * MB, "{kept} bytes are kept");
    assert!(most < 40 * MB, "{most} bytes at most");
}
