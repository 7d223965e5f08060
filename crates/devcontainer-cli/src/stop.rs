//! `stop`, `down` and `list`, which the reference does not have.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use devcontainer::{CONFIG_FILE_LABEL, LOCAL_FOLDER_LABEL};
use engine::{ContainerSummary, Engine, EngineError};
use provision::Masks;
use provision::compose::PROJECT_LABEL;
use serde_json::{Value, json};

use crate::Surroundings;
use crate::arguments::{ListArguments, LogFormat, StopArguments};
use crate::engines::Said;
use crate::log::{Level, Log};
use crate::outcome::{self, Failure};
use crate::target::Asked;

/// How long a container may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

/// What is in a machine that is off cannot be seen. For a person; a program has the empty list.
const MACHINE_OFF: &str = "Cove's machine is off: no dev container runs in it, and which ones are kept there cannot be \
     seen. `cove machine start` starts it; `cove ls` lists the environments of `cove` all the same.";

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The container stays.
    Stop,
    /// The container goes; volumes stay.
    Down,
}

pub(crate) async fn run(
    arguments: StopArguments,
    surroundings: &Surroundings<'_>,
    ending: Ending,
) -> ExitCode {
    let log = Log::new(arguments.log.log_level, arguments.log.log_format, Masks::default(), true);
    match end(&arguments, surroundings, ending, &log).await {
        Ok(ids) => {
            outcome::line(&json!({ "outcome": "success", "containerIds": ids }));
            ExitCode::SUCCESS
        }
        Err(failure) => log.failure(&failure),
    }
}

/// Ends the containers; gives their ids.
pub(crate) async fn end(
    arguments: &StopArguments,
    surroundings: &Surroundings<'_>,
    ending: Ending,
    log: &Log,
) -> Result<Vec<String>, Failure> {
    let failing = match ending {
        Ending::Stop => "An error occurred stopping the container.",
        Ending::Down => "An error occurred removing the container.",
    };
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::caused(failing, error);
    let lookup = &arguments.lookup;
    let said = Said { docker: &lookup.docker, compose: lookup.docker_compose_path.as_deref() };
    // In a machine that is off nothing runs; for removing something it has to be on.
    let Some(host) = surroundings.engine(said, ending == Ending::Down).await? else {
        log.write(Level::Warning, MACHINE_OFF);
        return Ok(Vec::new());
    };
    let engine = &host.engine;
    let containers = if arguments.all {
        all(engine).await.map_err(|error| failed(&error))?
    } else {
        let target = Asked::of(lookup, surroundings).read(failing)?;
        let found = target.find(engine).await.map_err(|error| failed(&error))?.0;
        let state = found.ok_or_else(|| Failure::plain("Dev container not found."))?;
        let all = engine.find_containers(&[]).await.map_err(|error| failed(&error))?;
        all.into_iter().filter(|container| container.id == state.id).collect()
    };
    let mut projects = BTreeSet::new();
    for container in &containers {
        let project = container.labels.get(PROJECT_LABEL);
        if project.is_some_and(|project| !projects.insert(project.clone())) {
            continue;
        }
        let ended = match (ending, project) {
            (Ending::Stop, None) => engine.stop_container(&container.id, GRACE).await,
            (Ending::Stop, Some(project)) => engine.compose_stop(project, GRACE).await,
            (Ending::Down, None) => gone(engine, &container.id).await,
            (Ending::Down, Some(project)) => engine.compose_down(project, false).await,
        };
        ended.map_err(|error| failed(&error))?;
    }
    Ok(containers.into_iter().map(|container| container.id).collect())
}

async fn gone(engine: &Engine, container: &str) -> Result<(), EngineError> {
    engine.stop_container(container, GRACE).await?;
    engine.remove_container(container).await
}

/// The dev containers of an engine, by folder.
async fn all(engine: &Engine) -> Result<Vec<ContainerSummary>, EngineError> {
    let mut found = engine.find_containers(&[LOCAL_FOLDER_LABEL.to_owned()]).await?;
    found.sort_by(|one, other| {
        (label(one, LOCAL_FOLDER_LABEL), &one.name).cmp(&(label(other, LOCAL_FOLDER_LABEL), &other.name))
    });
    Ok(found)
}

fn label<'a>(container: &'a ContainerSummary, name: &str) -> &'a str {
    container.labels.get(name).map_or("", String::as_str)
}

pub(crate) async fn list(arguments: ListArguments, surroundings: &Surroundings<'_>) -> ExitCode {
    let log = Log::new(arguments.log.log_level, arguments.log.log_format, Masks::default(), false);
    let said = Said { docker: &arguments.docker, compose: None };
    let found = match surroundings.engine(said, false).await {
        Ok(Some(host)) => {
            all(&host.engine).await.map_err(|error| Failure::plain(outcome::with_causes(&error)))
        }
        Ok(None) => {
            log.write(Level::Warning, MACHINE_OFF);
            Ok(Vec::new())
        }
        Err(failure) => Err(failure),
    };
    match found {
        Ok(found) => {
            match arguments.output_format {
                LogFormat::Json => outcome::line(&found.iter().map(described).collect::<Vec<_>>()),
                LogFormat::Text => outcome::print(&table(&found)),
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            log.error(&failure.message);
            ExitCode::FAILURE
        }
    }
}

fn described(container: &ContainerSummary) -> Value {
    let mut described = json!({
        "containerId": container.id,
        "name": container.name,
        "image": container.image,
        "running": container.running,
        "localFolder": label(container, LOCAL_FOLDER_LABEL),
        "configFile": label(container, CONFIG_FILE_LABEL),
    });
    if let Some(project) = container.labels.get(PROJECT_LABEL) {
        described["composeProjectName"] = Value::from(project.clone());
    }
    described
}

/// A table for people. Nothing at all is said where there is nothing.
fn table(containers: &[ContainerSummary]) -> String {
    if containers.is_empty() {
        return String::new();
    }
    let heading = ["CONTAINER", "STATE", "NAME", "FOLDER"].map(str::to_owned);
    let rows = containers.iter().map(|container| {
        let id = container.id.get(..12).unwrap_or(&container.id);
        let state = if container.running { "running" } else { "stopped" };
        [id, state, &container.name, label(container, LOCAL_FOLDER_LABEL)].map(str::to_owned)
    });
    let rows: Vec<[String; 4]> = std::iter::once(heading).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let line = |row: &[String; 4]| {
        let [a, b, c] = widths;
        format!("{:a$}  {:b$}  {:c$}  {}\n", row[0], row[1], row[2], row[3])
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned() {
        let container = |name: &str, running| ContainerSummary {
            id: "0123456789abcdef".into(),
            name: name.into(),
            image: "i".into(),
            running,
            created: 0,
            removing: false,
            labels: [(LOCAL_FOLDER_LABEL.to_owned(), "/src/a".to_owned())].into(),
            ports: Vec::new(),
        };
        let text = table(&[container("web", true), container("longer_name", false)]);
        assert_eq!(
            text,
            "CONTAINER     STATE    NAME         FOLDER\n\
             0123456789ab  running  web          /src/a\n\
             0123456789ab  stopped  longer_name  /src/a\n"
        );
        assert_eq!(table(&[]), "");
    }
}
