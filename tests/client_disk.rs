//! What the client keeps on disk: it survives restarts, is checked again when it is read, is never torn, and nothing
//! depends on it.

#![cfg(all(feature = "client", unix))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use caro_edge::client::{Client, Outcome, Source, platform};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

mod support;
#[path = "support/unsound.rs"]
mod unsound;

use unsound::{Clock, Fault, Router, SEED, builder, public_key};

const HOUR: i64 = 3600;

struct World {
    folder: TempDir,
    clock: Clock,
    router: Router,
}

/// A router whose `flag` is on, and a folder for caches.
fn world() -> World {
    let clock = Clock::default();
    let router = Router::start(&flag(7, true), &clock);
    World {
        folder: tempdir().unwrap(),
        clock,
        router,
    }
}

fn flag(revision: u64, on: bool) -> Value {
    json!({"revision": revision, "features": {"v1.1.0-beta": {"flag": on}}})
}

impl World {
    /// A process is started.
    fn client(&self) -> Client {
        let folder = self.folder.path().join("caro-edge");
        builder(&self.router, &self.clock)
            .cache_dir(folder)
            .build()
            .unwrap()
    }

    /// The file, after a client has heard the router once.
    fn filled(&self) -> PathBuf {
        let client = self.client();
        assert_eq!(client.refresh().outcome, Outcome::Fetched);
        client.status().cache.unwrap()
    }
}

fn warnings(client: &Client) -> String {
    client.status().warnings.join("\n")
}

#[test]
fn a_restart_knows_what_was_known() {
    let world = world();
    world.router.set(&json!({"revision": 8, "kill_switches": {"features": ["flag"], "telemetry_disabled": true}, "features": {"v1.1.0-beta": {"flag": true}}}), None);
    world.filled();
    world.router.fail(Fault::Close);
    // Weeks later, without a network.
    world.clock.forward(30 * 24 * HOUR);
    let client = world.client();
    assert!(client.is_killed("flag") && client.bool("telemetry_disabled", false));
    let status = client.status();
    assert_eq!(
        (status.source, status.revision),
        (Source::LastGood, Some(8))
    );
    assert!(matches!(client.refresh().outcome, Outcome::Failed(_)));
    assert!(client.is_killed("flag"));
    // Another requester or release knows nothing of it.
    let folder = world.folder.path().join("caro-edge");
    let other = builder(&world.router, &world.clock)
        .cache_dir(folder)
        .id("bob");
    assert_eq!(other.build().unwrap().status().source, Source::Defaults);
}

#[test]
fn it_is_its_owners_alone_and_names_nobody() {
    let world = world();
    let path = world.filled();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert!(!fs::read_to_string(&path).unwrap().contains("alice"));
    let names = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<_> = names
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    assert_eq!(names, [format!("{stem}.json"), format!("{stem}.lock")]);
}

/// Started every twenty seconds for fifty minutes: asked once.
#[test]
fn short_lives_do_not_each_ask() {
    let world = world();
    for _ in 0..150 {
        let client = world.client();
        client.refresh();
        assert!(client.bool("flag", false));
        world.clock.forward(20);
    }
    assert_eq!(world.router.count(), 1);
    // Nor when the router is down: once or twice in the first minutes.
    world.clock.forward(2 * HOUR);
    world.router.fail(Fault::Status(500, None));
    for _ in 0..120 {
        world.client().refresh();
        world.clock.forward(1);
    }
    assert!(
        (2..=3).contains(&world.router.count()),
        "{}",
        world.router.count()
    );
}

/// One byte changed anywhere: it says what it said, or is not used.
#[test]
fn nothing_of_it_can_be_changed() {
    let world = world();
    let path = world.filled();
    world.clock.forward(2 * HOUR);
    assert_eq!(world.client().refresh().outcome, Outcome::NotModified);
    let good = fs::read(&path).unwrap();
    let values = world.client().values();
    let mut refused = 0;
    for at in (0..good.len()).step_by(11) {
        let mut bytes = good.clone();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        fs::write(&path, bytes).unwrap();
        let client = world.client();
        if client.status().source == Source::Defaults {
            assert!(warnings(&client).contains("it is not used"));
            refused += 1;
        } else {
            assert_eq!(client.values(), values, "byte {at}");
        }
    }
    assert!(
        refused > good.len() / 22,
        "{refused} of {}",
        good.len() / 11
    );
}

