//! What cannot work in a plan that can be read.

use super::document::{Action, Autonomy, Freeze, HOUR_MS, MINUTE_MS, Mode, Plan, Rule, Stage};
use crate::core::gate::needed;
use crate::core::ids::Percentage;
use crate::core::lint::{Finding, Severity};
use crate::core::role::Role;

const DAY_MS: u64 = 24 * HOUR_MS;

/// More different people than these are seldom found within an approval's life.
const MANY_PEOPLE: u64 = 5;

/// From here on a stage without a soak is no small step: a tenth, in thousandths of a percent.
const SMALL_STEP: u32 = 10_000;

/// How late counts come in, in milliseconds: an isolate gathers for a second, and clients send what they have each minute.
pub const LAG_MS: u64 = 2 * 60_000;

/// Looks at a plan: `traffic` is installs a day in both arms, `lag_ms` how late counts come in. The worst first.
pub fn lint(plan: &Plan, traffic: Option<f64>, lag_ms: u64) -> Vec<Finding> {
    let mut look = Look {
        plan,
        findings: Vec::new(),
    };
    look.stages();
    if let Some(traffic) = traffic {
        look.samples(traffic);
    }
    look.windows(lag_ms);
    look.approvals();
    look.policy();
    let mut findings = look.findings;
    findings
        .sort_by(|a, b| (a.severity, &a.pointer, a.rule).cmp(&(b.severity, &b.pointer, b.rule)));
    findings
}

struct Look<'a> {
    plan: &'a Plan,
    findings: Vec<Finding>,
}

impl<'a> Look<'a> {
    fn find(&mut self, severity: Severity, rule: &'static str, pointer: String, message: String) {
        self.findings.push(Finding {
            severity,
            rule,
            pointer,
            message,
        });
    }

    fn warn(&mut self, rule: &'static str, pointer: String, message: impl Into<String>) {
        self.find(Severity::Warning, rule, pointer, message.into());
    }

    fn error(&mut self, rule: &'static str, pointer: String, message: impl Into<String>) {
        self.find(Severity::Error, rule, pointer, message.into());
    }

