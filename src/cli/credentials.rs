//! Where the token comes from: the environment, a file that only its owner reads, or standard input. Never an argument,
//! which every process on the machine can see.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use etcetera::BaseStrategy;

use super::failure::{Exit, Failure};

/// The variable that holds a token.
pub const TOKEN_VARIABLE: &str = "CARO_ROLLOUT_TOKEN";

/// Longest token file, in bytes.
const MAX_BYTES: u64 = 4096;

/// The file that is read when nothing else is said, `caro-rollout/token` in the user's configuration folder.
pub fn default_file() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    Some(folders.config_dir().join("caro-rollout").join("token"))
}

/// Finds the token. `file` is what `--token-file` says; `-` is standard input.
///
/// # Errors
/// When a file was named and cannot be used, or others can read it.
pub fn token(file: Option<&Path>) -> Result<Option<String>> {
    if let Some(file) = file {
        let text = if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_BYTES)
                .read_to_string(&mut text)
                .context("reading the token from standard input")?;
            text
        } else {
            read(file)?
        };
        return clean(&text).map(Some);
    }
    if let Ok(token) = std::env::var(TOKEN_VARIABLE)
        && !token.trim().is_empty()
    {
        return clean(&token).map(Some);
    }
    match default_file() {
        Some(file) if file.exists() => clean(&read(&file)?).map(Some),
        _ => Ok(None),
    }
}

fn read(file: &Path) -> Result<String> {
    let open = fs::File::open(file).with_context(|| format!("reading {}", file.display()))?;
    only_ours(&open, file)?;
    let mut text = String::new();
    open.take(MAX_BYTES)
        .read_to_string(&mut text)
        .with_context(|| format!("reading {}", file.display()))?;
    Ok(text)
}

#[cfg(unix)]
fn only_ours(open: &fs::File, file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = open.metadata()?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let message = format!(
        "others can read the token in {} (mode {:04o})",
        file.display(),
        mode & 0o7777
    );
    let hint = format!("chmod 600 {}", file.display());
    Err(Failure::new(Exit::Denied, message).hint(hint).into())
}

#[cfg(not(unix))]
fn only_ours(_: &fs::File, _: &Path) -> Result<()> {
    Ok(())
}

/// A token is one word of visible ASCII: anything else would break the header that it goes into.
fn clean(text: &str) -> Result<String> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        let failure = Failure::new(Exit::Denied, "the token is empty or not one word");
        return Err(failure
            .hint("it is the text that `token add` printed, and nothing else")
            .into());
    }
    Ok(token.to_owned())
}
