//! Conditions over what a requester says of themselves: the `if` of a flag's rules.
//!
//! A condition about an attribute that is missing, or of another type, does not hold; its `not`
//! therefore does.

use std::cmp::Ordering;

use semver::{Comparator, Op, Version, VersionReq};

use super::bucket::UnitHash;
use super::decode::{Decoder, Path};
use super::ids::CohortName;
use super::json::Json;

/// How deep `all`, `any` and `not` may be nested.
const MAX_DEPTH: usize = 8;

/// The most values or conditions in one list.
const MAX_ITEMS: usize = 100;

/// The most bytes of a text to compare with.
const MAX_TEXT: usize = 256;

/// One thing that a requester says of themselves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Attribute<'a> {
    Text(&'a str),
    Number(f64),
    Bool(bool),
}

impl<'a> Attribute<'a> {
    /// A member of an evaluation context; `None` for what nothing can be compared with.
    pub fn of(json: &'a Json) -> Option<Self> {
        match json {
            Json::String(text) => Some(Self::Text(text)),
            Json::Number(number) => Some(Self::Number(*number)),
            Json::Bool(bool) => Some(Self::Bool(*bool)),
            _ => None,
        }
    }
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    Text(String),
    Number(f64),
    Bool(bool),
}

impl Operand {
    fn is(&self, given: Attribute<'_>) -> bool {
        match (self, given) {
            (Self::Text(own), Attribute::Text(text)) => own == text,
            (Self::Number(own), Attribute::Number(number)) => *own == number,
            (Self::Bool(own), Attribute::Bool(bool)) => *own == bool,
            _ => false,
        }
    }
}

/// How an attribute is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Equal to one of these.
    In(Vec<Operand>),
    Prefix(String),
    Suffix(String),
    Contains(String),
    /// Compared with a number, which orderings hold.
    Number(f64, &'static [Ordering]),
    Semver(VersionRange),
    /// Whether it is there at all.
    Exists(bool),
}

/// What has to be so.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Attribute(String, Test),
    /// A member of this cohort, by name.
    Member(CohortName),
}

/// What conditions are asked of.
pub trait Subject {
    fn attribute(&self, name: &str) -> Option<Attribute<'_>>;
    fn hash(&self) -> Option<UnitHash>;
    /// Whether the requester is a member of a cohort that is switched on.
    fn is_member(&self, cohort: &CohortName) -> bool;
}

impl Condition {
    pub fn holds(&self, subject: &impl Subject) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|c| c.holds(subject)),
            Self::Any(conditions) => conditions.iter().any(|c| c.holds(subject)),
            Self::Not(condition) => !condition.holds(subject),
            Self::Attribute(name, test) => test.holds(subject.attribute(name)),
            Self::Member(cohort) => subject.is_member(cohort),
        }
    }

    /// Every cohort that is named, for the check that each is there.
    pub fn cohorts(&self) -> Vec<&CohortName> {
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().flat_map(Self::cohorts).collect()
            }
            Self::Not(condition) => condition.cohorts(),
            Self::Attribute(..) => Vec::new(),
            Self::Member(cohort) => vec![cohort],
        }
    }
}

impl Test {
    fn holds(&self, given: Option<Attribute<'_>>) -> bool {
        match (self, given) {
            (Self::Exists(wanted), given) => given.is_some() == *wanted,
            (_, None) => false,
            (Self::In(operands), Some(given)) => operands.iter().any(|o| o.is(given)),
            (Self::Prefix(own), Some(Attribute::Text(text))) => text.starts_with(own.as_str()),
            (Self::Suffix(own), Some(Attribute::Text(text))) => text.ends_with(own.as_str()),
            (Self::Contains(own), Some(Attribute::Text(text))) => text.contains(own.as_str()),
            (Self::Number(own, wanted), Some(Attribute::Number(number))) => number
                .partial_cmp(own)
                .is_some_and(|ordering| wanted.contains(&ordering)),
            (Self::Semver(range), Some(Attribute::Text(text))) => range.contains(text),
            _ => false,
        }
    }
}

