//! The configuration as one document.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::files::{assets, serve, sha256};
use crate::support::{Router, command, root, sample, stderr, stdout};

fn write(folder: &Path, name: &str, document: &Value) {
    fs::write(folder.join(name), document.to_string()).unwrap();
}

/// The sample with a change.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut document = sample();
    change(&mut document);
    document
}

#[test]
#[ignore = "needs the built Worker"]
#[cfg(unix)]
fn it_goes_into_a_file_that_nobody_else_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let router = Router::start();
    let printed: Value = serde_json::from_str(&router.says(&["config", "get"])).unwrap();
    assert_eq!(printed["salt"], sample()["salt"]);
    let file = router.home().join("got.json");
    fs::write(&file, "what was there").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    router.says(&["config", "get", "--output", "got.json"]);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let written: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(written, printed);
    let nowhere = ["config", "get", "--output", "no/such/folder.json"];
    router.cli(&nowhere).assert().code(1);
    let viewer = router.mint("viewer");
    router
        .as_token(&viewer, &["config", "get"])
        .assert()
        .code(3);
}

#[test]
#[ignore = "needs the built Worker"]
fn it_is_replaced_after_a_look_at_what_that_does() {
    let router = Router::start();
    router.says(&["config", "get", "--output", "new.json"]);
    let text = fs::read_to_string(router.home().join("new.json")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["releases"]["v1.1.0-beta"]["percentage"] = json!(10);
    write(&router.home(), "new.json", &document);
    let put = ["config", "put", "new.json"];
    let asked = router.cli(&put).assert().code(2);
    assert!(stderr(&asked).contains("15 % leave"), "{}", stderr(&asked));
    let done = router.json(&[&put[..], &["--yes", "-m", "narrower"]].concat());
    assert_eq!(done["impact"]["leave"], 15);

    // It was made from a revision that is gone: whatever happened since would be undone.
    document["releases"]["v1.1.0-beta"]["percentage"] = json!(50);
    write(&router.home(), "new.json", &document);
    let behind = router
        .cli(&[&put[..], &["--yes"]].concat())
        .assert()
        .code(5);
    assert!(
        stderr(&behind).contains("config diff new.json"),
        "{}",
        stderr(&behind)
    );
    let done = router.json(&[&put[..], &["--yes", "--overwrite"]].concat());
    assert_eq!(done["impact"]["enter"], 40);
}

#[test]
#[ignore = "needs the built Worker"]
fn what_cannot_be_used_is_refused_with_its_places() {
    let router = Router::start();
    let bad = changed(|document| {
        document["releases"]["v1.1.0-beta"]["percentage"] = json!(500);
        document["stabel"] = json!("1.0.4");
    });
    write(&router.home(), "bad.json", &bad);
    let refused = router
        .cli(&["config", "put", "bad.json", "-y"])
        .assert()
        .code(5);
    let said = stderr(&refused);
    assert!(
        said.contains("/releases/v1.1.0-beta/percentage must be"),
        "{said}"
    );
    assert!(said.contains("/stabel is not a known field"), "{said}");
    // A map of it would have one of the two, and nobody would know.
    let twice = sample()
        .to_string()
        .replacen('{', "{\"stable\": \"1.0.3\",", 1);
    fs::write(router.home().join("twice.json"), twice).unwrap();
    let refused = router
        .cli(&["config", "put", "twice.json", "-y"])
        .assert()
        .code(1);
    assert!(stderr(&refused).contains("/stable"), "{}", stderr(&refused));
    let no_json = router
        .cli(&["config", "put", "-", "-y"])
        .write_stdin("{")
        .assert()
        .code(1);
    assert!(
        stderr(&no_json).contains("not valid JSON"),
        "{}",
        stderr(&no_json)
    );
    assert_eq!(router.json(&["config", "get"])["revision"], 7);
}

#[test]
#[ignore = "needs the built Worker"]
fn what_a_file_says_otherwise_is_shown_without_secrets() {
    let router = Router::start();
    router.says(&["config", "get", "--output", "same.json"]);
    let same = router.says(&["config", "diff", "same.json"]);
    assert_eq!(same, "both say the same\n");

    let member = "00112233445566778899aabbccddeeff";
    let other = changed(|document| {
        document["releases"]["v1.1.0-beta"]["percentage"] = json!(50);
        document["features"]["v1.1.0-beta"]["confidence_refinement"] = json!({"percentage": 60});
        document["canary"]["allowlist"] = json!([member]);
        document["salt"] = json!("ffeeddccbbaa99887766554433221100");
    });
    write(&router.home(), "other.json", &other);
    let shown = router
        .cli(&["config", "diff", "other.json"])
        .assert()
        .code(1);
    let text = stdout(&shown);
    assert!(
        text.contains("/releases/v1.1.0-beta/percentage\t25\t50"),
        "{text}"
    );
    assert!(text.contains("/salt\t-\tchanged"), "{text}");
    assert!(
        text.contains("/canary/allowlist\t-\t1 more, 1 fewer people"),
        "{text}"
    );
    for secret in [
        member,
        "ffeeddccbbaa99887766554433221100",
        "4f02099013e52f8b",
        "59b30fbca8538a08",
    ] {
        assert!(!text.contains(secret), "{text}");
    }
    let json = router
        .cli(&["config", "diff", "other.json", "--json"])
        .assert()
        .code(1);
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["differences"].as_array().unwrap().len(), 4);
    // Another salt draws every bucket anew: half of those who are in by 25 % are not by 50 %.
    assert_eq!(json["impact"]["leave"], 12.5);
    assert_eq!(
        json["features"][0]["key"],
        "confidence_refinement of v1.1.0-beta"
    );

    write(&router.home(), "bad.json", &json!({"schema": 1}));
    let bad = router.cli(&["config", "diff", "bad.json"]).assert().code(1);
    assert!(
        stdout(&bad).contains("/stable: is missing"),
        "{}",
        stdout(&bad)
    );
}

