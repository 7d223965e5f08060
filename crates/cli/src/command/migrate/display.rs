//! How far a migration is: one line that changes on a terminal, else a line for what is told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{Progress, ProgressEvent, ProgressKind};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Detail, Output};
use crate::quantity;
use crate::text::harmless;

/// Shortest time between two lines on how far one thing is.
const PAUSE: Duration = Duration::from_secs(5);
/// Time between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// Shows the news of a migration.
pub(super) struct Display(Mutex<Shown>);

struct Shown {
    output: Output,
    begun: Instant,
    line: Line,
    /// When work on the thing of the moment began, when it was last told of, and its bytes so far.
    item_begun: Instant,
    told: Instant,
    bytes: u64,
}

enum Line {
    Live(ProgressBar),
    Plain,
    Silent,
}

impl Display {
    /// The display that fits standard error and the options.
    pub(super) fn for_output(output: Output) -> Self {
        let line = match output.detail() {
            Detail::Quiet => Line::Silent,
            _ if output.can_draw() => {
                let target = ProgressDrawTarget::stderr_with_hz(12);
                let bar = ProgressBar::with_draw_target(None, target);
                let style = ProgressStyle::with_template("{spinner} {msg}")
                    .expect("the template of this line is well formed");
                bar.set_style(style.tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", " "]));
                bar.enable_steady_tick(TICK);
                Line::Live(bar)
            }
            Detail::Normal | Detail::Verbose => Line::Plain,
        };
        let now = Instant::now();
        Self(Mutex::new(Shown { output, begun: now, line, item_begun: now, told: now, bytes: 0 }))
    }

    /// Takes away what would be drawn over by the next output.
    pub(super) fn clear(&self) {
        if let Line::Live(bar) = &self.shown().line {
            bar.finish_and_clear();
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Display {
    fn report(&self, event: ProgressEvent) {
        let mut shown = self.shown();
        let item = harmless(&event.item);
        match event.kind {
            ProgressKind::Started => {
                (shown.item_begun, shown.told, shown.bytes) = (Instant::now(), Instant::now(), 0);
                shown.now(&item, true);
            }
            ProgressKind::Bytes { done, .. } => {
                shown.bytes = done;
                let due = shown.told.elapsed() >= PAUSE;
                shown.now(&format!("{item}  {}", quantity::bytes(done)), due);
            }
            ProgressKind::Line(line) => shown.now(&format!("{item}  {}", harmless(&line)), true),
            ProgressKind::Finished { .. } => {
                let paint = shown.output.note_paint();
                let mut text = format!("{} {item}", paint.green("✓"));
                if shown.bytes > 0 {
                    text = format!("{text}  {}", quantity::bytes(shown.bytes));
                }
                let took = paint.dim(&quantity::duration(shown.item_begun.elapsed()));
                shown.lasting(&format!("{text}  {took}"));
            }
            ProgressKind::Failed => {
                let mark = shown.output.note_paint().red("✗");
                shown.lasting(&format!("{mark} {item}"));
            }
        }
    }
}

impl Shown {
    /// What goes on now; as a line of its own only where `due`.
    fn now(&mut self, text: &str, due: bool) {
        match &self.line {
            Line::Live(bar) => bar.set_message(text.to_owned()),
            Line::Plain if due => {
                self.told = Instant::now();
                self.lasting(text);
            }
            Line::Plain | Line::Silent => {}
        }
    }

    /// What stays in sight.
    fn lasting(&self, text: &str) {
        match &self.line {
            Line::Live(bar) => bar.println(text),
            Line::Plain => {
                self.output.note(&format!("[{:5.1}s] {text}", self.begun.elapsed().as_secs_f64()));
            }
            Line::Silent => {}
        }
    }
}
