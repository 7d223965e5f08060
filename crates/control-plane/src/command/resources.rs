//! Commands that ask the server.

use std::io::Write as _;

use api::control::{
    AppliedDraft, AuditVerdict, BrokenLine, Decision, Document, EnrolmentToken, Explain, Kind, PrincipalKind,
    Verb,
};
use api::{Name, Problem, ProblemCode};
use axum::http::Method;
use camino::Utf8PathBuf;
use jiff::Timestamp;

use super::arguments::OutputForm;
use super::call::Remote;
use super::file::Declared;
use super::shown;

/// Lines that the server tells at a time; fewer are the last.
const PAGE: usize = 500;

pub(super) async fn apply(remote: &Remote, files: &[Utf8PathBuf]) -> Result<(), Problem> {
    say(&shown::outcomes(&send(remote, files, "").await?))
}

pub(super) async fn diff(remote: &Remote, files: &[Utf8PathBuf]) -> Result<(), Problem> {
    say(&shown::differences(&send(remote, files, "?dry_run=true").await?))
}

async fn send(remote: &Remote, files: &[Utf8PathBuf], query: &str) -> Result<Vec<AppliedDraft>, Problem> {
    let declared = Declared::read(files)?;
    // A file that brings its organization along says by that where it belongs.
    let own = declared.drafts.iter().find(|draft| draft.kind == Kind::Organization);
    let organization = match own {
        Some(draft) => draft.metadata.name.clone(),
        None => remote.organization().await?,
    };
    let path = format!("/v1/organizations/{organization}/apply{query}");
    remote.post(&path, &declared.drafts).await.map_err(|problem| declared.place(problem))
}

pub(super) async fn get(
    remote: &Remote,
    kind: &str,
    name: Option<&str>,
    output: OutputForm,
) -> Result<(), Problem> {
    let kind = kind_of(kind)?;
    let found: Vec<Document> = match name {
        Some(name) => vec![one(remote, kind, &name_of(name)?).await?],
        None => all(remote, &remote.of_kind(kind).await?).await?,
    };
    match output {
        OutputForm::Table if found.is_empty() => say(&format!("There are no {} yet.\n", kind.plural())),
        OutputForm::Table => say(&shown::table(kind, &found, Timestamp::now())),
        OutputForm::Json => {
            let text = match (name, found.first()) {
                (Some(_), Some(one)) => serde_json::to_string_pretty(one),
                _ => serde_json::to_string_pretty(&found),
            };
            say(&(text.map_err(|error| Problem::new(ProblemCode::Internal, error.to_string()))? + "\n"))
        }
    }
}

/// One resource.
pub(super) async fn one(remote: &Remote, kind: Kind, name: &Name) -> Result<Document, Problem> {
    let path = match kind {
        Kind::Organization => format!("/v1/organizations/{name}/organizations/{name}"),
        _ => format!("{}/{name}", remote.of_kind(kind).await?),
    };
    remote.get(&path).await
}

/// All pages of a list.
pub(super) async fn all(remote: &Remote, path: &str) -> Result<Vec<Document>, Problem> {
    let mut found: Vec<Document> = Vec::new();
    loop {
        let after = found.last().map(|last| format!("?after={}", last.metadata.name)).unwrap_or_default();
        let page: Vec<Document> = remote.get(&format!("{path}{after}")).await?;
        if page.is_empty() {
            return Ok(found);
        }
        found.extend(page);
    }
}

pub(super) async fn delete(remote: &Remote, kind: &str, name: &str) -> Result<(), Problem> {
    let (kind, name) = (kind_of(kind)?, name_of(name)?);
    let path = match kind {
        Kind::Organization => format!("/v1/organizations/{name}/organizations/{name}"),
        _ => format!("{}/{name}", remote.of_kind(kind).await?),
    };
    match remote.ask(Method::DELETE, &path).await? {
        None => say(&format!("{kind} {name} is gone.\n")),
        Some(going) => {
            let by = going.metadata.finalizers.join(", ");
            say(&format!("{kind} {name} goes as soon as these have done their part: {by}.\n"))
        }
    }
}

pub(super) async fn token(remote: &Remote, name: &str) -> Result<(), Problem> {
    let path = format!("/v1/organizations/{}/runners/{}/token", remote.organization().await?, name_of(name)?);
    let made: EnrolmentToken = remote.post(&path, &serde_json::json!({})).await?;
    let until = made.expires_at.strftime("%Y-%m-%d %H:%M UTC");
    say(&format!(
        "Run this on the computer, until {until}:\n\n    {}\n\nIt asks for this token, which serves once:\n\n    {}\n",
        made.command, made.token
    ))
}

