//! What people's machines would tell: counts by five minutes, drawn from true rates, and what is known of them at a
//! time. Sums move along instead of being added up anew.

use std::collections::{BTreeMap, VecDeque};

use super::draw::Draw;
use super::scenario::{Rates, Scenario};
use crate::core::gate::{Counts, Evidence, Histogram, LATENCY_EDGES_MS};
use crate::core::plan::Baseline;

/// Minutes that are drawn and counted together.
pub const STEP_MINUTES: u64 = 5;

const EDGES: usize = LATENCY_EDGES_MS.len() + 1;

/// What goes wrong, in the order of `Arm::bad`, and whether it is one of installs; the others are of commands.
const METRICS: [(&str, bool); 5] = [
    ("install_success", true),
    ("command_success", false),
    ("errors", false),
    ("crashes", false),
    ("denials", false),
];

/// Counts of one arm.
#[derive(Debug, Clone, Default)]
struct Arm {
    installs: u64,
    commands: u64,
    bad: [u64; METRICS.len()],
    latency: [u64; EDGES],
    /// In the order of the scenario.
    platforms: Vec<u64>,
}

impl Arm {
    fn drawn(draw: &mut Draw, installs: u64, rates: &Rates, scenario: &Scenario) -> Self {
        let commands = (installs as f64 * scenario.commands_per_install).round() as u64;
        let mut latency = [0; EDGES];
        // Of those that are slower than one limit some are slower than the next.
        let (mut left, mut share) = (commands, 1.0);
        let mut place = |above: u32, count: u64| {
            let edge = LATENCY_EDGES_MS.iter().position(|edge| *edge > above);
            if let Some(slot) = latency.get_mut(edge.unwrap_or(EDGES - 1)) {
                *slot += count;
            }
        };
        let mut below = 0;
        for (edge, slower) in &rates.slower {
            let beyond = draw.binomial(left, slower / share);
            place(below, left - beyond);
            (left, share, below) = (beyond, *slower, *edge);
        }
        place(below, left);
        let mut platforms = Vec::with_capacity(scenario.platforms.len());
        let (mut left, mut rest) = (installs, scenario.platforms.values().sum::<f64>());
        for share in scenario.platforms.values() {
            let count = draw.binomial(left, share / rest);
            platforms.push(count);
            (left, rest) = (left - count, rest - share);
        }
        let of_commands = [
            rates.command_failures,
            rates.errors,
            rates.crashes,
            rates.denials,
        ];
        let [failed, errors, crashes, denials] = of_commands.map(|p| draw.binomial(commands, p));
        Self {
            installs,
            commands,
            bad: [
                draw.binomial(installs, rates.install_failures),
                failed,
                errors,
                crashes,
                denials,
            ],
            latency,
            platforms,
        }
    }

    fn each(&mut self, other: &Self, with: impl Fn(u64, u64) -> u64) {
        self.installs = with(self.installs, other.installs);
        self.commands = with(self.commands, other.commands);
        let own = self.bad.iter_mut().chain(&mut self.latency);
        for (own, other) in own.zip(other.bad.iter().chain(&other.latency)) {
            *own = with(*own, *other);
        }
        self.platforms.resize(other.platforms.len(), 0);
        for (own, other) in self.platforms.iter_mut().zip(&other.platforms) {
            *own = with(*own, *other);
        }
    }

    fn counts(&self) -> impl Iterator<Item = (&'static str, Counts)> {
        METRICS
            .iter()
            .zip(self.bad)
            .filter_map(|((name, of_installs), bad)| {
                let total = if *of_installs {
                    self.installs
                } else {
                    self.commands
                };
                // Nothing told is not nothing wrong.
                (total > 0).then_some((
                    *name,
                    Counts {
                        total,
                        good: total - bad,
                    },
                ))
            })
    }

    fn histogram(&self) -> Option<Histogram> {
        (self.commands > 0).then(|| {
            let mut histogram = Histogram::default();
            let mut counts = self.latency.iter();
            for (edge, count) in LATENCY_EDGES_MS.iter().zip(&mut counts) {
                histogram.up_to.insert(*edge, *count);
            }
            histogram.beyond = counts.next().copied().unwrap_or_default();
            histogram
        })
    }
}

/// Counts of both arms.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    canary: Arm,
    control: Arm,
}

