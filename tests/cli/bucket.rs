//! Which arm, and why. Who is where stands in `tests/golden/README.md`.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Router, command, root, stderr, stdout};

const CONFIG: &str = "tests/golden/config.json";

fn local(args: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = command();
    command.current_dir(root()).arg("bucket").args(args);
    command.args(["--config", CONFIG]).assert()
}

#[test]
#[ignore = "needs the built Worker"]
fn the_router_and_a_file_say_the_same() {
    let router = Router::start();
    let who = ["inside", "outside", "last", "member", "listed", "denied"];
    let asked = router.json(&[&["bucket", "--ip", "192.0.2.1"], &who[..]].concat());
    let here = local(&[&["--json", "--ip", "192.0.2.1"], &who[..]].concat()).success();
    let here: Value = serde_json::from_str(&stdout(&here)).unwrap();
    assert_eq!(asked, here);
    let arm = |at: usize| here["requesters"][at]["arm"].as_str().unwrap();
    let arms: Vec<&str> = (0..7).map(arm).collect();
    let expected = ["beta", "stable", "stable", "beta", "beta", "stable", "beta"];
    assert_eq!(arms, expected);
    assert_eq!(here["requesters"][6]["ip"], "192.0.2.1");
    assert_eq!(here["requesters"][0]["bucket"], 17.994);
}

#[test]
#[ignore = "needs the built Worker"]
fn it_can_be_asked_as_of_a_revision() {
    let router = Router::start();
    router.says(&["rollout", "v1.1.0-beta", "50", "--yes"]);
    let now = router.json(&["bucket", "outside"]);
    assert_eq!(now["requesters"][0]["arm"], "beta");
    let then = router.json(&["bucket", "outside", "--at", "7"]);
    assert_eq!(then["requesters"][0]["arm"], "stable");
    router
        .cli(&["bucket", "outside", "--at", "99"])
        .assert()
        .code(4);
    let unknown = ["bucket", "outside", "--release", "v9"];
    router.cli(&unknown).assert().code(4);
    router
        .anonymous()
        .args(["bucket", "outside"])
        .assert()
        .code(3);
}

#[test]
fn one_is_explained_step_by_step() {
    let text = stdout(&local(&["inside"]).success());
    assert!(
        text.starts_with("inside gets 1.1.0-beta.2 (beta), because of bucket"),
        "{text}"
    );
    assert!(
        text.contains("bucket\tdecides\tbucket 17.994 % is below 25 %"),
        "{text}"
    );
    assert!(
        text.contains("confidence_refinement\ttrue\ton\tbucket 26.016 % is below 50 %"),
        "{text}"
    );
}

#[test]
fn several_are_a_table() {
    let text = stdout(&local(&["inside", "outside", "--ip", "2001:db8:0:1::7"]).success());
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(
        rows,
        [
            "inside\tbeta\t1.1.0-beta.2\tbucket\t17.994\t25",
            "outside\tstable\t1.0.4\tdefault\t40.312\t25",
            "2001:db8:0:1::7\tbeta\t1.1.0-beta.2\tbucket\t7.458\t25",
        ]
    );
    let text = stdout(&local(&["inside", "denied", "--release", "v1.1.0-beta"]).success());
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(
        rows,
        [
            "inside\tin\t1.1.0-beta.2\tbucket\t17.994\t25",
            "denied\tout\t1.0.4\tdenied\t3.094\t25",
        ]
    );
}

#[test]
fn a_file_of_ids_is_summed_up() {
    let ids: String = (0..4000).map(|n| format!("user-{n}\n")).collect();
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join("ids");
    fs::write(&file, ids).unwrap();
    let file = file.to_str().unwrap();
    let answer = stdout(&local(&["--file", file, "--json"]).success());
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["requesters"].as_array().unwrap().len(), 4000);
    assert_eq!(answer["requesters"][0]["explanation"], Value::Null);
    let beta = &answer["arms"][0];
    assert_eq!(
        (&beta["arm"], &beta["version"]),
        (&json!("beta"), &json!("1.1.0-beta.2"))
    );
    // Five standard deviations of 25 %.
    let share = beta["share"].as_f64().unwrap();
    assert!((share - 0.25).abs() < 0.035, "{share}");
    let text = stdout(&local(&["--file", file]).success());
    assert_eq!(text.lines().count(), 4002);
    assert!(
        text.lines().last().unwrap().starts_with("stable\t1.0.4\t"),
        "{text}"
    );
}

#[test]
fn who_cannot_be_asked_about_is_refused_with_what_to_do() {
    let check = |args: &[&str], code: i32, says: &str| {
        let failed = local(args).code(code);
        assert!(
            stderr(&failed).contains(says),
            "{args:?}: {}",
            stderr(&failed)
        );
    };
    check(&[""], 2, "an empty id is nobody's");
    check(&["--ip", "somewhere"], 2, "no IPv4 or IPv6 address");
    check(&["x", "--release", "v9"], 4, "there are: v1.1.0-beta");
    check(&["--file", "/nonexistent"], 1, "/nonexistent");
    check(&["x", "--at", "3"], 2, "cannot be used with");
    let long = "x".repeat(300);
    let mut command = command();
    command.current_dir(root());
    command.args(["bucket", "--config", CONFIG, "--file", "-"]);
    let failed = command.write_stdin(format!("a\n{long}\n")).assert().code(2);
    assert!(
        stderr(&failed).contains("line 2: the id is longer"),
        "{}",
        stderr(&failed)
    );
}
