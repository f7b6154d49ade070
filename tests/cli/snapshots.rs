//! Help of every command, and what the main ones print, held to `snapshots/`. `SNAPSHOTS=overwrite` writes them anew.

use std::path::Path;

use snapbox::{Assert, Data};
use tempfile::TempDir;

use crate::support::{Router, command, root, stderr, stdout};

const RELEASE: &str = "v1.1.0-beta";

/// Holds a text to a file.
fn is_as_in(name: &str, text: String) {
    let file = root().join("tests/cli/snapshots").join(name);
    let assert = Assert::new().action_env("SNAPSHOTS").normalize_paths(false);
    assert.eq(text, Data::read_from(&file, None).raw());
}

fn help(path: &[String]) -> String {
    stdout(&command().args(path).arg("--help").assert().success())
}

/// The commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    // What goes on in the next line is further in.
    let names = list.filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' '));
    let names = names.filter_map(|line| line.split(' ').next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command below `path` and itself, each with its help.
fn below(path: &[String]) -> Vec<(Vec<String>, String)> {
    let own = help(path);
    let children = listed(&own);
    let mut all = vec![(path.to_vec(), own)];
    for child in children {
        let path: Vec<String> = path.iter().cloned().chain([child]).collect();
        all.extend(below(&path));
    }
    all
}

fn top() -> Vec<String> {
    let names = listed(&help(&[]));
    assert!(names.len() > 20, "{names:?}");
    names
}

/// Help without the global options, which are in that of `caro-rollout` itself.
fn own(help: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut global = false;
    for line in help.lines().map(str::trim_end) {
        // They end where something stands at the left again.
        let at_left = !line.is_empty() && !line.starts_with(' ');
        global = line == "Global options:" || global && !at_left;
        if !global {
            lines.push(line);
        }
    }
    lines.join("\n")
}

#[test]
fn help_of_every_command() {
    is_as_in("help.txt", help(&[]));
    for name in top() {
        let all = below(std::slice::from_ref(&name));
        let texts = all.iter().map(|(path, help)| {
            format!(
                "$ caro-rollout {} --help\n{}\n",
                path.join(" "),
                own(help).trim_end()
            )
        });
        is_as_in(
            &format!("help-{name}.txt"),
            texts.collect::<Vec<String>>().join("\n"),
        );
    }
    // What is no command any more has no snapshot either.
    let files = std::fs::read_dir(root().join("tests/cli/snapshots")).unwrap();
    for file in files {
        let file = file.unwrap().file_name().into_string().unwrap();
        let of = file
            .strip_prefix("help-")
            .and_then(|name| name.strip_suffix(".txt"));
        assert!(
            of.is_none_or(|of| top().iter().any(|name| name == of)),
            "{file} is of no command"
        );
    }
}

/// The examples of a help.
fn examples(help: &str) -> Vec<&str> {
    let lines = help
        .lines()
        .skip_while(|line| !matches!(*line, "Example:" | "Examples:"));
    let lines = lines.skip(1).take_while(|line| !line.is_empty());
    let lines: Vec<&str> = lines.map(str::trim).collect();
    let wrapped = lines.iter().find(|line| !line.contains("caro-rollout"));
    assert_eq!(
        wrapped, None,
        "an example does not fit into a line:\n{help}"
    );
    lines
}

/// The command lines of the program itself in a line of shell, in words.
fn lines_of(example: &str) -> Vec<Vec<String>> {
    let mut lines = vec![Vec::new()];
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for c in example.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None, '#') if word.is_empty() => break,
            (None, '|' | '&' | '>' | '<') => lines.push(Vec::new()),
            (None, c) if c.is_whitespace() => {
                if begun || !word.is_empty() {
                    lines.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, c) => word.push(c),
        }
    }
    assert_eq!(quote, None, "a quote is open: {example}");
    lines.extend([Vec::new()]);
    lines.retain(|words| words.first().is_some_and(|word| word == "caro-rollout"));
    lines.into_iter().map(|words| words[1..].to_vec()).collect()
}

