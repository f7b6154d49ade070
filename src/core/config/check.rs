//! Everything that the document names must be in it, and what is on offer must be complete.

use super::{Config, FeatureScope, Platform, State, UNREADABLE};
use crate::core::decode::{Decoder, Path};
use crate::core::ids::{CohortName, Version};

/// Everything that is named elsewhere in the document must be there.
pub(super) fn references(d: &mut Decoder, config: &Config) {
    let root = Path::Root;
    stable(d, config, &root);

    let releases = root.key("releases");
    for (name, release) in config.releases.iter() {
        let at = releases.key(name.as_str());
        version(
            d,
            config,
            &release.version,
            release.state,
            &at.key("version"),
        );
        cohorts(d, config, &release.cohorts, &at.key("cohorts"));
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
            cohorts(d, config, &feature.cohorts, &at.key("cohorts"));
        }
    }

    let kill = root.key("kill_switches");
    let killed = config.kill_switches.cohorts.keys();
    cohorts(d, config, killed, &kill.key("cohorts"));
}

fn stable(d: &mut Decoder, config: &Config, root: &Path<'_>) {
    let at = root.key("stable");
    version(d, config, &config.stable, State::Active, &at);
    if config.stable.is_prerelease() {
        d.report(
            &at,
            "is a pre-release; the fallback of every requester must be a stable version",
        );
    }
}

fn version(d: &mut Decoder, config: &Config, version: &Version, state: State, at: &Path<'_>) {
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

fn cohorts<'a>(
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
