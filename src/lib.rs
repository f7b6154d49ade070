//! caro-edge: an edge rollout router.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`core`] | the decisions: pure functions of bytes and times |
//! | [`wire`] | the bodies that are sent and received |
//! | [`install`] | the install scripts and their rendering |
//! | [`auth`] | roles, permissions, tokens |
//! | [`api`] | requests to answers, over the state of one edge |
//! | [`client`] | what a program embeds to know its flags (native, feature `client`) |
//! | [`cli`] | the command line `caro-rollout` (native, feature `cli`) |
//! | `worker` | the Cloudflare Worker: bindings in, responses out (wasm32 only) |
//!
//! Dependencies point upwards in this table only; `tests/architecture.rs` holds them to it.
//! ARCHITECTURE.md has the picture and the invariants.

pub mod api;
pub mod auth;
#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
pub mod cli;
#[cfg(all(feature = "client", not(target_arch = "wasm32")))]
pub mod client;
pub mod core;
pub mod install;
pub mod wire;
#[cfg(target_arch = "wasm32")]
pub mod worker;
