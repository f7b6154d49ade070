//! The pure part: no clock, randomness, environment, HTTP or async. It takes `now` and bytes, and
//! gives values, so every rule here is tested natively.

pub mod banner;
pub mod bucket;
#[cfg(not(target_arch = "wasm32"))]
pub mod compare;
pub mod condition;
pub mod config;
pub mod decide;
pub mod decode;
pub mod defaults;
pub mod evidence;
pub mod experiment;
pub mod explain;
pub mod flags;
pub mod gate;
pub mod history;
pub mod identity;
pub mod ids;
pub mod impact;
pub mod json;
pub mod ledger;
pub mod lint;
pub mod members;
pub mod plan;
pub mod role;
pub mod snapshot;
pub mod stats;
pub mod sticky;
pub mod stop;
pub mod table;
pub mod time;
