//! The document in KV, as a person edits it. [`Config::parse`] either gives a configuration in
//! which everything holds together, or every problem there is, each with its path.

use super::bucket::{ALGORITHM, Salt};
use super::decode::{Decoder, Json, Path, Problem, hex};
use super::ids::{CohortName, FlagKey, Percentage, ReleaseName, Version};
use super::members::Members;
use super::table::{Set, Table};

/// The version of the document's layout.
pub const SCHEMA: u64 = 1;

/// The largest document that is read, in bytes. KV would take 25 MiB; an isolate would not.
pub const MAX_BYTES: usize = 4 << 20;

/// The highest revision: the largest integer that JSON readers agree on.
const MAX_REVISION: u64 = (1 << 53) - 1;

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
    pub deny: Members,
}

/// What an emergency stop does to a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnEmergency {
    #[default]
    Off,
    Keep,
}

/// A boolean feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// `false` kills it for everybody.
    pub enabled: bool,
    pub percentage: Percentage,
    /// Who always gets it.
    pub cohorts: Vec<CohortName>,
    /// What its buckets are drawn from; kept when the feature is renamed.
    pub rollout_id: String,
    pub on_emergency: OnEmergency,
}

/// Whose features: one release's, or everybody's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeatureScope {
    /// Written `*`.
    All,
    Release(ReleaseName),
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

/// Everything the edge needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub revision: u64,
    pub salt: Salt,
    /// The version everybody falls back to.
    pub stable: Version,
    pub versions: Table<Version, Build>,
    pub releases: Table<ReleaseName, Release>,
    pub features: Table<FeatureScope, Table<FlagKey, Feature>>,
    pub cohorts: Table<CohortName, Cohort>,
    pub canary: Canary,
    pub kill_switches: KillSwitches,
}

