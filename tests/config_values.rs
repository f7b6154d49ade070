//! The values in a document: which numbers, hashes, URLs and names are taken, and what is said of
//! the others. `tests/config.rs` is about the document as a whole.

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

use serde_json::{Value, json};

use problems::check_patch;

#[test]
fn numbers_and_hashes() {
    let one = |patch: Value, path: &str, part: &str| check_patch(&patch, &[(path, part)]);
    for schema in [json!(0), json!(2), json!(1.5), json!(true)] {
        one(
            json!({"schema": schema}),
            "/schema",
            "must be a whole number from 1 to 1",
        );
    }
    one(
        json!({"algorithm": 2}),
        "/algorithm",
        "must be a whole number from 1 to 1",
    );
    for revision in [
        json!(-1),
        json!(0.5),
        json!(9_007_199_254_740_992_u64),
        json!(1e300),
        json!("7"),
    ] {
        one(
            json!({"revision": revision}),
            "/revision",
            "must be a whole number from 0",
        );
    }
    let hex = "must be 32 lowercase hexadecimal digits";
    for salt in [
        "",
        "00",
        &"0".repeat(31),
        &"0".repeat(33),
        &"A".repeat(32),
        &"g".repeat(32),
    ] {
        one(json!({"salt": salt}), "/salt", hex);
    }

    let path = "/releases/v1.1.0-beta/percentage";
    for (percentage, part) in [
        (json!(100.0001), "must be a percentage from 0 to 100"),
        (json!(100.001), "must be a percentage from 0 to 100"),
        (json!(-1), "must be a percentage from 0 to 100"),
        (json!(33.3333), "must have at most three decimals"),
        (json!(0.0001), "must have at most three decimals"),
        (json!("25"), "must be a number from 0 to 100, not a string"),
        (json!("25%"), "must be a number from 0 to 100, not a string"),
    ] {
        one(
            json!({"releases": {"v1.1.0-beta": {"percentage": percentage}}}),
            path,
            part,
        );
    }
    for good in [
        json!(0),
        json!(100),
        json!(100.0),
        json!(0.001),
        json!(33.333),
        json!(2.5e1),
    ] {
        check_patch(
            &json!({"releases": {"v1.1.0-beta": {"percentage": good}}}),
            &[],
        );
    }
}

#[test]
fn assets() {
    let at = "/versions/1.0.4/assets/linux-amd64";
    let asset = |patch: Value| json!({"versions": {"1.0.4": {"assets": {"linux-amd64": patch}}}});
    let one = |patch: Value, field: &str, part: &str| {
        check_patch(&asset(patch), &[(&format!("{at}{field}"), part)]);
    };
    // Missing, with who needs it; or left out on purpose; or both.
    one(
        Value::Null,
        "",
        "is missing, and /stable offers this version; add the asset, or",
    );
    let exclude = |names: Value| json!({"versions": {"1.0.4": {"excluded_platforms": names}}});
    check_patch(
        &exclude(json!(["linux-amd64"])),
        &[("/versions/1.0.4", "both has and excludes linux-amd64")],
    );
    check_patch(
        &exclude(json!(["linux"])),
        &[(
            "/versions/1.0.4/excluded_platforms/0",
            "is not a platform; they are linux-amd64,",
        )],
    );
    let left_out = json!({"versions": {"1.0.4": {"assets": {"linux-amd64": null}, "excluded_platforms": ["linux-amd64"]}}});
    check_patch(&left_out, &[]);
    check_patch(
        &json!({"versions": {"1.0.4": {"assets": {"solaris": {}}}}}),
        &[(
            "/versions/1.0.4/assets/solaris",
            "is not a platform; they are linux-amd64,",
        )],
    );

    one(json!({"size": null}), "/size", "is missing");
    for size in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!(4_294_967_297_u64),
        json!("1"),
    ] {
        one(
            json!({"size": size}),
            "/size",
            "must be a whole number from 1 to 4294967296",
        );
    }
    for sha in ["", "abc", &"A".repeat(64), &"0".repeat(63), &"z".repeat(64)] {
        one(
            json!({"sha256": sha}),
            "/sha256",
            "must be 64 lowercase hexadecimal digits",
        );
    }
    one(
        json!({"sha256": "0".repeat(64)}),
        "/sha256",
        "is a placeholder",
    );
    one(json!({"sha256": null}), "/sha256", "is missing");

    // A URL ends up in a script that people pipe into a shell.
    for url in [
        "",
        "http://example.org/x",
        "ftp://example.org/x",
        "HTTPS://example.org",
        "//x",
        "https://",
        "http://localhost.example.org/x",
        "http://127.0.0.1.example.org/",
        "http://user@localhost/",
        "http://[::1].example.org/",
        "javascript:alert(1)",
        " https://example.org/x",
    ] {
        one(json!({"url": url}), "/url", "must start with https://");
    }
    for byte in [
        "'", "\"", " ", "\n", "\r", "\t", "\0", "$", "`", "\\", ";", "|", "<", "(", "{", "*", "!",
        "#", "é",
    ] {
        let url = format!("https://example.org/{byte}x");
        one(
            json!({"url": url}),
            "/url",
            "may hold only letters, digits and",
        );
    }
    let long = format!("https://example.org/{}", "x".repeat(2048));
    one(
        json!({"url": long}),
        "/url",
        "must be at most 2048 characters long",
    );
    for url in [
        "https://example.org/a/b-1.0_x~y%20z?q=1&r=2",
        "http://localhost/x",
        "http://localhost:8080/x",
        "http://127.0.0.1:9/x",
        "http://[::1]:8080/x",
    ] {
        check_patch(&asset(json!({"url": url})), &[]);
    }
}

