//! The override file: what is read of it, and that editing leaves everything else as it is.

#![cfg(all(feature = "client", unix))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread;

use caro_edge::client::overrides::{OverrideError, OverrideFile};
use caro_edge::client::{Client, Origin};
use caro_edge::core::ids::FlagKey;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

fn file(text: &str) -> (TempDir, OverrideFile) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("features.toml");
    fs::write(&path, text).unwrap();
    (folder, OverrideFile::at(path))
}

fn key(name: &str) -> FlagKey {
    name.parse().unwrap()
}

fn text(file: &OverrideFile) -> String {
    fs::read_to_string(file.path()).unwrap()
}

/// What it says, and what it warns of.
fn read(text: &str) -> (Value, Vec<String>) {
    let (_folder, file) = file(text);
    let overrides = file.load().unwrap();
    (json!(overrides.features), overrides.warnings)
}

#[test]
fn what_is_read() {
    let (features, warnings) = read("[features]\na = true\nb = false\nc = 'x'\nd = 3\ne = 0.5\n");
    assert_eq!(
        features,
        json!({"a": true, "b": false, "c": "x", "d": 3, "e": 0.5})
    );
    assert_eq!(warnings, [""; 0]);
    assert_eq!(read("").0, json!({}));
    assert_eq!(read("features = { a = true }").0, json!({"a": true}));
    // Other places, the later of which win.
    let all = "a = 1\nb = 1\nc = 1\nd = 1\n[feature_flags]\nb = 2\nc = 2\nd = 2\n\
               [feature_flags.overrides]\nc = 3\nd = 3\n[features]\nd = 4\n";
    assert_eq!(read(all), (json!({"a": 1, "b": 2, "c": 3, "d": 4}), vec![]));
    // What is not understood is told, and the rest holds. Tables of others are none of ours.
    let (features, warnings) =
        read("[features]\na = true\nb = [1]\n\"C D\" = true\nf = inf\n[theme]\ndark = true\n");
    assert_eq!(features, json!({"a": true}));
    assert_eq!(warnings.len(), 3);
    assert!(
        warnings[0].contains("`b`") && warnings[1].contains("`C D`"),
        "{warnings:?}"
    );
}

#[test]
fn no_file_says_nothing_and_a_broken_one_says_where() {
    let folder = tempdir().unwrap();
    let missing = OverrideFile::at(folder.path().join("nowhere/features.toml"));
    assert_eq!(missing.load().unwrap(), Default::default());
    assert!(!missing.unset(&key("a")).unwrap());
    assert_eq!(missing.reset().unwrap(), 0);
    assert!(
        !missing.path().parent().unwrap().exists(),
        "nothing was made"
    );
    let (_folder, broken) = file("[features]\na = true\nb = \n");
    let message = broken.load().unwrap_err().to_string();
    assert!(
        message.contains("features.toml is not TOML") && message.contains("line 3"),
        "{message}"
    );
    assert!(matches!(
        broken.set(&key("a"), &json!(false)),
        Err(OverrideError::Syntax { .. })
    ));
    assert_eq!(
        text(&broken),
        "[features]\na = true\nb = \n",
        "it is left alone"
    );
    let (_folder, shape) = file("features = 3\n");
    assert!(matches!(
        shape.set(&key("a"), &json!(false)),
        Err(OverrideError::Shape { .. })
    ));
    let folder = OverrideFile::at(folder.path());
    assert!(matches!(folder.load(), Err(OverrideError::Io { .. })));
    let (_folder, large) = file(&"# x\n".repeat(100_000));
    assert!(
        large
            .load()
            .unwrap_err()
            .to_string()
            .contains("longer than")
    );
}

#[test]
fn editing_keeps_everything_else() {
    let before =
        "# mine\n\n[features]\n# why\na = true # for now\nb = \"x\"\n\n[theme]\ndark = true\n";
    let (_folder, file) = file(before);
    file.set(&key("a"), &json!(false)).unwrap();
    assert_eq!(text(&file), before.replace("a = true", "a = false"));
    file.set(&key("c"), &json!("y")).unwrap();
    assert_eq!(
        text(&file),
        before
            .replace("a = true", "a = false")
            .replace("b = \"x\"\n", "b = \"x\"\nc = \"y\"\n")
    );
    assert!(file.unset(&key("c")).unwrap());
    assert!(!file.unset(&key("c")).unwrap());
    file.set(&key("a"), &json!(true)).unwrap();
    assert_eq!(text(&file), before);
    assert_eq!(file.reset().unwrap(), 2);
    assert_eq!(
        text(&file),
        "# mine\n\n[features]\n\n[theme]\ndark = true\n"
    );
    assert!(matches!(
        file.set(&key("a"), &json!([1])),
        Err(OverrideError::Value)
    ));
    assert!(matches!(
        file.set(&key("a"), &json!(null)),
        Err(OverrideError::Value)
    ));
}

