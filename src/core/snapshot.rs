//! What the edge decides from: the configuration, the stop and the compiled-in defaults, resolved
//! once per change so that a request only compares numbers.

use super::bucket::{Purpose, RolloutHash, Salt, UnitHash};
use super::config::{Config, Platform, State};
use super::defaults::Defaults;
use super::flags::{FeatureSet, Features, cohorts};
use super::identity::Unit;
use super::ids::{FlagKey, Percentage, ReleaseName, Version};
use super::members::Members;
use super::stop::Stop;

/// `stable` or `beta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    Stable,
    Beta,
}

impl Channel {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Beta => "beta",
        }
    }
}

/// An asset with everything an installer needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    pub platform: Platform,
    pub url: String,
    /// Bytes and hexadecimal SHA-256. `None` only in the fallback snapshot, which knows neither:
    /// then the installer checks the `.sha256` file beside the asset.
    pub digest: Option<(u64, String)>,
}

/// A version that can be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    pub version: Version,
    pub channel: Channel,
    pub assets: Vec<Asset>,
    /// Whether an emergency stop or a kill refuses it by name as well.
    pub refused: bool,
}

/// Refers to one of a snapshot's builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuildId(pub(super) usize);

/// A cohort as one release or one set of features sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cohort {
    pub members: Members,
    pub percentage: Percentage,
}

/// A release, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub name: ReleaseName,
    pub build: BuildId,
    pub state: State,
    /// What the configuration says.
    pub configured: Percentage,
    /// By the emergency stop or by its own state.
    pub stopped: bool,
    pub(super) gate: RolloutHash,
    pub(super) deny: Members,
    pub(super) cohorts: Vec<Cohort>,
    pub(super) within_cohorts: bool,
    pub phase: Option<FlagKey>,
}

impl Release {
    /// The share that gets it now: nobody while it is stopped, killed or a draft.
    pub fn percentage(&self, snapshot: &Snapshot) -> Percentage {
        if self.is_offered(snapshot) {
            self.configured
        } else {
            Percentage::ZERO
        }
    }

    /// Whether anybody may get it by rollout.
    pub fn is_offered(&self, snapshot: &Snapshot) -> bool {
        !self.stopped && !snapshot.killed && self.state != State::Draft
    }
}

/// Refers to one of a snapshot's feature sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeatureSetId(pub(super) usize);

impl FeatureSetId {
    pub const fn number(self) -> u32 {
        // Far fewer than 2^32.
        self.0 as u32
    }
}

/// Everything that is decided from.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// `None`: no configuration could be read and these are the compiled-in defaults.
    pub revision: Option<u64>,
    pub stop: Stop,
    /// The kill switch of the whole canary.
    pub killed: bool,
    /// Kill switches that clients must know of and that are on.
    pub client_kills: Vec<&'static str>,
    /// Whether installers tell how it went.
    pub reports: bool,
    /// Whether a feature or a cohort is killed.
    pub(super) kills_features: bool,
    pub stable: BuildId,
    /// By version, lowest first.
    pub(super) builds: Vec<Build>,
    /// Newest version first.
    pub releases: Vec<Release>,
    pub(super) salt: Salt,
    /// Empty while canary mode is off.
    pub(super) allowlist: Members,
    /// Everybody's features first, then those of each release, in the order of `releases`.
    pub(super) feature_sets: Vec<FeatureSet>,
}

impl Snapshot {
    /// The answers that are safe when no configuration could be read. An emergency stop still
    /// turns every feature off.
    pub fn fallback(defaults: &Defaults, stop: Stop) -> Self {
        let assets = Platform::ALL.map(|platform| Asset {
            platform,
            url: defaults.assets.url(&defaults.stable, platform),
            digest: None,
        });
        let features = Features {
            defaults,
            config: None,
            stopped: stop != Stop::None,
        };
        Self {
            revision: None,
            killed: false,
            client_kills: Vec::new(),
            reports: false,
            kills_features: false,
            stable: BuildId(0),
            builds: vec![Build {
                version: defaults.stable.clone(),
                channel: Channel::Stable,
                assets: assets.into(),
                refused: false,
            }],
            releases: Vec::new(),
            // Never hashed with: nothing here depends on a bucket.
            salt: Salt::new([0; 16]),
            allowlist: Members::default(),
            feature_sets: vec![features.everybodys(everybodys_gate()).set],
            stop,
        }
    }

