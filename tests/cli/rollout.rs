//! Looking, and setting percentages.

use std::time::{Duration, Instant};

use crate::support::{Router, stderr, stdout};

const RELEASE: &str = "v1.1.0-beta";

#[test]
#[ignore = "needs the built Worker"]
fn status_says_where_everything_stands() {
    let router = Router::start();
    let text = stdout(&router.anonymous().arg("status").assert().success());
    assert!(text.contains("caro ok, revision 7, stable 1.0.4"), "{text}");
    assert!(
        text.contains("v1.1.0-beta\t1.1.0-beta.2\tactive\t25 %\t25 %\tsmall_beta"),
        "{text}"
    );
    // What was found in KV is written back with its revision, behind the answers.
    let begun = Instant::now();
    loop {
        let json = router.json(&["status"]);
        assert_eq!(json["status"]["releases"][0]["percentage"], 25);
        if json["ops"]["publishing"]["state"] == "in_sync" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{json}");
    }
}

#[test]
#[ignore = "needs the built Worker"]
fn a_percentage_is_set_after_a_look_at_what_it_does() {
    let router = Router::start();
    let dry = router.says(&["rollout", RELEASE, "50", "--dry-run"]);
    assert!(dry.contains("25 % → 50 %"), "{dry}");
    assert!(
        dry.contains("  25 % of requesters enter, 0 % leave"),
        "{dry}"
    );
    assert!(dry.contains("nothing was changed"), "{dry}");

    // Nobody can be asked.
    let asked = router.cli(&["rollout", RELEASE, "50"]).assert().code(2);
    assert!(stderr(&asked).contains("add --yes"), "{}", stderr(&asked));

    let done = router.json(&["rollout", RELEASE, "50", "--yes", "-m", "day two"]);
    assert_eq!(done["changed"], true);
    assert_eq!(done["rollout"]["configured_percentage"], 50);
    let row = &router.json(&["audit", "--limit", "1"])["rows"][0];
    assert_eq!(row["action"], "release.set");
    assert_eq!(row["reason"], "day two");

    // The same again is done already, and needs no question.
    let again = router.says(&["rollout", RELEASE, "50"]);
    assert!(again.starts_with("nothing to do"), "{again}");
}

#[test]
#[ignore = "needs the built Worker"]
fn what_cannot_be_a_rollout_is_refused_with_what_to_do() {
    let router = Router::start();
    let check = |args: &[&str], code: i32, says: &str| {
        let failed = router.cli(args).assert().code(code);
        assert!(
            stderr(&failed).contains(says),
            "{args:?}: {}",
            stderr(&failed)
        );
    };
    check(&["rollout", RELEASE, "101"], 2, "no percentage");
    check(
        &["rollout", RELEASE, "half"],
        2,
        "write it as 25, 0.5 or 25%",
    );
    check(
        &["rollout", "v9.9.9", "5"],
        4,
        "there is no release or flag v9.9.9",
    );
    check(
        &["rollout", "static_matchr", "5"],
        4,
        "is it static_matcher?",
    );
    let denied = router
        .anonymous()
        .args(["rollout", RELEASE, "5"])
        .assert()
        .code(3);
    assert!(stderr(&denied).contains("CARO_ROLLOUT_TOKEN"));
    let viewer = router.mint("viewer");
    let denied = router
        .as_token(&viewer, &["rollout", RELEASE, "5", "-y"])
        .assert()
        .code(3);
    assert!(
        stderr(&denied).contains("release_manager"),
        "{}",
        stderr(&denied)
    );
}
