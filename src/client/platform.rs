//! What the machine says: where files are kept, and what rules may ask of it.

use std::env::consts;
use std::path::PathBuf;

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy, choose_native_strategy};

/// Where answers are kept: `caro-edge` in the platform's folder for what can be fetched again
/// (`~/.cache`, `~/Library/Caches`, `%LOCALAPPDATA%`). `None`: there is no home.
pub fn cache_dir() -> Option<PathBuf> {
    let strategy = choose_native_strategy().ok()?;
    Some(strategy.cache_dir().join("caro-edge"))
}

/// The override file: `~/.config/caro/features.toml` on every Unix (macOS too), or where `XDG_CONFIG_HOME`
/// points; `%APPDATA%\caro\features.toml`. `None`: there is no home.
pub fn overrides() -> Option<PathBuf> {
    let strategy = choose_base_strategy().ok()?;
    Some(strategy.config_dir().join("caro").join("features.toml"))
}

/// The system, as asset names have it: `linux`, `macos`, `windows`.
pub const fn os() -> &'static str {
    consts::OS
}

/// The processor, as asset names have it: `amd64`, `arm64`; others as Rust calls them.
pub fn arch() -> &'static str {
    match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The language as a tag (`de-DE`) from `LC_ALL`, `LC_MESSAGES` or `LANG`, whichever is set first.
pub fn locale(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let names = ["LC_ALL", "LC_MESSAGES", "LANG"];
    let set = names
        .iter()
        .find_map(|name| variable(name).filter(|v| !v.is_empty()))?;
    let tag = set.split(['.', '@']).next()?.replace('_', "-");
    let is_tag = tag.len() <= 35 && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    (is_tag && !matches!(tag.as_str(), "C" | "POSIX" | "")).then_some(tag)
}
