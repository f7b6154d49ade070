//! Releases: adding a version from its files, and what there is.

use std::fs;

use serde_json::json;

use crate::files::{Files, assets, serve, sha256, write};
use crate::support::{Router, command, stderr};

const VERSION: &str = "1.2.0-beta.1";
const NAME: &str = "v1.2.0-beta";

#[test]
#[ignore = "needs the built Worker"]
fn a_version_is_added_from_a_folder() {
    let router = Router::start();
    let files = assets(VERSION);
    write(&files, &router.home().join("dist"));
    let add = ["release", "add", VERSION, "--from", "dist"];
    let dry = router.says(&[&add[..], &["--dry-run"]].concat());
    assert!(dry.contains("at 0 %, version 1.2.0-beta.1"), "{dry}");
    // Whoever is on the allowlist gets the newest at once: that is asked about.
    let asked = router.cli(&add).assert().code(2);
    assert!(stderr(&asked).contains("1 switch"), "{}", stderr(&asked));

    let done = router.json(&[&add[..], &["--yes", "-m", "new"]].concat());
    assert_eq!(done["changed"], true);
    assert_eq!(done["rollout"]["configured_percentage"], 0);
    let show = router.json(&["release", "show", NAME]);
    assert_eq!(show["release"]["version"], VERSION);
    let bytes = &files["caro-1.2.0-beta.1-windows-amd64.exe"];
    let expected = json!({ "size": bytes.len(), "sha256": sha256(bytes) });
    assert_eq!(show["build"]["assets"]["windows-amd64"], expected);
    assert_eq!(show["build"]["assets"].as_object().unwrap().len(), 5);

    // Again it is not clear what is meant.
    let again = router.cli(&add).assert().code(2);
    assert!(
        stderr(&again).contains("--percentage 0"),
        "{}",
        stderr(&again)
    );
    let same = router.says(&[&add[..], &["--percentage", "0"]].concat());
    assert!(same.starts_with("nothing to do"), "{same}");
}

