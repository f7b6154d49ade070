//! What becomes of requesters from one configuration to another, each of them decided twice.

use super::flags::{Answer, Pair, changed, is_by_bucket};
use super::tally::{Cause, Decider, Example, Tally};
use crate::core::bucket::{Bucket, UnitHash};
use crate::core::config::Config;
use crate::core::decide::{Decision, admit, decide_hashed};
use crate::core::explain::{shown, steps};
use crate::core::flags::{Asking, FeatureSet, evaluate_hashed};
use crate::core::identity::Unit;
use crate::core::impact::{Fate, fate, features_between};
use crate::core::snapshot::Snapshot;
use crate::core::sticky::Held;
use crate::core::time::Timestamp;

/// One of the two that are compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub snapshot: &'a Snapshot,
    /// What the snapshot was made from.
    pub config: &'a Config,
}

impl<'a> Side<'a> {
    fn features(self, name: &str) -> Option<&'a FeatureSet> {
        self.snapshot.features(name).map(|(_, set)| set)
    }

    /// The rule of a release that decides about somebody, with a sentence.
    fn rule(self, release: &str, hash: &UnitHash) -> (&'static str, String) {
        let steps = self
            .snapshot
            .release(release)
            .map(|release| steps(self.snapshot, Some(self.config), release, Some(hash)).steps);
        let decides = steps.into_iter().flatten().find(|s| s.outcome == "decides");
        let absent = ("absent", "there is no such release".to_owned());
        decides.map_or(absent, |step| (step.rule, step.detail))
    }

    /// Whether a release gives somebody its build, unless a newer one does.
    fn admits(self, release: &str, hash: &UnitHash) -> bool {
        let none = Held::default();
        self.snapshot.release(release).is_some_and(|release| {
            release.is_offered(self.snapshot)
                && admit(self.snapshot, release, Some(hash), &none).is_ok()
        })
    }

    /// Whether somebody's build is that of a release.
    fn gives(self, release: &str, seen: &Seen) -> bool {
        let release = self.snapshot.release(release);
        release.is_some_and(|release| release.build == seen.decision.build)
    }

    fn bucket(self, release: &str, hash: &UnitHash) -> Option<Bucket> {
        let release = self.snapshot.release(release)?;
        Some(Bucket::of(hash, release.gate))
    }
}

/// Features that are compared, under a name.
struct Scope<'a> {
    name: String,
    before: &'a FeatureSet,
    after: &'a FeatureSet,
}

/// Two configurations, and what they do to whoever was added.
pub struct Comparison<'a> {
    before: Side<'a>,
    after: Side<'a>,
    now: Timestamp,
    /// Examples that are kept of each group.
    keep: usize,
    scopes: Vec<Scope<'a>>,
    tally: Tally,
}

/// One requester on one side.
struct Seen {
    hash: UnitHash,
    decision: Decision,
    version: String,
}

impl Seen {
    fn of(side: Side<'_>, unit: &Unit<'_>) -> Self {
        let hash = side.snapshot.hash(unit);
        let decision = decide_hashed(side.snapshot, Some(&hash), &Held::default());
        let build = side.snapshot.build(decision.build);
        Self {
            hash,
            decision,
            version: build.map_or_else(String::new, |build| build.version.to_string()),
        }
    }
}

impl<'a> Comparison<'a> {
    /// Features are compared by release, where both have it, or those of the one `renamed` names with those of the
    /// other. They are asked for at `now`, by somebody who says nothing of themselves.
    pub fn new(
        before: Side<'a>,
        after: Side<'a>,
        renamed: Option<(&str, &str)>,
        now: Timestamp,
        keep: usize,
    ) -> Self {
        let mut scopes = Vec::new();
        let mut add = |name: String, sets: (Option<&'a FeatureSet>, Option<&'a FeatureSet>)| {
            if let (Some(before), Some(after)) = sets {
                scopes.push(Scope {
                    name,
                    before,
                    after,
                });
            }
        };
        if let Some((old, new)) = renamed {
            let sets = (before.features(old), after.features(new));
            add(format!("{old} → {new}"), sets);
        } else {
            let everybodys = |side: Side<'a>| side.snapshot.everybodys_features();
            let sets = [before, after].map(|side| everybodys(side).map(|(_, set)| set));
            add("*".to_owned(), sets.into());
            for release in &before.snapshot.releases {
                let name = release.name.as_str();
                if after.snapshot.release(name).is_some() {
                    let sets = (before.features(name), after.features(name));
                    add(name.to_owned(), sets);
                }
            }
        }
        Self {
            before,
            after,
            now,
            keep,
            scopes,
            tally: Tally::default(),
        }
    }

    /// Decides one requester in both; `id` is what they are called in examples.
    pub fn add(&mut self, id: &str, unit: &Unit<'_>) {
        let (old, new) = (Seen::of(self.before, unit), Seen::of(self.after, unit));
        let (from, to) = (old.decision.build, new.decision.build);
        let tally = &mut self.tally;
        tally.ids += 1;
        let sum = match fate(self.before.snapshot, from, self.after.snapshot, to) {
            Fate::Enter => &mut tally.enter,
            Fate::Leave => &mut tally.leave,
            Fate::Switch => &mut tally.switch,
            Fate::Stay => &mut tally.stay,
        };
        *sum += 1;
        self.count_features(unit, &old.hash, &new.hash);
        if old.version != new.version {
            self.tally.builds += 1;
            self.build_changed(id, &old, &new);
        } else if self.flags_changed(id, unit, &old, &new) {
            self.tally.flags += 1;
        }
    }

