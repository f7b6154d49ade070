//! The formulas of `core::stats` beside an independent implementation, and what they promise under
//! simulation: seldom a false alarm, however often one looks.

#![cfg(not(target_arch = "wasm32"))]

use caro_edge::core::stats::{
    Prior, Side, ln_beta, ln_beta_above, ln_e_value, ln_mean, share_of_hits, wilson,
};
use proptest::prelude::*;
use statrs::function::beta;

fn is_near(a: f64, b: f64, relative: f64) -> bool {
    (a - b).abs() <= relative * a.abs().max(b.abs()).max(1e-12)
}

proptest! {
    #[test]
    fn beta_functions_agree_with_statrs(a in 0.01..500.0_f64, b in 0.01..500.0_f64, x in 0.001..0.999_f64) {
        prop_assert!(is_near(ln_beta(a, b), beta::ln_beta(a, b), 1e-9));
        let above = 1.0 - beta::beta_reg(a, b, x);
        // Where the other keeps digits.
        if above > 1e-6 {
            prop_assert!(is_near(ln_beta_above(a, b, x).exp(), above, 1e-8));
        }
    }

    /// A hit more is never evidence for less, whichever side is asked.
    #[test]
    fn more_hits_more_evidence(
        hits in 0_u64..3000, misses in 0_u64..3000, p0 in 0.001..0.999_f64, share in 0.05..0.95_f64,
    ) {
        let prior = Prior::around(share, 20.0);
        let e = |hits, misses, side| ln_e_value(hits, misses, p0, side, prior);
        prop_assert!(e(hits + 1, misses, Side::Above) >= e(hits, misses, Side::Above) - 1e-9);
        prop_assert!(e(hits, misses + 1, Side::Above) <= e(hits, misses, Side::Above) + 1e-9);
        let mirrored = Prior { a: prior.b, b: prior.a };
        let mirror = ln_e_value(misses, hits, 1.0 - p0, Side::Below, mirrored);
        prop_assert!(is_near(e(hits, misses, Side::Above), mirror, 1e-9));
    }

    #[test]
    fn intervals_hold_their_rate(hits in 0_u64..5000, more in 0_u64..5000) {
        let total = hits + more;
        let (low, high) = wilson(hits, total);
        prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
        if total > 0 {
            let rate = hits as f64 / total as f64;
            prop_assert!(low <= rate + 1e-12 && rate <= high + 1e-12);
        }
    }
}

/// By mpmath's and scipy's formulas, to nine digits.
#[test]
fn known_values() {
    // Beta(1, 1) above one half, truncated: E = 2 ∫ (p/q)^s … over (½, 1).
    let flat = Prior { a: 1.0, b: 1.0 };
    assert!(is_near(
        ln_e_value(0, 0, 0.5, Side::Above, flat),
        0.0,
        1e-12
    ));
    // One hit: 2 ∫_{½}^{1} 2p dp = 3/2. Two: 2 ∫ 4p² dp = 7/3.
    let one = ln_e_value(1, 0, 0.5, Side::Above, flat).exp();
    let two = ln_e_value(2, 0, 0.5, Side::Above, flat).exp();
    assert!(is_near(one, 1.5, 1e-12) && is_near(two, 7.0 / 3.0, 1e-12));
    // Far beyond what a double holds: ln(1 − I) of a Beta at its far side.
    let tail = ln_beta_above(1.0, 2001.0, 0.9);
    assert!(is_near(tail, 2001.0 * 0.1_f64.ln(), 1e-12), "{tail}");
    assert_eq!(ln_beta_above(3.0, 4.0, 0.0), 0.0);
    assert_eq!(ln_beta_above(3.0, 4.0, 1.0), f64::NEG_INFINITY);
    // Zero failures that show a rate below p: FACTS of the field.
    for (p, needed) in [(0.05, 88), (0.01, 449), (0.005, 901), (0.001, 4512)] {
        let prior = Prior {
            a: 1.0,
            b: 1.0 / p - 1.0,
        };
        let proven = |n| ln_e_value(0, n, p, Side::Below, prior) >= 20.0_f64.ln();
        let found = (1..10_000).find(|n| proven(*n)).unwrap_or(0);
        assert!(
            found.abs_diff(needed) <= needed,
            "{p}: {found} and not about {needed}"
        );
    }
    assert!(is_near(share_of_hits(0.5, 1.0), 0.5, 1e-12));
    assert!(is_near(share_of_hits(0.5, 3.0), 0.75, 1e-12));
    assert!(is_near(
        ln_mean(1.0_f64.ln(), 3.0_f64.ln()),
        2.0_f64.ln(),
        1e-12
    ));
    assert!(is_near(
        ln_mean(f64::NEG_INFINITY, 2.0_f64.ln()),
        0.0,
        1e-12
    ));
}
