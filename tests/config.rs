//! The document in KV: what is refused, where, and with which words. A person reads them at three
//! in the morning, so every problem of a document is said at once.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/problems.rs"]
mod problems;
mod support;

use caro_edge::core::config::{Config, MAX_BYTES, RESERVE_BYTES};
use serde_json::{Value, json};

use problems::{check, check_patch, check_words, problems};
use support::{CONFIG, document, merge};

#[test]
fn the_golden_document_is_good() {
    check(CONFIG, &[]);
    let config = Config::parse(CONFIG).unwrap();
    assert_eq!(
        (
            config.revision,
            config.versions.len(),
            config.features.len()
        ),
        (7, 4, 2)
    );
}

#[test]
fn the_smallest_document_is_good() {
    let least = json!({"schema": 1, "revision": 0, "salt": "00".repeat(16), "stable": "1.0.0",
        "versions": {"1.0.0": {"assets": {}, "excluded_platforms": ["linux-amd64", "linux-arm64",
        "macos-intel", "macos-silicon", "windows-amd64"]}}});
    check(&least.to_string(), &[]);
    let mut text = least.clone();
    merge(
        &mut text,
        &json!({"experiments": {}, "policy": {}, "canary": {"enabled": true}}),
    );
    check(&text.to_string(), &[]);
}

#[test]
fn what_is_no_document() {
    check("", &[("", "is not valid JSON")]);
    check(
        "{\"schema\": 1,\n  \"revision\": }",
        &[("", "line 2 column 15")],
    );
    check("{} {}", &[("", "trailing characters at line 1 column 4")]);
    check("{'schema': 1}", &[("", "line 1 column 2")]);
    check("\u{feff}{}", &[("", "line 1 column 1")]);
    check("null", &[("", "must be an object, not null")]);
    check("[]", &[("", "must be an object, not an array")]);
    check("\"all\"", &[("", "must be an object, not a string")]);
    check("1e999", &[("", "line 1 column")]);
    check(
        &"[".repeat(100_000),
        &[("", "recursion limit exceeded at line 1 column 128")],
    );
    check(
        &" ".repeat(MAX_BYTES + RESERVE_BYTES + 1),
        &[("", "at most 1048576 are read")],
    );
    check(
        "{}",
        &[
            ("/schema", "is missing"),
            ("/revision", "is missing"),
            ("/salt", "is missing"),
            ("/stable", "is missing"),
            ("/versions", "is missing"),
        ],
    );
}

#[test]
fn fields() {
    check_patch(
        &json!({"relases": {}}),
        &[(
            "/relases",
            "is not a known field; the fields here are schema,",
        )],
    );
    check_patch(
        &json!({"a/b~c": 1}),
        &[("/a~1b~0c", "is not a known field")],
    );
    let inner = json!({"releases": {"v1.1.0-beta": {"percent": 1}}});
    check_patch(&inner, &[("/releases/v1.1.0-beta/percent", "percentage")]);
    let twice = CONFIG.replace("\"revision\": 7,", "\"revision\": 7, \"revision\": 8,");
    check(&twice, &[("/revision", "is there twice")]);
    let twice = CONFIG.replace(
        "\"percentage\": 25,",
        "\"percentage\": 0, \"percentage\": 25,",
    );
    check(
        &twice,
        &[("/releases/v1.1.0-beta/percentage", "is there twice")],
    );
    // The same key, written with an escape.
    let twice = CONFIG.replace("\"stable\"", "\"st\\u0061ble\": \"1.0.4\", \"stable\"");
    check(&twice, &[("/stable", "is there twice")]);

    let kinds = json!({"schema": "1", "revision": -1, "salt": 5, "stable": 1.0, "releases": [],
        "features": null, "cohorts": "x", "canary": true, "kill_switches": 0});
    let mut document: Value = serde_json::from_str(CONFIG).unwrap();
    for (key, value) in kinds.as_object().unwrap() {
        document[key] = value.clone();
    }
    check(
        &document.to_string(),
        &[
            ("/schema", "must be a whole number from 1 to 1"),
            (
                "/revision",
                "must be a whole number from 0 to 9007199254740991",
            ),
            ("/salt", "must be a string, not a number"),
            ("/stable", "must be a string, not a number"),
            ("/releases", "must be an object, not an array"),
            ("/features", "must be an object, not null"),
            ("/cohorts", "must be an object, not a string"),
            ("/canary", "must be an object, not a boolean"),
            ("/kill_switches", "must be an object, not a number"),
        ],
    );
}

