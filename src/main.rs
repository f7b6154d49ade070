//! `caro-rollout`, the command line.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    caro_edge::cli::main()
}

/// The Worker is the library alone.
#[cfg(target_arch = "wasm32")]
fn main() {}
