//! The router's checks, and watching a release.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Router, command, stderr, stdout};

const RELEASE: &str = "v1.1.0-beta";

/// A router whose release has a plan with halts, begun. Nothing advances by itself.
fn planned() -> Router {
    let router = Router::start();
    let plan = json!({
        "name": "mine",
        "stages": [
            { "id": "first", "percentage": 25, "soak": { "min_hours": 1 } },
            { "id": "all", "percentage": 100 }
        ],
        "halts": [
            { "id": "security", "when": { "number": "security_alerts", "over": 0 }, "action": "pause" },
            { "id": "errors", "when": { "rate": "errors", "over": 4.5, "window_minutes": 30, "min_samples": 50 }, "action": "pause" },
            { "id": "slow", "when": { "quantile": "command_latency", "p": 95, "over_ms": 1000, "window_minutes": 30 }, "action": "pause" }
        ],
        "breaker": { "check": "health", "consecutive": 3 }
    });
    std::fs::write(router.home().join("plan.json"), plan.to_string()).unwrap();
    router.says(&["plan", "set", RELEASE, "plan.json", "--start", "--yes"]);
    router
}

#[test]
#[ignore = "needs the built Worker"]
fn the_router_is_asked_without_a_token() {
    let mut router = Router::start();
    let text = stdout(&router.anonymous().arg("health").assert().success());
    assert!(text.starts_with("ok, revision 7\n"), "{text}");
    assert!(text.contains("kv\tPASS\t"), "{text}");
    assert!(text.ends_with("healthy\n"), "{text}");
    assert_eq!(router.json(&["health"])["checks"]["config"]["ok"], true);

    router.kv("config", Some("{"));
    let begun = Instant::now();
    let text = loop {
        let asked = router.anonymous().arg("health").assert();
        if asked.get_output().status.code() == Some(1) {
            break stdout(&asked);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{}",
            stdout(&asked)
        );
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(text.starts_with("degraded, revision 7\n"), "{text}");
    assert!(text.contains("config\tFAIL\t"), "{text}");
}

#[test]
fn out_of_reach_is_no_answer() {
    let mut down = command();
    down.args(["health", "--url", "http://127.0.0.1:9", "--timeout", "2s"]);
    down.assert().code(7);
    // What is to be watched has to be said.
    let unsaid = command()
        .args(["health", "--duration", "5m"])
        .assert()
        .code(2);
    assert!(stderr(&unsaid).contains("--release"), "{}", stderr(&unsaid));
}

#[test]
#[ignore = "needs the built Worker"]
fn a_release_is_watched_until_the_time_is_over() {
    let router = planned();
    router.tell(100, 4);
    let args = [
        "health",
        "--release",
        RELEASE,
        "--duration",
        "2s",
        "--interval",
        "1s",
    ];
    let text = router.says(&args);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines.len() >= 4,
        "a look each second, and how it went: {text}"
    );
    let cells: Vec<&str> = lines[0].split('\t').collect();
    assert_eq!(cells[1..4], ["running", "first", "25"], "{text}");
    assert_eq!(
        cells[5..],
        ["4", "300", "errors near: 4 % of at most 4.5 %"],
        "{text}"
    );
    assert!(
        text.contains("v1.1.0-beta the time is over and nothing halted it"),
        "{text}"
    );
    assert!(text.contains("near to firing: errors"), "{text}");

    let mut all = args.to_vec();
    all.push("--json");
    let text = router.says(&all);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (summary, looks) = lines.split_last().unwrap();
    assert_eq!(summary["summary"]["ended"], "over");
    assert_eq!(summary["summary"]["looks"], looks.len());
    let look = &looks[0];
    assert_eq!(look["circuit"], "closed");
    let quiet = json!({ "halt": "security", "state": "quiet", "why": "did not fire" });
    assert_eq!(look["halts"][0], quiet);
    assert_eq!(look["halts"][2]["why"], "300 ms of at most 1000 ms");
    let rates = look["groups"][0]["rates"].as_array().unwrap();
    let commands = rates
        .iter()
        .find(|rate| rate["metric"] == "command_success")
        .unwrap();
    assert_eq!(commands["good"], 96);
    // Of a cohort in which nobody told anything there is nothing.
    let text = router.says(&["health", "--cohort", "internal_test", "--duration", "1s"]);
    assert!(text.lines().next().unwrap().contains("\t-\t-\t"), "{text}");
}

#[test]
#[ignore = "needs the built Worker"]
fn it_ends_as_soon_as_a_halt_fires() {
    let router = planned();
    let mut watching = router.spawn(&[
        "health",
        "--release",
        RELEASE,
        "--duration",
        "5m",
        "--interval",
        "1s",
    ]);
    assert!(watching.line().contains("\trunning\tfirst\t25\t"));
    router.says(&["signal", RELEASE, "security_alerts=1"]);
    // As the guard would, within a minute.
    router.says(&["evaluate", RELEASE, "--act"]);
    let (code, lines) = watching.end();
    assert_eq!(code, Some(1), "{lines:?}");
    let said = lines.join("\n");
    assert!(
        said.contains("the halt security fired: security_alerts is 1, beyond 0"),
        "{said}"
    );

    // It still stands, so whoever begins to watch now is told at once; a plan that goes on is watched anew.
    let again = router
        .cli(&["health", "--release", RELEASE])
        .assert()
        .code(1);
    assert!(stdout(&again).contains("the halt security fired"));
    router.says(&["signal", RELEASE, "security_alerts=0"]);
    router.says(&["resume", RELEASE, "--yes"]);
    router.says(&["health", "--release", RELEASE, "--duration", "1s"]);

    let mut watching =
        router.spawn(&["health", "--release", RELEASE, "--json", "--interval", "1s"]);
    let look: Value = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!(look["ended"], Value::Null);
    router.says(&["stop", RELEASE]);
    let (code, lines) = watching.end();
    assert_eq!(code, Some(1));
    let summary: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(summary["summary"]["ended"], "halted");
}

#[test]
#[ignore = "needs the built Worker"]
fn interrupted_it_says_how_it_went_so_far_and_is_no_pass() {
    let router = Router::start();
    for signal in ["INT", "TERM"] {
        let mut watching = router.spawn(&["health", "--release", RELEASE, "--interval", "1h"]);
        assert!(watching.line().contains("\tactive\t-\t25\t-\t"));
        watching.signal(signal);
        let (code, lines) = watching.end();
        assert_eq!(code, Some(1));
        assert_eq!(lines[0], "v1.1.0-beta interrupted before the time was over");
        assert!(lines[1].starts_with("1 looks in "), "{lines:?}");
    }
    router
        .cli(&["health", "--cohort", "nobody"])
        .assert()
        .code(4);
    router
        .anonymous()
        .args(["health", "--release", RELEASE])
        .assert()
        .code(3);
}