    /// What was counted, with the exact shares of features beside it.
    pub fn finish(self) -> Tally {
        let mut tally = self.tally;
        for scope in self.scopes {
            let old = (self.before.snapshot, scope.before);
            for exact in features_between(old, (self.after.snapshot, scope.after)) {
                if [scope.before, scope.after]
                    .iter()
                    .all(|set| is_by_bucket(set, &exact.key))
                {
                    let key = (scope.name.clone(), exact.key.clone());
                    tally.features.entry(key).or_default().exact = Some(exact);
                }
            }
        }
        tally.drop_repeated();
        tally
    }

    fn count_features(&mut self, unit: &Unit<'_>, old: &UnitHash, new: &UnitHash) {
        let asking = Asking::unit(Some(*unit), self.now);
        for scope in &self.scopes {
            let was = evaluate_hashed(scope.before, &asking, || Some(*old));
            let is = evaluate_hashed(scope.after, &asking, || Some(*new));
            for pair in changed((scope.before, &was, old), (scope.after, &is, new)) {
                let key = (scope.name.clone(), pair.key.clone());
                let count = self.tally.features.entry(key).or_default();
                match pair.is_on() {
                    (false, true) => count.on += 1,
                    (true, false) => count.off += 1,
                    _ => count.other += 1,
                }
            }
        }
    }

    fn build_changed(&mut self, id: &str, old: &Seen, new: &Seen) {
        let (before, after) = (self.before, self.after);
        let salted = before.snapshot.salt != after.snapshot.salt;
        let (name, was, is, cause, bucket) = match self.concerned(old, new) {
            Some(name) => {
                let was = before.rule(&name, &old.hash);
                let is = after.rule(&name, &new.hash);
                let bucket = after.bucket(&name, &new.hash);
                let bucket = bucket.or_else(|| before.bucket(&name, &old.hash));
                let cause = cause([was.0, is.0], salted);
                (name, was, is, cause, bucket)
            }
            None => {
                let says = |seen: &Seen| {
                    let reason = seen.decision.reason.as_str();
                    (reason, format!("it gives {}", seen.version))
                };
                let gives = |r: &&crate::core::snapshot::Release| r.build == new.decision.build;
                let release = after.snapshot.releases.iter().find(gives);
                let name = release.map_or_else(|| "stable".to_owned(), |r| r.name.to_string());
                (name, says(old), says(new), Cause::Value, None)
            }
        };
        let decider = Decider {
            kind: "release",
            name,
        };
        let example = || Example {
            id: id.to_owned(),
            from: old.version.clone(),
            to: new.version.clone(),
            before: was.1,
            after: is.1,
            bucket: bucket.map(shown),
        };
        let rules = (was.0, is.0);
        self.tally
            .add(decider, rules, cause, bucket, self.keep, example);
    }

    /// The release for which somebody gets another build: the newest that they are in or out of otherwise. `None`:
    /// the same one gives another.
    fn concerned(&self, old: &Seen, new: &Seen) -> Option<String> {
        let (before, after) = (self.before, self.after);
        let newest = after.snapshot.releases.iter();
        let newest = newest.chain(&before.snapshot.releases);
        for name in newest.map(|release| release.name.as_str()) {
            let was = before.admits(name, &old.hash);
            match (was, after.admits(name, &new.hash)) {
                // A newer one may have been deleted, and comes later here.
                (true, true) if before.gives(name, old) && after.gives(name, new) => return None,
                (true, true) | (false, false) => {}
                _ => return Some(name.to_owned()),
            }
        }
        None
    }

    /// Whether a flag of the version that they have answers something else.
    fn flags_changed(&mut self, id: &str, unit: &Unit<'_>, old: &Seen, new: &Seen) -> bool {
        let asking = Asking::unit(Some(*unit), self.now);
        let sets = (
            self.before.features(&old.version),
            self.after.features(&new.version),
        );
        let (Some(before), Some(after)) = sets else {
            return false;
        };
        let was = evaluate_hashed(before, &asking, || Some(old.hash));
        let is = evaluate_hashed(after, &asking, || Some(new.hash));
        let pairs = changed((before, &was, &old.hash), (after, &is, &new.hash));
        let salted = self.before.snapshot.salt != self.after.snapshot.salt;
        for pair in &pairs {
            self.flag_changed(id, pair, salted);
        }
        !pairs.is_empty()
    }

    fn flag_changed(&mut self, id: &str, pair: &Pair<'_>, salted: bool) {
        let (before, after) = (pair.before.as_ref(), pair.after.as_ref());
        let bucket = after.and_then(Answer::bucket);
        let bucket = bucket.or_else(|| before.and_then(Answer::bucket));
        let decider = Decider {
            kind: "flag",
            name: pair.key.to_string(),
        };
        let reason = |side: Option<&Answer<'_>>| side.map_or("absent", Answer::reason);
        let variant = |side: Option<&Answer<'_>>| side.map_or("-".to_owned(), Answer::variant);
        let detail = |side: Option<&Answer<'_>>| {
            side.map_or_else(|| "there is no such flag".to_owned(), Answer::detail)
        };
        let example = || Example {
            id: id.to_owned(),
            from: variant(before),
            to: variant(after),
            before: detail(before),
            after: detail(after),
            bucket: bucket.map(shown),
        };
        let reasons = (reason(before), reason(after));
        let cause = pair.cause(salted);
        self.tally
            .add(decider, reasons, cause, bucket, self.keep, example);
    }
}

/// Why a release decides otherwise, by the rules that decided before and after.
fn cause(rules: [&str; 2], salted: bool) -> Cause {
    let either = |names: &[&str]| rules.iter().any(|rule| names.contains(rule));
    if either(&["draft", "emergency_stop", "kill"]) {
        Cause::Switch
    } else if either(&["denied", "allowlist", "cohort_member"]) {
        Cause::List
    } else if salted {
        Cause::Salt
    } else {
        Cause::Percentage
    }
}