#[test]
fn every_help_has_an_example_and_every_example_is_understood() {
    let empty = TempDir::new().unwrap();
    let mut checked = 0;
    for name in top() {
        for (path, help) in below(&[name]) {
            // A group's examples are its commands'.
            if !listed(&help).is_empty() {
                continue;
            }
            let examples = examples(&help);
            assert!(!examples.is_empty(), "{path:?} has no example:\n{help}");
            let all: Vec<Vec<String>> = examples.iter().flat_map(|e| lines_of(e)).collect();
            let own = all.iter().filter(|words| words.starts_with(&path)).count();
            assert!(own > 0, "no example of {path:?} shows it: {examples:?}");
            for words in all {
                is_understood(&words, empty.path());
                checked += 1;
            }
        }
    }
    assert!(checked > 80, "the examples were not found: {checked}");
}

/// That the words of a command line mean something. No router and no other program is reached.
fn is_understood(words: &[String], empty: &Path) {
    let mut run = command();
    run.args(words)
        .env("CARO_ROLLOUT_URL", "none")
        .env("PATH", empty)
        .env("HOME", empty)
        .current_dir(empty)
        .write_stdin("");
    let said = stderr(&run.assert());
    assert!(
        !said.contains("For more information, try '--help'"),
        "{words:?}: {said}"
    );
    assert!(!said.contains("panicked"), "{words:?}: {said}");
}

#[test]
fn lines_of_shell_are_cut_into_words() {
    let check = |line: &str, expected: &[&[&str]]| {
        assert_eq!(lines_of(line), expected, "{line}");
    };
    check("caro-rollout stop", &[&["stop"]]);
    check("caro-rollout a 'b c' '' # d", &[&["a", "b c", ""]]);
    check("caro-rollout a && caro-rollout b > c", &[&["a"], &["b"]]);
    check("caro-rollout a --json | jq '.b | c'", &[&["a", "--json"]]);
}

/// Runs command lines and puts what they print into one text.
fn session(router: &Router, lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        let words = lines_of(&format!("caro-rollout {line}"));
        let words: Vec<&str> = words[0].iter().map(String::as_str).collect();
        let done = router.cli(&words).assert();
        let code = done.get_output().status.code().unwrap();
        let said = format!("{}{}", stdout(&done), stderr(&done));
        let said = said.replace(&router.origin, "http://router");
        text.push_str(&format!("$ caro-rollout {line}\n{said}"));
        if code != 0 {
            text.push_str(&format!("exit code {code}\n"));
        }
        text.push('\n');
    }
    text
}

#[test]
#[ignore = "needs the built Worker"]
fn what_is_printed_where_it_is_looked_at() {
    let router = Router::start();
    let looks = session(
        &router,
        &[
            "status",
            &format!("get {RELEASE}"),
            &format!("get {RELEASE} --json"),
            "canary list",
            "cohort list",
            "cohort show internal_test",
            "flag list",
            "kill-switch list",
            "token list",
            &format!("rollout {RELEASE} 50 --dry-run"),
            &format!("rollback {RELEASE} --dry-run"),
            "stop --dry-run",
            "plan presets",
        ],
    );
    is_as_in("looks.txt", looks);
}

#[test]
#[ignore = "needs the built Worker"]
fn what_is_printed_when_something_is_changed_or_refused() {
    let router = Router::start();
    let changes = session(
        &router,
        &[
            &format!("rollout {RELEASE} 50"),
            &format!("rollout {RELEASE} 50 --yes -m 'day two'"),
            &format!("rollout {RELEASE} 50"),
            &format!("rollout {RELEASE} 150"),
            "rollout v9 5",
            &format!("pause {RELEASE}"),
            &format!("rollout {RELEASE} 60 --yes"),
            &format!("rollout {RELEASE} 60 --yes --json"),
            &format!("promote {RELEASE} --yes"),
            &format!("validate --cohort internal_test --release {RELEASE}"),
            "validate --cohort nobody",
            "kill-switch on telemetry_disabled",
            "stop -m crashes",
            "stop",
            "clear-stop all --yes",
            "clear-stop all --yes -m fixed",
            "stopp",
            "rollout",
        ],
    );
    is_as_in("changes.txt", changes);
}
