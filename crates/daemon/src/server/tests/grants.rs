use api::{AuditEvent, AuditRecord, GrantKind};

use super::*;

/// What the log says, without times and hashes.
async fn audit(served: &Served, query: &str) -> Vec<AuditRecord> {
    let response = served.send(request("GET", &format!("/v1/audit{query}"), "")).await;
    let text = response.into_body().collect().await.unwrap().to_bytes();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn grants_come_and_go_and_each_is_a_line_of_the_audit_log() {
    let served = Served::start();
    for name in ["web", "shop"] {
        let body = json!({ "folder": served.folder(name) }).to_string();
        served.call("POST", "/v1/environments", &body).await;
    }
    let (_, before) = served.call("GET", "/v1/environments/web", "").await;
    let path = "/v1/environments/web/grants";
    for (body, word) in [
        (json!({"kind": "git"}), "--host"),
        (json!({"kind": "git", "host": "-oProxyCommand=x"}), "no host"),
        (json!({"kind": "ssh-agent", "seconds": 0}), "31 days"),
    ] {
        let (status, problem) = served.refused("POST", path, &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(problem.title.contains(word), "{problem:?}");
    }
    let asked =
        json!({"kind": "ssh-agent", "host": "GitHub.com", "variables": {"PATH": "/bin", "TOKEN": "s3cret"}});
    for _ in 0..2 {
        let (status, granted) = served.call("POST", path, &asked.to_string()).await;
        assert_eq!(status, StatusCode::OK);
        let grants = granted["spec"]["grants"].as_array().unwrap();
        assert_eq!((grants.len(), grants[0]["host"].as_str()), (1, Some("github.com")));
        assert_eq!(grants[0]["variables"], json!({"PATH": "/bin"}));
        assert_eq!(granted["metadata"]["generation"], before["metadata"]["generation"], "nothing starts");
    }
    served.call("POST", path, &json!({"kind": "signing", "seconds": 60}).to_string()).await;
    let (_, left) = served.call("DELETE", &format!("{path}?kind=ssh-agent&host=other"), "").await;
    assert_eq!(left["spec"]["grants"].as_array().unwrap().len(), 2);
    let (_, left) = served.call("DELETE", &format!("{path}?kind=ssh-agent"), "").await;
    assert_eq!(left["spec"]["grants"][0]["kind"], "signing");
    let mut by_agent = request("DELETE", path, "");
    by_agent.headers_mut().insert("user-agent", "cove-mcp/1 (robot; x)".parse().unwrap());
    assert_eq!(served.send(by_agent).await.status(), StatusCode::OK);

    let records = audit(&served, "?environment=web").await;
    let events: Vec<_> = records.iter().map(|record| &record.event).collect();
    assert!(
        matches!(
            events[..],
            [
                AuditEvent::Granted { kind: GrantKind::SshAgent, .. },
                AuditEvent::Granted { .. },
                AuditEvent::Granted { kind: GrantKind::Signing, host: None, .. },
                AuditEvent::Revoked { kind: GrantKind::SshAgent, .. },
                AuditEvent::Revoked { kind: GrantKind::Signing, .. },
            ]
        ),
        "{events:?}"
    );
    assert_eq!(records[4].by.as_deref(), Some("cove-mcp/1 (robot; x)"));
    assert_eq!(records[4].environment.as_ref().map(|it| it.name.as_str()), Some("web"));
    assert_eq!(audit(&served, "?environment=shop").await, []);
    assert_eq!(audit(&served, "?tail=1").await, records[4..]);
    let (status, check) = served.call("GET", "/v1/audit/check", "").await;
    assert_eq!((status, &check["records"], &check["broken"]), (StatusCode::OK, &json!(5), &Value::Null));
}

#[tokio::test]
async fn what_is_started_is_told_without_its_arguments_and_followed() {
    let served = Served::start();
    let body = json!({ "folder": served.folder("web") }).to_string();
    served.call("POST", "/v1/environments", &body).await;
    let followed = served.send(request("GET", "/v1/audit?follow=true", "")).await;
    // The machine is off: what is asked for is told before it is known whether it can be.
    let switched = StatusCode::SWITCHING_PROTOCOLS;
    for (path, body, expected) in [
        (
            "/v1/environments/web/exec",
            json!({"argv": ["psql", "--password=s3cret"], "user": "root"}),
            switched,
        ),
        ("/v1/environments/web/ssh", json!({}), switched),
        ("/v1/machines/default/exec", json!({"argv": []}), StatusCode::CONFLICT),
    ] {
        let mut asked = request("POST", path, &body.to_string());
        asked.headers_mut().insert("connection", "upgrade".parse().unwrap());
        asked.headers_mut().insert("upgrade", "cove-exec".parse().unwrap());
        assert_eq!(served.send(asked).await.status(), expected, "{path}");
    }
    let mut body = followed.into_body();
    let mut text = Vec::new();
    while String::from_utf8_lossy(&text).lines().count() < 3 || !text.ends_with(b"\n") {
        let frame = tokio::time::timeout(DEADLINE, body.frame()).await.expect("it goes on").unwrap().unwrap();
        text.extend_from_slice(&frame.into_data().unwrap());
    }
    let text = String::from_utf8(text).unwrap();
    let events: Vec<AuditEvent> =
        text.lines().map(|line| serde_json::from_str::<AuditRecord>(line).unwrap().event).collect();
    let exec = |program: &str, user: Option<&str>| AuditEvent::Exec {
        program: program.to_owned(),
        user: user.map(str::to_owned),
    };
    assert_eq!(events, [exec("psql", Some("root")), AuditEvent::Ssh, exec("a login shell", None)]);
    assert!(!text.contains("s3cret"));
}
