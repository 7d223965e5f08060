//! Progress as lines, for logs: `[  3.2s] Preparing the image: python:3.13`.

use std::collections::HashMap;
use std::time::Duration;

use api::{EventKind, PortAction, PortStatus, StepKind, Unit};

use crate::quantity;
use crate::text::harmless;

/// Shortest time between two lines on the progress of one step.
const PAUSE: Duration = Duration::from_secs(5);

/// Turns events into lines.
#[derive(Debug, Default)]
pub(super) struct Plain {
    running: HashMap<StepKind, Running>,
}

#[derive(Debug)]
struct Running {
    /// When its progress was last told.
    told: Duration,
}

impl Plain {
    /// The lines that an event is worth, that long after the start.
    pub(super) fn event(&mut self, event: &EventKind, elapsed: Duration) -> Vec<String> {
        let line = match event {
            EventKind::StepStarted { step, detail } => {
                // The machine and an environment that waits for it report the same step.
                if self.running.insert(*step, Running { told: elapsed }).is_some() {
                    return Vec::new();
                }
                titled(*step, &harmless(detail))
            }
            EventKind::Progress { step, item, current, total, unit } => {
                let Some(running) = self.running.get_mut(step) else { return Vec::new() };
                if elapsed < running.told + PAUSE {
                    return Vec::new();
                }
                running.told = elapsed;
                titled(*step, &format!("{} {}", harmless(item), amount(*current, *total, *unit)))
            }
            EventKind::Log { line, .. } => format!("  | {}", harmless(line)),
            EventKind::StepFinished { step, millis } => {
                if self.running.remove(step).is_none() {
                    return Vec::new();
                }
                titled(*step, &format!("done in {}", quantity::millis(*millis)))
            }
            EventKind::StepFailed { step, problem } => {
                self.running.remove(step);
                titled(*step, &format!("failed: {} [{}]", harmless(&problem.title), problem.code))
            }
            EventKind::Warning { problem } => {
                format!("warning: {} [{}]", harmless(&problem.title), problem.code)
            }
            EventKind::PortListens { port } => match listening(port) {
                Some(text) => text,
                None => return Vec::new(),
            },
            EventKind::Changed | EventKind::Removed => return Vec::new(),
        };
        vec![format!("[{:5.1}s] {line}", elapsed.as_secs_f64())]
    }
}

/// That somebody listens on a port, and where it is reached; nothing where the configuration wants no words of it.
pub(super) fn listening(port: &PortStatus) -> Option<String> {
    let is_told = !matches!(port.on_listen, PortAction::Silent | PortAction::Ignore);
    let label = port.label.as_ref().map(|label| format!("{} ", harmless(label))).unwrap_or_default();
    let url = port.address.clone().or_else(|| port.url())?;
    is_told.then(|| format!("{label}listens on {}: {}", harmless(&port.inside()), harmless(&url)))
}

/// How far a part is: `12.0 MiB of 40.0 MiB`, `3 of 7`.
pub(super) fn amount(current: u64, total: Option<u64>, unit: Unit) -> String {
    let text = |number: u64| match unit {
        Unit::Bytes => quantity::bytes(number),
        Unit::Items => number.to_string(),
    };
    match total {
        Some(total) => format!("{} of {}", text(current), text(total)),
        None => text(current),
    }
}

fn titled(step: StepKind, rest: &str) -> String {
    if rest.is_empty() { step.title().to_owned() } else { format!("{}: {rest}", step.title()) }
}

#[cfg(test)]
mod tests {
    use api::{LogStream, Problem, ProblemCode};

    use super::*;

    #[test]
    fn a_log_of_ci_tells_the_story_once_and_with_numbers() {
        let step = StepKind::PrepareImage;
        let progress = |current| EventKind::Progress {
            step,
            item: "layer 5f2c".to_owned(),
            current,
            total: Some(40 << 20),
            unit: Unit::Bytes,
        };
        let story = [
            (0, EventKind::StepStarted { step, detail: "python:3.13".to_owned() }),
            (100, EventKind::StepStarted { step, detail: "again".to_owned() }),
            (900, progress(1 << 20)),
            (6000, progress(12 << 20)),
            (6100, progress(13 << 20)),
            (7000, EventKind::Log { step, stream: LogStream::Output, line: "\u{1b}[1mhello".to_owned() }),
            (7100, EventKind::Changed),
            (9000, EventKind::StepFinished { step, millis: 9000 }),
            (9100, EventKind::StepFinished { step, millis: 9100 }),
            (
                9200,
                EventKind::StepFailed {
                    step: StepKind::CreateContainer,
                    problem: Problem::new(ProblemCode::ContainerFailed, "no such user"),
                },
            ),
        ];
        let mut plain = Plain::default();
        let lines: Vec<_> =
            story.iter().flat_map(|(at, event)| plain.event(event, Duration::from_millis(*at))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        [  0.0s] Preparing the image: python:3.13
        [  6.0s] Preparing the image: layer 5f2c 12.0 MiB of 40.0 MiB
        [  7.0s]   | hello
        [  9.0s] Preparing the image: done in 9.0 s
        [  9.2s] Creating the container: failed: no such user [E0206]
        ");
    }
}
