//! What reaches a shell: every answer on an install path is a script, no byte of the request is in
//! it, and everybody of one arm gets the same bytes.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::collections::BTreeMap;

use caro_edge::api::edge::Edge;
use caro_edge::api::handle::handle;
use caro_edge::api::reply::{Answer, Reply};
use caro_edge::core::decode::hex;
use caro_edge::core::defaults::Defaults;
use proptest::prelude::*;
use serde_json::json;

use support::{CONFIG, Incoming, NOW, document, edge};

/// Edges in every condition, so that each kind of answer comes up.
fn edges() -> Vec<Edge> {
    let killed = document(&json!({"kill_switches": {"canary": true}}));
    let full = document(&json!({"releases": {"v1.1.0-beta": {"percentage": 100}}}));
    vec![
        edge(Some(CONFIG), None),
        edge(Some(CONFIG), Some("all")),
        edge(Some(&killed), None),
        edge(Some(&full), None),
        edge(None, None),
        edge(Some("{"), Some("")),
        Edge::new(Defaults::default(), Vec::new()),
    ]
}

/// The reply, if it is the edge's own to give.
fn reply(edge: &mut Edge, request: &Incoming) -> Option<Reply> {
    Some(match handle(edge, request, NOW) {
        Answer::Fresh(reply) => reply,
        Answer::Kept(id) | Answer::NotModified(id) => edge.kept.reply(id).unwrap().clone(),
        _ => return None,
    })
}

fn check_script(path: &str, reply: &Reply) {
    let Reply { status, body, .. } = reply;
    assert_eq!(
        reply.header("Content-Type"),
        Some("text/plain; charset=utf-8"),
        "{path}"
    );
    assert!(!body.is_empty() && body.is_ascii(), "{path}: {body}");
    assert!(!body.contains(['\r', '\0']), "{path}: {body}");
    if *status == 200 {
        // A cut download lacks the brace that closes the only call, so it runs nothing.
        assert!(
            body.ends_with('}'),
            "{path} ends with {:?}",
            &body[body.len() - 20..]
        );
        assert_eq!(body.matches("@PRELUDE@").count(), 0, "{path}");
    } else {
        assert!(body.ends_with("\nexit 1\n"), "{path}: {body}");
        assert!(body.lines().count() <= 3, "{path}: {body}");
    }
    if path.ends_with(".ps1") {
        assert!(!body.starts_with("#!"), "{path}");
    } else {
        assert!(body.starts_with("#!/bin/sh\n"), "{path}");
    }
}

#[test]
fn every_answer_on_an_install_path_is_a_script() {
    let names = [
        "",
        "stable",
        "beta",
        "v1.1.0-beta",
        "1.1.0-beta.2",
        "1.0.3",
        "9.9.9",
        "nothing",
        "a/b",
    ];
    for edge in &mut edges() {
        for name in names {
            for file in ["", "install.sh", "install.ps1"] {
                let path = format!("/{name}/{file}").replace("//", "/");
                for method in [
                    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "",
                ] {
                    for id in ["inside", "outside", "", "\u{7f}"] {
                        let mut request = Incoming::get(&path).with("X-Caro-Id", id);
                        request.method = method.to_owned();
                        check_script(&path, &reply(edge, &request).unwrap());
                    }
                }
            }
        }
    }
}

/// Whoever gets the same version gets the same bytes, whatever the reason: nothing of the
/// requester can be told from a script, and one cached body serves all.
#[test]
fn the_same_arm_gets_the_same_bytes() {
    for path in ["/", "/install.sh", "/install.ps1"] {
        let mut edge = edge(Some(CONFIG), None);
        let mut bodies: BTreeMap<String, String> = BTreeMap::new();
        let mut reasons = std::collections::BTreeSet::new();
        let known = ["inside", "outside", "member", "listed", "denied"].map(str::to_owned);
        for id in known
            .into_iter()
            .chain((0..500).map(|i| format!("user-{i}")))
        {
            let request = Incoming::get(path)
                .with("X-Caro-Id", &id)
                .with("User-Agent", &id);
            let reply = reply(&mut edge, &request).unwrap();
            let version = reply.header("X-Caro-Version").unwrap().to_owned();
            reasons.insert(reply.header("X-Caro-Reason").unwrap().to_owned());
            let body = bodies.entry(version).or_insert_with(|| reply.body.clone());
            assert_eq!(*body, reply.body, "{path} for {id}");
        }
        assert_eq!(bodies.len(), 2, "{path}");
        assert_eq!(reasons.len(), 5, "{path}: {reasons:?}");
    }
}