#[test]
fn broken_files_are_mended() {
    let world = world();
    let path = world.filled();
    let good = fs::read_to_string(&path).unwrap();
    let body = good.replace(r#"{\"value\":true"#, r#"{\"value\":false"#);
    let early = good.replace("2026-01-15", "2999-01-15");
    assert!(body != good && early != good);
    let cases = [
        String::new(),
        good[..good.len() / 2].to_owned(),
        "\0".repeat(4096),
        "x".repeat(3 << 20),
        good.replace("\"format\":1", "\"format\":2"),
        body,
        // One signed answer in the other's place.
        good.replace("\"status\":200", "\"status\":304"),
    ];
    for (i, text) in cases.iter().enumerate() {
        fs::write(&path, text).unwrap();
        let client = world.client();
        assert!(
            warnings(&client).contains("it is not used"),
            "{i}: {}",
            warnings(&client)
        );
        assert_eq!(client.status().source, Source::Defaults, "{i}");
        assert_eq!(client.refresh().outcome, Outcome::Fetched, "{i}");
        assert_eq!(warnings(&client), "", "{i}");
        assert_eq!(world.client().status().source, Source::Router, "{i}");
    }
    // A time that nobody could have written puts nothing off.
    fs::write(&path, early).unwrap();
    assert_eq!(world.client().refresh().outcome, Outcome::NotModified);
}

/// Keys that were given later hold for what was kept earlier.
#[test]
fn what_was_kept_unsigned_is_not_trusted_with_keys() {
    let folder = tempdir().unwrap();
    let clock = Clock::default();
    let router = Router::unsigned(&flag(7, true), &clock);
    let new = || builder(&router, &clock).cache_dir(folder.path());
    assert_eq!(new().build().unwrap().refresh().outcome, Outcome::Fetched);
    assert!(new().build().unwrap().bool("flag", false));
    let client = new().keys([public_key(SEED)]).build().unwrap();
    assert!(!client.bool("flag", false));
    assert!(
        warnings(&client).contains("not signed"),
        "{}",
        warnings(&client)
    );
}

/// The newest revision is kept, also when the router only said that nothing has changed.
#[test]
fn an_older_revision_is_not_taken_after_a_restart() {
    let world = world();
    world.filled();
    world.router.set(&flag(9, true), None);
    world.clock.forward(2 * HOUR);
    assert_eq!(world.client().refresh().outcome, Outcome::NotModified);
    world.router.set(&flag(8, false), None);
    world.clock.forward(2 * HOUR);
    let client = world.client();
    assert_eq!(client.status().revision, Some(9));
    let outcome = client.refresh().outcome;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
    assert!(client.bool("flag", false));
}

/// A process that has known less for long does not undo what another has heard.
#[test]
fn the_higher_revision_wins() {
    let world = world();
    let old = world.client();
    old.refresh();
    world.router.set(&flag(9, false), None);
    world.clock.forward(2 * HOUR);
    assert_eq!(world.client().refresh().outcome, Outcome::Fetched);
    // The other one is told by the disk, without a request.
    let count = world.router.count();
    let refreshed = old.refresh();
    assert_eq!(refreshed.outcome, Outcome::Shared);
    assert_eq!(refreshed.changes.len(), 1);
    assert!(!old.bool("flag", true));
    assert_eq!(world.router.count(), count);
    assert_eq!(world.client().status().revision, Some(9));
}

/// Nothing can be written: the values are there all the same, and the status says so.
#[test]
fn a_folder_that_cannot_be_written() {
    let world = world();
    let file = world.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let closed = world.folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    let mut folders = vec![file.join("below")];
    // To root nothing is closed.
    folders.extend(fs::write(closed.join("x"), "").is_err().then_some(closed));
    for folder in folders {
        let client = builder(&world.router, &world.clock)
            .cache_dir(&folder)
            .build()
            .unwrap();
        assert_eq!(
            client.refresh().outcome,
            Outcome::Fetched,
            "{}",
            folder.display()
        );
        assert!(client.bool("flag", false));
        assert!(
            warnings(&client).contains("it cannot be written"),
            "{}",
            warnings(&client)
        );
        assert_eq!(
            client.refresh().outcome,
            Outcome::NotDue,
            "the schedule is in memory"
        );
    }
}

/// A process that was stopped while it asked (Ctrl-Z) keeps the lock. Others wait for a while and go on.
#[test]
fn a_lock_that_is_never_given_back() {
    let world = world();
    let path = world.filled();
    let lock = fs::File::open(path.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    world.clock.forward(2 * HOUR);
    let folder = world.folder.path().join("caro-edge");
    let client = builder(&world.router, &world.clock).cache_dir(folder);
    let client = client.timeout(Duration::from_millis(600)).build().unwrap();
    let start = Instant::now();
    assert_eq!(client.refresh().outcome, Outcome::NotModified);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

/// A process that ended before the answer came: the next one waits a minute.
#[test]
fn a_request_that_nobody_waited_for() {
    let world = world();
    world.router.fail(Fault::Hang);
    let watch = world.client().watch(|_| {}).unwrap();
    world.router.wait_for(1);
    drop(watch);
    assert_eq!(world.client().refresh().outcome, Outcome::NotDue);
    world.router.fail(Fault::None);
    world.clock.forward(60);
    assert_eq!(world.client().refresh().outcome, Outcome::Fetched);
}

// ---- processes of their own ----------------------------------------------------------------------------

/// Runs [`child`] in a process of its own, by a shell command that ends with `exec "$@"`.
fn spawn(world: &World, role: &str, shell: &str) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", shell, "sh"])
        .arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "child", "--nocapture"]);
    command
        .env("ROLE", role)
        .env("ROUTER", world.router.url())
        .env("FOLDER", world.folder.path());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// What it printed.
fn said(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix("SAID "));
    serde_json::from_str(line.unwrap_or_else(|| panic!("{text}"))).unwrap()
}