#[test]
fn a_file_is_validated_without_a_router() {
    let home = tempfile::TempDir::new().unwrap();
    let validate = |document: &Value, more: &[&str]| {
        let mut command = command();
        command.args(["config", "validate", "-"]).args(more);
        command.current_dir(home.path());
        command.write_stdin(document.to_string()).assert()
    };
    let good = validate(&sample(), &[]).code(0);
    assert!(stdout(&good).contains("can be used"), "{}", stdout(&good));
    validate(&sample(), &["--strict"]).code(1);
    let bad = changed(|document| {
        document["stable"] = json!("9.9.9");
        document["salt"] = json!("short");
    });
    let bad = validate(&bad, &["--json"]).code(1);
    let bad: Value = serde_json::from_str(&stdout(&bad)).unwrap();
    assert_eq!(bad["valid"], false);
    let places: Vec<&str> = bad["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["path"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["/salt", "/stable"]);
    // A lint error is one, too: it is past its expiry.
    let old = changed(|document| {
        document["features"]["*"]["static_matcher"]["expires"] = json!("2020-01-01");
    });
    let old = validate(&old, &["--json"]).code(1);
    let old: Value = serde_json::from_str(&stdout(&old)).unwrap();
    assert_eq!(
        (&old["valid"], &old["findings"][0]["severity"]),
        (&json!(true), &json!("error"))
    );
}

/// `config fill` with the example, its assets at `origin`.
fn fill(origin: &str) -> assert_cmd::assert::Assert {
    let template = format!("{origin}/caro-{{version}}-{{platform}}{{ext}}");
    let mut command = command();
    command
        .env("ASSET_URL_TEMPLATE", template)
        .current_dir(root());
    command
        .args(["config", "fill", "examples/caro.config.json"])
        .assert()
}

fn published() -> crate::files::Files {
    let versions = ["1.0.4", "1.1.0-beta.1", "1.1.0-beta.2"];
    versions.into_iter().flat_map(assets).collect()
}

#[test]
fn the_example_is_filled_in_from_published_files() {
    let files = published();
    let origin = serve(files.clone());
    let filled: Value = serde_json::from_str(&stdout(&fill(&origin).success())).unwrap();
    let bytes = &files["caro-1.1.0-beta.2-windows-amd64.exe"];
    let asset = json!({ "size": bytes.len(), "sha256": sha256(bytes) });
    assert_eq!(
        filled["versions"]["1.1.0-beta.2"]["assets"]["windows-amd64"],
        asset
    );
    let again: Value = serde_json::from_str(&stdout(&fill(&origin).success())).unwrap();
    assert_ne!(
        filled["salt"], again["salt"],
        "two salts are never the same"
    );
    let mut validate = command();
    validate
        .args(["config", "validate", "-"])
        .write_stdin(filled.to_string());
    validate.assert().success();
}

#[test]
fn nothing_is_printed_where_something_does_not_agree() {
    let name = "caro-1.0.4-linux-arm64";
    let mut wrong = published();
    wrong.insert(name.to_owned(), b"something else".to_vec());
    let mut gone = published();
    gone.remove(name);
    for (files, code, says) in [
        (wrong, 1, "do not ship it"),
        (gone, 4, "is it published yet?"),
    ] {
        let failed = fill(&serve(files)).code(code);
        assert_eq!(stdout(&failed), "");
        assert!(stderr(&failed).contains(says), "{}", stderr(&failed));
    }
    let unreachable = fill("http://127.0.0.1:9").code(7);
    assert_eq!(stdout(&unreachable), "");
    let no_template = fill("ftp://127.0.0.1").code(1);
    assert!(stderr(&no_template).contains("/ASSET_URL_TEMPLATE"));
}
