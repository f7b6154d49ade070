//! The bucketing algorithm, pinned: every step from a requester to a bucket, for vectors that were
//! not made by this code. `tests/golden/bucket.py` holds the algorithm a second time, in a few
//! lines of Python's standard library, with the vector of the SipHash paper:
//!
//! ```sh
//! python3 tests/golden/bucket.py            # checks tests/golden/bucket.json
//! python3 tests/golden/bucket.py --write    # writes it anew, with more vectors
//! ```
//!
//! A line of `bucket.json` never changes: that would move people between arms.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/vectors.rs"]
mod vectors;

use caro_edge::core::bucket::{Bucket, Purpose, RolloutHash, UnitHash};
use caro_edge::core::ids::Percentage;

#[test]
fn every_vector_holds() {
    assert_eq!(vectors::check_all(), 888);
}

/// The hash's whole range maps onto the buckets, so the vectors reach both ends.
#[test]
fn the_vectors_reach_both_ends() {
    let (lowest, highest) = (
        0xe9f0_4f33_542d_80e7_c515_2650_8f1c_ceaa_u128,
        0x7fb7_291a_abdc_57eb_9642_c766_6e85_ebc6_u128,
    );
    let gate = RolloutHash::of(Purpose::Gate, "release/v1.1.0-beta");
    let bucket = |unit: u128| Bucket::of(&UnitHash::new(unit.to_be_bytes()), gate);
    let (lowest, highest) = (bucket(lowest), bucket(highest));
    assert_eq!((lowest.value(), highest.value()), (0, Bucket::COUNT - 1));

    // The compare is strict: 0 admits nobody, and one bucket less than everybody is not everybody.
    let share = |thousandths| Percentage::from_thousandths(thousandths).unwrap();
    assert!(!lowest.is_in(share(0)));
    assert!(lowest.is_in(share(1)));
    assert!(!highest.is_in(share(99_999)));
    assert!(highest.is_in(share(100_000)));
}

/// Purpose and rollout are delimited, and each purpose draws buckets of its own.
#[test]
fn no_two_rollouts_share_a_hash() {
    let mut hashes = std::collections::BTreeSet::new();
    let mut count = 0;
    for purpose in [
        Purpose::Gate,
        Purpose::Variant,
        Purpose::Cohort,
        Purpose::Holdout,
    ] {
        for id in [
            "",
            "a",
            "a1",
            "a12",
            "1a",
            "gate",
            "variant",
            "gatea1",
            "release/a",
            "feature/a",
        ] {
            hashes.insert(RolloutHash::of(purpose, id).to_bytes());
            count += 1;
        }
    }
    assert_eq!(hashes.len(), count);
}
