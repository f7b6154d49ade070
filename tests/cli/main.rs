//! The command line, run as people and scripts run it. What is ignored needs the built Worker: `make test-cli`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod files;
mod support;

mod audit;
mod bucket;
mod config;
mod diff;
mod drill;
mod flags;
mod health;
mod local;
mod people;
mod readme;
mod release;
mod rollout;
mod snapshots;
mod steer;
mod stop;
mod terminal;
mod validate;
