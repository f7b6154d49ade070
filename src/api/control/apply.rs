//! From a call and its body to what it would do.

use crate::api::ports::Store;
use crate::auth::permission::Call;
use crate::auth::token::{TokenHash, mint};
use crate::core::bucket::UnitHash;
use crate::core::config::{Config, State};
use crate::core::decode::{Decoder, Path, Problem, to_hex};
use crate::core::identity::Unit;
use crate::core::ids::{Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::ledger::event::{Actor, Change, Member, Told};
use crate::core::ledger::{
    self, Live, MemberRef, NewToken, Outcome, PutRelease, Rejection, SINGLE_SWITCHES, SetRelease,
};
use crate::core::plan::{PRESETS, preset};
use crate::core::table::Table;
use crate::core::time::Timestamp;
use crate::wire::body::{Body, Reason};
use crate::wire::control::{
    Because, MintToken, Minted, Person, PutCohort, PutRollout, Rollback, SetCanary,
    SetKillSwitches, SetMembers, SetRollout,
};
use crate::wire::plan::{Promote, SetPlan, Signals};

use super::ledger::Ledger;
use super::route::Target;
use super::{Environment, plans};

/// A call, understood.
pub(super) struct Wanted {
    pub outcome: Outcome,
    pub reason: Option<String>,
    pub confirm: bool,
    /// Whether it is refused without a reason.
    pub needs_reason: bool,
    /// What is probably a mistake, and refused unless confirmed.
    pub doubts: Vec<Problem>,
    pub minted: Option<Minted>,
}

impl Wanted {
    pub(super) fn new(outcome: Outcome, reason: Option<Reason>, confirm: Option<bool>) -> Self {
        Self {
            outcome,
            reason: reason.map(|r| r.0),
            confirm: confirm.unwrap_or(false),
            needs_reason: false,
            doubts: Vec::new(),
            minted: None,
        }
    }

    fn needing_reason(mut self) -> Self {
        self.needs_reason = true;
        self
    }
}

/// Lifetimes of tokens, in seconds.
const STANDARD_S: u64 = 90 * 86_400;
const DAY_S: u64 = 86_400;

/// Understands a call. `Approve` is not one of those: it stands for another.
pub(super) fn wanted<S: Store>(
    ledger: &Ledger<S>,
    call: Call,
    target: &Target,
    json: &Json,
    actor: &Actor,
    environment: &Environment,
) -> Result<Wanted, Rejection> {
    let live = &ledger.live;
    match (call, target) {
        (Call::SetRelease, Target::Release(name)) => {
            let body = decode::<SetRollout>(json)?;
            let set = SetRelease {
                version: body.version,
                percentage: body.percentage,
                state: steerable(body.state)?,
                cohorts: body.cohorts,
            };
            if set == SetRelease::default() {
                return Err(Rejection::at(
                    "",
                    "says nothing to change: give percentage, version, state or cohorts",
                ));
            }
            let outcome = ledger::set_release(live, name, &set)?;
            Ok(Wanted::new(outcome, body.reason, body.confirm))
        }
        (Call::PutRelease, Target::Release(name)) => {
            let body = decode::<PutRollout>(json)?;
            let put = PutRelease {
                settings: SetRelease {
                    version: Some(body.version),
                    percentage: Some(body.percentage.unwrap_or(Percentage::ZERO)),
                    state: Some(steerable(body.state)?.unwrap_or(State::Active)),
                    cohorts: Some(body.cohorts.unwrap_or_default()),
                },
                build: body.build.map(|raw| raw.0),
            };
            let outcome = ledger::put_release(live, name, &put)?;
            Ok(Wanted::new(outcome, body.reason, body.confirm))
        }
        (Call::DeleteRelease, Target::Release(name)) => {
            because(json, ledger::delete_release(live, name))
        }
        (Call::EmergencyStop, Target::Scope(scope)) => {
            Ok(because(json, ledger::stop(live, scope))?.needing_reason())
        }
        (Call::ClearStop, Target::Scope(scope)) => {
            Ok(because(json, ledger::clear_stop(live, scope))?.needing_reason())
        }
        (Call::Pause, Target::Release(name)) => {
            because(json, ledger::pause(live, name, environment.now))
        }
        (Call::Resume, Target::Release(name)) => {
            because(json, ledger::resume(live, name, environment.now))
        }
        (Call::Rollback, Target::Release(name)) => {
            let body = decode::<Rollback>(json)?;
            let to = body.percentage.unwrap_or(Percentage::ZERO);
            let over = body.over_seconds.map_or(0, |s| s.0 * 1000);
            let outcome = ledger::rollback(live, name, to, over, environment.now)?;
            Ok(Wanted::new(outcome, body.reason, None))
        }
        (Call::SetPlan, Target::Release(name)) => plan(live, name, json, environment),
        (Call::DeletePlan, Target::Release(name)) => {
            because(json, ledger::end_plan(live, name, environment.now))
        }
        (Call::Promote, Target::Release(name)) => {
            let body = decode::<Promote>(json)?;
            let force = body.force.unwrap_or(false);
            let seen = plans::seen(live, name, environment.evidence.as_ref());
            let outcome = ledger::promote(live, name, &seen, force, environment.now)?;
            let wanted = Wanted::new(outcome, body.reason, body.confirm);
            Ok(if force {
                wanted.needing_reason()
            } else {
                wanted
            })
        }
        (Call::Evaluate, Target::Release(name)) => {
            let body = decode::<Because>(json)?;
            let seen = plans::seen(live, name, environment.evidence.as_ref());
            let outcome = ledger::evaluate(live, name, &seen, environment.now)?;
            Ok(Wanted::new(outcome, body.reason, None))
        }
        (Call::Signal, Target::Release(name)) => signals(live, name, json, actor, environment.now),
        (Call::SetFeatures, Target::Features(scope)) => {
            let (patch, reason) = feature_patch(json)?;
            let defaults = &ledger.defaults;
            let outcome = ledger::set_features(live, defaults, actor.role, scope, &patch)?;
            Ok(Wanted::new(outcome, reason, None))
        }
        (Call::SetExperiments, _) => {
            let (patch, reason) = feature_patch(json)?;
            let outcome = ledger::set_experiments(live, &patch)?;
            Ok(Wanted::new(outcome, reason, None))
        }
        (Call::SetKillSwitches, _) => kill_switches(live, json),
        (Call::SetCanary, _) => {
            let body = decode::<SetCanary>(json)?;
            let outcome = ledger::set_canary(live, body.enabled)?;
            Ok(Wanted::new(outcome, body.reason, body.confirm))
        }
        (Call::PutCohort, Target::Cohort(name)) => {
            let body = decode::<PutCohort>(json)?;
            let features = body.features.unwrap_or_default();
            let features = Json::Array(features.into_iter().map(Json::from).collect());
            let outcome = ledger::put_cohort(
                live,
                name,
                body.enabled.unwrap_or(true),
                body.percentage.unwrap_or(Percentage::ZERO),
                &features,
            )?;
            Ok(Wanted::new(outcome, body.reason, body.confirm))
        }
        (Call::DeleteCohort, Target::Cohort(name)) => {
            because(json, ledger::delete_cohort(live, name))
        }
        (Call::SetMembers, Target::Members(list)) => {
            let body = decode::<SetMembers>(json)?;
            let add = people(live, "add", body.add.as_deref(), hashed)?;
            let remove = people(live, "remove", body.remove.as_deref(), named)?;
            if add.is_empty() && remove.is_empty() {
                let message = "says nobody: give \"add\" or \"remove\"";
                return Err(Rejection::at("", message));
            }
            let outcome = ledger::set_members(live, list.clone(), add, &remove)?;
            Ok(Wanted::new(outcome, body.reason, body.confirm))
        }
        (Call::MintToken, _) => new_token(json, environment),
        (Call::RevokeToken, Target::Id(id)) => because(json, ledger::revoke(live, id)),
        (Call::WithdrawApproval, Target::Id(id)) => because(json, withdraw(live, id)),
        (Call::PutConfig, _) => {
            let text = json.text();
            // What is wrong with it is said once, with all of its places.
            let config = Config::parse(&text).map_err(Rejection::Breaks)?;
            let outcome = ledger::import(live, &config, json)?;
            Ok(Wanted::new(outcome, None, None))
        }
        _ => Err(Rejection::Conflict("this call changes nothing".to_owned())),
    }
}

/// `POST …/plan`: gives one, begins it, or both in one row.
fn plan(
    live: &Live,
    name: &ReleaseName,
    json: &Json,
    environment: &Environment,
) -> Result<Wanted, Rejection> {
    let body = decode::<SetPlan>(json)?;
    let now = environment.now;
    let document = match (body.preset, body.plan) {
        (Some(_), Some(_)) => {
            return Err(Rejection::at(
                "",
                "must have \"preset\" or \"plan\", not both",
            ));
        }
        (Some(named), None) => {
            let text = preset(&named).ok_or_else(|| {
                let message = format!("is no preset; they are {}", PRESETS.join(", "));
                Rejection::at("/preset", message)
            })?;
            // A test reads each of them.
            Json::parse(text).ok()
        }
        (None, Some(own)) => Some(own.0),
        (None, None) => None,
    };
    let start = body.start.unwrap_or(false);
    let set = document.map(|document| ledger::set_plan(live, name, &document, now));
    let set = set.transpose()?;
    let asked = environment.evidence.as_ref();
    let outcome = match (set, start) {
        (None, false) => {
            let message = "says nothing: give \"preset\", \"plan\" or \"start\": true";
            return Err(Rejection::at("", message));
        }
        (Some(set), false) => set,
        (set, true) => {
            let with = set.as_ref().map(|set| live.with(&set.changes));
            let live = with.as_ref().unwrap_or(live);
            let seen = plans::seen(live, name, asked);
            let mut started = ledger::start_plan(live, name, &seen, plans::baseline(asked), now)?;
            // One row for both, which is as careful, and held up as much, as beginning is.
            let set = set.map(|set| set.changes).unwrap_or_default();
            started.changes.splice(0..0, set);
            started
        }
    };
    Ok(Wanted::new(outcome, body.reason, body.confirm))
}

/// How far ahead the clock of who tells may be, in milliseconds.
const AHEAD_MS: u64 = 5 * 60_000;

fn signals(
    live: &Live,
    name: &ReleaseName,
    json: &Json,
    actor: &Actor,
    now: Timestamp,
) -> Result<Wanted, Rejection> {
    let body = decode::<Signals>(json)?;
    let mut numbers = Table::default();
    for (key, signal) in body.numbers.iter().flat_map(Table::iter) {
        let at = signal.at.unwrap_or(now);
        if at > now.plus_millis(AHEAD_MS) {
            let path = format!("/numbers/{key}/at");
            return Err(Rejection::at(&path, "is in the future"));
        }
        let source = signal
            .source
            .as_ref()
            .map_or(&actor.label, |label| &label.0);
        let told = Told {
            value: signal.value,
            at: at.min(now),
            source: source.clone(),
        };
        numbers.insert(key.to_string(), told);
    }
    let mut checks = Table::default();
    for (key, passed) in body.checks.iter().flat_map(Table::iter) {
        checks.insert(key.to_string(), *passed);
    }
    let outcome = ledger::signal(live, name, numbers, checks)?;
    Ok(Wanted::new(outcome, body.reason, None))
}

fn decode<B: Body>(json: &Json) -> Result<B, Rejection> {
    B::decode(json).map_err(Rejection::Invalid)
}

fn because(json: &Json, outcome: Result<Outcome, Rejection>) -> Result<Wanted, Rejection> {
    let body = decode::<Because>(json)?;
    Ok(Wanted::new(outcome?, body.reason, body.confirm))
}

/// States that have a call of their own are not set in passing.
fn steerable(state: Option<State>) -> Result<Option<State>, Rejection> {
    match state {
        Some(state @ (State::Paused | State::Stopped)) => Err(Rejection::at(
            "/state",
            format!(
                "cannot be set to \"{}\" here; use the calls pause, resume, emergency-stop",
                state.as_str()
            ),
        )),
        other => Ok(other),
    }
}

/// The patch, without a reason that stands among the features: those are never strings.
fn feature_patch(json: &Json) -> Result<(Json, Option<Reason>), Rejection> {
    let mut d = Decoder::default();
    d.no_duplicates(json, &Path::Root);
    let mut patch = json.clone();
    let reason = match json.get("reason") {
        Some(Json::String(text)) => {
            patch.remove("reason");
            let reason = Reason::parse(text);
            Some(reason.map_err(|e| Rejection::at("/reason", e))?)
        }
        _ => None,
    };
    if patch.entries().is_empty() {
        d.report(&Path::Root, "says nothing to change: name something");
    }
    d.finish((patch, reason)).map_err(Rejection::Invalid)
}

fn kill_switches(live: &Live, json: &Json) -> Result<Wanted, Rejection> {
    let body = decode::<SetKillSwitches>(json)?;
    let singles = [
        body.telemetry_disabled,
        body.llm_backends_disabled,
        body.command_execution_disabled,
        body.canary,
    ];
    let mut set: Vec<(String, bool)> = SINGLE_SWITCHES
        .iter()
        .zip(singles)
        .filter_map(|(name, on)| Some(((*name).to_owned(), on?)))
        .collect();
    for (key, on) in body.features.iter().flat_map(|t| t.iter()) {
        set.push((format!("features/{key}"), *on));
    }
    for (name, on) in body.cohorts.iter().flat_map(|t| t.iter()) {
        set.push((format!("cohorts/{name}"), *on));
    }
    if set.is_empty() {
        return Err(Rejection::at("", "names no switch"));
    }
    let outcome = ledger::set_kill_switches(live, &set)?;
    let mut wanted = Wanted::new(outcome, body.reason, body.confirm).needing_reason();
    wanted.doubts = ledger::unknown_switches(live, &set);
    Ok(wanted)
}

fn people<T>(
    live: &Live,
    field: &str,
    people: Option<&[Person]>,
    one: impl Fn(&Live, &Person) -> Result<T, String>,
) -> Result<Vec<T>, Rejection> {
    let mut result = Vec::new();
    let mut problems = Vec::new();
    for (i, person) in people.unwrap_or_default().iter().enumerate() {
        match one(live, person) {
            Ok(t) => result.push(t),
            Err(message) => problems.push(Problem {
                path: format!("/{field}/{i}"),
                message,
            }),
        }
    }
    if problems.is_empty() {
        Ok(result)
    } else {
        Err(Rejection::Invalid(problems))
    }
}

/// A member, by the keyed hash of their id or network. The id itself goes no further, and is in no
/// message.
fn hashed(live: &Live, person: &Person) -> Result<Member, String> {
    Ok(Member {
        unit: unit_hash(live, person)?.ok_or("must have \"id\" or \"ip\"")?,
        label: person.label.as_ref().map(|label| label.0.clone()),
    })
}

fn named(live: &Live, person: &Person) -> Result<MemberRef, String> {
    match (unit_hash(live, person)?, &person.label) {
        (Some(unit), _) => Ok(MemberRef::Unit(unit)),
        (None, Some(label)) => Ok(MemberRef::Label(label.0.clone())),
        (None, None) => Err("must have \"id\", \"ip\" or \"label\"".to_owned()),
    }
}

fn unit_hash(live: &Live, person: &Person) -> Result<Option<String>, String> {
    let unit = match (&person.id, &person.ip) {
        (Some(_), Some(_)) => return Err("must have \"id\" or \"ip\", not both".to_owned()),
        (Some(id), None) => match Unit::from_id(id) {
            Ok(Some(unit)) => unit,
            Ok(None) => return Err("has an empty \"id\"".to_owned()),
            Err(e) => return Err(e.to_string()),
        },
        (None, Some(ip)) => {
            Unit::from_address(ip).ok_or("has an \"ip\" that is no IPv4 or IPv6 address")?
        }
        (None, None) => return Ok(None),
    };
    let config = live.config.as_ref().ok_or("needs a configuration first")?;
    let hash = UnitHash::of(&config.salt, &unit);
    Ok(Some(to_hex(&hash.as_u128().to_be_bytes())))
}

fn new_token(json: &Json, environment: &Environment) -> Result<Wanted, Rejection> {
    let body = decode::<MintToken>(json)?;
    let (kind, usual, most) = match body.kind.as_deref() {
        None | Some("standard") => ("standard", STANDARD_S, 366 * DAY_S),
        Some("development") => ("development", DAY_S, DAY_S),
        Some("debug") => ("debug", DAY_S, DAY_S),
        Some(_) => {
            let message = "must be \"standard\", \"development\" or \"debug\"";
            return Err(Rejection::at("/kind", message));
        }
    };
    let seconds = body.expires_in_seconds.map_or(usual, |s| s.0);
    if seconds > most {
        let message = format!("must be at most {most} for a {kind} token");
        return Err(Rejection::at("/expires_in_seconds", message));
    }
    let (secret, rest) = environment.random.split_at(32);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(secret);
    let secret = mint(&bytes);
    let new = NewToken {
        id: to_hex(rest.split_at(6).0),
        hash: TokenHash::of(&secret).hex(),
        role: body.role,
        label: body.label.0.clone(),
        kind,
        lifetime_ms: seconds * 1000,
    };
    let minted = Minted {
        id: new.id.clone(),
        secret: Some(secret),
        role: body.role,
        label: body.label.0,
        expires: environment.now.plus_millis(seconds * 1000),
    };
    let outcome = ledger::mint(new, environment.now);
    let mut wanted = Wanted::new(outcome, body.reason, None);
    wanted.minted = Some(minted);
    Ok(wanted)
}

fn withdraw(live: &Live, id: &str) -> Result<Outcome, Rejection> {
    let Some(proposal) = live.state.proposals.get(id) else {
        return Err(Rejection::Unknown("approval", id.to_owned()));
    };
    Ok(Outcome {
        action: "approval.withdraw",
        target: proposal.target.clone(),
        summary: format!("withdrawn: {}", proposal.summary),
        changes: vec![Change::EndProposal(id.to_owned())],
        alert: false,
        careful: false,
        held: None,
    })
}
