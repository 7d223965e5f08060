//! `cove-control get --watch`: what there is, and then each change of it.

use std::collections::BTreeMap;
use std::time::Duration;

use api::control::{ChangeMessage, Document, Kind, Metadata};
use api::{Name, Problem, ProblemCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use jiff::Timestamp;

use super::arguments::OutputForm;
use super::call::{Remote, parsed};
use super::resources::{all, kind_of, name_of, one, told};
use super::shown;

/// How long a server says nothing before it counts as gone: three times as long as one does that has nothing to tell.
const SILENCE: Duration = Duration::from_secs(90);

/// Longest message, in bytes.
const LONGEST: usize = 1 << 20;

/// Shortest and longest pause before a server that is away is called again.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];

/// Shows what there is, and goes on with each change until its reader leaves. A server that is away is called again and
/// again; what happened meanwhile is shown then.
pub(super) async fn watch(
    remote: &Remote,
    kind: &str,
    name: Option<&str>,
    output: OutputForm,
) -> Result<(), Problem> {
    let organization = remote.organization().await?;
    let path = format!("/v1/organizations/{organization}/watch");
    let mut watched = Watched {
        remote,
        kind: kind_of(kind)?,
        name: name.map(name_of).transpose()?,
        output,
        widths: [0; 4],
        known: BTreeMap::new(),
    };
    // The version to go on from. Until there is one, everything is still to be shown.
    let mut since: Option<u64> = None;
    let mut pause = PAUSES[0];
    loop {
        let from = since.map(|since| format!("?since={since}")).unwrap_or_default();
        let told = match remote.open(&format!("{path}{from}")).await {
            Ok(body) => watched.follow(&mut Messages::of(body), &mut since).await,
            Err(problem) => Err(problem),
        };
        match told {
            Ok(Followed::NobodyReads) => return Ok(()),
            // Watches end now and then, so that it is asked again who may see what.
            Ok(Followed::Ended) => pause = PAUSES[0],
            Err(problem) if since.is_some() && is_away(&problem) => {
                shown::aside(&format!("{}; it is called again", problem.title));
                pause = (pause * 2).min(PAUSES[1]);
            }
            Err(problem) => return Err(problem),
        }
        tokio::time::sleep(pause).await;
    }
}

fn is_away(problem: &Problem) -> bool {
    use ProblemCode::{ControlPlaneUnreachable, DaemonUnreachable, DatabaseUnavailable, TooManyRequests};
    matches!(
        problem.code,
        DaemonUnreachable | ControlPlaneUnreachable | DatabaseUnavailable | TooManyRequests
    )
}

/// Whether what was asked for is not there, or not for who asks.
fn is_of_nothing(problem: &Problem) -> bool {
    matches!(problem.code, ProblemCode::ResourceNotFound | ProblemCode::NotAllowed)
}

/// How following came to its end.
enum Followed {
    Ended,
    NobodyReads,
}

/// What is watched, and how it is shown.
struct Watched<'a> {
    remote: &'a Remote,
    kind: Kind,
    name: Option<Name>,
    output: OutputForm,
    widths: [usize; 4],
    /// What was shown last, by name, and in which version.
    known: BTreeMap<Name, u64>,
}

