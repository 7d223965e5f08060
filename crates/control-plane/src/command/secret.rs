//! `cove-control secret`: values are sealed here, and leave this process as nothing else.

mod value;

use std::fmt::Write as _;
use std::str::FromStr as _;

use age::x25519;
use api::control::{
    AppliedDraft, Document, Draft, DraftMetadata, Kind, Recipient, Resource, Sealed, SecretScope, SecretSpec,
    SecretStatus, SecretUse,
};
use api::{Name, Problem, ProblemCode, Session};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::arguments::{SecretCommand, SecretPlace, SecretUseOptions};
use super::call::Remote;
use super::resources::{all, say};
use super::shown;

type Secret = Resource<SecretSpec, SecretStatus>;

/// What became of a value.
struct Kept {
    /// Runners that can open it.
    by: Vec<Name>,
    /// Runners that no computer is let in as.
    absent: Vec<Name>,
}

pub(super) async fn run(remote: &Remote, command: SecretCommand) -> Result<(), Problem> {
    match command {
        SecretCommand::Set { name, used_as, place } => set(remote, name, used_as, place).await,
        SecretCommand::Reseal { name } => reseal(remote, name).await,
        SecretCommand::Ls => list(remote).await,
    }
}

async fn set(
    remote: &Remote,
    name: Name,
    used_as: SecretUseOptions,
    place: SecretPlace,
) -> Result<(), Problem> {
    let spec = SecretSpec {
        scope: scope(place),
        used_as: used(used_as),
        session: Session::fresh(),
        sealed: Vec::new(),
    };
    // One that is there keeps what it is sorted by. Somebody may set what they cannot see.
    let labels = match find(remote, &name).await {
        Ok(secret) => secret.metadata.labels,
        Err(problem) if matches!(problem.code, ProblemCode::ResourceNotFound | ProblemCode::NotAllowed) => {
            [].into()
        }
        Err(problem) => return Err(problem),
    };
    let metadata = DraftMetadata { labels, ..DraftMetadata::named(name.clone()) };
    let kept = seal(remote, &name, metadata, spec).await?;
    say(&told(&name, &kept))
}

async fn find(remote: &Remote, name: &Name) -> Result<Secret, Problem> {
    let path = format!("{}/{name}", remote.of_kind(Kind::Secret).await?);
    typed(remote.get(&path).await?)
}

/// The same value once more, for runners that came since: nobody can read it out of what was sealed.
async fn reseal(remote: &Remote, name: Name) -> Result<(), Problem> {
    let secret = find(remote, &name).await?;
    let metadata = DraftMetadata {
        labels: secret.metadata.labels,
        // Whoever gave another value meanwhile would lose it.
        resource_version: Some(secret.metadata.resource_version),
        ..DraftMetadata::named(name.clone())
    };
    let kept = seal(remote, &name, metadata, secret.spec).await?;
    say(&told(&name, &kept))
}

/// Asks for the value, seals it to each runner that may open it, and keeps that.
async fn seal(
    remote: &Remote,
    name: &Name,
    metadata: DraftMetadata,
    mut spec: SecretSpec,
) -> Result<Kept, Problem> {
    spec.sealed = Vec::new();
    let organization = remote.organization().await?;
    let path = format!("/v1/organizations/{organization}/secrets/{name}/recipients");
    // Before anybody types a value that then could not be kept.
    let recipients: Vec<Recipient> = remote.post(&path, &spec).await?;
    let value = value::read(name, matches!(spec.used_as, SecretUse::File(_)))?;
    let mut kept = Kept { by: Vec::new(), absent: Vec::new() };
    for Recipient { runner, recipient } in recipients {
        let Some(recipient) = recipient else {
            kept.absent.push(runner);
            continue;
        };
        kept.by.push(runner.clone());
        spec.sealed.push(Sealed { value: sealed_to(&runner, &recipient, &value)?, runner, recipient });
    }
    let spec = serde_json::to_value(spec).map_err(|error| cannot("the secret cannot be written", &error))?;
    let draft = Draft { kind: Kind::Secret, metadata, spec };
    let _: Vec<AppliedDraft> =
        remote.post(&format!("/v1/organizations/{organization}/apply"), &[draft]).await?;
    Ok(kept)
}

