//! The rates and latencies that gates and halts may ask about.

/// Something that is counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub name: &'static str,
    /// What its name counts, and so which side a limit is on.
    pub says: Says,
    pub definition: &'static str,
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
    const fn new(name: &'static str, says: Says, definition: &'static str) -> Self {
        Self {
            name,
            says,
            definition,
        }
    }

    pub fn of(list: &'static [Self], name: &str) -> Option<&'static Self> {
        list.iter().find(|known| known.name == name)
    }
}

/// Rates.
pub const METRICS: [Known; 9] = [
    Known::new(
        "install_success",
        Says::Good,
        "installs that ended well, of all that ended",
    ),
    Known::new(
        "command_success",
        Says::Good,
        "commands that were made, of all that were asked for",
    ),
    Known::new(
        "errors",
        Says::Bad,
        "commands that ended with an error, of all that were asked for",
    ),
    Known::new(
        "crashes",
        Says::Bad,
        "sessions that ended with a crash, of all that began",
    ),
    Known::new(
        "repairs",
        Says::Bad,
        "commands that had to be repaired, of all that were asked for",
    ),
    Known::new(
        "repair_success",
        Says::Good,
        "repairs that helped, of all that were tried",
    ),
    Known::new(
        "refinements",
        Says::Bad,
        "commands that were refined, of all that were asked for",
    ),
    Known::new(
        "denials",
        Says::Bad,
        "commands that the safety check refused, of all that it saw",
    ),
    Known::new(
        "requests",
        Says::Good,
        "requests that the router answered without an error of its own, of all",
    ),
];

/// Latencies.
pub const LATENCIES: [Known; 2] = [
    Known::new(
        "install_latency",
        Says::Bad,
        "milliseconds from the start of an install to its end",
    ),
    Known::new(
        "command_latency",
        Says::Bad,
        "milliseconds from a question to its command",
    ),
];
