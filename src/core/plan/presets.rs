//! The plans that come along. Each file is its own documentation: what its figures are, and where they come from.

/// Their names.
pub const PRESETS: [&str; 7] = [
    "caro",
    "standard",
    "accelerated",
    "cautious",
    "web4",
    "canary",
    "boring-green",
];

/// A preset's document, as JSON.
pub fn preset(name: &str) -> Option<&'static str> {
    Some(match name {
        "caro" => include_str!("presets/caro.json"),
        "standard" => include_str!("presets/standard.json"),
        "accelerated" => include_str!("presets/accelerated.json"),
        "cautious" => include_str!("presets/cautious.json"),
        "web4" => include_str!("presets/web4.json"),
        "canary" => include_str!("presets/canary.json"),
        "boring-green" => include_str!("presets/boring-green.json"),
        _ => return None,
    })
}
