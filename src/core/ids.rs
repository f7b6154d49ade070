//! Validated names and numbers. A value of one of these types is known to be well formed, so
//! nothing behind the boundary checks again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// Why a name or number was refused, in a sentence a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("must be 1 to {max} characters, not {len}")]
    Length { len: usize, max: usize },
    #[error("must start with a lowercase letter or a digit")]
    Start,
    #[error("may hold only lowercase letters, digits and {also}, not '{found}'")]
    Character { found: char, also: &'static str },
    #[error("must be a version such as 1.1.0-beta.2 (semver.org, without build metadata)")]
    Version,
    #[error("must be a percentage from 0 to 100")]
    PercentageRange,
    #[error("must have at most three decimals: a thousandth of a percent is the finest step")]
    PercentageDecimals,
}

fn check_name(text: &str, max: usize, also: &'static str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > max {
        return Err(IdError::Length {
            len: text.len(),
            max,
        });
    }
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(ok) {
        return Err(IdError::Start);
    }
    match text.chars().find(|&c| !ok(c) && !also.contains(c)) {
        Some(found) => Err(IdError::Character { found, also }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $max:literal, $also:literal) => {
        $(#[$doc])*
        // Shared: a snapshot has the names of features once for each release.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check_name(text, $max, $also)?;
                Ok(Self(text.into()))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                check_name(&text, $max, $also).map_err(D::Error::custom)?;
                Ok(Self(text.into()))
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name people steer, such as `v1.1.0-beta`: 1 to 64 characters.
    ReleaseName,
    64,
    ".-_"
);
name!(
    /// A feature's key, such as `validation_retry`: 1 to 64 characters, none of which needs
    /// percent-encoding in a URL (OFREP puts the key into the path).
    FlagKey,
    64,
    "._-"
);
name!(
    /// A cohort's name, such as `internal_test`: 1 to 64 characters.
    CohortName,
    64,
    "_-"
);

/// One published build, such as `1.1.0-beta.2`: a semantic version without build metadata, which
/// would need escaping in URLs and has no place in ordering.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// Longest accepted text. Real versions are under 30 characters.
    pub const MAX_LEN: usize = 64;

    /// A version without a pre-release part.
    pub const fn stable(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }

    /// Whether this is a pre-release in the sense of semver.org, section 9.
    pub fn is_prerelease(&self) -> bool {
        !self.0.pre.is_empty()
    }

    /// Whether `self` is `family` with one more numeric identifier: `1.1.0-beta.2` of `1.1.0-beta`.
    pub fn is_numbered_build_of(&self, family: &Version) -> bool {
        (self.0.major, self.0.minor, self.0.patch)
            == (family.0.major, family.0.minor, family.0.patch)
            && family.is_prerelease()
            && self
                .0
                .pre
                .as_str()
                .strip_prefix(family.0.pre.as_str())
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl FromStr for Version {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() > Self::MAX_LEN {
            return Err(IdError::Version);
        }
        match semver::Version::parse(text) {
            Ok(v) if v.build.is_empty() => Ok(Self(v)),
            _ => Err(IdError::Version),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A share of requesters, held as a whole number of thousandths of a percent (0..=100_000), so
/// that comparing it with a bucket is exact.
#[derive(Default, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percentage(u32);

impl Percentage {
    pub const ZERO: Self = Self(0);
    pub const FULL: Self = Self(100_000);

    /// From thousandths of a percent; `None` above 100_000.
    pub const fn from_thousandths(thousandths: u32) -> Option<Self> {
        if thousandths <= Self::FULL.0 {
            Some(Self(thousandths))
        } else {
            None
        }
    }

    /// Thousandths of a percent, 0..=100_000.
    pub const fn thousandths(self) -> u32 {
        self.0
    }
}

impl TryFrom<f64> for Percentage {
    type Error = IdError;

    /// Accepts exactly the numbers that have a decimal notation with at most three decimals:
    /// division by 1000 is correctly rounded (IEEE 754), so it gives back the same double.
    fn try_from(percent: f64) -> Result<Self, IdError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(IdError::PercentageRange);
        }
        // In range, so the cast neither saturates nor truncates.
        let thousandths = (percent * 1000.0).round() as u32;
        if f64::from(thousandths) / 1000.0 == percent {
            Ok(Self(thousandths))
        } else {
            Err(IdError::PercentageDecimals)
        }
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / 1000)?;
        let decimals = format!("{:03}", self.0 % 1000);
        match decimals.trim_end_matches('0') {
            "" => Ok(()),
            decimals => write!(f, ".{decimals}"),
        }
    }
}

impl Serialize for Percentage {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            s.serialize_u32(self.0 / 1000)
        } else {
            s.serialize_f64(f64::from(self.0) / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::try_from(f64::deserialize(d)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_three_decimals_and_a_range() {
        let parse = |x: f64| Percentage::try_from(x).map(Percentage::thousandths);
        assert_eq!(parse(0.0), Ok(0));
        assert_eq!(parse(0.1), Ok(100));
        assert_eq!(parse(0.5), Ok(500));
        assert_eq!(parse(12.345), Ok(12_345));
        assert_eq!(parse(100.0), Ok(100_000));
        assert_eq!(parse(33.3333), Err(IdError::PercentageDecimals));
        assert_eq!(parse(100.0001), Err(IdError::PercentageRange));
        assert_eq!(parse(-0.001), Err(IdError::PercentageRange));
        assert_eq!(parse(f64::NAN), Err(IdError::PercentageRange));
    }

    #[test]
    fn every_thousandth_survives_its_decimal_notation() {
        for t in 0..=100_000 {
            let p = Percentage::from_thousandths(t).unwrap();
            let read: f64 = serde_json::to_string(&p).unwrap().parse().unwrap();
            assert_eq!(Percentage::try_from(read), Ok(p));
            assert_eq!(p.to_string(), serde_json::to_string(&p).unwrap());
        }
    }

    #[test]
    fn names_are_lowercase_and_bounded() {
        assert!("v1.1.0-beta".parse::<ReleaseName>().is_ok());
        assert!("validation_retry".parse::<FlagKey>().is_ok());
        assert!("".parse::<FlagKey>().is_err());
        assert!("_x".parse::<FlagKey>().is_err());
        assert!("Beta".parse::<CohortName>().is_err());
        assert!("a b".parse::<ReleaseName>().is_err());
        assert!("bét".parse::<ReleaseName>().is_err());
        assert!("a".repeat(65).parse::<ReleaseName>().is_err());
    }

    #[test]
    fn numbered_builds_belong_to_their_family() {
        let v = |t: &str| t.parse::<Version>().unwrap();
        assert!(v("1.1.0-beta.2").is_numbered_build_of(&v("1.1.0-beta")));
        assert!(!v("1.1.0-beta.2.1").is_numbered_build_of(&v("1.1.0-beta")));
        assert!(!v("1.1.0-beta.x").is_numbered_build_of(&v("1.1.0-beta")));
        assert!(!v("1.1.0-beta2").is_numbered_build_of(&v("1.1.0-beta")));
        assert!(!v("1.1.1-beta.2").is_numbered_build_of(&v("1.1.0-beta")));
        assert!(!v("1.1.0").is_numbered_build_of(&v("1.1.0")));
        assert!("1.1.0+build".parse::<Version>().is_err());
        assert!("1.1".parse::<Version>().is_err());
    }
}
