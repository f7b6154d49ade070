//! What a requester was given before and may keep when a percentage goes down, because they ask for it.
//! The router stores nothing: they bring it along, as [`crate::auth::assignment`] seals it.

use super::bucket::RolloutHash;
use super::ids::FlagKey;

/// The most rollouts that are kept.
pub const MAX_HELD: usize = 100;

/// Rollouts that a requester is in; of a feature with the variant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held(Vec<(RolloutHash, String)>);

impl Held {
    /// Adds one, if there is room. A release has no variant.
    pub fn push(&mut self, rollout: RolloutHash, variant: Option<&FlagKey>) {
        if self.0.len() < MAX_HELD {
            let variant = variant.map_or_else(String::new, FlagKey::to_string);
            self.0.push((rollout, variant));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The variant of a rollout that is held; empty for a release.
    pub fn variant(&self, rollout: RolloutHash) -> Option<&str> {
        let found = self.0.iter().find(|(held, _)| *held == rollout);
        found.map(|(_, variant)| variant.as_str())
    }

    /// Eight bytes, a length and a name for each.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (rollout, variant) in &self.0 {
            bytes.extend(rollout.to_bytes());
            // Names are at most 64 bytes.
            bytes.push(variant.len() as u8);
            bytes.extend(variant.as_bytes());
        }
        bytes
    }

    /// From bytes that were ours.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut held = Vec::new();
        while !bytes.is_empty() {
            let (rollout, rest) = bytes.split_first_chunk::<8>()?;
            let (length, rest) = rest.split_first()?;
            let (variant, rest) = rest.split_at_checked(usize::from(*length))?;
            let variant = std::str::from_utf8(variant).ok()?;
            held.push((RolloutHash::from_bytes(*rollout), variant.to_owned()));
            bytes = rest;
        }
        (held.len() <= MAX_HELD).then_some(Self(held))
    }
}
