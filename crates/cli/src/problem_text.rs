//! A problem as a person reads it.
//!
//! ```text
//! error[E0204]: could not build the image of `web`
//!   at .devcontainer/Dockerfile:7
//!   caused by: process "/bin/sh -c pip install" exited with 1
//!   | last lines of the output
//! hint: look at the step's output
//!       cove logs web
//! see: cove explain E0204
//! ```

use std::fmt::Write as _;

use api::{ConsentKind, Problem};

use crate::paint::Paint;
use crate::text::harmless;

/// How bad it is for the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It ends it.
    Error,
    /// It does not.
    Warning,
}

/// The lines of a problem, without a final end of line.
pub(crate) fn render(problem: &Problem, weight: Weight, paint: Paint) -> String {
    let mut lines = Vec::new();
    let label = match weight {
        Weight::Error => paint.red(&format!("error[{}]", problem.code)),
        Weight::Warning => paint.yellow(&format!("warning[{}]", problem.code)),
    };
    lines.push(format!("{label}: {}", paint.bold(&indented(&problem.title, "  "))));
    if let Some(place) = &problem.place {
        lines.push(format!("  at {}", harmless(&place.to_string())));
    }
    for cause in &problem.causes {
        lines.push(format!("  caused by: {}", indented(cause, "    ")));
    }
    for consent in &problem.consents {
        let word = match consent.kind {
            ConsentKind::HostCommand => "command",
            ConsentKind::HostMount => "mount",
        };
        lines.push(format!("  {word}: {}", indented(&consent.text, "    ")));
    }
    for line in &problem.log_tail {
        lines.push(paint.dim(&format!("  | {}", harmless(line))));
    }
    for hint in &problem.hints {
        let mut text = format!("{} {}", paint.cyan("hint:"), harmless(&hint.text));
        if let Some(command) = &hint.command {
            write!(text, "\n      {}", paint.bold(&harmless(command)))
                .expect("writing to a string cannot fail");
        }
        lines.push(text);
    }
    lines.push(format!("{} cove explain {}", paint.cyan("see:"), problem.code));
    lines.join("\n")
}

/// Text of several lines with the later ones moved in.
fn indented(text: &str, by: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(harmless).collect();
    lines.join(&format!("\n{by}"))
}

#[cfg(test)]
mod tests {
    use api::{Place, ProblemCode};

    use super::*;

    #[test]
    fn everything_a_problem_holds_is_shown_in_order() {
        let problem = Problem::new(ProblemCode::BuildFailed, "could not build the image of `web`")
            .caused_by(&std::io::Error::other("step 3\nexited with 1"))
            .at(Place { file: "Dockerfile".to_owned(), line: Some(7), column: None })
            .with_log(vec!["no such package\u{1b}[2J".to_owned()])
            .with_hint("correct the name")
            .with_command("look at it", "cove logs web");
        insta::assert_snapshot!(render(&problem, Weight::Error, Paint::OFF), @r"
        error[E0204]: could not build the image of `web`
          at Dockerfile:7
          caused by: step 3
            exited with 1
          | no such package
        hint: correct the name
        hint: look at it
              cove logs web
        see: cove explain E0204
        ");
    }
}
