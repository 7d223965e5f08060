//! Tasks and services of environments: what their files declare, what is wanted of each, and the link to who looks
//! after them inside of the container.
//!
//! The daemon decides what is wanted and says all of it, each time ([`automations::Order`]); who looks after them in
//! the container does it and tells how everything stands. So nothing that runs depends on the daemon, and a daemon that
//! was killed finds everything again by saying the same once more.

mod beside;
mod link;
pub(crate) mod sidecar;
mod status;
mod wishes;

use std::collections::BTreeMap;
use std::time::Duration;

use api::{AutomationPhase, AutomationsStatus, Environment, Place, Problem, ProblemCode};
use automations::{CANDIDATES, Item, MAX_OUTPUT_BYTES, Order, Reading, Report, Value};
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::Sources as _;
use engine::ContainerState;
use jiff::Timestamp;
use provision::{Disk, Masks};
use reconciler::TaskFacts;

pub(crate) use beside::{Sidecars, Wanted};
pub(crate) use link::{Links, Spot};
use sidecar::Sidecar;
use wishes::Run;

use crate::observe;
use crate::reconcile::{Memory, Parts, Reconciler};
use crate::secrets::Given;

/// The file of an environment, as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeclaredFile {
    /// The file that counts, relative to the folder; `None` where there is none.
    pub(crate) file: Option<Utf8PathBuf>,
    /// What it declares, or what is wrong with it.
    pub(crate) reading: Result<Reading, Problem>,
    /// Others beside it, which do not count.
    others: Vec<&'static str>,
}

/// A declaration that could not be carried to the container, and why.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Untold {
    pub(crate) order: Order,
    pub(crate) problem: Problem,
    /// How often the same could not be said before.
    tries: u32,
    /// When it is said again.
    pub(crate) again: Timestamp,
}

impl Untold {
    /// With a pause before the next try that doubles, of 30 s at first and 10 min at most. `before` is what could not be
    /// said last.
    pub(crate) fn new(order: &Order, problem: Problem, before: Option<&Self>) -> Self {
        let tries = before.filter(|it| it.order.asks_same(order)).map_or(0, |it| it.tries.saturating_add(1));
        let pause = Duration::from_secs(30 << tries.min(5)).min(Duration::from_mins(10));
        let again = Timestamp::now().checked_add(pause).unwrap_or(Timestamp::MAX);
        Self { order: order.clone(), problem, tries, again }
    }

    fn holds_back(&self, order: &Order) -> bool {
        self.order.asks_same(order) && Timestamp::now() < self.again
    }
}

/// One look at the tasks and services of an environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    /// What is to be said to the container, if it runs.
    pub(crate) order: Option<Order>,
    /// Why that is to be said now.
    pub(crate) due: Option<String>,
    /// The containers beside the dev container that there are to be, and what is to be said to each.
    pub(crate) beside: Vec<Wanted>,
    /// Those that there are not to be any more.
    pub(crate) stale: Vec<Sidecar>,
    /// How the tasks stand that are wanted.
    pub(crate) tasks: TaskFacts,
    /// How they stand, for people.
    pub(crate) status: AutomationsStatus,
    /// What a person should know.
    pub(crate) warnings: Vec<Problem>,
    /// Whether none failed, and the file was understood.
    pub(crate) is_well: bool,
}

impl DeclaredFile {
    /// Reads the file of a folder.
    pub(crate) fn read(folder: &Utf8Path) -> Self {
        // A container can put anything there: a pipe would be waited for, a device has no end.
        let mut there = CANDIDATES.into_iter().filter(|candidate| folder.join(candidate).is_file());
        let Some(file) = there.next() else {
            let nothing = Reading { automations: automations::Automations::default(), warnings: Vec::new() };
            return Self { file: None, reading: Ok(nothing), others: Vec::new() };
        };
        Self { file: Some(file.into()), reading: read(folder, file), others: there.collect() }
    }

