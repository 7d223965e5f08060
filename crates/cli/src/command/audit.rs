//! `cove audit`

use api::{AuditBreak, AuditEvent, AuditRecord, Problem, ProblemCode};
use client::LogRange;
use futures::StreamExt;
use jiff::tz::TimeZone;

use crate::arguments::{AuditArguments, AuditCommand};
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::text::harmless;
use crate::{output, select};

/// Lines that are shown where nobody says how many.
const USUAL: u32 = 200;

pub(super) async fn run(context: &Context, arguments: AuditArguments) -> Result<(), Failure> {
    if let Some(AuditCommand::Verify) = arguments.command {
        return verify(context).await;
    }
    let client = context.client().await?;
    let of = match &arguments.environment {
        Some(_) => Some(select::environment(&client, arguments.environment.as_deref()).await?.id),
        None => None,
    };
    let tail = arguments.range.tail.or((!context.output.is_json()).then_some(USUAL));
    let range = LogRange { follow: arguments.range.follow, tail };
    let mut records = client.audit(of.as_ref().map(api::EnvironmentId::as_str), range).await?;
    while let Some(record) = records.next().await {
        let record = record?;
        if context.output.is_json() {
            output::write_json_line(&record)?;
        } else {
            output::write_text(&line(&record, context.output.paint()))?;
        }
    }
    Ok(())
}

async fn verify(context: &Context) -> Result<(), Failure> {
    let check = context.client().await?.check_audit().await?;
    if let Some(AuditBreak { file, line, reason }) = &check.broken {
        if context.output.is_json() {
            context.output.show(&check, |_| String::new())?;
        }
        let title = format!("the audit log was changed: {file}:{line}: {reason}");
        let problem = Problem::new(ProblemCode::AuditBroken, title);
        return Err(problem.with_hint(format!("the {} lines before it are whole", check.records)).into());
    }
    context.output.show(&check, |_| match check.records {
        0 => "The audit log is empty.\n".to_owned(),
        1 => format!("One line is whole. The last has the hash {}.\n", check.head),
        records => format!(
            "{records} lines, {} to {}, are whole. The last has the hash {}.\n",
            check.first, check.last, check.head
        ),
    })
}

fn line(record: &AuditRecord, paint: Paint) -> String {
    let time = record.time.to_zoned(TimeZone::system()).strftime("%F %T").to_string();
    let environment = record.environment.as_ref().map_or("-", |environment| environment.name.as_str());
    let text = words(&record.event);
    let text = match &record.event {
        AuditEvent::Refused { .. } | AuditEvent::Flooded { .. } => paint.red(&text),
        AuditEvent::Granted { .. } | AuditEvent::Revoked { .. } | AuditEvent::Expired { .. } => {
            paint.bold(&text)
        }
        AuditEvent::Used { .. }
        | AuditEvent::Exec { .. }
        | AuditEvent::Ssh
        | AuditEvent::Identified { .. }
        | AuditEvent::Healed { .. } => text,
    };
    let by = record.by.as_ref().map(|by| format!(" {}", paint.dim(&format!("by {}", harmless(by)))));
    format!("{} {environment:16} {text}{}", paint.dim(&time), by.unwrap_or_default())
}

fn words(event: &AuditEvent) -> String {
    let of = |kind: &api::GrantKind, host: &Option<String>| match host {
        Some(host) => format!("{kind} for {}", harmless(host)),
        None => kind.to_string(),
    };
    match event {
        AuditEvent::Granted { kind, host, expires_at } => {
            let until = expires_at.to_zoned(TimeZone::system()).strftime("%F %T").to_string();
            format!("granted {} until {until}", of(kind, host))
        }
        AuditEvent::Revoked { kind, host } => format!("revoked {}", of(kind, host)),
        AuditEvent::Expired { kind, host } => format!("over: {}", of(kind, host)),
        AuditEvent::Used { kind, host, purpose } => {
            format!("used {}: {}", of(kind, host), harmless(purpose))
        }
        AuditEvent::Refused { kind, host, purpose, reason } => {
            format!("refused {}: {}: {}", of(kind, host), harmless(purpose), harmless(reason))
        }
        AuditEvent::Flooded { refused } => {
            format!("asked too often for credentials: {refused} more refused")
        }
        AuditEvent::Exec { program, user: Some(user) } => {
            format!("started {} as {}", harmless(program), harmless(user))
        }
        AuditEvent::Exec { program, user: None } => format!("started {}", harmless(program)),
        AuditEvent::Ssh => "opened an ssh connection".to_owned(),
        AuditEvent::Identified { audience } => format!("took a token for {}", harmless(audience)),
        AuditEvent::Healed { bytes } => {
            format!("the log's last line was cut off: {bytes} bytes of it were taken away")
        }
    }
}

#[cfg(test)]
mod tests {
    use api::GrantKind;

    use super::*;

    #[test]
    fn lines_say_who_was_let_do_what() {
        let host = Some("github.com".to_owned());
        let kind = GrantKind::SshAgent;
        let used = AuditEvent::Used { kind, host: host.clone(), purpose: "log in as `git\u{1b}[2J`".into() };
        let told = words(&used);
        assert!(told.starts_with("used ssh-agent for github.com: log in as `git"), "{told}");
        assert!(!told.contains('\u{1b}'), "nothing of it acts on a terminal");
        let refused =
            AuditEvent::Refused { kind, host, purpose: "list the keys".into(), reason: "no".into() };
        assert_eq!(words(&refused), "refused ssh-agent for github.com: list the keys: no");
    }
}
