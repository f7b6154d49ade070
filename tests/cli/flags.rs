//! Flags and kill switches.

use std::fs;

use crate::support::{Router, stderr, stdout};

#[test]
#[ignore = "needs the built Worker"]
fn flags_are_listed_shown_and_set() {
    let router = Router::start();
    let all = router.says(&["flag", "list"]);
    assert!(all.contains("static_matcher\t*\teverybody"), "{all}");
    let found = router.json(&["flag", "list", "--search", "matcher"]);
    assert_eq!(found["features"].as_array().unwrap().len(), 1, "{found:#}");

    // A new one, which nobody has: that is asked about, because somebody gets it.
    let asked = router
        .cli(&["flag", "set", "dark_mode", "true"])
        .assert()
        .code(2);
    assert!(
        stderr(&asked).contains("dark_mode: on for 100 % more"),
        "{}",
        stderr(&asked)
    );
    router.says(&[
        "flag",
        "set",
        "dark_mode",
        r#"{"percentage": 5, "owner": "web"}"#,
        "--yes",
    ]);
    let flag = router.json(&["flag", "get", "dark_mode"]);
    assert_eq!(flag["definition"]["percentage"], 5);
    assert_eq!(flag["definition"]["owner"], "web");
    assert_eq!(flag["release"], "*");
    // Seed 002's way, and `get` knows flags as well.
    router.says(&["rollout", "dark_mode", "10", "--yes"]);
    assert_eq!(
        router.json(&["get", "dark_mode"])["definition"]["percentage"],
        10
    );
    // A patch from a file; what it does not name stays.
    let file = router.home().join("patch.json");
    fs::write(&file, r#"{"percentage": 20}"#).unwrap();
    router.says(&[
        "flag",
        "set",
        "dark_mode",
        "--file",
        file.to_str().unwrap(),
        "--yes",
    ]);
    let flag = router.json(&["flag", "get", "dark_mode"]);
    assert_eq!(flag["definition"]["percentage"], 20);
    assert_eq!(flag["definition"]["owner"], "web");
    router.says(&["flag", "set", "dark_mode", "null", "--yes"]);
    router.cli(&["flag", "get", "dark_mode"]).assert().code(4);
}

#[test]
#[ignore = "needs the built Worker"]
fn what_cannot_be_a_flag_is_refused_at_its_place() {
    let router = Router::start();
    let check = |args: &[&str], code: i32, says: &str| {
        let failed = router.cli(args).assert().code(code);
        assert!(
            stderr(&failed).contains(says),
            "{args:?}: {}",
            stderr(&failed)
        );
    };
    check(&["flag", "set", "dark_mode", "yes"], 2, "not JSON");
    check(
        &["flag", "set", "dark_mode", r#"{"percentage": 200}"#],
        5,
        "/features/*/dark_mode/percentage",
    );
    check(&["flag", "set", "dark_mode"], 2, "PATCH");
    check(&["flag", "get", "dark_mode"], 4, "there is no");
    let lead = router.mint("engineering_lead");
    let denied = router
        .as_token(&lead, &["flag", "kill", "static_matcher"])
        .assert()
        .code(3);
    assert!(
        stderr(&denied).contains("release_manager"),
        "{}",
        stderr(&denied)
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn a_kill_is_one_command_and_its_restore_is_asked_about() {
    let router = Router::start();
    let done = router.says(&["flag", "kill", "static_matcher"]);
    assert!(done.starts_with("done:"), "{done}");
    let listed = router.says(&["kill-switch", "list"]);
    assert!(listed.starts_with("features/static_matcher\t"), "{listed}");
    assert!(
        listed.trim_end().ends_with("killed from the command line"),
        "{listed}"
    );
    assert!(
        router
            .says(&["flag", "list"])
            .contains("static_matcher\t*\tkilled")
    );
    let asked = router
        .cli(&["flag", "restore", "static_matcher", "-m", "fixed"])
        .assert()
        .code(2);
    assert!(stderr(&asked).contains("add --yes"));
    router.says(&["flag", "restore", "static_matcher", "-m", "fixed", "--yes"]);
    assert!(
        router
            .says(&["kill-switch", "list"])
            .contains("no kill switch is on")
    );

    // A mistyped one kills nothing: nobody would notice that it does not help.
    let typo = router
        .cli(&["flag", "kill", "static_matchr"])
        .assert()
        .code(5);
    assert!(
        stderr(&typo).contains("add --yes if it is meant"),
        "{}",
        stderr(&typo)
    );
    let unknown = router
        .cli(&["kill-switch", "on", "everything/now"])
        .assert()
        .code(2);
    assert!(
        stderr(&unknown).contains("features/KEY"),
        "{}",
        stderr(&unknown)
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn switches_for_every_client_and_for_a_cohort() {
    let router = Router::start();
    router.says(&["kill-switch", "on", "telemetry_disabled", "-m", "privacy"]);
    router.says(&[
        "kill-switch",
        "on",
        "cohorts/internal_test",
        "-m",
        "wrong people",
    ]);
    router.says(&["kill-switch", "on", "canary"]);
    let switches = router.json(&["kill-switch", "list"]);
    let on: Vec<&str> = switches["on"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["switch"].as_str().unwrap())
        .collect();
    assert_eq!(
        on,
        ["canary", "cohorts/internal_test", "telemetry_disabled"]
    );
    router.says(&["kill-switch", "off", "canary", "-m", "over", "--yes"]);
    assert_eq!(router.json(&["kill-switch", "list"])["canary"], false);
}

#[test]
#[ignore = "needs the built Worker"]
fn lint_finds_and_says_so_by_exit_code() {
    let router = Router::start();
    router.says(&[
        "flag",
        "set",
        "new_feature",
        r#"{"percentage": 5, "expires": "2020-01-01T00:00:00Z"}"#,
        "--yes",
    ]);
    let linted = router.cli(&["flag", "lint", "--strict"]).assert().code(1);
    assert!(
        stdout(&linted).contains("/features/*/new_feature"),
        "{}",
        stdout(&linted)
    );
    assert!(stdout(&linted).contains("expired"), "{}", stdout(&linted));
}
