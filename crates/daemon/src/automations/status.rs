//! How tasks and services stand, as people see it.

use api::{AutomationPhase, AutomationStatus, AutomationsStatus, Problem, ProblemCode, Session};
use automations::{Automations, Item, Phase, Report, Status, Trigger};
use jiff::Timestamp;
use provision::Masks;

use super::DeclaredFile;
use super::wishes::{self, Run};
use crate::masks;

/// The status after one look. Without a report, what was seen before is kept, as far as it can still be true.
pub(super) fn of(
    declared: &DeclaredFile,
    report: Option<&Report>,
    before: &AutomationsStatus,
    run: Option<&Run>,
    masks: &Masks,
) -> AutomationsStatus {
    let nothing = Automations::default();
    let automations = declared.reading.as_ref().map_or(&nothing, |reading| &reading.automations);
    let mut items: Vec<AutomationStatus> = automations
        .items()
        .map(|item| {
            let seen = report.filter(|_| run.is_some()).and_then(|report| report.items.get(&item));
            match seen {
                Some(status) => seen_now(automations, &item, status, masks),
                None => kept(automations, &item, before, run.is_some()),
            }
        })
        .collect();
    if declared.reading.is_err() {
        // What runs, runs on as it was declared before the mistake.
        let phase = |name: &str| {
            let item = Item::parse(name)?;
            Some(phase_of(report?.items.get(&item)?.phase))
        };
        items.extend(
            before
                .items
                .iter()
                .cloned()
                .map(|item| AutomationStatus { phase: phase(&item.name).unwrap_or(item.phase), ..item }),
        );
    }
    AutomationsStatus {
        file: declared.file.clone(),
        first_run: match run {
            Some(run) if !items.is_empty() || before.first_run.is_some() => Some(run.first_run()),
            _ => before.first_run.clone(),
        },
        items,
    }
}

fn seen_now(declared: &Automations, item: &Item, status: &Status, masks: &Masks) -> AutomationStatus {
    let message = status.message.as_deref().map(|text| masks.apply(text).into_owned());
    let is_bad = matches!(status.phase, Phase::Failed | Phase::Pausing);
    let outputs = status.outputs.iter().map(|(name, value)| (name.clone(), masks.apply(value).into_owned()));
    AutomationStatus {
        phase: phase_of(status.phase),
        since: i64::try_from(status.since).ok().and_then(|since| Timestamp::from_second(since).ok()),
        session: Session(status.session.clone()),
        started_by: wishes::started_by(&status.session, declared.triggers(item))
            .map(|trigger| word(trigger).to_owned()),
        pid: status.pid,
        exit_code: status.exit.and_then(automations::Exit::code),
        restarts: status.restarts,
        millis: status.took,
        problem: is_bad.then(|| failed(item, status, message.as_deref(), masks)),
        waits_for: message.filter(|_| status.phase == Phase::Waiting),
        outputs: outputs.collect(),
        ..idle(declared, item)
    }
}

fn failed(item: &Item, status: &Status, message: Option<&str>, masks: &Masks) -> Problem {
    let title = match status.phase {
        Phase::Pausing => format!("`{item}` is started again: {}", message.unwrap_or("it ended")),
        _ => format!("`{item}` failed: {}", message.unwrap_or("it ended")),
    };
    let mut problem = Problem::new(ProblemCode::AutomationFailed, title).with_log(status.log_tail.clone());
    if let Some(code) = status.exit.and_then(automations::Exit::code) {
        problem = problem.with_exit_code(code);
    }
    let again = match item {
        Item::Service(name) => format!("cove automations restart {name}"),
        Item::Task(name) => format!("cove automations run {name}"),
    };
    let problem = problem
        .with_command("see all it wrote", format!("cove automations logs {}", item.name()))
        .with_command("try it again", again);
    masks::problem(masks, problem)
}

/// What was seen before. Where the container does not run, nothing of it does.
fn kept(declared: &Automations, item: &Item, before: &AutomationsStatus, runs: bool) -> AutomationStatus {
    let fresh = idle(declared, item);
    let Some(known) = before.item(&item.to_string()).cloned() else { return fresh };
    let phase = if runs || known.phase.is_settled() { known.phase } else { AutomationPhase::Stopped };
    let is_over = !runs && phase != known.phase;
    AutomationStatus {
        phase,
        pid: known.pid.filter(|_| runs),
        waits_for: known.waits_for.filter(|_| runs),
        problem: known.problem.filter(|_| !is_over),
        title: fresh.title,
        triggered_by: fresh.triggered_by,
        depends_on: fresh.depends_on,
        ..known
    }
}

fn idle(declared: &Automations, item: &Item) -> AutomationStatus {
    let title = match item {
        Item::Service(name) => declared.services.get(name).and_then(|service| service.title.clone()),
        Item::Task(name) => declared.tasks.get(name).and_then(|task| task.title.clone()),
    };
    AutomationStatus {
        name: item.to_string(),
        title,
        phase: AutomationPhase::Idle,
        since: None,
        session: Session::default(),
        started_by: None,
        triggered_by: declared.triggers(item).iter().map(|trigger| word(*trigger).to_owned()).collect(),
        depends_on: declared.depends_on(item).iter().map(Item::to_string).collect(),
        pid: None,
        exit_code: None,
        restarts: 0,
        millis: None,
        waits_for: None,
        outputs: std::collections::BTreeMap::new(),
        problem: None,
    }
}

fn word(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Manual => "manual",
        Trigger::PostDevcontainerStart => "postDevcontainerStart",
        Trigger::PostEnvironmentStart => "postEnvironmentStart",
        Trigger::PostMachineStart => "postMachineStart",
        Trigger::Prebuild => "prebuild",
        Trigger::BeforeSnapshot => "beforeSnapshot",
    }
}

fn phase_of(phase: Phase) -> AutomationPhase {
    match phase {
        Phase::Idle => AutomationPhase::Idle,
        Phase::Waiting => AutomationPhase::Waiting,
        Phase::Starting => AutomationPhase::Starting,
        Phase::Running => AutomationPhase::Running,
        Phase::Stopping => AutomationPhase::Stopping,
        Phase::Pausing => AutomationPhase::Pausing,
        Phase::Stopped => AutomationPhase::Stopped,
        Phase::Succeeded => AutomationPhase::Succeeded,
        Phase::Failed => AutomationPhase::Failed,
    }
}
