//! The machine: what runs it, what it sees, and whether all of it is of one version.

use std::time::Duration;

use api::{Check, EngineState, Machine, MachinePhase, Problem, ProblemCode};

use super::{bad, failed, good, warning};
use crate::machine::MachineHost;
use crate::machine::description::shared_roots;
use crate::machine::shim_client::ShimClient;
use crate::paths::Paths;

/// How long the shim and the agent may take to introduce themselves.
const ANSWER_TIME: Duration = Duration::from_secs(5);

pub(super) fn accelerator(machine: &Machine) -> Check {
    let name = "accelerator";
    if let Some(accelerator) = &machine.status.accelerator {
        let note = accelerator.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
        let finding = format!("{}{note}", accelerator.name);
        return if accelerator.name == "tcg" { warning(name, finding, None) } else { good(name, finding) };
    }
    match fs_err::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => good(name, "kvm can be opened; whether it runs the guest is tried at the first start"),
        Err(error) => warning(name, format!("tcg (emulation, slow): KVM cannot be used: {error}"), None),
    }
}

pub(super) fn shares(machine: &Machine) -> Check {
    let name = "shared folders";
    match shared_roots(&machine.spec) {
        Ok(roots) if roots.is_empty() => {
            let problem =
                Problem::new(ProblemCode::FolderNotShared, "the machine sees no folder of this computer");
            warning(name, "none", Some(problem))
        }
        Ok(roots) => {
            let paths: Vec<_> = roots.iter().map(|root| root.path.as_str()).collect();
            good(name, paths.join(", "))
        }
        Err(error) => failed(name, error.problem()),
    }
}

pub(super) fn machine(machine: &Machine) -> Check {
    let name = "machine";
    let status = &machine.status;
    if let Some(problem) = &status.problem {
        return failed(name, problem.clone());
    }
    let engine = match status.engine {
        EngineState::Down => "the engine is off",
        EngineState::Starting => "the engine is starting",
        EngineState::Ready => "the engine answers",
        EngineState::Failed => "the engine failed and is started again",
    };
    match status.phase {
        MachinePhase::Stopped => good(name, "off; it starts when it is needed"),
        MachinePhase::Starting => good(name, "starting"),
        MachinePhase::Stopping => good(name, "stopping"),
        MachinePhase::Paused => good(name, "paused; it goes on when it is used"),
        MachinePhase::Running if status.engine == EngineState::Failed => {
            let problem =
                Problem::new(ProblemCode::EngineDown, "the Docker Engine in the machine ended by itself");
            bad(name, engine, Some(problem))
        }
        MachinePhase::Running => {
            let kernel =
                status.kernel.as_deref().map(|kernel| format!(" Linux {kernel},")).unwrap_or_default();
            let restart = if status.restart_needed_for.is_empty() {
                String::new()
            } else {
                format!("; a restart is needed for: {}", status.restart_needed_for.join(", "))
            };
            good(name, format!("on,{kernel} {engine}{restart}"))
        }
    }
}

pub(super) async fn versions(paths: &Paths, machine: &MachineHost) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    let shim = async {
        let status = ShimClient::new(&paths.default_machine().shim_socket()).status().await.ok()?;
        Some(status.version)
    };
    let agent = async {
        let hello = machine.agent().ok()?.hello().await.ok()?;
        Some(hello.version)
    };
    let asked = async { tokio::join!(shim, agent) };
    let (shim, agent) = tokio::time::timeout(ANSWER_TIME, asked).await.unwrap_or_default();
    compare(ours, shim.as_deref(), agent.as_deref())
}

pub(super) fn compare(ours: &str, shim: Option<&str>, agent: Option<&str>) -> Check {
    let name = "versions";
    let others = [("shim", shim), ("agent", agent)];
    let told =
        others.iter().filter_map(|(part, version)| version.map(|version| format!(", {part} {version}")));
    let finding = format!("coved {ours}{}", told.collect::<String>());
    if others.iter().all(|(_, version)| version.is_none_or(|version| version == ours)) {
        return good(name, finding);
    }
    let problem =
        Problem::new(ProblemCode::GuestVersion, "the machine was started by another version of Cove")
            .with_command("restart it", "cove machine restart");
    warning(name, finding, Some(problem))
}
