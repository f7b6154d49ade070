//! Rehearsals: dry, and for good.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{ADMIN_TOKEN, Router, root, sample, stderr, stdout};

const RELEASE: &str = "v1.1.0-beta";

/// A router that has somewhere to send alerts to; nobody listens there.
fn router(config: &Value) -> Router {
    let secrets = json!({ "ADMIN_TOKEN": ADMIN_TOKEN, "ALERT_WEBHOOK": "http://127.0.0.1:9/" });
    Router::with_bindings(Some(config), &secrets, None)
}

const LIVE: [&str; 8] = [
    "drill",
    "--local",
    "--rounds",
    "1",
    "--live",
    "--release",
    RELEASE,
    "--json",
];

fn step<'v>(answer: &'v Value, name: &str) -> &'v Value {
    let steps = answer["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["check"] == name);
    step.unwrap_or_else(|| panic!("no step {name}: {answer:#}"))
}

/// What is stored of the release, and of stops.
fn stored(router: &Router) -> Value {
    let ops = &router.json(&["status"])["ops"];
    let config = router.read("/admin/config");
    json!([config["releases"][RELEASE], ops["stops"], ops["drains"]])
}

#[test]
#[ignore = "needs the built Worker"]
fn a_dry_drill_changes_nothing_and_says_what_would_fail() {
    let router = router(&sample());
    let before = stored(&router);
    let mut drill = router.cli(&["drill", "--local", "--json", "--rounds", "3"]);
    let done = drill.current_dir(root()).assert().success();
    let said: Value = serde_json::from_str(&stdout(&done)).unwrap();
    assert_eq!(said["mode"], "dry");
    for name in ["health", "stop", "rollback v1.1.0-beta", "clear-stop"] {
        let step = step(&said, name);
        assert_eq!(step["verdict"], "PASS", "{step}");
        assert!(
            step["max_ms"].as_u64() >= step["median_ms"].as_u64(),
            "{step}"
        );
    }
    for name in ["publishing", "alerts", "stop --via-kv"] {
        assert_eq!(step(&said, name)["verdict"], "PASS", "{said:#}");
    }
    let rows = router.json(&["audit", "--target", RELEASE])["rows"].clone();
    assert_eq!(rows, json!([]));
    assert_eq!(stored(&router), before);

    // Where there is no wrangler.toml, and with a token that may not stop.
    let viewer = router.mint("viewer");
    let failed = router.as_token(&viewer, &["drill"]).assert().code(1);
    let said = stdout(&failed);
    assert!(said.contains("stop\tFAIL\t"), "{said}");
    assert!(
        said.contains("use a token of the role release_manager"),
        "{said}"
    );
    assert!(
        said.contains("stop --via-kv\tFAIL\t-\t-\tthere is no wrangler.toml here"),
        "{said}"
    );
    // The namespace that the sources name is none of Cloudflare's.
    let mut remote = router.cli(&["drill"]);
    let said = stdout(&remote.current_dir(root()).assert().code(1));
    assert!(
        said.contains("the id of ROLLOUT in wrangler.toml is none"),
        "{said}"
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn a_live_drill_stops_rolls_back_and_leaves_everything_as_it_was() {
    let router = router(&sample());
    let before = stored(&router);
    let mut drill = router.cli(&LIVE);
    let done = drill.arg("--yes").current_dir(root()).assert().success();
    let said: Value = serde_json::from_str(&stdout(&done)).unwrap();
    assert_eq!(said["restored"], true);
    assert_eq!(said["commands"], json!([]));
    for name in [
        "stop at the edge",
        "back after the stop",
        "back at the edge after the stop",
        "rollback at the edge",
        "back after the rollback",
        "back at the edge after the rollback",
    ] {
        let step = step(&said, name);
        assert_eq!(step["verdict"], "PASS");
        assert!(step["max_ms"].as_u64().unwrap() < said["limit_ms"].as_u64().unwrap());
    }
    assert_eq!(stored(&router), before);
    let page = router.json(&["audit", "--target", RELEASE]);
    let rows = page["rows"].as_array().unwrap().iter();
    let actions: Vec<&str> = rows
        .rev()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "stop.set",
            "stop.clear",
            "release.set",
            "release.rollback",
            "release.resume",
            "release.set"
        ]
    );
    assert!(
        page["rows"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["reason"] == "drill")
    );
}

