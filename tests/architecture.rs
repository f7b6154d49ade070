//! The shape of the code: who may import whom, how long a file may get, and that ARCHITECTURE.md
//! shows what is there.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each module with those of ours that it may import. Itself is always among them.
const IMPORTS: [(&str, &[&str]); 8] = [
    ("core", &[]),
    ("wire", &["core"]),
    ("auth", &["core"]),
    ("install", &["core"]),
    ("api", &["core", "wire", "auth", "install"]),
    ("client", &["core", "wire", "auth"]),
    ("cli", &["core", "wire", "auth", "client"]),
    ("worker", &["core", "wire", "auth", "install", "api"]),
];

/// What would make the part that decides depend on where and when it runs.
const IMPURE: [&str; 13] = [
    "std::time",
    "std::env",
    "std::fs",
    "std::net::Tcp",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant::now",
    "async fn",
    ".await",
    "web_sys",
    "js_sys",
    "worker::",
];

/// The longest a file may be, in lines.
const MAX_LINES: usize = 500;

/// Files that are longer, and why.
const LONG: [(&str, &str); 2] = [
    ("install/install.sh", "sent as one file"),
    ("install/install.ps1", "sent as one file"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every file under `src`: its path below that, and its text.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let (mut folders, mut files) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path
                    .strip_prefix(&src)
                    .unwrap()
                    .to_string_lossy()
                    .replace('\\', "/");
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    assert!(files.len() > 20, "the sources were not found");
    files
}

/// The lines that are code, without their comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    // `//` in a string, as in a URL, is not a comment's beginning: a comment follows a blank.
    text.lines()
        .map(|line| match line.trim_start().starts_with("//") {
            true => "",
            false => line.split_once(" // ").map_or(line, |(code, _)| code),
        })
}

#[test]
fn modules_import_only_what_they_may() {
    let mut complaints = Vec::new();
    for (file, text) in sources().iter().filter(|(file, _)| file.ends_with(".rs")) {
        let Some((module, _)) = file.split_once('/') else {
            continue;
        };
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == module) else {
            panic!("src/{module} has no row in the import table");
        };
        for line in code(text) {
            for path in line.split("crate::").skip(1) {
                let end = path
                    .find(|c: char| !c.is_alphanumeric() && c != '_')
                    .unwrap_or(path.len());
                let imported = &path[..end];
                if imported != module && !allowed.contains(&imported) {
                    complaints.push(format!("{file} imports {imported:?}: {}", line.trim()));
                }
            }
            // Out of the module by another way.
            if line.contains("super::super::") {
                complaints.push(format!("{file}: write crate:: instead of {}", line.trim()));
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// A clock, a network or a runtime is handed in by the worker, the client or the command line; nothing else knows of
/// one.
#[test]
fn only_the_outside_touches_the_world() {
    let outside = ["worker/", "client/", "cli/", "lib.rs", "main.rs"];
    for (file, text) in sources() {
        if outside.iter().any(|part| file.starts_with(part)) || !file.ends_with(".rs") {
            continue;
        }
        for line in code(&text) {
            for word in IMPURE {
                assert!(
                    !line.contains(word),
                    "src/{file} uses {word}: {}",
                    line.trim()
                );
            }
        }
    }
}

#[test]
fn files_are_short() {
    for (file, text) in sources() {
        let (lines, reason) = (
            text.lines().count(),
            LONG.iter().find(|(name, _)| *name == file),
        );
        match reason {
            None => assert!(lines <= MAX_LINES, "src/{file} has {lines} lines: split it"),
            Some(_) => assert!(
                lines > MAX_LINES,
                "src/{file} is short again: take it off the list"
            ),
        }
    }
    for (file, _) in LONG {
        assert!(
            root().join("src").join(file).exists(),
            "src/{file} is gone: take it off the list"
        );
    }
}

/// ARCHITECTURE.md's code map names all that lies directly under `src`, and nothing that does not.
#[test]
fn the_code_map_is_complete() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let map = text
        .split("\n## ")
        .find(|section| section.starts_with("Code map"))
        .unwrap();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let slash = if entry.path().is_dir() { "/" } else { "" };
        let name = format!("`src/{}{slash}`", entry.file_name().to_string_lossy());
        assert!(
            map.contains(&name),
            "ARCHITECTURE.md's code map lacks {name}"
        );
    }
    let quoted = map.split('`').skip(1).step_by(2);
    for path in quoted.filter(|path| path.starts_with("src/")) {
        assert!(
            root().join(path).exists(),
            "ARCHITECTURE.md names {path}, which is not there"
        );
    }
}

/// A unit hash is as good as the address for whoever has the salt, so nothing can print one.
#[test]
fn a_unit_hash_cannot_be_printed() {
    let text = fs::read_to_string(root().join("src/core/bucket.rs")).unwrap();
    let (before, _) = text.split_once("pub struct UnitHash").unwrap();
    let derived = before.lines().last().unwrap();
    assert!(derived.starts_with("#[derive("), "{derived}");
    for name in ["Debug", "Display", "Serialize"] {
        assert!(!derived.contains(name), "UnitHash derives {name}");
        for (file, text) in sources() {
            let by_hand = format!("{name} for UnitHash");
            assert!(!text.contains(&by_hand), "src/{file}: {by_hand}");
        }
    }
}
