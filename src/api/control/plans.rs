//! Plans, where the ledger is: which evidence to ask for, and what to do with it.

use crate::api::ports::Store;
use crate::api::reply::Reply;
use crate::api::request::Request;
use crate::auth::permission::Call;
use crate::core::evidence::share;
use crate::core::gate::{Counts, Evidence};
use crate::core::ids::ReleaseName;
use crate::core::ledger::event::{Actor, Proposal, Scope};
use crate::core::ledger::{self, Context, Live, Looked, Rejection};
use crate::core::plan::{Baseline, LAG_MS, Rule, Seen, calendar, lint};
use crate::core::table::Table;
use crate::core::time::Timestamp;
use crate::wire::plan::{PlanLook, StageLook};

use super::ledger::{Failure, Ledger};
use super::route::{Found, Target, find};
use super::write::snapshot;
use super::{Environment, Refusal, answer, authenticate};

/// What the stable version did is taken from so long before a plan begins.
const BASELINE_MS: u64 = 7 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

/// Evidence that is to be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub release: ReleaseName,
    /// The share of requesters that the release gets, 0 to 1.
    pub share: f64,
    /// From and to. The first is the stage, the last but one the week, and the last the day before now.
    pub spans: Vec<(Timestamp, Timestamp)>,
    /// The windows of halts, in milliseconds: the spans in between.
    windows: Vec<u64>,
    /// When the stage was entered, by which it is known whether it still is the same.
    entered: Timestamp,
    /// What becomes of the ledger's note of its last look at the plan.
    guarded: Guarded,
}

/// The evidence of each span, or why it cannot be said.
pub type Answer = Result<Vec<Evidence>, String>;

/// What to ask about a release's plan; `None`: it has none.
pub fn query<S: Store>(ledger: &Ledger<S>, name: &ReleaseName, now: Timestamp) -> Option<Query> {
    let live = &ledger.live;
    let looked = ledger::looked(live, name, now).ok()?;
    let run = &looked.planned.run;
    let mut windows: Vec<u64> = looked
        .plan
        .halts
        .iter()
        .filter_map(|h| h.rule.window_ms())
        .collect();
    windows.sort_unstable();
    windows.dedup();
    let ago = |ms: u64| Timestamp::from_millis(now.millis().saturating_sub_unsigned(ms));
    // A window does not reach back into the stage before: there more or fewer got it.
    let own = windows.iter().map(|ms| (ago(*ms).max(run.entered), now));
    let spans = std::iter::once((run.entered, now))
        .chain(own)
        .chain([(ago(BASELINE_MS), now), (ago(DAY_MS), now)]);
    Some(Query {
        release: name.clone(),
        share: share(&snapshot(live, &ledger.defaults), name.as_str()),
        spans: spans.collect(),
        entered: run.entered,
        windows,
        guarded: Guarded {
            at: now,
            plan: run.plan,
            every_ms: looked.plan.policy.guard_ms,
        },
    })
}

/// The same for a call, if it needs it.
pub fn wanted_evidence<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    environment: &Environment,
) -> Option<Query> {
    let now = environment.now;
    let (call, name) = match find(request.method(), request.path()) {
        Found::Call(call, Target::Release(name)) => (call, name),
        Found::Call(call, Target::Scope(Scope::Release(name))) => (call, name),
        _ => return None,
    };
    let waits = |proposal: &Proposal| proposal.target == name.as_str();
    let needs = match call {
        Call::ReadPlan | Call::SetPlan | Call::Promote | Call::Evaluate | Call::ReadReport => true,
        // It carries out what waits, perhaps one of those.
        Call::Approve => ledger.live.state.proposals.values().any(waits),
        _ => false,
    };
    let allowed = authenticate(ledger, request, environment);
    let needs = needs && allowed.is_ok_and(|(_, role)| call.allows(role));
    let query = needs.then(|| query(ledger, &name, now)).flatten();
    // Of one without a plan only the last week and day are to be known.
    query.or_else(|| {
        let ago = |ms: u64| Timestamp::from_millis(now.millis().saturating_sub_unsigned(ms));
        needs.then(|| Query {
            release: name,
            share: 0.0,
            spans: vec![(now, now), (ago(BASELINE_MS), now), (ago(DAY_MS), now)],
            windows: Vec::new(),
            entered: now,
            guarded: Guarded::unread(now, 0),
        })
    })
}

