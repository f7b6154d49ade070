//! What the router answers, without a runtime: [`handle::handle`] takes the edge's state, a
//! request and the time, and gives an [`reply::Answer`]. The Worker only carries it out.

pub mod edge;
pub mod features;
pub mod handle;
pub mod install;
pub mod looks;
pub mod reply;
pub mod request;
pub mod route;
