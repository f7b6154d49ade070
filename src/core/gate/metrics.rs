//! The rates and latencies that gates and halts may ask about.

use crate::core::evidence::metric;

/// Something that is counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub name: &'static str,
    /// What its name counts, and so which side a limit is on.
    pub says: Says,
}

/// What the name of a metric counts. Counts are kept as "so many went well" for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// What went well: its limits are `at_least`.
    Good,
    /// What went wrong: its limits are `at_most`.
    Bad,
}

impl Known {
    const fn new(name: &'static str, says: Says) -> Self {
        Self { name, says }
    }

    pub fn of(list: &'static [Self], name: &str) -> Option<&'static Self> {
        list.iter().find(|known| known.name == name)
    }
}

/// Rates. What each counts in detail is said in [`crate::core::evidence::metric`].
pub const METRICS: [Known; 9] = [
    Known::new(metric::INSTALL_SUCCESS, Says::Good),
    Known::new(metric::COMMAND_SUCCESS, Says::Good),
    Known::new(metric::ERRORS, Says::Bad),
    Known::new(metric::CRASHES, Says::Bad),
    Known::new(metric::REPAIRS, Says::Bad),
    Known::new(metric::REPAIR_SUCCESS, Says::Good),
    Known::new(metric::REFINEMENTS, Says::Bad),
    Known::new(metric::DENIALS, Says::Bad),
    Known::new(metric::REQUESTS, Says::Good),
];

/// Latencies.
pub const LATENCIES: [Known; 2] = [
    Known::new(metric::INSTALL_LATENCY, Says::Bad),
    Known::new(metric::COMMAND_LATENCY, Says::Bad),
];