impl Tally {
    /// What happens within a step, while the release gets `share` of the installs.
    pub fn drawn(
        draw: &mut Draw,
        installs: u64,
        share: f64,
        rates: (&Rates, &Rates),
        scenario: &Scenario,
    ) -> Self {
        let own = draw.binomial(installs, share);
        let mut told = |installs, rates| {
            let told = draw.binomial(installs, scenario.reporting);
            Arm::drawn(draw, told, rates, scenario)
        };
        Self {
            canary: told(own, rates.0),
            control: told(installs - own, rates.1),
        }
    }

    fn add(&mut self, other: &Self) {
        self.canary.each(&other.canary, u64::saturating_add);
        self.control.each(&other.control, u64::saturating_add);
    }

    fn take(&mut self, other: &Self) {
        self.canary.each(&other.canary, u64::saturating_sub);
        self.control.each(&other.control, u64::saturating_sub);
    }

    /// Of a stage: everything.
    pub fn evidence(&self, share: f64, scenario: &Scenario) -> Evidence {
        let mut evidence = self.window(share, true);
        for (name, count) in scenario.platforms.keys().zip(&self.canary.platforms) {
            evidence.platforms.insert(name.clone(), *count);
        }
        evidence
    }

    /// Of a window: what halts ask about.
    pub fn window(&self, share: f64, latencies: bool) -> Evidence {
        let mut evidence = Evidence {
            share,
            canary_units: self.canary.installs,
            control_units: self.control.installs,
            ..Evidence::default()
        };
        let arms = [
            (&self.canary, &mut evidence.canary, &mut evidence.latencies),
            (
                &self.control,
                &mut evidence.control,
                &mut evidence.control_latencies,
            ),
        ];
        for (arm, table, histograms) in arms {
            for (name, counts) in arm.counts() {
                table.insert(name.to_owned(), counts);
            }
            if let Some(histogram) = arm.histogram().filter(|_| latencies) {
                histograms.insert("command_latency".to_owned(), histogram);
            }
        }
        evidence
    }

    pub fn baseline(&self) -> Baseline {
        let evidence = self.window(0.0, true);
        Baseline {
            counts: evidence.control,
            latencies: evidence.control_latencies,
        }
    }
}

/// What is known, of the stage and of each window.
#[derive(Debug, Default)]
pub struct Known {
    /// By the step in which it happened; those that are not known yet are last.
    steps: VecDeque<(u64, Tally)>,
    /// Steps up to this one are counted.
    counted: Option<u64>,
    pub stage: Tally,
    /// By milliseconds: the sum, and the first step that is in it.
    pub windows: BTreeMap<u64, (Tally, u64)>,
}

impl Known {
    pub fn new(windows: impl Iterator<Item = u64>) -> Self {
        Self {
            windows: windows.map(|ms| (ms, (Tally::default(), 0))).collect(),
            ..Self::default()
        }
    }

    /// A stage begins with this step: what was before it counts no more.
    pub fn begin(&mut self, step: u64) {
        self.stage = Tally::default();
        for (tally, first) in self.windows.values_mut() {
            (*tally, *first) = (Tally::default(), step);
        }
        self.steps.retain(|(at, _)| *at >= step);
    }

    pub fn happened(&mut self, step: u64, tally: Tally) {
        self.steps.push_back((step, tally));
    }

    /// At the end of a step everything up to `lag` steps before it is known.
    pub fn come(&mut self, now: u64, lag: u64) {
        let Some(known) = now.checked_sub(lag) else {
            return;
        };
        let news = |at: u64| at <= known && self.counted.is_none_or(|counted| at > counted);
        for (_, tally) in self.steps.iter().filter(|(at, _)| news(*at)) {
            self.stage.add(tally);
            for (sum, _) in self.windows.values_mut() {
                sum.add(tally);
            }
        }
        self.counted = Some(known);
        let mut oldest = known + 1;
        for (ms, (sum, first)) in &mut self.windows {
            let from = (now + 1).saturating_sub(ms.div_ceil(STEP_MINUTES * 60_000));
            let gone = |at: u64| (*first..from).contains(&at) && at <= known;
            for (_, tally) in self.steps.iter().filter(|(at, _)| gone(*at)) {
                sum.take(tally);
            }
            // What is not known yet was not added either; it is taken away when it comes, if it is too old by then.
            *first = (*first).max(from.min(known + 1));
            oldest = oldest.min(*first);
        }
        self.steps.retain(|(at, _)| *at >= oldest);
    }
}
