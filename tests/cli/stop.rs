//! The emergency stop, which must work at three in the morning.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{ADMIN_TOKEN, Router, command, root, stderr, stdout};

const RELEASE: &str = "v1.1.0-beta";

/// Waits until the edge says so: it looks at KV every five seconds.
fn until(router: &Router, what: impl Fn(&Value) -> bool) {
    let begun = Instant::now();
    loop {
        let status = router.json(&["status"]);
        if what(&status["status"]) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{status:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "needs the built Worker"]
fn one_word_stops_everything_and_only_a_person_lifts_it() {
    let router = Router::start();
    let done = router.says(&["stop"]);
    assert!(done.contains("KV has it"), "{done}");
    until(&router, |status| status["emergency_stop"]["scope"] == "all");
    let text = router.says(&["status"]);
    assert!(
        text.contains("EMERGENCY STOP: everything is stopped"),
        "{text}"
    );
    assert!(text.contains("stopped from the command line"), "{text}");
    // Again: nothing to do, and no error.
    assert!(router.says(&["stop"]).starts_with("nothing to do"));
    let asked = router
        .cli(&["clear-stop", "all", "-m", "fixed"])
        .assert()
        .code(2);
    assert!(stderr(&asked).contains("add --yes"));
    let unsaid = router.cli(&["clear-stop", "all", "--yes"]).assert().code(5);
    assert!(stderr(&unsaid).contains("--reason"), "{}", stderr(&unsaid));
    router.says(&["clear-stop", "all", "-m", "fixed", "--yes"]);
    until(&router, |status| {
        status["emergency_stop"]["active"] == false
    });
    let left = &router.json(&["get", RELEASE])["configured_percentage"];
    assert_eq!(left, 0, "a stopped release begins at 0 again");
}

#[test]
#[ignore = "needs the built Worker"]
fn one_release_is_stopped_alone_and_by_hand_too() {
    let mut router = Router::start();
    let dry = router.says(&["stop", RELEASE, "--dry-run"]);
    assert!(dry.contains("nothing was changed"), "{dry}");
    let done = router.json(&["stop", RELEASE, "-m", "crashes on start"]);
    assert_eq!(done["published"], true);
    // At once, although this edge has yet to hear of it.
    let status = router.says(&["status"]);
    assert!(
        status.contains("v1.1.0-beta\t1.1.0-beta.2\tstopped\t0 %"),
        "{status}"
    );
    until(&router, |status| {
        status["emergency_stop"]["releases"][0] == RELEASE
    });
    // The same by a person with the KV dashboard.
    router.kv("emergency-stop", Some("all"));
    until(&router, |status| status["emergency_stop"]["scope"] == "all");
}

#[test]
fn out_of_reach_it_says_how_kv_does_it() {
    let mut down = command();
    down.args(["stop", "--url", "http://127.0.0.1:9", "--timeout", "2s"]);
    let failed = down.env("CARO_ROLLOUT_TOKEN", ADMIN_TOKEN).assert().code(7);
    let said = stderr(&failed);
    assert!(said.contains("NOT STOPPED"), "{said}");
    let by_hand = "npx wrangler kv key put --remote --binding ROLLOUT emergency-stop all";
    assert!(said.contains(by_hand), "{said}");
    let printed = command().args(["stop", "--via-kv"]).assert().success();
    assert_eq!(stdout(&printed), format!("{by_hand}\n"));
    let named = command().args(["stop", "ALL OF IT"]).assert().code(2);
    assert!(stderr(&named).contains("release"), "{}", stderr(&named));
}

#[test]
#[ignore = "needs the built Worker"]
fn a_token_comes_from_a_file_that_nobody_else_reads() {
    let router = Router::start();
    let file = router.home().join("token");
    fs::write(&file, format!("{ADMIN_TOKEN}\n")).unwrap();
    let path = file.to_str().unwrap();
    let with = |path: &str| {
        let mut command = router.anonymous();
        command.args(["token", "list", "--token-file", path]);
        command
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = with(path).assert().code(3);
    assert!(stderr(&open).contains("chmod 600"), "{}", stderr(&open));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    with(path).assert().success();
    with("-").write_stdin(ADMIN_TOKEN).assert().success();
    with("-").write_stdin("two words").assert().code(3);
    // Where it is looked for by itself.
    let usual = router.home().join(".config/caro-rollout");
    fs::create_dir_all(&usual).unwrap();
    fs::rename(&file, usual.join("token")).unwrap();
    router
        .anonymous()
        .args(["token", "list"])
        .assert()
        .success();
    let plain = command()
        .args(["token", "list", "--url", "http://router.example.org"])
        .env("CARO_ROLLOUT_TOKEN", ADMIN_TOKEN)
        .assert()
        .code(2);
    assert!(stderr(&plain).contains("use https"), "{}", stderr(&plain));
    // It is no argument of anything.
    let help = stdout(
        &command()
            .args(["token", "list", "--help"])
            .assert()
            .success(),
    );
    assert!(!help.contains("--token "), "{help}");
}

/// Wrangler itself, on a KV of its own.
#[test]
#[ignore = "needs wrangler"]
fn by_kv_alone_it_adds_to_what_is_stopped_already() {
    let home = tempfile::TempDir::new().unwrap();
    let npx = home.path().join("npx");
    fs::write(&npx, "#!/bin/sh\nexec \"$@\"\n").unwrap();
    fs::set_permissions(&npx, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(
        root().join("wrangler.toml"),
        home.path().join("wrangler.toml"),
    )
    .unwrap();
    let path = format!(
        "{}:{}:{}",
        home.path().display(),
        root().join("node_modules/.bin").display(),
        std::env::var("PATH").unwrap()
    );
    let stop = |release: &str| {
        let mut stop = command();
        stop.args(["stop", release, "--via-kv", "--run", "--local"])
            .env("PATH", &path)
            .env("HOME", home.path())
            .current_dir(home.path());
        stdout(&stop.assert().success())
    };
    assert!(stop("v1.2.0-beta").contains("emergency-stop is v1.2.0-beta."));
    let both = stop("v1.1.0-beta");
    assert!(
        both.contains("emergency-stop is v1.2.0-beta,v1.1.0-beta."),
        "{both}"
    );
    assert!(stop("all").contains("emergency-stop is all."));
    let still = stop("v1.1.0-beta");
    assert!(still.contains("emergency-stop is all."), "{still}");
}

/// A proxy that the environment names would read the token of a call that is not encrypted.
#[test]
fn no_proxy_stands_between_a_token_and_this_machine() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut list = command();
    list.args([
        "token",
        "list",
        "--url",
        "http://127.0.0.1:9",
        "--timeout",
        "1s",
    ])
    .env("CARO_ROLLOUT_TOKEN", ADMIN_TOKEN);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        list.env(name, &address);
    }
    list.assert().code(7);
    let asked = proxy.accept().map(|_| ()).map_err(|e| e.kind());
    assert_eq!(
        asked,
        Err(std::io::ErrorKind::WouldBlock),
        "the proxy was asked"
    );
}
