//! What the real registry of the tests never does: token servers, pages of tags, failures that pass, and lies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::{Descriptor, OciError, Options, Reference, Registry};

use crate::support::{Reply, Request, Server, User, artifact};

fn reference(server: &Server, version: &str) -> Reference {
    format!("{}/a/b{version}", server.address).parse().unwrap()
}

fn manifest() -> Vec<u8> {
    artifact("x").manifest()
}

/// A registry with a token server, which takes `u:p`, `refresh`, or anybody, as it is told.
fn with_tokens(takes: &'static str) -> Server {
    Server::start(move |own, request| {
        if request.line.starts_with("GET /token?") || request.line == "POST /token" {
            return token(takes, request);
        }
        if request.header("authorization") != "Bearer t0" {
            let realm = format!(r#"Bearer realm="http://{own}/token",service="test",scope="x""#);
            return Reply::new(401, "{}").with("WWW-Authenticate", realm);
        }
        match request.line.as_str() {
            "GET /v2/a/b/manifests/1" => Reply::new(200, manifest()),
            line if line.starts_with("GET /v2/a/b/blobs/sha256:") => Reply::new(200, b"{}"),
            _ => Reply::new(404, ""),
        }
    })
}

fn token(takes: &str, request: &Request) -> Reply {
    let named = request.line == "GET /token?service=test&scope=repository%3Aa%2Fb%3Apull";
    // `dTpw` is `u:p`.
    let allowed = match takes {
        "anybody" => named && request.header("authorization").is_empty(),
        "u:p" => named && request.header("authorization") == "Basic dTpw",
        _ => {
            request.header("authorization").is_empty()
                && request.body.contains("grant_type=refresh_token")
                && request.body.contains("refresh_token=refresh%2F1")
                && request.body.contains("service=test")
        }
    };
    if allowed { Reply::new(200, r#"{"token":"t0","expires_in":300}"#) } else { Reply::new(401, "{}") }
}

fn config_blob() -> Descriptor {
    let digest = oci::digest::of(b"{}");
    Descriptor { media_type: "x".into(), digest, size: 2, annotations: BTreeMap::new() }
}

#[tokio::test]
async fn token_servers_are_asked_once_and_in_the_way_each_credential_needs() {
    let old = r#"{"auths": {"ADDRESS": {"auth": "b2xkOm9sZA=="}}}"#;
    for (takes, config) in [
        ("anybody", "{}"),
        ("anybody", old),
        ("u:p", r#"{"auths": {"http://ADDRESS/v1/": {"auth": "dTpw"}}}"#),
        ("refresh", r#"{"auths": {"ADDRESS": {"auth": "MDo=", "identitytoken": "refresh/1"}}}"#),
    ] {
        let (server, user) = (with_tokens(takes), User::new());
        user.docker_config(&config.replace("ADDRESS", &server.address));
        let registry = user.registry();
        registry.manifest(&reference(&server, ":1")).await.unwrap_or_else(|error| panic!("{takes}: {error}"));
        registry.blob(&reference(&server, ":1"), &config_blob()).await.unwrap();
        let asked = server.lines().iter().filter(|line| line.contains("/token")).count();
        assert_eq!(asked, if config == old { 2 } else { 1 }, "{takes}: {:?}", server.lines());
        assert!(!server.lines().iter().any(|line| line.contains("refresh")), "no secret in an address");
    }
    let (server, user) = (with_tokens("u:p"), User::new());
    user.docker_config(&old.replace("ADDRESS", &server.address));
    let error = user.registry().manifest(&reference(&server, ":1")).await.unwrap_err().to_string();
    assert!(error.contains("not allowed to read `a/b`") && error.contains("they may be old"), "{error}");
}

/// What a registry's storage or mirror asks for is no question of the registry: the answer would be its password.
#[tokio::test]
async fn credentials_stay_with_their_registry_when_it_sends_elsewhere() {
    let other = Server::start(|own, request| {
        if request.line.contains("/token") {
            return Reply::new(200, r#"{"token":"t0"}"#);
        }
        Reply::new(401, "{}").with("WWW-Authenticate", format!(r#"Bearer realm="http://{own}/token""#))
    });
    let elsewhere = format!("http://{}/asks", other.address);
    for at_greeting in [true, false] {
        let elsewhere = elsewhere.clone();
        let server = Server::start(move |_, request| match request.line.as_str() {
            "GET /v2/" if !at_greeting => Reply::new(200, "{}"),
            _ => Reply::new(307, "").with("Location", elsewhere.clone()),
        });
        let user = User::new();
        user.docker_config(
            &r#"{"auths": {"ADDRESS": {"auth": "dTpw"}}}"#.replace("ADDRESS", &server.address),
        );
        let registry = user.registry();
        let error = registry.manifest(&reference(&server, ":1")).await.unwrap_err();
        assert!(matches!(error, OciError::Unauthorized { .. }), "{error:?}");
        registry.blob(&reference(&server, ":1"), &config_blob()).await.unwrap_err();
    }
    for request in other.requests() {
        assert_eq!(request.header("authorization"), "", "{request:?}");
    }
}

#[tokio::test]
async fn all_pages_of_tags_are_read_and_none_from_elsewhere() {
    let server = Server::start(|_, request| match request.line.as_str() {
        "GET /v2/" => Reply::new(200, "{}"),
        "GET /v2/a/b/tags/list?n=1000" => Reply::new(200, r#"{"tags":["1","2"]}"#)
            .with("Link", r#"</v2/a/b/tags/list?n=1000&next=opaque>; rel="next""#),
        "GET /v2/a/b/tags/list?n=1000&next=opaque" => Reply::new(200, r#"{"tags":["3"]}"#),
        "GET /v2/a/none/tags/list?n=1000" => Reply::new(200, r#"{"tags":null}"#),
        "GET /v2/a/round/tags/list?n=1000" => {
            Reply::new(200, r#"{"tags":["1"]}"#).with("Link", r#"</v2/a/round/tags/list?n=1000>; rel="next""#)
        }
        _ => Reply::new(200, r#"{"tags":["1"]}"#).with("Link", r#"<http://127.0.0.1:1/x>; rel="next""#),
    });
    let registry = User::new().registry();
    assert_eq!(registry.tags(&reference(&server, "")).await.unwrap(), ["1", "2", "3"]);
    let named = |path: &str| format!("{}/a/{path}", server.address).parse::<Reference>().unwrap();
    assert_eq!(registry.tags(&named("none")).await.unwrap(), Vec::<String>::new());
    for path in ["round", "elsewhere"] {
        let error = registry.tags(&named(path)).await.unwrap_err();
        assert!(matches!(error, OciError::Protocol { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn failures_that_pass_are_waited_for_and_lies_are_not_believed() {
    let attempts = AtomicUsize::new(0);
    let server = Server::start(move |_, request| match request.line.as_str() {
        "GET /v2/" => Reply::new(200, "{}"),
        "GET /v2/a/b/manifests/flaky" if attempts.fetch_add(1, Ordering::SeqCst) == 0 => Reply::new(503, ""),
        "GET /v2/a/b/manifests/flaky" => Reply::new(200, manifest()),
        "GET /v2/a/b/manifests/huge" => Reply::new(200, vec![b' '; (4 << 20) + 1]),
        "GET /v2/a/b/manifests/index" => Reply::new(200, r#"{"schemaVersion":2,"manifests":[]}"#),
        "GET /v2/a/b/manifests/limited" => Reply::new(429, "{}").with("Retry-After", "3600"),
        line if line.contains("/manifests/sha256:") => Reply::new(200, manifest()),
        line if line.contains("/blobs/") => Reply::new(200, vec![b'x'; 1 << 20]),
        line if line.contains("/token") => Reply::new(401, ""),
        _ => Reply::new(403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#),
    });
    let registry = User::new().registry();
    registry.manifest(&reference(&server, ":flaky")).await.unwrap();
    let huge = registry.manifest(&reference(&server, ":huge")).await.unwrap_err();
    assert!(matches!(&huge, OciError::TooLarge { .. }) && huge.to_string().contains("/a/b:huge`"), "{huge}");
    let index = registry.manifest(&reference(&server, ":index")).await.unwrap_err().to_string();
    assert!(index.contains("an index of images for several platforms"), "{index}");
    let limited = registry.manifest(&reference(&server, ":limited")).await.unwrap_err();
    assert!(matches!(limited, OciError::Answer { status: 429, .. }), "{limited:?}");
    let other = reference(&server, &format!("@{}", oci::digest::of(b"other")));
    let lie = registry.manifest(&other).await.unwrap_err();
    assert!(matches!(lie, OciError::DigestMismatch { .. }), "{lie:?}");
    let endless = registry.blob(&reference(&server, ""), &config_blob()).await.unwrap_err();
    assert!(matches!(endless, OciError::Manifest { .. }), "{endless:?}");
    let denied = registry.manifest(&reference(&server, ":secret")).await.unwrap_err();
    assert!(matches!(denied, OciError::Unauthorized { .. }), "{denied:?}");
}

#[tokio::test]
async fn nothing_listens_is_told_soon_and_nobody_is_asked_offline() {
    let registry = User::new().registry();
    let reference: Reference = "127.0.0.1:1/a/b:1".parse().unwrap();
    let began = std::time::Instant::now();
    for _ in 0..5 {
        let error = registry.manifest(&reference).await.unwrap_err();
        assert!(matches!(error, OciError::Unreachable { .. }), "{error:?}");
    }
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    let server = Server::start(|_, _| Reply::new(500, ""));
    let user = User::new();
    let offline = Registry::new(Options { offline: true, ..user.options() }).unwrap();
    let name = format!("{}/a/b:1", server.address).parse().unwrap();
    assert!(matches!(offline.manifest(&name).await, Err(OciError::Offline { .. })));
    assert!(matches!(offline.tags(&name).await, Err(OciError::Offline { .. })));
    assert!(matches!(offline.push(&name, &artifact("x"), &[]).await, Err(OciError::Offline { .. })));
    assert_eq!(server.lines(), Vec::<String>::new());
}
