//! `cove control`

use api::control::{FieldConflict, Settlement};
use api::{ControlReport, JoinRequest, Membership, Problem, SyncPhase, SyncReport};

use super::secret::value;
use crate::arguments::ControlCommand;
use crate::context::Context;
use crate::failure::Failure;

pub(super) async fn run(context: &Context, command: ControlCommand) -> Result<(), Failure> {
    let client = context.client().await?;
    match command {
        ControlCommand::Join { address, authority } => {
            let token = value::without_end_of_line(value::read(context.output, "the token")?);
            let joined = client.join_control(&JoinRequest { address, authority, token }).await?;
            context.output.note(&format!(
                "This computer is the runner {} of {} now.",
                joined.runner, joined.organization
            ));
            show(context, &client.control().await?)
        }
        ControlCommand::Status => show(context, &client.control().await?),
        ControlCommand::Settle { environment, field, value } => {
            // What is no JSON is a word.
            let value = serde_json::from_str(&value).unwrap_or(serde_json::Value::String(value));
            client.settle_control(&environment, &Settlement { field: field.clone(), value }).await?;
            context.output.note(&format!("{field} of {environment} is settled."));
            Ok(())
        }
        ControlCommand::Insist => {
            client.insist_control().await?;
            context.output.note("This computer is the runner; whoever spoke as it falls silent.");
            Ok(())
        }
        ControlCommand::Leave => {
            let former = client.leave_control().await?.membership;
            context.output.note(&match former {
                Some(former) => {
                    format!("This computer belongs to {} no more. Everything here runs on.", former.address)
                }
                None => "This computer belonged to no control plane.".to_owned(),
            });
            Ok(())
        }
    }
}

fn show(context: &Context, report: &ControlReport) -> Result<(), Failure> {
    context.output.show(report, |_| match &report.membership {
        None => "This computer belongs to no control plane; nothing needs one.\n".to_owned(),
        Some(membership) => belongs(membership, &report.sync),
    })
}

fn belongs(membership: &Membership, sync: &SyncReport) -> String {
    let date = |time: jiff::Timestamp| time.strftime("%Y-%m-%d").to_string();
    let mut text = format!(
        "control plane   {}\norganization    {}\nrunner          {}\njoined          {}\ncertificate     until {}\nstate           {}\n",
        membership.address,
        membership.organization,
        membership.runner,
        date(membership.joined_at),
        date(membership.certificate_expires_at),
        state(sync),
    );
    if let Some(problem) = &sync.problem {
        text.push_str(&problem_of("", problem));
    }
    for shared in &sync.environments {
        let what = match (&shared.environment, shared.left) {
            (_, true) => "moved to another runner; what is here is stopped and stays",
            (Some(_), false) => "shared",
            (None, false) => "declared, not made here",
        };
        text.extend(["\n", &shared.name, "   ", what, "\n"]);
        if let Some(problem) = &shared.problem {
            text.push_str(&problem_of("  ", problem));
        }
        for conflict in &shared.conflicts {
            text.push_str(&crossed(&shared.name, conflict));
        }
    }
    text
}

fn state(sync: &SyncReport) -> String {
    let word = match sync.phase {
        // It has just joined, or was just started.
        SyncPhase::Away if sync.heard_at.is_none() && sync.problem.is_none() => {
            "calling it; everything here goes on meanwhile"
        }
        SyncPhase::Away => "away; everything here goes on",
        SyncPhase::Connected => "connected",
        SyncPhase::Superseded => "silent: another computer speaks as this runner",
        SyncPhase::Refused => "silent until one of both is updated",
    };
    match (sync.phase, sync.heard_at) {
        (SyncPhase::Connected, _) | (_, None) => word.to_owned(),
        (_, Some(heard)) => format!("{word}; last heard {}", heard.strftime("%Y-%m-%d %H:%M UTC")),
    }
}

fn problem_of(indent: &str, problem: &Problem) -> String {
    let hints = problem.hints.iter().map(|hint| {
        let command = hint.command.as_deref().map(|command| format!(": {command}"));
        format!("{indent}  {}{}\n", hint.text, command.unwrap_or_default())
    });
    format!("{indent}{problem}\n{}", hints.collect::<String>())
}

/// An edit here and one there that did not know of each other, and the commands that choose.
fn crossed(name: &str, conflict: &FieldConflict) -> String {
    let mut text = format!(
        "  both sides changed {}; {} counts until somebody chooses:\n",
        conflict.field, conflict.value
    );
    let values = std::iter::once(&conflict.value).chain(conflict.rivals.iter().map(|rival| &rival.value));
    for value in values {
        let value = match value.as_str() {
            Some(word) => word.to_owned(),
            None => format!("'{value}'"),
        };
        text.extend(["    cove control settle ", name, " ", &conflict.field, " ", &value, "\n"]);
    }
    text
}
