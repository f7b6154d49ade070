//! The two-person rule: a write that waits, and the call of somebody else that carries it out.

use crate::api::ports::Store;
use crate::api::reply::Reply;
use crate::core::decode::to_hex;
use crate::core::json::Json;
use crate::core::ledger::event::{Actor, Change, Proposal, Scope};
use crate::core::ledger::{Context, Held, Outcome, Rejection, approve_stage};
use crate::core::role::Role;
use crate::wire::body::Body;
use crate::wire::control::{Approval, Approve, Pending};
use crate::wire::problem::ProblemType;

use super::apply::{Wanted, wanted};
use super::ledger::Ledger;
use super::route::{Found, Target, find};
use super::write::{Asked, Options, Original, commit};
use super::{Refusal, answer};

/// An approval is waited for this long.
const APPROVAL_MS: u64 = 24 * 3_600_000;

/// Keeps the request until somebody else agrees.
pub(super) fn propose<S: Store>(
    ledger: &mut Ledger<S>,
    outcome: &Outcome,
    held: Held,
    context: Context,
    original: &Original,
    asked: &Asked<'_>,
) -> Result<Reply, Refusal> {
    let environment = asked.environment;
    let now = environment.now;
    let waits =
        |p: &&Proposal| p.path == original.path && p.body == original.body && p.expires > now;
    let proposals = &ledger.live.state.proposals;
    let ran_out = proposals.values().filter(|p| p.expires <= now);
    let mut changes: Vec<Change> = ran_out.map(|p| Change::EndProposal(p.id.clone())).collect();
    let proposal = match proposals.values().find(waits) {
        Some(proposal) => proposal.clone(),
        None => Proposal {
            id: to_hex(environment.random.split_at(6).0),
            by: context.actor.clone(),
            target: outcome.target.clone(),
            summary: outcome.summary.clone(),
            reason: context.reason.clone(),
            created: now,
            expires: now.plus_millis(APPROVAL_MS),
            path: original.path.clone(),
            body: original.body.clone(),
        },
    };
    let rule = match held {
        Held::FullRollout => "reaching 100 %",
        Held::ClearStop => "clearing a stop",
    };
    let summary = format!(
        "{rule} waits for a second release manager: {}",
        outcome.summary
    );
    let approval = Approval::from(&proposal);
    changes.push(Change::Propose(proposal));
    let asks = Outcome {
        action: "approval.ask",
        target: outcome.target.clone(),
        summary: summary.clone(),
        changes,
        alert: true,
        careful: false,
        held: None,
    };
    let prepared = ledger.live.prepare(&asks, &context)?;
    let revision = match &prepared {
        Some(prepared) => prepared.next.state.revision,
        None => ledger.live.state.revision,
    };
    let body = Pending {
        revision,
        changed: false,
        dry_run: false,
        summary,
        approval,
    };
    let remembered = asked.remembered.as_ref();
    let again = remembered.map(|remembered| remembered.kept(202, revision, &body));
    match (prepared, again) {
        (Some(prepared), again) => ledger.append(prepared, true, again)?,
        (None, Some(again)) => ledger.remember(again, now)?,
        (None, None) => {}
    }
    Ok(answer(202, revision, &body))
}

/// Carries out what another release manager asked for.
pub(super) fn approve<S: Store>(
    ledger: &mut Ledger<S>,
    json: &Json,
    actor: Actor,
    asked: &Asked<'_>,
) -> Result<Reply, Refusal> {
    let body = Approve::decode(json).map_err(Rejection::Invalid)?;
    if let Some(stage) = &body.stage {
        let Target::Scope(Scope::Release(name)) = asked.target else {
            return Err(Refusal::new(ProblemType::UnknownPath, "No such release."));
        };
        let now = asked.environment.now;
        let outcome = approve_stage(&ledger.live, name, stage.as_str(), &actor, now)?;
        let wanted = Wanted::new(outcome, body.reason, None);
        let original = Original {
            path: String::new(),
            body: String::new(),
        };
        return commit(ledger, wanted, actor, None, &original, asked);
    }
    if actor.role != Some(Role::ReleaseManager) {
        let detail = "A change that waits is approved by a release manager; give \"stage\" to agree that a plan's stage is left.";
        let mut refusal = Refusal::new(ProblemType::Forbidden, detail);
        refusal.problem.required_role = Some(Role::ReleaseManager);
        return Err(refusal);
    }
    let Target::Scope(scope) = asked.target else {
        return Err(Refusal::new(ProblemType::UnknownPath, "No such release."));
    };
    let now = asked.environment.now;
    let waits = |p: &&Proposal| {
        let is_it = body.approval.as_ref().is_none_or(|id| *id == p.id);
        p.target == scope.as_str() && p.expires > now && is_it
    };
    let proposals = ledger.live.state.proposals.values();
    let mut waiting: Vec<Proposal> = proposals.filter(waits).cloned().collect();
    let Some(proposal) = waiting.pop() else {
        let detail = "Nothing waits for an approval there; GET /admin/approvals lists what does.";
        return Err(Refusal::new(ProblemType::NotFound, detail));
    };
    if !waiting.is_empty() {
        let detail = "Several changes wait there; say which with \"approval\": its id.";
        return Err(Refusal::new(ProblemType::Conflict, detail));
    }
    if proposal.by.id == actor.id {
        let mut refusal = Refusal::new(
            ProblemType::Forbidden,
            "You asked for this change yourself; another release manager's token has to approve it.",
        );
        refusal.problem.required_role = Some(Role::ReleaseManager);
        return Err(refusal);
    }
    let (method, path) = proposal.path.split_once(' ').unwrap_or_default();
    let (call, target) = match find(method, path) {
        Found::Call(call, target) => (call, target),
        _ => {
            return Err(Refusal::new(
                ProblemType::NotFound,
                "The change cannot be read.",
            ));
        }
    };
    let json = Json::parse(&proposal.body).unwrap_or(Json::Object(Vec::new()));
    let mut wanted = wanted(
        ledger,
        call,
        &target,
        &json,
        &proposal.by,
        asked.environment,
    )?;
    wanted.confirm = true;
    let said = body.reason.map(|reason| reason.0);
    let said = said.or_else(|| asked.options.reason.clone());
    wanted.reason = Some(match said {
        Some(said) if !said.is_empty() => format!("{}; approved: {said}", proposal.reason),
        _ => proposal.reason.clone(),
    });
    wanted
        .outcome
        .changes
        .push(Change::EndProposal(proposal.id.clone()));
    let original = Original {
        path: proposal.path,
        body: proposal.body,
    };
    let inner = Asked {
        target: &target,
        options: Options {
            dry_run: asked.options.dry_run,
            confirm: true,
            reason: None,
            key: None,
        },
        remembered: asked.remembered.clone(),
        environment: asked.environment,
    };
    commit(ledger, wanted, proposal.by, Some(actor), &original, &inner)
}
