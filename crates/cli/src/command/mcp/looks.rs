//! Tools that only ask the daemon: how the environment stands, its ports, its log.

use api::{Environment, LogStream, PlanRequest, ProblemCode};
use client::LogRange;
use futures::StreamExt;
use serde_json::{Value, json};

use super::Asked;
use super::answer::{Answer, add};
use super::tools::LogsWish;
use crate::command::{plan, ports as ports_command, show};
use crate::failure::Failure;
use crate::paint::Paint;
use crate::personal;
use crate::text::harmless;

/// Lines of the log unless the call says otherwise, and at most.
const LINES: u32 = 200;
const MOST_LINES: u32 = 2000;
/// Most bytes of lines of the log.
const MOST_LOG: usize = 256 * 1024;

pub(super) async fn environment(asked: &Asked<'_>) -> Result<Answer, Failure> {
    let environment = asked.environment().await?;
    let mut answer = described(&environment);
    let folder = environment.spec.source.folder();
    let config = environment.spec.config.clone();
    let variables = personal::variables_of(folder, config.as_deref());
    let request = PlanRequest { folder: folder.clone(), config, variables, features: false };
    match asked.client.preview(&request).await {
        Ok(preview) if !preview.changes.is_empty() => {
            let changes = plan::changes(&preview.changes, Paint::OFF);
            add(&mut answer.text, format_args!("\nChanged since its container was made\n{changes}"));
            if preview.needs_rebuild() {
                answer.text.push_str("A person applies that with `cove up --rebuild`.\n");
            }
            answer.data["changes"] = json!(preview.changes);
        }
        Ok(_) => {}
        // The configuration as it is now cannot be used; what runs is told all the same.
        Err(error) => {
            let problem = error.problem();
            add(
                &mut answer.text,
                format_args!("\nIts configuration cannot be read: {}\n", harmless(&problem.title)),
            );
            answer.data["configuration_problem"] = json!(problem);
        }
    }
    Ok(answer)
}

/// An environment as a person is shown it, and what of it an agent needs as data.
pub(super) fn described(environment: &Environment) -> Answer {
    let status = &environment.status;
    let waits = status.problem.iter().chain(&status.warnings);
    let consents: Vec<_> = waits
        .filter(|problem| problem.code == ProblemCode::ConsentNeeded)
        .flat_map(|problem| problem.consents.clone())
        .collect();
    let mut text = show::sections(environment, Paint::OFF);
    if !consents.is_empty() {
        let folder = environment.spec.source.folder();
        add(
            &mut text,
            format_args!(
                "\nThe project wants this of the person's computer, and nobody agreed to it:\n{}Only a person can agree, \
             with this command in a terminal of theirs: cove up --trust {folder}\n",
                plan::wishes(&consents)
            ),
        );
    }
    let container = status.container.as_ref();
    let wanted: Vec<Value> =
        consents.iter().map(|consent| json!({ "kind": consent.kind, "text": consent.text })).collect();
    let data = json!({
        "name": environment.metadata.name,
        "state": environment.state_in_words(),
        "phase": status.phase,
        "step": status.step,
        "problem": status.problem,
        "warnings": status.warnings,
        "needs_consent": wanted,
        "user": container.map(|container| &container.remote_user),
        "workspace_folder": container.map(|container| &container.workspace_folder),
        "image": container.map(|container| &container.image),
        "services": status.services,
        "hooks": status.hooks,
        "ports": status.ports,
    });
    Answer { text, data }
}

pub(super) async fn ports(asked: &Asked<'_>) -> Result<Answer, Failure> {
    let ports = asked.environment().await?.status.ports;
    let text = match ports.as_slice() {
        [] => "No port is forwarded, and no program listens.".to_owned(),
        ports => ports_command::table_of(ports, Paint::OFF),
    };
    Ok(Answer { text, data: json!({ "ports": ports }) })
}

pub(super) async fn logs(asked: &Asked<'_>, wish: LogsWish) -> Result<Answer, Failure> {
    let range = LogRange { follow: false, tail: Some(wish.lines.unwrap_or(LINES).min(MOST_LINES)) };
    let mut stream = asked.client.environment_logs(asked.id(), range).await?;
    let mut lines = std::collections::VecDeque::new();
    let (mut bytes, mut left_out) = (0, 0_u64);
    while let Some(line) = stream.next().await {
        let line = line?;
        bytes += line.line.len();
        lines.push_back(line);
        while bytes > MOST_LOG {
            let Some(oldest) = lines.pop_front() else { break };
            bytes -= oldest.line.len();
            left_out += 1;
        }
    }
    let mut text = match (left_out, lines.is_empty()) {
        (0, true) => "It wrote nothing.".to_owned(),
        (0, false) => String::new(),
        (count, _) => format!("[… {count} lines left out …]\n"),
    };
    for line in &lines {
        let mark = if line.stream == LogStream::Error { "stderr: " } else { "" };
        add(&mut text, format_args!("{mark}{}\n", line.line));
    }
    Ok(Answer { text, data: json!({ "lines": lines, "left_out": left_out }) })
}
