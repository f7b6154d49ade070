//! Plans, and steering a release along one.

use serde_json::{Value, json};

use crate::support::{Router, command, sample, stderr, stdout};

const RELEASE: &str = "v1.1.0-beta";

/// Two stages beyond what the release has, which one number lets go on.
fn plan() -> Value {
    json!({
        "name": "mine",
        "stages": [
            {
                "id": "first", "percentage": 25,
                "gates": [{ "number": "p0_open", "at_most": 0 }, { "number": "awu", "at_least": 100 }]
            },
            {
                "id": "second", "percentage": 50, "soak": { "min_hours": 1 },
                "approval": { "roles": ["release_manager"] }
            },
            { "id": "all", "percentage": 100 }
        ],
        "policy": { "autonomy": { "advance": "act" }, "lead_minutes": { "advance": 0 } }
    })
}

/// A router whose release has that plan, begun.
fn begun() -> Router {
    let router = with_plan();
    router.says(&["plan", "start", RELEASE, "--yes"]);
    router
}

fn with_plan() -> Router {
    let router = Router::start();
    std::fs::write(router.home().join("plan.json"), plan().to_string()).unwrap();
    router.says(&["plan", "set", RELEASE, "plan.json", "--yes"]);
    router
}

fn refuses(router: &Router, args: &[&str], code: i32, says: &str) {
    let failed = router.cli(args).assert().code(code);
    let said = stderr(&failed);
    assert!(said.contains(says), "{args:?}: {said}");
}

/// What the ledger has of the release: its percentage and state.
fn stands(router: &Router) -> (Value, String) {
    let release = &router.read("/admin/config")["releases"][RELEASE];
    (
        release["percentage"].clone(),
        release["state"].as_str().unwrap().to_owned(),
    )
}

#[test]
#[ignore = "needs the built Worker"]
fn a_plan_is_set_begun_shown_and_taken_away() {
    let router = Router::start();
    refuses(&router, &["plan", "show", RELEASE], 5, "has no plan");
    refuses(&router, &["plan", "start", RELEASE, "-y"], 5, "has no plan");
    refuses(&router, &["plan", "show", "v9"], 4, "v9");
    refuses(
        &router,
        &["plan", "set", RELEASE, "nonesuch"],
        4,
        "the presets are caro,",
    );
    std::fs::write(
        router.home().join("bad.json"),
        r#"{"name": "x", "stages": []}"#,
    )
    .unwrap();
    refuses(
        &router,
        &["plan", "set", RELEASE, "bad.json"],
        5,
        "/stages must have 1 to 20 items",
    );

    // A preset, then one of one's own, from standard input.
    router.says(&["plan", "set", RELEASE, "caro"]);
    assert_eq!(router.json(&["plan", "show", RELEASE])["name"], "caro");
    let mut set = router.cli(&["plan", "set", RELEASE, "-"]);
    set.write_stdin(plan().to_string()).assert().success();
    let shown = router.json(&["plan", "show", RELEASE]);
    assert_eq!(
        (&shown["name"], &shown["status"]),
        (&json!("mine"), &json!("draft"))
    );
    assert_eq!(shown["plan"], plan());

    refuses(&router, &["plan", "start", RELEASE], 2, "add --yes");
    let begins = router.says(&["plan", "start", RELEASE, "--yes"]);
    assert!(
        begins.contains("the plan mine begins: first at 25 %"),
        "{begins}"
    );
    let text = router.says(&["plan", "show", RELEASE]);
    assert!(text.starts_with("mine of v1.1.0-beta: running"), "{text}");
    assert!(text.contains("stage first at 25 % since "), "{text}");
    assert!(text.contains("soak is over"), "{text}");
    assert!(text.contains("→\tfirst\t25 %\t"), "{text}");
    refuses(
        &router,
        &["plan", "set", RELEASE, "caro", "-y"],
        5,
        "is running",
    );

    let dry = router.says(&["plan", "delete", RELEASE, "--dry-run"]);
    assert!(dry.contains("nothing was changed"), "{dry}");
    router.says(&["plan", "delete", RELEASE, "--yes"]);
    refuses(&router, &["plan", "show", RELEASE], 5, "has no plan");
    assert_eq!(stands(&router), (json!(25), "active".to_owned()));
}

