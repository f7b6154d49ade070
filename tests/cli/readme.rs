//! README's command lines: every one is run, in the order in which they stand there, as one person would who reads it
//! from the top. What cannot be run here is named in [`NOT_HERE`].

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{ADMIN_TOKEN, Router, root};

/// How a line that is not run begins, and why not.
const NOT_HERE: [(&str, &str); 6] = [
    ("make ", "runs these tests, or does not end"),
    (
        "cargo install",
        "builds what is run here once more, for minutes",
    ),
    ("npx wrangler secret", "wants a Cloudflare account"),
    (
        "caro-rollout config fill",
        "downloads published files; tests/cli/config.rs does it on loopback",
    ),
    (
        "caro-rollout drill",
        "wants a deployed router, and a release without a plan; tests/cli/drill.rs does both",
    ),
    (
        "caro-rollout validate",
        "says no before there is evidence; tests/cli/validate.rs has it say yes",
    ),
];

/// A fenced block.
struct Block {
    line: usize,
    /// `sh` or `console`.
    kind: String,
    text: String,
}

fn blocks(readme: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (at, line) in readme.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(kind) if !open => {
                open = true;
                blocks.push(Block {
                    line: at + 1,
                    kind: kind.to_owned(),
                    text: String::new(),
                });
            }
            Some(_) => open = false,
            None if open => {
                let block = blocks.last_mut().unwrap();
                // Blocks in lists are indented.
                let line = line.strip_prefix("   ").unwrap_or(line);
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks.retain(|block| matches!(block.kind.as_str(), "sh" | "console"));
    blocks
}

/// A person at a terminal: a folder, a PATH, and the answer yes.
struct Person {
    router: Router,
    token: String,
}

impl Person {
    fn new() -> Self {
        let sample = root().join(".sample");
        let made = Command::new(root().join("node_modules/.bin/node"))
            .arg("scripts/sample.mjs")
            .env("PATH", path(None))
            .current_dir(root())
            .status();
        assert!(made.unwrap().success(), "the sample could not be made");
        let config = fs::read_to_string(sample.join("config.json")).unwrap();
        let key = fs::read_to_string(sample.join("signing.pem")).unwrap();
        let mut router = Router::with_bindings(
            None,
            &serde_json::json!({ "ADMIN_TOKEN": ADMIN_TOKEN, "SIGNING_KEYS": key }),
            Some(&sample.join("www")),
        );
        let config = config.replace("http://localhost:8787", &router.origin);
        router.kv("config", Some(&config));
        let home = router.home();
        fs::write(home.join("config.json"), &config).unwrap();
        fs::copy(root().join("wrangler.toml"), home.join("wrangler.toml")).unwrap();
        for folder in ["scripts", "examples"] {
            std::os::unix::fs::symlink(root().join(folder), home.join(folder)).unwrap();
        }
        let tools = home.join("tools");
        fs::create_dir(&tools).unwrap();
        // Whoever reads README says yes when asked.
        let binary = assert_cmd::cargo::cargo_bin!("caro-rollout");
        let wrapper = format!(
            "#!/bin/sh\n{0} \"$@\" 2>{1}/asked && exit 0\ncode=$?\n\
             grep -q 'add --yes' {1}/asked && exec {0} \"$@\" --yes\ncat {1}/asked >&2\nexit $code\n",
            binary.display(),
            home.display()
        );
        let npx = "#!/bin/sh\nexec \"$@\"\n";
        for (name, text) in [("caro-rollout", wrapper.as_str()), ("npx", npx)] {
            fs::write(tools.join(name), text).unwrap();
            fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self {
            router,
            token: String::new(),
        }
    }

    /// A token that README's person has lost.
    fn lose_a_token(&mut self) {
        self.router.mint("viewer");
        let tokens = self.router.json(&["token", "list"]);
        self.token = tokens["tokens"][0]["id"].as_str().unwrap().to_owned();
    }

    /// Waits until the edge serves what was changed last.
    fn until_the_edge_knows(&self) {
        let begun = Instant::now();
        loop {
            let looks = self.router.json(&["status"]);
            if looks["status"]["revision"] == looks["ops"]["revision"] {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{looks:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs a script and gives what it prints.
    fn run(&self, block: &Block, script: &str) -> String {
        let host = self.router.origin.trim_start_matches("http://").to_owned();
        let script = script
            .replace("https://get.caro.sh", &self.router.origin)
            .replace("https://api.caro.sh", &self.router.origin)
            .replace("http://localhost:8787", &self.router.origin)
            .replace("localhost:8787", &host)
            .replace("3ab01ab4c73a", &self.token)
            .replace("--duration 30m", "--duration 1s")
            .replace("--remote", "--local");
        let home = self.router.home();
        let output = Command::new("sh")
            .args(["-e", "-c", &script])
            .current_dir(&home)
            .env_clear()
            .env("PATH", path(Some(&home.join("tools"))))
            .env("HOME", &home)
            .env("TZ", "UTC")
            .env("CI", "1")
            .env("WRANGLER_SEND_METRICS", "false")
            .env("CARO_ROLLOUT_URL", &self.router.origin)
            .env("CARO_ROLLOUT_TOKEN", ADMIN_TOKEN)
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .env("TOKEN", ADMIN_TOKEN)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(home.to_str().unwrap(), "/home/you")
        };
        let printed = text(&output.stdout);
        assert!(
            output.status.success(),
            "README, line {}: {}\n{script}\n--- printed\n{printed}\n--- said\n{}",
            block.line,
            output.status,
            text(&output.stderr),
        );
        // The installer speaks on standard error.
        format!("{}{printed}", text(&output.stderr))
    }
}

fn path(first: Option<&Path>) -> String {
    let bin = root().join("node_modules/.bin");
    let usual = std::env::var("PATH").unwrap_or_default();
    let first = first
        .map(|p| format!("{}:", p.display()))
        .unwrap_or_default();
    format!("{first}{}:{usual}", bin.display())
}

fn is_not_here(line: &str) -> bool {
    NOT_HERE
        .iter()
        .any(|(begins, _)| line.trim_start().starts_with(begins))
}

/// `…` stands for anything within a line.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let mut rest = rest;
    let mut open = false;
    for part in parts {
        open = part.is_empty();
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || open
}

/// The commands of a console block, each with the lines that it is shown to print.
fn dialogue(text: &str) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push((command.to_owned(), Vec::new())),
            None if steps
                .last()
                .is_some_and(|(command, _)| command.ends_with('\\')) =>
            {
                let command = &mut steps.last_mut().unwrap().0;
                command.push('\n');
                command.push_str(line);
            }
            // A blank line is there for the eye.
            None if line.is_empty() => {}
            None => steps.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    steps
}

#[test]
#[ignore = "needs the built Worker"]
fn every_command_line_in_readme_works() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut person = Person::new();
    let mut run = 0;
    for block in blocks(&readme) {
        if block.text.contains("3ab01ab4c73a") {
            person.lose_a_token();
        }
        if block.text.contains("health --release") {
            person.until_the_edge_knows();
        }
        if block.kind == "console" {
            let mut exported = String::new();
            for (command, shown) in dialogue(&block.text) {
                if command.starts_with("export ") {
                    exported = format!("{command}\n");
                    continue;
                }
                let printed = person.run(&block, &format!("{exported}{command}"));
                let printed = printed.lines().map(str::trim_end);
                let printed: Vec<&str> = printed.filter(|line| !line.is_empty()).collect();
                let agrees = shown.len() == printed.len()
                    && shown
                        .iter()
                        .zip(&printed)
                        .all(|(shown, line)| matches(shown, line));
                assert!(
                    agrees,
                    "README, line {}: {command}\n--- shows\n{}\n--- prints\n{}",
                    block.line,
                    shown.join("\n"),
                    printed.join("\n")
                );
                run += 1;
            }
            continue;
        }
        let script: Vec<&str> = block
            .text
            .lines()
            .filter(|line| !is_not_here(line))
            .collect();
        if !script.is_empty() {
            person.run(&block, &script.join("\n"));
            run += script.len();
        }
    }
    assert!(run > 60, "README's blocks were not found: {run}");
    let status: Value = person.router.json(&["status"]);
    assert_eq!(status["status"]["status"], "ok");
}

#[test]
fn what_readme_leaves_out_is_still_there() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = blocks(&readme);
    for (begins, why) in NOT_HERE {
        let used = blocks.iter().any(|b| {
            b.text
                .lines()
                .any(|line| line.trim_start().starts_with(begins))
        });
        assert!(
            used,
            "README has no {begins:?} ({why}) any more: take it off the list"
        );
    }
}

#[test]
fn three_dots_stand_for_anything_in_a_line() {
    assert!(matches("a…c", "abc") && matches("a…", "abc") && matches("abc", "abc"));
    assert!(!matches("a…c", "abd") && !matches("ab", "abc") && !matches("b…", "abc"));
}
