//! Assets of a version: their sizes and SHA-256, taken from the files themselves and held against the `.sha256`
//! published beside each.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest, Sha256};

use super::failure::{Exit, Failure};
use super::http::Downloads;
use super::output::{Progress, progress};
use crate::core::decode::{hex, to_hex};

/// The largest asset that a configuration takes, in bytes.
const MAX_SIZE: u64 = 1 << 32;

/// The longest `.sha256` file that is read, in bytes: one line.
const MAX_SUM: u64 = 4096;

/// Where an asset is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    Url(String),
}

impl Place {
    /// The same with `.sha256` behind it.
    fn sum(&self) -> Self {
        match self {
            Self::File(path) => {
                let mut path = path.clone().into_os_string();
                path.push(".sha256");
                Self::File(path.into())
            }
            Self::Url(url) => Self::Url(format!("{url}.sha256")),
        }
    }

    /// The file's name.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => {
                let name = path.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
            Self::Url(url) => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                path.rsplit('/').next().unwrap_or_default().to_owned()
            }
        }
    }

    fn show(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Url(url) => url.clone(),
        }
    }

    fn open(&self, downloads: &Downloads) -> Result<(Option<u64>, Box<dyn Read>)> {
        match self {
            Self::Url(url) => {
                let (length, bytes) = downloads.open(url)?;
                Ok((length, Box::new(bytes)))
            }
            Self::File(path) => {
                let (length, file) = open(path)?;
                Ok((Some(length), Box::new(file)))
            }
        }
    }
}

fn open(path: &Path) -> Result<(u64, File)> {
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::missing(format!("{} is not there", path.display())),
        _ => Failure::new(Exit::No, format!("{}: {error}", path.display())),
    })?;
    let about = file.metadata()?;
    if !about.is_file() {
        let message = format!("{} is not a file", path.display());
        return Err(Failure::new(Exit::No, message).into());
    }
    Ok((about.len(), file))
}

/// What an installer must get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Bytes, 1 to 4 GiB.
    pub size: u64,
    /// Lowercase hexadecimal SHA-256.
    pub sha256: String,
}

/// Measures each, in order.
///
/// # Errors
/// When one is not there, empty, too large, or not what its `.sha256` file says.
pub fn measure(places: &[Place]) -> Result<Vec<Measured>> {
    let downloads = Downloads::new();
    let bar = progress(0, "reading assets");
    let all = places.iter().map(|place| one(place, &downloads, &bar));
    let all = all.collect();
    drop(bar);
    all
}

fn one(place: &Place, downloads: &Downloads, bar: &Progress) -> Result<Measured> {
    let sum = place.sum();
    let mut published = String::new();
    let (_, bytes) = sum.open(downloads)?;
    bytes
        .take(MAX_SUM)
        .read_to_string(&mut published)
        .with_context(|| format!("reading {}", sum.show()))?;
    let wrong = |why: &str| Failure::new(Exit::No, format!("{} {why}", place.show()));
    let claimed = claimed(&published, &place.name())
        .map_err(|why| Failure::new(Exit::No, format!("{} {why}", sum.show())))?;

    let too_large = || wrong("is larger than 4 GiB");
    let (length, mut bytes) = place.open(downloads)?;
    if length.is_some_and(|length| length > MAX_SIZE) {
        return Err(too_large().into());
    }
    bar.inc_length(length.unwrap_or(0));
    let (mut hasher, mut size) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = bytes
            .read(&mut buffer)
            .with_context(|| format!("reading {}", place.show()))?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        hasher.update(part);
        size += read as u64;
        bar.inc(read as u64);
        if size > MAX_SIZE {
            return Err(too_large().into());
        }
    }
    if size == 0 {
        return Err(wrong("is empty").into());
    }
    if length.is_some_and(|length| length != size) {
        return Err(wrong("came only in part").hint("try it again").into());
    }
    let sha256 = to_hex(&hasher.finalize());
    if sha256 != claimed {
        let why = format!("has the SHA-256 {sha256}, and its .sha256 file says {claimed}");
        return Err(wrong(&why).hint("do not ship it").into());
    }
    Ok(Measured { size, sha256 })
}

/// The hash that a `.sha256` file has for a name: `<hex>`, or `<hex>  <name>` as sha256sum writes it.
fn claimed(text: &str, name: &str) -> Result<String, String> {
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let hash = words.next().unwrap_or_default().to_ascii_lowercase();
    if hex::<32>(&hash).is_none() {
        return Err("does not begin with a SHA-256".to_owned());
    }
    let of = words.next().map(|of| of.trim_start_matches('*'));
    match of.and_then(|of| of.rsplit(['/', '\\']).next()) {
        Some(of) if of != name => Err(format!("is about {of}, not {name}")),
        _ => Ok(hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_hashes_are_read_as_tools_write_them() {
        let hash = "5f".repeat(32);
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = claimed(text, "caro-1.0.4-linux-amd64");
            let found = found.as_deref().map_err(String::as_str);
            assert_eq!(found, expected, "{text}");
        };
        check(&hash, Ok(&hash));
        check(&format!("{}\n", hash.to_uppercase()), Ok(&hash));
        check(&format!("{hash}  caro-1.0.4-linux-amd64\n"), Ok(&hash));
        check(&format!("{hash} *dist/caro-1.0.4-linux-amd64"), Ok(&hash));
        let other = "is about caro-1.0.3-linux-amd64, not caro-1.0.4-linux-amd64";
        check(&format!("{hash}  caro-1.0.3-linux-amd64\n"), Err(other));
        let none = "does not begin with a SHA-256";
        check("", Err(none));
        check("<html>", Err(none));
        check("5f5f  caro-1.0.4-linux-amd64", Err(none));
    }

    #[test]
    fn places_have_names() {
        let check = |place: Place, name: &str, sum: &str| {
            assert_eq!(
                (place.name().as_str(), place.sum().show().as_str()),
                (name, sum)
            );
        };
        check(Place::File("dist/caro".into()), "caro", "dist/caro.sha256");
        let url = "https://example.org/1/caro.exe".to_owned();
        let sum = "https://example.org/1/caro.exe.sha256";
        check(Place::Url(url), "caro.exe", sum);
    }
}
