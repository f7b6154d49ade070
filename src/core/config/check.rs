//! Everything that the document names must be in it, and what is on offer must be complete.

use super::{Config, Feature, FeatureScope, Platform, State, UNREADABLE};
use crate::core::decode::{Decoder, Path};
use crate::core::flags::order;
use crate::core::ids::{CohortName, FlagKey, Version};
use crate::core::table::Table;

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
            flag(d, config, scope, feature, &at);
        }
        links(d, config, scope, &at);
    }
    experiments(d, config, &root);
    layers(d, config, &root);

    size(d, config, &features);
    let kill = root.key("kill_switches");
    let killed = config.kill_switches.cohorts.keys();
    cohorts(d, config, killed, &kill.key("cohorts"));
}

/// The most features that an edge keeps ready: those of `*`, and for each release that has some of its
/// own both together. Measured for the memory and the time that an isolate has.
const MAX_RESOLVED: usize = 50_000;

fn size(d: &mut Decoder, config: &Config, at: &Path<'_>) {
    let own = |scope: &FeatureScope| {
        let experiments = config.experiments.values().filter(|e| e.scope == *scope);
        config.features.get(scope).map_or(0, Table::len) + experiments.count()
    };
    let everybodys = own(&FeatureScope::All);
    let mut scopes: Vec<_> = config.features.keys().collect();
    scopes.extend(config.experiments.values().map(|e| &e.scope));
    scopes.sort_unstable();
    scopes.dedup();
    let releases = scopes
        .into_iter()
        .filter(|scope| **scope != FeatureScope::All);
    let each = releases.map(|scope| everybodys + own(scope));
    let count = everybodys + each.sum::<usize>();
    if count > MAX_RESOLVED {
        d.report(
            at,
            format!(
                "would be {count} features to keep ready, those of \"*\" counted again for each \
                 release that has its own; at most {MAX_RESOLVED}: remove old ones, or releases"
            ),
        );
    }
}

/// The feature of that name that a scope sees: its own, or everybody's.
fn seen<'c>(config: &'c Config, scope: &FeatureScope, key: &FlagKey) -> Option<&'c Feature> {
    let scopes = [scope, &FeatureScope::All].into_iter();
    let mut tables = scopes.filter_map(|scope| config.features.get(scope));
    tables.find_map(|features| features.get(key))
}

/// What one feature names.
fn flag(d: &mut Decoder, config: &Config, scope: &FeatureScope, feature: &Feature, at: &Path<'_>) {
    for (key, wanted) in &feature.prerequisites {
        let parent = at.key("prerequisites");
        let at = parent.key(key.as_str());
        match seen(config, scope, key) {
            None => d.report(&at, "names a feature that is not under /features"),
            Some(other) => {
                let unknown = wanted.iter().find(|name| other.variant(name).is_none());
                if let Some(unknown) = unknown {
                    d.report(
                        &at,
                        format!("names {unknown}, which is no variant of {key}"),
                    );
                }
            }
        }
    }
    if let Some(key) = &feature.fallback
        && seen(config, scope, key).is_none()
    {
        let at = at.key("fallback");
        d.report(&at, "names a feature that is not under /features");
    }
    if let Some(name) = &feature.holdout
        && !config.holdouts.contains(name)
    {
        let at = at.key("holdout");
        d.report(&at, "names a holdout that is not under /holdouts");
    }
    let rules = at.key("rules");
    for (i, rule) in feature.rules.iter().enumerate() {
        let at = rules.index(i);
        cohorts(d, config, rule.when.cohorts(), &at.key("if"));
    }
}

