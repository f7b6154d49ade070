//! A router on workerd and a command line that talks to it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use assert_cmd::assert::Assert;
use serde_json::{Value, json};
use tempfile::TempDir;

pub const ADMIN_TOKEN: &str = "local-admin-token-0123456789";

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The sample configuration: releases, flags, cohorts.
pub fn sample() -> Value {
    let text = std::fs::read_to_string(root().join("tests/golden/config.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A router, until it is dropped.
pub struct Router {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub origin: String,
    home: TempDir,
}

impl Router {
    /// With the sample configuration.
    pub fn start() -> Self {
        Self::with(&sample())
    }

    pub fn with(config: &Value) -> Self {
        Self::with_bindings(Some(config), &json!({ "ADMIN_TOKEN": ADMIN_TOKEN }), None)
    }

    /// `bindings` are variables and secrets; `assets` a folder with static files instead of `www`.
    pub fn with_bindings(config: Option<&Value>, bindings: &Value, assets: Option<&Path>) -> Self {
        let home = TempDir::new().unwrap();
        let file = home.path().join("config.json");
        if let Some(config) = config {
            std::fs::write(&file, config.to_string()).unwrap();
        }
        let mut child = Command::new(node())
            .arg("tests/support/serve.mjs")
            .args(config.map(|_| &file))
            .env("ROUTER_BINDINGS", bindings.to_string())
            .envs(assets.map(|assets| ("ROUTER_ASSETS", assets)))
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node; `make test-cli` installs it");
        let orders = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let said = answer(&mut answers);
        let origin = said["direct"].as_str().unwrap().to_owned();
        Self {
            child,
            orders,
            answers,
            origin,
            home,
        }
    }

    /// A folder of this router's user.
    pub fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    fn order(&mut self, order: &Value) -> Value {
        let orders = self.orders.as_mut().unwrap();
        writeln!(orders, "{order}").unwrap();
        answer(&mut self.answers)
    }

    /// Writes to KV as a person would.
    pub fn kv(&mut self, key: &str, value: Option<&str>) {
        self.order(&json!({ "kv": [key, value] }));
    }

    /// The command line of somebody without a token.
    pub fn anonymous(&self) -> assert_cmd::Command {
        let mut command = command();
        command
            .env("CARO_ROLLOUT_URL", &self.origin)
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }

    /// The first release manager's.
    pub fn cli(&self, args: &[&str]) -> assert_cmd::Command {
        self.as_token(ADMIN_TOKEN, args)
    }

    pub fn as_token(&self, token: &str, args: &[&str]) -> assert_cmd::Command {
        let mut command = self.anonymous();
        command.env("CARO_ROLLOUT_TOKEN", token).args(args);
        command
    }

    /// What a command that succeeds prints.
    pub fn says(&self, args: &[&str]) -> String {
        stdout(&self.cli(args).assert().success())
    }

    /// What a command that succeeds answers with `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        serde_json::from_str(&self.says(&all)).unwrap()
    }

    /// A new token of a role.
    pub fn mint(&self, role: &str) -> String {
        self.says(&["token", "add", role, role, "--yes"])
            .trim()
            .to_owned()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

fn answer(answers: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    serde_json::from_str(&line).expect("the router said nothing; is it built? `make build`")
}

/// The project's own Node.
fn node() -> PathBuf {
    root().join("node_modules/.bin/node")
}

/// The command line with nothing in its environment that could say something.
pub fn command() -> assert_cmd::Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("caro-rollout");
    let names = [
        "CARO_ROLLOUT_URL",
        "CARO_ROLLOUT_TOKEN",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
    ];
    for name in names {
        command.env_remove(name);
    }
    command
        .env("TZ", "UTC")
        .env("HOME", "/nonexistent")
        .timeout(std::time::Duration::from_secs(60));
    command
}

pub fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

pub fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}
