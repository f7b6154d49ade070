//! The document in KV, as a person edits it. [`Config::parse`] either gives a configuration in
//! which everything holds together, or every problem there is, each with its path.

mod check;
mod experiment;
mod flag;
mod read;

pub use experiment::{Experiment, Goal, Metric};
pub use flag::{Feature, KINDS, Layer, Range, Rule, STAGES, Serve, Variant, boolean};

use super::bucket::Salt;
use super::decode::{Decoder, Problem};
use super::ids::{CohortName, FlagKey, IdError, Percentage, ReleaseName, Version};
use super::json::Json;
use super::members::Members;
use super::table::{Set, Table};

/// The version of the document's layout.
pub const SCHEMA: u64 = 1;

/// The largest document that people may write, in bytes: some 30_000 members. KV would take 25 MiB,
/// but a row of the ledger only 2 MB.
pub const MAX_BYTES: usize = 1 << 20;

/// What is kept free beyond that, so that the largest document can still be stopped: a stop changes
/// the state of every release.
pub const RESERVE_BYTES: usize = 64 << 10;

/// A platform for which builds are made, by the name in the asset's file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    LinuxAmd64,
    LinuxArm64,
    MacosIntel,
    MacosSilicon,
    WindowsAmd64,
}

impl Platform {
    pub const ALL: [Self; 5] = [
        Self::LinuxAmd64,
        Self::LinuxArm64,
        Self::MacosIntel,
        Self::MacosSilicon,
        Self::WindowsAmd64,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "linux-amd64",
            Self::LinuxArm64 => "linux-arm64",
            Self::MacosIntel => "macos-intel",
            Self::MacosSilicon => "macos-silicon",
            Self::WindowsAmd64 => "windows-amd64",
        }
    }

    /// What an executable's name ends with there.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::WindowsAmd64 => ".exe",
            _ => "",
        }
    }
}

impl std::str::FromStr for Platform {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|p| p.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "is not a platform; they are {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

/// What an installer must get, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// `None`: the template of the Worker's variables.
    pub url: Option<String>,
    /// Bytes, 1 to 4 GiB.
    pub size: u64,
    /// Lowercase hexadecimal SHA-256.
    pub sha256: String,
}

/// One published version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    pub assets: Table<Platform, Asset>,
    excluded: Set<Platform>,
    /// Platforms that were named, their assets right or wrong.
    declared: Set<Platform>,
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Listed, but offered to nobody by rollout.
    Draft,
    Active,
    /// Holds its percentage: who is in stays in.
    Paused,
    /// Offered to nobody, and its pinned paths are refused.
    Stopped,
    /// Holds its percentage, with the plan done.
    Complete,
}

impl State {
    const ALL: [Self; 5] = [
        Self::Draft,
        Self::Active,
        Self::Paused,
        Self::Stopped,
        Self::Complete,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Complete => "complete",
        }
    }
}

impl std::str::FromStr for State {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// A release: the name people steer. It offers one version, with the stable one as its fallback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub version: Version,
    pub percentage: Percentage,
    pub state: State,
    /// What its buckets are drawn from; kept when the release is renamed.
    pub rollout_id: String,
    pub cohorts: Vec<CohortName>,
    /// Whether the percentage is one of the cohorts' people, and of nobody else. Written `"mode": "and"`.
    pub within_cohorts: bool,
    /// The stage of its plan, as people are told.
    pub phase: Option<FlagKey>,
    pub deny: Members,
}

/// What an emergency stop does to a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnEmergency {
    #[default]
    Off,
    Keep,
}

/// Whose features: one release's, or everybody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureScope {
    /// Written `*`.
    All,
    Release(ReleaseName),
}

impl std::str::FromStr for FeatureScope {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "*" => Self::All,
            name => Self::Release(name.parse()?),
        })
    }
}

/// A named group: by members, by percentage, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    pub enabled: bool,
    /// Counted in the buckets of the release that the cohort is used for, so that a smaller
    /// cohort lies inside a larger one.
    pub percentage: Percentage,
    pub members: Members,
    /// Features that its people always get.
    pub features: CohortFeatures,
}

