//! Releases: `rollout`, how many get one; `release`, which there are.

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::standing::named;
use crate::cli::Context;
use crate::cli::assets::{self, Measured, Place};
use crate::cli::change::{Ask, Change, ChangeArgs, make, percentage};
use crate::cli::configuration;
use crate::cli::failure::{Exit, Failure, failure_of};
use crate::cli::output::{bold, items, shown, text_of};
use crate::core::config::{Platform, check_url};
use crate::core::decode::{self, Decoder};
use crate::core::ids::{ReleaseName, Version};

/// Set the percentage of a release or a flag.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout rollout v1.1.0-beta 50 -m 'day two went well'\n  caro-rollout rollout intent_bar_v1_rollout 10\n  caro-rollout rollout v1.1.0-beta 50 --dry-run"
)]
pub struct Rollout {
    /// A release, or a flag's key
    name: String,
    /// 0 to 100, at most three decimals
    percent: String,
    /// Of a flag: of this release alone
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Rollout {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let percent = percentage(&self.percent)?;
        let status = context.router()?.get("/status.json")?;
        let mut releases = items(&status, "releases").iter();
        let (path, body) =
            if self.release.is_none() && releases.any(|r| text_of(r, "name") == self.name) {
                (
                    format!("/rollout/{}", self.name),
                    json!({ "percentage": percent }),
                )
            } else {
                let flag = super::flag::find(context, &self.name, self.release.as_deref())?;
                let body = json!({ (self.name.as_str()): { "percentage": percent } });
                (format!("/features/{}", flag.scope), body)
            };
        make(
            context,
            &Change::new("POST", path, body, Ask::Effect, &self.change),
        )
    }
}

/// Releases: list, show, add, set-version, delete.
#[derive(Debug, Subcommand)]
pub enum Release {
    /// Every release, the newest first
    #[command(
        after_help = "Example:\n  caro-rollout release list\n\nWith --json: {\"releases\": as GET /admin/releases has them, without a token as /status.json}"
    )]
    List(List),
    /// One release; to a release manager also its assets
    #[command(
        after_help = "Example:\n  caro-rollout release show v1.1.0-beta\n\nWith --json: {\"release\", \"build\": null | {\"assets\", \"excluded_platforms\"}}"
    )]
    Show(Show),
    /// Add a version, from its files, and the release that offers it
    ///
    /// Reads the asset of each platform and its .sha256 file, and refuses what does not agree. Files are named as at the end
    /// of ASSET_URL_TEMPLATE [default: caro-{version}-{platform}{ext}]. From a folder, the template says where installers
    /// find them: publish them there first.
    #[command(
        after_help = "Examples:\n  caro-rollout release add 1.2.0-beta.1 --from dist/\n  caro-rollout release add 1.2.0-beta.1 --from https://dl.caro.sh/1.2.0-beta.1\n  caro-rollout release add 1.1.0-beta.3 --from dist/ --percentage 25 --exclude macos-intel"
    )]
    Add(Add),
    /// Have a release offer another version that is there
    #[command(after_help = "Example:\n  caro-rollout release set-version v1.1.0-beta 1.1.0-beta.1")]
    SetVersion(SetVersion),
    /// Forget a release with its flags; who had it gets stable. The version stays
    #[command(
        after_help = "Example:\n  caro-rollout release delete v1.1.0-beta -m 'is stable now'"
    )]
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct List {}

#[derive(Debug, Args)]
pub struct Show {
    name: String,
}

