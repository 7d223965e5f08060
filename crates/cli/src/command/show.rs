//! `cove show`

use std::fmt::Write as _;

use api::{Environment, EnvironmentStatus, HookStage, PortStatus, Source};
use jiff::Timestamp;

use crate::activity;
use crate::arguments::OneEnvironment;
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::problem_text::{self, Weight};
use crate::{quantity, select, table};

pub(super) async fn run(context: &Context, arguments: OneEnvironment) -> Result<(), Failure> {
    let client = context.client().await?;
    let chosen = select::environment(&client, arguments.environment.as_deref()).await?;
    // What is known only of one that is asked for.
    let environment = client.environment(chosen.id.as_str()).await?;
    context.output.show(&environment, |paint| sections(&environment, paint))
}

pub(super) fn sections(environment: &Environment, paint: Paint) -> String {
    let status = &environment.status;
    let mut out = format!("{}\n", paint.bold(environment.metadata.name.as_str()));
    out.push_str(&table::pairs(&head(environment), paint));
    let mut section = |title: &str, rows: Vec<(String, String)>| {
        if !rows.is_empty() {
            write!(out, "\n{}\n{}", paint.bold(title), table::pairs(&rows, paint))
                .expect("writing to a string cannot fail");
        }
    };
    section("Container", container(status));
    section("Services", services(status));
    section("Ports", ports(&status.ports));
    section("Hooks", hooks(status));
    section("Granted", super::grants::rows(&environment.spec.grants, Timestamp::now()));
    if !status.automations.items.is_empty() {
        let table = super::automations::table_of(&status.automations.items, paint);
        write!(out, "\n{}\n{table}", paint.bold("Automations")).expect("writing to a string cannot fail");
    }
    let problems = status.problem.iter().map(|problem| (problem, Weight::Error));
    let warnings = status.warnings.iter().map(|problem| (problem, Weight::Warning));
    for (problem, weight) in problems.chain(warnings) {
        write!(out, "\n{}\n", problem_text::render(problem, weight, paint))
            .expect("writing to a string cannot fail");
    }
    out
}

fn head(environment: &Environment) -> Vec<(String, String)> {
    let status = &environment.status;
    let mut rows = vec![("state".to_owned(), environment.state_in_words())];
    let mut add = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| (name.to_owned(), value)));
    };
    let runs = status.container.as_ref().is_some_and(|container| container.running);
    add("since", status.started_at.filter(|_| runs).map(since));
    add("in use", status.activity.as_ref().map(activity::text));
    let idle = environment.spec.starts_on_use().then_some(environment.spec.idle_since).flatten();
    add("stopped", idle.map(|at| format!("not used since {}; the next use starts it", activity::clock(at))));
    let policy = environment.spec.idle;
    add("stops when not used for", policy.stop_after.map(|_| policy.to_string()));
    add("title", status.title.clone());
    match &environment.spec.source {
        Source::Folder { path } => add("folder", Some(path.to_string())),
        Source::Worktree { path, common } => {
            add("worktree", Some(path.to_string()));
            add("of", Some(common.to_string()));
        }
        Source::Clone { .. } => add("clone of", Some(environment.spec.source.shown())),
    }
    let config = status.config_file.as_ref().map_or("none: the default image is used", |file| file.as_str());
    add("configuration", Some(config.to_owned()));
    add("machine", Some(environment.spec.machine.to_string()));
    add("id", Some(environment.id.to_string()));
    rows
}

fn container(status: &EnvironmentStatus) -> Vec<(String, String)> {
    let Some(container) = &status.container else { return Vec::new() };
    let rows = [
        ("name", container.name.clone()),
        ("id", container.id.chars().take(12).collect()),
        ("image", container.image.clone()),
        ("state", running(container.running)),
        ("user", container.remote_user.clone()),
        ("workspace", container.workspace_folder.clone()),
    ];
    rows.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

fn services(status: &EnvironmentStatus) -> Vec<(String, String)> {
    let text = |service: &api::ServiceStatus| {
        let health = service.health.as_ref().map(|health| format!(", {health}")).unwrap_or_default();
        (service.name.clone(), format!("{}{health}", running(service.running)))
    };
    status.services.iter().map(text).collect()
}

/// What is behind a port, and its address on this computer.
pub(super) fn ports(ports: &[PortStatus]) -> Vec<(String, String)> {
    let text = |port: &PortStatus| {
        let number = port.inside();
        let name = match &port.label {
            Some(label) => format!("{label} ({number})"),
            None => number,
        };
        let plain = || port.host_port.map(|number| format!("localhost:{number}"));
        let here = port.url().or_else(plain).unwrap_or_else(|| "not open".to_owned());
        let address = port.address.as_ref().map(|address| format!("  {address}")).unwrap_or_default();
        let waits = if port.waits { "  starts when somebody connects" } else { "" };
        (name, format!("{here}{address}{waits}"))
    };
    ports.iter().map(text).collect()
}

fn hooks(status: &EnvironmentStatus) -> Vec<(String, String)> {
    let text = |hook: &api::HookStatus| {
        let time = quantity::millis(hook.millis);
        let end = match hook.stage {
            _ if hook.succeeded => format!("done in {time}"),
            HookStage::Dotfiles => "failed; `cove up` tries again".to_owned(),
            _ => "failed; `cove up` goes on from it".to_owned(),
        };
        (hook.stage.property().to_owned(), end)
    };
    status.hooks.iter().map(text).collect()
}

fn running(running: bool) -> String {
    if running { "running".to_owned() } else { "not running".to_owned() }
}

/// `3 min 20 s`; a moment of the future, which a changed clock makes possible, counts as now.
fn since(start: Timestamp) -> String {
    let passed = Timestamp::now().duration_since(start);
    quantity::duration(passed.try_into().unwrap_or_default())
}
