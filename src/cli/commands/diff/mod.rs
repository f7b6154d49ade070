//! `diff`: two configurations, or two releases of one, held against each other.

mod show;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::configuration::{self, Configuration, LIVE};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{bad, bold, good, plain, progress, warn};
use crate::core::compare::{Comparison, FeatureCount, Side, Tally};
use crate::core::config::Config;
use crate::core::identity::Unit;
use crate::core::impact::{Impact, Share, between};
use crate::core::snapshot::Snapshot;
use crate::core::stop::Stop;

use show::{part, percent, show};

/// What two configurations, or two releases, give otherwise: who enters, leaves, switches, and why.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout diff new.json --samples 1000 --tolerance 0.005    # live → new.json\n  caro-rollout diff --from old.json --to new.json --ids users.txt\n  caro-rollout diff --releases v1.0-beta v1.1-beta               # what each would give\n\nWith --json:\n  {\"from\", \"to\": {\"name\", \"revision\"}, \"stop\": \"none\" | \"all\" | \"releases\",\n   \"exact\": {\"enter\", \"leave\", \"switch\", \"stay\", \"moves\", \"listed\"}: percent,\n   \"sampled\", \"given\": null |\n    {\"ids\", \"enter\", \"leave\", \"switch\", \"stay\", \"builds\", \"flags\": counts,\n     \"features\": [{\"release\", \"key\", \"on\", \"off\", \"other\", \"exact\": null | {\"on\", \"off\"}}],\n     \"histograms\": [{\"kind\", \"name\", \"changed\": [20 counts]}],\n     \"groups\": [{\"kind\", \"name\", \"before\", \"after\", \"cause\", \"ids\", \"examples\"}],\n     \"outliers\": [{\"kind\", \"name\", \"cause\", \"id\", \"from\", \"to\", \"before\", \"after\", \"bucket\"}]},\n   \"changed\", \"tolerance\": shares from 0 to 1, \"within\": true | false}"
)]
pub struct Diff {
    /// What --from is compared with: a file, - for standard input, or live
    #[arg(conflicts_with = "to")]
    file: Option<String>,
    /// Before: a file, -, or live, the router's own [default: live]
    #[arg(long, value_name = "CONFIG")]
    from: Option<String>,
    /// After: a file, -, or live
    #[arg(long, value_name = "CONFIG")]
    to: Option<String>,
    /// Instead: two releases of one configuration (the file's, or live), as if each were alone
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], conflicts_with_all = ["from", "to"])]
    releases: Option<Vec<String>>,
    /// How many made-up ids are tried
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    samples: u64,
    /// Which made-up ids: the same seed has the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Real ids as well: a file with one a line, or -
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// The largest share that may get something else: 0.005 is 0.5 %
    #[arg(long, default_value = "0.005", value_parser = share)]
    tolerance: f64,
    /// How many outliers are shown of each kind
    #[arg(long, default_value_t = 10, value_name = "N")]
    outliers: usize,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "is no number".to_owned())?;
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err("must be a share from 0 to 1: 0.005 is 0.5 %".to_owned()),
    }
}

/// One of the two, ready to decide.
struct Ready {
    name: String,
    config: Config,
    snapshot: Snapshot,
}

impl Ready {
    fn side(&self) -> Side<'_> {
        Side {
            snapshot: &self.snapshot,
            config: &self.config,
        }
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "revision": self.config.revision })
    }
}

impl Diff {
    pub fn run(self, context: &Context) -> Result<Exit> {
        if self.samples == 0 && self.ids.is_none() {
            let failure = Failure::usage("there is nobody to compare for");
            return Err(failure.hint("give --samples, --ids, or both").into());
        }
        let (before, after, stop) = self.both(context)?;
        let given = match &self.ids {
            Some(file) => Some(configuration::ids(file)?),
            None => None,
        };
        let made_up = (0..self.samples).map(|n| format!("sample-{}-{n}", self.seed));
        let sampled =
            (self.samples > 0).then(|| self.tally(&before, &after, self.samples, made_up));
        let given = given.map(|ids| self.tally(&before, &after, ids.len() as u64, ids.into_iter()));
        let exact = between(&before.snapshot, &after.snapshot);

        let flags = |tally: &Tally| part(tally.flags, tally.ids);
        let whole = exact_builds(&exact) + sampled.as_ref().map_or(0.0, flags);
        let real = given
            .as_ref()
            .map_or(0.0, |tally| part(tally.builds, tally.ids) + flags(tally));
        let changed = whole.max(real).min(1.0);
        let within = changed <= self.tolerance;
        let answer = json!({
            "from": before.json(),
            "to": after.json(),
            "stop": stop,
            "exact": exact,
            "sampled": sampled.as_ref().map(population),
            "given": given.as_ref().map(population),
            "changed": changed,
            "tolerance": self.tolerance,
            "within": within,
        });
        context.out.answer(&answer, |out| {
            let name = |ready: &Ready| {
                let revision = ready.config.revision;
                bold(&format!("{} (revision {revision})", plain(&ready.name)))
            };
            out.line(format!("from {} to {}", name(&before), name(&after)));
            if stop != "none" {
                out.line(warn("an emergency stop is on, and counts for both"));
            }
            show(out, &answer, sampled.as_ref(), given.as_ref());
            let verdict = match within {
                true => good("within the tolerance:"),
                false => bad("beyond the tolerance:"),
            };
            let real = given.map(|_| format!(", {} of the given ids", percent(real)));
            out.line(format!(
                "{verdict} {} of everybody{} get something else, and {} may",
                percent(whole.min(1.0)),
                real.unwrap_or_default(),
                percent(self.tolerance)
            ));
        });
        Ok(if within { Exit::Ok } else { Exit::No })
    }