    /// Resolves a configuration.
    pub fn new(config: &Config, stop: Stop, defaults: &Defaults) -> Self {
        let killed = config.kill_switches.canary;
        let mut builds: Vec<Build> = config
            .versions
            .iter()
            .map(|(version, build)| Build {
                version: version.clone(),
                channel: channel(config, version),
                assets: build
                    .assets
                    .iter()
                    .map(|(&platform, asset)| Asset {
                        platform,
                        url: asset
                            .url
                            .clone()
                            .unwrap_or_else(|| defaults.assets.url(version, platform)),
                        digest: Some((asset.size, asset.sha256.clone())),
                    })
                    .collect(),
                refused: false,
            })
            .collect();
        // `builds` is sorted, because `versions` is; `Config` holds every version it names.
        let find = |version: &Version| BuildId(builds.partition_point(|b| b.version < *version));
        let stable = find(&config.stable);
        let mut releases: Vec<Release> = Vec::with_capacity(config.releases.len());
        for (name, release) in config.releases.iter() {
            let build = find(&release.version);
            let newer = releases.partition_point(|r| r.build > build);
            releases.insert(
                newer,
                Release {
                    name: name.clone(),
                    build,
                    state: release.state,
                    configured: release.percentage,
                    stopped: release.state == State::Stopped || stop.covers(name),
                    gate: RolloutHash::of(Purpose::Gate, &release.rollout_id),
                    deny: release.deny.clone(),
                    cohorts: cohorts(config, &release.cohorts),
                    within_cohorts: release.within_cohorts,
                    phase: release.phase.clone(),
                },
            );
        }

        let everything = killed || matches!(stop, Stop::All { .. });
        for (id, build) in builds.iter_mut().enumerate() {
            build.refused = id != stable.0
                && (everything && build.channel == Channel::Beta
                    || releases
                        .iter()
                        .any(|r| (r.stopped || killed) && belongs(id, &build.version, r)));
        }

        let mut features = Features {
            defaults,
            config: Some(config),
            stopped: matches!(stop, Stop::All { .. }),
        };
        // As things go, and stopped: releases share what they do not say themselves.
        let stopped = features.stopped;
        let bases = [false, true].map(|is_stopped| {
            let used = is_stopped == stopped || releases.iter().any(|r| r.stopped == is_stopped);
            features.stopped = is_stopped;
            used.then(|| features.everybodys(everybodys_gate()))
        });
        let base = |stopped: bool| bases.get(usize::from(stopped)).and_then(Option::as_ref);
        let mut feature_sets: Vec<FeatureSet> =
            base(stopped).map(|b| b.set.clone()).into_iter().collect();
        for release in &releases {
            let Some(base) = base(release.stopped) else {
                continue;
            };
            features.stopped = release.stopped;
            let own = features.over(base, &release.name, release.gate);
            feature_sets.push(own.unwrap_or_else(|| base.set.counted_in(release.gate)));
        }
        let switches = config.kill_switches.client();
        Self {
            revision: Some(config.revision),
            killed,
            client_kills: switches
                .into_iter()
                .filter_map(|(name, on, _)| on.then_some(name))
                .collect(),
            reports: config.policy.reports && !config.kill_switches.telemetry_disabled,
            kills_features: !config.kill_switches.features.is_empty()
                || !config.kill_switches.cohorts.is_empty(),
            stable,
            builds,
            releases,
            salt: config.salt,
            allowlist: if config.canary.enabled {
                config.canary.allowlist.clone()
            } else {
                Members::default()
            },
            feature_sets,
            stop,
        }
    }

    /// Whether nothing is stopped or killed, and a configuration was read.
    pub fn is_calm(&self) -> bool {
        let nothing = self.stop == Stop::None && !self.killed && self.client_kills.is_empty();
        nothing
            && !self.kills_features
            && !self.is_fallback()
            && !self.releases.iter().any(|r| r.stopped)
    }

    /// What a requester is known by here.
    pub fn hash(&self, unit: &Unit<'_>) -> UnitHash {
        UnitHash::of(&self.salt, unit)
    }

    /// Whether these are the compiled-in defaults.
    pub const fn is_fallback(&self) -> bool {
        self.revision.is_none()
    }

    pub fn build(&self, id: BuildId) -> Option<&Build> {
        self.builds.get(id.0)
    }

    pub fn release(&self, name: &str) -> Option<&Release> {
        self.releases.iter().find(|r| r.name.as_str() == name)
    }

    /// The features for a release's name or a version. A release's own come first; a version that
    /// no release offers, such as the stable one, gets everybody's. `None`: neither is listed.
    pub fn features(&self, name: &str) -> Option<(FeatureSetId, &FeatureSet)> {
        let id = match self.releases.iter().position(|r| r.name.as_str() == name) {
            Some(index) => index + 1,
            None => self.features_of_version(name)?,
        };
        Some((FeatureSetId(id), self.feature_sets.get(id)?))
    }

    /// The features of whoever runs no release.
    pub fn everybodys_features(&self) -> Option<(FeatureSetId, &FeatureSet)> {
        Some((FeatureSetId(0), self.feature_sets.first()?))
    }

    /// Where the features are of something that is not a release's name.
    fn features_of_version(&self, name: &str) -> Option<usize> {
        if self.is_fallback() {
            // Any name may be a release's that could not be read.
            return name.parse::<ReleaseName>().is_ok().then_some(0);
        }
        let version: Version = name.strip_prefix('v').unwrap_or(name).parse().ok()?;
        let build = self.builds.iter().position(|b| b.version == version)?;
        let offers = |r: &Release| r.build.0 == build;
        Some(self.releases.iter().position(offers).map_or(0, |i| i + 1))
    }
}

/// Where cohort percentages are counted for features that belong to no release.
fn everybodys_gate() -> RolloutHash {
    RolloutHash::of(Purpose::Cohort, "feature/*")
}

fn channel(config: &Config, version: &Version) -> Channel {
    let offered = config.releases.values().any(|r| r.version == *version);
    if *version != config.stable && (offered || version.is_prerelease()) {
        Channel::Beta
    } else {
        Channel::Stable
    }
}

/// Whether stopping the release means this build: it offers it, or the build carries its name.
fn belongs(id: usize, version: &Version, release: &Release) -> bool {
    let family: Option<Version> = release
        .name
        .as_str()
        .strip_prefix('v')
        .and_then(|name| name.parse().ok());
    release.build.0 == id
        || family.is_some_and(|f| *version == f || version.is_numbered_build_of(&f))
}