#[test]
#[ignore = "needs the built Worker"]
fn a_release_that_is_there_keeps_its_cohorts() {
    let router = Router::start();
    write(&assets("1.1.0-beta.3"), &router.home().join("dist"));
    let add = ["release", "add", "1.1.0-beta.3", "--from", "dist"];
    let refused = router.cli(&add).assert().code(2);
    let hint = "--percentage 25 gives those who have it 1.1.0-beta.3";
    assert!(stderr(&refused).contains(hint), "{}", stderr(&refused));
    let with = [&add[..], &["--percentage", "25", "--yes"]].concat();
    let done = router.json(&with);
    assert_eq!(done["impact"]["switch"], 25, "{done}");
    let config = router.json(&["config", "get"]);
    let release = &config["releases"]["v1.1.0-beta"];
    assert_eq!(release["version"], "1.1.0-beta.3");
    assert_eq!(release["cohorts"], json!(["internal_test"]));

    router.says(&["pause", "v1.1.0-beta"]);
    let paused = router.cli(&with).assert().code(5);
    assert!(
        stderr(&paused).contains("resume v1.1.0-beta"),
        "{}",
        stderr(&paused)
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn a_version_is_added_from_an_address() {
    let router = Router::start();
    let mut files = assets(VERSION);
    files.retain(|name, _| !name.contains("macos-intel"));
    let origin = serve(files);
    let from = format!("{origin}/moved/");
    let add = [
        "release", "add", VERSION, "--from", &from, "--name", "next", "--yes",
    ];
    let missing = router.cli(&add).assert().code(4);
    assert!(
        stderr(&missing).contains("--exclude"),
        "{}",
        stderr(&missing)
    );
    let done = router.json(&[&add[..], &["--exclude", "macos-intel"]].concat());
    assert_eq!(done["rollout"]["name"], "next");
    let config = router.json(&["config", "get"]);
    let build = &config["versions"][VERSION];
    assert_eq!(build["excluded_platforms"], json!(["macos-intel"]));
    let url = format!("{origin}/moved/caro-1.2.0-beta.1-linux-amd64");
    assert_eq!(build["assets"]["linux-amd64"]["url"], url);

    // Where the template points by itself no address is written.
    let second = assets("1.2.0-beta.2");
    let origin = serve(second);
    let template = format!("{origin}/caro-{{version}}-{{platform}}{{ext}}");
    let add = ["release", "add", "1.2.0-beta.2", "--from", &origin, "--yes"];
    let mut add = router.cli(&add);
    add.env("ASSET_URL_TEMPLATE", template).assert().success();
    let config = router.json(&["config", "get"]);
    let asset = &config["versions"]["1.2.0-beta.2"]["assets"]["linux-amd64"];
    assert!(asset["url"].is_null(), "{asset}");
}

#[test]
#[ignore = "needs the built Worker"]
fn what_does_not_agree_is_not_added() {
    let router = Router::start();
    let name = format!("caro-{VERSION}-linux-arm64");
    let sum = format!("{name}.sha256");
    let check = |code: i32, says: &str, spoil: &dyn Fn(&mut Files)| {
        let mut files = assets(VERSION);
        spoil(&mut files);
        let folder = router.home().join("dist");
        let _ = fs::remove_dir_all(&folder);
        write(&files, &folder);
        let add = ["release", "add", VERSION, "--from", "dist", "--yes"];
        let failed = router.cli(&add).assert().code(code);
        assert!(stderr(&failed).contains(says), "{}", stderr(&failed));
    };
    check(1, "do not ship it", &|files| {
        files.insert(name.clone(), b"another build".to_vec());
    });
    check(1, "is empty", &|files| {
        files.insert(name.clone(), Vec::new());
    });
    check(1, "does not begin with a SHA-256", &|files| {
        files.insert(sum.clone(), b"<html>".to_vec());
    });
    check(1, "is about caro-1.2.0-beta.1-linux-amd64", &|files| {
        let other = files[&format!("caro-{VERSION}-linux-amd64.sha256")].clone();
        files.insert(sum.clone(), other);
    });
    check(4, "linux-arm64.sha256 is not there", &|files| {
        files.remove(&sum);
    });
    check(4, "linux-arm64 is not there", &|files| {
        files.remove(&name);
    });
    let wrong = |args: &[&str], says: &str| {
        let failed = router.cli(args).assert().code(2);
        assert!(stderr(&failed).contains(says), "{}", stderr(&failed));
    };
    wrong(
        &["release", "add", VERSION, "--from", "http://example.org/x"],
        "must start with https://",
    );
    wrong(
        &["release", "add", "1.2", "--from", "dist"],
        "must be a version",
    );
    wrong(
        &[
            "release",
            "add",
            VERSION,
            "--from",
            "dist",
            "--exclude",
            "beos",
        ],
        "is not a platform",
    );
    let names = router.json(&["release", "list"]);
    assert_eq!(names["releases"].as_array().unwrap().len(), 1);
}

/// Holes take no room.
#[test]
#[ignore = "needs the built Worker"]
fn a_file_that_is_too_large_is_not_added() {
    let router = Router::start();
    let folder = router.home().join("dist");
    write(&assets(VERSION), &folder);
    let file = fs::File::create(folder.join(format!("caro-{VERSION}-linux-amd64"))).unwrap();
    file.set_len((1 << 32) + 1).unwrap();
    let add = ["release", "add", VERSION, "--from", "dist", "--yes"];
    let failed = router.cli(&add).assert().code(1);
    assert!(
        stderr(&failed).contains("larger than 4 GiB"),
        "{}",
        stderr(&failed)
    );
}

#[test]
#[ignore = "needs the built Worker"]
fn releases_are_listed_steered_and_forgotten() {
    let router = Router::start();
    let list = router.says(&["release", "list"]);
    let row = "v1.1.0-beta\t1.1.0-beta.2\tactive\t25 %\t25 %\tsmall_beta\n";
    assert_eq!(list, row);
    let anonymous = router
        .anonymous()
        .args(["release", "show", "v1.1.0-beta", "--json"])
        .assert()
        .success();
    let show: serde_json::Value = serde_json::from_slice(&anonymous.get_output().stdout).unwrap();
    assert_eq!(
        (&show["release"]["percentage"], &show["build"]),
        (&json!(25), &json!(null))
    );
    router.cli(&["release", "show", "v9"]).assert().code(4);

    let set = ["release", "set-version", "v1.1.0-beta", "1.1.0-beta.1"];
    let asked = router.cli(&set).assert().code(2);
    assert!(
        stderr(&asked).contains("25 % switch builds"),
        "{}",
        stderr(&asked)
    );
    let done = router.json(&[&set[..], &["--yes"]].concat());
    assert_eq!(done["rollout"]["version"], "1.1.0-beta.1");
    router
        .cli(&["release", "set-version", "v1.1.0-beta", "7.7.7", "--yes"])
        .assert()
        .code(5);

    router
        .cli(&["release", "delete", "v1.1.0-beta"])
        .assert()
        .code(2);
    let gone = router.json(&["release", "delete", "v1.1.0-beta", "--yes"]);
    assert_eq!(gone["impact"]["leave"], 25);
    let config = router.json(&["config", "get"]);
    assert!(config["releases"].get("v1.1.0-beta").is_none());
    assert!(config["versions"].get("1.1.0-beta.2").is_some());
}

#[test]
fn adding_needs_a_token_before_anything_is_read() {
    let mut command = command();
    command.args(["release", "add", VERSION, "--from", "/nonexistent"]);
    command.assert().code(3);
}
