//! From a unit to one of 100_000 buckets. Integers only; `tests/golden/bucket.json` pins every
//! step, natively and in wasm, because a change here would move people between arms.
//!
//! The identity is hashed once per request (SHA-256, keyed by the salt). Each decision then costs
//! one SipHash-2-4 of eight bytes, so a hundred flags are a hundred cheap steps.

use sha2::{Digest, Sha256};

use super::identity::Unit;
use super::ids::Percentage;

/// The version of this algorithm, as written in the configuration document.
pub const ALGORITHM: u64 = 1;

/// The key of the identity hash. It survives renames and never rotates within a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// The first 16 bytes of `SHA-256(salt ‖ kind ‖ unit)`: the SipHash key of each decision, and the
/// form in which cohort members are stored. Never logged, never returned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitHash([u8; 16]);

impl UnitHash {
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Hashes a unit: one SHA-256 compression for an address or an id of up to 38 bytes.
    pub fn of(salt: &Salt, unit: &Unit<'_>) -> Self {
        let (kind, bytes): (u8, &[u8]) = match unit {
            Unit::Id(id) => (b'i', id.as_bytes()),
            Unit::V4(octets) => (b'4', octets),
            Unit::V6(prefix) => (b'6', prefix),
        };
        let digest = Sha256::new()
            .chain_update(salt.0)
            .chain_update([kind])
            .chain_update(bytes)
            .finalize();
        let mut key = [0; 16];
        key.copy_from_slice(digest.split_at(16).0);
        Self(key)
    }

    /// As one integer, for ordered sets of members.
    pub const fn as_u128(&self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

/// What a bucket is drawn for. Decisions of different purposes are independent of each other:
/// a variant picked with its gate's bucket would be skewed inside the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Is the requester in the rollout at all?
    Gate,
    /// Which variant do they get inside it?
    Variant,
    /// Are they in a cohort that belongs to no release?
    Cohort,
    /// Are they held out of everything?
    Holdout,
    /// Which variant of an experiment do they get?
    Experiment,
    /// What they are counted under.
    Count,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Variant => "variant",
            Self::Cohort => "cohort",
            Self::Holdout => "holdout",
            Self::Experiment => "experiment",
            Self::Count => "count",
        }
    }
}

/// The first eight bytes of `SHA-256(len‖purpose, len‖rollout id)`, with lengths as 32-bit
/// big-endian, so that no two pairs share one input. Made once per snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutHash([u8; 8]);

impl RolloutHash {
    pub fn of(purpose: Purpose, rollout_id: &str) -> Self {
        let mut hasher = Sha256::new();
        for part in [purpose.label(), rollout_id] {
            // Ids are at most some hundred bytes.
            hasher.update((part.len() as u32).to_be_bytes());
            hasher.update(part);
        }
        let mut first = [0; 8];
        first.copy_from_slice(hasher.finalize().split_at(8).0);
        Self(first)
    }

    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The message of each decision's SipHash, as the golden vectors pin it.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

/// One of 100_000 equal shares, 0..=99_999: thousandths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(u32);

impl Bucket {
    /// How many there are.
    pub const COUNT: u32 = 100_000;

    pub fn of(unit: &UnitHash, rollout: RolloutHash) -> Self {
        let h = draw(unit, rollout);
        // The high half of the product of two 64-bit numbers: below COUNT, so it fits.
        Self(((u128::from(h) * u128::from(Self::COUNT)) >> 64) as u32)
    }

    pub const fn value(self) -> u32 {
        self.0
    }

    /// Strictly below: at 0 nobody is in, at 100 everybody.
    pub const fn is_in(self, percentage: Percentage) -> bool {
        self.0 < percentage.thousandths()
    }
}

/// 64 bits of a unit's own for one purpose.
pub fn draw(unit: &UnitHash, rollout: RolloutHash) -> u64 {
    sip_hash_2_4(&unit.0, rollout.0)
}

/// SipHash-2-4 (Aumasson and Bernstein, 2012) of one eight-byte message. Written out for that one
/// length because it runs once per flag; the tests compare it with the `siphasher` crate.
fn sip_hash_2_4(key: &[u8; 16], message: [u8; 8]) -> u64 {
    let key = u128::from_le_bytes(*key);
    let (k0, k1) = (key as u64, (key >> 64) as u64);
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // The last block holds the remaining bytes, here none, and the length in its top byte.
    for block in [u64::from_le_bytes(message), 8 << 56] {
        v[3] ^= block;
        sip_round(&mut v);
        sip_round(&mut v);
        v[0] ^= block;
    }
    v[2] ^= 0xff;
    for _ in 0..4 {
        sip_round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
const fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use proptest::prelude::*;
    use siphasher::sip::SipHasher24;

    use super::*;

    proptest! {
        #[test]
        fn sip_hash_agrees_with_the_siphasher_crate(key: [u8; 16], message: [u8; 8]) {
            let expected = SipHasher24::new_with_key(&key).hash(&message);
            prop_assert_eq!(sip_hash_2_4(&key, message), expected);
        }
    }
}
