//! What a person sees who sits at a terminal, under tmux: questions, colours, widths, what is drawn and drawn again.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::{ADMIN_TOKEN, Router, root};

const RELEASE: &str = "v1.1.0-beta";

static LAST: AtomicU32 = AtomicU32::new(0);

/// A terminal with a shell in it, at which the first release manager sits. It is gone when dropped.
struct Terminal {
    /// The socket of a tmux server of its own, in the router's folder.
    server: PathBuf,
}

impl Terminal {
    fn open(router: &Router, columns: u16, rows: u16) -> Self {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let terminal = Self {
            server: router.home().join(format!("terminal-{number}")),
        };
        let binary = assert_cmd::cargo::cargo_bin!("caro-rollout");
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", binary.parent().unwrap().display());
        let set = [
            format!("PATH={}:{path}", router.home().display()),
            format!("HOME={}", router.home().display()),
            format!("CARO_ROLLOUT_URL={}", router.origin),
            format!("CARO_ROLLOUT_TOKEN={ADMIN_TOKEN}"),
            "TZ=UTC".to_owned(),
            "PS1=ready> ".to_owned(),
        ];
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let size = ["new-session", "-d", "-x", &columns, "-y", &rows];
        let mut command = Command::new("tmux");
        command
            .arg("-S")
            .arg(&terminal.server)
            .args(["-u", "-f", "/dev/null"])
            .args(size)
            .args(["env", "-i", "TERM=screen-256color", "LANG=C.UTF-8"])
            .args(&set)
            .arg("sh")
            .env_remove("TMUX")
            .current_dir(root());
        let begun = command.output().expect("tmux; `make test-cli` installs it");
        assert!(begun.status.success(), "{begun:?}");
        terminal.until("the shell", |screen| screen.contains("ready>"));
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let output = command.arg("-S").arg(&self.server).args(args).output();
        let output = output.unwrap();
        assert!(output.status.success(), "tmux {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types a line.
    fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.presses("Enter");
    }

    /// Presses a key, by tmux's name of it.
    fn presses(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// What stands there; lines that wrapped are whole.
    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// The same with what has left at the top.
    fn history(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// The same with what makes colours.
    fn colours(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    fn shows_a_cursor(&self) -> bool {
        self.tmux(&["display-message", "-p", "#{cursor_flag}"])
            .trim()
            == "1"
    }

    /// Waits until the screen says so, and gives it.
    fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no {what}:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Begins a command line on an empty screen.
    fn begins(&self, line: &str) {
        self.types("clear");
        self.until("empty screen", |screen| screen.trim() == "ready>");
        self.types(&format!("{line}; echo \"over: $?\""));
    }

    /// Runs a command line to its end: what it left there, and its exit code.
    fn run(&self, line: &str) -> (String, i32) {
        self.begins(line);
        self.ends()
    }

    /// Waits for the end of what was begun.
    fn ends(&self) -> (String, i32) {
        let code = |screen: &str| {
            let line = screen
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("over: "))?;
            line.trim().parse::<i32>().ok()
        };
        let screen = self.until("end", |screen| code(screen).is_some());
        let code = code(&screen).unwrap();
        (screen, code)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        let _ = command
            .arg("-S")
            .arg(&self.server)
            .arg("kill-server")
            .output();
    }
}

fn percentage(router: &Router) -> serde_json::Value {
    router.read("/admin/config")["releases"][RELEASE]["percentage"].clone()
}

#[test]
#[ignore = "needs the built Worker"]
fn a_question_says_what_happens_and_takes_no_for_an_answer() {
    let router = Router::start();
    let terminal = Terminal::open(&router, 80, 24);
    let asks = format!("caro-rollout rollout {RELEASE} 50");
    for answer in ["n", ""] {
        terminal.begins(&asks);
        let asked = terminal.until("question", |screen| screen.contains("Go on? [y/N]"));
        assert!(
            asked.contains("25 % of requesters enter, 0 % leave"),
            "{asked}"
        );
        terminal.types(answer);
        let (screen, code) = terminal.ends();
        assert!(screen.contains("nothing was changed"), "{screen}");
        assert_eq!((code, percentage(&router)), (5, 25.into()));
    }
    terminal.begins(&asks);
    terminal.until("question", |screen| screen.contains("Go on? [y/N]"));
    terminal.types("y");
    let (screen, code) = terminal.ends();
    assert!(
        screen.contains("done: v1.1.0-beta: 25 % → 50 %"),
        "{screen}"
    );
    assert_eq!((code, percentage(&router)), (0, 50.into()));
    // A stop does not ask.
    let (screen, code) = terminal.run("caro-rollout stop");
    assert!(!screen.contains("Go on?"), "{screen}");
    assert_eq!((code, percentage(&router)), (0, 0.into()));
}

#[test]
#[ignore = "needs the built Worker"]
fn colours_are_for_terminals() {
    let router = Router::start();
    let terminal = Terminal::open(&router, 80, 24);
    let coloured = |line: &str| {
        terminal.run(line);
        terminal.colours().contains('\u{1b}')
    };
    assert!(coloured("caro-rollout status"));
    assert!(!coloured("caro-rollout status | cat"));
    assert!(!coloured("NO_COLOR=1 caro-rollout status"));
    assert!(!coloured("caro-rollout status --color never"));
    assert!(coloured("caro-rollout status --color always | cat"));
    assert!(!coloured("caro-rollout status --json"));
}

#[test]
#[ignore = "needs the built Worker"]
fn tables_have_headings_and_fit_the_terminal() {
    let router = Router::start();
    for columns in [80, 40] {
        let terminal = Terminal::open(&router, columns, 200);
        for (line, heading) in [
            ("caro-rollout status", "RELEASE"),
            ("caro-rollout plan simulate --scenarios", "SCENARIO"),
            ("caro-rollout audit --limit 5", "ROW"),
            ("caro-rollout health", "CHECK"),
        ] {
            let (screen, code) = terminal.run(line);
            assert_eq!(code, 0, "{screen}");
            let heads = screen.lines().find(|line| line.starts_with(heading));
            assert!(heads.is_some(), "{line} at {columns}:\n{screen}");
            let table = screen.lines().skip_while(|line| !line.starts_with(heading));
            let widest = table.map(|line| line.chars().count()).max().unwrap();
            assert!(
                widest <= usize::from(columns),
                "{line} at {columns}:\n{screen}"
            );
        }
    }
}

#[test]
#[ignore = "needs the built Worker"]
fn a_bar_shows_how_far_it_is_and_goes_away() {
    let router = Router::start();
    let terminal = Terminal::open(&router, 80, 24);
    // A wrangler that answers when it is told to.
    let npx = router.home().join("npx");
    let told = router.home().join("told");
    let script = format!(
        "#!/bin/sh\nuntil [ -e {} ]; do sleep 0.1; done\necho 4.0.0\n",
        told.display()
    );
    std::fs::write(&npx, script).unwrap();
    let mut mode = std::fs::metadata(&npx).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(&npx, mode).unwrap();
    terminal.begins("caro-rollout drill --local");
    let bar = terminal.until("bar", |screen| screen.contains("/7"));
    assert!(bar.lines().any(|line| line.starts_with("drill █")), "{bar}");
    std::fs::write(&told, "").unwrap();
    let (screen, _) = terminal.ends();
    assert!(screen.contains("wrangler 4.0.0"), "{screen}");
    assert!(!screen.contains('█') && !screen.contains("/7"), "{screen}");
    // It stands on standard error, so an answer that is read by a program has none of it.
    let (screen, _) = terminal.run("caro-rollout drill --local --json 2>/dev/null | head -1");
    assert!(screen.contains("\n{\nover: 0"), "{screen}");
}

#[test]
#[ignore = "needs the built Worker"]
fn the_live_view_is_drawn_over_itself_and_gives_the_cursor_back() {
    let router = Router::start();
    router.tell(60, 3);
    let terminal = Terminal::open(&router, 100, 24);
    terminal.begins(&format!(
        "caro-rollout health --release {RELEASE} --interval 1s"
    ));
    // The seconds of the panel; a busy machine skips some.
    let seconds = |screen: &str| -> Option<u32> {
        let (before, _) = screen.split_once(" s of 1 h; Ctrl-C ends")?;
        before.rsplit(' ').next()?.parse().ok()
    };
    let first = terminal.until("panel", |screen| seconds(screen).is_some());
    let begun = seconds(&first).unwrap();
    assert!(
        first.contains("active at 25 %, no plan: nothing halts it"),
        "{first}"
    );
    let later = terminal.until("later look", |screen| seconds(screen) >= Some(begun + 3));
    assert_eq!(later.matches("Ctrl-C ends").count(), 1, "{later}");
    assert!(later.contains("command_success  95.00 %"), "{later}");
    assert!(!terminal.shows_a_cursor());
    terminal.presses("C-c");
    let (screen, code) = terminal.ends();
    assert_eq!(code, 1);
    assert!(
        screen.contains("v1.1.0-beta interrupted before the time was over"),
        "{screen}"
    );
    assert_eq!(screen.matches("Ctrl-C ends").count(), 1, "{screen}");
    assert!(terminal.shows_a_cursor());

    // It fits where there is little room, and ends by itself.
    let narrow = Terminal::open(&router, 40, 8);
    let (screen, code) = narrow.run(&format!(
        "caro-rollout health --release {RELEASE} --duration 2s --interval 1s"
    ));
    assert_eq!(code, 0, "{screen}");
    let all = narrow.history();
    assert_eq!(all.matches(" of 2 s; Ctrl").count(), 1, "{all}");
    assert!(narrow.shows_a_cursor());
}

#[test]
#[ignore = "needs the built Worker"]
fn rows_of_the_log_come_as_they_are_written() {
    let router = Router::start();
    let terminal = Terminal::open(&router, 120, 24);
    router.says(&["pause", RELEASE, "-m", "the first row"]);
    terminal.begins("caro-rollout audit --follow");
    terminal.until("row", |screen| screen.contains("the first row"));
    router.says(&["resume", RELEASE, "--yes", "-m", "another row"]);
    let screen = terminal.until("new row", |screen| screen.contains("another row"));
    assert_eq!(screen.matches("the first row").count(), 1, "{screen}");
    terminal.presses("C-c");
    let screen = terminal.until("shell", |screen| screen.trim_end().ends_with("ready>"));
    assert_eq!(screen.matches("another row").count(), 1, "{screen}");
}
