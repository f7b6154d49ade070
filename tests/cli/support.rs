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

    /// Events of the release's version, as a client sends them: so many commands, and how many of them fail.
    pub fn tell(&self, commands: u64, failures: u64) {
        let now = jiff::Timestamp::now();
        let event = |kind: &str, id: u64, more: Value| {
            let session = format!("session-{}-{commands}", now.as_nanosecond());
            let mut event = serde_json::json!({
                "id": format!("{session}-{id}"), "session_id": session, "timestamp": now.to_string(), "type": kind,
            });
            let (own, more) = (event.as_object_mut().unwrap(), more.as_object().unwrap());
            own.extend(more.clone());
            event
        };
        let start = serde_json::json!({ "version": "1.1.0-beta.2", "platform": "linux" });
        let mut events = vec![event("session_start", 0, start)];
        events.extend((1..=commands).map(|id| {
            let success = id > failures;
            let command =
                serde_json::json!({ "success": success, "duration_ms": 250, "backend": "static" });
            event("command_generation", id, command)
        }));
        let mut answer = ureq::post(format!("{}/api/events", self.origin))
            .header("content-type", "application/json")
            .send(Value::from(events).to_string())
            .unwrap();
        let said: Value =
            serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        assert_eq!(said["accepted"], commands + 1, "{said}");
    }

    /// A command of the first release manager's that runs beside the test, its output to be read as it comes.
    pub fn spawn(&self, args: &[&str]) -> Running {
        self.spawn_as(ADMIN_TOKEN, args)
    }

    pub fn spawn_as(&self, token: &str, args: &[&str]) -> Running {
        let errors = self.home.path().join("errors");
        let stderr = std::fs::File::create(&errors).unwrap();
        let child = Command::new(assert_cmd::cargo::cargo_bin!("caro-rollout"))
            .args(args)
            .env_clear()
            .env("CARO_ROLLOUT_URL", &self.origin)
            .env("CARO_ROLLOUT_TOKEN", token)
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Running::new(child, errors)
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

    /// What the control API answers, past the command line.
    pub fn read(&self, path: &str) -> Value {
        let mut answer = ureq::get(format!("{}{path}", self.origin))
            .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
            .call()
            .unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// A new token of a role.
    pub fn mint(&self, role: &str) -> String {
        self.says(&["token", "add", role, role, "--yes"])
            .trim()
            .to_owned()
    }
}

/// A command that runs beside the test.
pub struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
    errors: PathBuf,
}

impl Running {
    fn new(mut child: Child, errors: PathBuf) -> Self {
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            output,
            errors,
        }
    }

    /// What it has said on standard error.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    /// Its next line.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Sends it a signal by name, such as INT.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// Its exit code, and the lines that it printed until then.
    pub fn end(&mut self) -> (Option<i32>, Vec<String>) {
        let lines: Vec<String> = (&mut self.output).lines().map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
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
