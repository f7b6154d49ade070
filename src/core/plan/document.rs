//! A plan as it is written: stages, what each asks before the next one, what halts it, and who may act.

use crate::core::gate::Gate;
use crate::core::ids::{CohortName, Percentage};
use crate::core::role::Role;
use crate::core::time::Timestamp;

/// Milliseconds of an hour and a minute: documents count in those.
pub const HOUR_MS: u64 = 3_600_000;
pub const MINUTE_MS: u64 = 60_000;

/// A plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// A preset's name, or one of its author's.
    pub name: String,
    pub description: String,
    /// In order; percentages go up. At least one.
    pub stages: Vec<Stage>,
    /// How long it is watched after the last stage was reached, and its halts still hold.
    pub watch_ms: u64,
    pub halts: Vec<Halt>,
    pub breaker: Option<Breaker>,
    pub policy: Policy,
}

impl Plan {
    /// The place of the last stage that a percentage has reached; the first one at least.
    pub fn reached(&self, percentage: Percentage) -> usize {
        let reached = |stage: &Stage| stage.percentage <= percentage;
        self.stages.iter().rposition(reached).unwrap_or(0)
    }

    /// Milliseconds at a stage, pauses not counted, before it is left: the last one is watched besides.
    pub fn least_soak(&self, place: usize) -> u64 {
        let own = self.stages.get(place).map_or(0, |stage| stage.soak_min_ms);
        match place + 1 < self.stages.len() {
            true => own,
            false => own.max(self.watch_ms),
        }
    }

    /// The cohorts that are let in at a stage, and whether only they are, by their share. `None`: the plan says
    /// nothing of cohorts at all. Who was let in as a whole stays in.
    pub fn audience(&self, place: usize) -> Option<(Vec<CohortName>, Mode)> {
        let own = self.stages.get(place)?.audience.as_ref();
        self.stages
            .iter()
            .find_map(|stage| stage.audience.as_ref())?;
        if let Some(own) = own.filter(|own| own.mode == Mode::And) {
            return Some((own.cohorts.clone(), Mode::And));
        }
        let so_far = self.stages.iter().take(place + 1);
        let whole = so_far
            .filter_map(|stage| stage.audience.as_ref())
            .filter(|audience| audience.mode != Mode::And);
        let mut cohorts = Vec::new();
        for name in whole.flat_map(|audience| &audience.cohorts) {
            if !cohorts.contains(name) {
                cohorts.push(name.clone());
            }
        }
        Some((cohorts, own.map_or(Mode::Or, |own| own.mode)))
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Unique in the plan; approvals are bound to it.
    pub id: String,
    pub percentage: Percentage,
    pub audience: Option<Audience>,
    /// Time at the stage, pauses not counted, before anything is asked.
    pub soak_min_ms: u64,
    /// After it people are told that the stage takes too long. `None`: never.
    pub soak_max_ms: Option<u64>,
    /// All have to pass before the next stage, or before the plan ends.
    pub gates: Vec<StageGate>,
    /// Who has to agree before it is left.
    pub approval: Option<Approval>,
}

/// A gate and what follows when it fails.
#[derive(Debug, Clone, PartialEq)]
pub struct StageGate {
    /// Unique in the stage.
    pub id: String,
    pub gate: Gate,
    pub on_fail: Action,
}

/// Which people a stage is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    pub mode: Mode,
    pub cohorts: Vec<CohortName>,
    /// Those of canary mode too.
    pub allowlist: bool,
}

/// How a stage's audience and its percentage go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The audience and nobody else.
    Only,
    /// The audience, and the percentage of everybody.
    Or,
    /// The percentage of the audience.
    And,
}

/// Who has to agree that a stage is left. It is bound to the stage and the plan as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Roles of which each approval must be one. Never the bot's.
    pub roles: Vec<Role>,
    /// Different people.
    pub count: u64,
    /// After so long it counts no more.
    pub lifetime_ms: u64,
}