/// Waits until the release is stopped: the drill is in the middle of it.
fn until_stopped(router: &Router) {
    let begun = Instant::now();
    while router.json(&["status"])["ops"]["stops"] == json!([]) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the drill stops nothing"
        );
    }
}

#[test]
#[ignore = "needs the built Worker"]
fn interrupted_it_puts_everything_back() {
    let mut paused = sample();
    paused["releases"][RELEASE]["state"] = json!("paused");
    let router = router(&paused);
    let before = stored(&router);
    let mut drill = router.spawn(&[&LIVE[..], &["--yes"]].concat());
    until_stopped(&router);
    drill.signal("INT");
    let (code, lines) = drill.end();
    assert_eq!(code, Some(1), "{}", drill.errors());
    let said: Value = serde_json::from_str(&lines.concat()).unwrap();
    assert_eq!(step(&said, "stop at the edge")["detail"], "interrupted");
    assert_eq!(said["restored"], true);
    assert_eq!(stored(&router), before);
}

#[test]
#[ignore = "needs the built Worker"]
fn what_cannot_be_put_back_is_said_loudly() {
    let router = router(&sample());
    let manager = router.mint("release_manager");
    let mut drill = router.spawn_as(&manager, &[&LIVE[..], &["--yes"]].concat());
    until_stopped(&router);
    let tokens = router.json(&["token", "list"]);
    let id = tokens["tokens"][0]["id"].as_str().unwrap();
    router.says(&["token", "revoke", id, "--yes"]);
    drill.signal("INT");
    let (code, lines) = drill.end();
    assert_eq!(code, Some(1));
    let said: Value = serde_json::from_str(&lines.concat()).unwrap();
    assert_eq!(said["restored"], false);
    let errors = drill.errors();
    assert!(
        errors.contains("v1.1.0-beta IS NOT WHAT IT WAS"),
        "{errors}"
    );
    // What it says to do, does it.
    for command in said["commands"].as_array().unwrap() {
        let command = command.as_str().unwrap();
        assert!(errors.contains(command), "{errors}");
        let words = command.strip_prefix("caro-rollout ").unwrap();
        let words = words.replace("'after a drill'", "after-a-drill");
        router.says(&words.split(' ').collect::<Vec<_>>());
    }
    let release = &stored(&router)[0];
    assert_eq!(release["percentage"], 25);
    assert_eq!(release["state"], "active");
}

#[test]
#[ignore = "needs the built Worker"]
fn a_live_drill_is_refused_where_it_could_not_be_undone() {
    let mut config = sample();
    config["policy"] = json!({ "approvals": { "clear_stop": true } });
    let held = Router::with(&config);
    let before = stored(&held);
    let check = |router: &Router, args: &[&str], code: i32, says: &str| {
        let failed = router.cli(args).assert().code(code);
        assert!(
            stderr(&failed).contains(says),
            "{args:?}: {}",
            stderr(&failed)
        );
    };
    let live = [&LIVE[..], &["--yes"]].concat();
    check(
        &held,
        &live,
        5,
        "it takes two people to put v1.1.0-beta back",
    );
    assert_eq!(stored(&held), before);

    let router = router(&sample());
    check(&router, &LIVE, 2, "nobody can be asked here");
    check(&router, &["drill", "--live"], 2, "--release");
    check(
        &router,
        &["drill", "--release", "v9"],
        4,
        "there are: v1.1.0-beta",
    );
    let elsewhere = [&live[..], &["--places", "http://127.0.0.1:9"]].concat();
    check(&router, &elsewhere, 7, "127.0.0.1:9");
    router.says(&["plan", "set", RELEASE, "caro", "--yes"]);
    check(&router, &live, 5, "has a plan, which a stop ends");
    assert_eq!(stored(&router), before);
}