/// What stands in another place is overridden, and taken back from there too.
#[test]
fn unset_unsets() {
    let (_folder, file) = file(
        "a = true\n[feature_flags]\na = true\nb = true\n[feature_flags.overrides]\na = true\n",
    );
    file.set(&key("a"), &json!(false)).unwrap();
    assert_eq!(file.load().unwrap().features[&key("a")], json!(false));
    assert!(file.unset(&key("a")).unwrap());
    assert_eq!(json!(file.load().unwrap().features), json!({"b": true}));
}

#[test]
fn a_new_file_is_made_with_its_folder() {
    let folder = tempdir().unwrap();
    let file = OverrideFile::at(folder.path().join("caro/features.toml"));
    file.set(&key("a"), &json!(0.5)).unwrap();
    file.set(&key("b"), &json!(7)).unwrap();
    assert_eq!(text(&file), "[features]\na = 0.5\nb = 7\n");
    let mode = fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Configuration that is kept elsewhere stays there, with its mode.
#[test]
fn links_and_modes_stay() {
    let (folder, real) = file("[features]\n");
    fs::set_permissions(real.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let link = folder.path().join("link.toml");
    symlink(real.path(), &link).unwrap();
    OverrideFile::at(&link)
        .set(&key("a"), &json!(true))
        .unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(text(&real), "[features]\na = true\n");
    let mode = fs::metadata(real.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// Nobody's edit is lost.
#[test]
fn many_edit_at_once() {
    let (_folder, file) = file("# mine\n");
    thread::scope(|scope| {
        for writer in 0..4 {
            let file = &file;
            scope.spawn(move || {
                for i in 0..10 {
                    file.set(&key(&format!("f{writer}_{i}")), &json!(true))
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(file.load().unwrap().features.len(), 40);
    assert!(text(&file).starts_with("# mine\n"));
}

#[test]
fn a_last_line_without_an_end() {
    let (_folder, file) = file("x = 1\n# mine");
    file.set(&key("a"), &json!(true)).unwrap();
    assert_eq!(text(&file), "x = 1\n# mine\n[features]\na = true\n");
}

#[test]
fn a_client_takes_them_up() {
    let (folder, file) =
        file("[features]\nvalidation_retry = false\nmodel = 'small'\ntelemetry_disabled = true\n");
    let new = || {
        Client::builder("https://get.caro.sh")
            .release("v1")
            .no_cache()
            .overrides(file.path())
    };
    let client = new().build().unwrap();
    assert!(!client.bool("validation_retry", true));
    assert_eq!(client.string("model", "large"), "small");
    assert!(client.is_killed("telemetry_disabled") && client.is_killed("telemetry_opt_in"));
    assert_eq!(
        client.values().get("model").unwrap().origin,
        Origin::Override
    );
    assert_eq!(client.status().overrides.len(), 3);
    // One that cannot be read keeps no program from starting.
    fs::write(file.path(), "[features").unwrap();
    let client = new().build().unwrap();
    assert!(client.bool("validation_retry", false));
    assert!(
        client.status().warnings[0].contains("is not TOML"),
        "{:?}",
        client.status().warnings
    );
    let client = new().overrides(folder.path()).build().unwrap();
    assert_eq!(client.status().warnings.len(), 1);
}

proptest! {
    /// Any file is read, or refused with a reason; editing one that can be read does what it says.
    #[test]
    fn any_file(text in "([a-z\"'= \\[\\]\\n#.]|true|features|feature_flags){0,60}", on: bool) {
        let (_folder, file) = file(&text);
        let Ok(before) = file.load() else {
            prop_assert!(file.set(&key("f"), &json!(on)).is_err());
            return Ok(());
        };
        if file.set(&key("f"), &json!(on)).is_ok() {
            let mut expected = before.features;
            expected.insert(key("f"), json!(on));
            prop_assert_eq!(file.load().unwrap().features, expected.clone());
            prop_assert!(file.unset(&key("f")).unwrap());
            expected.remove(&key("f"));
            prop_assert_eq!(file.load().unwrap().features, expected);
            file.reset().unwrap();
            prop_assert!(file.load().unwrap().features.is_empty());
        }
    }
}
