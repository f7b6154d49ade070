//! Evidence that may be looked at any time: e-values (Ville, 1939; Robbins, 1970; Howard et al.,
//! arXiv 1810.08240), and intervals for showing.
//!
//! An e-value's mean is at most 1 while the hypothesis holds, whenever one looks. So the chance that it
//! ever reaches 1/α is at most α. Formulas with `libm`, so that native and wasm agree to the bit.

use libm::{exp, expm1, lgamma, log, log1p, sqrt};

/// Which side of a hypothesis is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The share is above the one supposed.
    Above,
    /// It is below.
    Below,
}

/// A Beta distribution's parameters, both above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    pub a: f64,
    pub b: f64,
}

impl Prior {
    /// Around a share, as strong as so many observations.
    pub fn around(share: f64, strength: f64) -> Self {
        Self {
            a: share * strength,
            b: (1.0 - share) * strength,
        }
    }
}

/// ln B(a, b).
pub fn ln_beta(a: f64, b: f64) -> f64 {
    lgamma(a) + lgamma(b) - lgamma(a + b)
}

/// ln(1 − I_x(a, b)): how much of Beta(a, b) is above `x`, also where that is far below the smallest
/// positive number.
pub fn ln_beta_above(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return f64::NEG_INFINITY;
    }
    // The fraction converges fast on this side of the mean only (Numerical Recipes, 6.4).
    if x < (a + 1.0) / (a + b + 2.0) {
        let below = ln_incomplete_beta(a, b, x).min(0.0);
        // ln(1 − e^below), by whichever way keeps digits.
        if below > -core::f64::consts::LN_2 {
            log(-expm1(below))
        } else {
            log1p(-exp(below))
        }
    } else {
        ln_incomplete_beta(b, a, 1.0 - x).min(0.0)
    }
}

/// ln I_x(a, b) by its continued fraction (Lentz's method).
fn ln_incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const PRECISE: f64 = 1e-15;
    // Far more than are ever needed: about the square root of the larger parameter.
    const MAX: u32 = 100_000;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for i in 1..MAX {
        let m = f64::from(i);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            step = c * d;
            fraction *= step;
        }
        if (step - 1.0).abs() < PRECISE {
            break;
        }
    }
    a * log(x) + b * log1p(-x) - ln_beta(a, b) - log(a) + log(fraction)
}

/// ln E against "the share is `p0`, or on the other side of it": a mixture over the prior, truncated to
/// the side looked for.
///
/// `hits` of `hits + misses` observations are what is counted; `p0` is between 0 and 1.
pub fn ln_e_value(hits: u64, misses: u64, p0: f64, side: Side, prior: Prior) -> f64 {
    // As counts, exact up to 2^53.
    let (s, f) = (hits as f64, misses as f64);
    let (s, f, p0, Prior { a, b }) = match side {
        Side::Above => (s, f, p0, prior),
        Side::Below => (
            f,
            s,
            1.0 - p0,
            Prior {
                a: prior.b,
                b: prior.a,
            },
        ),
    };
    ln_beta(s + a, f + b) - ln_beta(a, b) - s * log(p0) - f * log1p(-p0)
        + ln_beta_above(s + a, f + b, p0)
        - ln_beta_above(a, b, p0)
}

/// ln of the mean of two e-values, which is one as well.
pub fn ln_mean(x: f64, y: f64) -> f64 {
    let (low, high) = if x < y { (x, y) } else { (y, x) };
    if high == f64::NEG_INFINITY {
        return high;
    }
    high + log1p(exp(low - high)) - core::f64::consts::LN_2
}

/// Given a hit, the chance that it came from the second of two arms that get `share` of the requesters and
/// hit `ratio` times as often as the first (Lindon and Malek, arXiv 2011.03567).
pub fn share_of_hits(share: f64, ratio: f64) -> f64 {
    share * ratio / (1.0 - share + share * ratio)
}

/// Wilson's 95 % interval of a share, for showing, and for halts in short windows: no gate hangs on it.
pub fn wilson(hits: u64, total: u64) -> (f64, f64) {
    const Z: f64 = 1.959_963_984_540_054;
    if total == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (total as f64, hits as f64 / total as f64);
    let z2 = Z * Z / n;
    let middle = (p + z2 / 2.0) / (1.0 + z2);
    let reach = Z * sqrt(p * (1.0 - p) / n + z2 / (4.0 * n)) / (1.0 + z2);
    ((middle - reach).max(0.0), (middle + reach).min(1.0))
}
