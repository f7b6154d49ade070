//! A document in KV and what is wrong with it.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use caro_edge::core::config::Config;
use caro_edge::core::decode::Problem;
use serde_json::Value;

use crate::support::document;

/// What is wrong with a document; nothing if it is good.
pub fn problems(text: &str) -> Vec<Problem> {
    Config::parse(text).err().unwrap_or_default()
}

/// The document has exactly these problems: path, and a part of the message.
pub fn check(text: &str, expect: &[(&str, &str)]) {
    let got = problems(text);
    let fits = got.len() == expect.len()
        && got
            .iter()
            .zip(expect)
            .all(|(problem, (path, part))| problem.path == *path && problem.message.contains(part));
    assert!(fits, "got {got:#?}\nnot {expect:#?}\nfor {text:.300}");
    for Problem { message, .. } in got {
        check_words(&message);
    }
}

/// A message goes on where the path stops, and says enough to act on.
pub fn check_words(message: &str) {
    let verb = message.split(' ').next().unwrap();
    assert!(
        ["is", "must", "may", "names", "has", "both"].contains(&verb),
        "no sentence about the place it stands for: {message:?}"
    );
    assert!(message.len() >= 10 && message.len() < 400, "{message:?}");
    assert!(!message.ends_with('.') && message.is_ascii(), "{message:?}");
}

/// The same, for a patch of the golden document.
pub fn check_patch(patch: &Value, expect: &[(&str, &str)]) {
    check(&document(patch), expect);
}
