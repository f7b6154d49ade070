//! The metrics, each with what is counted of it: how many there were, and of how many it was good. Whatever gates and
//! halts call good is good here, so that the rest is what went wrong.

use super::Cell;
use crate::core::gate::LATENCY_EDGES_MS;

/// Of the installations that were told of, those that went well. A wrong option (`usage`) is nobody's failure and is
/// left out.
pub const INSTALL_SUCCESS: &str = "install_success";
/// How long those took that went well: a histogram.
pub const INSTALL_LATENCY: &str = "install_latency";
/// Of the commands, those that were made.
pub const COMMAND_SUCCESS: &str = "command_success";
/// How long a command took, whatever became of it: a histogram.
pub const COMMAND_LATENCY: &str = "command_latency";
/// Of the commands and the backends' errors, those that are no error: a command is one if it failed or names an error.
pub const ERRORS: &str = "errors";
/// Of the sessions that ended, those that did not crash.
pub const CRASHES: &str = "crashes";
/// Of the commands, those that needed no repair.
pub const REPAIRS: &str = "repairs";
/// Of the repaired commands, those for which it helped.
pub const REPAIR_SUCCESS: &str = "repair_success";
/// Of the commands, those that needed no refinement.
pub const REFINEMENTS: &str = "refinements";
/// Of the commands that the safety check saw and said what it did about, those that it let pass.
pub const DENIALS: &str = "denials";
/// Sessions, each once however often it says that it began. All are good.
pub const SESSIONS: &str = "sessions";
/// Sessions that say they are the first of their install's week. All are good.
pub const ACTIVE_WEEKLY: &str = "active_weekly";
/// Requesters that asked for an install script by rollout, each once a day; good are those that a bucket alone decided.
pub const REQUESTS: &str = "requests";

/// Of the installs of so many days before, those that had a session on that day. An install is counted on the day when
/// it is due, and a session by the age that it tells, so that a span has both.
pub const RETENTION: [(u64, &str); 3] =
    [(1, "retention_1"), (3, "retention_3"), (7, "retention_7")];

/// The installer's exit codes: what each is called, and the metric that counts it.
pub const OUTCOMES: [(&str, &str); 9] = [
    ("ok", "exit_ok"),
    ("server", "exit_server"),
    ("usage", "exit_usage"),
    ("platform", "exit_platform"),
    ("network", "exit_network"),
    ("integrity", "exit_integrity"),
    ("permission", "exit_permission"),
    ("version", "exit_version"),
    ("smoke_test", "exit_smoke_test"),
];

/// The edge of what is counted and not measured.
pub const NO_EDGE: u32 = 0;

/// The edge of what lies above every other.
pub const BEYOND: u32 = u32::MAX;

/// One more, good or not.
pub(super) fn one(metric: &'static str, good: bool) -> Cell {
    Cell::new(metric, NO_EDGE, 1, u64::from(good))
}

/// One more latency: under the least edge that it does not exceed.
pub(super) fn latency(metric: &'static str, ms: f64) -> Cell {
    let mut edges = LATENCY_EDGES_MS.into_iter();
    let edge = edges.find(|edge| ms <= f64::from(*edge)).unwrap_or(BEYOND);
    Cell::new(metric, edge, 1, 1)
}