#[test]
fn a_plan_is_looked_at_and_played_without_a_router() {
    let list = stdout(&command().args(["plan", "presets"]).assert().success());
    assert!(list.starts_with("caro\t5, 25, 50, 100\t"), "{list}");
    let caro = stdout(
        &command()
            .args(["plan", "presets", "caro"])
            .assert()
            .success(),
    );
    assert_eq!(
        serde_json::from_str::<Value>(&caro).unwrap()["name"],
        "caro"
    );
    let none = command().args(["plan", "presets", "car"]).assert().code(4);
    assert!(
        stderr(&none).contains("there are caro,"),
        "{}",
        stderr(&none)
    );

    let lint = |args: &[&str], text: &str| {
        let mut lint = command();
        lint.args(["plan", "lint"]).args(args).write_stdin(text);
        lint.assert()
    };
    let clean = stdout(&lint(&["caro"], "").success());
    assert!(clean.contains("nothing is wrong with it"), "{clean}");
    let few = lint(&["canary", "--installs-per-day", "20", "--json"], "");
    let few = stdout(&few);
    let findings: Value = serde_json::from_str(&few).unwrap();
    assert!(!findings["findings"].as_array().unwrap().is_empty());
    lint(&["canary", "--installs-per-day", "20", "--strict"], "").code(1);
    let wrong = lint(&["-"], r#"{"name": "x", "stages": [{"id": "a"}]}"#).code(1);
    assert!(
        stderr(&wrong).contains("/stages/0/percentage"),
        "{}",
        stderr(&wrong)
    );
    let text = lint(&["-"], "{").code(1);
    assert!(stderr(&text).starts_with("error: -: "), "{}", stderr(&text));

    let play = |args: &[&str]| {
        let mut play = command();
        play.args(["plan", "simulate", "caro", "--scenario"])
            .args(args);
        stdout(&play.assert().success())
    };
    let clean = play(&["clean"]);
    assert!(clean.contains("It ends complete at 100 %"), "{clean}");
    assert_eq!(play(&["bad", "--seed", "7"]), play(&["bad", "--seed", "7"]));
    assert!(play(&["incident", "--json"]).contains("\"run\""));
    let none = command()
        .args(["plan", "simulate", "caro", "--scenario", "worse"])
        .assert()
        .code(4);
    assert!(
        stderr(&none).contains("the scenarios are clean,"),
        "{}",
        stderr(&none)
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn what_is_told_decides_and_a_person_may_force_it() {
    let router = begun();
    let looks = router.says(&["evaluate", RELEASE]);
    assert!(looks.contains("NO_DATA at stage first (25 %)"), "{looks}");
    assert!(looks.contains("p0_open\tNO_DATA\t"), "{looks}");
    assert!(looks.contains("decided: hold"), "{looks}");

    refuses(
        &router,
        &["signal", RELEASE, "p0_open"],
        2,
        "write NAME=NUMBER",
    );
    refuses(
        &router,
        &["signal", RELEASE, "p0_open=none"],
        2,
        "write NAME=NUMBER",
    );
    refuses(
        &router,
        &["signal", RELEASE, "p0_open=NaN"],
        2,
        "write NAME=NUMBER",
    );
    refuses(&router, &["signal", RELEASE, "No Name=1"], 5, "No Name");
    router.says(&["signal", RELEASE, "p0_open=0", "awu=50", "health=ok"]);
    refuses(&router, &["promote", RELEASE, "--yes"], 5, "awu");
    refuses(
        &router,
        &["promote", RELEASE, "--force", "--yes"],
        5,
        "needs a reason",
    );
    let asked = [
        "promote",
        RELEASE,
        "--force",
        "-m",
        "the hotfix cannot wait",
    ];
    refuses(&router, &asked, 2, "add --yes");
    let done = router.says(&[&asked[..], &["--yes"]].concat());
    assert!(done.contains("25 % → 50 %"), "{done}");
    assert_eq!(stands(&router), (json!(50), "active".to_owned()));

    // Looking is one thing, acting another.
    let router = begun();
    router.says(&["signal", RELEASE, "p0_open=0", "awu=120"]);
    let looks = router.says(&["evaluate", RELEASE]);
    assert!(looks.contains("decided: advance"), "{looks}");
    assert_eq!(stands(&router).0, 25);
    let acts = router.json(&["evaluate", RELEASE, "--act", "-m", "now"]);
    assert_eq!(acts["decision"]["done"], "advance");
    assert_eq!(stands(&router).0, 50);
    let viewer = router.mint("viewer");
    let denied = router
        .as_token(&viewer, &["evaluate", RELEASE])
        .assert()
        .code(3);
    assert!(
        stderr(&denied).contains("use a token of the role bot"),
        "{}",
        stderr(&denied)
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn a_release_is_held_and_goes_on() {
    let router = begun();
    let held = router.says(&["pause", RELEASE, "-m", "looking into a report"]);
    assert!(held.starts_with("done: "), "{held}");
    assert_eq!(stands(&router), (json!(25), "paused".to_owned()));
    assert!(
        router
            .says(&["pause", RELEASE])
            .starts_with("nothing to do")
    );
    refuses(
        &router,
        &["rollout", RELEASE, "50", "--yes"],
        5,
        "resume first",
    );
    refuses(&router, &["promote", RELEASE, "--yes"], 5, "paused");
    refuses(&router, &["resume", RELEASE], 2, "add --yes");
    router.says(&["resume", RELEASE, "--yes"]);
    assert_eq!(stands(&router), (json!(25), "active".to_owned()));
    refuses(&router, &["pause", "v9"], 4, "v9");
}

#[test]
#[ignore = "needs the built Worker"]
fn a_rollback_goes_down_at_once_or_slowly() {
    let router = begun();
    refuses(
        &router,
        &["rollback", RELEASE, "--to", "30"],
        5,
        "a rollback only goes down",
    );
    refuses(
        &router,
        &["rollback", RELEASE, "--over", "2d"],
        2,
        "a day at most",
    );
    refuses(
        &router,
        &["rollback", RELEASE, "--over", "soon"],
        2,
        "write it as 90s",
    );
    let dry = router.says(&["rollback", RELEASE, "--dry-run"]);
    // The cohort keeps its half a percent.
    assert!(dry.contains("24.5 % leave"), "{dry}");
    let slow = router.says(&[
        "rollback",
        RELEASE,
        "--to",
        "10",
        "--over",
        "5m",
        "-m",
        "slow on macOS",
    ]);
    assert!(slow.contains("25 % → 10 % over 300 s"), "{slow}");
    let status = router.says(&["status"]);
    assert!(status.contains("draining v1.1.0-beta to 10 %"), "{status}");
    let now = router.says(&["rollback", RELEASE]);
    assert!(now.contains("→ 0 %"), "{now}");
    assert_eq!(stands(&router), (json!(0), "paused".to_owned()));
    assert_eq!(
        router.json(&["plan", "show", RELEASE])["status"],
        "rolled_back"
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn a_stage_is_left_when_a_person_agrees() {
    let router = begun();
    refuses(
        &router,
        &["approve", RELEASE, "--stage", "secnd", "-y"],
        5,
        "secnd",
    );
    router.says(&["promote", RELEASE, "--force", "-m", "go", "--yes"]);
    let agreed = router.says(&["approve", RELEASE, "--stage", "second", "--yes"]);
    assert!(agreed.contains("second"), "{agreed}");
    let shown = router.json(&["plan", "show", RELEASE]);
    assert_eq!(shown["approvals"].as_array().unwrap().len(), 1);
    let both = ["approve", RELEASE, "--stage", "second", "--approval", "1"];
    refuses(&router, &both, 2, "cannot be used with");
}

#[test]
#[ignore = "needs the built Worker"]
fn two_people_where_the_policy_wants_two() {
    let mut config = sample();
    config["policy"] = json!({ "approvals": { "full_rollout": true } });
    let router = Router::with(&config);
    let asked = router
        .cli(&["rollout", RELEASE, "100", "--yes"])
        .assert()
        .code(6);
    let said = stdout(&asked);
    assert!(said.contains("waits for a second person"), "{said}");
    let command = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("they say: caro-rollout "));
    let words: Vec<&str> = command.unwrap().split(' ').chain(["--yes"]).collect();
    assert_eq!(stands(&router).0, 25);
    // Who asked for it is not a second one.
    refuses(&router, &words, 3, "another release manager's token");
    let second = router.mint("release_manager");
    let done = router.as_token(&second, &words).assert().success();
    assert!(stdout(&done).contains("25 % → 100 %"), "{}", stdout(&done));
    assert_eq!(stands(&router).0, 100);
    refuses(&router, &["approve", RELEASE, "--yes"], 4, "waits");
}

#[test]
#[ignore = "needs the built Worker"]
fn reports_are_texts_for_people() {
    let router = begun();
    router.tell(40, 2);
    let status = router.says(&["report", RELEASE]);
    assert!(status.starts_with("v1.1.0-beta rollout, "), "{status}");
    assert!(
        status.contains("Commands: 40, 95.0 % of them well"),
        "{status}"
    );
    let announced = router.says(&["report", RELEASE, "--kind", "announcement"]);
    assert!(
        announced.contains("50 % of installs (second)"),
        "{announced}"
    );
    router.says(&["stop", RELEASE, "-m", "crashes on start"]);
    let after = router.json(&["report", RELEASE, "--kind", "post-mortem"]);
    let timeline = after["timeline"].as_array().unwrap();
    assert_eq!(timeline.last().unwrap()["reason"], "crashes on start");
    refuses(&router, &["report", "v9"], 4, "v9");
    refuses(
        &router,
        &["report", RELEASE, "--kind", "novel"],
        2,
        "post-mortem",
    );
}
