//! `POST /report`: how an installation went. `POST /api/events`: what clients tell of their sessions and commands.
//! Neither says who it was: what is kept are counters, of the release that the version is of.

use crate::core::bucket::UnitHash;
use crate::core::decide::{Decision, Reason};
use crate::core::decode::Problem as Fault;
use crate::core::evidence::{
    Arm, Batch, Fate, MAX_EVENTS, Observation, Of, Refusal, Setting, cohort_of, events, install,
};
use crate::core::identity::Unit;
use crate::core::ids::Version;
use crate::core::json::Json;
use crate::core::snapshot::Release;
use crate::core::time::Timestamp;
use crate::wire::evidence::{EventError, Taken};
use crate::wire::problem::{Problem, ProblemType};

use super::edge::Edge;
use super::ofrep::parse;
use super::reply::Reply;
use super::request::{Identity, Request};

/// What a client says that it is, where its events do not.
const VERSION: &str = "x-caro-version";

/// The longest report, in bytes: [`MAX_EVENTS`] of a client that says a lot.
pub const MAX_BYTES: usize = 256 << 10;

/// Errors beyond this are counted and not told.
const MAX_ERRORS: usize = 100;

/// What one isolate did with reports.
#[derive(Debug, Default)]
pub struct Reports {
    pub accepted: u64,
    pub duplicates: u64,
    pub ignored: u64,
    /// By [`Refusal`], in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Whole reports that were too long, came too often, or could not be counted.
    pub oversized: u64,
    pub limited: u64,
    pub failed: u64,
    /// Why the last one could not be counted, if it could not.
    pub error: Option<String>,
}

impl Reports {
    fn refuse(&mut self, why: Refusal) {
        let counters = Refusal::ALL.iter().zip(&mut self.refused);
        for (refusal, counter) in counters {
            *counter += u64::from(*refusal == why);
        }
    }

    /// How a sending went.
    pub fn sent<T>(&mut self, result: &Result<T, String>) {
        self.failed += u64::from(result.is_err());
        self.error = result.as_ref().err().cloned();
    }
}

/// Understands a report whose body had to be read first; `None`: it is longer than it may be. `is_install`: of an
/// installation, else events.
///
/// # Errors
/// The answer to one of which nothing can be used.
pub fn read(
    edge: &mut Edge,
    request: &impl Request,
    is_install: bool,
    body: Option<&[u8]>,
    now: Timestamp,
) -> Result<Batch, Reply> {
    let Some(body) = body else {
        edge.reports.oversized += 1;
        let detail = format!("At most {MAX_BYTES} bytes are taken here; send less at a time.");
        return Err(Reply::problem(ProblemType::BodyTooLarge, &detail));
    };
    let whole = |edge: &mut Edge, reply| {
        edge.reports.refuse(Refusal::Malformed);
        Err(reply)
    };
    let json = match parse(Some(body)) {
        Ok(json) => json,
        Err(reply) => return whole(edge, reply),
    };
    // Nothing but a cohort hangs on it: evidence is not thrown away for an id that cannot be used.
    let identity = Identity::of(request);
    let unit = identity.unit().ok().flatten();
    let version = request.header(VERSION);
    let of = |version: &str| of_version(edge, version, unit.as_ref());
    let setting = Setting {
        now,
        revision: edge.snapshot.revision.unwrap_or(0),
        of: &of,
        version: version.as_deref(),
    };
    if is_install {
        let read = install(&json, &setting);
        return read.map_err(|wrong| {
            let absurd = wrong.iter().all(|(why, _)| *why == Refusal::Absurd);
            edge.reports.refuse(match absurd {
                true => Refusal::Absurd,
                false => Refusal::Malformed,
            });
            unusable(wrong.into_iter().map(|(_, detail)| (String::new(), detail)))
        });
    }
    let list = match &json {
        Json::Array(list) if (1..=MAX_EVENTS).contains(&list.len()) => list,
        _ => {
            let detail = format!("must be an array of 1 to {MAX_EVENTS} events");
            let reply = unusable([(String::new(), detail)].into_iter());
            return whole(edge, reply);
        }
    };
    let batch = events(list, &setting);
    for refused in &batch.refused {
        edge.reports.refuse(refused.why);
    }
    if batch.refused.len() == list.len() {
        let faults = batch.refused.into_iter().take(MAX_ERRORS);
        return Err(unusable(
            faults.map(|refused| (format!("/{}", refused.index), refused.detail)),
        ));
    }
    Ok(batch)
}

