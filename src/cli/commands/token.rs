//! Tokens.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, body, carry_out, make, show};
use crate::cli::failure::Exit;
use crate::cli::output::{bad, good, items, note, text_of, warn};
use crate::cli::when;

/// Tokens: list, add, revoke.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Every token, without its secret
    #[command(after_help = "Example:\n  caro-rollout token list")]
    List(List),
    /// Make a token. Its secret is printed once
    #[command(
        after_help = "Examples:\n  caro-rollout token add bot 'hourly rollout' --expires 90d\n  caro-rollout token add viewer dashboard | (umask 077; cat > dashboard.token)"
    )]
    Add(Add),
    /// Revoke a token, for good
    #[command(after_help = "Example:\n  caro-rollout token revoke 3ab01ab4c73a -m 'laptop lost'")]
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub struct List {
    /// Also those that are revoked or have run out
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub struct Add {
    /// release_manager, engineering_lead, engineer, bot or viewer
    role: String,
    /// Whom it is for; shown in the audit log
    label: String,
    /// standard (90 days, at most 366), development or debug (24 hours at most)
    #[arg(long)]
    kind: Option<String>,
    /// How long it is good for
    #[arg(long, value_name = "DURATION", value_parser = when::seconds)]
    expires: Option<u64>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct Revoke {
    /// As `token list` shows it
    id: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Token {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(args) => {
                let mut tokens = context.router()?.read("/admin/tokens")?;
                if let Some(Value::Array(list)) = tokens.get_mut("tokens") {
                    list.retain(|token| {
                        args.all || token.get("active") == Some(&Value::Bool(true))
                    });
                }
                context.out.answer(&tokens, |out| {
                    let rows: Vec<Vec<String>> = items(&tokens, "tokens").iter().map(row).collect();
                    out.table(
                        &["ID", "ROLE", "LABEL", "STATE", "CREATED", "EXPIRES"],
                        &rows,
                    );
                });
                Ok(Exit::Ok)
            }
            Self::Add(args) => args.run(context),
            Self::Revoke(args) => {
                let path = format!("/admin/tokens/{}", args.id);
                make(
                    context,
                    &Change::new("DELETE", path, Value::Null, Ask::Always, &args.change),
                )
            }
        }
    }
}

fn row(token: &Value) -> Vec<String> {
    let state = if token.get("active") == Some(&Value::Bool(true)) {
        good("active")
    } else if token.get("revoked").is_some_and(|at| !at.is_null()) {
        bad("revoked")
    } else {
        warn("expired")
    };
    vec![
        text_of(token, "id"),
        text_of(token, "role"),
        text_of(token, "label"),
        state,
        when::time(&text_of(token, "created")),
        when::time(&text_of(token, "expires")),
    ]
}

impl Add {
    fn run(&self, context: &Context) -> Result<Exit> {
        let body = body([
            ("role", Some(json!(self.role))),
            ("label", Some(json!(self.label))),
            ("kind", self.kind.as_ref().map(|kind| json!(kind))),
            (
                "expires_in_seconds",
                self.expires.map(|seconds| json!(seconds)),
            ),
        ]);
        let change = Change::new("POST", "/admin/tokens", body, Ask::Always, &self.change);
        let done = carry_out(context, &change)?;
        context.out.answer(&done.body, |out| {
            match done.body.pointer("/token/secret").and_then(Value::as_str) {
                // Alone on standard output, so that it can go into a file.
                Some(secret) => {
                    out.line(secret);
                    let token = done.body.get("token").unwrap_or(&Value::Null);
                    note(format!(
                        "{} for {}, id {}, until {}. It is not shown again",
                        text_of(token, "role"),
                        text_of(token, "label"),
                        text_of(token, "id"),
                        when::time(&text_of(token, "expires")),
                    ));
                }
                None => show(context, &done.body),
            }
        });
        Ok(done.exit)
    }
}
