//! What a file declares.

use std::collections::BTreeMap;

use devcontainer::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Item, Span};

/// Everything that a file declares, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Automations {
    /// What runs until it is stopped.
    pub services: BTreeMap<String, Service>,
    /// What runs to its end.
    pub tasks: BTreeMap<String, Task>,
}

/// Something that runs until it is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name for people.
    pub title: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// What it is for, as other tools sort it.
    pub role: Role,
    /// When it is started by itself; without any, by hand.
    pub triggers: Vec<Trigger>,
    /// The command, for the shell. It must not return while the service runs.
    pub start: String,
    /// A command that succeeds once the service can be used; without one it can be at once.
    pub ready: Option<String>,
    /// A command that stops it; without one it gets SIGTERM.
    pub stop: Option<String>,
    /// What must be there before it starts.
    pub depends_on: Vec<Item>,
    /// Its variables.
    pub env: BTreeMap<String, Value>,
    /// Whether it is started again when it ends by itself.
    pub restart: Restart,
    /// How long it may take until it can be used; without end if absent.
    pub ready_timeout: Option<Span>,
    /// How long it may take to stop, before it is killed.
    pub stop_timeout: Span,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Place::is_dev_container")]
    pub place: Place,
    /// Why it cannot run, with where the file asks for what is missing.
    pub refused: Option<Refusal>,
}

/// Something that runs to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name for people.
    pub title: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// When it is run by itself; without any, by hand.
    pub triggers: Vec<Trigger>,
    /// The command, for the shell.
    pub command: String,
    /// What must be there before it runs.
    pub depends_on: Vec<Item>,
    /// Its variables.
    pub env: BTreeMap<String, Value>,
    /// How long it may run; without end if absent.
    pub timeout: Option<Span>,
    /// Names of the values that it leaves for others.
    pub outputs: Vec<String>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Place::is_dev_container")]
    pub place: Place,
    /// Why it cannot run, with where the file asks for what is missing.
    pub refused: Option<Refusal>,
}

/// Where an automation runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// In the dev container.
    #[default]
    DevContainer,
    /// In a container of its own beside it.
    Docker(Image),
}

impl Place {
    /// Whether it is the dev container.
    pub fn is_dev_container(&self) -> bool {
        *self == Self::DevContainer
    }
}

/// What a container of its own is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The image, as an engine names it.
    pub image: String,
    /// Variables of the container, on top of the image's. Of a name that comes twice the last counts, as for `docker run`.
    pub environment: BTreeMap<String, String>,
    /// Where the file asks for it.
    #[serde(skip, default = "start")]
    pub at: Position,
}

impl Image {
    /// Changes with everything that a container made of it depends on.
    pub fn digest(&self) -> String {
        short_digest(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Why an automation cannot run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The reason, with what to do instead.
    pub reason: String,
    /// Where the file asks for it.
    #[serde(skip, default = "start")]
    pub at: Position,
}

/// What a service is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Nothing special.
    #[default]
    Default,
    /// An editor's server.
    Editor,
    /// An agent.
    AiAgent,
    /// An agent of a company's security.
    SecurityAgent,
}

/// When an automation is started by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// Never: by hand.
    Manual,
    /// After the first start of a new container, once for its life.
    PostDevcontainerStart,
    /// After each start of the environment.
    PostEnvironmentStart,
    /// After each start of what the container runs on; here the same as after each start of the environment.
    PostMachineStart,
    /// While an image is made that environments begin with.
    Prebuild,
    /// Before the environment's files are saved.
    BeforeSnapshot,
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Value {
    /// As it is written.
    Text(String),
    /// That of a secret of the environment.
    Secret {
        /// The secret's name.
        name: String,
        /// Where the file asks for it.
        #[serde(skip, default = "start")]
        at: Position,
    },
    /// What a task left.
    Output {
        /// The task.
        task: String,
        /// Which of its outputs.
        name: String,
    },
}

/// Whether a service is started again when it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// When at all.
    pub policy: Policy,
    /// The pause before the first time; each further one doubles it.
    pub delay: Span,
    /// The longest pause. A service that could be used for as long begins with the shortest again.
    pub max_delay: Span,
    /// How often in a row; without end if absent.
    pub attempts: Option<u32>,
}

