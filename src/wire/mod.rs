//! The bodies that are sent and received, as serde types.

pub mod body;
pub mod console;
pub mod control;
pub mod etag;
pub mod evidence;
pub mod experiment;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod flag_schema;
pub mod history;
pub mod looks;
pub mod ofrep;
pub mod plan;
pub mod problem;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod schema;
