//! What a plan is played against. Every field has a default, so that a file says only what is special about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What happens while a plan runs. Hours count from its beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    pub description: String,
    /// No longer than this is played.
    pub days: u64,
    /// Of both arms together.
    pub installs_per_hour: f64,
    /// The share of installs that tell how they went.
    pub reporting: f64,
    pub commands_per_install: f64,
    pub canary: Rates,
    pub control: Rates,
    /// Installs by platform, as shares.
    pub platforms: BTreeMap<String, f64>,
    /// The share of people who are in each cohort that the plan names, and on the allowlist.
    pub cohort_share: f64,
    pub allowlist_share: f64,
    /// Events come in so late.
    pub lag_minutes: u64,
    /// What somebody tells, and how often. Checks are told every five minutes.
    pub numbers: BTreeMap<String, f64>,
    pub checks: BTreeMap<String, bool>,
    pub tell_hours: u64,
    pub incident: Option<Incident>,
    pub people: People,
}

/// True rates, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    pub install_failures: f64,
    pub command_failures: f64,
    pub errors: f64,
    pub crashes: f64,
    pub denials: f64,
    /// The share of commands that take longer than so many milliseconds; edges of the histograms.
    pub slower: BTreeMap<u32, f64>,
}

/// Something that is otherwise for a while. What it does not name stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Incident {
    /// It begins at this hour, or once the release has reached this percentage.
    pub from_hour: Option<f64>,
    pub at_percentage: Option<f64>,
    pub hours: f64,
    pub canary: Option<Rates>,
    pub control: Option<Rates>,
    pub numbers: BTreeMap<String, f64>,
    pub checks: BTreeMap<String, bool>,
}

/// What people do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct People {
    /// As many as it takes agree, so long after they are asked to.
    pub approve_hours_after_asked: Option<f64>,
    /// Or so long after the stage began, asked or not.
    pub approve_hours_after_stage: Option<f64>,
    /// They go on so long after it was paused, each time.
    pub resume_hours_after_pause: Option<f64>,
    pub pause_at_hour: Option<f64>,
    pub stop_at_hour: Option<f64>,
    pub edit_at_hour: Option<f64>,
    /// What is edited: the percentage.
    pub edit_to: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            install_failures: 0.01,
            command_failures: 0.01,
            errors: 0.005,
            crashes: 0.0001,
            denials: 0.001,
            slower: BTreeMap::from([(150, 0.2), (300, 0.02), (1000, 0.001)]),
        }
    }
}

impl Rates {
    /// A release that mends what the one before got wrong.
    fn good() -> Self {
        Self {
            errors: 0.0005,
            crashes: 0.00001,
            // Three standard deviations come by chance once in 740 looks.
            denials: 0.0003,
            slower: BTreeMap::from([(100, 0.2), (200, 0.01)]),
            ..Self::default()
        }
    }

    fn bad() -> Self {
        Self {
            install_failures: 0.3,
            command_failures: 0.4,
            errors: 0.4,
            crashes: 0.03,
            denials: 0.02,
            slower: BTreeMap::from([(300, 0.6), (1000, 0.4), (5000, 0.2)]),
        }
    }
}

impl Default for Scenario {
    fn default() -> Self {
        let numbers = [
            ("adoption_percent", 40.0),
            ("awu", 500.0),
            ("business_change_percent", 2.0),
            ("canary_diff_percent", 0.1),
            ("crash_reports", 0.0),
            ("critical_errors", 0.0),
            ("data_loss_reports", 0.0),
            ("fund_setup_percent_of_baseline", 100.0),
            ("model_accuracy_delta", 0.0),
            ("negative_feedback", 0.0),
            ("negative_feedback_percent", 5.0),
            ("p0_open", 0.0),
            ("p1_affected_percent", 0.0),
            ("p1_open", 0.0),
            ("positive_feedback_percent", 90.0),
            ("retention_percent", 75.0),
            ("satisfaction", 4.5),
            ("satisfaction_percent", 92.0),
            ("security_alerts", 0.0),
            ("sev1_open", 0.0),
            ("sev2_open", 0.0),
            ("slos_missed", 0.0),
            ("smoke_tests_failed", 0.0),
        ];
        let platforms = [
            ("linux-amd64", 0.4),
            ("linux-arm64", 0.1),
            ("macos-silicon", 0.3),
            ("macos-intel", 0.05),
            ("windows-amd64", 0.15),
        ];
        Self {
            description: String::new(),
            days: 90,
            installs_per_hour: 20_000.0,
            reporting: 1.0,
            commands_per_install: 5.0,
            canary: Rates::good(),
            control: Rates::default(),
            platforms: platforms
                .map(|(name, share)| (name.to_owned(), share))
                .into(),
            cohort_share: 0.1,
            allowlist_share: 0.01,
            lag_minutes: 0,
            numbers: numbers.map(|(name, value)| (name.to_owned(), value)).into(),
            checks: BTreeMap::from([("health".to_owned(), true)]),
            tell_hours: 1,
            incident: None,
            people: People {
                approve_hours_after_asked: Some(2.0),
                ..People::default()
            },
        }
    }
}

