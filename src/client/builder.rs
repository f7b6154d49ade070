//! What a client is made from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::Uri;
use ureq::http::uri::Scheme;

use crate::auth::keys::{Block, PublicKey, blocks};
use crate::core::defaults::Defaults;
use crate::core::identity::{IdentityError, Unit};
use crate::core::ids::{FlagKey, IdError, ReleaseName};

use super::address::{escaped, is_loopback};
use super::cache::Cache;
use super::engine::{Asked, Engine};
use super::merge::Table;
use super::overrides::OverrideFile;
use super::world::{System, World};
use super::{Client, platform};

/// How often the router is asked.
const INTERVAL: Duration = Duration::from_hours(1);

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What caro gets on some platforms (seed of `features.toml`): its GPU backend where there is one.
const CARO_PLATFORM: [(&str, &str, &str, bool); 1] = [("macos", "arm64", "mlx_backend", true)];

/// A wrong argument. Nothing else keeps a client from being built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Not the address of a router.
    #[error("{url:?} is no address of a router: {why}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No release's name.
    #[error("the release {error}")]
    Release {
        /// What is wrong with it.
        error: IdError,
    },
    /// No release was named.
    #[error("whose features? Name the release, such as .release(\"v1.1.0-beta\")")]
    NoRelease,
    /// An id that the router would refuse.
    #[error(transparent)]
    Id(#[from] IdentityError),
    /// An id that no header can carry unchanged.
    #[error("the id must be ASCII without blanks at its ends; send a UUID, or a hash of yours")]
    IdCharacters,
    /// A key that cannot be read, or none where there should be some.
    #[error("the trusted keys: {0}")]
    Keys(String),
    /// No feature's name.
    #[error("the default {key:?} {error}")]
    Default {
        /// As given.
        key: String,
        /// What is wrong with it.
        error: IdError,
    },
    /// Out of range.
    #[error("the interval must be a second to a week")]
    Interval,
    /// Out of range.
    #[error("the timeout must be 10 ms to a minute")]
    Timeout,
}

/// Where a file is.
#[derive(Debug, Clone, Default)]
enum Place {
    /// Where the platform has such files.
    #[default]
    Usual,
    At(PathBuf),
    Nowhere,
}

impl Place {
    fn path(self, usual: fn() -> Option<PathBuf>, notes: &mut Vec<String>) -> Option<PathBuf> {
        match self {
            Self::At(path) => Some(path),
            Self::Nowhere => None,
            Self::Usual => {
                let path = usual();
                if path.is_none() && notes.is_empty() {
                    let note = "there is no home folder, so nothing is kept or overridden there";
                    notes.push(note.to_owned());
                }
                path
            }
        }
    }
}

/// Defaults for some platforms.
#[derive(Debug, Clone)]
struct ForPlatform {
    os: String,
    arch: Option<String>,
    key: String,
    value: Value,
}