/// The answer where nothing can be used.
fn unusable(faults: impl Iterator<Item = (String, String)>) -> Reply {
    let detail = "Nothing was counted; \"errors\" says what is wrong and where.";
    let faults = faults.map(|(path, message)| Fault { path, message });
    let problem = Problem::new(ProblemType::InvalidBody, detail).with_errors(faults.collect());
    Reply::of_problem(&problem).open()
}

/// The answer once it is counted. `fates`: what became of each observation, as [`Fate::letter`] says it.
pub fn answer(reports: &mut Reports, batch: Batch, fates: &[u8]) -> Reply {
    let told = batch.observations.iter().zip(fates);
    let told = told.filter(|(observation, _)| !observation.derived);
    let count = |fate: Fate| {
        let letter = fate.letter();
        let of = told.clone().filter(|(_, l)| char::from(**l) == letter);
        of.count()
    };
    let taken = Taken {
        accepted: count(Fate::Counted),
        duplicates: count(Fate::Duplicate),
        ignored: count(Fate::Unknown) + batch.ignored,
        refused: batch.refused.len(),
        errors: batch
            .refused
            .into_iter()
            .take(MAX_ERRORS)
            .map(|refused| EventError {
                index: refused.index,
                detail: refused.detail,
            })
            .collect(),
    };
    reports.accepted += taken.accepted as u64;
    reports.duplicates += taken.duplicates as u64;
    reports.ignored += taken.ignored as u64;
    // A struct of strings and numbers always serializes.
    let text = serde_json::to_string(&taken).unwrap_or_default();
    Reply::json(202, "no-store", text)
}

/// What somebody runs, by their version. `None`: neither a release nor the stable version; or people said that they
/// want to hear nothing.
fn of_version(edge: &Edge, version: &str, unit: Option<&Unit<'_>>) -> Option<Of> {
    let snapshot = &edge.snapshot;
    let version: Version = version.parse().ok()?;
    if snapshot.client_kills.contains(&"telemetry_disabled") {
        return None;
    }
    // Once a release has become the stable version, it is what the next one is compared with.
    if snapshot.build(snapshot.stable)?.version == version {
        return Some(Of::control());
    }
    let mut releases = snapshot.releases.iter();
    let release = releases.find(|release| {
        let build = snapshot.build(release.build);
        build.is_some_and(|build| build.version == version)
    })?;
    let hash = unit.map(|unit| snapshot.hash(unit));
    Some(of_release(edge, release, hash.as_ref()))
}

fn of_release(edge: &Edge, release: &Release, unit: Option<&UnitHash>) -> Of {
    let cohort = unit.zip(edge.config());
    let cohort = cohort.and_then(|(unit, config)| cohort_of(config, &release.name, unit));
    Of {
        release: release.name.to_string(),
        arm: Arm::Canary,
        cohort: cohort.map(|name| name.to_string()).unwrap_or_default(),
        platform: String::new(),
    }
}

/// Notes who was answered what by rollout, each once a day. Nobody is noted who cannot be told from others.
pub fn note_request(edge: &mut Edge, decision: Decision, unit: Option<&UnitHash>, now: Timestamp) {
    let (Some(unit), Some(revision)) = (unit, edge.snapshot.revision) else {
        return;
    };
    let Some(number) = edge.exposures.is_new_today(unit, now) else {
        return;
    };
    let snapshot = &edge.snapshot;
    let mut releases = snapshot.releases.iter();
    let release = releases.find(|release| release.build == decision.build);
    let (of, by_bucket) = match release {
        Some(release) if decision.build != snapshot.stable => (
            of_release(edge, release, Some(unit)),
            decision.reason == Reason::Bucket,
        ),
        _ => (
            Of::control(),
            // Of several releases the newest says why, and that may be stopped.
            matches!(
                decision.reason,
                Reason::Default | Reason::EmergencyStop | Reason::Kill
            ),
        ),
    };
    let seen = Observation::request(number, of, by_bucket, revision, now);
    edge.exposures.note_request(seen);
}
