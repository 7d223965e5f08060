//! What the machine's Docker Engine has, for people who look at it and clean up.
//!
//! Each question is put to the engine anew; nothing is kept here. A machine that is off stays off, and one that is paused
//! stays so: looking is no use. What Cove looks after for an environment ([`Owners`]) is neither started nor removed here.

mod browse;
mod containers;
mod images;
mod news;
mod others;
mod owners;
mod prune;

use api::{MachinePhase, Problem, ProblemCode};
use engine::{ContainerRow, Engine, EngineError};
use futures::stream::BoxStream;
use jiff::Timestamp;
use serde_json::Value;

use crate::machine::{MachineHost, problems as machine_problems};
use crate::problems::from_engine;
use crate::store::Store;
use owners::Owners;

/// The label of compose on all that it makes.
const PROJECT_LABEL: &str = "com.docker.compose.project";
/// The label of compose on its containers.
const SERVICE_LABEL: &str = "com.docker.compose.service";

/// The engine's lists.
#[derive(Clone)]
pub struct Inventory {
    machine: MachineHost,
    store: Store,
}

impl Inventory {
    /// The lists of a machine's engine.
    pub fn new(machine: MachineHost, store: Store) -> Self {
        Self { machine, store }
    }

    /// Tells that something changed among them, at most once a second, across restarts of the machine. Costs one
    /// connection to the engine, for as long as the stream lives.
    pub fn news(&self) -> BoxStream<'static, ()> {
        news::follow(self.machine.clone())
    }

    /// All that the engine says of an object of a list.
    ///
    /// # Errors
    /// The machine is off, or there is no such object.
    pub async fn inspect(&self, kind: engine::Inspected, name: &str) -> Result<Value, Problem> {
        let engine = self.engine()?;
        let (what, id) = match kind {
            engine::Inspected::Container => ("container", self.find(&engine, name).await?.0.id),
            engine::Inspected::Image => ("image", self.find_image(&engine, name).await?.0.id),
            engine::Inspected::Volume => ("volume", name.to_owned()),
            engine::Inspected::Network => ("network", name.to_owned()),
        };
        let found = engine.inspect(kind, &id).await.map_err(|error| told(&error))?;
        found.ok_or_else(|| absent(what, name))
    }

    /// The engine of a machine that runs.
    fn engine(&self) -> Result<Engine, Problem> {
        let state = self.machine.state();
        if state.is_ready() {
            return Ok(self.machine.engine());
        }
        Err(match state.phase {
            MachinePhase::Paused => machine_problems::paused(),
            MachinePhase::Running => {
                Problem::new(ProblemCode::EngineDown, "the Docker Engine in the machine does not answer yet")
            }
            _ => machine_problems::not_running(),
        })
    }

    /// The containers, and who has what.
    async fn containers_and_owners(
        &self,
        engine: &Engine,
        sizes: bool,
    ) -> Result<(Vec<ContainerRow>, Owners), Problem> {
        let rows = engine.container_rows(sizes).await.map_err(|error| told(&error))?;
        let owners = Owners::of(&self.store.environments()?, &rows);
        Ok((rows, owners))
    }

    /// The container with this id, this beginning of an id, or this name.
    async fn find(&self, engine: &Engine, name: &str) -> Result<(ContainerRow, Owners), Problem> {
        let (rows, owners) = self.containers_and_owners(engine, false).await?;
        let found = rows.into_iter().find(|row| is_called(name, &row.id, [row.name.as_str()]));
        found.map(|row| (row, owners)).ok_or_else(|| absent("container", name))
    }
}

/// Fewest characters of an id that stand for it.
const SHORTEST_ID: usize = 12;

/// Whether something of this id and these names is meant.
fn is_called<'a>(asked: &str, id: &str, names: impl IntoIterator<Item = &'a str>) -> bool {
    let begins = |id: &str| asked.len() >= SHORTEST_ID && id.starts_with(asked);
    asked == id || begins(id) || id.split_once(':').is_some_and(|(_, hex)| begins(hex)) || {
        let mut names = names.into_iter();
        names.any(|name| name == asked)
    }
}

/// What the engine refused, for people.
fn told(error: &EngineError) -> Problem {
    match error {
        EngineError::Refused { status: Some(403 | 409), .. } => {
            Problem::new(ProblemCode::DockerInUse, error.to_string())
        }
        EngineError::Refused { status: Some(404), .. } => {
            Problem::new(ProblemCode::DockerNotFound, error.to_string())
        }
        error => from_engine(error),
    }
}

fn absent(what: &str, name: &str) -> Problem {
    Problem::new(ProblemCode::DockerNotFound, format!("the machine's engine has no {what} `{name}`"))
}

fn seconds(since_1970: i64) -> Timestamp {
    Timestamp::from_second(since_1970).unwrap_or_default()
}

/// A time in the engine's spelling.
fn time(said: &str) -> Option<Timestamp> {
    let time: Timestamp = said.parse().ok()?;
    // The year 1, which it writes for never.
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}
