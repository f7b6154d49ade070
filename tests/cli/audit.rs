//! The audit log.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{ADMIN_TOKEN, Router, stderr};

const RELEASE: &str = "v1.1.0-beta";

#[test]
#[ignore = "needs the built Worker"]
fn the_log_is_read_filtered_verified_and_exported() {
    let router = Router::start();
    for percent in ["30", "40", "50"] {
        router.says(&["rollout", RELEASE, percent, "--yes", "-m", "step"]);
    }
    router.says(&["flag", "set", "dark_mode", r#"{"percentage": 0}"#, "--yes"]);
    let log = router.says(&["audit"]);
    assert!(
        log.lines().next().unwrap().contains("dark_mode"),
        "newest first: {log}"
    );
    let of_release = router.json(&["audit", "--target", RELEASE, "--action", "release.set"]);
    assert_eq!(of_release["rows"].as_array().unwrap().len(), 3);
    assert_eq!(
        router.json(&["audit", "--limit", "2"])["rows"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let verified = router.says(&["audit", "--verify"]);
    assert!(verified.starts_with("intact:"), "{verified}");
    let file = router.home().join("audit.ndjson");
    let exported = router.json(&["audit", "--export", file.to_str().unwrap()]);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(exported["rows"], text.lines().count());
    assert!(
        text.lines().next().unwrap().starts_with(r#"{"seq":1,"#),
        "oldest first"
    );
    assert!(verified.contains(exported["head"].as_str().unwrap()));
    assert_eq!(router.says(&["audit", "--export", "-"]), text);

    let bad = router
        .cli(&["audit", "--since", "yesterday"])
        .assert()
        .code(2);
    assert!(stderr(&bad).contains("since"), "{}", stderr(&bad));
    // Whole or not at all.
    let nowhere = router.home().join("no/such/folder/audit.ndjson");
    router
        .cli(&["audit", "--export", nowhere.to_str().unwrap()])
        .assert()
        .code(1);
}

#[test]
#[ignore = "needs the built Worker"]
fn whoever_follows_sees_a_row_as_it_comes() {
    let router = Router::start();
    router.says(&["rollout", RELEASE, "30", "--yes"]);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("caro-rollout"))
        .args([
            "audit",
            "--follow",
            "--json",
            "--limit",
            "1",
            "--url",
            &router.origin,
        ])
        .env("CARO_ROLLOUT_TOKEN", ADMIN_TOKEN)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("25 % → 30 %"), "{first}");
    router.says(&["rollout", RELEASE, "31", "--yes"]);
    router.says(&["rollout", RELEASE, "32", "--yes"]);
    for step in ["30 % → 31 %", "31 % → 32 %"] {
        let next = lines.next().unwrap().unwrap();
        assert!(next.contains(step), "{next}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
