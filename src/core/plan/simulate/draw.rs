//! Chance by seed: the same numbers on every machine and in every build.

/// SplitMix64 (Steele, Lea and Flood, 2014): one word of state, and good enough to draw counts from.
#[derive(Debug, Clone)]
pub struct Draw(u64);

/// Up to so many expected hits they are drawn one by one; above, the normal distribution is close enough.
const EXACT: f64 = 30.0;

impl Draw {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From above 0 to 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// How many of `n` happen, each with the chance `p`. Few are drawn exactly, by how many fail between two that
    /// happen, which is geometric; many from the normal distribution with the same mean and variance, rounded and
    /// held within 0 and `n`.
    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if p > 0.5 {
            return n - self.binomial(n, 1.0 - p);
        }
        if n == 0 || p.is_nan() || p <= 0.0 {
            return 0;
        }
        let mean = n as f64 * p;
        if mean > EXACT {
            let deviation = libm::sqrt(mean * (1.0 - p));
            // Box and Muller.
            let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
            let normal = radius * libm::cos(std::f64::consts::TAU * self.unit());
            return (mean + deviation * normal).round().clamp(0.0, n as f64) as u64;
        }
        let (mut hits, mut at) = (0, 0.0);
        let fails = libm::log1p(-p);
        loop {
            at += (libm::log(self.unit()) / fails).floor() + 1.0;
            if at > n as f64 {
                return hits;
            }
            hits += 1;
        }
    }
}