/// No feature may wait for itself, through whatever others.
fn links(d: &mut Decoder, config: &Config, scope: &FeatureScope, at: &Path<'_>) {
    let mut merged: Table<&FlagKey, &Feature> = Table::default();
    for scope in [&FeatureScope::All, scope] {
        for (key, feature) in config.features.get(scope).into_iter().flat_map(Table::iter) {
            merged.insert(key, feature);
        }
    }
    let is_linked = |f: &&&Feature| !f.prerequisites.is_empty() || f.fallback.is_some();
    if !merged.values().any(|feature| is_linked(&feature)) {
        return;
    }
    let keys: Vec<&FlagKey> = merged.keys().copied().collect();
    let place = |key: &FlagKey| keys.binary_search(&key).ok();
    let mut asks: Vec<Vec<usize>> = vec![Vec::new(); merged.len()];
    for (own, feature) in merged.values().enumerate() {
        let others = feature
            .prerequisites
            .iter()
            .filter_map(|(key, _)| place(key));
        if let Some(asked) = asks.get_mut(own) {
            asked.extend(others);
        }
        // Whoever falls back is asked first.
        let fallback = feature.fallback.as_ref().and_then(place);
        if let Some(asked) = fallback.and_then(|other| asks.get_mut(other)) {
            asked.push(own);
        }
    }
    if let Err(place) = order(&asks) {
        let key = keys.get(place).map_or("", |key| key.as_str());
        d.report(
            &at.key(key),
            "waits for itself, through its prerequisites and fallbacks; take one of them out",
        );
    }
}

/// What experiments name. They are answered among the features, so their names are features' names.
fn experiments(d: &mut Decoder, config: &Config, root: &Path<'_>) {
    let at = root.key("experiments");
    for (key, experiment) in config.experiments.iter() {
        let at = at.key(key.as_str());
        if let FeatureScope::Release(name) = &experiment.scope
            && !config.releases.contains(name)
        {
            let at = at.key("release");
            d.report(&at, "names a release that is not under /releases");
        }
        if config
            .features
            .values()
            .any(|features| features.contains(key))
        {
            d.report(&at, "is the name of a feature as well; rename one of them");
        }
        if let Some(name) = &experiment.holdout
            && !config.holdouts.contains(name)
        {
            let at = at.key("holdout");
            d.report(&at, "names a holdout that is not under /holdouts");
        }
        let only = experiment.only.iter();
        cohorts(
            d,
            config,
            only.flat_map(|only| only.cohorts()),
            &at.key("if"),
        );
    }
}

/// Of features and experiments in one layer no two may have the same share: those that a release sees,
/// its own and everybody's.
fn layers(d: &mut Decoder, config: &Config, root: &Path<'_>) {
    let (features, experiments) = (root.key("features"), root.key("experiments"));
    let of_features = config.features.iter().flat_map(|(scope, features)| {
        let features = features.iter();
        features.map(move |(key, feature)| (scope, key, feature.layer.as_ref(), false))
    });
    let of_experiments = config.experiments.iter();
    let of_experiments = of_experiments.map(|(key, e)| (&e.scope, key, e.layer.as_ref(), true));
    let mut shares: Vec<_> = of_features
        .chain(of_experiments)
        .filter_map(|(scope, key, layer, is_experiment)| Some((layer?, scope, key, is_experiment)))
        .collect();
    shares.sort_by_key(|(layer, ..)| (&layer.name, layer.from));
    for (i, (layer, scope, key, is_experiment)) in shares.iter().enumerate() {
        let before = shares
            .iter()
            .take(i)
            .filter(|(other, ..)| other.name == layer.name && other.to > layer.from);
        let meets = |other: &FeatureScope| {
            other == *scope || *other == FeatureScope::All || **scope == FeatureScope::All
        };
        // A release's own feature stands in the place of everybody's of the same name.
        let mut before = before.filter(|(_, other, name, _)| meets(other) && name != key);
        if let Some((_, _, first, _)) = before.next() {
            let scope = match scope {
                FeatureScope::All => "*",
                FeatureScope::Release(name) => name.as_str(),
            };
            let at = features.key(scope);
            let at = if *is_experiment { &experiments } else { &at };
            let at = at.key(key.as_str());
            let message = format!(
                "has a share that overlaps with {first}'s of the layer {}",
                layer.name
            );
            d.report(&at.key("layer"), message);
        }
    }
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
