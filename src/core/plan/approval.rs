//! Whether people agreed that a stage is left.

use super::document::{Approval, Policy, Stage};
use super::run::Run;
use crate::core::ids::Percentage;
use crate::core::role::Role;
use crate::core::time::Timestamp;

const DAY_MS: u64 = 24 * 3_600_000;

/// Who has to agree to leave a stage: as it says, or one release manager beyond what the policy allows. Where
/// `two_people` have to agree to 100 %, it is two of them.
pub(super) fn wanted_approval(
    policy: &Policy,
    stage: &Stage,
    next: Option<&Stage>,
    two_people: bool,
) -> Option<Approval> {
    let full = next.is_some_and(|next| next.percentage == Percentage::FULL);
    if two_people && full {
        let own = stage.approval.as_ref();
        return Some(Approval {
            roles: vec![Role::ReleaseManager],
            count: own.map_or(2, |own| own.count.max(2)),
            lifetime_ms: own.map_or(DAY_MS, |own| own.lifetime_ms),
        });
    }
    if stage.approval.is_some() {
        return stage.approval.clone();
    }
    let beyond = next.is_some_and(|next| next.percentage > policy.max_percentage);
    beyond.then(|| Approval {
        roles: vec![Role::ReleaseManager],
        count: 1,
        lifetime_ms: DAY_MS,
    })
}

/// Whether enough different people agree, and not too long ago.
pub(super) fn is_approved(run: &Run, wanted: &Approval, now: Timestamp) -> bool {
    let mut people: Vec<&str> = Vec::new();
    for given in &run.approvals {
        let live = given.at <= now && now.millis_since(given.at) < wanted.lifetime_ms;
        let counts = live && given.role != Role::Bot && wanted.roles.contains(&given.role);
        if counts && !people.contains(&given.by.as_str()) {
            people.push(&given.by);
        }
    }
    people.len() as u64 >= wanted.count.max(1)
}

pub(super) fn people(wanted: &Approval) -> String {
    let roles: Vec<&str> = wanted.roles.iter().map(|role| role.as_str()).collect();
    format!("{} × {}", wanted.count.max(1), roles.join(" or "))
}