fn sealed_to(runner: &Name, recipient: &str, value: &str) -> Result<String, Problem> {
    let recipient = x25519::Recipient::from_str(recipient).map_err(|wrong| {
        let title = format!("the key that the runner {runner} came with is none: {wrong}");
        Problem::new(ProblemCode::ResourceInvalid, title)
            .with_command("let its computer come in again", format!("cove-control runner token {runner}"))
    })?;
    let sealed = age::encrypt(&recipient, value.as_bytes());
    Ok(BASE64.encode(sealed.map_err(|error| cannot("the value cannot be sealed", &error))?))
}

fn told(name: &Name, Kept { by, absent }: &Kept) -> String {
    let by = match names(by) {
        by if by.is_empty() => "no runner yet: reseal it once there is one".to_owned(),
        by => format!("{by}, and nobody else"),
    };
    let mut text = format!("{name} is kept. It can be opened by {by}.\n");
    if !absent.is_empty() {
        let absent = names(absent);
        let again = format!("cove-control secret reseal {name}");
        writeln!(text, "No computer is there as {absent} yet; once one is, reseal it: {again}")
            .expect("writing to a string cannot fail");
    }
    text
}

async fn list(remote: &Remote) -> Result<(), Problem> {
    let path = remote.of_kind(Kind::Secret).await?;
    let secrets = all(remote, &path).await?.into_iter().map(typed).collect::<Result<Vec<_>, _>>()?;
    say(&listed(&secrets))
}

fn listed(secrets: &[Secret]) -> String {
    if secrets.is_empty() {
        return "There are no secrets yet.\n".to_owned();
    }
    let rows = secrets.iter().map(|secret| {
        let missing = match secret.status.missing.as_slice() {
            [] => "-".to_owned(),
            missing => names(missing),
        };
        [secret.metadata.name.to_string(), place(&secret.spec.scope), using(&secret.spec.used_as), missing]
    });
    let head = ["NAME", "SCOPE", "USED_AS", "CANNOT_OPEN_IT"].map(ToOwned::to_owned);
    let mut text = shown::rows_of(std::iter::once(head).chain(rows));
    for secret in secrets.iter().filter(|secret| !secret.status.missing.is_empty()) {
        let who = match &secret.spec.scope {
            SecretScope::User(user) => format!("{user} can mend it"),
            _ => "somebody who knows the value and may change the secret can mend it".to_owned(),
        };
        let (name, missing) = (&secret.metadata.name, names(&secret.status.missing));
        writeln!(text, "\n{missing} cannot open {name}; {who}:\n    cove-control secret reseal {name}")
            .expect("writing to a string cannot fail");
    }
    text
}

fn scope(place: SecretPlace) -> SecretScope {
    match (place.project, place.user) {
        (Some(project), _) => SecretScope::Project(project),
        (None, Some(user)) => SecretScope::User(user),
        (None, None) => SecretScope::Organization,
    }
}

fn used(options: SecretUseOptions) -> SecretUse {
    let SecretUseOptions { variable, file, git, registry } = options;
    let of = variable.map(SecretUse::Variable).or(file.map(SecretUse::File)).or(git.map(SecretUse::Git));
    of.unwrap_or_else(|| SecretUse::Registry(registry.unwrap_or_default()))
}

fn place(scope: &SecretScope) -> String {
    match scope {
        SecretScope::Organization => "organization".to_owned(),
        SecretScope::Project(project) => format!("project {project}"),
        SecretScope::User(user) => format!("user {user}"),
    }
}

fn using(used_as: &SecretUse) -> String {
    let (word, of) = match used_as {
        SecretUse::Variable(name) => ("variable", name),
        SecretUse::File(path) => ("file", path),
        SecretUse::Git(host) => ("git", host),
        SecretUse::Registry(host) => ("registry", host),
    };
    format!("{word} {of}")
}

fn names(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

fn typed(document: Document) -> Result<Secret, Problem> {
    document.typed().map_err(|error| {
        let title = "the server's answer cannot be read: it may be of another version";
        Problem::new(ProblemCode::VersionSkew, title).caused_by(&error)
    })
}

fn cannot(title: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(ProblemCode::Internal, title).caused_by(error)
}
