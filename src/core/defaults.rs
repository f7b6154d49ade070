//! What the router knows before it has read anything: the product it ships and the answers that
//! are safe when nobody can be asked. Compiled in, and overridden by `[vars]` of wrangler.toml so
//! that a fork can ship another tool.

use super::config::{Platform, check_url};
use super::decode::{Decoder, Path, Problem};
use super::ids::{FlagKey, Version};
use super::json::Json;
use super::table::Table;

/// Where a build's assets are when the configuration does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetTemplate(String);

impl AssetTemplate {
    /// Fills `{version}`, `{platform}` and `{ext}` (`.exe` on Windows, else nothing).
    pub fn url(&self, version: &Version, platform: Platform) -> String {
        self.0
            .replace("{version}", &version.to_string())
            .replace("{platform}", platform.as_str())
            .replace("{ext}", platform.extension())
    }
}

/// Product, origin and safe answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// The product's name, which is also the name of its binary.
    pub product: String,
    /// The public origin of the install paths, without a trailing slash.
    pub origin: String,
    /// The version that is installed when no configuration can be read.
    pub stable: Version,
    pub assets: AssetTemplate,
    /// What each feature answers when nothing else is said.
    pub features: Table<FlagKey, bool>,
}

impl Default for Defaults {
    /// caro's own (seed 000, "Default Values").
    fn default() -> Self {
        let mut features = Table::default();
        for (key, on) in [
            ("validation_retry", true),
            ("confidence_refinement", true),
            ("static_matcher", true),
            ("embedded_backend", true),
            ("telemetry_opt_in", false),
        ] {
            if let Ok(key) = key.parse() {
                features.insert(key, on);
            }
        }
        Self {
            product: "caro".into(),
            origin: "https://get.caro.sh".into(),
            stable: Version::stable(1, 0, 4),
            assets: AssetTemplate(
                "https://github.com/wildcard/caro/releases/download/\
                 v{version}/caro-{version}-{platform}{ext}"
                    .into(),
            ),
            features,
        }
    }
}

impl Defaults {
    /// Reads the variables `PRODUCT`, `ORIGIN`, `STABLE_VERSION`, `ASSET_URL_TEMPLATE` and
    /// `FEATURE_DEFAULTS`. One that is absent or unusable keeps caro's value; an unusable one is
    /// also reported, with its name as the path.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> (Self, Vec<Problem>) {
        fn read<T>(
            d: &mut Decoder,
            name: &str,
            text: Option<String>,
            own: T,
            parse: impl FnOnce(&mut Decoder, &str, &Path<'_>) -> Option<T>,
        ) -> T {
            text.and_then(|text| parse(d, &text, &Path::Root.key(name)))
                .unwrap_or(own)
        }

        let (own, mut d) = (Self::default(), Decoder::default());
        let d_ = &mut d;
        let defaults = Self {
            product: read(d_, "PRODUCT", var("PRODUCT"), own.product, product),
            origin: read(d_, "ORIGIN", var("ORIGIN"), own.origin, |d, text, at| {
                check_url(d, text, at).then(|| text.trim_end_matches('/').to_owned())
            }),
            stable: read(
                d_,
                "STABLE_VERSION",
                var("STABLE_VERSION"),
                own.stable,
                |d, text, at| d.parse_text(text, at),
            ),
            assets: read(
                d_,
                "ASSET_URL_TEMPLATE",
                var("ASSET_URL_TEMPLATE"),
                own.assets,
                asset_template,
            ),
            features: read(
                d_,
                "FEATURE_DEFAULTS",
                var("FEATURE_DEFAULTS"),
                own.features,
                features,
            ),
        };
        (defaults, d.finish(()).err().unwrap_or_default())
    }
}

/// A name that can be a file's and an environment variable's on every platform.
fn product(d: &mut Decoder, text: &str, at: &Path<'_>) -> Option<String> {
    let mut bytes = text.bytes();
    let ok = text.len() <= 32
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !ok {
        d.report(
            at,
            "must be 1 to 32 lowercase letters, digits and hyphens, a letter first",
        );
    }
    ok.then(|| text.to_owned())
}

fn asset_template(d: &mut Decoder, text: &str, at: &Path<'_>) -> Option<AssetTemplate> {
    if !text.contains("{version}") || !text.contains("{platform}") {
        d.report(at, "must hold {version} and {platform}");
        return None;
    }
    let template = AssetTemplate(text.to_owned());
    let sample = template.url(&Version::stable(0, 0, 0), Platform::WindowsAmd64);
    check_url(d, &sample, at).then_some(template)
}

fn features(d: &mut Decoder, text: &str, at: &Path<'_>) -> Option<Table<FlagKey, bool>> {
    let json = Json::parse(text)
        .map_err(|problem| d.report(at, problem.message))
        .ok()?;
    let before = d.count();
    let table = d.table(&json, at, |d, _, json, at| d.bool(json, at))?;
    (d.count() == before).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caro_is_the_default() {
        let (defaults, problems) = Defaults::from_vars(|_| None);
        assert_eq!(problems, []);
        assert_eq!(defaults.features.len(), 5);
        assert_eq!(
            defaults
                .assets
                .url(&defaults.stable, Platform::WindowsAmd64),
            "https://github.com/wildcard/caro/releases/download/v1.0.4/caro-1.0.4-windows-amd64.exe"
        );
    }

    #[test]
    fn a_fork_ships_another_tool() {
        let (defaults, problems) = Defaults::from_vars(|name| {
            Some(
                match name {
                    "PRODUCT" => "tool",
                    "ORIGIN" => "https://get.example.org/",
                    "STABLE_VERSION" => "2.0.0",
                    "ASSET_URL_TEMPLATE" => "https://example.org/{version}/{platform}{ext}",
                    _ => r#"{"shiny": true}"#,
                }
                .to_owned(),
            )
        });
        assert_eq!(problems, []);
        assert_eq!(defaults.origin, "https://get.example.org");
        assert_eq!(
            defaults.assets.url(&defaults.stable, Platform::LinuxArm64),
            "https://example.org/2.0.0/linux-arm64"
        );
    }

    #[test]
    fn an_unusable_variable_is_reported_and_keeps_caros_value() {
        let (defaults, problems) = Defaults::from_vars(|name| {
            Some(
                match name {
                    "PRODUCT" => "../evil",
                    "ORIGIN" => "ftp://x",
                    "STABLE_VERSION" => "one",
                    "ASSET_URL_TEMPLATE" => "https://example.org/caro",
                    _ => r#"{"shiny": 1}"#,
                }
                .to_owned(),
            )
        });
        assert_eq!(defaults, Defaults::default());
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/PRODUCT",
                "/ORIGIN",
                "/STABLE_VERSION",
                "/ASSET_URL_TEMPLATE",
                "/FEATURE_DEFAULTS/shiny"
            ]
        );
    }
}