/// Makes a [`Client`].
#[must_use = "nothing is built before .build()"]
pub struct Builder {
    url: String,
    release: Option<String>,
    id: Option<String>,
    keys: Result<Option<Vec<PublicKey>>, String>,
    defaults: Vec<(String, Value)>,
    platform: Vec<ForPlatform>,
    cache: Place,
    overrides: Place,
    os: String,
    arch: String,
    locale: Option<String>,
    interval: Duration,
    timeout: Duration,
    world: Arc<dyn World>,
}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        let caro = CARO_PLATFORM.iter().map(|(os, arch, key, on)| ForPlatform {
            os: (*os).to_owned(),
            arch: Some((*arch).to_owned()),
            key: (*key).to_owned(),
            value: Value::Bool(*on),
        });
        Self {
            url: url.to_owned(),
            release: None,
            id: None,
            keys: Ok(None),
            defaults: Vec::new(),
            platform: caro.collect(),
            cache: Place::Usual,
            overrides: Place::Usual,
            os: platform::os().to_owned(),
            arch: platform::arch().to_owned(),
            locale: platform::locale(|name| std::env::var(name).ok()),
            interval: INTERVAL,
            timeout: TIMEOUT,
            world: Arc::new(System),
        }
    }

    /// Whose features: a release's name (`v1.1.0-beta`) or version. Required.
    pub fn release(mut self, name: impl Into<String>) -> Self {
        self.release = Some(name.into());
        self
    }

    /// Who asks, the same each time: an install id, 256 bytes of ASCII at most. Sent as `X-Caro-Id`, kept nowhere. Without
    /// one the router goes by the network, which people share and change.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into()).filter(|id: &String| !id.is_empty());
        self
    }

    /// The keys that answers must be signed with, one of them: what is unsigned or signed otherwise is refused then. Without
    /// this method unsigned answers are taken, and the connection alone vouches for them.
    pub fn keys(mut self, keys: impl IntoIterator<Item = PublicKey>) -> Self {
        if let Ok(known) = &mut self.keys {
            known.get_or_insert_default().extend(keys);
        }
        self
    }

    /// The same from PEM, as the router's `/.well-known/signing-key.pem` has it; several blocks are several keys.
    pub fn pem(mut self, pem: &str) -> Self {
        match blocks(pem) {
            Err(e) => self.keys = Err(format!("the text {e}")),
            Ok(blocks) => {
                let public = blocks.into_iter().filter_map(|block| match block {
                    Block::Public(key) => Some(key),
                    Block::Private(_) => None,
                });
                self = self.keys(public);
            }
        }
        self
    }

    /// What features are when nobody says otherwise, above caro's own defaults.
    pub fn defaults<K: Into<String>, V: Into<Value>>(
        mut self,
        defaults: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let pairs = defaults.into_iter().map(|(k, v)| (k.into(), v.into()));
        self.defaults.extend(pairs);
        self
    }

    /// The same for one system (`linux`, `macos`, `windows`) and, if named, one processor (`amd64`, `arm64`); above those for
    /// all, below the router.
    pub fn platform_defaults<K: Into<String>, V: Into<Value>>(
        mut self,
        os: &str,
        arch: Option<&str>,
        defaults: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let entries = defaults.into_iter().map(|(key, value)| ForPlatform {
            os: os.to_owned(),
            arch: arch.map(str::to_owned),
            key: key.into(),
            value: value.into(),
        });
        self.platform.extend(entries);
        self
    }

    /// The folder for the last good answer, instead of [`platform::cache_dir`].
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Place::At(folder.into());
        self
    }

    /// Keep nothing on disk. Every process then asks for itself.
    pub fn no_cache(mut self) -> Self {
        self.cache = Place::Nowhere;
        self
    }

    /// The override file, instead of [`platform::overrides`].
    pub fn overrides(mut self, file: impl Into<PathBuf>) -> Self {
        self.overrides = Place::At(file.into());
        self
    }

    /// Read no override file.
    pub fn no_overrides(mut self) -> Self {
        self.overrides = Place::Nowhere;
        self
    }

    /// What rules may ask about, instead of what the platform says. `locale` is a language tag (`de-DE`).
    pub fn attributes(
        mut self,
        os: impl Into<String>,
        arch: impl Into<String>,
        locale: Option<&str>,
    ) -> Self {
        self.os = os.into();
        self.arch = arch.into();
        self.locale = locale.map(str::to_owned);
        self
    }

    /// How often to ask, give or take a tenth; an hour if not said.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long an answer may take, all in all; two seconds if not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another clock and other dice, for tests.
    pub fn world(mut self, world: impl World) -> Self {
        self.world = Arc::new(world);
        self
    }

    /// Reads the last good answer and the override file; the network is not touched. What is wrong with those files is told
    /// by [`Client::status`].
    ///
    /// # Errors
    /// A wrong argument.
    pub fn build(self) -> Result<Client, BuildError> {
        let keys = match self.keys {
            Err(why) => return Err(BuildError::Keys(why)),
            Ok(Some(keys)) if keys.is_empty() => {
                return Err(BuildError::Keys("there is none among them".into()));
            }
            Ok(keys) => keys.unwrap_or_default(),
        };
        let (origin, is_loopback) = origin(&self.url, !keys.is_empty())?;
        let release = self.release.ok_or(BuildError::NoRelease)?;
        let release: ReleaseName = release
            .parse()
            .map_err(|error| BuildError::Release { error })?;
        if let Some(id) = &self.id {
            Unit::from_id(id)?;
            if !id.is_ascii() || id.trim() != id {
                return Err(BuildError::IdCharacters);
            }
        }
        let seconds = Duration::from_secs(1)..=Duration::from_hours(168);
        if !seconds.contains(&self.interval) {
            return Err(BuildError::Interval);
        }
        if !(Duration::from_millis(10)..=Duration::from_mins(1)).contains(&self.timeout) {
            return Err(BuildError::Timeout);
        }

        let path = format!("/features/{release}");
        let mut url = format!("{origin}{path}?detail=1");
        let said = [("os", Some(&self.os)), ("arch", Some(&self.arch))];
        for (name, value) in said.into_iter().chain([("locale", self.locale.as_ref())]) {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                url.push_str(&format!("&{name}={}", escaped(value)));
            }
        }

        let caro = Defaults::default();
        let caro = caro
            .features
            .iter()
            .map(|(key, on)| (key.to_string(), Value::Bool(*on)));
        let defaults = table(caro.chain(self.defaults))?;
        let (os, arch) = (&self.os, &self.arch);
        let here = self.platform.into_iter().filter(|entry| {
            entry.os == *os && entry.arch.as_ref().is_none_or(|wanted| wanted == arch)
        });
        let platform_table = table(here.map(|entry| (entry.key, entry.value)))?;

        let mut notes = Vec::new();
        let folder = self.cache.path(platform::cache_dir, &mut notes);
        let cache = folder.map(|folder| Cache::new(&folder, &url, self.id.as_deref()));
        let override_file = self.overrides.path(platform::overrides, &mut notes);
        let override_file = override_file.map(OverrideFile::at);
        let asked = Asked {
            url,
            path,
            id: self.id,
            is_loopback,
        };
        let millis = u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX);
        Ok(Client::of(Engine::new(
            asked,
            keys,
            (millis, self.timeout),
            (cache, override_file),
            (platform_table, defaults),
            notes,
            self.world,
        )))
    }
}

fn table(pairs: impl Iterator<Item = (String, Value)>) -> Result<Table, BuildError> {
    let pairs = pairs.map(|(key, value)| match key.parse::<FlagKey>() {
        Ok(key) => Ok((key, value)),
        Err(error) => Err(BuildError::Default { key, error }),
    });
    pairs.collect()
}

/// Scheme, host and port, and whether that is this machine.
fn origin(url: &str, is_signed: bool) -> Result<(String, bool), BuildError> {
    let wrong = |why| BuildError::Url {
        url: url.to_owned(),
        why,
    };
    let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(wrong("it must begin with https:// and a host"));
    };
    if uri.path() != "/" || uri.query().is_some() || authority.as_str().contains('@') {
        // The path is signed, so a router cannot be behind a prefix.
        return Err(wrong("it must have nothing but scheme, host and port"));
    }
    let is_loopback = is_loopback(authority.host());
    if *scheme == Scheme::HTTP && !is_loopback && !is_signed {
        return Err(wrong(
            "without https its answers have to be signed, so name the keys",
        ));
    }
    if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
        return Err(wrong("it must begin with https://"));
    }
    Ok((format!("{scheme}://{authority}"), is_loopback))
}