/// Evidence as it was asked for, and what was answered.
#[derive(Debug, Clone)]
pub struct Asked {
    pub query: Query,
    pub answer: Answer,
}

/// Everything that is seen of a release. Without an answer it says why.
pub fn seen(live: &Live, name: &ReleaseName, asked: Option<&Asked>) -> Seen {
    let mut seen = ledger::seen(live, name);
    let numbers = std::mem::take(&mut seen.stage.numbers);
    let run = live.state.plans.get(name).map(|planned| &planned.run);
    match asked {
        Some(Asked {
            query,
            answer: Ok(spans),
        }) if run.is_none_or(|run| run.entered == query.entered) => {
            seen.stage = spans.first().cloned().unwrap_or_default();
            for (ms, window) in query.windows.iter().zip(spans.iter().skip(1)) {
                seen.windows.insert(*ms, window.clone());
            }
        }
        Some(Asked { answer: Ok(_), .. }) => {
            seen.error = Some("the stage has changed meanwhile".to_owned());
        }
        Some(Asked {
            answer: Err(why), ..
        }) => seen.error = Some(why.clone()),
        None => seen.error = Some("nothing was asked".to_owned()),
    }
    seen.stage.numbers = numbers;
    seen
}

/// What the stable version did before now.
pub fn baseline(asked: Option<&Asked>) -> Baseline {
    let spans = asked.and_then(|asked| asked.answer.as_ref().ok());
    let week = spans.and_then(|spans| spans.iter().rev().nth(1));
    week.map_or_else(Baseline::default, |week| Baseline {
        counts: week.control.clone(),
        latencies: week.control_latencies.clone(),
    })
}

/// The last day.
pub fn day(asked: Option<&Asked>) -> Option<&Evidence> {
    let spans = asked?.answer.as_ref().ok()?;
    spans.last()
}

impl<S: Store> Ledger<S> {
    /// What is to be known of plans that are due to be looked at.
    pub fn plans_due(&mut self, now: Timestamp) -> Vec<Query> {
        let plans = self.live.state.plans.keys();
        let due = plans.filter(|name| self.plan_due(name, now).is_some_and(|at| at <= now));
        let due: Vec<ReleaseName> = due.cloned().collect();
        let mut queries = Vec::new();
        for name in due {
            match query(self, &name, now) {
                Some(query) => queries.push(query),
                // One that a newer router wrote. It is not asked for in a loop.
                None => {
                    let plans = &self.live.state.plans;
                    let plan = plans.get(&name).map_or(0, |planned| planned.run.plan);
                    self.guarded.insert(name, Guarded::unread(now, plan));
                }
            }
        }
        queries
    }

    /// When a plan is to be looked at next; `None`: never.
    fn plan_due(&self, name: &ReleaseName, now: Timestamp) -> Option<Timestamp> {
        let planned = self.live.state.plans.get(name)?;
        let run = &planned.run;
        if !run.status.is_live() && !run.unverified {
            return None;
        }
        // Of another plan, or of a clock that was set back since, there was none.
        let last = self.guarded.get(name);
        let last = last.filter(|last| last.plan == run.plan && last.at <= now);
        let next = last.map_or(now, |last| last.at.plus_millis(last.every_ms));
        let announced = run.pending.as_ref().map(|pending| pending.at.max(now));
        let announced =
            announced.filter(|at| last.is_none_or(|last| *at > last.at.plus_millis(1000)));
        Some(announced.map_or(next, |at| at.min(next)))
    }

    /// For how long the plan that waits longest has waited. After a restart they begin to wait anew.
    pub(super) fn plans_late_ms(&self, now: Timestamp) -> u64 {
        let names = self.live.state.plans.keys();
        let looked = names.filter_map(|name| {
            let due = self.plan_due(name, now)?;
            self.guarded.get(name).and(Some(now.millis_since(due)))
        });
        looked.max().unwrap_or(0)
    }

    /// When the next plan is to be looked at.
    pub(super) fn next_plan_due(&self, now: Timestamp) -> Option<Timestamp> {
        let names = self.live.state.plans.keys();
        names.filter_map(|name| self.plan_due(name, now)).min()
    }

