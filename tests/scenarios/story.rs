//! The few commands stories are written in.
//!
//! ```text
//! desire running|stopped|deleted     want this phase
//! retry | rebuild                    renew that session
//! tick [N]                           take the next step, N times
//! settle                             take steps until there is nothing to do
//! fail STEP CODE                     let the next run of that step fail so (StartMachine, RunHook(PostCreate), …)
//! boot fails                         let the next boot of the machine fail
//! crash daemon|machine|computer      kill it; the daemon is started again
//! end container                      let its first process end
//! start elsewhere                    somebody starts the container by other means
//! remove elsewhere                   somebody removes the container by other means
//! remove main                        remove the main container; other services run on
//! start machine                      start it for something else
//! edit config                        change devcontainer.json
//! property NAME JSON                 say this in devcontainer.json; `property NAME` takes it away
//! changes                            print what changed since the container was made
//! initialize given|open|refused      give the configuration an initializeCommand, agreed to or not
//! mount TARGET open|agreed           give it a mount from outside of the folder, agreed to or not
//! unasked wait|leave_out             wait for an answer to what nobody agreed to, or go on without it
//! wait for STAGE                     let it be usable after this stage (PostCreate, …)
//! foreign running|stopped            another tool makes a container for the folder
//! prebuild                           let it be for an image
//! clone                              let its sources come from a repository
//! automations                        declare tasks and services
//! secrets                            keep a secret that is a file, or change it
//! plan                               print what is left to do
//! show                               print phase and container
//! usable                             print whether it can be worked in
//! ```

use api::{DesiredPhase, HookStage, PrebuildWish, ProblemCode, Session, StepKind, Unasked};
use reconciler::{SourceFacts, Trust, is_usable, phase_of};
use test_support::world::World;

/// Runs the commands and returns what they print, each command first.
pub(crate) fn tell(commands: &str) -> String {
    let mut world = World::default();
    let mut out: Vec<String> = Vec::new();
    let mut sessions = 1;
    for line in commands.lines() {
        out.push(if line.is_empty() || line.starts_with('#') {
            line.to_owned()
        } else {
            format!("> {line}")
        });
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["desire", phase] => world.change(|spec| spec.desired_phase = desired(phase)),
            ["retry"] => {
                sessions += 1;
                world.change(|spec| spec.retry = Session(format!("try-{sessions}")));
            }
            ["rebuild"] => {
                sessions += 1;
                world.change(|spec| spec.rebuild = Session(format!("build-{sessions}")));
            }
            ["tick"] => tick(&mut world, &mut out, 1),
            ["tick", times] => tick(&mut world, &mut out, times.parse().expect("a number")),
            ["settle"] => tick(&mut world, &mut out, usize::MAX),
            ["fail", step, code] => world.faults.entry(step_named(step)).or_default().push(code_named(code)),
            ["crash", "daemon"] => world.crash_daemon(),
            ["crash", "machine"] => world.crash_machine(),
            ["crash", "computer"] => world.crash_computer(),
            ["end", "container"] => world.end_container(),
            ["start", "elsewhere"] => world.start_container_elsewhere(),
            ["remove", "elsewhere"] => world.remove_container_elsewhere(),
            ["remove", "main"] => world.remove_main_container(),
            ["start", "machine"] => world.machine.start().expect("this boot has no fault"),
            ["boot", "fails"] => world.machine.fail_next_boot(),
            ["edit", "config"] => world.config_digest.push('\''),
            ["property", name] => drop(world.properties.remove(*name)),
            ["property", name, value] => {
                let value = serde_json::from_str(value).expect("a value is JSON");
                world.properties.insert((*name).to_owned(), value);
            }
            ["changes"] => changes(&world, &mut out),
            ["initialize", trust] => world.initialize = Some(trust_named(trust)),
            ["mount", target, consent] => {
                world.mounts.insert((*target).to_owned(), *consent == "agreed");
            }
            ["unasked", "wait"] => world.change(|spec| spec.unasked = Unasked::Wait),
            ["unasked", "leave_out"] => world.change(|spec| spec.unasked = Unasked::LeaveOut),
            ["wait", "for", stage] => world.wait_for = stage_named(stage),
            ["foreign", state] => world.foreign = Some(*state == "running"),
            ["secrets"] => world.change_secret(),
            ["prebuild"] => world.change(|spec| spec.prebuild = Some(PrebuildWish::default())),
            ["clone"] => world.sources = SourceFacts::Nowhere,
            ["automations"] => world.automations = true,
            ["usable"] => out.push(format!("  {}", if is_usable(&world.observe()) { "yes" } else { "no" })),
            ["plan"] => plan(&world, &mut out),
            ["show"] => show(&world, &mut out),
            other => panic!("no such command: {other:?}"),
        }
    }
    out.join("\n") + "\n"
}

