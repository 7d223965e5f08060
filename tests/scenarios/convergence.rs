//! From any start and through any faults, the reconciler arrives where the spec wants it, without running a hook
//! twice that ended well and without losing a container.

use api::{DesiredPhase, HookStage, ProblemCode, Session, StepKind};
use proptest::prelude::*;
use reconciler::SourceFacts;
use test_support::world::World;

#[derive(Debug, Clone)]
enum Act {
    Desire(bool),
    Tick(usize),
    Fail(StepKind),
    CrashDaemon,
    CrashMachine,
    CrashComputer,
    EndContainer,
    Rebuild(u8),
    EditConfig,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let step = prop::sample::select(vec![
        StepKind::CloneRepository,
        StepKind::FillVolume,
        StepKind::StartMachine,
        StepKind::ReadConfig,
        StepKind::PrepareImage,
        StepKind::CreateContainer,
        StepKind::StartContainer,
        StepKind::ForwardPorts,
        StepKind::RunHook(HookStage::OnCreate),
        StepKind::RunHook(HookStage::PostCreate),
        StepKind::RunHook(HookStage::PostStart),
        StepKind::StopContainer,
    ]);
    let act = prop_oneof![
        any::<bool>().prop_map(Act::Desire),
        (1_usize..6).prop_map(Act::Tick),
        step.prop_map(Act::Fail),
        Just(Act::CrashDaemon),
        Just(Act::CrashMachine),
        Just(Act::CrashComputer),
        Just(Act::EndContainer),
        any::<u8>().prop_map(Act::Rebuild),
        Just(Act::EditConfig),
    ];
    prop::collection::vec(act, 0..40)
}

proptest! {
    #[test]
    fn it_arrives_and_runs_each_hook_once(acts in acts(), run in any::<bool>(), clone in any::<bool>()) {
        let mut world = World::default();
        if clone {
            world.sources = SourceFacts::Nowhere;
        }
        for act in acts {
            match act {
                Act::Desire(running) => world.change(|spec| {
                    spec.desired_phase = if running { DesiredPhase::Running } else { DesiredPhase::Stopped };
                }),
                Act::Tick(times) => (0..times).for_each(|_| { world.tick(); }),
                // One that passes by itself and one that waits for a person, in turn.
                Act::Fail(step) => world.faults.entry(step).or_default().push(
                    if world.now.as_second() % 2 == 0 { ProblemCode::EngineDown } else { ProblemCode::BuildFailed }
                ),
                Act::CrashDaemon => world.crash_daemon(),
                Act::CrashMachine => world.crash_machine(),
                Act::CrashComputer => world.crash_computer(),
                Act::EndContainer => world.end_container(),
                Act::Rebuild(number) => world.change(|spec| spec.rebuild = Session(format!("build-{number}"))),
                Act::EditConfig => world.config_digest.push('\''),
            }
        }
        world.faults.clear();
        world.change(|spec| {
            spec.desired_phase = if run { DesiredPhase::Running } else { DesiredPhase::Stopped };
            spec.retry = Session("the last one".into());
        });
        world.settle();

        let running = world.container.as_ref().is_some_and(|container| container.run.is_some());
        prop_assert_eq!(running, run);
        if run {
            let container = world.container.as_ref().expect("it runs");
            prop_assert_eq!(&container.rebuild, &world.spec.rebuild);
            prop_assert!(world.observe().ports_in_place);
            prop_assert_eq!(world.sources, if clone { SourceFacts::InVolume } else { SourceFacts::Folder });
            for stage in &world.config_hooks {
                let subject = if stage.once_per_container() { Some(&container.id) } else { container.run.as_ref() };
                let times = world.ran.iter().filter(|(ran, on)| ran == stage && Some(on) == subject).count();
                prop_assert_eq!(times, 1, "{:?} of {:?}", stage, subject);
            }
        }
    }

    #[test]
    fn deleting_always_ends_with_nothing_left(
        ticks in 0_usize..12, machine_dies in any::<bool>(), clone in any::<bool>(),
    ) {
        let mut world = World::default();
        if clone {
            world.sources = SourceFacts::Nowhere;
        }
        world.change(|spec| spec.desired_phase = DesiredPhase::Running);
        (0..ticks).for_each(|_| { world.tick(); });
        if machine_dies {
            world.crash_machine();
        }
        world.change(|spec| spec.desired_phase = DesiredPhase::Deleted);
        world.settle();
        prop_assert!(world.forgotten && world.container.is_none());
    }
}
