//! What `features test` prints: how it goes, and in the end which tests passed.

use std::io::IsTerminal;

use crate::outcome;

/// One test that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tested {
    pub(crate) name: String,
    pub(crate) passed: bool,
}

/// How a line looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// How it goes.
    Plain,
    /// A stage begins.
    Stage,
}

/// Prints as things happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    colours: bool,
}

impl Report {
    /// Colours where a person looks.
    pub(crate) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wanted && std::io::stdout().is_terminal() }
    }

    /// A line with a sign before it.
    pub(crate) fn line(self, tone: Tone, sign: &str, text: &str) {
        let line = format!("{sign} {text}");
        let line = match (self.colours, tone) {
            (false, _) => line,
            (true, Tone::Plain) => format!("\u{1b}[34m{line}\u{1b}[39m"),
            (true, Tone::Stage) => format!("\u{1b}[1m\u{1b}[34m{line}\u{1b}[39m\u{1b}[22m"),
        };
        outcome::print(&format!("{line}\n"));
    }

    /// Which tests passed and which did not.
    pub(crate) fn summary(self, tests: &[Tested]) {
        outcome::print("\n\n\n");
        for line in summary(tests) {
            self.line(Tone::Stage, line.0, &line.1);
        }
        outcome::print("\n");
    }
}

fn summary(tests: &[Tested]) -> Vec<(&'static str, String)> {
    let mut lines = vec![(" ", "================== TEST REPORT ==================".to_owned())];
    lines.extend(tests.iter().map(|test| {
        let (sign, word) = if test.passed { ("✅", "Passed") } else { ("❌", "Failed") };
        (sign, format!("{word}:      '{}'", test.name))
    }));
    lines
}

/// What the command begins with.
pub(crate) fn banner() -> String {
    let version = crate::REFERENCE_VERSION;
    let line = "─ ".repeat(14);
    let line = line.trim_end();
    format!(
        "\n┌ {line} ┐\n|    Dev Container Features   |   \n│           v{version}           │\n└ {line} ┘\n\n"
    )
}
