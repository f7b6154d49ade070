//! Roles (seed 001, "Access Control").

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// What every minted token starts with, so that secret scanners can find one that leaked.
pub const TOKEN_PREFIX: &str = "caro_";

/// What a token may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    ReleaseManager,
    /// Features, but no kill switches.
    EngineeringLead,
    /// Features whose stage is `development`.
    Engineer,
    /// Signals and guarded advance, for automation.
    Bot,
    /// Reading.
    Viewer,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::ReleaseManager,
        Self::EngineeringLead,
        Self::Engineer,
        Self::Bot,
        Self::Viewer,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReleaseManager => "release_manager",
            Self::EngineeringLead => "engineering_lead",
            Self::Engineer => "engineer",
            Self::Bot => "bot",
            Self::Viewer => "viewer",
        }
    }
}

/// A name that is no role's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be one of release_manager, engineering_lead, engineer, bot, viewer")]
pub struct RoleError;

impl FromStr for Role {
    type Err = RoleError;
    fn from_str(text: &str) -> Result<Self, RoleError> {
        let named = |role: &Self| role.as_str() == text;
        Self::ALL.into_iter().find(named).ok_or(RoleError)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
