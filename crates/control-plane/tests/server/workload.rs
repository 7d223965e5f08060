//! Tokens that say in which environment a program runs, verified as others verify them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use api::ProblemCode::{InvalidRequest, NotAllowed};
use api::control::{Document, Enrolled, WorkloadToken};
use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::client::Computer;
use super::place::Place;
use super::provider::packages;
use super::{OTHER, TEAM, ok, problem};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_shows_where_it_runs_and_others_verify_that_by_the_servers_keys() {
    let Some(packages) = packages() else { return };
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    place.ok(&["apply", "-f", &place.file("other.yaml", OTHER)]);
    let (authority, token) = place.token("big-linux");
    let runner = Computer::new(server.port(), &authority);
    let enrolled: Enrolled = ok(runner.post("/v1/enrol", &runner.enrolment(&token), None).await);
    let ask = async |body: Value| runner.post("/v1/workload-token", &body, Some(&enrolled)).await;

    let environment: Document =
        serde_json::from_str(&place.ok(&["get", "environment", "shop-ann", "-o", "json"])).unwrap();
    let id = &environment.metadata.id;
    let by_name: WorkloadToken =
        ok(ask(json!({ "environment": "shop-ann", "audience": "https://bank.example", "lifetime": 60 }))
            .await);
    let by_id: WorkloadToken = ok(ask(json!({ "environment": id, "audience": "vault" })).await);

    let file = place.file("authority.pem", &enrolled.authority);
    let verify = |token: &str, audience: &str| {
        let mut node = Command::new("node");
        node.arg(packages.join("verify.mjs")).args([&server.address(), audience]);
        node.env("NODE_EXTRA_CA_CERTS", &file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut node = node.stderr(Stdio::piped()).spawn().unwrap();
        node.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        let output = node.wait_with_output().unwrap();
        let claims =
            output.status.success().then(|| serde_json::from_slice::<Value>(&output.stdout).unwrap());
        claims.ok_or_else(|| String::from_utf8(output.stderr).unwrap())
    };
    let claims = verify(&by_name.token, "https://bank.example").unwrap();
    assert_eq!(claims["sub"], "organization/acme/project/shop/environment/shop-ann");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
    for (claim, value) in [
        ("iss", server.address().as_str()),
        ("organization", "acme"),
        ("project", "shop"),
        ("owner", "ann"),
        ("environment", "shop-ann"),
        ("environment_id", id),
        ("runner", "big-linux"),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    assert_eq!(verify(&by_id.token, "vault").unwrap()["environment_id"], id.as_str());
    let wrong = verify(&by_id.token, "https://bank.example").unwrap_err();
    assert!(wrong.contains("\"aud\""), "{wrong}");
    // Another key signs from then on, and what was signed before counts as long as it was to.
    let rotated = place.ok(&["key", "rotate"]);
    let key = rotated.split_whitespace().nth(1).unwrap();
    let after: WorkloadToken = ok(ask(json!({ "environment": "shop-ann", "audience": "vault" })).await);
    let published: Value = ok(runner.get("/.well-known/jwks.json", None).await);
    let published = published["keys"].as_array().unwrap();
    let [former, new] = published.as_slice() else { panic!("two: {published:?}") };
    let of_token = |token: &str| {
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone()
    };
    assert_eq!((of_token(&by_id.token), of_token(&after.token)), (former["kid"].clone(), new["kid"].clone()));
    assert_eq!(new["kid"], key);
    for token in [&by_id, &after] {
        verify(&token.token, "vault").unwrap();
    }
    assert!(place.told(&format!("rotate_workload_key key {key}")), "it is in the audit log");
    let mut forged = by_id.token.into_bytes();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let wrong = verify(&String::from_utf8(forged).unwrap(), "vault").unwrap_err();
    assert!(wrong.contains("signature verification failed"), "{wrong}");

    // A runner gets none for what others have or what is not there, and nobody else gets any.
    for environment in ["shop-bob", "nothing", "../x", ""] {
        let refused = ask(json!({ "environment": environment, "audience": "vault" })).await;
        assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed), "{environment}");
    }
    for (audience, lifetime) in [("", 60), ("a\nb", 60), ("vault", 0), ("vault", 3601), ("vault", u64::MAX)] {
        let asked = json!({ "environment": "shop-ann", "audience": audience, "lifetime": lifetime });
        assert_eq!(
            problem(&ask(asked).await),
            (StatusCode::BAD_REQUEST, InvalidRequest),
            "{audience:?} {lifetime}"
        );
    }
    let ann = format!("Bearer {}", place.personal("ann", &[]));
    let asked = json!({ "environment": "shop-ann", "audience": "vault" });
    let refused = runner.ask(Method::POST, "/v1/workload-token", &[("authorization", &ann)], &asked).await;
    assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed));
    let headers = [("authorization", ann.as_str())];
    let refused = runner.ask(Method::POST, "/v1/workload-key/rotate", &headers, &Value::Null).await;
    assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed), "the host alone");
    let log = place.ok(&["audit", "export"]);
    assert!(log.contains("rotate_workload_key"), "also what is of no organization: {log}");
    assert!(log.contains("for https://bank.example") && !log.contains(&by_name.token), "{log}");
}