    /// Looks at a plan, and does what is due.
    ///
    /// # Errors
    /// When something could not be stored: it is due again.
    pub fn guard_plan(&mut self, asked: &Asked, now: Timestamp) -> Result<(), Failure> {
        let name = &asked.query.release;
        self.evidence_error = asked.answer.as_ref().err().cloned();
        let seen = seen(&self.live, name, Some(asked));
        let context = Context {
            actor: Actor::ledger(),
            approved_by: None,
            now,
            reason: String::new(),
            floor: 0,
        };
        // Where the plan or its release is gone there is nothing to do.
        let outcome = ledger::guarded(&self.live, name, &seen, now).unwrap_or_default();
        if let Some(outcome) = outcome
            && let Err(e) = self.act(&outcome, &context)
        {
            let Failure::Rejected(rejection) = e else {
                return Err(e);
            };
            let why = format!("the plan cannot go on: {}", refused(&rejection));
            let held = ledger::hold_plan(&self.live, name, &why, now);
            self.act(&held, &context)?;
        }
        let guarded = Guarded {
            at: now,
            ..asked.query.guarded
        };
        self.guarded.insert(name.clone(), guarded);
        Ok(())
    }
}

/// Between two looks where the plan does not say.
const GUARD_MS: u64 = 60_000;

fn refused(rejection: &Rejection) -> String {
    match rejection {
        Rejection::Conflict(why) | Rejection::Forbidden(why) => why.clone(),
        Rejection::Invalid(problems) | Rejection::Breaks(problems) => problems
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        _ => "the release is not there".to_owned(),
    }
}

/// Installs of the last day in both arms; `None` where nothing was told, which is no traffic to judge a plan by.
fn traffic(asked: Option<&Asked>) -> Option<f64> {
    let day = day(asked)?;
    let of =
        |arm: &Table<String, Counts>| arm.get("install_success").map_or(0, |counts| counts.total);
    let installs = of(&day.canary).saturating_add(of(&day.control));
    (installs > 0).then_some(installs as f64)
}

/// `GET /rollout/{release}/plan`.
pub(super) fn plan_look(
    live: &Live,
    name: &ReleaseName,
    environment: &Environment,
) -> Result<Reply, Refusal> {
    let now = environment.now;
    let looked: Looked<'_> = ledger::looked(live, name, now)?;
    let run = &looked.planned.run;
    let (calendar, complete) = calendar(&looked.plan, run, now);
    let stage = looked.plan.stages.get(run.stage).map(|stage| StageLook {
        id: &stage.id,
        percentage: stage.percentage,
        entered: run.entered,
        soaked_seconds: run.soak_ms(now) / 1000,
        soak_min_seconds: stage.soak_min_ms / 1000,
    });
    let body = PlanLook {
        release: name.as_str(),
        name: &looked.plan.name,
        status: run.status,
        why: &run.why,
        stage,
        percentage: run.percentage,
        pending: run.pending.as_ref(),
        approvals: &run.approvals,
        circuit: run.circuit,
        calendar,
        complete,
        last: looked.planned.last.as_ref(),
        warnings: lint(&looked.plan, traffic(environment.evidence.as_ref()), LAG_MS),
        plan_revision: run.plan,
        plan: &looked.planned.document,
    };
    Ok(answer(200, live.state.revision, &body))
}

impl Rule {
    /// How far back it looks.
    fn window_ms(&self) -> Option<u64> {
        match self {
            Self::Rate { window_ms, .. }
            | Self::Baseline { window_ms, .. }
            | Self::Spike { window_ms, .. }
            | Self::Quantile { window_ms, .. } => Some(*window_ms),
            Self::Number { .. } | Self::Check { .. } => None,
        }
    }
}

/// The last look at a release's plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Guarded {
    at: Timestamp,
    /// The revision that it was set with.
    plan: u64,
    /// At least so long until the next, in milliseconds.
    every_ms: u64,
}

impl Guarded {
    /// Of a plan that cannot be read, or none.
    const fn unread(at: Timestamp, plan: u64) -> Self {
        Self {
            at,
            plan,
            every_ms: GUARD_MS,
        }
    }
}
