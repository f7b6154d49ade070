//! The `emergency-stop` key: what stops everything with one `wrangler kv key put`.

use super::config::Config;
use super::ids::{ReleaseName, Version};
use super::table::Set;

/// What an emergency stop covers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Stop {
    #[default]
    None,
    /// Every release. `unread` is set when the value was not understood: then it is `All`
    /// because a mistyped stop must hold.
    All { unread: bool },
    /// Some releases, at least one.
    Releases(Set<ReleaseName>),
}

impl Stop {
    /// Reads the key's value; `None` if the key is absent. A name may be a release's, or a version
    /// that a release offers. One that is neither makes the whole value count as `all`: it could
    /// be the mistyped name of the release that has to stop.
    pub fn parse(value: Option<&str>, config: Option<&Config>) -> Self {
        let Some(value) = value else {
            return Self::None;
        };
        let words: Vec<&str> = value
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .collect();
        if words == ["all"] {
            return Self::All { unread: false };
        }
        let mut stopped = Set::default();
        for word in &words {
            let mut found = releases(word, config).peekable();
            if found.peek().is_none() {
                return Self::All { unread: true };
            }
            for name in found {
                stopped.insert(name.clone(), ());
            }
        }
        if stopped.is_empty() {
            return Self::All { unread: true };
        }
        Self::Releases(stopped)
    }

    pub fn covers(&self, release: &ReleaseName) -> bool {
        match self {
            Self::None => false,
            Self::All { .. } => true,
            Self::Releases(names) => names.contains(release),
        }
    }
}

fn releases<'c>(word: &str, config: Option<&'c Config>) -> impl Iterator<Item = &'c ReleaseName> {
    let version: Option<Version> = word.parse().ok();
    config
        .into_iter()
        .flat_map(|config| config.releases.iter())
        .filter(move |(name, release)| {
            name.as_str() == word || version.as_ref() == Some(&release.version)
        })
        .map(|(name, _)| name)
}
