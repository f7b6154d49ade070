//! Every write, one way: body, precondition, replay, dry run, confirmation, approval, commit.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::api::ports::Store;
use crate::api::reply::Reply;
use crate::api::request::{Request, query_value};
use crate::auth::permission::Call;
use crate::core::config::Config;
use crate::core::decode::{Problem, to_hex};
use crate::core::defaults::Defaults;
use crate::core::impact::{self, FeatureImpact, Impact};
use crate::core::json::Json;
use crate::core::ledger::event::{Actor, Change};
use crate::core::ledger::{Context, Live, Outcome};
use crate::core::lint::{Severity, lint};
use crate::core::plan::Decision;
use crate::core::snapshot::Snapshot;
use crate::core::stop::Stop;
use crate::core::time::Timestamp;
use crate::wire::body::Reason;
use crate::wire::control::{Changed, Minted};
use crate::wire::looks::Rollout;
use crate::wire::problem::ProblemType;

use super::apply::{Wanted, wanted};
use super::approval::{approve, propose};
use super::ledger::{Answered, Ledger};
use super::query::flag;
use super::route::Target;
use super::{Environment, Refusal, answer, max_body};

/// Longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 128;

/// What every write may say besides its body.
pub(super) struct Options {
    pub dry_run: bool,
    pub confirm: bool,
    pub reason: Option<String>,
    pub key: Option<String>,
}

impl Options {
    fn of(request: &impl Request) -> Result<Self, Refusal> {
        let given = [request.header("x-reason"), query_value(request, "reason")];
        let reasons = given.into_iter().flatten().map(|text| {
            Reason::parse(&text)
                .map_err(|e| Refusal::new(ProblemType::BadQuery, format!("The reason {e}.")))
        });
        let reasons: Vec<Reason> = reasons.collect::<Result<_, _>>()?;
        let key = request.header("idempotency-key");
        if let Some(key) = &key
            && (key.is_empty() || key.len() > MAX_KEY_BYTES)
        {
            let detail = format!("Idempotency-Key must be 1 to {MAX_KEY_BYTES} bytes long.");
            return Err(Refusal::new(ProblemType::BadHeader, detail));
        }
        Ok(Self {
            dry_run: flag(request, "dry_run")?,
            confirm: flag(request, "confirm")?,
            reason: reasons.into_iter().next().map(|reason| reason.0),
            key,
        })
    }
}

/// An answer as it is kept to be given again.
#[derive(Serialize, Deserialize)]
struct Kept {
    fingerprint: String,
    status: u16,
    revision: u64,
    body: String,
}

pub(super) fn write<S: Store>(
    ledger: &mut Ledger<S>,
    request: &impl Request,
    body: &[u8],
    call: Call,
    target: &Target,
    actor: Actor,
    environment: &Environment,
) -> Result<Reply, Refusal> {
    let json = read_body(request, body)?;
    let options = Options::of(request)?;
    let remembered = options.key.as_ref().map(|key| Remembered {
        key: format!("{}/{key}", actor.id),
        fingerprint: fingerprint(request, body),
    });
    if let Some(remembered) = &remembered
        && !options.dry_run
        && let Some(text) = ledger.store.answer(&remembered.key)?
    {
        return replay(&text, remembered);
    }
    precondition(request, ledger.live.state.revision)?;
    let asked = Asked {
        target,
        options,
        remembered,
        environment,
    };
    if call == Call::Approve {
        return approve(ledger, &json, actor, &asked);
    }
    let wanted = wanted(ledger, call, target, &json, &actor, environment)?;
    let original = Original::of(request, json);
    commit(ledger, wanted, actor, None, &original, &asked)
}

/// A write's circumstances.
pub(super) struct Asked<'a> {
    pub target: &'a Target,
    pub options: Options,
    pub remembered: Option<Remembered>,
    pub environment: &'a Environment,
}

/// The request, to be carried out again when it is approved.
pub(super) struct Original {
    pub path: String,
    pub body: String,
}

impl Original {
    /// Without the reason and the query: reasons are kept masked, and apart.
    fn of(request: &impl Request, mut body: Json) -> Self {
        body.remove("reason");
        Self {
            path: format!("{} {}", request.method(), request.path()),
            body: body.text(),
        }
    }
}

/// A call that can be made again by its idempotency key.
#[derive(Clone)]
pub(super) struct Remembered {
    key: String,
    fingerprint: String,
}

/// The body as JSON. No body at all is `{}`. `curl -d` says that it sends a form; what the seeds
/// send with it is JSON, and so is it read.
fn read_body(request: &impl Request, body: &[u8]) -> Result<Json, Refusal> {
    let most = max_body(request.path());
    if body.len() > most {
        let detail = format!("At most {most} bytes are taken here; send less at a time.");
        return Err(Refusal::new(ProblemType::BodyTooLarge, detail));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Json::Object(Vec::new()));
    }
    if let Some(content_type) = request.header("content-type") {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        let taken = [
            "application/json",
            "application/merge-patch+json",
            "application/x-www-form-urlencoded",
        ];
        if !taken.iter().any(|t| kind.eq_ignore_ascii_case(t)) {
            let detail = "Send JSON, with Content-Type: application/json.";
            let refusal = Refusal::new(ProblemType::UnsupportedMediaType, detail);
            return Err(refusal.with("Accept", taken.join(", ")));
        }
    }
    let invalid = |detail: String| Refusal::new(ProblemType::InvalidJson, detail);
    let text = std::str::from_utf8(body)
        .map_err(|e| invalid(format!("Byte {} is not UTF-8.", e.valid_up_to())))?;
    Json::parse(text).map_err(|problem| invalid(format!("The body {}.", problem.message)))
}

