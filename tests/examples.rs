//! The documents we hand out are good ones.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use caro_edge::core::config::Config;
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../examples/caro.config.json");

/// As published it lacks what only the published files can tell, and nothing else.
#[test]
fn the_example_lacks_only_a_salt_and_digests() {
    let problems = Config::parse(EXAMPLE).unwrap_err();
    let (salt, digests): (Vec<_>, Vec<_>) = problems.iter().partition(|p| p.path == "/salt");
    assert_eq!(salt.len(), 1);
    // Three versions, five platforms, a size and a hash each.
    assert_eq!(digests.len(), 3 * 5 * 2, "{digests:?}");
    for problem in digests {
        assert!(problem.path.starts_with("/versions/"), "{problem}");
        assert_eq!(problem.message, "is missing");
    }
}

/// Filled in as `caro-rollout config fill` does, it is a configuration.
#[test]
fn the_example_filled_in_is_a_configuration() {
    let mut document: Value = serde_json::from_str(EXAMPLE).unwrap();
    document["salt"] = json!("000102030405060708090a0b0c0d0e0f");
    for build in document["versions"].as_object_mut().unwrap().values_mut() {
        for asset in build["assets"].as_object_mut().unwrap().values_mut() {
            *asset = json!({"size": 4_000_000, "sha256": "1".repeat(64)});
        }
    }
    let config = Config::parse(&document.to_string()).unwrap();
    assert_eq!(config.stable.to_string(), "1.0.4");
    assert_eq!(config.releases.len(), 1);
}
