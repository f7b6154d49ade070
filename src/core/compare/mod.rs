//! Two configurations held against each other: `structure` what is written otherwise, `requesters` what that does
//! to some of them, one by one, `flags` to their flags, and `tally` what was counted. The exact shares are those of
//! [`crate::core::impact`].

mod flags;
mod requesters;
mod structure;
mod tally;

pub use requesters::{Comparison, Side};
pub use structure::{Difference, Kind, differences};
pub use tally::{Cause, Example, FeatureCount, Group, Histogram, Tally};
