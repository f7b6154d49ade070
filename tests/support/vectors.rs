//! The golden vectors of the bucketing algorithm, read the same way natively and in wasm.

use caro_edge::core::bucket::{ALGORITHM, Bucket, Purpose, RolloutHash, Salt, UnitHash};
use caro_edge::core::decode::{hex, to_hex};
use caro_edge::core::identity::Unit;
use serde_json::Value;

const VECTORS: &str = include_str!("../golden/bucket.json");

/// Checks every vector and gives their number, so that a caller can see that there were any.
pub fn check_all() -> usize {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors["algorithm"], ALGORITHM);

    let units: Vec<UnitHash> = list(&vectors, "units").iter().map(check_unit).collect();
    let rollouts: Vec<RolloutHash> = list(&vectors, "rollouts")
        .iter()
        .map(check_rollout)
        .collect();
    let rows = list(&vectors, "buckets");
    assert_eq!(rows.len(), units.len());
    for (u, (unit, row)) in units.iter().zip(rows).enumerate() {
        let got: Vec<u32> = rollouts
            .iter()
            .map(|r| Bucket::of(unit, *r).value())
            .collect();
        assert_eq!(serde_json::json!(got), *row, "buckets of unit {u}");
    }
    units.len() * rollouts.len()
}

fn list<'v>(vectors: &'v Value, name: &str) -> &'v [Value] {
    vectors[name].as_array().unwrap()
}

fn check_unit(vector: &Value) -> UnitHash {
    let text = |name: &str| vector[name].as_str().unwrap();
    let salt = Salt::new(hex(text("salt")).unwrap());
    let unit = match text("kind") {
        "id" => Unit::from_id(text("text")).unwrap(),
        _ => Unit::from_address(text("text")),
    };
    let hash = UnitHash::of(&salt, &unit.unwrap());
    assert_eq!(
        to_hex(&hash.as_u128().to_be_bytes()),
        text("hash"),
        "{vector}"
    );
    hash
}

fn check_rollout(vector: &Value) -> RolloutHash {
    let text = |name: &str| vector[name].as_str().unwrap();
    let purpose = match text("purpose") {
        "gate" => Purpose::Gate,
        "variant" => Purpose::Variant,
        "cohort" => Purpose::Cohort,
        "holdout" => Purpose::Holdout,
        "experiment" => Purpose::Experiment,
        "count" => Purpose::Count,
        other => panic!("unknown purpose {other}"),
    };
    let hash = RolloutHash::of(purpose, text("id"));
    assert_eq!(to_hex(&hash.to_bytes()), text("hash"), "{vector}");
    hash
}
