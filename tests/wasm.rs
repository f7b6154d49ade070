//! The decisions in wasm: the same golden vectors as natively (`tests/golden.rs`), and one whole
//! way from a document to an arm. 32-bit `usize` is what could differ.

#![cfg(target_arch = "wasm32")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;
#[path = "support/vectors.rs"]
mod vectors;

use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn every_vector_holds() {
    assert_eq!(vectors::check_all(), 888);
}

#[wasm_bindgen_test]
fn a_document_becomes_decisions() {
    let snapshot = support::snapshot(&json!({}), None);
    for (who, expect) in [
        ("inside", "1.1.0-beta.2 bucket"),
        ("outside", "1.0.4 default"),
        ("member", "1.1.0-beta.2 cohort"),
        ("192.0.2.1", "1.1.0-beta.2 bucket"),
        ("::ffff:192.0.2.2", "1.0.4 default"),
        ("2001:db8:0:1::7", "1.1.0-beta.2 bucket"),
        ("", "1.0.4 no_unit"),
    ] {
        assert_eq!(support::decided(&snapshot, who), expect, "{who}");
    }
    let stopped = support::snapshot(&json!({}), Some("all"));
    assert_eq!(support::decided(&stopped, "inside"), "1.0.4 emergency_stop");
}
