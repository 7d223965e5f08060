//! Grants and the audit log.

use std::collections::HashMap;
use std::sync::Arc;

use api::{AuditBreak, AuditCheck, Grant, GrantRequest};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::json;

use super::{Fake, World, not_found};

impl Fake {
    /// Lets the audit log be one that somebody changed.
    pub(crate) fn break_audit_log(&self) {
        self.world.known.lock().unwrap().is_audit_broken = true;
    }
}

pub(super) async fn grant(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Json(request): Json<GrantRequest>,
) -> Response {
    let mut known = world.known.lock().unwrap();
    known.requests.push(format!("GRANT {id} {}", serde_json::to_string(&request).unwrap()));
    let Some(environment) = known.environments.iter_mut().find(|each| each.id.0 == id) else {
        return not_found(&id);
    };
    let grant = request.grant(Timestamp::now()).unwrap();
    environment.spec.grants.retain(|other| !other.is_for_same(&grant));
    environment.spec.grants.push(grant);
    Json(environment.clone()).into_response()
}

pub(super) async fn revoke(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let mut known = world.known.lock().unwrap();
    let (kind, host) = (query.get("kind"), query.get("host"));
    known.requests.push(format!("REVOKE {id} {kind:?} {host:?}"));
    let Some(environment) = known.environments.iter_mut().find(|each| each.id.0 == id) else {
        return not_found(&id);
    };
    let is_meant = |grant: &Grant| {
        kind.is_none_or(|kind| grant.kind.as_str() == kind) && (host.is_none() || grant.host.as_ref() == host)
    };
    environment.spec.grants.retain(|grant| !is_meant(grant));
    Json(environment.clone()).into_response()
}

/// A line of each look, of `web`; of the machine where nobody is asked about.
pub(super) async fn audit(Query(query): Query<HashMap<String, String>>) -> String {
    let lines = [
        (
            Some("web"),
            None,
            json!({"type": "granted", "kind": "git", "host": "git.example.com",
            "expires_at": "2026-01-01T08:00:00Z"}),
        ),
        (
            Some("web"),
            None,
            json!({"type": "used", "kind": "git", "host": "git.example.com", "purpose": "fetch"}),
        ),
        (
            Some("web"),
            None,
            json!({"type": "refused", "kind": "gh", "host": "github.com", "purpose": "a token",
            "reason": "it is not granted"}),
        ),
        (Some("web"), Some("an agent\u{1b}[2J"), json!({"type": "exec", "program": "make"})),
        (None, None, json!({"type": "exec", "program": "uname"})),
        (Some("web"), None, json!({"type": "ssh"})),
    ];
    let of = query.get("environment");
    let mut told = Vec::new();
    for (sequence, (environment, by, event)) in lines.into_iter().enumerate() {
        let id = environment.map(|name| format!("{name}-id"));
        if of.is_some() && of != id.as_ref() {
            continue;
        }
        let mut line =
            json!({"sequence": sequence, "time": "2026-01-01T00:00:00Z", "previous": "00", "event": event});
        if let Some(name) = environment {
            line["environment"] = json!({"id": id, "name": name});
        }
        if let Some(by) = by {
            line["by"] = json!(by);
        }
        told.push(format!("{line}\n"));
    }
    told.concat()
}

pub(super) async fn audit_check(State(world): State<Arc<World>>) -> Json<AuditCheck> {
    let broken = world.known.lock().unwrap().is_audit_broken.then(|| AuditBreak {
        file: "00000001.jsonl".to_owned(),
        line: 5,
        reason: "it does not follow from the line before it".to_owned(),
    });
    let records = if broken.is_some() { 4 } else { 6 };
    Json(AuditCheck { records, first: 1, last: records, head: "ab12".to_owned(), broken })
}
