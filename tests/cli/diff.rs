//! Two configurations, or two releases, held against each other.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Router, command, sample, stderr, stdout};

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut document = sample();
    change(&mut document);
    document.to_string()
}

fn percentage(percentage: f64) -> String {
    changed(|document| document["releases"]["v1.1.0-beta"]["percentage"] = json!(percentage))
}

/// Two files, in a folder that goes away with it.
fn compare(before: &str, after: &str, more: &[&str]) -> assert_cmd::assert::Assert {
    let home = tempfile::TempDir::new().unwrap();
    fs::write(home.path().join("before.json"), before).unwrap();
    fs::write(home.path().join("after.json"), after).unwrap();
    fs::write(home.path().join("ids"), "inside\noutside\n\nlisted\n").unwrap();
    let mut command = command();
    command.current_dir(home.path());
    command.args(["diff", "--from", "before.json", "--to", "after.json"]);
    command.args(more).assert()
}

fn json_of(assert: &assert_cmd::assert::Assert) -> Value {
    serde_json::from_str(&stdout(assert)).unwrap()
}

#[test]
fn equals_are_within_any_tolerance() {
    let same = compare(&percentage(25.0), &percentage(25.0), &["--tolerance", "0"]);
    let text = stdout(&same.success());
    assert!(text.contains("stay\t100 %\t100 %"), "{text}");
    assert!(
        text.contains("within the tolerance: 0 % of everybody"),
        "{text}"
    );
}

#[test]
fn the_tolerance_is_held_against_the_exact_share() {
    // By chance the sample may have one more.
    let check = |to: f64, tolerance: &str, code: i32| {
        let more = ["--tolerance", tolerance, "--json"];
        let answer = json_of(&compare(&percentage(25.0), &percentage(to), &more).code(code));
        assert_eq!(answer["within"], code == 0);
        let changed = answer["changed"].as_f64().unwrap();
        assert!((changed - (to - 25.0) / 100.0).abs() < 1e-9, "{answer:#}");
    };
    check(25.5, "0.005", 0);
    check(25.501, "0.005", 1);
    check(50.0, "0.25", 0);
    check(50.0, "0.2", 1);
}

#[test]
fn shares_buckets_and_reasons_are_shown() {
    let all = compare(&percentage(25.0), &percentage(50.0), &["--samples", "2000"]).code(1);
    let text = stdout(&all);
    assert!(text.contains("enter\t25 %\t"), "{text}");
    assert!(text.contains("v1.1.0-beta\t25-30 %\t"), "{text}");
    assert!(!text.contains("v1.1.0-beta\t50-55 %\t"), "{text}");
    assert!(
        text.contains("v1.1.0-beta\tdefault → bucket\tpercentage\t"),
        "{text}"
    );
    assert!(!text.contains("outliers"), "{text}");
    let again = compare(&percentage(25.0), &percentage(50.0), &["--samples", "2000"]).code(1);
    assert_eq!(stdout(&again), text, "the same seed has the same ids");
    let other = ["--samples", "2000", "--seed", "2"];
    let other = compare(&percentage(25.0), &percentage(50.0), &other).code(1);
    assert_ne!(stdout(&other), text);
}

#[test]
fn whom_no_percentage_explains_is_named() {
    let after = changed(|document| {
        document["canary"]["enabled"] = json!(false);
        document["features"]["v1.1.0-beta"]["confidence_refinement"]["percentage"] = json!(20);
    });
    let more = ["--ids", "ids", "--samples", "0", "--json"];
    let answer = json_of(&compare(&percentage(25.0), &after, &more).code(1));
    assert_eq!(answer["sampled"], Value::Null);
    let given = &answer["given"];
    assert_eq!(
        (&given["ids"], &given["leave"], &given["flags"]),
        (&json!(3), &json!(1), &json!(1))
    );
    let outlier = &given["outliers"][0];
    assert_eq!(
        (&outlier["id"], &outlier["cause"]),
        (&json!("listed"), &json!("list"))
    );
    assert!(
        outlier["before"].as_str().unwrap().contains("allowlist"),
        "{outlier}"
    );
    assert_eq!(given["outliers"].as_array().unwrap().len(), 1);
    let feature = &given["features"][0];
    assert_eq!(feature["exact"], json!({"on": 0, "off": 30}));
}

#[test]
fn two_releases_of_one_configuration_are_compared() {
    let both = changed(|document| {
        document["releases"]["v1.0-old"] =
            json!({"version": "1.0.3", "percentage": 25, "state": "active"});
        document["features"]["v1.0-old"] = json!({"confidence_refinement": true});
    });
    let home = tempfile::TempDir::new().unwrap();
    fs::write(home.path().join("both.json"), both).unwrap();
    let run = |args: &[&str]| {
        let mut command = command();
        command
            .current_dir(home.path())
            .args(["diff", "both.json", "--json"]);
        command.args(args).assert()
    };
    let answer = json_of(&run(&["--releases", "v1.0-old", "v1.1.0-beta"]).code(1));
    // Each in its own quarter: a sixteenth has both, and gets another build.
    let exact = &answer["exact"];
    let shares = ["enter", "leave", "switch", "stay"].map(|name| exact[name].as_f64().unwrap());
    assert_eq!(shares, [18.75, 18.75, 6.25, 56.25]);
    let feature = &answer["sampled"]["features"][0];
    assert_eq!(feature["release"], "v1.0-old → v1.1.0-beta");
    assert_eq!(feature["exact"]["off"], 50);
    let missing = run(&["--releases", "v1.0-old", "v9"]).code(4);
    assert!(
        stderr(&missing).contains("there are: v1.0-old"),
        "{}",
        stderr(&missing)
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn a_file_is_compared_with_what_is_live() {
    let router = Router::start();
    fs::write(router.home().join("new.json"), percentage(50.0)).unwrap();
    let diff = ["diff", "new.json", "--json"];
    let answer = json_of(&router.cli(&diff).assert().code(1));
    assert_eq!(
        (&answer["from"]["name"], &answer["exact"]["enter"]),
        (&json!("live"), &json!(25))
    );
    let back = json_of(
        &router
            .cli(&["diff", "--from", "new.json", "--json"])
            .assert()
            .code(1),
    );
    assert_eq!(back["exact"]["leave"], 25);
    // While everything is stopped neither gives anybody anything.
    router.says(&["stop", "-m", "trial"]);
    let begun = Instant::now();
    loop {
        let answer = json_of(&router.cli(&diff).assert());
        if answer["stop"] == "all" && answer["within"] == true {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{answer:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
    router.anonymous().args(diff).assert().code(3);
}

#[test]
fn what_cannot_be_compared_is_refused_with_what_to_do() {
    let check = |args: &[&str], code: i32, says: &str| {
        let failed = command().arg("diff").args(args).assert().code(code);
        assert!(
            stderr(&failed).contains(says),
            "{args:?}: {}",
            stderr(&failed)
        );
    };
    check(&[], 2, "give a file, --from and --to, or --releases");
    check(
        &["x", "--samples", "0"],
        2,
        "give --samples, --ids, or both",
    );
    check(&["x", "--tolerance", "5"], 2, "0.005 is 0.5 %");
    check(&["--from", "-", "--to", "-"], 2, "can be read once");
    check(&["-", "--ids", "-"], 2, "can be read once");
    check(&["--from", "/nonexistent", "--to", "x"], 1, "/nonexistent");
    let bad = compare("{}", "{}", &[]).code(1);
    assert!(
        stderr(&bad).contains("before.json cannot be used"),
        "{}",
        stderr(&bad)
    );
}
