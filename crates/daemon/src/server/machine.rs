//! Routes about the machine.

use api::{
    DEFAULT_MACHINE, ErrorBody, HostSize, Machine, MachinePatch, MachinePhase, MachineSpec, MetricsMessage,
    Problem, ProblemCode, Reclaimed, Session,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{Body, Refusal};
use super::{Api, MachineWish, logs};

/// The machine, with fresh figures of what it uses.
#[utoipa::path(get, path = "/v1/machines/{machine}", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 200, body = Machine), (status = "default", body = ErrorBody)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<Json<Machine>, Refusal> {
    exists(&machine)?;
    api.machine.refresh().await;
    let mut machine = api.store.machine()?;
    machine.status.activity = api.machine.activity();
    machine.status.host = Some(host(&api));
    Ok(Json(machine))
}

/// What this computer has now.
fn host(api: &Api) -> HostSize {
    let free = api.store.path().parent().and_then(|folder| rustix::fs::statvfs(folder.as_std_path()).ok());
    HostSize {
        processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
        memory_mib: crate::settings::host_memory_mib(),
        disk_free: free.map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    }
}

/// Changes what is wanted of the machine. Sizes take effect at its next start, and shares too unless its status says
/// that they change while it runs.
#[utoipa::path(patch, path = "/v1/machines/{machine}", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    request_body = MachinePatch,
    responses(
        (status = 200, body = Machine),
        (status = 409, description = "It is at another version", body = ErrorBody),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn change(
    State(api): State<Api>,
    Path(machine): Path<String>,
    Body(patch): Body<MachinePatch>,
) -> Result<Json<Machine>, Refusal> {
    exists(&machine)?;
    let Machine { spec: before, status, .. } = api.store.machine()?;
    check(&patch, &before)?;
    if patch.paused == Some(true) && !matches!(status.phase, MachinePhase::Running | MachinePhase::Paused) {
        return Err(crate::machine::problems::not_running().into());
    }
    let expected = patch.resource_version;
    let changed = api.store.change_machine_spec(expected, |spec| {
        spec.keep_running = patch.keep_running.unwrap_or(spec.keep_running);
        // Who starts, stops or restarts it wants it to be that.
        let other = patch.keep_running.is_some() || patch.restart.is_some();
        spec.paused = patch.paused.unwrap_or(spec.paused && !other);
        spec.cpus = patch.cpus.unwrap_or(spec.cpus);
        spec.memory_mib = patch.memory_mib.unwrap_or(spec.memory_mib);
        // Another request may have grown it since the check.
        spec.disk_gib = patch.disk_gib.unwrap_or(spec.disk_gib).max(spec.disk_gib);
        spec.shares = patch.shares.unwrap_or_else(|| spec.shares.clone());
        spec.trust_host_network = patch.trust_host_network.unwrap_or(spec.trust_host_network);
        spec.idle = patch.idle.unwrap_or(spec.idle);
        spec.restart = patch.restart.unwrap_or_else(|| spec.restart.clone());
    })?;
    if changed.spec.restart != before.restart {
        api.machine.carry_out(MachineWish::Restart);
    } else if let Some(keep_running) = patch.keep_running {
        api.machine.carry_out(if keep_running { MachineWish::Start } else { MachineWish::Stop });
    }
    Ok(Json(changed))
}

/// The machine shall start, and be kept running. Answers at once.
#[utoipa::path(post, path = "/v1/machines/{machine}/start", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 202, body = Machine), (status = "default", body = ErrorBody)))]
pub(super) async fn start(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<(StatusCode, Json<Machine>), Refusal> {
    wish(&api, &machine, true)
}

/// The machine shall stop, and with it the environments in it. Answers at once.
#[utoipa::path(post, path = "/v1/machines/{machine}/stop", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 202, body = Machine), (status = "default", body = ErrorBody)))]
pub(super) async fn stop(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<(StatusCode, Json<Machine>), Refusal> {
    wish(&api, &machine, false)
}

/// How busy the machine is: what was seen within the last ten minutes, then a sample every two seconds while it runs.
/// It is looked at only while somebody reads. Never ends by itself.
#[utoipa::path(get, path = "/v1/machines/{machine}/metrics", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses(
        (status = 200, body = MetricsMessage, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn metrics(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<Response, Refusal> {
    exists(&machine)?;
    Ok(logs::stream(api.machine.metrics(), api.shutdown))
}

/// Gives back to this computer what the machine only keeps in case it is wanted again: page cache, free memory where its
/// driver can, and blocks of its disk that no file has. Answers when it is done.
#[utoipa::path(post, path = "/v1/machines/{machine}/reclaim", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 200, body = Reclaimed), (status = "default", body = ErrorBody)))]
pub(super) async fn reclaim(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<Json<Reclaimed>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.machine.reclaim().await?))
}

fn wish(api: &Api, machine: &str, keep_running: bool) -> Result<(StatusCode, Json<Machine>), Refusal> {
    exists(machine)?;
    let changed = api.store.change_machine_spec(None, |spec| {
        spec.keep_running = keep_running;
        spec.paused = false;
    })?;
    api.machine.carry_out(if keep_running { MachineWish::Start } else { MachineWish::Stop });
    Ok((StatusCode::ACCEPTED, Json(changed)))
}

pub(super) fn exists(machine: &str) -> Result<(), Refusal> {
    if machine == DEFAULT_MACHINE {
        return Ok(());
    }
    let title = format!("there is no machine `{machine}`; the only one is `{DEFAULT_MACHINE}`");
    Err(Refusal::with_status(StatusCode::NOT_FOUND, Problem::new(ProblemCode::InvalidRequest, title)))
}

fn check(patch: &MachinePatch, spec: &MachineSpec) -> Result<(), Refusal> {
    let refused = |title: String| Refusal::from(Problem::new(ProblemCode::InvalidRequest, title));
    if patch.cpus == Some(0) {
        return Err(refused("a machine needs at least 1 processor".to_owned()));
    }
    if patch.memory_mib.is_some_and(|memory| memory < 512) {
        return Err(refused("a machine needs at least 512 MiB of memory".to_owned()));
    }
    if let Some(disk) = patch.disk_gib.filter(|disk| *disk < spec.disk_gib) {
        let title = format!("the data disk has {} GiB and cannot shrink to {disk}", spec.disk_gib);
        return Err(refused(title));
    }
    if let Some(share) = patch.shares.iter().flatten().find(|share| !share.is_absolute()) {
        return Err(refused(format!("the share `{share}` is not an absolute path")));
    }
    if patch.restart.as_ref().is_some_and(|restart| *restart == Session::default()) {
        return Err(refused("the restart session is empty; give one that was never used".to_owned()));
    }
    Ok(())
}