    fn warnings(&self) -> Vec<Problem> {
        let Some(file) = &self.file else { return Vec::new() };
        let idle = |title: String| Problem::new(ProblemCode::PropertyIdle, title);
        let others = self.others.iter().map(|other| idle(format!("`{other}` is not read: `{file}` counts")));
        let odd = self.reading.iter().flat_map(|reading| &reading.warnings).map(|warning| {
            idle(format!("`{}`: {}", warning.item, warning.message)).at(Place {
                file: file.to_string(),
                line: Some(warning.position.line),
                column: Some(warning.position.column),
            })
        });
        self.reading.as_ref().err().cloned().into_iter().chain(others).chain(odd).collect()
    }
}

fn read(folder: &Utf8Path, file: &str) -> Result<Reading, Problem> {
    let invalid = |title: String| Problem::new(ProblemCode::AutomationsInvalid, title);
    let bytes =
        Disk.read(&folder.join(file)).map_err(|error| invalid(error.to_string()).caused_by(&error))?;
    automations::read(file.into(), &bytes.unwrap_or_default()).map_err(|error| {
        let title = match error.mistakes.as_slice() {
            [_] => format!("`{file}` has a mistake"),
            mistakes => format!("`{file}` has {} mistakes", mistakes.len()),
        };
        let mut problem = invalid(title).with_log(error.to_string().lines().map(str::to_owned).collect());
        if let Some(first) = error.mistakes.first() {
            let (line, column) = (Some(first.position.line), Some(first.position.column));
            problem = problem.at(Place { file: file.to_owned(), line, column });
        }
        problem.with_command("look at all of them", "cove automations validate")
    })
}

/// Looks at the tasks and services of an environment with this container. Without its secrets nothing is said to it:
/// what runs, runs on.
///
/// # Errors
/// What tasks left could not be kept.
pub(crate) fn look(
    parts: &Parts,
    environment: &Environment,
    memory: &mut Memory,
    container: Option<&ContainerState>,
    sidecars: &[Sidecar],
    secrets: Option<&Given>,
) -> Result<Look, Problem> {
    let folder = environment.spec.source.folder();
    let declared = memory.automations.get_or_insert_with(|| DeclaredFile::read(folder)).clone();
    let before = &environment.status.automations;
    let mut report = parts.automations.report(&environment.id);
    let is_linked = report.is_some();
    let run = container.and_then(|state| Some(Run::of(&state.id, &observe::run_of(state)?, before)));
    let mut look = Look { warnings: declared.warnings(), ..Look::default() };
    let nothing = automations::Automations::default();
    let wanted = declared.reading.as_ref().map_or(&nothing, |reading| &reading.automations);
    let masks = secrets.map(|secrets| secrets.secrets.masks()).unwrap_or_default();
    if let Some(report) = &report {
        keep_outputs(parts, environment, wanted, report, &masks)?;
    }
    if let (Some(run), Ok(reading), Some(config), Some(secrets)) =
        (&run, &declared.reading, memory.reading.as_ref(), secrets)
    {
        let order = Order {
            run: run.started.clone(),
            folder: config.config.workspace_folder.clone(),
            wish: wishes::wish(
                &reading.automations,
                &environment.spec.automations,
                before,
                run,
                environment.spec.prebuild.is_some(),
                |task, session| parts.secrets.outputs(&environment.id, task, session),
            ),
            automations: without_missing(reading, declared.file.as_deref(), |name| {
                secrets.values.contains_key(name)
            }),
            secrets: BTreeMap::new(),
            versions: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
        };
        let view = beside::View {
            parts,
            environment,
            order: &order,
            given: secrets,
            main: container,
            run: &run.started,
            sidecars,
            known: &memory.sidecars,
        };
        view.look(&mut report, &mut look);
        let order = with_secrets(&order, &Spot::Main, secrets);
        let had_some = before.items.iter().any(|item| item.phase.is_alive());
        let is_tried = memory.untold.as_ref().is_some_and(|untold| untold.holds_back(&order));
        if !is_tried && (!reading.automations.is_empty() || had_some || is_linked) {
            let why = parts.automations.why_tell(&environment.id, &Spot::Main, &order);
            look.due = why.or(look.due.take());
        }
        look.order = Some(order);
    } else if run.is_none() && !wanted.is_empty() {
        look.due = Some("tasks and services are declared".to_owned());
    }
    look.warnings.extend(memory.untold.iter().filter(|_| run.is_some()).map(|untold| untold.problem.clone()));
    let wished = look.order.as_ref().map(|order| order.wish.tasks.keys().cloned().collect::<Vec<_>>());
    // What cannot be masked now is not shown, and not kept.
    let shown = report.as_ref().filter(|_| secrets.is_some());
    look.status = status::of(&declared, shown, before, run.as_ref(), &masks);
    memory.sidecars.tell_why(&mut look.status.items);
    look.tasks = tasks_of(&look.status, wished.unwrap_or_default());
    if environment.spec.prebuild.is_some() {
        // An image without what its tasks make is none: nobody would see that later.
        let untold = memory.untold.as_ref().filter(|_| run.is_some()).map(|untold| &untold.problem);
        if let Some(problem) = declared.reading.as_ref().err().or(untold) {
            look.tasks = TaskFacts::Failed(Box::new(problem.clone()));
        } else if look.order.is_none() && !wanted.is_empty() {
            look.tasks = TaskFacts::Pending;
        }
    }
    let failed = look.status.items.iter().any(|item| item.problem.is_some());
    look.is_well = !failed && declared.reading.is_ok() && memory.untold.is_none();
    Ok(look)
}

