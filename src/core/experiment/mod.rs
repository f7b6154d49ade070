//! Experiments (seed 000, "A/B Testing Opportunities"; seed 001, section 5): what is counted of one, and
//! what that shows. Who gets which variant is decided like a feature's, in `core::flags`.

mod analysis;
pub mod tally;

pub use analysis::{
    Analysis, Arm, Because, Comparison, Decision, MetricResult, SampleRatio, State, analyse,
};