    /// Each stage with its place.
    fn each(&self) -> impl Iterator<Item = (usize, &'a Stage)> + use<'a> {
        self.plan.stages.iter().enumerate()
    }

    fn stages(&mut self) {
        let max = self.plan.policy.max_percentage;
        let next = self.plan.stages.iter().skip(1);
        for ((place, stage), next) in self.each().zip(next) {
            let (from, to) = (stage.percentage, next.percentage);
            if to < from {
                self.warn(
                    "goes-down",
                    format!("/stages/{}/percentage", place + 1),
                    format!("goes down from {from} to {to}, which takes the release from people who have it"),
                );
            }
            if drops(stage, next) {
                self.warn(
                    "drops-people",
                    format!("/stages/{}/audience", place + 1),
                    "leaves out people of the stage before; keep its cohorts, and its allowlist",
                );
            }
            if stage.soak_min_ms == 0 && to.thousandths() > SMALL_STEP {
                self.warn(
                    "no-soak",
                    format!("/stages/{place}/soak"),
                    format!("goes on to {to} % without a soak; give it \"min_hours\""),
                );
            }
            if to > max && stage.approval.is_none() {
                self.warn(
                    "needs-a-person",
                    format!("/stages/{place}/approval"),
                    format!("goes on to {to} %, past max_percentage ({max}), which takes a person, and asks for none"),
                );
            }
        }
        for (place, stage) in self.each() {
            for gate in &stage.gates {
                if stage.percentage == Percentage::FULL && gate.gate.ask.has_control() {
                    self.error(
                        "no-control",
                        format!("/stages/{place}/gates"),
                        format!(
                            "{} compares with a control, and at 100 % there is none",
                            gate.id
                        ),
                    );
                }
            }
        }
    }

    /// Gates that need more than the stage will see.
    fn samples(&mut self, traffic: f64) {
        for (place, stage) in self.each() {
            let audience = stage.audience.as_ref();
            let least = self.plan.least_soak(place);
            let time = stage.soak_max_ms.map_or(least, |most| most.max(least));
            // How many a list of people are is not known here; without a time it waits until there are enough.
            if audience.is_some_and(|audience| audience.mode == Mode::Only) || time == 0 {
                continue;
            }
            let share = f64::from(stage.percentage.thousandths()) / 100_000.0;
            let come = (traffic * share * time as f64 / DAY_MS as f64) as u64;
            for gate in &stage.gates {
                let Some(needed) = needed(&gate.gate).filter(|needed| *needed > come) else {
                    continue;
                };
                let message = format!(
                    "{} needs {needed} samples, if all of them are good, and at {} % {come} installs come in \
                     {} hours; make the stage larger or longer, or ask for less",
                    gate.id,
                    stage.percentage,
                    time / HOUR_MS,
                );
                self.warn("too-few-samples", format!("/stages/{place}/gates"), message);
            }
        }
    }

    fn windows(&mut self, lag_ms: u64) {
        for (place, halt) in self.plan.halts.iter().enumerate() {
            let window_ms = match &halt.rule {
                Rule::Rate { window_ms, .. }
                | Rule::Baseline { window_ms, .. }
                | Rule::Spike { window_ms, .. }
                | Rule::Quantile { window_ms, .. } => *window_ms,
                Rule::Number { .. } | Rule::Check { .. } => continue,
            };
            if window_ms < lag_ms {
                let message = format!(
                    "looks at the last {} minutes, and counts come in up to {} minutes late",
                    window_ms / MINUTE_MS,
                    lag_ms.div_ceil(MINUTE_MS),
                );
                let pointer = format!("/halts/{place}/when/window_minutes");
                self.warn("window-too-short", pointer, message);
            }
        }
    }

    fn approvals(&mut self) {
        for (place, stage) in self.each() {
            let Some(approval) = &stage.approval else {
                continue;
            };
            let may = |role: &Role| !matches!(role, Role::Bot | Role::Viewer);
            if !approval.roles.iter().any(may) {
                self.error(
                    "nobody-approves",
                    format!("/stages/{place}/approval/roles"),
                    "names no role that may approve",
                );
            }
            if approval.count > MANY_PEOPLE {
                self.warn(
                    "nobody-approves",
                    format!("/stages/{place}/approval/count"),
                    format!("wants {} different people; more than {MANY_PEOPLE} are seldom found in time", approval.count),
                );
            }
        }
    }

    fn policy(&mut self) {
        let policy = &self.plan.policy;
        let mut gates = self.plan.stages.iter().flat_map(|stage| &stage.gates);
        let asked = gates.any(|gate| gate.on_fail == Action::Rollback)
            || self
                .plan
                .halts
                .iter()
                .any(|halt| halt.action == Action::Rollback);
        if policy.rollback == Autonomy::Act && !asked {
            self.warn(
                "never-rolls-back",
                "/policy/autonomy/rollback".to_owned(),
                "may roll back by itself, and no halt or gate asks for it",
            );
        }
        let first = self.plan.stages.first().map(|stage| stage.percentage);
        if let Some(first) = first.filter(|first| *first > policy.max_percentage) {
            self.warn(
                "first-stage-too-high",
                "/policy/max_percentage".to_owned(),
                format!("is below the first stage, {first} %: a person has to begin it"),
            );
        }
        if (0..7).all(|day| frozen(&policy.freezes, day)) {
            self.error(
                "always-frozen",
                "/policy/freezes".to_owned(),
                "hold at any time of any day, so that nothing is ever advanced",
            );
        }
    }
}

/// Whether people who have the release for their audience do not have it at the next stage.
fn drops(stage: &Stage, next: &Stage) -> bool {
    let mode = |stage: &Stage| stage.audience.as_ref().map(|audience| audience.mode);
    let keeps = match (&stage.audience, &next.audience) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(next)) => {
            let kept = |name| next.cohorts.contains(name);
            own.cohorts.iter().all(kept) && (next.allowlist || !own.allowlist)
        }
    };
    let full = next.percentage == Percentage::FULL;
    match (mode(stage), mode(next)) {
        (_, None | Some(Mode::Or)) if full => false,
        // A percentage of some is part of that of everybody: it is the same bucket.
        (None | Some(Mode::And), None | Some(Mode::Or)) => false,
        (Some(Mode::Only | Mode::Or), None | Some(Mode::Or)) => !keeps,
        (Some(Mode::And), Some(Mode::And)) => !keeps,
        (Some(Mode::Only), Some(Mode::And)) => !(keeps && full),
        (Some(Mode::Only | Mode::And), Some(Mode::Only)) => !keeps,
        (None | Some(Mode::Or), Some(Mode::Only | Mode::And)) => true,
    }
}

/// Whether the whole of a day of each week is.
fn frozen(freezes: &[Freeze], day: u8) -> bool {
    let mut spans: Vec<(u64, u64)> = freezes
        .iter()
        .filter_map(|freeze| match freeze {
            Freeze::Weekly {
                days,
                from_ms,
                to_ms,
            } if days.contains(&day) => Some((*from_ms, *to_ms)),
            _ => None,
        })
        .collect();
    spans.sort_unstable();
    let until = |until: u64, (from, to): (u64, u64)| match from <= until {
        true => until.max(to),
        false => until,
    };
    spans.into_iter().fold(0, until) >= DAY_MS
}
