//! The bodies that are sent and received, as serde types.

pub mod looks;
pub mod problem;