/// Keeps what tasks left for others and has a secret in it: the status shows it without, and a later run of the container
/// needs it as it is.
fn keep_outputs(
    parts: &Parts,
    environment: &Environment,
    declared: &automations::Automations,
    report: &Report,
    masks: &Masks,
) -> Result<(), Problem> {
    for item in declared.items() {
        let Some(status) = report.items.get(&item) else { continue };
        let length: usize = status.outputs.iter().map(|(name, value)| name.len() + value.len()).sum();
        let has_secret = || status.outputs.values().any(|value| masks.apply(value) != *value);
        if length <= MAX_OUTPUT_BYTES && has_secret() {
            let (id, task) = (&environment.id, item.to_string());
            parts.secrets.keep_outputs(id, &task, &status.session, &status.outputs)?;
        }
    }
    Ok(())
}

/// How tasks of these names stand together.
fn tasks_of(status: &AutomationsStatus, wished: Vec<String>) -> TaskFacts {
    let mut together = TaskFacts::Done;
    for name in wished {
        let Some(task) = status.item(&Item::Task(name.clone()).to_string()) else {
            return TaskFacts::Pending;
        };
        match task.phase {
            AutomationPhase::Succeeded => {}
            AutomationPhase::Failed | AutomationPhase::Stopped => {
                let other =
                    || Problem::new(ProblemCode::AutomationFailed, format!("the task `{name}` failed"));
                return TaskFacts::Failed(Box::new(task.problem.clone().unwrap_or_else(other)));
            }
            _ => together = TaskFacts::Pending,
        }
    }
    together
}

/// The declaration, where what needs a secret that is not there says so instead of running without it.
fn without_missing(
    reading: &Reading,
    file: Option<&Utf8Path>,
    has: impl Fn(&str) -> bool,
) -> automations::Automations {
    let mut declared = reading.automations.clone();
    let items: Vec<Item> = declared.items().collect();
    for item in items {
        let missing = declared.env(&item).find_map(|(_, value)| match value {
            Value::Secret { name, at } if !has(name) => Some((name.clone(), *at)),
            _ => None,
        });
        let Some((name, at)) = missing else { continue };
        let place = file.map(|file| format!("{file}:{at}: ")).unwrap_or_default();
        let reason = format!("{place}there is no secret `{name}`; `cove secret set {name}` keeps one");
        let refused = match &item {
            Item::Service(name) => declared.services.get_mut(name).map(|service| &mut service.refused),
            Item::Task(name) => declared.tasks.get_mut(name).map(|task| &mut task.refused),
        };
        if let Some(refused) = refused {
            *refused = Some(automations::Refusal { reason, at });
        }
    }
    declared
}

/// An order with the secrets for what runs in this container.
fn with_secrets(order: &Order, spot: &Spot, given: &Given) -> Order {
    let named = |all| named(&order.automations, spot, all);
    Order { secrets: named(&given.values), versions: named(&given.versions), ..order.clone() }
}

