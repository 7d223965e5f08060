//! `cove automations`: tasks and services of environments.

mod file;
mod graph;

use std::collections::BTreeMap;

use api::{
    AutomationPhase, AutomationStatus, AutomationWish, Environment, EnvironmentPatch, ExecRequest,
    ObjectReference, Problem, ProblemCode, Session,
};
use automations::Item;
use client::Client;
use protocol::inside::PROGRAM;

use crate::arguments::{AutomationsCommand, NamedAutomation, OneAutomation, OneEnvironment, RangeOptions};
use crate::attach::{Joint, attach};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{Follow, Verdict};
use crate::paint::Paint;
use crate::table::{self, Cell};
use crate::{quantity, select};

pub(super) async fn run(context: &Context, command: AutomationsCommand) -> Result<(), Failure> {
    match command {
        AutomationsCommand::Ls(arguments) => list(context, arguments).await,
        AutomationsCommand::Run(arguments) => change(context, arguments, Verb::Run).await,
        AutomationsCommand::Start(arguments) => change(context, arguments, Verb::Start).await,
        AutomationsCommand::Stop(arguments) => change(context, arguments, Verb::Stop).await,
        AutomationsCommand::Restart(arguments) => change(context, arguments, Verb::Restart).await,
        AutomationsCommand::Logs { automation, range } => logs(context, automation, range).await,
        AutomationsCommand::Validate { path } => file::validate(context, path),
        AutomationsCommand::Graph { subject } => graph::show(context, subject).await,
    }
}

async fn list(context: &Context, arguments: OneEnvironment) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = select::environment(&client, arguments.environment.as_deref()).await?;
    let status = &environment.status.automations;
    if status.items.is_empty() && !context.output.is_json() {
        let name = &environment.metadata.name;
        context.output.note(&format!("`{name}` has no automations: write them into .cove/automations.yaml."));
        return Ok(());
    }
    context.output.show(status, |paint| table_of(&status.items, paint))
}

/// The table of `ls` and of `cove show`.
pub(super) fn table_of(items: &[AutomationStatus], paint: Paint) -> String {
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            let phase = item.phase.as_str();
            let painted = match item.phase {
                AutomationPhase::Running | AutomationPhase::Succeeded => paint.green(phase),
                AutomationPhase::Failed => paint.red(phase),
                AutomationPhase::Idle | AutomationPhase::Stopped => paint.dim(phase),
                _ => paint.yellow(phase),
            };
            let triggers = item.triggered_by.join(", ");
            vec![
                Cell::painted(&item.name, paint.bold(&item.name)),
                Cell::painted(phase, painted),
                Cell::plain(item.millis.map_or("-".to_owned(), quantity::millis)),
                Cell::plain(if triggers.is_empty() { "manual".to_owned() } else { triggers }),
                Cell::plain(told(item)),
            ]
        })
        .collect();
    table::render(&["NAME", "STATE", "TOOK", "STARTED BY", ""], &rows, paint)
}

