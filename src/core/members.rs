//! Sets of people, held as keyed hashes so that no list in KV names anyone.

use std::sync::Arc;

use super::bucket::UnitHash;
use super::decode::{Decoder, Path, hex};
use super::json::Json;

/// Longest label of a member, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// A set of units: the first 16 bytes of each one's hash. Copies share one list: a cohort may have
/// tens of thousands of members and be named by thousands of features.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members(Arc<[u128]>);

impl Members {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, unit: &UnitHash) -> bool {
        self.0.binary_search(&unit.as_u128()).is_ok()
    }

    /// The hashes, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u128> {
        self.0.iter().copied()
    }

    /// Reads an array whose items are 32 hexadecimal digits, or `{"unit": digits, "label": text}`.
    pub fn decode(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Self {
        let mut hashes = d.list(json, at, |d, item, at| {
            if !matches!(item, Json::Object(_)) {
                return unit(d, item, at);
            }
            // An unknown key could be the member's address, and the paths of problems are public.
            if let Json::Object(entries) = item
                && entries
                    .iter()
                    .any(|(key, _)| key != "unit" && key != "label")
            {
                d.report(at, "may hold only the fields unit and label");
                return None;
            }
            let mut object = d.object(item, at)?;
            let hash = object.required(d, "unit", unit);
            object.optional(d, "label", |d, json, at| {
                let label = d.string(json, at)?;
                if label.len() > MAX_LABEL_BYTES || label.chars().any(char::is_control) {
                    d.report(at, "must be printable and at most 64 bytes long");
                }
                Some(())
            });
            object.finish(d);
            hash
        });
        hashes.sort_unstable();
        hashes.dedup();
        Self(hashes.into())
    }
}

fn unit(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<u128> {
    let text = d.string(json, at)?;
    let hash = hex::<16>(text).map(u128::from_be_bytes);
    if hash.is_none() {
        // The text itself stays out of the message: it may be an address or a name.
        d.report(
            at,
            "must be the first 32 hexadecimal digits of the member's unit hash, never the id \
             itself; README shows the command that makes it",
        );
    }
    hash
}