/// The script says what the configuration says: each asset's platform, size, hash and URL.
#[test]
fn a_script_carries_the_assets_of_its_version() {
    let document: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
    let mut edge = edge(Some(CONFIG), None);
    for (version, build) in document["versions"].as_object().unwrap() {
        for file in ["install.sh", "install.ps1"] {
            let path = format!("/{version}/{file}");
            let body = reply(&mut edge, &Incoming::get(&path)).unwrap().body;
            for (platform, asset) in build["assets"].as_object().unwrap() {
                let ext = if platform == "windows-amd64" {
                    ".exe"
                } else {
                    ""
                };
                // Without a URL of its own: the template of the Worker's variables.
                let template = format!(
                    "https://github.com/wildcard/caro/releases/download/v{version}/caro-{version}-{platform}{ext}"
                );
                let (size, sha256) = (&asset["size"], asset["sha256"].as_str().unwrap());
                let url = asset["url"].as_str().unwrap_or(&template);
                let line = format!("{platform} {size} {sha256} {url}");
                assert!(body.contains(&line), "{path} lacks {line}");
                assert!(hex::<32>(sha256).is_some());
            }
            for excluded in build["excluded_platforms"].as_array().into_iter().flatten() {
                let line = format!("\n{} ", excluded.as_str().unwrap());
                assert!(!body.contains(&line), "{path} offers {excluded}");
            }
        }
    }
}

/// In no script of ours, in any case.
const MARKER: &str = "zq7xmarker";

/// Texts that an attacker would try, each with the marker in it.
fn hostile() -> impl Strategy<Value = String> {
    let around =
        |before: &'static str, after: &'static str| Just(format!("{before}{MARKER}{after}"));
    prop_oneof![
        around("", ""),
        around("9.9.9-", ""),
        around("v1.1.0-beta.", ""),
        around("1.0.4-", ".1"),
        around("$(", ")"),
        around("';", ";'"),
        around("\\n", "%0a"),
        around("%27;", ";%27"),
        around("install.sh/../", ""),
        around("\"><script>", "</script>"),
        ("[ -~]{0,12}", "[ -~]{0,12}").prop_map(|(a, b)| format!("{a}{MARKER}{b}")),
        (any::<String>(), any::<String>()).prop_map(|(a, b)| format!("{a}{MARKER}{b}")),
    ]
}

fn request() -> impl Strategy<Value = Incoming> {
    let path = (
        proptest::sample::select(vec![
            "/@",
            "/@/install.sh",
            "/@/install.ps1",
            "/stable/@",
            "/x/@.ps1",
            "/?id=@",
            "/install.sh?id=@",
            "/install.ps1?id=@",
            "/stable?@",
            "/beta/install.ps1?x=@",
            "/v1.1.0-beta#@",
            "/?@=1",
            "/",
        ]),
        hostile(),
    )
        .prop_map(|(template, text)| template.replace('@', &text));
    let header = (
        proptest::sample::select(vec![
            "X-Caro-Id",
            "User-Agent",
            "Accept",
            "Host",
            "Origin",
            "Referer",
            "CF-Connecting-IP",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Original-URL",
            "If-None-Match",
            "Cookie",
        ]),
        hostile(),
    )
        .prop_map(|(name, value)| (name.to_owned(), value));
    let method = prop_oneof![
        6 => Just("GET".to_owned()),
        1 => Just("POST".to_owned()),
        1 => hostile(),
    ];
    (path, proptest::collection::vec(header, 0..4), method).prop_map(|(path, headers, method)| {
        Incoming {
            method,
            headers,
            ..Incoming::get(&path)
        }
    })
}

proptest! {
    #[test]
    fn no_byte_of_the_request_is_in_a_script(request in request()) {
        thread_local! {
            static EDGES: std::cell::RefCell<Vec<Edge>> = edges().into();
        }
        EDGES.with_borrow_mut(|edges| {
            for edge in edges {
                let Some(reply) = reply(edge, &request) else { continue };
                assert!(!reply.body.to_ascii_lowercase().contains(MARKER), "{}", reply.body);
                for (name, value) in &reply.headers {
                    assert!(!value.to_ascii_lowercase().contains(MARKER), "{name}: {value}");
                }
            }
        });
    }
}
