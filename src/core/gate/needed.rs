//! How much evidence a gate takes at least, so that a plan can be told from one that cannot work.

use libm::log;

use super::judge::STRENGTH;
use super::{Ask, Gate};
use crate::core::stats::{Prior, Side, ln_e_value};

/// No gate is looked at for longer than this many samples.
const MOST: u64 = 1 << 40;

/// The fewest samples that it can pass with: those of a rate are without a failure. `None` where it is not about
/// samples.
pub fn needed(gate: &Gate) -> Option<u64> {
    let proof = match &gate.ask {
        Ask::Rate { floor, .. } => without_failure(*floor, gate.alpha),
        Ask::Quantile { quantile, .. } | Ask::QuantileRatio { quantile, .. } => {
            without_failure(*quantile, gate.alpha)
        }
        // How many failures a ratio takes depends on how often the control fails.
        Ask::Ratio { .. } | Ask::SampleRatio => 1,
        Ask::Coverage { platforms, each } => each.saturating_mul(platforms.len() as u64),
        Ask::Number { .. } => return None,
    };
    Some(proof.max(gate.min_samples))
}

/// Successes in a row that prove a share to be above `floor`.
fn without_failure(floor: f64, alpha: f64) -> u64 {
    let prior = Prior::around(floor, STRENGTH);
    let proven = |samples| ln_e_value(samples, 0, floor, Side::Above, prior) >= -log(alpha);
    // The evidence grows with each: double, then halve.
    let (mut too_few, mut enough) = (0, 1);
    while !proven(enough) && enough < MOST {
        (too_few, enough) = (enough, enough * 2);
    }
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if proven(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    enough
}
