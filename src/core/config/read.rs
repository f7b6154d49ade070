//! From JSON to the types of the document, field by field.

use super::{
    Asset, Build, Canary, Cohort, CohortFeatures, Config, KillSwitches, Policy, Release, SCHEMA,
    State, UNREADABLE,
};
use crate::core::bucket::{ALGORITHM, Salt};
use crate::core::decode::{Decoder, Path, hex};
use crate::core::ids::{CohortName, Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::members::Members;

/// The highest revision: the largest integer that JSON readers agree on.
const MAX_REVISION: u64 = (1 << 53) - 1;

/// Where a value could not be read the problem is already reported and a placeholder stands in,
/// so that the rest is still checked; a document with problems is never used.
pub(super) fn config(d: &mut Decoder, json: &Json) -> Option<Config> {
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
        d.table(json, at, |d, _, json, at| {
            d.table(json, at, super::flag::feature)
        })
    });
    let cohorts = o.optional(d, "cohorts", |d, json, at| {
        d.table(json, at, |d, _, json, at| cohort(d, json, at))
    });
    let holdouts = o.optional(d, "holdouts", |d, json, at| {
        d.table(json, at, |d, _, json, at| d.percentage(json, at))
    });
    let canary = o.optional(d, "canary", canary);
    let kill_switches = o.optional(d, "kill_switches", kill_switches);
    let experiments = o.optional(d, "experiments", |d, json, at| {
        d.table(json, at, super::experiment::experiment)
    });
    let policy = o.optional(d, "policy", policy);
    o.finish(d);
    Some(Config {
        revision: revision.unwrap_or_default(),
        salt: salt.unwrap_or(Salt::new([0; 16])),
        stable: stable.unwrap_or(UNREADABLE),
        versions: versions.unwrap_or_default(),
        releases: releases.unwrap_or_default(),
        features: features.unwrap_or_default(),
        cohorts: cohorts.unwrap_or_default(),
        holdouts: holdouts.unwrap_or_default(),
        experiments: experiments.unwrap_or_default(),
        canary: canary.unwrap_or_default(),
        kill_switches: kill_switches.unwrap_or_default(),
        policy: policy.unwrap_or_default(),
    })
}

fn policy(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Policy> {
    let mut o = d.object(json, at)?;
    let approvals = o.optional(d, "approvals", |d, json, at| {
        let mut o = d.object(json, at)?;
        let full = o.optional(d, "full_rollout", Decoder::bool);
        let clear = o.optional(d, "clear_stop", Decoder::bool);
        o.finish(d);
        Some(Policy {
            approve_full_rollout: full.unwrap_or(false),
            approve_clear_stop: clear.unwrap_or(false),
            ..Policy::default()
        })
    });
    let lint_blocks = o.optional(d, "lint", |d, json, at| match d.string(json, at)? {
        "report" => Some(false),
        "block" => Some(true),
        _ => {
            d.report(at, "must be \"report\" or \"block\"");
            None
        }
    });
    let sticky = o.optional(d, "sticky", Decoder::bool);
    let reports = o.optional(d, "reports", Decoder::bool);
    let ofrep_keys = o.optional(d, "ofrep", |d, json, at| {
        let mut o = d.object(json, at)?;
        let keys = o.required(d, "keys", |d, json, at| {
            d.table(json, at, |d, _, json, at| {
                let text = d.string(json, at)?;
                if hex::<32>(text).is_none() {
                    d.report(
                        at,
                        "must be the SHA-256 of a key: 64 lowercase hexadecimal digits",
                    );
                }
                Some(text.to_owned())
            })
        });
        o.finish(d);
        keys
    });
    o.finish(d);
    Some(Policy {
        sticky: sticky.unwrap_or(true),
        reports: reports.unwrap_or(false),
        ofrep_keys,
        lint_blocks: lint_blocks.unwrap_or(false),
        ..approvals.unwrap_or_default()
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
pub fn check_url(d: &mut Decoder, url: &str, at: &Path<'_>) -> bool {
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
    let phase = o.optional(d, "phase", Decoder::parse);
    let mode = o.optional(d, "mode", |d, json, at| match d.string(json, at)? {
        "or" => Some(false),
        "and" => Some(true),
        _ => {
            d.report(at, "must be \"or\" (the cohorts, and the percentage of everybody) or \"and\" (the percentage of the cohorts)");
            None
        }
    });
    let deny = o.optional(d, "deny", |d, json, at| Some(Members::decode(d, json, at)));
    o.finish(d);
    Some(Release {
        version: version.unwrap_or(UNREADABLE),
        percentage: percentage.unwrap_or(Percentage::ZERO),
        state: state.unwrap_or(State::Draft),
        rollout_id: format!("release/{}", rollout_id.as_ref().unwrap_or(name)),
        cohorts: cohorts.unwrap_or_default(),
        within_cohorts: mode.unwrap_or(false),
        phase,
        deny: deny.unwrap_or_default(),
    })
}

pub(super) fn cohort_names(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Vec<CohortName>> {
    Some(d.list(json, at, Decoder::parse))
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