/// The names of those that come along.
pub const SCENARIOS: [&str; 10] = [
    "clean",
    "bad",
    "noisy",
    "no-data",
    "late-data",
    "p0-at-50",
    "approval-expired",
    "stop",
    "edit",
    "incident",
];

/// A scenario that comes along.
pub fn scenario(name: &str) -> Option<Scenario> {
    let plain = Scenario::default;
    let number = |name: &str, value| (name.to_owned(), value);
    let (description, scenario) = match name {
        "clean" => (
            "All goes well, and people agree two hours after they are asked.",
            plain(),
        ),
        "bad" => (
            "The release fails far too often.",
            Scenario {
                canary: Rates::bad(),
                days: 14,
                ..plain()
            },
        ),
        "noisy" => (
            "Few installs, and rates just beyond what is wanted.",
            Scenario {
                installs_per_hour: 20.0,
                canary: Rates {
                    install_failures: 0.2,
                    command_failures: 0.2,
                    errors: 0.07,
                    crashes: 0.002,
                    ..Rates::default()
                },
                days: 14,
                ..plain()
            },
        ),
        "no-data" => (
            "Nobody reports, and nobody tells anything.",
            Scenario {
                reporting: 0.0,
                numbers: BTreeMap::new(),
                checks: BTreeMap::new(),
                days: 14,
                ..plain()
            },
        ),
        "late-data" => (
            "All goes well, and it is known six hours later.",
            Scenario {
                lag_minutes: 360,
                ..plain()
            },
        ),
        "p0-at-50" => (
            "An open P0 for a day, once half of everybody has it.",
            Scenario {
                incident: Some(Incident {
                    at_percentage: Some(50.0),
                    hours: 24.0,
                    numbers: ["p0_open", "critical_errors", "sev1_open"]
                        .map(|name| number(name, 1.0))
                        .into(),
                    ..Incident::default()
                }),
                ..plain()
            },
        ),
        "approval-expired" => (
            "People agree an hour after a stage began, which is long over when it counts.",
            Scenario {
                people: People {
                    approve_hours_after_stage: Some(1.0),
                    ..People::default()
                },
                days: 45,
                ..plain()
            },
        ),
        "stop" => (
            "An emergency stop at hour 30, and nothing is ever lifted.",
            Scenario {
                people: People {
                    stop_at_hour: Some(30.0),
                    resume_hours_after_pause: Some(1.0),
                    ..plain().people
                },
                days: 14,
                ..plain()
            },
        ),
        "edit" => (
            "Somebody writes 10 % at hour 30; six hours later the plan may go on from there.",
            Scenario {
                people: People {
                    edit_at_hour: Some(30.0),
                    edit_to: 10.0,
                    resume_hours_after_pause: Some(6.0),
                    ..plain().people
                },
                ..plain()
            },
        ),
        "incident" => (
            "From hour 30 on much fails for six hours; people go on twelve hours after it paused.",
            Scenario {
                incident: Some(Incident {
                    from_hour: Some(30.0),
                    hours: 6.0,
                    canary: Some(Rates::bad()),
                    checks: BTreeMap::from([("health".to_owned(), false)]),
                    ..Incident::default()
                }),
                people: People {
                    resume_hours_after_pause: Some(12.0),
                    ..plain().people
                },
                ..plain()
            },
        ),
        _ => return None,
    };
    Some(Scenario {
        description: description.to_owned(),
        ..scenario
    })
}
