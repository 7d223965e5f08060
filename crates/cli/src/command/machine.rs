//! `cove machine …`

use api::{
    DEFAULT_MACHINE, EngineState, Machine, MachinePatch, MachinePhase, ObjectReference, Problem, ProblemCode,
    Session,
};
use camino::Utf8PathBuf;
use client::Client;

use super::{exec, logs, machine_status, rosetta};
use crate::arguments::{MachineCommand, ProcessOptions};
use crate::attach::attach;
use crate::context::{Context, existing_folder, working_folder};
use crate::failure::Failure;
use crate::follow::{Follow, Verdict};
use crate::paint::Paint;
use crate::quantity::bytes;
use crate::text::harmless;

pub(super) async fn run(context: &Context, command: MachineCommand) -> Result<(), Failure> {
    match command {
        MachineCommand::Start => start(context).await,
        MachineCommand::Stop => stop(context).await,
        MachineCommand::Restart => restart(context).await,
        MachineCommand::Pause => pause(context).await,
        MachineCommand::Resume => resume(context).await,
        MachineCommand::Status => machine_status::run(context).await,
        MachineCommand::Reclaim => reclaim(context).await,
        MachineCommand::Shell { process, command } => shell(context, process, command).await,
        MachineCommand::Logs(options) => logs::machine(context, options).await,
        MachineCommand::Share { path } => share(context, path).await,
        MachineCommand::Unshare { path } => unshare(context, path).await,
        MachineCommand::InstallRosetta => rosetta::install(),
        MachineCommand::Set { cpus, memory, disk, idle } => {
            let patch =
                MachinePatch { cpus, memory_mib: memory, disk_gib: disk, idle, ..MachinePatch::default() };
            let machine = context.client().await?.change_machine(DEFAULT_MACHINE, &patch).await?;
            let sizes = cpus.is_some() || memory.is_some() || disk.is_some();
            changed(context, &machine, if sizes { Effect::AtRestart } else { Effect::Now })
        }
    }
}

async fn start(context: &Context) -> Result<(), Failure> {
    let machine = bring_up(context).await?;
    context.output.show(&machine, |paint| up_text(&machine, paint))
}

/// Starts the machine, if it does not run, and waits until its engine answers.
pub(super) async fn bring_up(context: &Context) -> Result<Machine, Failure> {
    let client = context.client().await?;
    let mut follow = Follow::begin(context, &client).await?;
    client.start_machine(DEFAULT_MACHINE).await?;
    until(&mut follow, is_up).await
}

async fn stop(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut follow = Follow::begin(context, &client).await?;
    client.stop_machine(DEFAULT_MACHINE).await?;
    let machine = until(&mut follow, |machine| machine.status.phase == MachinePhase::Stopped).await?;
    context.output.show(&machine, |_| "The machine is stopped.".to_owned())
}

async fn restart(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut follow = Follow::begin(context, &client).await?;
    let session = Session::fresh();
    let patch = MachinePatch { restart: Some(session.clone()), ..MachinePatch::default() };
    client.change_machine(DEFAULT_MACHINE, &patch).await?;
    let again = |machine: &Machine| machine.status.restart == session && is_up(machine);
    let machine = until(&mut follow, again).await?;
    context.output.show(&machine, |paint| up_text(&machine, paint))
}

async fn reclaim(context: &Context) -> Result<(), Failure> {
    let reclaimed = context.client().await?.reclaim(DEFAULT_MACHINE).await?;
    context.output.show(&reclaimed, |_| {
        let mut out = format!(
            "This computer got back {} of memory and {} of disk. In the machine, {} of page cache was let go.",
            bytes(reclaimed.host_memory.bytes),
            bytes(reclaimed.host_disk.bytes),
            bytes(reclaimed.guest_memory)
        );
        for note in [&reclaimed.host_memory.note, &reclaimed.host_disk.note].into_iter().flatten() {
            out.push_str("\nnote: ");
            out.push_str(&harmless(note));
        }
        out
    })
}

async fn pause(context: &Context) -> Result<(), Failure> {
    let machine = set_paused(context, true).await?;
    context.output.show(&machine, |paint| {
        let paused = paint.yellow("paused");
        format!("The machine is {paused}. It goes on with `cove machine resume`, or when something uses it.")
    })
}

async fn resume(context: &Context) -> Result<(), Failure> {
    let machine = set_paused(context, false).await?;
    context.output.show(&machine, |paint| match machine.status.phase {
        MachinePhase::Stopped | MachinePhase::Stopping => "The machine is stopped.".to_owned(),
        MachinePhase::Starting | MachinePhase::Running | MachinePhase::Paused => up_text(&machine, paint),
    })
}

