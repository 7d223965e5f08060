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
//! remove main                        remove the main container; other services run on
//! start machine                      start it for something else
//! edit config                        change devcontainer.json
//! initialize trusted|untrusted       give the configuration an initializeCommand
//! plan                               print what is left to do
//! show                               print phase and container
//! ```

use api::{DesiredPhase, HookStage, ProblemCode, Session, StepKind};
use reconciler::phase_of;
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
            ["remove", "main"] => world.remove_main_container(),
            ["start", "machine"] => world.machine.start().expect("this boot has no fault"),
            ["boot", "fails"] => world.machine.fail_next_boot(),
            ["edit", "config"] => world.config_digest.push('\''),
            ["initialize", trust] => world.initialize = Some(*trust == "trusted"),
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
        out.push(format!("  blocked by {}", problem.code));
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
        format!(
            "{} from {}, {}",
            container.id,
            container.digest,
            if container.run.is_some() { "running" } else { "stopped" }
        )
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
        StepKind::StartMachine,
        StepKind::ReadConfig,
        StepKind::Initialize,
        StepKind::PrepareImage,
        StepKind::CreateContainer,
        StepKind::StartContainer,
        StepKind::ForwardPorts,
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

fn desired(text: &str) -> DesiredPhase {
    match text {
        "running" => DesiredPhase::Running,
        "stopped" => DesiredPhase::Stopped,
        "deleted" => DesiredPhase::Deleted,
        other => panic!("no phase {other}"),
    }
}
