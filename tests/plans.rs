//! Plans as they are written: the reader, the presets, and what is found wrong with them.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use caro_edge::core::json::Json;
use caro_edge::core::plan::{PRESETS, Plan, preset};

fn read(text: &str) -> Plan {
    match Plan::parse(&Json::parse(text).unwrap()) {
        Ok(plan) => plan,
        Err(problems) => panic!("{problems:#?}"),
    }
}

#[test]
fn every_preset_can_be_read_and_has_its_own_name() {
    for name in PRESETS {
        let plan = read(preset(name).unwrap());
        assert_eq!(plan.name, name);
    }
    assert!(preset("other").is_none());
}