#[test]
#[ignore = "run by other tests, as a process of its own"]
fn child() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let clock = Clock::default();
    let new = || {
        let folder = PathBuf::from(variable("FOLDER")).join("caro-edge");
        let client = Client::builder(&variable("ROUTER"))
            .release("v1.1.0-beta")
            .id("alice");
        let client = client
            .attributes("linux", "amd64", None)
            .keys([public_key(SEED)]);
        client
            .cache_dir(folder)
            .no_overrides()
            .timeout(Duration::from_secs(10))
            .world(clock.clone())
    };
    let said = match variable("ROLE").as_str() {
        "once" => {
            let client = new().build().unwrap();
            let outcome = format!("{:?}", client.refresh().outcome);
            json!({"outcome": outcome, "flag": client.bool("flag", false), "status": client.status()})
        }
        "later" => {
            clock.forward(2 * HOUR);
            let client = new().build().unwrap();
            let outcome = format!("{:?}", client.refresh().outcome);
            json!({"outcome": outcome, "flag": client.bool("flag", false), "status": client.status()})
        }
        "churn" => {
            for _ in 0..20 {
                clock.forward(2);
                let client = new().interval(Duration::from_secs(1)).build().unwrap();
                client.refresh();
                assert_eq!(client.status().last_error, None);
            }
            json!("done")
        }
        _ => json!([platform::cache_dir(), platform::overrides()]),
    };
    println!("\nSAID {said}");
}

#[test]
fn several_processes_at_once_ask_once() {
    let world = world();
    let children: Vec<_> = (0..6)
        .map(|_| spawn(&world, "once", r#"exec "$@""#))
        .collect();
    let said: Vec<_> = children.into_iter().map(said).collect();
    assert_eq!(world.router.count(), 1, "{said:#?}");
    for said in &said {
        assert_eq!(said["flag"], true, "{said:#}");
        assert_eq!(said["status"]["revision"], 7);
    }
    let fetched = said
        .iter()
        .filter(|said| said["outcome"] == "Fetched")
        .count();
    assert_eq!(fetched, 1);
}

/// Who reads while others write gets a whole file.
#[test]
fn no_file_is_torn() {
    let world = world();
    world.filled();
    let mut children: Vec<_> = (0..3)
        .map(|_| spawn(&world, "churn", r#"exec "$@""#))
        .collect();
    let mut reads = 0;
    while children
        .iter_mut()
        .any(|child| child.try_wait().unwrap().is_none())
    {
        let client = world.client();
        assert_eq!(warnings(&client), "");
        assert!(client.bool("flag", false));
        reads += 1;
    }
    children
        .into_iter()
        .for_each(|child| assert_eq!(said(child), "done"));
    assert!(reads > 10, "{reads}");
}

/// The disk is full, as the system says it to a process that may write no more: what was there stays, what came is known
/// until the end.
#[test]
fn a_full_disk() {
    let world = world();
    let path = world.filled();
    let before = fs::read(&path).unwrap();
    world.router.set(&flag(8, false), None);
    world.clock.forward(2 * HOUR);
    // Without the signal, so that writing fails as on a full disk.
    let full = said(spawn(
        &world,
        "later",
        r#"trap "" XFSZ; ulimit -f 0; exec "$@""#,
    ));
    assert_eq!(full["outcome"], "Fetched", "{full:#}");
    assert_eq!(full["flag"], false);
    assert_eq!(full["status"]["revision"], 8);
    let warning = full["status"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("it cannot be written: File too large"),
        "{warning}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    let count = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(count, 2, "nothing half-written is left");
    assert_eq!(world.client().status().revision, Some(7));
}

#[test]
fn where_files_are() {
    let world = world();
    let places = |shell: &str| said(spawn(&world, "places", shell));
    let home = places(r#"unset XDG_CONFIG_HOME XDG_CACHE_HOME; HOME=/h exec "$@""#);
    assert_eq!(home[1], "/h/.config/caro/features.toml");
    let cache = match cfg!(target_os = "macos") {
        true => "/h/Library/Caches/caro-edge",
        false => "/h/.cache/caro-edge",
    };
    assert_eq!(home[0], cache);
    let set = places(r#"HOME=/h XDG_CONFIG_HOME=/c exec "$@""#);
    assert_eq!(set[1], "/c/caro/features.toml");
}