/// When a service that ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Not: as in the files of Gitpod and Ona.
    Never,
    /// When it failed or was killed.
    OnFailure,
    /// However it ended.
    Always,
}

impl Default for Restart {
    fn default() -> Self {
        Self { policy: Policy::Never, delay: Span::seconds(1), max_delay: Span::seconds(60), attempts: None }
    }
}

/// How long a service may take to stop where the file does not say: that of Gitpod and Ona.
pub(crate) const STOP_TIMEOUT: Span = Span::seconds(120);

const fn start() -> Position {
    Position::new(1, 1)
}

impl Automations {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.tasks.is_empty()
    }

    /// All of them: services, then tasks, each by name.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        let services = self.services.keys().map(|name| Item::Service(name.clone()));
        services.chain(self.tasks.keys().map(|name| Item::Task(name.clone())))
    }

    /// Whether it is declared.
    pub fn has(&self, item: &Item) -> bool {
        match item {
            Item::Service(name) => self.services.contains_key(name),
            Item::Task(name) => self.tasks.contains_key(name),
        }
    }

    /// What must be there before it; nothing for what is not declared.
    pub fn depends_on(&self, item: &Item) -> &[Item] {
        match item {
            Item::Service(name) => self.services.get(name).map_or(&[], |service| &service.depends_on),
            Item::Task(name) => self.tasks.get(name).map_or(&[], |task| &task.depends_on),
        }
    }

    /// What starts it by itself.
    pub fn triggers(&self, item: &Item) -> &[Trigger] {
        match item {
            Item::Service(name) => self.services.get(name).map_or(&[], |service| &service.triggers),
            Item::Task(name) => self.tasks.get(name).map_or(&[], |task| &task.triggers),
        }
    }

    /// Its variables; none for what is not declared.
    pub fn env(&self, item: &Item) -> impl Iterator<Item = (&String, &Value)> {
        let env = match item {
            Item::Service(name) => self.services.get(name).map(|service| &service.env),
            Item::Task(name) => self.tasks.get(name).map(|task| &task.env),
        };
        env.into_iter().flatten()
    }

    /// Where it runs; what cannot run at all is told of in the dev container.
    pub fn place(&self, item: &Item) -> &Place {
        let (place, refused) = match item {
            Item::Service(name) => self.services.get(name).map(|it| (&it.place, &it.refused)),
            Item::Task(name) => self.tasks.get(name).map(|it| (&it.place, &it.refused)),
        }
        .unwrap_or((&Place::DevContainer, &None));
        if refused.is_some() { &Place::DevContainer } else { place }
    }

    /// Why it cannot run.
    pub fn refused(&self, item: &Item) -> Option<&Refusal> {
        match item {
            Item::Service(name) => self.services.get(name)?.refused.as_ref(),
            Item::Task(name) => self.tasks.get(name)?.refused.as_ref(),
        }
    }

    /// Changes with everything that a running instance of it depends on; not with where it stands in the file.
    pub fn definition(&self, item: &Item) -> String {
        let text = match item {
            Item::Service(name) => serde_json::to_vec(&self.services.get(name)),
            Item::Task(name) => serde_json::to_vec(&self.tasks.get(name)),
        };
        short_digest(&text.unwrap_or_default())
    }

    /// Changes with everything that is declared.
    pub fn digest(&self) -> String {
        short_digest(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Sixteen digits tell apart what one person writes.
fn short_digest(bytes: &[u8]) -> String {
    let number =
        Sha256::digest(bytes).iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:016x}")
}
