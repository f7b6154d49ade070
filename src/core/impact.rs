//! What a change does to requesters: exact shares, by interval arithmetic on buckets, never by
//! sampling.
//!
//! Whoever is on no list has one uniform bucket for each rollout, independent of the others. So the
//! buckets of each rollout are cut where a threshold of before or after lies, each piece admits or
//! does not, and pieces of different rollouts multiply.

use serde::{Serialize, Serializer};

use super::bucket::{Bucket, RolloutHash, UnitHash};
use super::config::State;
use super::decide::decide_hashed;
use super::flags::{FeatureSet, Plan};
use super::ids::{FlagKey, Percentage};
use super::snapshot::{BuildId, Channel, Cohort, Release, Snapshot};
use super::sticky::Held;

/// Rollouts that are multiplied exactly: `100_000^6`, times a bucket more while a further rollout is
/// rounded, fits into 128 bits. What is further is rounded up, so that nobody who is concerned is
/// counted as nobody.
const EXACT_AXES: usize = 6;

/// Moves that are listed, the largest.
const MAX_MOVES: usize = 50;

/// A part of all requesters, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    parts: u128,
    whole: u128,
}

impl Share {
    const NONE: Self = Self { parts: 0, whole: 1 };

    /// Whether it is nobody at all.
    pub const fn is_zero(self) -> bool {
        self.parts == 0
    }

    /// Millionths of a percent, 0 to 100_000_000: rounded, but a share that is not zero is not
    /// shown as zero. Thousandths of a percent, which one rollout's shares are, come out exact.
    pub fn millionths(self) -> u64 {
        let (mut parts, mut whole) = (self.parts, self.whole.max(1));
        while whole > 1_000_000_000_000_000_000_000_000_000 {
            parts = parts.div_ceil(10);
            whole /= 10;
        }
        let scaled = (parts * 100_000_000 + whole / 2) / whole;
        let shown = u64::try_from(scaled).unwrap_or(u64::MAX);
        shown.max(u64::from(parts > 0))
    }
}

impl Serialize for Share {
    /// A number of percent.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let millionths = self.millionths();
        if millionths.is_multiple_of(1_000_000) {
            s.serialize_u64(millionths / 1_000_000)
        } else {
            s.serialize_f64(millionths as f64 / 1e6)
        }
    }
}

/// Requesters that go from one version to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Move {
    pub from: String,
    pub to: String,
    pub share: Share,
}

/// People who are on a list (members, allowlist, denied): each of them is decided, not estimated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Listed {
    pub people: u64,
    pub enter: u64,
    pub leave: u64,
    pub switch: u64,
}

/// What a change does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Impact {
    /// From stable to a beta.
    pub enter: Share,
    /// From a beta to stable.
    pub leave: Share,
    /// From one beta to another.
    pub switch: Share,
    pub stay: Share,
    /// The same by version, at most 50.
    pub moves: Vec<Move>,
    pub listed: Listed,
}

impl Impact {
    /// Whether it takes a beta away from anybody.
    pub const fn evicts(&self) -> bool {
        !self.leave.is_zero() || self.listed.leave > 0
    }

    /// Whether it gives anybody another beta than they have.
    pub const fn switches(&self) -> bool {
        !self.switch.is_zero() || self.listed.switch > 0
    }
}

/// What happens to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Enter,
    Leave,
    Switch,
    Stay,
}

pub(super) fn fate(before: &Snapshot, from: BuildId, after: &Snapshot, to: BuildId) -> Fate {
    let (Some(from), Some(to)) = (before.build(from), after.build(to)) else {
        return Fate::Stay;
    };
    if from.version == to.version {
        return Fate::Stay;
    }
    match (from.channel, to.channel) {
        (Channel::Stable, Channel::Stable) => Fate::Stay,
        (Channel::Stable, Channel::Beta) => Fate::Enter,
        (Channel::Beta, Channel::Stable) => Fate::Leave,
        (Channel::Beta, Channel::Beta) => Fate::Switch,
    }
}

/// Below which bucket a release admits who is on no list; 0: nobody. Mirrors `decide::admit`.
fn threshold(snapshot: &Snapshot, release: &Release) -> u32 {
    if release.stopped || snapshot.killed || release.state == State::Draft {
        return 0;
    }
    match release.within_cohorts {
        true => highest(Percentage::ZERO, &release.cohorts).min(release.configured.thousandths()),
        false => highest(release.configured, &release.cohorts),
    }
}

fn highest(percentage: Percentage, cohorts: &[Cohort]) -> u32 {
    let cohorts = cohorts.iter().map(|c| c.percentage);
    let most = cohorts.fold(percentage, Percentage::max);
    most.thousandths()
}

/// Buckets that are one and the same: a rollout's, under one salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    rollout: RolloutHash,
    /// Buckets under another salt are others. `false` throughout when both salts are equal.
    later: bool,
}

