use std::sync::{Arc, LazyLock};

use axum::body::{Body, to_bytes};
use axum::http::header::RETRY_AFTER;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::{Extension, Router};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;

use super::super::tests::served;
use super::super::{openapi, routes};
use super::*;

fn peer(address: &str) -> Peer {
    Peer::from(address.parse::<IpAddr>().unwrap())
}

#[test]
fn of_an_address_so_many_come_at_once_and_then_one_each_pause() {
    let (mut kept, begun, ann) = (Kept::default(), Instant::now(), peer("192.0.2.1"));
    for _ in 0..AT_ONCE {
        kept.step(ann, begun).unwrap();
    }
    assert_eq!(kept.step(ann, begun), Err(PAUSE));
    assert_eq!(kept.step(ann, begun + PAUSE / 2), Err(PAUSE / 2));
    kept.step(peer("192.0.2.2"), begun).unwrap();
    for pauses in 1..1000 {
        let now = begun + PAUSE * pauses;
        kept.step(ann, now).unwrap();
        assert_eq!(kept.step(ann, now), Err(PAUSE));
    }
    let rested = begun + PAUSE * (1000 + AT_ONCE);
    assert_eq!((0..=AT_ONCE).filter(|_| kept.step(ann, rested).is_ok()).count(), AT_ONCE as usize);
}

#[test]
fn what_came_together_before_it_was_known_to_count_for_nothing_is_paid_for_up_to_an_end() {
    let (mut kept, begun, ann) = (Kept::default(), Instant::now(), peer("192.0.2.1"));
    for _ in 0..AT_ONCE + 50 {
        kept.charge(ann, begun);
    }
    assert_eq!(kept.step(ann, begun + PAUSE * 50), Err(PAUSE));
    kept.step(ann, begun + PAUSE * 51).unwrap();
    for _ in 0..100_000 {
        kept.charge(ann, begun);
    }
    assert!(kept.wait(ann, begun).unwrap() <= LONGEST + PAUSE);
}

#[test]
fn a_customer_has_a_network_of_ipv6_and_one_address_of_ipv4() {
    for (one, other, is_same) in [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("::ffff:192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
    ] {
        assert_eq!(peer(one) == peer(other), is_same, "{one} {other}");
    }
    assert_eq!(peer("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
}

#[test]
fn what_is_remembered_has_an_end_and_who_came_most_is_forgotten_last() {
    let (mut kept, begun, worst) = (Kept::default(), Instant::now(), peer("192.0.2.1"));
    while kept.step(worst, begun).is_ok() {}
    for number in 0..u32::try_from(2 * MOST).unwrap() {
        kept.step(Peer(Ipv4Addr::from_bits(number).into()), begun).unwrap();
        kept.count(number.to_string());
    }
    assert!(kept.rested.len() <= MOST && kept.counted.len() <= MOST);
    assert!(kept.step(worst, begun).is_err());
    // All the others rested.
    kept.make_room(begun + PAUSE);
    assert_eq!(kept.rested.into_keys().collect::<Vec<_>>(), [worst]);
}

/// Whoever has no more to take from is told so by each route that says it, and by no other.
#[tokio::test]
async fn routes_hold_those_who_proved_nothing_to_it_as_the_document_says() {
    let (_folder, control) = in_no_time().await;
    let stranger = peer("192.0.2.1");
    let routes = routes(control.clone()).layer(Extension(Proof::Nothing)).layer(Extension(stranger));
    while control.pace.enter(stranger).is_ok() {}
    let document: Value = serde_json::from_str(&openapi::json()).unwrap();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let concrete = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
            let concrete = concrete.collect::<Vec<_>>().join("/");
            while control.pace.enter(stranger).is_ok() {}
            let answer = ask(&routes, method, &concrete, Some("made-up")).await;
            let is_said = operation["responses"]["429"].is_object();
            assert_eq!(answer.status() == StatusCode::TOO_MANY_REQUESTS, is_said, "{method} {path}");
            if is_said {
                assert_eq!(answer.headers()[RETRY_AFTER], "1", "{method} {path}");
                let body = to_bytes(answer.into_body(), 1 << 16).await.unwrap();
                let body: api::ErrorBody = serde_json::from_slice(&body).unwrap();
                assert_eq!(body.problem.code, ProblemCode::TooManyRequests, "{method} {path}");
                assert!(!body.problem.hints.is_empty(), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn whose_token_counts_goes_on_beside_somebody_whose_does_not() {
    let (_folder, control) = in_no_time().await;
    let office = peer("192.0.2.1");
    let routes = routes(control.clone()).layer(Extension(Proof::Nothing)).layer(Extension(office));
    let status = async |token| ask(&routes, "GET", "/v1/me", token).await.status();
    // Nobody looks up what was not shown.
    for _ in 0..=AT_ONCE {
        assert_eq!(status(None).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(status(Some("made-up")).await, StatusCode::UNAUTHORIZED);
    control.pace.shown(office, "a".to_owned(), true);
    while control.pace.enter(office).is_ok() {}
    control.pace.may_show(office, "a").unwrap();
    assert!(control.pace.may_show(office, "b").is_err());
    assert_eq!(status(Some("made-up")).await, StatusCode::TOO_MANY_REQUESTS);
    // What was taken back is as what never counted.
    control.pace.shown(office, "a".to_owned(), false);
    while control.pace.enter(office).is_ok() {}
    assert!(control.pace.may_show(office, "a").is_err());
    // Others, and the host by its socket, hear nothing of it.
    let elsewhere = super::super::routes(control.clone()).layer(Extension(peer("192.0.2.2")));
    assert_eq!(ask(&elsewhere, "GET", "/v1/me", Some("made-up")).await.status(), StatusCode::UNAUTHORIZED);
    let host = super::super::routes(control.clone()).layer(Extension(Proof::Host)).layer(Extension(office));
    assert_eq!(ask(&host, "GET", "/v1/me", None).await.status(), StatusCode::OK);
}

/// A server for which no time passes.
async fn in_no_time() -> (tempfile::TempDir, Control) {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let (folder, control) = served().await;
    (folder, Control { pace: Arc::new(Pace { now: || *BEGUN, ..Pace::default() }), ..control })
}

async fn ask(routes: &Router, method: &str, path: &str, token: Option<&str>) -> Response {
    let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    TowerToHyperService::new(routes.clone()).call(request).await.unwrap()
}