/// The secrets that variables of what runs in this container name, and no others.
fn named(
    declared: &automations::Automations,
    spot: &Spot,
    all: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for item in declared.items().filter(|item| Spot::of(declared, item) == *spot) {
        for (_, value) in declared.env(&item) {
            if let Value::Secret { name, .. } = value {
                named.extend(all.get_key_value(name).map(|(name, value)| (name.clone(), value.clone())));
            }
        }
    }
    named
}

impl Reconciler {
    /// What to tell of an environment whose file differs from what it was when it was last asked for.
    pub(crate) fn automations_changed(&self, environment: &Environment) -> Option<Problem> {
        let read = self.known(&environment.id).automations?;
        let now = DeclaredFile::read(environment.spec.source.folder());
        if now == read {
            return None;
        }
        let file = now.file.or(read.file)?;
        let title = format!("`{file}` changed since `{}` was last asked for", environment.metadata.name);
        Some(Problem::new(ProblemCode::AutomationsChanged, title).with_command("let it count", "cove up"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_file_counts_and_the_others_are_told_of() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        assert_eq!(DeclaredFile::read(folder).file, None);
        for file in [".ona/automations.yaml", ".gitpod/automations.yaml"] {
            fs_err::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
            fs_err::write(folder.join(file), "tasks: {a: {command: x, runsOn: {machine: {}}}}").unwrap();
        }
        let read = DeclaredFile::read(folder);
        assert_eq!(read.file.as_deref(), Some(Utf8Path::new(".gitpod/automations.yaml")));
        let told: Vec<String> = read.warnings().iter().map(ToString::to_string).collect();
        assert!(told[0].contains("`.ona/automations.yaml` is not read"), "{told:?}");
        assert!(told[1].contains("`tasks/a`: `runsOn.machine` counts as the dev container"), "{told:?}");
    }

    #[test]
    fn what_could_not_be_said_is_said_again_after_ever_longer_pauses() {
        let order = Order { run: "r".to_owned(), ..Order::default() };
        let problem = Problem::new(ProblemCode::AutomationFailed, "no answer");
        let mut untold: Option<Untold> = None;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let now = Timestamp::now();
            let next = Untold::new(&order, problem.clone(), untold.as_ref());
            assert!(next.holds_back(&order) && !next.holds_back(&Order::default()));
            pauses.push(next.again.duration_since(now).as_secs());
            untold = Some(next);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600, 600]);
    }

    #[test]
    fn a_secret_that_is_not_there_is_told_with_its_place_and_only_named_ones_are_handed_on() {
        let text = "tasks: {a: {command: x, env: {A: {secret: KEY}, B: {secret: GONE}}}, b: {command: x, env: {A: {secret: KEY}}}}";
        let reading = automations::read("f.yaml".into(), text.as_bytes()).unwrap();
        let all = BTreeMap::from([("KEY".to_owned(), "k".to_owned()), ("OTHER".to_owned(), "o".to_owned())]);
        let declared =
            without_missing(&reading, Some(Utf8Path::new("f.yaml")), |name| all.contains_key(name));
        let refused = |name: &str| declared.tasks[name].refused.clone().map(|refused| refused.reason);
        assert_eq!(
            refused("a").as_deref(),
            Some("f.yaml:1:61: there is no secret `GONE`; `cove secret set GONE` keeps one")
        );
        assert_eq!(refused("b"), None);
        let key = BTreeMap::from([("KEY".to_owned(), "k".to_owned())]);
        assert_eq!(named(&reading.automations, &Spot::Main, &all), key);
    }

    #[test]
    fn a_container_of_its_own_is_told_its_own_secrets_alone() {
        let text = "tasks: {a: {command: x, env: {A: {secret: KEY}}}, b: {command: x, env: {A: {secret: OTHER}}, \
                    runsOn: {docker: {image: i}}}}";
        let declared = automations::read("f.yaml".into(), text.as_bytes()).unwrap().automations;
        let all = BTreeMap::from([("KEY".to_owned(), "k".to_owned()), ("OTHER".to_owned(), "o".to_owned())]);
        let names = |spot| named(&declared, &spot, &all).into_keys().collect::<Vec<_>>();
        assert_eq!(names(Spot::Main), ["KEY"]);
        assert_eq!(names(Spot::Beside(Item::Task("b".into()))), ["OTHER"]);
    }
}