/// The pieces into which thresholds cut the buckets: the lowest bucket of each, and its size.
fn pieces(mut cuts: Vec<u32>) -> Vec<(u32, u32)> {
    cuts.push(0);
    cuts.push(Bucket::COUNT);
    cuts.sort_unstable();
    cuts.dedup();
    cuts.iter()
        .zip(cuts.iter().skip(1))
        .map(|(&low, &high)| (low, high - low))
        .collect()
}

/// The newest release that admits, by its place; larger than any: none.
type Place = usize;
const NOBODY: Place = usize::MAX;

/// The releases of one axis, before or after, with their thresholds.
type Side = Vec<(Place, u32)>;

/// What a change does to the releases that requesters get.
pub fn between(before: &Snapshot, after: &Snapshot) -> Impact {
    let salted = before.salt != after.salt;
    let mut axes: Vec<(Axis, Side, Side)> = Vec::new();
    for (snapshot, is_after) in [(before, false), (after, true)] {
        for (place, release) in snapshot.releases.iter().enumerate() {
            let axis = Axis {
                rollout: release.gate,
                later: is_after && salted,
            };
            let at = match axes.iter().position(|(a, ..)| *a == axis) {
                Some(at) => at,
                None => {
                    axes.push((axis, Vec::new(), Vec::new()));
                    axes.len() - 1
                }
            };
            if let Some((_, old, new)) = axes.get_mut(at) {
                let side = if is_after { new } else { old };
                side.push((place, threshold(snapshot, release)));
            }
        }
    }

    let mut whole: u128 = 1;
    let mut outcomes: Vec<((Place, Place), u128)> = vec![((NOBODY, NOBODY), 1)];
    let mut exact = 0;
    for (_, old, new) in &axes {
        let cuts = old.iter().chain(new).map(|(_, t)| *t).collect();
        let pieces = pieces(cuts);
        let splits = pieces.len() > 1;
        let rounded = splits && exact == EXACT_AXES;
        if splits && !rounded {
            exact += 1;
            whole *= u128::from(Bucket::COUNT);
        }
        let mut next: Vec<((Place, Place), u128)> = Vec::new();
        for (low, size) in pieces {
            let first = |side: &[(Place, u32)]| {
                let admits = side.iter().filter(|(_, threshold)| low < *threshold);
                admits.map(|(place, _)| *place).min().unwrap_or(NOBODY)
            };
            let (b, a) = (first(old), first(new));
            for ((b0, a0), weight) in &outcomes {
                let weight = match (splits, rounded) {
                    (false, _) => *weight,
                    (true, false) => weight * u128::from(size),
                    (true, true) => (weight * u128::from(size)).div_ceil(u128::from(Bucket::COUNT)),
                };
                let key = ((*b0).min(b), (*a0).min(a));
                match next.iter_mut().find(|(k, _)| *k == key) {
                    Some((_, sum)) => *sum += weight,
                    None => next.push((key, weight)),
                }
            }
        }
        outcomes = next;
    }
    summed(before, after, &outcomes, whole)
}

fn summed(
    before: &Snapshot,
    after: &Snapshot,
    outcomes: &[((Place, Place), u128)],
    whole: u128,
) -> Impact {
    let given = |snapshot: &Snapshot, place: Place| {
        let release = snapshot.releases.get(place);
        release.map_or(snapshot.stable, |release| release.build)
    };
    let none = Share { parts: 0, whole };
    let mut impact = Impact {
        enter: none,
        leave: none,
        switch: none,
        stay: none,
        moves: Vec::new(),
        listed: listed(before, after),
    };
    for ((b, a), weight) in outcomes {
        let (from, to) = (given(before, *b), given(after, *a));
        let sum = match fate(before, from, after, to) {
            Fate::Enter => &mut impact.enter,
            Fate::Leave => &mut impact.leave,
            Fate::Switch => &mut impact.switch,
            Fate::Stay => &mut impact.stay,
        };
        sum.parts += weight;
        let (Some(from), Some(to)) = (before.build(from), after.build(to)) else {
            continue;
        };
        if from.version == to.version || *weight == 0 {
            continue;
        }
        let (from, to) = (from.version.to_string(), to.version.to_string());
        match impact
            .moves
            .iter_mut()
            .find(|m| m.from == from && m.to == to)
        {
            Some(known) => known.share.parts += weight,
            None => impact.moves.push(Move {
                from,
                to,
                share: Share {
                    parts: *weight,
                    whole,
                },
            }),
        }
    }
    // The largest first: they are the ones to keep when there are too many.
    impact.moves.sort_by(|x, y| {
        let by_share = y.share.parts.cmp(&x.share.parts);
        by_share.then_with(|| (&x.from, &x.to).cmp(&(&y.from, &y.to)))
    });
    impact.moves.truncate(MAX_MOVES);
    impact
}

