//! From a decision to the bytes that someone pipes into their shell. Only validated values of the
//! snapshot get in, each in single quotes; no byte of any request does.

use std::fmt::Write;

use crate::core::defaults::Defaults;
use crate::core::snapshot::{Asset, Build};

/// Which interpreter reads the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shell {
    /// POSIX `sh`.
    Sh,
    PowerShell,
}

/// How the version was chosen; the script tells its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    Rollout,
    Pinned,
    /// The compiled-in stable version, whose digests are not known here.
    Fallback,
}

impl Choice {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Pinned => "pinned",
            Self::Fallback => "fallback",
        }
    }
}

/// What a script is told besides what it installs.
#[derive(Debug, Clone, Copy)]
pub struct How {
    pub choice: Choice,
    /// Whether it tells how it went.
    pub reports: bool,
}

const INSTALL_SH: &str = include_str!("install.sh");
const INSTALL_PS1: &str = include_str!("install.ps1");

/// The line that the assignments replace, in both files.
const MARKER: &str = "# @PRELUDE@\n";

/// The script that installs `build`. The trailing newline is dropped, so that the last byte is the
/// brace that closes the call of `main`: every shorter prefix, which a cut download would leave,
/// is incomplete and runs nothing.
pub fn script(
    shell: Shell,
    defaults: &Defaults,
    build: &Build,
    how: How,
    stable: &Build,
) -> String {
    let assets = build.assets.iter().map(asset_line).collect::<Vec<_>>();
    let assets = assets.join("\n");
    let values = [
        ("product", defaults.product.as_str()),
        ("origin", &defaults.origin),
        ("version", &build.version.to_string()),
        ("channel", build.channel.as_str()),
        ("choice", how.choice.as_str()),
        ("stable", &stable.version.to_string()),
        ("reports", if how.reports { "1" } else { "" }),
        ("assets", &assets),
    ]
    .map(|(name, value)| assignment(shell, name, value));
    let template = match shell {
        Shell::Sh => INSTALL_SH,
        Shell::PowerShell => INSTALL_PS1,
    };
    let mut script = template.replacen(MARKER, &values.concat(), 1);
    script.truncate(script.trim_end().len());
    script
}

/// Platform, size, SHA-256 and URL, as the scripts read them.
fn asset_line(asset: &Asset) -> String {
    let platform = asset.platform.as_str();
    match &asset.digest {
        Some((size, sha256)) => format!("{platform} {size} {sha256} {}", asset.url),
        None => format!("{platform} - - {}", asset.url),
    }
}

fn assignment(shell: Shell, name: &str, value: &str) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = match shell {
        Shell::Sh => writeln!(line, "caro_{name}={}", quote_sh(value)),
        Shell::PowerShell => {
            let (first, rest) = name.split_at(1);
            let first = first.to_ascii_uppercase();
            writeln!(line, "$Caro{first}{rest} = {}", quote_powershell(value))
        }
    };
    line
}

/// A POSIX single-quoted word: nothing is special in it but the quote itself.
fn quote_sh(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// A PowerShell single-quoted string: only the quote itself is doubled. It may span lines.
fn quote_powershell(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A script that prints a message on stderr and fails: `| sh` does not see a status code, so an
/// error has to be one the shell can run. `message` is ours, never the requester's.
pub fn failure(shell: Shell, product: &str, message: &str) -> String {
    match shell {
        Shell::Sh => {
            let text = quote_sh(&format!("{product}: {message}"));
            format!("#!/bin/sh\nprintf '%s\\n' {text} >&2\nexit 1\n")
        }
        Shell::PowerShell => {
            let text = quote_powershell(&format!("{product}: {message}"));
            format!("[Console]::Error.WriteLine({text})\nexit 1\n")
        }
    }
}
