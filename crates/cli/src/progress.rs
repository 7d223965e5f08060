//! What the daemon is doing, while a person waits.
//!
//! On a terminal each running step is a line that changes; elsewhere every news is a line with the time, so that a
//! log of CI tells the same story. Both are fed with the events of the watch.

mod live;
mod plain;

use std::time::Instant;

use api::Event;

use crate::output::{Detail, Output};

use live::Live;
use plain::Plain;

/// A display of events.
pub(crate) struct Progress {
    output: Output,
    begun: Instant,
    display: Display,
}

enum Display {
    Live(Live),
    Plain(Plain),
    Told(Plain, Box<dyn Fn(String) + Send>),
    Silent,
}

impl Progress {
    /// The display that fits standard error and the options.
    pub(crate) fn for_output(output: Output) -> Self {
        let display = match output.detail() {
            Detail::Quiet => Display::Silent,
            detail if output.can_draw() => {
                Display::Live(Live::new(output.note_paint(), detail == Detail::Verbose))
            }
            Detail::Normal | Detail::Verbose => Display::Plain(Plain::default()),
        };
        Self { output, begun: Instant::now(), display }
    }

    /// A display by somebody else, who is told every line.
    pub(crate) fn told(output: Output, tell: impl Fn(String) + Send + 'static) -> Self {
        Self { output, begun: Instant::now(), display: Display::Told(Plain::default(), Box::new(tell)) }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &Event) {
        let elapsed = self.begun.elapsed();
        match &mut self.display {
            Display::Live(live) => live.event(&event.kind),
            Display::Plain(plain) => {
                for line in plain.event(&event.kind, elapsed) {
                    self.output.note(&line);
                }
            }
            Display::Told(plain, tell) => plain.event(&event.kind, elapsed).into_iter().for_each(tell),
            Display::Silent => {}
        }
    }

    /// Tells something between events.
    pub(crate) fn say(&mut self, text: &str) {
        match &mut self.display {
            Display::Live(live) => live.print(text),
            Display::Plain(_) => self.output.note(text),
            Display::Told(_, tell) => tell(text.to_owned()),
            Display::Silent => {}
        }
    }

    /// Takes away what would be drawn over by the next output.
    pub(crate) fn clear(&mut self) {
        if let Display::Live(live) = &mut self.display {
            live.clear();
        }
    }
}
