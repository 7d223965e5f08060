//! Those who proved nothing: how much of them is taken, and by whose address.

use api::ProblemCode::{NotAllowed, TooManyRequests};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::TEAM;
use super::client::Computer;
use super::place::Place;

/// More than anybody may do at once, by far.
const MANY: usize = 5000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_too_often_waits_and_others_do_not() {
    let place = Place::new();
    let server = place.serve_with(&["--behind-balancer"], &[]);
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let from = |address: &str| {
        Computer::new(server.port(), server.authority())
            .by_way_of(&format!("PROXY TCP4 {address} 127.0.0.1 51000 8443\r\n"))
    };
    let ann = format!("Bearer {}", place.personal("ann", &[]));
    let office = from("192.0.2.7");
    let (status, _) = office.ask(Method::GET, "/v1/me", &[("authorization", &ann)], &Value::Null).await;
    assert_eq!(status, StatusCode::OK);

    // A link that lets nobody in, from a page of nobody's: what it costs to say no.
    let enter = json!({ "token": "guessed" }).to_string();
    let mut connection = office.kept(None).await;
    let mut answers = Vec::new();
    while answers.len() < MANY && answers.last() != Some(&StatusCode::TOO_MANY_REQUESTS) {
        let answer = connection.send(Method::POST, "/v1/console/enter", &[], enter.clone().into()).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()["retry-after"], "1");
            let body: Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(body["problem"]["code"], TooManyRequests.as_str());
            assert!(body["problem"]["title"].as_str().unwrap().contains("from 192.0.2.7"), "{body}");
        }
        answers.push(answer.status());
    }
    assert_eq!(answers.pop(), Some(StatusCode::TOO_MANY_REQUESTS), "after {} answers", answers.len());
    assert!(answers.len() >= 200 && answers.iter().all(|status| *status == StatusCode::FORBIDDEN));

    // Who was known goes on from there, and all others go on elsewhere.
    let (status, _) = office.ask(Method::GET, "/v1/me", &[("authorization", &ann)], &Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = from("192.0.2.8").post("/v1/console/enter", &json!({ "token": "x" }), None).await;
    assert_eq!((status, &body["problem"]["code"]), (StatusCode::FORBIDDEN, &json!(NotAllowed.as_str())));
    let unsaid = Computer::new(server.port(), server.authority()).connect(None).await;
    assert!(unsaid.is_err(), "nobody comes who does not say who it is");
}