impl Remembered {
    /// What is kept to give an answer again.
    pub(super) fn kept(&self, status: u16, revision: u64, body: &impl Serialize) -> Answered {
        let kept = Kept {
            fingerprint: self.fingerprint.clone(),
            status,
            revision,
            body: serde_json::to_string(body).unwrap_or_default(),
        };
        let text = serde_json::to_string(&kept).unwrap_or_default();
        (self.key.clone(), text)
    }
}

fn fingerprint(request: &impl Request, body: &[u8]) -> String {
    let mut hasher = Sha256::new();
    let if_match = request.header("if-match").unwrap_or_default();
    let path = request.url().splitn(4, '/').nth(3).unwrap_or_default();
    for part in [request.method(), path, &if_match] {
        hasher.update(part);
        hasher.update([0]);
    }
    hasher.update(body);
    to_hex(&hasher.finalize())
}

/// Gives an answer again.
fn replay(text: &str, remembered: &Remembered) -> Result<Reply, Refusal> {
    let kept: Option<Kept> = serde_json::from_str(text).ok();
    match kept {
        Some(kept) if kept.fingerprint == remembered.fingerprint => {
            let reply = Reply::new(kept.status, "application/json", "no-store", kept.body)
                .with("ETag", format!("\"{}\"", kept.revision))
                .with("X-Caro-Revision", kept.revision.to_string());
            Ok(reply.with("Idempotent-Replayed", "true"))
        }
        _ => Err(Refusal::new(
            ProblemType::IdempotencyKeyReused,
            "This Idempotency-Key came with another request before; use a new one for each change.",
        )),
    }
}

/// `If-Match` names the revision that the change was made for (RFC 9110, 13.1.1).
fn precondition(request: &impl Request, revision: u64) -> Result<(), Refusal> {
    let Some(tags) = request.header("if-match") else {
        return Ok(());
    };
    let own = revision.to_string();
    let matches = |tag: &str| {
        let tag = tag.trim();
        tag == "*" || tag.trim_matches('"') == own
    };
    if tags.split(',').any(matches) {
        return Ok(());
    }
    let mut refusal = Refusal::new(
        ProblemType::PreconditionFailed,
        format!(
            "The revision is {revision} now. Look at what changed (GET /admin/audit), then send \
             If-Match: \"{revision}\"."
        ),
    );
    refusal.problem.revision = Some(revision);
    Err(refusal.with("ETag", format!("\"{revision}\"")))
}

