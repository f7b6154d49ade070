//! From a path to what it means. Routing is by path alone, so that one local address serves both
//! hosts.

use crate::core::decide::Selector;
use crate::install::render::Shell;

use super::history::Form;

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'p> {
    /// `/`: the script by rollout, or the page for a browser.
    Root,
    /// The script by rollout.
    Install(Shell),
    /// The script of what the path names.
    Select(Shell, Selector),
    /// Looks like an install path, but names nothing that could be a version.
    Malformed(Shell),
    /// Not a path of ours, and perhaps piped into a shell.
    NotFound(Shell),
    Rollout(&'p str),
    Features(&'p str),
    /// One flag, or all, by the OpenFeature protocol.
    Ofrep(Option<&'p str>),
    /// Events for OpenFeature clients.
    Events,
    /// How an experiment goes for a requester.
    Outcomes(&'p str),
    /// How an installation went.
    Report,
    /// What clients tell of themselves.
    ClientEvents,
    Status,
    /// What happened, for programs or for feed readers.
    History(Form),
    Health,
    Metrics,
    /// The public keys of signatures.
    Keys,
    KeyPem,
    /// The console, which asks the control API.
    Console,
    /// The page of the rollout's history and health.
    StatusPage,
    /// A static file.
    Asset(&'p str),
    /// Below a path that only programs ask for.
    UnknownApi,
}

impl Route<'_> {
    /// Whether it is asked with POST alone.
    pub const fn is_told(&self) -> bool {
        matches!(
            self,
            Self::Ofrep(_) | Self::Outcomes(_) | Self::Report | Self::ClientEvents
        )
    }

    /// Whether the answer may be piped into an interpreter, whatever it says; and into which.
    pub const fn shell(&self) -> Option<Shell> {
        match self {
            Self::Root => Some(Shell::Sh),
            Self::Install(shell)
            | Self::Select(shell, _)
            | Self::Malformed(shell)
            | Self::NotFound(shell) => Some(*shell),
            _ => None,
        }
    }
}

/// First segments below which errors are JSON.
const API: [&str; 11] = [
    "rollout",
    "features",
    "admin",
    "ops",
    "ofrep",
    "experiments",
    "report",
    "api",
    "assets",
    ".well-known",
    "cdn-cgi",
];

/// One flag, without a name: not all of them.
const NO_KEY: &str = "/ofrep/v1/evaluate/flags/";

/// Parses a path. It is not decoded: nothing that we serve needs percent-encoding.
pub fn route(path: &str) -> Route<'_> {
    // Of a base URL that ends in a slash some clients make two.
    let path = path
        .strip_prefix('/')
        .filter(|rest| rest.starts_with("/ofrep/"))
        .unwrap_or(path);
    if path == NO_KEY {
        return Route::Ofrep(Some(""));
    }
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    // Three parts tell every route apart; a path may have a great many.
    match *trimmed.splitn(3, '/').collect::<Vec<_>>() {
        [""] => Route::Root,
        ["install.sh"] => Route::Install(Shell::Sh),
        ["install.ps1"] => Route::Install(Shell::PowerShell),
        ["status.json"] => Route::Status,
        ["history.json"] => Route::History(Form::Json),
        ["feed.atom"] => Route::History(Form::Atom),
        ["health"] => Route::Health,
        ["metrics"] => Route::Metrics,
        ["admin"] => Route::Console,
        ["status"] => Route::StatusPage,
        ["robots.txt" | "openapi.json"] => Route::Asset(path),
        ["assets", ..] if !trimmed.contains("..") => Route::Asset(path),
        ["rollout", release] => Route::Rollout(release),
        ["features", release] => Route::Features(release),
        ["ofrep", "v1", rest] => ofrep(rest),
        ["experiments", name, "outcomes"] => Route::Outcomes(name),
        ["report"] => Route::Report,
        ["api", "events"] => Route::ClientEvents,
        [".well-known", "http-message-signatures-directory"] => Route::Keys,
        [".well-known", "signing-key.pem"] => Route::KeyPem,
        [first, ..] if API.contains(&first) => Route::UnknownApi,
        [name] | [name, "install.sh"] => select(Shell::Sh, name),
        [name, "install.ps1"] => select(Shell::PowerShell, name),
        _ => Route::NotFound(if trimmed.ends_with(".ps1") {
            Shell::PowerShell
        } else {
            Shell::Sh
        }),
    }
}

fn ofrep(rest: &str) -> Route<'_> {
    match *rest.splitn(3, '/').collect::<Vec<_>>() {
        ["events"] => Route::Events,
        ["evaluate", "flags"] => Route::Ofrep(None),
        ["evaluate", "flags", key] if !key.contains('/') => Route::Ofrep(Some(key)),
        _ => Route::UnknownApi,
    }
}

fn select(shell: Shell, name: &str) -> Route<'static> {
    let selector = match name {
        "stable" => Some(Selector::Stable),
        "beta" => Some(Selector::Beta),
        version => {
            let version = version.strip_prefix('v').unwrap_or(version);
            version.parse().ok().map(Selector::Version)
        }
    };
    match selector {
        Some(selector) => Route::Select(shell, selector),
        None => Route::Malformed(shell),
    }
}