    /// What is compared, and which stop is on.
    fn both(&self, context: &Context) -> Result<(Ready, Ready, &'static str)> {
        let given = self.to.as_deref().or(self.file.as_deref());
        let (from, to) = match (&self.releases, &self.from, given) {
            (Some(_), _, one) => (one.unwrap_or(LIVE), None),
            (None, Some(from), to) => (from.as_str(), Some(to.unwrap_or(LIVE))),
            (None, None, Some(to)) => (LIVE, Some(to)),
            (None, None, None) => {
                let failure = Failure::usage("there is nothing to compare the router's with");
                return Err(failure
                    .hint("give a file, --from and --to, or --releases")
                    .into());
            }
        };
        let ids = self.ids.as_deref().and_then(|file| file.to_str());
        let sources = [Some(from), to, ids].into_iter().flatten();
        if sources.filter(|source| *source == "-").count() > 1 {
            return Err(Failure::usage("standard input can be read once").into());
        }
        let before = configuration::read(context, from)?;
        let after = to.map(|to| configuration::read(context, to)).transpose()?;
        let status = match from == LIVE || to == Some(LIVE) {
            true => context.router()?.get("/status.json")?,
            false => Value::Null,
        };
        let defaults = configuration::defaults()?;
        let ready = |name: String, config: Config| {
            let stop = configuration::stop(&status, &config);
            Ready {
                name,
                snapshot: Snapshot::new(&config, stop, &defaults),
                config,
            }
        };
        let (before, after) = match (&self.releases, after) {
            (None, Some(after)) => (
                ready(before.name, before.config),
                ready(after.name, after.config),
            ),
            (releases, _) => {
                let names = releases.as_deref().unwrap_or_default();
                let mut alone = names.iter().map(|name| alone(&before, name));
                let mut next = || alone.next().transpose();
                let (Some(one), Some(other)) = (next()?, next()?) else {
                    return Err(Failure::usage("two releases are compared").into());
                };
                (ready(one.name, one.config), ready(other.name, other.config))
            }
        };
        // Each has those of its own releases.
        let stop = match (&before.snapshot.stop, &after.snapshot.stop) {
            (Stop::None, Stop::None) => "none",
            (Stop::All { .. }, _) | (_, Stop::All { .. }) => "all",
            (Stop::Releases(_), _) | (_, Stop::Releases(_)) => "releases",
        };
        Ok((before, after, stop))
    }

    fn tally(
        &self,
        before: &Ready,
        after: &Ready,
        count: u64,
        ids: impl Iterator<Item = String>,
    ) -> Tally {
        let names = self.releases.as_deref();
        let renamed = match names {
            Some([old, new]) => Some((old.as_str(), new.as_str())),
            _ => None,
        };
        let now = configuration::now();
        let keep = self.outliers;
        let mut comparison = Comparison::new(before.side(), after.side(), renamed, now, keep);
        let bar = progress(count, "comparing");
        for id in ids {
            comparison.add(&id, &Unit::Id(&id));
            bar.inc(1);
        }
        drop(bar);
        comparison.finish()
    }
}

/// A configuration in which one release is the only one.
fn alone(all: &Configuration, name: &str) -> Result<Configuration> {
    let mut config = all.config.clone();
    config.releases.retain(|n, _| n.as_str() == name);
    if config.releases.is_empty() {
        let names = all.config.releases.keys().map(ToString::to_string);
        let names: Vec<String> = names.collect();
        let failure = Failure::missing(format!("{} has no release {name}", all.name));
        return Err(failure
            .hint(format!("there are: {}", names.join(", ")))
            .into());
    }
    Ok(Configuration {
        name: format!("{name} of {}", all.name),
        config,
    })
}

/// The share that gets another build, of those on no list. Another stable version is one, too.
fn exact_builds(impact: &Impact) -> f64 {
    let between_betas = [impact.enter, impact.leave, impact.switch];
    let sum = |shares: &mut dyn Iterator<Item = Share>| shares.map(Share::millionths).sum::<u64>();
    let moves = sum(&mut impact.moves.iter().map(|step| step.share));
    // Moves are the largest ones only, the others leave out those between stable versions.
    moves.max(sum(&mut between_betas.into_iter())) as f64 / 1e8
}

/// What was counted, as `--json` gives it.
fn population(tally: &Tally) -> Value {
    let mut answer = json!(tally);
    let features = tally.features.iter().map(|((release, key), count)| {
        let FeatureCount { on, off, other, .. } = count;
        let exact = count.exact.as_ref();
        let exact = exact.map(|exact| json!({ "on": exact.on, "off": exact.off }));
        json!({ "release": release, "key": key, "on": on, "off": off, "other": other, "exact": exact })
    });
    let outliers = tally.groups().into_iter().filter(|g| g.cause.is_outlier());
    let outliers = outliers.flat_map(|group| {
        let of_group = |example| {
            let mut outlier = json!(example);
            if let Value::Object(members) = &mut outlier {
                members.insert("kind".to_owned(), json!(group.decider.kind));
                members.insert("name".to_owned(), json!(group.decider.name));
                members.insert("cause".to_owned(), json!(group.cause));
            }
            outlier
        };
        group.examples.iter().map(of_group)
    });
    let more = [
        ("features", features.collect::<Value>()),
        ("groups", json!(tally.groups())),
        ("histograms", tally.histograms().map(|h| json!(h)).collect()),
        ("outliers", outliers.collect()),
    ];
    if let Value::Object(members) = &mut answer {
        members.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    answer
}