/// A range of versions in Cargo's notation, such as `>=1.1.0-beta.1, <2`. Compared by precedence
/// (semver.org, 11) alone: `1.1.0-beta.2` lies in `>=1.0.0`, which a dependency's range would not
/// allow, because a requester has that version whether or not anyone would choose it.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRange(Vec<Comparator>);

impl VersionRange {
    /// # Errors
    /// Why it is no range.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parsed = VersionReq::parse(text).map_err(|e| e.to_string())?;
        Ok(Self(parsed.comparators))
    }

    /// Whether a version, with or without a `v`, lies in it. What is no version does not.
    pub fn contains(&self, text: &str) -> bool {
        let text = text.strip_prefix('v').unwrap_or(text);
        let Ok(version) = Version::parse(text) else {
            return false;
        };
        self.0.iter().all(|c| compares(c, &version))
    }
}

/// The lowest version that a comparator names, missing parts as 0.
fn floor(c: &Comparator) -> Version {
    let mut floor = Version::new(c.major, c.minor.unwrap_or(0), c.patch.unwrap_or(0));
    floor.pre = c.pre.clone();
    floor
}

/// The first version above those that a comparator's written parts stand for.
fn ceiling(major: u64, minor: Option<u64>, patch: Option<u64>) -> Version {
    match (minor, patch) {
        (None, _) => Version::new(major.saturating_add(1), 0, 0),
        (Some(minor), None) => Version::new(major, minor.saturating_add(1), 0),
        (Some(minor), Some(patch)) => Version::new(major, minor, patch.saturating_add(1)),
    }
}

fn compares(c: &Comparator, version: &Version) -> bool {
    let at_least = |v: &Version| version.cmp_precedence(v) != Ordering::Less;
    let below = |v: &Version| version.cmp_precedence(v) == Ordering::Less;
    // Pre-releases of the version above belong to that one: 2.0.0-beta.1 is not in 1.*.
    let under = |v: &Version| below(v) && (version.pre.is_empty() || !same_numbers(version, v));
    let floor = floor(c);
    let whole = c.minor.is_some() && c.patch.is_some();
    let above = ceiling(c.major, c.minor, c.patch);
    match c.op {
        Op::Exact if whole => version.cmp_precedence(&floor) == Ordering::Equal,
        Op::Exact | Op::Wildcard => at_least(&floor) && under(&above),
        Op::Greater if whole => version.cmp_precedence(&floor) == Ordering::Greater,
        Op::Greater => at_least(&above),
        Op::GreaterEq => at_least(&floor),
        Op::Less => below(&floor),
        Op::LessEq if whole => version.cmp_precedence(&floor) != Ordering::Greater,
        Op::LessEq => under(&above),
        Op::Tilde => at_least(&floor) && under(&ceiling(c.major, c.minor, None)),
        // The leftmost part that is not 0 stays.
        Op::Caret => {
            let above = match (c.major, c.minor, c.patch) {
                (0, Some(0), patch) => ceiling(0, Some(0), patch),
                (0, Some(minor), _) => ceiling(0, Some(minor), None),
                (major, _, _) => ceiling(major, None, None),
            };
            at_least(&floor) && under(&above)
        }
        _ => false,
    }
}

fn same_numbers(a: &Version, b: &Version) -> bool {
    (a.major, a.minor, a.patch) == (b.major, b.minor, b.patch)
}

impl Condition {
    /// Reads a condition: an object with `attribute` and one test, or with `all`, `any`, `not` or
    /// `cohort` alone.
    pub fn decode(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        Self::nested(d, json, at, 0)
    }