/// What is to be known of one beside its state.
fn told(item: &AutomationStatus) -> String {
    match (&item.problem, &item.waits_for) {
        (Some(problem), _) => problem.title.clone(),
        (None, Some(text)) => text.clone(),
        (None, None) if item.restarts > 0 => format!("{} restarts", item.restarts),
        (None, None) => item.title.clone().unwrap_or_default(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Run,
    Start,
    Stop,
    Restart,
}

impl Verb {
    /// Whether it can be done with one of that kind.
    fn fits(self, item: &Item) -> bool {
        match self {
            Self::Run => matches!(item, Item::Task(_)),
            Self::Start | Self::Restart => matches!(item, Item::Service(_)),
            Self::Stop => true,
        }
    }
}

async fn change(context: &Context, arguments: OneAutomation, verb: Verb) -> Result<(), Failure> {
    let OneAutomation { automation: NamedAutomation { name, environment }, no_wait } = arguments;
    let client = context.client().await?;
    let environment = select::environment(&client, environment.as_deref()).await?;
    let item = choose(&environment, &name, |item| verb.fits(item))?;
    let known = environment.status.automations.item(&item.to_string());
    // A service that is there already is not touched by starting it.
    let is_there =
        known.is_some_and(|known| known.phase.is_alive() && known.phase != AutomationPhase::Stopping);
    if verb == Verb::Start && is_there {
        context
            .output
            .note(&format!("{item} is there already; `cove automations restart {name}` starts it anew."));
        return context.output.show(&known, |_| format!("{item} runs\n"));
    }
    let mut follow = Follow::begin(context, &client).await?;
    let session = Session::fresh();
    let wish = AutomationWish { run: verb != Verb::Stop, session: session.clone(), container_run: None };
    let patch = EnvironmentPatch {
        automations: BTreeMap::from([(item.to_string(), wish)]),
        ..EnvironmentPatch::default()
    };
    let asked = client.change_environment(environment.id.as_str(), &patch).await?;
    if no_wait {
        let status = asked.status.automations.item(&item.to_string());
        return context.output.show(&status, |_| format!("Asked for {item}\n"));
    }
    let objects = [ObjectReference::environment(&asked.id)];
    let read = async |client: &Client| client.environment(asked.id.as_str()).await;
    let judge = |now: &Environment, _: Option<&Problem>| verdict(now, &item, &session, verb);
    let ended = follow.until(&objects, read, judge).await?;
    let status = ended.as_ref().and_then(|now| now.status.automations.item(&item.to_string()));
    context.output.show(&status, |paint| status.map_or_else(String::new, |status| ending(status, paint)))
}

fn verdict(now: &Environment, item: &Item, session: &Session, verb: Verb) -> Verdict {
    let name = item.to_string();
    let Some(status) = now.status.automations.item(&name) else {
        let title = format!("`{name}` is not declared any more");
        return Verdict::Failed(Problem::new(ProblemCode::AutomationFailed, title));
    };
    let runs = now.status.container.as_ref().is_some_and(|container| container.running);
    if !runs {
        let title = format!("`{}` does not run any more", now.metadata.name);
        return Verdict::Failed(Problem::new(ProblemCode::NotRunning, title));
    }
    if verb == Verb::Stop {
        return if status.phase.is_settled() { Verdict::Done } else { Verdict::Going };
    }
    if status.session != *session {
        return Verdict::Going;
    }
    match (&status.problem, status.phase) {
        (Some(problem), AutomationPhase::Failed) => Verdict::Failed(problem.clone()),
        (_, AutomationPhase::Running) if verb != Verb::Run => Verdict::Done,
        (_, phase) if phase.is_settled() => Verdict::Done,
        _ => Verdict::Going,
    }
}

fn ending(status: &AutomationStatus, paint: Paint) -> String {
    let name = paint.bold(&status.name);
    let time = status.millis.map(|millis| format!(" in {}", quantity::millis(millis))).unwrap_or_default();
    let mut out = match status.phase {
        AutomationPhase::Succeeded => format!("{name} succeeded{time}\n"),
        AutomationPhase::Running => format!("{name} runs\n"),
        phase => format!("{name} is {}\n", phase.as_str()),
    };
    for (output, value) in &status.outputs {
        out = format!("{out}  {output} = {value}\n");
    }
    out
}

async fn logs(context: &Context, automation: NamedAutomation, range: RangeOptions) -> Result<(), Failure> {
    let client = context.client().await?;
    let environment = select::environment(&client, automation.environment.as_deref()).await?;
    let item = choose(&environment, &automation.name, |_| true)?;
    let mut argv = [PROGRAM, "automations", "logs", &item.to_string()].map(str::to_owned).to_vec();
    if let Some(tail) = range.tail {
        argv.extend(["--tail".to_owned(), tail.to_string()]);
    }
    if range.follow {
        argv.push("--follow".to_owned());
    }
    let automation = Some(item.to_string());
    let request = ExecRequest { argv, masked: true, automation, ..ExecRequest::default() };
    let session = client.exec(environment.id.as_str(), &request).await?;
    attach(session, Joint::OutputOnly).await
}

/// The one that a name means: of those that fit, a task before a service of the same name.
fn choose(environment: &Environment, name: &str, fits: impl Fn(&Item) -> bool) -> Result<Item, Failure> {
    let items: Vec<Item> =
        environment.status.automations.items.iter().filter_map(|item| Item::parse(&item.name)).collect();
    let meant = |item: &&Item| item.to_string() == name || item.name() == name;
    let mut found: Vec<&Item> = items.iter().filter(meant).collect();
    found.sort_by_key(|item| matches!(item, Item::Service(_)));
    if let Some(item) = found.iter().find(|item| fits(item)) {
        return Ok((**item).clone());
    }
    let environment = &environment.metadata.name;
    let problem = match found.first() {
        Some(Item::Service(_)) => Failure::request(format!("`{name}` is a service, not a task"))
            .with_command("start it", format!("cove automations start {name}")),
        Some(Item::Task(_)) => Failure::request(format!("`{name}` is a task, not a service"))
            .with_command("run it", format!("cove automations run {name}")),
        None => {
            let near = devcontainer::closest(name, items.iter().map(Item::name)).map(str::to_owned);
            let problem = Failure::request(format!("`{environment}` has no task or service `{name}`"));
            match near {
                Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
                None => {
                    problem.with_command("see which there are", format!("cove automations ls {environment}"))
                }
            }
        }
    };
    Err(problem.into())
}
