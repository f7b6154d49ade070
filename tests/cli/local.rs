//! Flags on this machine.

use std::fs;
use std::process::Stdio;

use crate::support::{Router, command, stderr, stdout};

#[test]
fn seed_001_on_one_machine() {
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join(".config/caro/features.toml");
    let run = |args: &[&str]| {
        let mut command = command();
        let assert = command
            .env("HOME", home.path())
            .arg("features")
            .args(args)
            .assert()
            .success();
        stdout(&assert)
    };
    let before = run(&["list"]);
    assert!(
        before.contains("validation_retry\ttrue\tdefault"),
        "{before}"
    );
    let said = run(&["disable", "validation_retry"]);
    assert!(
        said.contains("validation_retry is false on this machine"),
        "{said}"
    );
    fs::write(
        &file,
        format!("# mine\n{}", fs::read_to_string(&file).unwrap()),
    )
    .unwrap();
    run(&["enable", "telemetry_cloud_sync"]);
    run(&["enable", "llm_backends_disabled"]);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# mine\n"), "comments stay: {text}");
    let now = run(&["list"]);
    for line in [
        "validation_retry\tfalse\toverride",
        "telemetry_cloud_sync\ttrue\toverride",
        "llm_backends_disabled\ttrue\tkilled",
        "embedded_backend\tfalse\tkilled",
    ] {
        assert!(now.contains(line), "{line:?} is not in\n{now}");
    }
    assert!(run(&["reset", "validation_retry"]).starts_with("1 taken back"));
    assert!(run(&["list"]).contains("validation_retry\ttrue\tdefault"));
    assert!(run(&["reset"]).starts_with("2 taken back"));
    assert!(run(&["reset"]).starts_with("0 taken back"));
    assert_eq!(run(&["list"]), before);
}

#[test]
fn a_file_that_is_no_toml_is_left_as_it_is() {
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join("features.toml");
    fs::write(&file, "validation_retry = maybe").unwrap();
    let path = file.to_str().unwrap();
    let failed = command()
        .args(["features", "enable", "dark_mode", "--file", path])
        .assert()
        .code(1);
    assert!(
        stderr(&failed).contains("is not TOML"),
        "{}",
        stderr(&failed)
    );
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "validation_retry = maybe"
    );
    let key = command()
        .args(["features", "enable", "Not A Key"])
        .assert()
        .code(2);
    assert!(stderr(&key).contains("<KEY>"), "{}", stderr(&key));
}

#[test]
#[ignore = "needs the built Worker"]
fn the_router_is_asked_as_a_program_would() {
    let router = Router::start();
    router.says(&["features", "disable", "validation_retry"]);
    let listed = router.says(&["features", "list", "--release", "v1.1.0-beta", "--id", "u1"]);
    assert!(
        listed.contains("validation_retry\tfalse\toverride"),
        "{listed}"
    );
    assert!(listed.contains("static_matcher\ttrue\trouter"), "{listed}");
    router
        .cli(&["features", "list", "--release", "v9.9.9"])
        .assert()
        .code(7);
}

/// Whoever read it has gone, such as `head` or a terminal that was closed.
#[test]
fn what_nobody_reads_is_never_a_success_and_never_a_crash() {
    let run = |args: &[&str], is_output: bool| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_caro-rollout"));
        command.args(args).stdin(Stdio::null());
        match is_output {
            true => command.stdout(writer).stderr(Stdio::null()),
            false => command.stderr(writer).stdout(Stdio::null()),
        };
        command.status().unwrap().code()
    };
    assert_eq!(run(&["man"], true), Some(141));
    // What it says on its way does not end it halfway: this gives its own exit code.
    let nowhere = ["config", "validate", "/nonexistent/config.json"];
    assert_eq!(run(&nowhere, false), Some(1));
}