    fn nested(d: &mut Decoder, json: &Json, at: &Path<'_>, depth: usize) -> Option<Self> {
        if depth > MAX_DEPTH {
            d.report(at, format!("is nested deeper than {MAX_DEPTH}"));
            return None;
        }
        let mut o = d.object(json, at)?;
        let list = |d: &mut Decoder, json: &Json, at: &Path<'_>| {
            let read =
                |d: &mut Decoder, json: &Json, at: &Path<'_>| Self::nested(d, json, at, depth + 1);
            let items = d.list(json, at, read);
            short(d, items, at)
        };
        let mut found = Vec::new();
        found.extend(o.optional(d, "all", list).map(Self::All));
        found.extend(o.optional(d, "any", list).map(Self::Any));
        let not = o.optional(d, "not", |d, json, at| Self::nested(d, json, at, depth + 1));
        found.extend(not.map(|condition| Self::Not(Box::new(condition))));
        let cohort = o.optional(d, "cohort", |d, json, at| d.parse(json, at));
        found.extend(cohort.map(Self::Member));
        let name = o.optional(d, "attribute", |d, json, at| {
            let name = d.string(json, at)?;
            let good = !name.is_empty() && name.len() <= 64 && !name.chars().any(char::is_control);
            if !good {
                d.report(at, "must be 1 to 64 printable bytes");
            }
            good.then(|| name.to_owned())
        });
        let mut tests = Vec::new();
        let text = |d: &mut Decoder, json: &Json, at: &Path<'_>| text(d, json, at);
        let number = |d: &mut Decoder, json: &Json, at: &Path<'_>| match json {
            Json::Number(number) => Some(*number),
            _ => {
                d.report(at, format!("must be a number, not {}", json.kind()));
                None
            }
        };
        let is = o.optional(d, "is", operand);
        tests.extend(is.map(|operand| Test::In(vec![operand])));
        let one_of = o.optional(d, "in", |d, json, at| {
            let items = d.list(json, at, operand);
            short(d, items, at)
        });
        tests.extend(one_of.map(Test::In));
        tests.extend(o.optional(d, "prefix", text).map(Test::Prefix));
        tests.extend(o.optional(d, "suffix", text).map(Test::Suffix));
        tests.extend(o.optional(d, "contains", text).map(Test::Contains));
        for (key, orderings) in [
            ("less", &[Ordering::Less][..]),
            ("at_most", &[Ordering::Less, Ordering::Equal]),
            ("greater", &[Ordering::Greater]),
            ("at_least", &[Ordering::Greater, Ordering::Equal]),
        ] {
            let given = o.optional(d, key, number);
            tests.extend(given.map(|number| Test::Number(number, orderings)));
        }
        let range = o.optional(d, "semver", |d, json, at| {
            let range = VersionRange::parse(d.string(json, at)?);
            range
                .map_err(|e| d.report(at, format!("is no range of versions: {e}")))
                .ok()
        });
        tests.extend(range.map(Test::Semver));
        tests.extend(o.optional(d, "exists", Decoder::bool).map(Test::Exists));
        let before = d.count();
        o.finish(d);
        let many = tests.len() > 1;
        if let (Some(name), Some(test)) = (name, tests.pop()) {
            found.push(Self::Attribute(name, test));
        }
        if many || found.len() != 1 || !tests.is_empty() {
            if d.count() == before {
                d.report(
                    at,
                    "must be one of all, any, not, cohort, or an attribute with one test: is, in, \
                     prefix, suffix, contains, less, at_most, greater, at_least, semver, exists",
                );
            }
            return None;
        }
        found.pop()
    }
}

fn short<T>(d: &mut Decoder, items: Vec<T>, at: &Path<'_>) -> Option<Vec<T>> {
    if items.is_empty() || items.len() > MAX_ITEMS {
        d.report(at, format!("must have 1 to {MAX_ITEMS} items"));
        return None;
    }
    Some(items)
}

fn text(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<String> {
    let text = d.string(json, at)?;
    // An empty prefix would hold for every text.
    if text.is_empty() || text.len() > MAX_TEXT {
        d.report(at, format!("must be 1 to {MAX_TEXT} bytes long"));
        return None;
    }
    Some(text.to_owned())
}

fn operand(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Operand> {
    Some(match json {
        Json::String(_) => Operand::Text(text(d, json, at)?),
        Json::Number(number) => Operand::Number(*number),
        Json::Bool(bool) => Operand::Bool(*bool),
        _ => {
            d.report(at, "must be a string, a number or a boolean");
            return None;
        }
    })
}