impl Watched<'_> {
    async fn follow(
        &mut self,
        messages: &mut Messages,
        since: &mut Option<u64>,
    ) -> Result<Followed, Problem> {
        // Several changes of one resource that came together are one.
        let mut changed: BTreeMap<Name, bool> = BTreeMap::new();
        while let Some(message) = messages.next().await? {
            let (text, version) = match message {
                ChangeMessage::Changed(change) => {
                    if change.kind == self.kind && self.name.as_ref().is_none_or(|name| *name == change.name)
                    {
                        changed.insert(change.name, change.gone);
                    }
                    continue;
                }
                ChangeMessage::Synced { resource_version } if since.is_some() => {
                    (self.changes(std::mem::take(&mut changed)).await?, resource_version)
                }
                ChangeMessage::Synced { resource_version } | ChangeMessage::Expired { resource_version } => {
                    changed.clear();
                    (self.everything(since.is_none()).await?, resource_version)
                }
            };
            if !told(&text)? {
                return Ok(Followed::NobodyReads);
            }
            *since = Some(version);
        }
        Ok(Followed::Ended)
    }

    /// Shows what there is; later on, what of it is another than was shown, and what is gone.
    async fn everything(&mut self, is_first: bool) -> Result<String, Problem> {
        let found = match &self.name {
            Some(name) => match one(self.remote, self.kind, name).await {
                Err(problem) if !is_first && is_of_nothing(&problem) => Vec::new(),
                found => vec![found?],
            },
            None => all(self.remote, &self.remote.of_kind(self.kind).await?).await?,
        };
        let mut lines = Vec::new();
        if is_first && let OutputForm::Table = self.output {
            let (head, now) = (shown::head(self.kind), Timestamp::now());
            shown::widen(&mut self.widths, &head);
            for one in &found {
                shown::widen(&mut self.widths, &shown::row(one, now));
            }
            lines.push(shown::line(&head, &self.widths));
        }
        let before = std::mem::take(&mut self.known);
        for document in &found {
            let Metadata { name, resource_version, .. } = &document.metadata;
            if before.get(name) != Some(resource_version) {
                lines.push(self.line(document)?);
            }
            self.known.insert(name.clone(), *resource_version);
        }
        lines
            .extend(before.keys().filter(|name| !self.known.contains_key(*name)).map(|name| self.gone(name)));
        Ok(lines.concat())
    }

    /// Shows those that changed, each with whether it is gone for whoever watches.
    async fn changes(&mut self, names: BTreeMap<Name, bool>) -> Result<String, Problem> {
        let mut lines = Vec::new();
        for (name, is_gone) in names {
            let there = if is_gone {
                None
            } else {
                match one(self.remote, self.kind, &name).await {
                    // It is by now, or is nothing that they may see.
                    Err(problem) if is_of_nothing(&problem) => None,
                    there => Some(there?),
                }
            };
            if let Some(document) = there {
                lines.push(self.line(&document)?);
                self.known.insert(name, document.metadata.resource_version);
            } else {
                lines.push(self.gone(&name));
                self.known.remove(&name);
            }
        }
        Ok(lines.concat())
    }

    fn line(&self, document: &Document) -> Result<String, Problem> {
        match self.output {
            OutputForm::Table => Ok(shown::line(&shown::row(document, Timestamp::now()), &self.widths)),
            OutputForm::Json => serde_json::to_string(document)
                .map(|line| line + "\n")
                .map_err(|error| Problem::new(ProblemCode::Internal, error.to_string())),
        }
    }

    fn gone(&self, name: &Name) -> String {
        match self.output {
            OutputForm::Table => {
                let row = [name.to_string(), "gone".to_owned(), "-".to_owned(), "-".to_owned()];
                shown::line(&row, &self.widths)
            }
            OutputForm::Json => {
                let gone =
                    serde_json::json!({ "kind": self.kind, "metadata": { "name": name }, "gone": true });
                format!("{gone}\n")
            }
        }
    }
}

/// The messages of one watch.
struct Messages {
    body: Incoming,
    /// What came behind the last whole line.
    rest: Vec<u8>,
}

impl Messages {
    fn of(body: Incoming) -> Self {
        Self { body, rest: Vec::new() }
    }

    async fn next(&mut self) -> Result<Option<ChangeMessage>, Problem> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return parsed(&line).map(Some);
            }
            if self.rest.len() > LONGEST {
                return Err(Problem::new(
                    ProblemCode::VersionSkew,
                    "the server tells something without an end",
                ));
            }
            // A watch that breaks off goes on from where it was.
            match tokio::time::timeout(SILENCE, self.body.frame()).await {
                Ok(Some(Ok(frame))) => self.rest.extend(frame.into_data().unwrap_or_default()),
                Ok(Some(Err(_)) | None) | Err(_) => return Ok(None),
            }
        }
    }
}