/// Everything that is named elsewhere in the document must be there.
#[test]
fn references() {
    let there = "which is not under /versions; there: 1.0.3, 1.0.4, 1.1.0-beta.1, 1.1.0-beta.2";
    let checks = [
        (json!({"stable": "1.0.5"}), "/stable", there),
        // A version that nothing else stands for, either.
        (json!({"stable": "0.0.0"}), "/stable", "names version 0.0.0"),
        (
            json!({"stable": "1.1.0-beta.2"}),
            "/stable",
            "is a pre-release",
        ),
        (
            json!({"releases": {"v1.1.0-beta": {"version": "1.2.0"}}}),
            "/releases/v1.1.0-beta/version",
            there,
        ),
        (
            json!({"releases": {"v1.1.0-beta": {"version": "0.0.0"}}}),
            "/releases/v1.1.0-beta/version",
            there,
        ),
        (
            json!({"releases": {"v1.1.0-beta": {"cohorts": ["nobody"]}}}),
            "/releases/v1.1.0-beta/cohorts",
            "names the cohort nobody",
        ),
        (
            json!({"features": {"*": {"a": {"cohorts": ["nobody"]}}}}),
            "/features/*/a/cohorts",
            "names the cohort nobody",
        ),
        (
            json!({"features": {"v2": {}}}),
            "/features/v2",
            "names a release that is not under /releases",
        ),
        (
            json!({"kill_switches": {"cohorts": ["nobody"]}}),
            "/kill_switches/cohorts",
            "names the cohort nobody",
        ),
    ];
    for (patch, path, part) in checks {
        check_patch(&patch, &[(path, part)]);
    }
    // Offered to people, so every platform must have its asset; a draft may still lack some.
    let incomplete = |state: &str| {
        json!({"versions": {"1.1.0-beta.2": {"assets": {"macos-intel": null}}},
        "releases": {"v1.1.0-beta": {"state": state}}})
    };
    check_patch(&incomplete("draft"), &[]);
    for state in ["active", "paused", "stopped", "complete"] {
        let at = "/versions/1.1.0-beta.2/assets/macos-intel";
        check_patch(
            &incomplete(state),
            &[(at, "/releases/v1.1.0-beta/version offers this version")],
        );
    }
}

#[test]
fn all_problems_at_once() {
    let patch = json!({
        "salt": "x", "stable": "1.0.5", "typo": 1,
        "versions": {"1.0.4": {"assets": {"linux-amd64": {"url": "http://example.org", "sha256": "0".repeat(64)}}}},
        "releases": {"v1.1.0-beta": {"percentage": 101, "cohorts": ["nobody"]}},
        "cohorts": {"internal_test": {"percentage": 33.3333}},
    });
    check_patch(
        &patch,
        &[
            ("/salt", "32 lowercase"),
            ("/versions/1.0.4/assets/linux-amd64/url", "https://"),
            ("/versions/1.0.4/assets/linux-amd64/sha256", "placeholder"),
            ("/releases/v1.1.0-beta/percentage", "0 to 100"),
            ("/cohorts/internal_test/percentage", "three decimals"),
            ("/typo", "known field"),
            ("/stable", "names version 1.0.5"),
            ("/releases/v1.1.0-beta/cohorts", "nobody"),
        ],
    );
    // A hostile document cannot make an endless list.
    let many: Vec<u32> = (0..5_000).collect();
    let got = problems(&document(&json!({"canary": {"allowlist": many}})));
    assert_eq!(got.len(), 101);
    assert_eq!(got[100].message, "has 4900 more problems, not listed");
}

/// `/health` shows problems to anyone, so they must not quote whom somebody listed by mistake.
#[test]
fn a_members_text_is_never_repeated() {
    let who = "alice@example.org";
    for item in [
        json!(who),
        json!({"unit": who}),
        json!({who: true}),
        json!({"unit": "0".repeat(32), who: "x"}),
        json!({"unit": "0".repeat(32), "label": who.repeat(5)}),
        json!([who]),
    ] {
        for (place, patch) in [
            (
                "/canary/allowlist",
                json!({"canary": {"allowlist": [item]}}),
            ),
            (
                "/cohorts/internal_test/members",
                json!({"cohorts": {"internal_test": {"members": [item]}}}),
            ),
            (
                "/releases/v1.1.0-beta/deny",
                json!({"releases": {"v1.1.0-beta": {"deny": [item]}}}),
            ),
        ] {
            let got = problems(&document(&patch));
            assert!(!got.is_empty(), "{item}");
            for problem in got {
                assert!(problem.path.starts_with(&format!("{place}/0")), "{problem}");
                assert!(!problem.to_string().contains("alice"), "{problem}");
                check_words(&problem.message);
            }
        }
    }
    let get = |list: Value| problems(&document(&json!({"canary": {"allowlist": list}})));
    assert!(
        get(json!(["0".repeat(31)]))[0]
            .message
            .contains("never the id itself")
    );
    assert_eq!(
        get(json!([{"unit": "0".repeat(32), "label": "a friend"}, "0".repeat(32)])),
        []
    );
    // An object instead of a list is not looked into.
    let table =
        problems(&CONFIG.replace("[\"59b30fbca8538a0887e8ec8baf7cfe7f\"]", "{\"alice\": 1}"));
    assert_eq!(
        table[0].to_string(),
        "/canary/allowlist: must be an array, not an object"
    );
}