#[test]
fn names() {
    let checks = [
        (
            json!({"stable": "1.0"}),
            "/stable",
            "must be a version such as",
        ),
        (
            json!({"stable": "v1.0.4"}),
            "/stable",
            "must be a version such as",
        ),
        (
            json!({"versions": {"1.0.5+b": {}}}),
            "/versions/1.0.5+b",
            "must be a version such as",
        ),
        (
            json!({"releases": {"Beta": {}}}),
            "/releases/Beta",
            "must start with a lowercase letter or a digit",
        ),
        (
            json!({"releases": {"a b": {}}}),
            "/releases/a b",
            "may hold only lowercase letters, digits and .-_, not ' '",
        ),
        (
            json!({"releases": {"": {}}}),
            "/releases/",
            "must be 1 to 64 characters, not 0",
        ),
        (json!({"cohorts": {"x.y": {}}}), "/cohorts/x.y", "not '.'"),
        (
            json!({"features": {"*": {"A": true}}}),
            "/features/*/A",
            "must start with",
        ),
        (
            json!({"features": {"**": {}}}),
            "/features/**",
            "must start with",
        ),
        (
            json!({"releases": {"v1.1.0-beta": {"state": "on"}}}),
            "/releases/v1.1.0-beta/state",
            "must be one of draft, active,",
        ),
        (
            json!({"releases": {"v1.1.0-beta": {"rollout_id": "x y"}}}),
            "/releases/v1.1.0-beta/rollout_id",
            "not ' '",
        ),
        (
            json!({"features": {"*": {"a": 1}}}),
            "/features/*/a",
            "must be true, false or an object",
        ),
        (
            json!({"features": {"*": {"a": {"on_emergency": "stay"}}}}),
            "/features/*/a/on_emergency",
            "must be \"off\" or \"keep\"",
        ),
        (
            json!({"features": {"*": {"a": {"enabled": 1}}}}),
            "/features/*/a/enabled",
            "must be true or false, not a number",
        ),
        (
            json!({"policy": {"autonomy": 50}}),
            "/policy/autonomy",
            "is not a known field",
        ),
        (
            json!({"policy": {"approvals": {"clear_stop": 1}}}),
            "/policy/approvals/clear_stop",
            "must be true or false",
        ),
        (
            json!({"experiments": {"a": 1}}),
            "/experiments/a",
            "must be an object",
        ),
        (
            json!({"features": {"*": {"a": {"stage": "alpha"}}}}),
            "/features/*/a/stage",
            "must be one of development",
        ),
    ];
    for (patch, path, part) in checks {
        check_patch(&patch, &[(path, part)]);
    }
}
