//! When stages are reached at the earliest.

use super::document::Plan;
use super::run::{Run, Status};
use crate::core::ids::Percentage;
use crate::core::time::Timestamp;

/// One line of a rollout's calendar.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Entry {
    pub stage: String,
    pub percentage: Percentage,
    /// When it begins at the earliest; `null` for one that has begun, or while the plan does not run.
    pub from: Option<Timestamp>,
}

/// The stages and when each begins if nothing holds it up, and when the plan is complete.
pub fn calendar(plan: &Plan, run: &Run, now: Timestamp) -> (Vec<Entry>, Option<Timestamp>) {
    let begun = run.status != Status::Draft;
    let goes_on = matches!(run.status, Status::Draft | Status::Running);
    let mut at = goes_on.then_some(now);
    let mut entries = Vec::new();
    for (place, stage) in plan.stages.iter().enumerate() {
        let is_past = begun && place <= run.stage;
        entries.push(Entry {
            stage: stage.id.clone(),
            // Somebody may have begun it higher, or changed it.
            percentage: match begun && place == run.stage {
                true => run.percentage,
                false => stage.percentage,
            },
            from: if is_past { None } else { at },
        });
        let soak = plan.least_soak(place);
        let left = match (begun, place.cmp(&run.stage)) {
            (true, std::cmp::Ordering::Less) => 0,
            (true, std::cmp::Ordering::Equal) => soak.saturating_sub(run.soak_ms(now)),
            _ => soak,
        };
        at = at.map(|at| at.plus_millis(left));
    }
    (entries, at)
}
