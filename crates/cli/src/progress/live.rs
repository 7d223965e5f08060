//! Progress that changes in place:
//!
//! ```text
//! ✓ Starting the machine  8.4 s
//! ⠹ Preparing the image  python:3.13  12.3 s
//!     layer 5f2c9a  ━━━━━━━━────────  12.0 MiB of 40.0 MiB
//!     last lines of output
//! ```

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use api::{EventKind, StepKind, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plain::{amount, listening};
use crate::paint::Paint;
use crate::quantity;
use crate::text::{harmless, shortened};

/// Most parts of a step that are shown at a time.
const PARTS_SHOWN: usize = 6;
/// Last lines of a step's output that stay in sight.
const LOG_LINES: usize = 4;
/// Most characters of a part's name.
const PART_WIDTH: usize = 32;
/// Time between two pictures of a spinner.
const TICK: Duration = Duration::from_millis(100);

/// Lines of the running steps.
pub(super) struct Live {
    paint: Paint,
    verbose: bool,
    lines: MultiProgress,
    running: HashMap<StepKind, Step>,
}

struct Step {
    line: ProgressBar,
    begun: Instant,
    /// In the order in which they were first told of.
    parts: Vec<(String, ProgressBar)>,
    log: VecDeque<ProgressBar>,
}

impl Live {
    pub(super) fn new(paint: Paint, verbose: bool) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        Self { paint, verbose, lines, running: HashMap::new() }
    }

    pub(super) fn event(&mut self, event: &EventKind) {
        match event {
            EventKind::StepStarted { step, detail } => self.start(*step, detail),
            EventKind::Progress { step, item, current, total, unit } => {
                self.part(*step, item, *current, *total, *unit);
            }
            EventKind::Log { step, line, .. } => self.log(*step, line),
            EventKind::StepFinished { step, millis } => {
                if let Some(title) = self.end(*step) {
                    let (mark, time) = (self.paint.green("✓"), quantity::millis(*millis));
                    self.print(&format!("{mark} {title}  {}", self.paint.dim(&time)));
                }
            }
            EventKind::StepFailed { step, problem } => {
                let begun = self.running.get(step).map(|running| running.begun.elapsed());
                self.end(*step);
                let time = begun.map(quantity::duration).unwrap_or_default();
                let (mark, title) = (self.paint.red("✗"), harmless(&problem.title));
                self.print(&format!("{mark} {}  {}  {title}", step.title(), self.paint.dim(&time)));
            }
            EventKind::Warning { problem } => {
                let label = self.paint.yellow(&format!("warning[{}]", problem.code));
                self.print(&format!("{label}: {}", harmless(&problem.title)));
            }
            EventKind::PortListens { port } => {
                if let Some(text) = listening(port) {
                    self.print(&format!("{} {text}", self.paint.green("→")));
                }
            }
            EventKind::Changed | EventKind::Removed => {}
        }
    }

    /// Prints lines above the changing ones.
    pub(super) fn print(&self, text: &str) {
        // Drawing fails only when standard error is gone, and nobody can be told then.
        let _ = self.lines.println(text);
    }

    /// Takes all changing lines away.
    pub(super) fn clear(&mut self) {
        self.running.clear();
        let _ = self.lines.clear();
    }

    fn start(&mut self, step: StepKind, detail: &str) {
        // The machine and an environment that waits for it report the same step.
        if self.running.contains_key(&step) {
            return;
        }
        let line = self.lines.add(ProgressBar::new_spinner().with_style(step_style(self.paint)));
        let detail = shortened(&harmless(detail), 60);
        line.set_message(if detail.is_empty() {
            step.title().to_owned()
        } else {
            format!("{}  {}", step.title(), self.paint.dim(&detail))
        });
        line.enable_steady_tick(TICK);
        let step_lines = Step { line, begun: Instant::now(), parts: Vec::new(), log: VecDeque::new() };
        self.running.insert(step, step_lines);
    }

    fn part(&mut self, step: StepKind, item: &str, current: u64, total: Option<u64>, unit: Unit) {
        let Some(running) = self.running.get_mut(&step) else { return };
        let known = running.parts.iter().position(|(name, _)| name == item);
        let done = total.is_some_and(|total| total > 0 && current >= total);
        let part = match known {
            Some(at) if done => {
                let (_, part) = running.parts.remove(at);
                self.take_away(&part);
                return;
            }
            Some(at) => running.parts[at].1.clone(),
            None if done || running.parts.len() == PARTS_SHOWN => return,
            None => {
                let last = running.parts.last().map_or(&running.line, |(_, part)| part);
                let part = ProgressBar::no_length().with_style(part_style(total.is_some(), self.paint));
                let part = self.lines.insert_after(last, part);
                part.set_prefix(shortened(&harmless(item), PART_WIDTH));
                running.parts.push((item.to_owned(), part.clone()));
                part
            }
        };
        if let Some(total) = total {
            part.set_length(total);
        }
        part.set_position(current);
        part.set_message(amount(current, total, unit));
    }

    fn log(&mut self, step: StepKind, text: &str) {
        let text = harmless(text);
        if self.verbose || !self.running.contains_key(&step) {
            self.print(&self.paint.dim(&format!("  | {text}")));
            return;
        }
        let Some(running) = self.running.get_mut(&step) else { return };
        if running.log.len() == LOG_LINES
            && let Some(oldest) = running.log.pop_front()
        {
            oldest.finish_and_clear();
            self.lines.remove(&oldest);
        }
        let last_part = running.parts.last().map(|(_, part)| part);
        let last = running.log.back().or(last_part).unwrap_or(&running.line);
        let line =
            self.lines.insert_after(last, ProgressBar::new_spinner().with_style(log_style(self.paint)));
        line.set_message(text);
        line.tick();
        running.log.push_back(line);
    }

    /// Takes the lines of a step away; its title if it was running.
    fn end(&mut self, step: StepKind) -> Option<&'static str> {
        let running = self.running.remove(&step)?;
        let parts = running.parts.iter().map(|(_, part)| part);
        for line in running.log.iter().chain(parts).chain([&running.line]) {
            self.take_away(line);
        }
        Some(step.title())
    }

    fn take_away(&self, line: &ProgressBar) {
        line.finish_and_clear();
        self.lines.remove(line);
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are well formed")
}

fn step_style(paint: Paint) -> ProgressStyle {
    let template = if paint == Paint::ON {
        "{spinner:.cyan} {msg}  {seconds:.dim}"
    } else {
        "{spinner} {msg}  {seconds}"
    };
    style(template).tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]).with_key(
        "seconds",
        |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            // A line that cannot be formatted is not drawn; there is nobody to tell.
            let _ = out.write_str(&quantity::duration(state.elapsed()));
        },
    )
}

fn part_style(bar: bool, paint: Paint) -> ProgressStyle {
    let template = match (bar, paint == Paint::ON) {
        (true, true) => "    {prefix:32} {bar:24.cyan/dim} {msg}",
        (true, false) => "    {prefix:32} {bar:24} {msg}",
        (false, _) => "    {prefix:32} {msg}",
    };
    style(template).progress_chars("━━─")
}

fn log_style(paint: Paint) -> ProgressStyle {
    style(if paint == Paint::ON { "    {wide_msg:.dim}" } else { "    {wide_msg}" })
}