/// What is to be done.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The least safe first: of two the later one wins.
    Advance,
    Hold,
    Pause,
    StepDown,
    Rollback,
}

/// Something that is looked at each minute, in every live state.
#[derive(Debug, Clone, PartialEq)]
pub struct Halt {
    /// Unique in the plan.
    pub id: String,
    pub rule: Rule,
    pub action: Action,
}

/// When a halt fires.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The share of what went wrong, in the window, is surely above a limit: the lower end of its Wilson interval.
    Rate {
        metric: String,
        /// 0 to 1.
        over: f64,
        window_ms: u64,
        min_samples: u64,
    },
    /// The same against the share before the plan began, times a factor.
    Baseline {
        metric: String,
        factor: f64,
        direction: Direction,
        window_ms: u64,
        min_samples: u64,
    },
    /// The share is so many standard deviations above that before the plan began.
    Spike {
        metric: String,
        sigma: f64,
        window_ms: u64,
        min_samples: u64,
    },
    /// A quantile (0 to 1) of a latency is surely above a limit, or a multiple of what it was before the plan began.
    Quantile {
        metric: String,
        quantile: f64,
        limit: LatencyLimit,
        window_ms: u64,
        min_samples: u64,
    },
    /// A number that somebody tells is beyond a limit. One that is older than this says nothing.
    Number {
        name: String,
        limit: crate::core::gate::Limit,
        max_age_ms: u64,
    },
    /// A check failed so often in a row.
    Check { name: String, consecutive: u64 },
}

/// Which share is held against the one before the plan began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What went wrong may not be above so many times as much.
    BadAbove,
    /// What went well may not be below so many times as much.
    GoodBelow,
}

/// What a latency is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LatencyLimit {
    /// Milliseconds; an edge of the histogram.
    AtMostMs(u32),
    TimesBaseline(f64),
}

/// Takes the release away from everybody after failed checks in a row, and tries again with few.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    pub check: String,
    pub consecutive: u64,
    /// From open to half open. `None`: a person resets it.
    pub cool_down_ms: Option<u64>,
    /// What is tried with then.
    pub probe: Percentage,
}

/// Who may act, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether the router does it by itself, or says what it would do.
    pub advance: Autonomy,
    pub pause: Autonomy,
    pub step_down: Autonomy,
    pub rollback: Autonomy,
    /// The highest percentage reached without a person's live approval.
    pub max_percentage: Percentage,
    /// People are told so long before it advances.
    pub lead_advance_ms: u64,
    pub lead_rollback_ms: u64,
    /// What is done where a gate has no data, or proves nothing: hold or pause.
    pub on_no_data: Action,
    pub on_inconclusive: Action,
    /// A rollback goes down over so long; 0: at once.
    pub drain_ms: u64,
    pub freezes: Vec<Freeze>,
    /// At least so long between two guards, and two decisions.
    pub guard_ms: u64,
    pub decide_ms: u64,
}

/// Whether something is done without a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autonomy {
    Act,
    Suggest,
}

/// When nothing is advanced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freeze {
    Between {
        from: Timestamp,
        to: Timestamp,
    },
    /// In UTC: days of the week with Monday as 0, and milliseconds of the day.
    Weekly {
        days: Vec<u8>,
        from_ms: u64,
        to_ms: u64,
    },
}

impl Freeze {
    pub fn holds(&self, now: Timestamp) -> bool {
        match self {
            Self::Between { from, to } => *from <= now && now < *to,
            Self::Weekly {
                days,
                from_ms,
                to_ms,
            } => {
                const DAY_MS: i64 = 86_400_000;
                // 1970-01-01 was a Thursday.
                let day = (now.millis().div_euclid(DAY_MS) + 3).rem_euclid(7);
                let ms = now.millis().rem_euclid(DAY_MS);
                days.iter().any(|d| i64::from(*d) == day)
                    && (*from_ms as i64..*to_ms as i64).contains(&ms)
            }
        }
    }
}