pub(super) fn commit<S: Store>(
    ledger: &mut Ledger<S>,
    wanted: Wanted,
    actor: Actor,
    approved_by: Option<Actor>,
    original: &Original,
    asked: &Asked<'_>,
) -> Result<Reply, Refusal> {
    let Asked {
        target,
        options,
        remembered,
        environment,
    } = asked;
    let reason = wanted.reason.or_else(|| options.reason.clone());
    let reason = reason.unwrap_or_default();
    if wanted.needs_reason && reason.is_empty() {
        return Err(Refusal::new(
            ProblemType::ReasonRequired,
            "Say why: \"reason\" in the body, or ?reason=… It goes into the audit log and the alert.",
        ));
    }
    if !wanted.doubts.is_empty() && !wanted.confirm && !options.confirm {
        let mut refusal = Refusal::new(
            ProblemType::ConfirmationRequired,
            "This is probably a mistake, and nothing was changed. If it is meant, send it again \
             with \"confirm\": true, or ?confirm=1.",
        );
        refusal.problem = Box::new(refusal.problem.with_errors(wanted.doubts));
        return Err(refusal);
    }
    let context = Context {
        actor,
        approved_by,
        now: environment.now,
        reason,
        // An import that says nothing new still replaces an edit of KV that cannot be used.
        floor: match &ledger.publication.bad_edit {
            Some(_) if wanted.outcome.action == "config.put" => ledger.live.state.revision + 1,
            _ => 0,
        },
    };
    let outcome = &wanted.outcome;
    let prepared = ledger.live.prepare(outcome, &context)?;
    let after = prepared.as_ref().map(|p| &p.next);
    if let Some(after) = after
        && !outcome.relieves()
    {
        stopped_by_lint(&ledger.live, after, environment.now)?;
    }
    let effect = Effect::of(
        &ledger.live,
        after.unwrap_or(&ledger.live),
        target,
        &ledger.defaults,
    );
    let has_effect = effect.shown && wanted.minted.is_none();
    let confirmed = wanted.confirm || options.confirm || options.dry_run;
    if outcome.careful && !confirmed && (effect.impact.evicts() || effect.impact.switches()) {
        let mut refusal = Refusal::new(
            ProblemType::ConfirmationRequired,
            "Somebody would lose what they have, or get another build: \"impact\" says how many. \
             Send it again with \"confirm\": true, or ?confirm=1. (…/rollback and \
             …/emergency-stop ask for none.)",
        );
        refusal.problem.impact = Some(effect.impact);
        return Err(refusal);
    }
    if let Some(held) = outcome.held
        && context.approved_by.is_none()
        && prepared.is_some()
        && !options.dry_run
    {
        return propose(ledger, outcome, held, context, original, asked);
    }

    let changed = prepared.is_some();
    let dry_run = options.dry_run;
    let revision = match &prepared {
        Some(prepared) if !dry_run => prepared.next.state.revision,
        _ => ledger.live.state.revision,
    };
    let body = |minted: Option<Minted>| {
        let snapshot = &effect.after;
        Changed {
            revision,
            changed,
            dry_run,
            summary: outcome.summary.clone(),
            published: None,
            impact: has_effect.then(|| effect.impact.clone()),
            features: effect.features.clone(),
            rollout: effect
                .release
                .and_then(|name| snapshot.release(name))
                .map(|release| Rollout::of(snapshot, release)),
            token: minted,
            decision: decided(outcome),
        }
    };
    let status = if wanted.minted.is_some() && !dry_run {
        201
    } else {
        200
    };
    if dry_run {
        return Ok(answer(status, revision, &body(None)));
    }
    // What is kept to be given again holds no secret.
    let again = remembered.as_ref().map(|remembered| {
        let minted = wanted.minted.as_ref().map(|minted| Minted {
            id: minted.id.clone(),
            secret: None,
            role: minted.role,
            label: minted.label.clone(),
            expires: minted.expires,
        });
        remembered.kept(status, revision, &body(minted))
    });
    let reply = answer(status, revision, &body(wanted.minted));
    match (prepared, again) {
        (Some(prepared), again) => ledger.append(prepared, outcome.alert, again)?,
        // It would change something if it came again after another change.
        (None, Some(again)) => ledger.remember(again, environment.now)?,
        (None, None) => {}
    }
    Ok(reply)
}

/// The decision that a change carries out.
fn decided(outcome: &Outcome) -> Option<Decision> {
    outcome.changes.iter().find_map(|change| match change {
        Change::Decide { decision, .. } => Some((**decision).clone()),
        _ => None,
    })
}

/// Refuses what brings something that lint calls an error, where the policy says so.
fn stopped_by_lint(before: &Live, after: &Live, now: Timestamp) -> Result<(), Refusal> {
    let (Some(old), Some(new)) = (&before.config, &after.config) else {
        return Ok(());
    };
    if !old.policy.lint_blocks {
        return Ok(());
    }
    let errors = |live: &Live, config: &Config| {
        let mut found = lint(&live.state.document, config, &live.state.full, now);
        found.retain(|finding| finding.severity == Severity::Error);
        found
    };
    let known = errors(before, old);
    let new = errors(after, new).into_iter();
    let new: Vec<Problem> = new
        .filter(|finding| !known.contains(finding))
        .map(|finding| Problem {
            path: finding.pointer,
            message: format!("{} ({})", finding.message, finding.rule),
        })
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    let detail = "Nothing was changed: policy.lint is \"block\". The pointers in \"errors\" are places \
                  in the configuration; GET /admin/lint lists everything.";
    Err(Refusal::invalid(detail, new))
}

/// What a change does to requesters.
struct Effect<'a> {
    impact: Impact,
    features: Vec<FeatureImpact>,
    after: Snapshot,
    release: Option<&'a str>,
    /// Whether it can have one at all.
    shown: bool,
}

impl<'a> Effect<'a> {
    fn of(before: &Live, after: &Live, target: &'a Target, defaults: &Defaults) -> Self {
        let (old, new) = (snapshot(before, defaults), snapshot(after, defaults));
        let release = match target {
            Target::Release(name) => Some(name.as_str()),
            Target::Scope(scope) if scope.as_str() != "all" => Some(scope.as_str()),
            _ => None,
        };
        let features = match target {
            Target::Features(scope) => {
                let name = match scope {
                    crate::core::config::FeatureScope::All => None,
                    crate::core::config::FeatureScope::Release(name) => Some(name.as_str()),
                };
                impact::features(&old, &new, name)
            }
            _ => Vec::new(),
        };
        let drained = after.drained(before);
        let end = drained.as_ref().map(|live| snapshot(live, defaults));
        Self {
            // Of a drain it is told where that leads.
            impact: impact::between(&old, end.as_ref().unwrap_or(&new)),
            features,
            after: new,
            release,
            shown: !matches!(target, Target::Id(_)),
        }
    }
}

/// What the edge would decide from.
pub(super) fn snapshot(live: &Live, defaults: &Defaults) -> Snapshot {
    match &live.config {
        Some(config) => Snapshot::new(config, live.stop(), defaults),
        None => Snapshot::fallback(defaults, Stop::None),
    }
}