/// Everybody whose stored hash is known: it is all that a decision needs.
fn listed(before: &Snapshot, after: &Snapshot) -> Listed {
    let mut hashes: Vec<u128> = Vec::new();
    for snapshot in [before, after] {
        hashes.extend(snapshot.allowlist.iter());
        for release in &snapshot.releases {
            hashes.extend(release.deny.iter());
            let cohorts = release.cohorts.iter();
            hashes.extend(cohorts.flat_map(|cohort| cohort.members.iter()));
        }
    }
    hashes.sort_unstable();
    hashes.dedup();
    let mut listed = Listed {
        people: hashes.len() as u64,
        ..Listed::default()
    };
    if before.salt != after.salt {
        // Under the other salt they have another hash, which nobody knows.
        return listed;
    }
    for hash in hashes {
        let unit = UnitHash::new(hash.to_be_bytes());
        let from = decide_hashed(before, Some(&unit), &Held::default()).build;
        let to = decide_hashed(after, Some(&unit), &Held::default()).build;
        match fate(before, from, after, to) {
            Fate::Enter => listed.enter += 1,
            Fate::Leave => listed.leave += 1,
            Fate::Switch => listed.switch += 1,
            Fate::Stay => {}
        }
    }
    listed
}

/// For whom a feature turns on or off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct FeatureImpact {
    pub key: FlagKey,
    pub on: Share,
    pub off: Share,
}

/// What a change does to the features of a release; `None`: to everybody's. Only those that turn. Of
/// a feature with rules, a schedule or others that it waits for: to those whom nothing of that
/// concerns, because who that is lies in what they will say of themselves.
pub fn features(before: &Snapshot, after: &Snapshot, release: Option<&str>) -> Vec<FeatureImpact> {
    let set = |snapshot: &Snapshot| match release {
        Some(name) => snapshot.features(name).map(|(_, set)| set.clone()),
        None => snapshot.everybodys_features().map(|(_, set)| set.clone()),
    };
    match (set(before), set(after)) {
        (Some(old), Some(new)) => features_between((before, &old), (after, &new)),
        _ => Vec::new(),
    }
}

/// The same between two sets of features, such as those of two releases.
pub(super) fn features_between(
    (before, old): (&Snapshot, &FeatureSet),
    (after, new): (&Snapshot, &FeatureSet),
) -> Vec<FeatureImpact> {
    let salted = before.salt != after.salt;
    let mut keys: Vec<&FlagKey> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| {
            let (on, off) = turns(&Gates::of(old, key, false), &Gates::of(new, key, salted));
            let turned = !on.is_zero() || !off.is_zero();
            turned.then(|| FeatureImpact {
                key: key.clone(),
                on,
                off,
            })
        })
        .collect()
}

/// A rule as thresholds: on for who is below any of them.
struct Gates(Vec<(Axis, u32)>);

impl Gates {
    fn of(set: &FeatureSet, key: &FlagKey, later: bool) -> Self {
        let everybody = |on: bool| {
            let axis = Axis {
                rollout: set.cohort_gate,
                later,
            };
            Self(vec![(axis, if on { Bucket::COUNT } else { 0 })])
        };
        let flag = set.place(key.as_str()).and_then(|at| set.flags.get(at));
        match flag.map(|(_, flag)| &flag.plan) {
            None => everybody(false),
            Some(Plan::Constant(choice)) => everybody(choice.on),
            Some(Plan::Gate(gate)) => {
                let axis = |rollout| Axis { rollout, later };
                let cohorts = highest(Percentage::ZERO, &gate.cohorts);
                Self(vec![
                    (axis(gate.gate), gate.percentage.thousandths()),
                    (axis(set.cohort_gate), cohorts),
                ])
            }
        }
    }

    fn is_on(&self, cell: &[(Axis, u32)]) -> bool {
        self.0.iter().any(|(axis, threshold)| {
            let at = cell.iter().find(|(a, _)| a == axis);
            at.is_some_and(|(_, low)| low < threshold)
        })
    }
}

/// The shares that turn on and off. There are at most four axes with three pieces each.
fn turns(old: &Gates, new: &Gates) -> (Share, Share) {
    let mut axes: Vec<(Axis, Vec<u32>)> = Vec::new();
    for (axis, threshold) in old.0.iter().chain(&new.0) {
        match axes.iter_mut().find(|(a, _)| a == axis) {
            Some((_, cuts)) => cuts.push(*threshold),
            None => axes.push((*axis, vec![*threshold])),
        }
    }
    let mut cells: Vec<(Vec<(Axis, u32)>, u128)> = vec![(Vec::new(), 1)];
    let mut whole: u128 = 1;
    for (axis, cuts) in axes {
        whole *= u128::from(Bucket::COUNT);
        let pieces = pieces(cuts);
        cells = cells
            .iter()
            .flat_map(|(cell, weight)| {
                pieces.iter().map(move |(low, size)| {
                    let mut cell = cell.clone();
                    cell.push((axis, *low));
                    (cell, weight * u128::from(*size))
                })
            })
            .collect();
    }
    let mut on = Share {
        whole,
        ..Share::NONE
    };
    let mut off = on;
    for (cell, weight) in &cells {
        match (old.is_on(cell), new.is_on(cell)) {
            (false, true) => on.parts += weight,
            (true, false) => off.parts += weight,
            _ => {}
        }
    }
    (on, off)
}
