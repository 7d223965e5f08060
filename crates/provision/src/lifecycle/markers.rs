//! Marks of hooks in the container itself, in the form that the reference and VS Code read: a file for each hook in
//! the user's data folder that holds the moment at which the container was made, or started.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Cause, ContainerState, Engine};
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::{Hook, Record, RecordError};
use crate::shell::{self, Shell};
use crate::workplace::Workplace;

/// The marks in one container. They are written by the person who works there.
#[derive(Debug, Clone)]
pub struct Markers {
    engine: Engine,
    container: String,
    shell: Shell,
    folder: String,
    created_at: String,
    started_at: String,
    /// What the files held when they were first asked for.
    found: Arc<OnceCell<BTreeMap<Hook, String>>>,
}

/// The hooks that leave a mark.
const MARKED: [Hook; 4] = [Hook::OnCreate, Hook::UpdateContent, Hook::PostCreate, Hook::PostStart];

/// Prints a line for each file: `ENOENT` where there is none, else its first.
const READ: &str = "for file; do if [ -f \"$file\" ]; then mark=; read -r mark < \"$file\" || :; echo \"$mark\"; \
     else echo ENOENT; fi; done";

impl Markers {
    /// The marks of a running container. `folder` is the user's data folder, relative to the home folder;
    /// `.devcontainer` unless a person says otherwise.
    pub fn new(engine: &Engine, place: &Workplace, state: &ContainerState, folder: Option<&str>) -> Self {
        let folder = folder.unwrap_or(".devcontainer");
        let folder = if folder.starts_with('/') {
            folder.to_owned()
        } else {
            format!("{}/{folder}", place.home().trim_end_matches('/'))
        };
        Self {
            engine: engine.clone(),
            container: state.id.clone(),
            shell: Shell::new(engine, &state.id, place.user()),
            folder,
            created_at: state.created_at.clone().unwrap_or_default(),
            started_at: state.started_at.clone().unwrap_or_default(),
            found: Arc::default(),
        }
    }

    /// The user's data folder.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Reads all marks at once: every look into a container takes its time. `hook` is the one that is asked for.
    async fn read(&self, hook: Hook) -> Result<BTreeMap<Hook, String>, RecordError> {
        // Without starting anything, where that is enough: a folder of marks, and nothing large beside them.
        if let Ok(files) = self.engine.files_of_container(&self.container, &self.folder).await {
            let files = files.unwrap_or_default();
            let mark = |hook: Hook| {
                let bytes = files.get(&name_of(hook))?;
                let text = String::from_utf8_lossy(bytes);
                Some((hook, text.lines().next().unwrap_or_default().trim().to_owned()))
            };
            return Ok(MARKED.into_iter().filter_map(mark).collect());
        }
        let files = MARKED.map(|hook| self.file(hook));
        let files = files.each_ref().map(String::as_str);
        let said = self.shell.run(READ, &files).await.map_err(|error| failed("look up", hook, error))?;
        let marks = MARKED.into_iter().zip(said.lines().map(str::trim));
        Ok(marks.filter(|(_, mark)| *mark != "ENOENT").map(|(hook, mark)| (hook, mark.to_owned())).collect())
    }

    fn file(&self, hook: Hook) -> String {
        format!("{}/{}", self.folder, name_of(hook))
    }

    fn content(&self, hook: Hook) -> &str {
        match hook {
            Hook::PostStart | Hook::PostAttach => &self.started_at,
            Hook::OnCreate | Hook::UpdateContent | Hook::PostCreate => &self.created_at,
        }
    }
}

impl Record for Markers {
    fn is_done(&self, hook: Hook) -> BoxFuture<'_, Result<bool, RecordError>> {
        Box::pin(async move {
            let found = self.found.get_or_try_init(|| self.read(hook)).await?;
            let Some(mark) = found.get(&hook) else { return Ok(false) };
            // A mark without a moment counts for every container: images are made with such.
            Ok(mark.is_empty() || mark == self.content(hook))
        })
    }

    fn done(&self, hook: Hook) -> BoxFuture<'_, Result<(), RecordError>> {
        Box::pin(async move {
            let script = "mkdir -p \"${1%/*}\" && echo \"$2\" > \"$1\"";
            let wrote = self.shell.run(script, &[&self.file(hook), self.content(hook)]).await;
            wrote.map(drop).map_err(|error| failed("write down", hook, error))
        })
    }
}

fn name_of(hook: Hook) -> String {
    format!(".{}Marker", hook.property())
}

fn failed(what: &'static str, hook: Hook, error: shell::ShellError) -> RecordError {
    RecordError { what, hook, source: Cause::from(error) }
}

/// The record of who keeps none: everything is to be run, and nothing is written down.
impl Record for () {
    fn is_done(&self, _hook: Hook) -> BoxFuture<'_, Result<bool, RecordError>> {
        Box::pin(async { Ok(false) })
    }

    fn done(&self, _hook: Hook) -> BoxFuture<'_, Result<(), RecordError>> {
        Box::pin(async { Ok(()) })
    }
}