fn tick(world: &mut World, out: &mut Vec<String>, times: usize) {
    for taken in 0..times {
        assert!(taken < 100, "the story does not settle: {out:#?}");
        let Some((step, outcome)) = world.tick() else {
            if times != usize::MAX {
                out.push("  nothing to do".to_owned());
            }
            return;
        };
        match outcome {
            Ok(()) => out.push(format!("  {}", name(step))),
            Err(problem) => out.push(format!("  {} failed: {}", name(step), problem.code)),
        }
    }
}

fn plan(world: &World, out: &mut Vec<String>) {
    let decision = world.decide();
    for planned in &decision.plan.steps {
        out.push(format!("  {}: {}", name(planned.step), planned.reason));
    }
    if let Some(problem) = &decision.plan.blocked {
        let wants: Vec<&str> = problem.consents.iter().map(|consent| consent.text.as_str()).collect();
        let wants = if wants.is_empty() { String::new() } else { format!(": {}", wants.join(", ")) };
        out.push(format!("  blocked by {}{wants}", problem.code));
    }
}

fn changes(world: &World, out: &mut Vec<String>) {
    let Some(container) = &world.container else { return };
    for change in reconciler::changes(&container.made_from, &world.properties) {
        let text = |value: Option<serde_json::Value>| value.map_or("nothing".to_owned(), |it| it.to_string());
        let (old, new) = (text(change.old), text(change.new));
        out.push(format!("  {}: {old} -> {new}, counts {:?}", change.property, change.effect));
    }
}

fn show(world: &World, out: &mut Vec<String>) {
    if world.forgotten {
        out.push("  gone".to_owned());
        return;
    }
    let decision = world.decide();
    let phase = phase_of(&world.spec, &world.observe(), &decision);
    let machine = if world.machine.is_on() { "on" } else { "off" };
    let container = world.container.as_ref().map_or("none".to_owned(), |container| {
        let mounts: Vec<String> = container.mounts.iter().map(|mount| format!(" with {mount}")).collect();
        let state = if container.run.is_some() { "running" } else { "stopped" };
        format!("{} from {}{}, {state}", container.id, container.digest, mounts.concat())
    });
    let blocked =
        decision.plan.blocked.map(|problem| format!(", blocked by {}", problem.code)).unwrap_or_default();
    out.push(format!("  {}{blocked}; machine {machine}; container {container}", phase.as_str()));
}

fn name(step: StepKind) -> String {
    format!("{step:?}")
}

fn step_named(text: &str) -> StepKind {
    let plain = [
        StepKind::CloneRepository,
        StepKind::FillVolume,
        StepKind::StartMachine,
        StepKind::ReadConfig,
        StepKind::Initialize,
        StepKind::PrepareImage,
        StepKind::AdoptContainer,
        StepKind::CreateContainer,
        StepKind::StartContainer,
        StepKind::CommitImage,
        StepKind::ForwardPorts,
        StepKind::PlaceSecrets,
        StepKind::RunAutomations,
        StepKind::StopContainer,
        StepKind::RemoveContainer,
    ];
    let hooks = HookStage::ALL.map(StepKind::RunHook);
    plain
        .into_iter()
        .chain(hooks)
        .find(|step| name(*step) == text)
        .unwrap_or_else(|| panic!("no step {text}"))
}

fn code_named(text: &str) -> ProblemCode {
    *ProblemCode::ALL.iter().find(|code| code.as_str() == text).unwrap_or_else(|| panic!("no code {text}"))
}

fn trust_named(text: &str) -> Trust {
    match text {
        "given" => Trust::Given,
        "open" => Trust::Open,
        "refused" => Trust::Refused,
        other => panic!("no trust {other}"),
    }
}

fn stage_named(text: &str) -> HookStage {
    *HookStage::ALL
        .iter()
        .find(|stage| format!("{stage:?}") == text)
        .unwrap_or_else(|| panic!("no stage {text}"))
}

fn desired(text: &str) -> DesiredPhase {
    match text {
        "running" => DesiredPhase::Running,
        "stopped" => DesiredPhase::Stopped,
        "deleted" => DesiredPhase::Deleted,
        other => panic!("no phase {other}"),
    }
}