#[derive(Debug, Args)]
pub struct Add {
    /// Such as 1.2.0-beta.1
    // Not `version`, which is what --version is called.
    #[arg(value_name = "VERSION")]
    number: Version,
    /// A folder, or an http or https address under which the files are
    #[arg(long, value_name = "DIR|URL")]
    from: String,
    /// The release [default: v and the version without its last number: v1.2.0-beta]
    #[arg(long)]
    name: Option<ReleaseName>,
    /// How many get it [default: 0 for a new release]
    #[arg(long)]
    percentage: Option<String>,
    /// A platform that this version is not made for
    #[arg(long, value_name = "PLATFORM")]
    exclude: Vec<Platform>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct SetVersion {
    name: String,
    /// One that is listed; `release add` lists new ones
    #[arg(value_name = "VERSION")]
    number: Version,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct Delete {
    name: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Release {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(_) => list(context),
            Self::Show(args) => args.run(context),
            Self::Add(args) => args.run(context),
            Self::SetVersion(args) => {
                let path = format!("/rollout/{}", args.name);
                let body = json!({ "version": args.number });
                let change = Change::new("POST", path, body, Ask::Effect, &args.change);
                make(context, &change)
            }
            Self::Delete(args) => {
                let path = format!("/rollout/{}", args.name);
                let change = Change::new("DELETE", path, Value::Null, Ask::Always, &args.change);
                make(context, &change)
            }
        }
    }
}

/// Every release: with a token as the ledger has them, else as the edge does, which may be seconds behind.
fn known(context: &Context) -> Result<Value> {
    let router = context.router()?;
    router.get(match router.has_token() {
        true => "/admin/releases",
        false => "/status.json",
    })
}

fn list(context: &Context) -> Result<Exit> {
    let known = known(context)?;
    let releases = items(&known, "releases");
    context.out.answer(&json!({ "releases": releases }), |out| {
        super::look::releases(out, releases);
    });
    Ok(Exit::Ok)
}

impl Show {
    fn run(&self, context: &Context) -> Result<Exit> {
        let known = known(context)?;
        let release = named(&known, &self.name)?;
        let router = context.router()?;
        // Who may not read the whole configuration sees the rest.
        let config = match router.has_token() {
            true => router.get("/admin/config").unwrap_or_default(),
            false => Value::Null,
        };
        let versions = config.get("versions");
        let build = versions.and_then(|all| all.get(text_of(release, "version")));
        let answer = json!({ "release": release, "build": build });
        context.out.answer(&answer, |out| {
            out.line(bold(&self.name));
            for (name, value) in release.as_object().into_iter().flatten() {
                out.line(format!("{name}: {}", shown(value)));
            }
            let assets = build.and_then(|build| build.get("assets")?.as_object());
            let rows = assets.into_iter().flatten().map(|(platform, asset)| {
                let part = |name| text_of(asset, name);
                vec![platform.clone(), part("size"), part("sha256"), part("url")]
            });
            let rows: Vec<Vec<String>> = rows.collect();
            if !rows.is_empty() {
                out.table(&["PLATFORM", "BYTES", "SHA-256", "URL"], &rows);
            }
        });
        Ok(Exit::Ok)
    }
}

impl Add {
    fn run(&self, context: &Context) -> Result<Exit> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => family(&self.number)?,
        };
        let mut body = self.settings(context, &name)?;
        body.insert("build".to_owned(), self.build()?);
        let path = format!("/rollout/{name}");
        let change = Change::new("PUT", path, body.into(), Ask::Effect, &self.change);
        make(context, &change)
    }

    /// What the release is to be. One that is there keeps what nothing is said of, which the call itself would reset.
    fn settings(&self, context: &Context, name: &ReleaseName) -> Result<Map<String, Value>> {
        let mut settings = Map::from_iter([("version".to_owned(), json!(self.number))]);
        let percent = self.percentage.as_deref().map(percentage).transpose()?;
        let known = context.router()?.read("/admin/releases")?;
        let Ok(release) = named(&known, name.as_str()) else {
            let percent = percent.unwrap_or_else(|| json!(0));
            settings.insert("percentage".to_owned(), percent);
            return Ok(settings);
        };
        let part = |member| text_of(release, member);
        let (version, now) = (part("version"), part("configured_percentage"));
        // Neither taking it back to 0 % nor giving its people another build is meant by itself.
        let Some(percent) = percent else {
            let message = format!("{name} is there already, with {version} at {now} %");
            let hint = format!(
                "--percentage {now} gives those who have it {}; --name makes another release",
                self.number
            );
            return Err(Failure::usage(message).hint(hint).into());
        };
        if part("state") == "paused" {
            let failure = Failure::new(Exit::Refused, format!("{name} is paused"));
            let hint = format!("`caro-rollout resume {name}` first: a new version goes on with it");
            return Err(failure.hint(hint).into());
        }
        settings.insert("percentage".to_owned(), percent);
        for member in ["state", "cohorts"] {
            let kept = release.get(member).cloned();
            settings.extend(kept.map(|value| (member.to_owned(), value)));
        }
        Ok(settings)
    }

    /// The version's entry in the configuration.
    fn build(&self) -> Result<Value> {
        let template = configuration::defaults()?.assets;
        let platforms = Platform::ALL.into_iter();
        let platforms: Vec<Platform> = platforms.filter(|p| !self.exclude.contains(p)).collect();
        let urls = platforms.iter().map(|p| template.url(&self.number, *p));
        let urls: Vec<String> = urls.collect();
        let names = urls.iter().map(|url| Place::Url(url.clone()).name());
        let is_address = ["http://", "https://"]
            .iter()
            .any(|scheme| self.from.starts_with(scheme));
        let places: Vec<Place> = match is_address {
            true => names
                .map(|name| address(&self.from, &name))
                .collect::<Result<_>>()?,
            false => names
                .map(|name| Place::File(Path::new(&self.from).join(name)))
                .collect(),
        };
        let measured = assets::measure(&places).map_err(|error| {
            let failure = failure_of(&error);
            match failure.exit {
                Exit::Missing => failure
                    .hint("publish it first, or leave its platform out with --exclude")
                    .into(),
                _ => error,
            }
        })?;
        let all = platforms.iter().zip(places).zip(urls).zip(measured);
        let all = all.map(|(((platform, place), url), measured)| {
            let Measured { size, sha256 } = measured;
            let mut asset = json!({ "size": size, "sha256": sha256 });
            if let (Place::Url(own), Value::Object(members)) = (place, &mut asset)
                && own != url
            {
                members.insert("url".to_owned(), json!(own));
            }
            (platform.as_str().to_owned(), asset)
        });
        let mut build = json!({ "assets": Value::Object(all.collect()) });
        if let (Value::Object(members), false) = (&mut build, self.exclude.is_empty()) {
            let excluded: Vec<&str> = self.exclude.iter().map(|p| p.as_str()).collect();
            members.insert("excluded_platforms".to_owned(), json!(excluded));
        }
        Ok(build)
    }
}

