//! Canary mode, and people on lists.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, make};
use crate::cli::failure::Exit;
use crate::cli::output::{bad, good, items, shown, text_of};

/// The canary: who gets the newest release whatever its percentage.
#[derive(Debug, Subcommand)]
pub enum Canary {
    /// Turn canary mode on: whoever is on the allowlist gets the newest release
    #[command(after_help = "Example:\n  caro-rollout canary on")]
    On(Turn),
    /// Turn canary mode off
    #[command(after_help = "Example:\n  caro-rollout canary off")]
    Off(Turn),
    /// Put people on the allowlist
    #[command(
        after_help = "Examples:\n  caro-rollout canary add user123\n  caro-rollout canary add --ip 192.0.2.7 --label 'build machine'"
    )]
    Add(People),
    /// Take people off the allowlist
    #[command(
        after_help = "Examples:\n  caro-rollout canary remove user123\n  caro-rollout canary remove --label 'build machine'"
    )]
    Remove(People),
    /// Whether it is on, and who is on the allowlist, as far as labels say
    #[command(after_help = "Example:\n  caro-rollout canary list")]
    List(List),
}

#[derive(Debug, Args)]
pub struct Turn {
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct List {}

/// People to add or to remove.
#[derive(Debug, Args)]
pub struct People {
    /// Ids, as X-Caro-Id has them. They are hashed and forgotten
    #[arg(required_unless_present_any = ["ip", "label"])]
    ids: Vec<String>,
    /// An address instead. Of an IPv6 address the /64 counts
    #[arg(long, conflicts_with = "ids")]
    ip: Vec<String>,
    /// What lists show of them; to remove, all who have it
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    pub change: ChangeArgs,
}

impl People {
    fn members(&self) -> Vec<Value> {
        let person = |kind: Option<(&str, &String)>| {
            let mut person = Map::new();
            person.extend(kind.map(|(kind, who)| (kind.to_owned(), json!(who))));
            let label = self.label.as_ref();
            person.extend(label.map(|label| ("label".to_owned(), json!(label))));
            Value::Object(person)
        };
        let ids = self.ids.iter().map(|id| person(Some(("id", id))));
        let ips = self.ip.iter().map(|ip| person(Some(("ip", ip))));
        let people: Vec<Value> = ids.chain(ips).collect();
        match people.is_empty() {
            true => vec![person(None)],
            false => people,
        }
    }

    /// `list` is the path of the members.
    pub fn change(&self, context: &Context, list: &str, what: &str) -> Result<Exit> {
        let body = json!({ what: self.members() });
        make(
            context,
            &Change::new("POST", list, body, Ask::Effect, &self.change),
        )
    }
}

/// Who is on a list.
pub fn show_members(context: &Context, members: &Value) {
    let out = &context.out;
    for label in items(members, "labels") {
        out.line(format!("  {}", shown(label)));
    }
    let unlabelled = members.get("unlabelled").and_then(Value::as_u64);
    if let Some(count) = unlabelled.filter(|count| *count > 0) {
        out.line(format!(
            "  and {count} without a label: ids are hashed, nobody can list them"
        ));
    }
}

impl Canary {
    pub fn run(self, context: &Context) -> Result<Exit> {
        const MEMBERS: &str = "/admin/canary/members";
        let turn = |enabled: bool, args: &Turn| {
            let body = json!({ "enabled": enabled });
            make(
                context,
                &Change::new("POST", "/admin/canary", body, Ask::Effect, &args.change),
            )
        };
        match self {
            Self::On(args) => turn(true, &args),
            Self::Off(args) => turn(false, &args),
            Self::Add(people) => people.change(context, MEMBERS, "add"),
            Self::Remove(people) => people.change(context, MEMBERS, "remove"),
            Self::List(_) => {
                let router = context.router()?;
                let canary = router.read("/admin/canary")?;
                let members = router.read(MEMBERS)?;
                let both = json!({ "canary": canary, "members": members });
                context.out.answer(&both, |out| {
                    let on = canary.get("enabled") == Some(&Value::Bool(true));
                    let killed = canary.get("killed") == Some(&Value::Bool(true));
                    let state = match (killed, on) {
                        (true, _) => bad("killed"),
                        (_, true) => good("on"),
                        _ => "off".to_owned(),
                    };
                    let count = text_of(&members, "count");
                    out.line(format!("canary mode is {state}, {count} on the allowlist"));
                    show_members(context, &members);
                });
                Ok(Exit::Ok)
            }
        }
    }
}