impl Config {
    /// Reads and checks a document. On failure: every problem found, at most about a hundred.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        if text.len() > MAX_BYTES {
            return Err(vec![Problem {
                path: String::new(),
                message: format!("is {} bytes long; at most {MAX_BYTES} are read", text.len()),
            }]);
        }
        let json = Json::parse(text).map_err(|problem| vec![problem])?;
        let mut d = Decoder::default();
        let config = decode(&mut d, &json);
        if let Some(config) = &config {
            check_references(&mut d, config);
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

/// Where a value could not be read the problem is already reported and a placeholder stands in,
/// so that the rest is still checked; a document with problems is never used.
fn decode(d: &mut Decoder, json: &Json) -> Option<Config> {
    let root = Path::Root;
    let mut o = d.object(json, &root)?;
    o.required(d, "schema", |d, json, at| {
        d.integer(json, at, SCHEMA, SCHEMA)
    });
    o.optional(d, "algorithm", |d, json, at| {
        d.integer(json, at, ALGORITHM, ALGORITHM)
    });
    let revision = o.required(d, "revision", |d, json, at| {
        d.integer(json, at, 0, MAX_REVISION)
    });
    let salt = o.required(d, "salt", |d, json, at| {
        let salt = hex(d.string(json, at)?).map(Salt::new);
        if salt.is_none() {
            d.report(at, "must be 32 lowercase hexadecimal digits");
        }
        salt
    });
    let stable = o.required(d, "stable", |d, json, at| d.parse(json, at));
    let versions = o.required(d, "versions", |d, json, at| {
        d.table(json, at, |d, _, json, at| build(d, json, at))
    });
    let releases = o.optional(d, "releases", |d, json, at| d.table(json, at, release));
    let features = o.optional(d, "features", |d, json, at| {
        d.table(json, at, |d, _, json, at| d.table(json, at, feature))
    });
    let cohorts = o.optional(d, "cohorts", |d, json, at| {
        d.table(json, at, |d, _, json, at| cohort(d, json, at))
    });
    let canary = o.optional(d, "canary", canary);
    let kill_switches = o.optional(d, "kill_switches", kill_switches);
    for later in ["experiments", "policy"] {
        o.optional(d, later, |d, json, at| {
            if !d.entries(json, at)?.is_empty() {
                d.report(at, "must be {}: this router does not read it yet");
            }
            Some(())
        });
    }
    o.finish(d);
    Some(Config {
        revision: revision.unwrap_or_default(),
        salt: salt.unwrap_or(Salt::new([0; 16])),
        stable: stable.unwrap_or(UNREADABLE),
        versions: versions.unwrap_or_default(),
        releases: releases.unwrap_or_default(),
        features: features.unwrap_or_default(),
        cohorts: cohorts.unwrap_or_default(),
        canary: canary.unwrap_or_default(),
        kill_switches: kill_switches.unwrap_or_default(),
    })
}

fn build(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Build> {
    let mut build = Build::default();
    let Some(mut o) = d.object(json, at) else {
        return Some(build);
    };
    o.required(d, "assets", |d, json, at| {
        for (name, json) in d.entries(json, at)? {
            let at = at.key(name);
            if let Some(platform) = d.parse_text(name, &at) {
                build.declared.insert(platform, ());
                if let Some(asset) = asset(d, json, &at) {
                    build.assets.insert(platform, asset);
                }
            }
        }
        Some(())
    });
    o.optional(d, "excluded_platforms", |d, json, at| {
        build.excluded = d.set(json, at);
        Some(())
    });
    o.finish(d);
    for platform in build.declared.keys() {
        if build.excluded.contains(platform) {
            let name = platform.as_str();
            d.report(at, format!("both has and excludes {name}; drop one"));
        }
    }
    Some(build)
}

fn asset(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Asset> {
    let mut o = d.object(json, at)?;
    let url = o.optional(d, "url", |d, json, at| {
        let url = d.string(json, at)?;
        check_url(d, url, at).then(|| url.to_owned())
    });
    let size = o.required(d, "size", |d, json, at| d.integer(json, at, 1, 1 << 32));
    let sha256 = o.required(d, "sha256", |d, json, at| {
        let text = d.string(json, at)?;
        match hex::<32>(text) {
            None => d.report(at, "must be 64 lowercase hexadecimal digits"),
            Some(hash) if hash == [0; 32] => {
                d.report(at, "is a placeholder; write the asset's own SHA-256");
            }
            Some(_) => return Some(text.to_owned()),
        }
        None
    });
    o.finish(d);
    Some(Asset {
        url,
        size: size?,
        sha256: sha256?,
    })
}

/// A URL ends up inside a script, so it is held to characters that need no quoting in any shell,
/// and to transports that an attacker on the path cannot change: HTTPS, or HTTP to this machine.
pub(super) fn check_url(d: &mut Decoder, url: &str, at: &Path<'_>) -> bool {
    let host = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = match authority.strip_prefix("[::1]") {
            Some(port) => return port.is_empty() || port.starts_with(':'),
            None => authority.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host == "127.0.0.1"
    };
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:%?&=+,@[]".contains(&b);
    let complaint = if !(url.strip_prefix("https://").is_some_and(|r| !r.is_empty())
        || url.strip_prefix("http://").is_some_and(host))
    {
        "must start with https:// (or http://localhost for a trial)"
    } else if url.len() > 2048 {
        "must be at most 2048 characters long"
    } else if !url.bytes().all(safe) {
        "may hold only letters, digits and -._~/:%?&=+,@[] (percent-encode the rest)"
    } else {
        return true;
    };
    d.report(at, complaint);
    false
}

fn release(d: &mut Decoder, name: &ReleaseName, json: &Json, at: &Path<'_>) -> Option<Release> {
    let mut o = d.object(json, at)?;
    let version = o.required(d, "version", |d, json, at| d.parse(json, at));
    let percentage = o.required(d, "percentage", Decoder::percentage);
    let state = o.required(d, "state", |d, json, at| d.parse(json, at));
    let rollout_id = o.optional(d, "rollout_id", |d, json, at| {
        d.parse::<ReleaseName>(json, at)
    });
    let cohorts = o.optional(d, "cohorts", cohort_names);
    let deny = o.optional(d, "deny", |d, json, at| Some(Members::decode(d, json, at)));
    o.finish(d);
    Some(Release {
        version: version.unwrap_or(UNREADABLE),
        percentage: percentage.unwrap_or(Percentage::ZERO),
        state: state.unwrap_or(State::Draft),
        rollout_id: format!("release/{}", rollout_id.as_ref().unwrap_or(name)),
        cohorts: cohorts.unwrap_or_default(),
        deny: deny.unwrap_or_default(),
    })
}

fn cohort_names(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Vec<CohortName>> {
    Some(d.list(json, at, Decoder::parse))
}

impl std::str::FromStr for FeatureScope {
    type Err = super::ids::IdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "*" => Self::All,
            name => Self::Release(name.parse()?),
        })
    }
}

fn feature(d: &mut Decoder, key: &FlagKey, json: &Json, at: &Path<'_>) -> Option<Feature> {
    let mut feature = Feature {
        enabled: true,
        percentage: Percentage::FULL,
        cohorts: Vec::new(),
        rollout_id: format!("feature/{key}"),
        on_emergency: OnEmergency::Off,
    };
    match json {
        Json::Bool(on) => feature.enabled = *on,
        Json::Object(_) => {
            let mut o = d.object(json, at)?;
            if let Some(enabled) = o.optional(d, "enabled", Decoder::bool) {
                feature.enabled = enabled;
            }
            if let Some(percentage) = o.optional(d, "percentage", Decoder::percentage) {
                feature.percentage = percentage;
            }
            if let Some(cohorts) = o.optional(d, "cohorts", cohort_names) {
                feature.cohorts = cohorts;
            }
            if let Some(id) =
                o.optional(d, "rollout_id", |d, json, at| d.parse::<FlagKey>(json, at))
            {
                feature.rollout_id = format!("feature/{id}");
            }
            o.optional(d, "on_emergency", |d, json, at| {
                match d.string(json, at)? {
                    "off" => feature.on_emergency = OnEmergency::Off,
                    "keep" => feature.on_emergency = OnEmergency::Keep,
                    _ => d.report(at, "must be \"off\" or \"keep\""),
                }
                Some(())
            });
            o.finish(d);
        }
        _ => d.report(at, "must be true, false or an object"),
    }
    Some(feature)
}

fn cohort(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Cohort> {
    let mut o = d.object(json, at)?;
    let enabled = o.required(d, "enabled", Decoder::bool);
    let percentage = o.optional(d, "percentage", Decoder::percentage);
    let members = o.optional(d, "members", |d, json, at| {
        Some(Members::decode(d, json, at))
    });
    let features = o.optional(d, "features", |d, json, at| {
        Some(match d.array(json, at)? {
            [Json::String(all)] if all == "all" => CohortFeatures::All,
            _ => CohortFeatures::Only(d.list(json, at, Decoder::parse)),
        })
    });
    o.finish(d);
    Some(Cohort {
        enabled: enabled.unwrap_or(false),
        percentage: percentage.unwrap_or(Percentage::ZERO),
        members: members.unwrap_or_default(),
        features: features.unwrap_or(CohortFeatures::Only(Vec::new())),
    })
}

fn canary(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Canary> {
    let mut o = d.object(json, at)?;
    let enabled = o.required(d, "enabled", Decoder::bool);
    let allowlist = o.optional(d, "allowlist", |d, json, at| {
        Some(Members::decode(d, json, at))
    });
    o.finish(d);
    Some(Canary {
        enabled: enabled.unwrap_or(false),
        allowlist: allowlist.unwrap_or_default(),
    })
}

fn kill_switches(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<KillSwitches> {
    let mut o = d.object(json, at)?;
    let mut switch = |d: &mut Decoder, key| o.optional(d, key, Decoder::bool).unwrap_or(false);
    let mut kill = KillSwitches {
        telemetry_disabled: switch(d, "telemetry_disabled"),
        llm_backends_disabled: switch(d, "llm_backends_disabled"),
        command_execution_disabled: switch(d, "command_execution_disabled"),
        canary: switch(d, "canary"),
        ..KillSwitches::default()
    };
    o.optional(d, "features", |d, json, at| {
        kill.features = d.set(json, at);
        Some(())
    });
    o.optional(d, "cohorts", |d, json, at| {
        kill.cohorts = d.set(json, at);
        Some(())
    });
    o.finish(d);
    Some(kill)
}

/// Everything that is named elsewhere in the document must be there.
fn check_references(d: &mut Decoder, config: &Config) {
    let root = Path::Root;
    check_stable(d, config, &root);

    let releases = root.key("releases");
    for (name, release) in config.releases.iter() {
        let at = releases.key(name.as_str());
        check_version(
            d,
            config,
            &release.version,
            release.state,
            &at.key("version"),
        );
        check_cohorts(d, config, &release.cohorts, &at.key("cohorts"));
    }

    let features = root.key("features");
    for (scope, flags) in config.features.iter() {
        let scope_name = match scope {
            FeatureScope::All => "*",
            FeatureScope::Release(name) => name.as_str(),
        };
        let at = features.key(scope_name);
        if matches!(scope, FeatureScope::Release(name) if !config.releases.contains(name)) {
            d.report(&at, "names a release that is not under /releases");
        }
        for (key, feature) in flags.iter() {
            let at = at.key(key.as_str());
            check_cohorts(d, config, &feature.cohorts, &at.key("cohorts"));
        }
    }

    let kill = root.key("kill_switches");
    let killed = config.kill_switches.cohorts.keys();
    check_cohorts(d, config, killed, &kill.key("cohorts"));
}

fn check_stable(d: &mut Decoder, config: &Config, root: &Path<'_>) {
    let at = root.key("stable");
    check_version(d, config, &config.stable, State::Active, &at);
    if config.stable.is_prerelease() {
        d.report(
            &at,
            "is a pre-release; the fallback of every requester must be a stable version",
        );
    }
}

fn check_version(d: &mut Decoder, config: &Config, version: &Version, state: State, at: &Path<'_>) {
    // Only where a problem was reported: somebody may really have written 0.0.0.
    if *version == UNREADABLE && d.count() > 0 {
        return;
    }
    let Some(build) = config.versions.get(version) else {
        let listed: Vec<_> = config.versions.keys().map(Version::to_string).collect();
        d.report(
            at,
            format!(
                "names version {version}, which is not under /versions; there: {}",
                listed.join(", ")
            ),
        );
        return;
    };
    if state == State::Draft {
        return;
    }
    for platform in Platform::ALL {
        if !build.declared.contains(&platform) && !build.excluded.contains(&platform) {
            let name = platform.as_str();
            d.report(
                &Path::Root
                    .key("versions")
                    .key(&version.to_string())
                    .key("assets")
                    .key(name),
                format!(
                    "is missing, and {at} offers this version; add the asset, or \"{name}\" to \
                     excluded_platforms"
                ),
            );
        }
    }
}

fn check_cohorts<'a>(
    d: &mut Decoder,
    config: &Config,
    names: impl IntoIterator<Item = &'a CohortName>,
    at: &Path<'_>,
) {
    for name in names {
        if !config.cohorts.contains(name) {
            d.report(
                at,
                format!("names the cohort {name}, which is not under /cohorts"),
            );
        }
    }
}