pub(super) async fn revoke(remote: &Remote, name: &str) -> Result<(), Problem> {
    let name = name_of(name)?;
    let path = format!("/v1/organizations/{}/runners/{name}/revoke", remote.organization().await?);
    remote.ask(Method::POST, &path).await?;
    say(&format!("The computer of {name} is let in no more. Its environments run on there.\n"))
}

pub(super) async fn verify(remote: &Remote) -> Result<(), Problem> {
    let path = format!("{}/verify", log(remote).await?);
    let verdict: AuditVerdict = remote.post(&path, &serde_json::json!({})).await?;
    match verdict.broken {
        None => {
            say(&format!("{} lines, each as it was written. The last: {}\n", verdict.entries, verdict.head))
        }
        Some(BrokenLine { sequence, why }) => {
            Err(Problem::new(ProblemCode::AuditBroken, format!("line {sequence} of the audit log: {why}")))
        }
    }
}

pub(super) async fn explain(
    remote: &Remote,
    (principal, who): (PrincipalKind, String),
    verb: &str,
    kind: &str,
    name: Option<&str>,
) -> Result<(), Problem> {
    let verb = verb_of(verb)?;
    let resource = name.map(name_of).transpose()?;
    let asked = Explain { principal, name: name_of(&who)?, verb, kind: kind_of(kind)?, resource };
    let path = format!("/v1/organizations/{}/explain", remote.organization().await?);
    let decision: Decision = remote.post(&path, &asked).await?;
    let word = if decision.allowed { "may" } else { "may not" };
    let object = asked.resource.map(|name| format!(" {name}")).unwrap_or_default();
    let said = decision.because.join(", ");
    let head = format!("{} {who} {word} {verb} {}{object}: {said}", principal.as_str(), asked.kind);
    let looked_at = decision.looked_at.iter().map(|role| format!("  {}", shown::harmless(&role.to_string())));
    let lines: Vec<_> = std::iter::once(head).chain(looked_at).collect();
    say(&(lines.join("\n") + "\n"))
}

/// The audit log: the whole of it on the server's own computer, unless an organization was named; elsewhere that of one.
async fn log(remote: &Remote) -> Result<String, Problem> {
    if remote.named().is_none() && remote.server()?.is_none() {
        return Ok("/v1/audit".to_owned());
    }
    Ok(format!("/v1/organizations/{}/audit", remote.organization().await?))
}

pub(super) async fn export(remote: &Remote) -> Result<(), Problem> {
    let log = log(remote).await?;
    let mut after = 0;
    loop {
        let path = format!("{log}?after={after}");
        let bytes = remote.get_bytes(&path).await?;
        let text = String::from_utf8_lossy(&bytes);
        say(&text)?;
        let lines = text.lines().count();
        let last = text.lines().last().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        match last.and_then(|line| line.get("sequence")?.as_u64()) {
            Some(sequence) if lines == PAGE => after = sequence,
            _ => return Ok(()),
        }
    }
}

pub(super) fn verb_of(text: &str) -> Result<Verb, Problem> {
    let known = Verb::ALL.into_iter().find(|known| known.as_str() == text);
    known.ok_or_else(|| {
        let known: Vec<_> = Verb::ALL.iter().map(|known| known.as_str()).collect();
        Problem::new(ProblemCode::InvalidRequest, format!("`{text}` is nothing that can be done"))
            .with_hint(format!("it is one of {}", known.join(", ")))
    })
}

pub(super) fn kind_of(text: &str) -> Result<Kind, Problem> {
    text.parse().map_err(|error: api::control::UnknownKind| {
        let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.plural()).collect();
        Problem::new(ProblemCode::InvalidRequest, error.to_string())
            .with_hint(format!("kinds are {}", known.join(", ")))
    })
}

pub(super) fn name_of(text: &str) -> Result<Name, Problem> {
    Name::parse(text).map_err(|error| Problem::new(ProblemCode::InvalidRequest, error.to_string()))
}

/// Writes a result. A reader that left is no failure.
pub(super) fn say(text: &str) -> Result<(), Problem> {
    told(text).map(drop)
}

/// The same, and whether somebody still reads it.
pub(super) fn told(text: &str) -> Result<bool, Problem> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Problem::new(ProblemCode::Internal, "the result cannot be written").caused_by(&error))
        }
    }
}