/// A file under an address that a configuration may name.
fn address(base: &str, name: &str) -> Result<Place> {
    let url = format!("{}/{name}", base.trim_end_matches('/'));
    let mut decoder = Decoder::default();
    check_url(&mut decoder, &url, &decode::Path::Root);
    match decoder.finish(()) {
        Ok(()) => Ok(Place::Url(url)),
        Err(problems) => {
            let why: Vec<String> = problems.into_iter().map(|p| p.message).collect();
            Err(Failure::usage(format!("--from {base}: {}", why.join(", "))).into())
        }
    }
}

/// The release that a version belongs to: `v1.1.0-beta` for `1.1.0-beta.2`.
fn family(version: &Version) -> Result<ReleaseName, Failure> {
    let text = version.to_string();
    let family = match text.rsplit_once('.') {
        Some((family, number))
            if version.is_prerelease()
                && family.contains('-')
                && number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            family
        }
        _ => &text,
    };
    format!("v{family}").parse().map_err(|error| {
        Failure::usage(format!("v{family} cannot be a release's name: it {error}"))
            .hint("give one with --name")
    })
}

#[cfg(test)]
mod tests {
    use super::family;

    #[test]
    fn a_version_belongs_to_a_release() {
        let check = |version: &str, expected: Option<&str>| {
            let name = family(&version.parse().unwrap()).ok();
            assert_eq!(name.as_ref().map(|name| name.as_str()), expected);
        };
        check("1.1.0-beta.2", Some("v1.1.0-beta"));
        check("1.1.0-beta.2.1", Some("v1.1.0-beta.2"));
        check("1.1.0-rc1", Some("v1.1.0-rc1"));
        check("1.2.0", Some("v1.2.0"));
        check("1.2.0-7", Some("v1.2.0-7"));
        check("1.2.0-Beta.1", None);
    }
}
