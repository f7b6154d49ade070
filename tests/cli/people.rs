//! Canary mode, cohorts and tokens.

use serde_json::json;

use crate::support::{Router, stderr};

#[test]
#[ignore = "needs the built Worker"]
fn the_canary_as_seed_002_has_it() {
    let router = Router::start();
    router.says(&["canary", "on", "--yes"]);
    router.says(&["canary", "add", "user123", "--label", "alice", "--yes"]);
    router.says(&[
        "canary",
        "add",
        "--ip",
        "192.0.2.7",
        "--label",
        "build machine",
        "--yes",
    ]);
    let listed = router.says(&["canary", "list"]);
    assert!(listed.starts_with("canary mode is on"), "{listed}");
    assert!(listed.contains("  alice\n"), "{listed}");
    assert!(listed.contains("  build machine\n"), "{listed}");
    assert!(
        !listed.contains("user123") && !listed.contains("192.0.2.7"),
        "{listed}"
    );
    router.says(&["canary", "remove", "user123", "--yes"]);
    router.says(&["canary", "remove", "--label", "build machine", "--yes"]);
    let listed = router.says(&["canary", "list"]);
    assert!(
        !listed.contains("alice") && !listed.contains("build machine"),
        "{listed}"
    );
    router.says(&["canary", "off", "--yes"]);
    assert!(
        router
            .says(&["canary", "list"])
            .starts_with("canary mode is off")
    );
    let nobody = router.cli(&["canary", "add"]).assert().code(2);
    assert!(stderr(&nobody).contains("IDS"), "{}", stderr(&nobody));
}

#[test]
#[ignore = "needs the built Worker"]
fn a_cohort_is_made_changed_filled_and_removed() {
    let router = Router::start();
    router.says(&[
        "cohort",
        "set",
        "friendly_gp",
        "--percentage",
        "5",
        "--features",
        "static_matcher",
        "--yes",
    ]);
    router.says(&[
        "cohort",
        "add",
        "friendly_gp",
        "p1",
        "p2",
        "--label",
        "partner",
        "--yes",
    ]);
    // What is not said stays as it was.
    router.says(&["cohort", "set", "friendly_gp", "--disable", "--yes"]);
    let cohort = &router.json(&["cohort", "show", "friendly_gp"])["cohort"];
    assert_eq!(cohort["percentage"], 5);
    assert_eq!(cohort["features"], json!(["static_matcher"]));
    assert_eq!(cohort["enabled"], false);
    assert_eq!(cohort["members"], 2);
    let listed = router.says(&["cohort", "list"]);
    assert!(listed.contains("friendly_gp\toff\t5 %\t2\t"), "{listed}");
    router.says(&["cohort", "remove", "friendly_gp", "p1", "--yes"]);
    let asked = router
        .cli(&["cohort", "delete", "friendly_gp"])
        .assert()
        .code(2);
    assert!(stderr(&asked).contains("add --yes"));
    router.says(&["cohort", "delete", "friendly_gp", "--yes"]);
    router
        .cli(&["cohort", "show", "friendly_gp"])
        .assert()
        .code(4);
    // One that a release uses stays.
    let used = router
        .cli(&["cohort", "delete", "internal_test", "--yes"])
        .assert()
        .code(5);
    assert!(stderr(&used).contains("v1.1.0-beta"), "{}", stderr(&used));
}

#[test]
#[ignore = "needs the built Worker"]
fn a_token_is_shown_once_works_and_is_revoked() {
    let router = Router::start();
    let made = router
        .cli(&[
            "token",
            "add",
            "viewer",
            "dashboard",
            "--expires",
            "1h",
            "--yes",
        ])
        .assert()
        .success();
    let secret = crate::support::stdout(&made);
    assert_eq!(
        secret.lines().count(),
        1,
        "alone, so that it can go into a file: {secret}"
    );
    assert!(
        stderr(&made).contains("viewer for dashboard"),
        "{}",
        stderr(&made)
    );
    let secret = secret.trim();
    router
        .as_token(secret, &["flag", "list"])
        .assert()
        .success();
    let tokens = router.json(&["token", "list"]);
    let token = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|t| t["label"] == "dashboard")
        .unwrap();
    let id = token["id"].as_str().unwrap();
    assert!(!router.says(&["token", "list"]).contains(secret));
    router.says(&["token", "revoke", id, "-m", "laptop lost", "--yes"]);
    let denied = router.as_token(secret, &["flag", "list"]).assert().code(3);
    assert!(
        stderr(&denied).contains("expired or revoked"),
        "{}",
        stderr(&denied)
    );
    assert!(!router.says(&["token", "list"]).contains("dashboard"));
    assert!(router.says(&["token", "list", "--all"]).contains("revoked"));
    let long = router
        .cli(&["token", "add", "viewer", "x", "--expires", "2y", "--yes"])
        .assert()
        .code(2);
    assert!(
        stderr(&long).contains("is not a duration"),
        "{}",
        stderr(&long)
    );
    let role = router
        .cli(&["token", "add", "king", "x", "--yes"])
        .assert()
        .code(5);
    assert!(stderr(&role).contains("/role"), "{}", stderr(&role));
}
