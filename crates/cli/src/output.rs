//! The only place that writes to standard output and standard error.
//!
//! Results go to the one, everything else to the other. A live progress display also draws on standard error;
//! while one is up, notes go through it.

use std::io::{self, IsTerminal, Write};

use api::{ErrorBody, Problem};
use serde::Serialize;

use crate::arguments::{ColorChoice, GlobalOptions};
use crate::failure::Failure;
use crate::paint::Paint;
use crate::problem_text;

/// Writes what people and programs read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    detail: Detail,
    out: Paint,
    err: Paint,
    live: bool,
    asks: bool,
}

/// How much is told besides results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Problems only.
    Quiet,
    /// Steps, and the last lines of their output.
    Normal,
    /// Every line.
    Verbose,
}

impl Output {
    pub(crate) fn new(options: GlobalOptions) -> Self {
        let detail = match (options.quiet, options.verbose) {
            (true, _) => Detail::Quiet,
            (_, true) => Detail::Verbose,
            _ => Detail::Normal,
        };
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json: options.json,
            detail,
            out: paint_for(options.color, out),
            err: paint_for(options.color, err),
            live: err && !is_dumb(),
            asks: err && io::stdin().is_terminal(),
        }
    }

    /// Whether results are wanted as JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    pub(crate) fn detail(self) -> Detail {
        self.detail
    }

    /// Colours for standard output.
    pub(crate) fn paint(self) -> Paint {
        self.out
    }

    /// Colours for standard error.
    pub(crate) fn note_paint(self) -> Paint {
        self.err
    }

    /// Whether standard error can show a display that changes in place.
    pub(crate) fn can_draw(self) -> bool {
        self.live
    }

    /// Writes a result: its JSON, or the text made of it.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(Paint) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let mut json = serde_json::to_string_pretty(value)
                .expect("results are plain data without map keys other than strings and numbers");
            json.push('\n');
            write(json.as_bytes())
        } else {
            write_text(&text(self.out))
        }
    }

    /// Tells a person something on the way; not when only results are wanted.
    pub(crate) fn note(self, text: &str) {
        if self.detail != Detail::Quiet {
            Self::error_line(text);
        }
    }

    /// Tells of a problem that does not end the command.
    pub(crate) fn warning(self, problem: &Problem) {
        Self::error_line(&problem_text::render(problem, problem_text::Weight::Warning, self.err));
    }

    /// Tells why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        match failure {
            Failure::Problem(problem) if self.json => {
                let body = ErrorBody { problem: (**problem).clone() };
                let json = serde_json::to_string_pretty(&body)
                    .expect("a problem is plain data without map keys other than strings");
                Self::error_line(&json);
            }
            Failure::Problem(problem) => {
                Self::error_line(&problem_text::render(problem, problem_text::Weight::Error, self.err));
            }
            Failure::Status(_) | Failure::Interrupted | Failure::OutputClosed => {}
        }
    }

    /// Asks for a yes. No when the answer is anything else or there is nobody to ask.
    pub(crate) fn confirm(question: &str) -> bool {
        if write_error(format!("{question} [y/N] ").as_bytes()).is_err() {
            return false;
        }
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// Whether somebody is there to be asked.
    pub(crate) fn can_ask(self) -> bool {
        self.asks
    }

    fn error_line(text: &str) {
        // Nobody is left to be told that standard error is gone.
        let _ = write_error(format!("{}\n", text.trim_end_matches('\n')).as_bytes());
    }
}

/// Writes a value as one line of JSON, for streams.
pub(crate) fn write_json_line<T: Serialize>(value: &T) -> Result<(), Failure> {
    let json = serde_json::to_string(value)
        .expect("results are plain data without map keys other than strings and numbers");
    write_text(&json)
}

/// Writes text to standard output, with an end of line if it has none. Nothing for nothing.
pub(crate) fn write_text(text: &str) -> Result<(), Failure> {
    match text.strip_suffix('\n').unwrap_or(text) {
        "" => Ok(()),
        text => write(format!("{text}\n").as_bytes()),
    }
}

/// Writes bytes to standard output as they are.
pub(crate) fn write(bytes: &[u8]) -> Result<(), Failure> {
    write_all(io::stdout().lock(), bytes)
}

/// Writes bytes to standard error as they are.
pub(crate) fn write_error(bytes: &[u8]) -> Result<(), Failure> {
    write_all(io::stderr().lock(), bytes)
}

fn write_all(mut stream: impl Write, bytes: &[u8]) -> Result<(), Failure> {
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    written.map_err(|_| Failure::OutputClosed)
}

fn paint_for(choice: ColorChoice, terminal: bool) -> Paint {
    let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => Paint::ON,
        ColorChoice::Auto if terminal && !unwanted() && !is_dumb() => Paint::ON,
        ColorChoice::Auto | ColorChoice::Never => Paint::OFF,
    }
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}
