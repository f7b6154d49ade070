//! What a console asks for: whose token it is, and releases and features as the ledger has them.

use crate::api::ports::Store;
use crate::api::reply::Reply;
use crate::auth::permission::{Call, PERMISSIONS};
use crate::core::ledger::Rejection;
use crate::core::ledger::event::Actor;
use crate::core::role::Role;
use crate::wire::console::{Definitions, Releases, Steered, WhoAmI, versions};
use crate::wire::looks::Rollout;

use super::ledger::Ledger;
use super::write::snapshot;
use super::{Refusal, answer};

/// Whose token it is, and what it may be used for.
pub(super) fn who<S: Store>(ledger: &Ledger<S>, actor: &Actor, role: Role) -> Reply {
    let state = &ledger.live.state;
    let calls = PERMISSIONS.iter().map(|(call, _)| *call);
    let body = WhoAmI::<Call> {
        id: &actor.id,
        label: &actor.label,
        role,
        expires: state.tokens.get(&actor.id).map(|token| token.expires),
        calls: calls.filter(|call| call.allows(role)).collect(),
    };
    answer(200, state.revision, &body)
}

/// Every release.
pub(super) fn releases<S: Store>(ledger: &Ledger<S>) -> Result<Reply, Refusal> {
    let (live, state) = (&ledger.live, &ledger.live.state);
    let config = live.config.as_ref().ok_or(Rejection::NoConfiguration)?;
    let snapshot = snapshot(live, &ledger.defaults);
    let releases = snapshot.releases.iter().filter_map(|release| {
        let written = config.releases.get(&release.name)?;
        Some(Steered::of(Rollout::of(&snapshot, release), written, state))
    });
    let body = Releases {
        stable: &config.stable,
        versions: versions(config),
        releases: releases.collect(),
    };
    Ok(answer(200, state.revision, &body))
}

/// Every feature as it is written.
pub(super) fn features<S: Store>(ledger: &Ledger<S>) -> Reply {
    let state = &ledger.live.state;
    let body = Definitions::of(state, &ledger.defaults.features);
    answer(200, state.revision, &body)
}
