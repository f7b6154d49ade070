//! Beta or stable for one requester, deterministically, with the reason.

use super::bucket::{Bucket, RolloutHash, UnitHash};
use super::config::State;
use super::identity::Unit;
use super::ids::{Percentage, Version};
use super::snapshot::{Build, BuildId, Channel, Cohort, Release, Snapshot};
use super::sticky::Held;

/// What somebody who was given this may keep: the release, unless it was given by name or to everybody
/// alike.
pub fn holdable(snapshot: &Snapshot, decision: Decision) -> Held {
    let mut held = Held::default();
    let mut releases = snapshot.releases.iter();
    let release = releases.find(|release| release.build == decision.build);
    if let (Reason::Bucket | Reason::Sticky, Some(release)) = (decision.reason, release) {
        held.push(release.gate, None);
    }
    held
}

/// Why a requester got what they got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// No configuration could be read; these are the safe defaults.
    Fallback,
    EmergencyStop,
    /// The kill switch of the whole canary.
    Kill,
    /// The path named the version or the release.
    Pinned,
    /// The path named the channel.
    Channel,
    Denied,
    /// On the canary's allowlist while canary mode is on.
    Allowlist,
    Cohort,
    Bucket,
    /// Nothing identifies the requester, and the rollout is below 100 %.
    NoUnit,
    /// They had it before and asked to keep it.
    Sticky,
    /// No release admits them.
    Default,
}

impl Reason {
    /// As in the header `X-Caro-Reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fallback => "fallback",
            Self::EmergencyStop => "emergency_stop",
            Self::Kill => "kill",
            Self::Pinned => "pinned",
            Self::Channel => "channel",
            Self::Denied => "denied",
            Self::Allowlist => "allowlist",
            Self::Cohort => "cohort",
            Self::Bucket => "bucket",
            Self::NoUnit => "no_unit",
            Self::Sticky => "sticky",
            Self::Default => "default",
        }
    }
}

/// What a requester gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub build: BuildId,
    pub reason: Reason,
}

/// By rollout. The newest release that admits the requester wins, else the stable version, with
/// the reason for which the newest release did not admit them.
pub fn decide(snapshot: &Snapshot, unit: Option<&Unit<'_>>) -> Decision {
    decide_held(snapshot, unit, &Held::default())
}

/// The same for somebody who brings along what they were given before.
pub fn decide_held(snapshot: &Snapshot, unit: Option<&Unit<'_>>, held: &Held) -> Decision {
    let unit = unit.map(|unit| UnitHash::of(&snapshot.salt, unit));
    decide_hashed(snapshot, unit.as_ref(), held)
}

/// The same for somebody whose hash is known, such as a cohort's member.
pub fn decide_hashed(snapshot: &Snapshot, unit: Option<&UnitHash>, held: &Held) -> Decision {
    let stable = |reason| Decision {
        build: snapshot.stable,
        reason,
    };
    if snapshot.is_fallback() {
        return stable(Reason::Fallback);
    }
    let mut refusal = None;
    for release in &snapshot.releases {
        if release.state == State::Draft {
            continue;
        }
        match admit(snapshot, release, unit, held) {
            Ok(reason) => {
                return Decision {
                    build: release.build,
                    reason,
                };
            }
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    stable(refusal.unwrap_or(Reason::Default))
}

/// Whether one release admits the requester, or why not; first rule that applies.
pub(super) fn admit(
    snapshot: &Snapshot,
    release: &Release,
    unit: Option<&UnitHash>,
    held: &Held,
) -> Result<Reason, Reason> {
    if release.stopped {
        return Err(Reason::EmergencyStop);
    }
    if snapshot.killed {
        return Err(Reason::Kill);
    }
    let Some(unit) = unit else {
        return if release.configured == Percentage::FULL && !release.within_cohorts {
            Ok(Reason::Bucket)
        } else {
            Err(Reason::NoUnit)
        };
    };
    if release.deny.contains(unit) {
        return Err(Reason::Denied);
    }
    if snapshot.allowlist.contains(unit) {
        return Ok(Reason::Allowlist);
    }
    let bucket = Bucket::of(unit, release.gate);
    let is_member = |c: &Cohort| c.members.contains(unit) || bucket.is_in(c.percentage);
    if release.within_cohorts {
        let admitted = bucket.is_in(release.configured) && release.cohorts.iter().any(is_member);
        if admitted {
            return Ok(Reason::Cohort);
        }
    } else if release.cohorts.iter().any(|c| c.members.contains(unit)) {
        return Ok(Reason::Cohort);
    } else if bucket.is_in(release.configured) {
        return Ok(Reason::Bucket);
    } else if release.cohorts.iter().any(is_member) {
        return Ok(Reason::Cohort);
    }
    if release.configured > Percentage::ZERO && held.variant(release.gate).is_some() {
        // At 0 nobody is left: that is how a release is taken back.
        Ok(Reason::Sticky)
    } else {
        Err(Reason::Default)
    }
}

/// Whether someone is in a cohort, by name or by their bucket.
pub(super) fn is_in_cohort(cohort: &Cohort, unit: &UnitHash, gate: RolloutHash) -> bool {
    cohort.members.contains(unit) || Bucket::of(unit, gate).is_in(cohort.percentage)
}

/// What a path names, when it names something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    Stable,
    Beta,
    /// An exact version, or the family of numbered builds (`1.1.0-beta`).
    Version(Version),
}

/// Why a named version is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not listed, or no release is on offer.
    Unknown,
    /// Stopped or killed.
    Stopped,
    /// Nothing is known, because no configuration could be read.
    Unavailable,
}

/// By name. Never by rollout: the same path gives everyone the same.
pub fn select(snapshot: &Snapshot, selector: &Selector) -> Result<Decision, Refusal> {
    let (build, reason) = match selector {
        Selector::Stable => (Some(snapshot.stable), Reason::Channel),
        Selector::Beta => (beta(snapshot)?, Reason::Channel),
        Selector::Version(version) => (version_id(snapshot, version), Reason::Pinned),
    };
    let found = build.and_then(|id| Some((id, snapshot.build(id)?)));
    match found {
        Some((_, Build { refused: true, .. })) => Err(Refusal::Stopped),
        Some((build, _)) => Ok(Decision {
            build,
            reason: if snapshot.is_fallback() {
                Reason::Fallback
            } else {
                reason
            },
        }),
        None if snapshot.is_fallback() => Err(Refusal::Unavailable),
        None => Err(Refusal::Unknown),
    }
}

/// The newest release on offer that is not stopped.
fn beta(snapshot: &Snapshot) -> Result<Option<BuildId>, Refusal> {
    let offered = || snapshot.releases.iter().filter(|r| r.state != State::Draft);
    match offered().find(|r| !r.stopped && !snapshot.killed) {
        Some(release) => Ok(Some(release.build)),
        None if offered().next().is_some() => Err(Refusal::Stopped),
        None => Ok(None),
    }
}

/// The exact version, else the highest numbered build of its family.
fn version_id(snapshot: &Snapshot, version: &Version) -> Option<BuildId> {
    let position = |test: &dyn Fn(&Build) -> bool| snapshot.builds.iter().rposition(test);
    position(&|b| b.version == *version)
        .or_else(|| position(&|b| b.version.is_numbered_build_of(version)))
        .map(BuildId)
}

/// The channel of a build, as in the header `X-Caro-Channel`.
pub fn channel(snapshot: &Snapshot, id: BuildId) -> Channel {
    snapshot.build(id).map_or(Channel::Stable, |b| b.channel)
}
