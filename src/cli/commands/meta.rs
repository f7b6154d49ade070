//! About the command line itself.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use clap_complete::Shell;
use serde_json::json;

use crate::cli::failure::Exit;
use crate::cli::output::print;
use crate::cli::{Context, command};

/// Shell completions.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout completions bash > ~/.local/share/bash-completion/completions/caro-rollout\n  caro-rollout completions zsh > ~/.zfunc/_caro-rollout\n  caro-rollout completions fish > ~/.config/fish/completions/caro-rollout.fish"
)]
pub struct Completions {
    shell: Shell,
}

impl Completions {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "caro-rollout", &mut script);
        let script = String::from_utf8(script)?;
        let answer = json!({ "shell": self.shell.to_string(), "script": script });
        context.out.answer(&answer, |_| print(&script));
        Ok(Exit::Ok)
    }
}

/// The manual page.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout man | man -l -\n  caro-rollout man --dir ~/.local/share/man/man1"
)]
pub struct Man {
    /// Write the page, and one for each command, into this folder
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Man {
    pub fn run(self, context: &Context) -> Result<Exit> {
        if let Some(dir) = &self.dir {
            std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
            clap_mangen::generate_to(command(), dir)
                .with_context(|| format!("writing into {}", dir.display()))?;
            let answer = json!({ "dir": dir });
            context.out.answer(&answer, |out| {
                out.line(format!("written to {}", dir.display()))
            });
            return Ok(Exit::Ok);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page)?;
        let page = String::from_utf8(page)?;
        context
            .out
            .answer(&json!({ "page": page }), |_| print(&page));
        Ok(Exit::Ok)
    }
}
