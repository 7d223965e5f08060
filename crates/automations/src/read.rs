//! Reads the text of a file.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use devcontainer::Position;

use crate::fields::{Spot, did_you_mean};
use crate::graph::Graph;
use crate::item::is_name;
use crate::locate::MAX_BYTES;
use crate::mistake::{Mistakes, ReadError};
use crate::model::{
    Automations, Image, Place, Policy, Restart, Role, STOP_TIMEOUT, Service, Task, Trigger, Value,
};
use crate::{Item, Span, yaml};

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What it declares.
    pub automations: Automations,
    /// What a person should know of it, in the order of the text.
    pub warnings: Vec<Warning>,
}

/// Something that is not as its author may think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub item: Item,
    /// Where it stands.
    pub position: Position,
    /// What is to be known, in one line.
    pub message: String,
}

const TRIGGERS: [(&str, Trigger); 6] = [
    ("manual", Trigger::Manual),
    ("postDevcontainerStart", Trigger::PostDevcontainerStart),
    ("postEnvironmentStart", Trigger::PostEnvironmentStart),
    ("postMachineStart", Trigger::PostMachineStart),
    ("prebuild", Trigger::Prebuild),
    ("beforeSnapshot", Trigger::BeforeSnapshot),
];

const ROLES: [(&str, Role); 4] = [
    ("default", Role::Default),
    ("editor", Role::Editor),
    ("ai-agent", Role::AiAgent),
    ("security-agent", Role::SecurityAgent),
];

const POLICIES: [(&str, Policy); 3] =
    [("never", Policy::Never), ("on-failure", Policy::OnFailure), ("always", Policy::Always)];

