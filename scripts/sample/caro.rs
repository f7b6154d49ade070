//! A stand-in for caro in the sample rollout: it answers `--version` as caro does, and nothing
//! else. `scripts/sample.mjs` compiles one for each sample version.

fn main() {
    let version = env!("SAMPLE_VERSION");
    match std::env::args().nth(1).as_deref() {
        Some("--version" | "-V") => println!("caro {version} (sample 2026-01-15)"),
        _ => println!("This is the sample build of caro {version}. It only knows --version."),
    }
}
