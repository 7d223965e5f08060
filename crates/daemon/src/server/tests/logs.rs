//! Logs and what happened before.

use api::AutomationStatus;

use super::*;

#[tokio::test]
async fn logs_come_one_object_a_line() {
    let served = Served::start();
    let (made, _) = served.store.up(&up_request("/a"), Session::fresh(), jiff::Timestamp::now()).unwrap();
    let path = format!("/v1/environments/{}/logs?follow=true&tail=5", made.id);
    let response = served.send(request("GET", &path, "")).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let lines: Vec<ContainerLogLine> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].line, format!("{:?}", LogRange { follow: true, tail: Some(5), longest: None }));
}

#[tokio::test]
async fn a_task_or_service_has_a_log_of_its_own() {
    let served = Served::start();
    let (made, _) = served.store.up(&up_request("/a"), Session::fresh(), jiff::Timestamp::now()).unwrap();
    let path = |item: &str| format!("/v1/environments/{}/automations/{item}/logs", made.id);
    let (status, problem) = served.refused("GET", &path("services/web"), "").await;
    assert_eq!((status, problem.code), (StatusCode::BAD_REQUEST, ProblemCode::InvalidRequest));
    assert_eq!(problem.hints[0].command.as_deref(), Some("cove automations ls a"));

    let web: AutomationStatus =
        serde_json::from_value(json!({ "name": "services/web", "phase": "running", "session": "s" }))
            .unwrap();
    let mut status = made.status.clone();
    status.automations.items.push(web);
    served.store.write_status(&made.id, status).unwrap();
    let path = path("services/web") + "?follow=true&tail=3&longest=1000";
    let response = served.send(request("GET", &path, "")).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let line: ContainerLogLine = serde_json::from_slice(&body).unwrap();
    let range = LogRange { follow: true, tail: Some(3), longest: Some(1000) };
    assert_eq!((line.line, line.cut), (format!("services/web {range:?}"), true));
}

#[tokio::test]
async fn values_travel_together_up_to_a_bound() {
    let value = "x".repeat(40_000);
    let values = futures::stream::iter(vec![value.clone(); 5]).chain(futures::stream::pending());
    let shutdown = CancellationToken::new();
    let mut body = crate::server::logs::stream(values, shutdown.clone()).into_body();
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let frame = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
        lengths.push(frame.data_ref().unwrap().len() / value.len());
    }
    assert_eq!(lengths, [2, 2, 1], "what is there goes out, also while nothing more comes");
    shutdown.cancel();
    assert!(tokio::time::timeout(DEADLINE, body.frame()).await.unwrap().is_none());
}