/// Says what is wanted, and waits until it is so.
async fn set_paused(context: &Context, paused: bool) -> Result<Machine, Failure> {
    let client = context.client().await?;
    let mut follow = Follow::begin(context, &client).await?;
    let patch = MachinePatch { paused: Some(paused), ..MachinePatch::default() };
    client.change_machine(DEFAULT_MACHINE, &patch).await?;
    until(&mut follow, |machine| (machine.status.phase == MachinePhase::Paused) == paused).await
}

async fn shell(context: &Context, process: ProcessOptions, command: Vec<String>) -> Result<(), Failure> {
    let (request, joint) = exec::request(process, command)?;
    let client = context.client().await?;
    let session = client.exec_in_machine(DEFAULT_MACHINE, &request).await?;
    attach(session, joint).await
}

async fn share(context: &Context, path: Utf8PathBuf) -> Result<(), Failure> {
    let folder = existing_folder(&path)?;
    let client = context.client().await?;
    let machine = client.machine(DEFAULT_MACHINE).await?;
    let mut shares = machine.spec.shares.clone();
    if let Some(parent) = shares.iter().find(|share| folder.starts_with(share)) {
        context.output.note(&format!("The machine sees {folder} already, as a part of {parent}."));
        return changed(context, &machine, Effect::Now);
    }
    // A folder inside the new one would be seen twice.
    shares.retain(|share| !share.starts_with(&folder));
    shares.push(folder);
    set_shares(context, &client, &machine, shares).await
}

async fn unshare(context: &Context, path: Utf8PathBuf) -> Result<(), Failure> {
    // The folder need not be there any more.
    let folder = match existing_folder(&path) {
        Ok(folder) => folder,
        Err(_) => working_folder()?.join(&path),
    };
    let client = context.client().await?;
    let machine = client.machine(DEFAULT_MACHINE).await?;
    let mut shares = machine.spec.shares.clone();
    shares.retain(|share| *share != folder);
    if shares.len() == machine.spec.shares.len() {
        let known: Vec<_> = machine.spec.shares.iter().map(|share| format!("`{share}`")).collect();
        let hint = format!("these folders are: {}", known.join(", "));
        return Err(Failure::request(format!("`{folder}` is not shared")).with_hint(hint).into());
    }
    set_shares(context, &client, &machine, shares).await
}

async fn set_shares(
    context: &Context,
    client: &Client,
    machine: &Machine,
    shares: Vec<Utf8PathBuf>,
) -> Result<(), Failure> {
    let patch = MachinePatch {
        resource_version: Some(machine.metadata.resource_version),
        shares: Some(shares),
        ..MachinePatch::default()
    };
    let mut follow = Follow::begin(context, client).await?;
    let mut machine = client.change_machine(DEFAULT_MACHINE, &patch).await?;
    // Where the running machine can, it sees them at once.
    let at_once = machine.status.changes_shares && machine.status.phase == MachinePhase::Running;
    if at_once {
        machine = until(&mut follow, sees_what_is_shared).await?;
    }
    changed(context, &machine, if at_once { Effect::Now } else { Effect::AtRestart })
}

fn sees_what_is_shared(machine: &Machine) -> bool {
    let sorted = |folders: &[Utf8PathBuf]| {
        let mut folders = folders.to_vec();
        folders.sort();
        folders
    };
    sorted(&machine.spec.shares) == sorted(&machine.status.shares)
}

/// Waits until the machine is as the judge says.
async fn until(follow: &mut Follow<'_>, there: impl Fn(&Machine) -> bool) -> Result<Machine, Failure> {
    let objects = [ObjectReference::machine(DEFAULT_MACHINE)];
    let read = async |client: &Client| client.machine(DEFAULT_MACHINE).await;
    // Not the problem in the status: it may be left from before.
    let judge = |machine: &Machine, failed: Option<&Problem>| match failed {
        _ if there(machine) => Verdict::Done,
        Some(problem) => Verdict::Failed(problem.clone()),
        None => Verdict::Going,
    };
    let gone = || Problem::new(ProblemCode::MachineLost, "the machine is not known any more");
    follow.until(&objects, read, judge).await?.ok_or_else(|| gone().into())
}

fn is_up(machine: &Machine) -> bool {
    machine.status.phase == MachinePhase::Running && machine.status.engine == EngineState::Ready
}

fn up_text(machine: &Machine, paint: Paint) -> String {
    let boot = machine.status.boot.last();
    let time =
        boot.map(|stage| format!(" ({} after its kernel started)", crate::quantity::millis(stage.uptime_ms)));
    format!("The machine is {}{}.", paint.green("running"), time.unwrap_or_default())
}

/// When a running machine has what was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Now,
    AtRestart,
}

fn changed(context: &Context, machine: &Machine, effect: Effect) -> Result<(), Failure> {
    context.output.show(machine, |paint| {
        let mut out = machine_status::settings(machine, paint);
        if machine.status.phase != MachinePhase::Stopped && effect == Effect::AtRestart {
            out.push_str("What changed takes effect with `cove machine restart`.\n");
        }
        out
    })
}