/// Reads the text of a file; `file` is its name in messages. An empty text declares nothing.
///
/// # Errors
/// Every mistake with its place, or that the text is not YAML, not UTF-8 or far too long.
pub fn read(file: &Utf8Path, bytes: &[u8]) -> Result<Reading, ReadError> {
    let failed = |mistakes| ReadError { file: file.to_owned(), mistakes };
    let whole = |message: &str| {
        let mut mistakes = Mistakes::default();
        mistakes.add(Position::new(1, 1), "", message);
        failed(mistakes.told().unwrap_or_default())
    };
    if bytes.len() > MAX_BYTES {
        return Err(whole("far too long for such a file"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| whole("the text is not UTF-8"))?;
    let node = yaml::parse(text).map_err(|mistake| failed(vec![mistake]))?;
    let mut reader = Reader::default();
    let automations = if node.kind == yaml::Kind::Null {
        Automations::default()
    } else {
        reader.file(Spot::root(node)).unwrap_or_default()
    };
    reader.references(&automations);
    if let Some(mistakes) = reader.mistakes.told() {
        return Err(failed(mistakes));
    }
    let mut warnings = reader.warnings;
    warnings.sort_by_key(|warning| warning.position);
    Ok(Reading { automations, warnings })
}

#[derive(Default)]
struct Reader {
    mistakes: Mistakes,
    warnings: Vec<Warning>,
    /// What is there by its name, also where it could not be read.
    declared: BTreeSet<Item>,
    /// What depends on what, with the place where it says so: names are known once all is read.
    wanted: Vec<(Item, Position, String, String)>,
    /// Outputs that variables take.
    outputs: Vec<(Item, Position, String, String)>,
}

impl Reader {
    fn file(&mut self, spot: Spot) -> Option<Automations> {
        let mut fields = spot.fields("`services` and `tasks`", &mut self.mistakes)?;
        let mut automations = Automations::default();
        if let Some(services) = self.named(fields.take("services"), Item::Service) {
            for (name, spot) in services {
                if let Some(service) = self.service(&Item::Service(name.clone()), spot) {
                    automations.services.insert(name, service);
                }
            }
        }
        if let Some(tasks) = self.named(fields.take("tasks"), Item::Task) {
            for (name, spot) in tasks {
                if let Some(task) = self.task(&Item::Task(name.clone()), spot) {
                    automations.tasks.insert(name, task);
                }
            }
        }
        fields.end(&mut self.mistakes);
        self.resolve(&mut automations);
        Some(automations)
    }

    fn named(&mut self, spot: Option<Spot>, item: fn(String) -> Item) -> Option<Vec<(String, Spot)>> {
        let fields = spot?.fields("a mapping by name", &mut self.mistakes)?;
        let mut named = Vec::new();
        for (name, at, spot) in fields.rest() {
            if is_name(&name) {
                self.declared.insert(item(name.clone()));
                named.push((name, spot));
            } else {
                let message = "names have 1 to 128 letters, digits, `-` and `_`";
                self.mistakes.add(at, &item(name).to_string().replacen('/', ".", 1), message);
            }
        }
        Some(named)
    }

    fn service(&mut self, item: &Item, spot: Spot) -> Option<Service> {
        let mut fields = spot.fields("a service", &mut self.mistakes)?;
        let commands = fields.needed("commands", &mut self.mistakes);
        let mut service = Service {
            title: fields.text("name", &mut self.mistakes),
            description: fields.text("description", &mut self.mistakes),
            role: fields
                .take("role")
                .and_then(|spot| spot.choice(&ROLES, &mut self.mistakes))
                .unwrap_or_default(),
            triggers: self.triggers(item, fields.take("triggeredBy")),
            start: String::new(),
            ready: None,
            stop: None,
            depends_on: Vec::new(),
            env: self.env(item, fields.take("env")),
            restart: self.restart(fields.take("restart")),
            ready_timeout: None,
            stop_timeout: STOP_TIMEOUT,
            place: self.runs_on(item, fields.take("runsOn")),
            refused: None,
        };
        self.dependencies(item, fields.take("dependsOn"));
        if let Some(mut timeouts) =
            fields.take("timeouts").and_then(|spot| spot.fields("`ready` and `stop`", &mut self.mistakes))
        {
            service.ready_timeout = self.span(timeouts.take("ready"));
            service.stop_timeout = self.span(timeouts.take("stop")).unwrap_or(STOP_TIMEOUT);
            timeouts.end(&mut self.mistakes);
        }
        fields.end(&mut self.mistakes);
        let mut commands = commands?.fields("`start`, `ready` and `stop`", &mut self.mistakes)?;
        let start = commands.needed("start", &mut self.mistakes);
        service.ready = commands.text("ready", &mut self.mistakes);
        service.stop = commands.text("stop", &mut self.mistakes);
        commands.end(&mut self.mistakes);
        service.start = start?.text(&mut self.mistakes)?;
        Some(service)
    }

    fn task(&mut self, item: &Item, spot: Spot) -> Option<Task> {
        let mut fields = spot.fields("a task", &mut self.mistakes)?;
        let command = fields.needed("command", &mut self.mistakes);
        let task = Task {
            title: fields.text("name", &mut self.mistakes),
            description: fields.text("description", &mut self.mistakes),
            triggers: self.triggers(item, fields.take("triggeredBy")),
            command: String::new(),
            depends_on: Vec::new(),
            env: self.env(item, fields.take("env")),
            timeout: self.span(fields.take("timeout")),
            outputs: self.output_names(fields.take("outputs")),
            place: self.runs_on(item, fields.take("runsOn")),
            refused: None,
        };
        self.dependencies(item, fields.take("dependsOn"));
        fields.end(&mut self.mistakes);
        Some(Task { command: command?.text(&mut self.mistakes)?, ..task })
    }

    fn triggers(&mut self, item: &Item, spot: Option<Spot>) -> Vec<Trigger> {
        let Some(spots) = spot.and_then(|spot| spot.items("a list of triggers", &mut self.mistakes)) else {
            return Vec::new();
        };
        let mut triggers = Vec::new();
        for spot in spots {
            let (at, path) = (spot.at(), spot.path.clone());
            let Some(trigger) = spot.choice(&TRIGGERS, &mut self.mistakes) else { continue };
            let told = match trigger {
                Trigger::BeforeSnapshot if matches!(item, Item::Service(_)) => {
                    self.mistakes.add(at, &path, "`beforeSnapshot` is for tasks only");
                    None
                }
                Trigger::PostMachineStart => Some(
                    "`postMachineStart` counts as `postEnvironmentStart`: everything runs in the container",
                ),
                Trigger::BeforeSnapshot => {
                    Some("nothing is saved as a snapshot here: `beforeSnapshot` never comes")
                }
                _ => None,
            };
            self.warnings.extend(told.map(|message| Warning {
                item: item.clone(),
                position: at,
                message: message.to_owned(),
            }));
            triggers.push(trigger);
        }
        triggers
    }

    fn dependencies(&mut self, item: &Item, spot: Option<Spot>) {
        let Some(spots) = spot.and_then(|spot| spot.items("a list of names", &mut self.mistakes)) else {
            return;
        };
        for spot in spots {
            let (at, path) = (spot.at(), spot.path.clone());
            if let Some(name) = spot.text(&mut self.mistakes) {
                self.wanted.push((item.clone(), at, path, name));
            }
        }
    }

    /// Names become services and tasks. A task's name wins, as it is the only one that other tools know; with its kind
    /// (`services/db`) either can be meant.
    fn resolve(&mut self, automations: &mut Automations) {
        let mut said_at = BTreeMap::new();
        for (item, at, path, name) in std::mem::take(&mut self.wanted) {
            let task = Item::Task(name.clone());
            let service = Item::Service(name.clone());
            let meant =
                Item::parse(&name).unwrap_or(if self.declared.contains(&task) { task } else { service });
            if !self.declared.contains(&meant) {
                // To look for what was meant takes its time.
                if self.mistakes.is_full() {
                    break;
                }
                let near = did_you_mean(&name, self.declared.iter().map(Item::name));
                self.mistakes.add(at, &path, format!("there is no task or service `{name}`{near}"));
                continue;
            }
            let list = match &item {
                Item::Service(name) => automations.services.get_mut(name).map(|it| &mut it.depends_on),
                Item::Task(name) => automations.tasks.get_mut(name).map(|it| &mut it.depends_on),
            };
            if let Some(list) = list
                && let Entry::Vacant(place) = said_at.entry((item, meant.clone()))
            {
                place.insert((at, path));
                list.push(meant);
            }
        }
        // A chain that returns to where it began can never start.
        for cycle in Graph::of(automations).cycles(Mistakes::MOST) {
            if let [item, need, ..] = &*cycle
                && let Some((at, path)) = said_at.get(&(item.clone(), need.clone()))
            {
                let chain: Vec<String> = cycle.iter().map(Item::to_string).collect();
                self.mistakes.add(*at, path, format!("it waits for itself: {}", chain.join(" → ")));
            }
        }
    }

    fn env(&mut self, item: &Item, spot: Option<Spot>) -> BTreeMap<String, Value> {
        let Some(fields) = spot.and_then(|spot| spot.fields("variables by name", &mut self.mistakes)) else {
            return BTreeMap::new();
        };
        let mut env = BTreeMap::new();
        for (name, at, spot) in fields.rest() {
            if !is_variable(&name) {
                self.mistakes.add(at, &spot.path, BAD_VARIABLE);
                continue;
            }
            env.extend(self.value(item, spot).map(|value| (name, value)));
        }
        env
    }

    fn value(&mut self, item: &Item, spot: Spot) -> Option<Value> {
        if !matches!(spot.node.kind, yaml::Kind::Map(_)) {
            return spot.scalar(&mut self.mistakes).map(Value::Text);
        }
        let path = spot.path.clone();
        let mut fields = spot.fields("a value", &mut self.mistakes)?;
        let (secret, output) = (fields.take("secret"), fields.take("output"));
        let (at, is_known) = (fields.at, fields.is_taken());
        fields.end(&mut self.mistakes);
        match (secret, output) {
            (Some(secret), None) => {
                let at = secret.at();
                secret.text(&mut self.mistakes).map(|name| Value::Secret { name, at })
            }
            (None, Some(output)) => {
                let (at, path) = (output.at(), output.path.clone());
                let text = output.text(&mut self.mistakes)?;
                let Some((task, name)) = text.split_once('.') else {
                    self.mistakes.add(at, &path, "expected `TASK.NAME`: an output of a task");
                    return None;
                };
                self.outputs.push((item.clone(), at, path, text.clone()));
                Some(Value::Output { task: task.to_owned(), name: name.to_owned() })
            }
            _ => {
                if is_known {
                    let message = "expected one of `secret: NAME` and `output: TASK.NAME`";
                    self.mistakes.add(at, &path, message);
                }
                None
            }
        }
    }

    /// An output can be had from a task that is waited for, and that says it leaves it.
    fn references(&mut self, automations: &Automations) {
        for (item, at, path, text) in std::mem::take(&mut self.outputs) {
            let Some((task, name)) = text.split_once('.') else { continue };
            let Some(declared) = automations.tasks.get(task) else {
                let near = did_you_mean(task, automations.tasks.keys().map(String::as_str));
                self.mistakes.add(at, &path, format!("there is no task `{task}`{near}"));
                continue;
            };
            if !declared.outputs.iter().any(|output| output == name) {
                let near = did_you_mean(name, declared.outputs.iter().map(String::as_str));
                let message = format!("the task `{task}` has no `{name}` in its `outputs`{near}");
                self.mistakes.add(at, &path, message);
            } else if !automations.depends_on(&item).contains(&Item::Task(task.to_owned())) {
                let message = format!("needs `{task}` in `dependsOn`: it has to end before");
                self.mistakes.add(at, &path, message);
            }
        }
    }

    fn output_names(&mut self, spot: Option<Spot>) -> Vec<String> {
        let Some(spots) = spot.and_then(|spot| spot.items("a list of names", &mut self.mistakes)) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for spot in spots {
            let (at, path) = (spot.at(), spot.path.clone());
            match spot.text(&mut self.mistakes) {
                Some(name) if is_name(&name) && !names.contains(&name) => names.push(name),
                Some(_) => {
                    let message = "names of outputs have 1 to 128 letters, digits, `-` and `_`, each once";
                    self.mistakes.add(at, &path, message);
                }
                None => {}
            }
        }
        names
    }

    fn restart(&mut self, spot: Option<Spot>) -> Restart {
        let Some(spot) = spot else { return Restart::default() };
        if !matches!(spot.node.kind, yaml::Kind::Map(_)) {
            let policy = spot.choice(&POLICIES, &mut self.mistakes).unwrap_or(Policy::Never);
            return Restart { policy, ..Restart::default() };
        }
        let Some(mut fields) = spot.fields("a policy", &mut self.mistakes) else { return Restart::default() };
        let usual = Restart::default();
        let policy = fields.needed("policy", &mut self.mistakes);
        let delay = self.span(fields.take("delay")).unwrap_or(usual.delay);
        let most_at = fields.take("maxDelay");
        let place = most_at.as_ref().map(|spot| (spot.at(), spot.path.clone()));
        let max_delay = self.span(most_at).unwrap_or(usual.max_delay.max(delay));
        if let Some((at, path)) = place
            && max_delay < delay
        {
            self.mistakes.add(at, &path, format!("must not be less than `delay`, which is {delay}"));
        }
        let attempts = self.count(fields.take("attempts"));
        fields.end(&mut self.mistakes);
        let policy = policy.and_then(|spot| spot.choice(&POLICIES, &mut self.mistakes));
        Restart { policy: policy.unwrap_or(Policy::Never), delay, max_delay, attempts }
    }

    fn count(&mut self, spot: Option<Spot>) -> Option<u32> {
        let spot = spot?;
        let number = match &spot.node.kind {
            yaml::Kind::Scalar { text, quoted: false } => text.parse::<u32>().ok(),
            _ => None,
        };
        number
            .filter(|number| *number > 0)
            .or_else(|| spot.unexpected("a number above 0", &mut self.mistakes))
    }

    fn span(&mut self, spot: Option<Spot>) -> Option<Span> {
        let spot = spot?;
        let span = match &spot.node.kind {
            yaml::Kind::Scalar { text, .. } => Span::parse(text),
            _ => None,
        };
        span.or_else(|| spot.unexpected("a span of time such as `30s` or `1h30m`", &mut self.mistakes))
    }

    /// The dev container, also for what is meant for the machine around it, or a container of its own.
    fn runs_on(&mut self, item: &Item, spot: Option<Spot>) -> Place {
        let Some(mut fields) = spot.and_then(|it| it.fields("`docker` or `machine`", &mut self.mistakes))
        else {
            return Place::DevContainer;
        };
        let at = fields.at;
        let (docker, machine) = (fields.take("docker"), fields.take("machine"));
        let path = docker.as_ref().or(machine.as_ref()).map_or_else(String::new, |spot| spot.path.clone());
        fields.end(&mut self.mistakes);
        if docker.is_some() && machine.is_some() {
            self.mistakes.add(at, &path, "`docker` and `machine` exclude each other");
        }
        if let Some(docker) = docker {
            return self.image(docker).map_or(Place::DevContainer, Place::Docker);
        }
        if let Some(machine) = machine.and_then(|it| it.fields("an empty mapping", &mut self.mistakes)) {
            machine.end(&mut self.mistakes);
            let message = "`runsOn.machine` counts as the dev container: there is no other place here, so it runs as its \
                           user, with its files and its tools";
            self.warnings.push(Warning { item: item.clone(), position: at, message: message.to_owned() });
        }
        Place::DevContainer
    }

    fn image(&mut self, docker: Spot) -> Option<Image> {
        let mut docker = docker.fields("`image` and `environment`", &mut self.mistakes)?;
        let at = docker.at;
        let image = docker.needed("image", &mut self.mistakes).and_then(|it| it.text(&mut self.mistakes));
        let environment = docker.take("environment");
        let spots = environment.and_then(|spot| spot.items("a list of `NAME=VALUE`", &mut self.mistakes));
        let mut environment = BTreeMap::new();
        for spot in spots.into_iter().flatten() {
            let (at, path) = (spot.at(), spot.path.clone());
            let Some(text) = spot.text(&mut self.mistakes) else { continue };
            match text.split_once('=') {
                Some((name, value)) if is_variable(name) && !value.contains('\0') => {
                    environment.insert(name.to_owned(), value.to_owned());
                }
                Some(_) => self.mistakes.add(at, &path, BAD_VARIABLE),
                None => self.mistakes.add(at, &path, "expected `NAME=VALUE`: a variable of the container"),
            }
        }
        docker.end(&mut self.mistakes);
        Some(Image { image: image?, environment, at })
    }
}

const BAD_VARIABLE: &str = "cannot be the name of a variable, or begins with `COVE_`";

/// Whether it can be the name of a variable. Those with our prefix are ours.
fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.starts_with("COVE_")
}
