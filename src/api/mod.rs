//! What the router answers, without a runtime: [`handle::handle`] takes the edge's state, a
//! request and the time, and gives an [`reply::Answer`]. The Worker only carries it out.

pub mod asks;
pub mod control;
pub mod edge;
pub mod exposures;
pub mod features;
pub mod fragments;
pub mod handle;
pub mod history;
pub mod install;
pub mod looks;
pub mod metrics;
pub mod ofrep;
#[cfg(not(target_arch = "wasm32"))]
pub mod openapi;
pub mod outcomes;
pub mod ports;
pub mod reply;
pub mod reports;
pub mod request;
pub mod route;
pub mod signing;
pub mod sticky;
pub mod stream;
