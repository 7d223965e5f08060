//! `cove machine status`

use std::fmt::Write as _;

use api::{DEFAULT_MACHINE, EmulationStatus, EngineState, Machine, MachinePhase, MachineUse, Pressure};

use crate::activity;
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::problem_text::{self, Weight};
use crate::quantity::{bytes, mib, millis};
use crate::table;

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let machine = context.client().await?.machine(DEFAULT_MACHINE).await?;
    context.output.show(&machine, |paint| text(&machine, paint))
}

/// The sizes and shares a person chose.
pub(super) fn settings(machine: &Machine, paint: Paint) -> String {
    let spec = &machine.spec;
    let shares: Vec<_> = spec.shares.iter().map(ToString::to_string).collect();
    let trust = if spec.trust_host_network { "handed over" } else { "kept to this computer" };
    let rows = [
        ("processors", spec.cpus.to_string()),
        ("memory", mib(spec.memory_mib)),
        ("disk", mib(spec.disk_gib.saturating_mul(1024))),
        ("shared folders", shares.join(", ")),
        ("certificates, proxies", trust.to_owned()),
        ("stops when not used for", stops(machine)),
    ];
    table::pairs(&rows.map(|(name, value)| (name.to_owned(), value)), paint)
}

fn stops(machine: &Machine) -> String {
    if machine.spec.keep_running {
        return "never: it was started with `cove machine start`".to_owned();
    }
    machine.spec.idle.to_string()
}

fn text(machine: &Machine, paint: Paint) -> String {
    let status = &machine.status;
    let mut out = format!("{}\n", paint.bold(machine.metadata.name.as_str()));
    out.push_str(&table::pairs(&head(machine), paint));
    let mut section = |title: &str, text: String| {
        if !text.is_empty() {
            write!(out, "\n{}\n{text}", paint.bold(title)).expect("writing to a string cannot fail");
        }
    };
    section("Settings", settings(machine, paint));
    let usage = status.usage.as_ref().map(use_rows).unwrap_or_default();
    let daemon = (status.daemon_memory > 0).then(|| ("daemon".to_owned(), bytes(status.daemon_memory)));
    let used: Vec<_> = usage.into_iter().chain(daemon).collect();
    section("Use", table::pairs(&used, paint));
    let boot: Vec<_> =
        status.boot.iter().map(|stage| (stage.name.clone(), millis(stage.uptime_ms))).collect();
    section("Boot, after the kernel started", table::pairs(&boot, paint));
    let ports: Vec<_> = status
        .published_ports
        .iter()
        .map(|(port, container)| (format!("localhost:{port}"), container.clone()))
        .collect();
    section("Published ports", table::pairs(&ports, paint));
    if !status.restart_needed_for.is_empty() {
        let settings = status.restart_needed_for.join(", ");
        writeln!(out, "\n{} to take effect for: {settings}", paint.yellow("`cove machine restart`"))
            .expect("writing to a string cannot fail");
    }
    let problems = status.problem.iter().map(|problem| (problem, Weight::Error));
    let warnings = status.warnings.iter().map(|problem| (problem, Weight::Warning));
    for (problem, weight) in problems.chain(warnings) {
        write!(out, "\n{}", problem_text::render(problem, weight, paint))
            .expect("writing to a string cannot fail");
    }
    out
}

fn head(machine: &Machine) -> Vec<(String, String)> {
    let status = &machine.status;
    let state = match status.phase {
        MachinePhase::Stopped => "stopped; it starts when something needs it",
        MachinePhase::Starting => "starting",
        MachinePhase::Running => "running",
        MachinePhase::Paused => "paused; it goes on with `cove machine resume`, or when something uses it",
        MachinePhase::Stopping => "stopping",
    };
    let mut rows = vec![("state".to_owned(), state.to_owned())];
    if let Some(at) = status.idle_stop.filter(|_| status.phase == MachinePhase::Stopped) {
        rows.push(("stopped".to_owned(), format!("{}, because nobody used it", activity::clock(at))));
    }
    rows.extend(status.activity.as_ref().map(|it| ("in use".to_owned(), activity::text(it))));
    let mut add = |name: &str, value: Option<String>| {
        rows.extend(value.map(|value| (name.to_owned(), value)));
    };
    let on = status.phase != MachinePhase::Stopped;
    add("Docker Engine", on.then(|| engine(status.engine).to_owned()));
    let accelerator = status.accelerator.as_ref().map(|accelerator| match &accelerator.note {
        Some(note) => format!("{} ({note})", accelerator.name),
        None => accelerator.name.clone(),
    });
    add("driver", status.driver.clone());
    add("accelerator", accelerator);
    add("kernel", status.kernel.clone());
    if let Some(emulation) = status.emulation.as_ref().filter(|_| on) {
        add(&format!("{} programs", emulation.architecture), Some(emulated(emulation)));
    }
    for component in status.components.iter().filter(|component| component.restarts > 0) {
        let state = format!("{}, started again {} times", engine(component.state), component.restarts);
        add(&component.name, Some(state));
    }
    add("process", status.shim_pid.map(|pid| pid.to_string()));
    rows
}

fn emulated(emulation: &EmulationStatus) -> String {
    let how = match emulation.by.as_deref() {
        Some("rosetta") => "run by Rosetta".to_owned(),
        Some("qemu-user") => "run by QEMU, slowly".to_owned(),
        Some(by) => format!("run by {by}"),
        None => "do not run".to_owned(),
    };
    match &emulation.note {
        Some(note) => format!("{how} ({note})"),
        None => how,
    }
}

fn engine(state: EngineState) -> &'static str {
    match state {
        EngineState::Down => "down",
        EngineState::Starting => "starting",
        EngineState::Ready => "ready",
        EngineState::Failed => "failed; it is started again",
    }
}

fn use_rows(usage: &MachineUse) -> Vec<(String, String)> {
    let memory = format!(
        "{} by programs, {} as cache, of {}",
        bytes(usage.memory_used),
        bytes(usage.memory_cached),
        bytes(usage.memory_total)
    );
    let disk = format!("{} of {}", bytes(usage.disk_used), bytes(usage.disk_total));
    let waiting = usage.pressure.map(|pressure| {
        let Pressure { cpu, io, memory } = pressure;
        let text = format!("{cpu} % for a processor, {io} % for a disk, {memory} % for memory");
        ("waiting, last minute".to_owned(), text)
    });
    let rows = [
        ("up for", millis(usage.uptime_ms)),
        ("memory inside", memory),
        ("memory of this computer", bytes(usage.host_memory)),
        ("disk inside", disk),
        ("disk of this computer", bytes(usage.host_disk)),
    ];
    rows.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(waiting).collect()
}