/// Which features a cohort's people always get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CohortFeatures {
    /// Written `["all"]`.
    All,
    Only(Vec<FlagKey>),
}

impl CohortFeatures {
    pub fn holds(&self, key: &FlagKey) -> bool {
        match self {
            Self::All => true,
            Self::Only(keys) => keys.contains(key),
        }
    }
}

/// Canary mode: who gets the newest release whatever its percentage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Canary {
    pub enabled: bool,
    pub allowlist: Members,
}

/// The switches that turn things off at once. Each is an OR: nothing else turns one back on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KillSwitches {
    pub telemetry_disabled: bool,
    pub llm_backends_disabled: bool,
    pub command_execution_disabled: bool,
    /// The whole canary: no release is offered to anyone.
    pub canary: bool,
    pub features: Set<FlagKey>,
    pub cohorts: Set<CohortName>,
}

impl KillSwitches {
    /// The switches that a client must know of, by name, with the feature of caro that each one
    /// turns off as well.
    pub fn client(&self) -> [(&'static str, bool, Option<&'static str>); 3] {
        [
            (
                "command_execution_disabled",
                self.command_execution_disabled,
                None,
            ),
            (
                "llm_backends_disabled",
                self.llm_backends_disabled,
                Some("embedded_backend"),
            ),
            (
                "telemetry_disabled",
                self.telemetry_disabled,
                Some("telemetry_opt_in"),
            ),
        ]
    }
}

/// Who has to agree to what, and what else holds for everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Reaching 100 % wants a second release manager.
    pub approve_full_rollout: bool,
    /// So does lifting an emergency stop.
    pub approve_clear_stop: bool,
    /// What lint calls an error stops a change that brings it.
    pub lint_blocks: bool,
    /// Whether requesters may ask to stay where they are when a percentage goes down.
    pub sticky: bool,
    /// Whether installers tell how it went.
    pub reports: bool,
    /// Who may evaluate by OFREP: by a name, the SHA-256 of a key. `None`: anybody.
    pub ofrep_keys: Option<Table<FlagKey, String>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            approve_full_rollout: false,
            approve_clear_stop: false,
            lint_blocks: false,
            sticky: true,
            reports: false,
            ofrep_keys: None,
        }
    }
}

/// Everything the edge needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub revision: u64,
    pub salt: Salt,
    /// The version everybody falls back to.
    pub stable: Version,
    pub versions: Table<Version, Build>,
    pub releases: Table<ReleaseName, Release>,
    pub features: Table<FeatureScope, Table<FlagKey, Feature>>,
    pub cohorts: Table<CohortName, Cohort>,
    /// Shares that are kept out of features, to compare with.
    pub holdouts: Table<FlagKey, Percentage>,
    pub experiments: Table<FlagKey, Experiment>,
    pub canary: Canary,
    pub kill_switches: KillSwitches,
    pub policy: Policy,
}

/// What is said of a document that is longer than it may be.
pub fn too_long(text: &str) -> String {
    format!("is {} bytes long; at most {MAX_BYTES} are read", text.len())
}

impl Config {
    /// Reads and checks a document. On failure: every problem found, at most about a hundred.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        if text.len() > MAX_BYTES + RESERVE_BYTES {
            return Err(vec![Problem {
                path: String::new(),
                message: too_long(text),
            }]);
        }
        let json = Json::parse(text).map_err(|problem| vec![problem])?;
        let mut d = Decoder::default();
        let config = read::config(&mut d, &json);
        if let Some(config) = &config {
            check::references(&mut d, config);
        }
        // Without a config a problem was reported, so the error side is taken.
        match (d.finish(()), config) {
            (Ok(()), Some(config)) => Ok(config),
            (Err(problems), _) => Err(problems),
            (Ok(()), None) => Err(Vec::new()),
        }
    }
}

/// Stands for a version that could not be read; what it refers to is not looked for.
const UNREADABLE: Version = Version::stable(0, 0, 0);

pub use read::check_url;
