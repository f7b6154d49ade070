//! May a release go on from a cohort's stage?

use serde_json::{Value, json};

use crate::support::{Router, sample, stderr, stdout};

const RELEASE: &str = "v1.1.0-beta";

/// A plan whose first stage is a cohort's. Nothing advances by itself.
pub fn plan() -> Value {
    json!({
        "name": "mine",
        "stages": [
            {
                "id": "friendly_gp", "percentage": 30,
                "audience": { "mode": "or", "cohorts": ["internal_test"] },
                "gates": [
                    { "number": "sev1_open", "at_most": 0 },
                    { "number": "positive_feedback_percent", "at_least": 80 }
                ]
            },
            { "id": "large", "percentage": 60, "soak": { "min_hours": 1 } },
            { "id": "ga", "percentage": 100 }
        ],
        "halts": [
            { "id": "security", "when": { "number": "security_alerts", "over": 0 }, "action": "pause" }
        ],
        "breaker": { "check": "health", "consecutive": 3 },
        "policy": { "max_percentage": 100, "autonomy": { "advance": "suggest" } }
    })
}

/// A router whose release has that plan, begun.
fn planned() -> Router {
    let router = Router::start();
    let file = router.home().join("plan.json");
    std::fs::write(&file, plan().to_string()).unwrap();
    router.says(&["plan", "set", RELEASE, "plan.json", "--start", "--yes"]);
    router
}

fn row<'v>(answer: &'v Value, name: &str) -> &'v Value {
    let checks = answer["checks"].as_array().unwrap();
    let row = checks.iter().find(|check| check["check"] == name);
    row.unwrap_or_else(|| panic!("no check {name}: {answer:#}"))
}

fn fails(router: &Router, args: &[&str]) -> Value {
    let mut command = router.cli(&["validate", "--json"]);
    let failed = command.args(args).assert().code(1);
    serde_json::from_str(&stdout(&failed)).unwrap()
}

const COHORT: [&str; 2] = ["--cohort", "internal_test"];

#[test]
#[ignore = "needs the built Worker"]
fn it_may_go_on_only_if_every_check_passes() {
    let router = planned();
    let said = fails(&router, &COHORT);
    assert_eq!(row(&said, "sev1_open")["verdict"], "NO_DATA", "{said:#}");
    assert_eq!(said["passes"], false);
    assert_eq!(said["release"], RELEASE, "the only one that uses it");

    router.says(&[
        "signal",
        RELEASE,
        "sev1_open=0",
        "positive_feedback_percent=91",
    ]);
    let said = router.json(&["validate", COHORT[0], COHORT[1]]);
    assert_eq!(said["passes"], true, "{said:#}");
    assert_eq!(said["fresh"], true);
    assert_eq!(said["stage"], "friendly_gp");
    assert_eq!(row(&said, "soak")["verdict"], "PASS");
    assert_eq!(row(&said, "halts")["detail"], "none of 1 fires");
    assert_eq!(row(&said, "breaker")["detail"], "closed");
    assert_eq!(said["not_asked"], json!(["error rate", "SLOs", "diff"]));
    let text = router.says(&["validate", COHORT[0], COHORT[1]]);
    assert!(text.contains("sev1_open\tPASS\t"), "{text}");
    assert!(text.contains("it may go on\n"), "{text}");

    // What was compared elsewhere counts as well.
    let within = router.json(&["validate", COHORT[0], COHORT[1], "--diff", "0.004"]);
    assert_eq!(row(&within, "diff")["verdict"], "PASS");
    let said = fails(&router, &[COHORT[0], COHORT[1], "--diff", "0.02"]);
    assert_eq!(row(&said, "diff")["verdict"], "FAIL");

    router.says(&["signal", RELEASE, "sev1_open=2"]);
    let said = fails(&router, &COHORT);
    assert_eq!(row(&said, "sev1_open")["verdict"], "FAIL");
    router.says(&["signal", RELEASE, "sev1_open=0", "security_alerts=1"]);
    let said = fails(&router, &COHORT);
    assert_eq!(row(&said, "halt security")["verdict"], "FAIL");
}

#[test]
#[ignore = "needs the built Worker"]
fn stages_before_and_after_are_told_apart() {
    let router = planned();
    let said = fails(&router, &["--cohort", "large"]);
    let stage = row(&said, "stage");
    assert_eq!(stage["verdict"], "FAIL");
    assert_eq!(
        stage["detail"],
        "the plan is at friendly_gp, this comes later"
    );
    router.says(&["promote", RELEASE, "--force", "-m", "rehearsal", "--yes"]);
    // Left already, which is to have gone on; nothing fires where it is now.
    let said = router.json(&["validate", COHORT[0], COHORT[1]]);
    assert_eq!(
        row(&said, "stage")["detail"],
        "left already: the plan is at large"
    );
    let said = fails(&router, &["--cohort", "large"]);
    assert_eq!(row(&said, "soak")["verdict"], "INCONCLUSIVE");
    // A paused plan does not go on.
    router.says(&["pause", RELEASE, "-m", "lunch"]);
    let said = fails(&router, &COHORT);
    assert_eq!(row(&said, "plan")["verdict"], "FAIL");
}

#[test]
#[ignore = "needs the built Worker"]
fn who_may_not_evaluate_is_told_of_the_last_decision() {
    let router = planned();
    router.says(&[
        "signal",
        RELEASE,
        "sev1_open=0",
        "positive_feedback_percent=91",
    ]);
    let viewer = router.mint("viewer");
    let args = ["validate", COHORT[0], COHORT[1]];
    let none = router.as_token(&viewer, &args).assert().code(1);
    let said = stdout(&none);
    assert!(
        said.contains("gates\tNO_DATA\tnothing was decided yet"),
        "{said}"
    );
    router.says(&["evaluate", RELEASE, "--act"]);
    let last = router.as_token(&viewer, &args).assert().success();
    let said = stdout(&last);
    assert!(said.contains("this token may not evaluate"), "{said}");
    assert!(said.contains("sev1_open\tPASS"), "{said}");
}

#[test]
#[ignore = "needs the built Worker"]
fn without_a_plan_or_a_cohort_it_says_what_to_do() {
    let mut config = sample();
    let beta = config["releases"][RELEASE].clone();
    config["releases"]["v1.0-beta"] = beta;
    config["releases"]["v1.0-beta"]["version"] = json!("1.0.3");
    let router = Router::with(&config);
    let check = |args: &[&str], code: i32, says: &str| {
        let failed = router.cli(&["validate"]).args(args).assert().code(code);
        let said = format!("{}{}", stdout(&failed), stderr(&failed));
        assert!(said.contains(says), "{args:?}: {said}");
    };
    check(&["--cohort", "nobody"], 4, "these are used: internal_test");
    check(
        &COHORT,
        2,
        "name one with --release: v1.1.0-beta, v1.0-beta",
    );
    let one = [COHORT[0], COHORT[1], "--release", RELEASE];
    check(&one, 1, "plan\tNO_DATA\tv1.1.0-beta has no plan");
    check(
        &["--cohort", "internal_test", "--release", "v9"],
        4,
        "there are: v1.1.0-beta",
    );
    check(
        &["--cohort", "internal_test", "--diff", "2"],
        2,
        "is not a share",
    );
    router
        .anonymous()
        .args(["validate", "--cohort", "internal_test"])
        .assert()
        .code(3);
}
