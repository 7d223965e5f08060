//! Tarballs from web addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oci::{Freshness, OciError, Staleness};

use crate::support::{Reply, Server, User};

#[tokio::test]
async fn a_download_is_kept_asked_about_and_stands_in_when_its_server_fails() {
    let down = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&down);
    let server = Server::start(move |own, request| match request.line.as_str() {
        _ if down.load(Ordering::SeqCst) => Reply::new(503, "").with("Retry-After", "999"),
        "GET /a.tgz" if request.header("if-none-match") == "\"v1\"" => Reply::new(304, ""),
        "GET /a.tgz" => Reply::new(200, "content").with("ETag", "\"v1\""),
        "GET /sent-on" => Reply::new(302, "").with("Location", format!("http://{own}/a.tgz")),
        "GET /round" => Reply::new(302, "").with("Location", "/round"),
        "GET /secret" => Reply::new(403, ""),
        _ => Reply::new(404, "<html>"),
    });
    let user = User::new();
    let address = |path: &str| format!("http://{}/{path}", server.address);
    let first = user.registry().download(&address("a.tgz")).await.unwrap();
    assert_eq!((first.bytes.as_slice(), &first.freshness), (&b"content"[..], &Freshness::Current));
    assert_eq!(first.digest, oci::digest::of(b"content"));
    assert_eq!(user.registry().download(&address("a.tgz")).await.unwrap(), first);
    assert_eq!(server.requests()[1].header("if-none-match"), "\"v1\"", "it is not sent twice");
    assert_eq!(user.registry().download(&address("sent-on")).await.unwrap().bytes, b"content");

    let asked = server.lines().len();
    let exactly = user.registry().download_exactly(&address("a.tgz"), &first.digest).await.unwrap();
    assert_eq!((exactly.bytes, server.lines().len()), (first.bytes.clone(), asked), "nobody is asked");
    let other =
        user.registry().download_exactly(&address("a.tgz"), &oci::digest::of(b"x")).await.unwrap_err();
    assert!(matches!(other, OciError::DigestMismatch { .. }), "{other:?}");

    for (path, told) in
        [("gone", "/gone` does not exist"), ("round", "round and round"), ("secret", "anyone may download")]
    {
        let error = user.registry().download(&address(path)).await.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }

    // A damaged store asks for all of it again.
    fs_err::write(user.stored(&first.digest), "damaged").unwrap();
    assert_eq!(user.registry().download(&address("a.tgz")).await.unwrap().bytes, b"content");
    switch.store(true, Ordering::SeqCst);
    for (registry, offline) in [(user.registry(), false), (user.offline(), true)] {
        let download = registry.download(&address("a.tgz")).await.unwrap();
        assert_eq!(download.bytes, b"content");
        let Freshness::Remembered { because, .. } = download.freshness else { panic!("it is not current") };
        assert_eq!(because == Staleness::Offline, offline, "{because}");
    }
    let error = user.registry().download(&address("never")).await.unwrap_err();
    assert!(matches!(error, OciError::Answer { status: 503, .. }), "{error:?}");
}
