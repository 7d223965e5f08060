//! What a tool answers: text to read, and the same as data.

use std::fmt::{Arguments, Write as _};

use api::{Problem, ProblemCode};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::paint::Paint;
use crate::problem_text::{self, Weight};

/// A tool's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) data: Value,
}

/// Adds to a text.
pub(super) fn add(text: &mut String, more: Arguments<'_>) {
    text.write_fmt(more).expect("writing to a string cannot fail");
}

/// The protocol's form. A problem is the tool's error: its text has code, causes and what to do, as a person reads it.
pub(super) fn of(result: Result<Answer, Failure>) -> CallToolResult {
    let (mut result, text) = match result {
        Ok(Answer { text, data }) => (CallToolResult::structured(data), text),
        Err(failure) => {
            let problem = problem_of(failure);
            let text = problem_text::render(&problem, Weight::Error, Paint::OFF);
            (CallToolResult::structured_error(json!({ "problem": problem })), text)
        }
    };
    result.content = vec![ContentBlock::text(text)];
    result
}

fn problem_of(failure: Failure) -> Problem {
    match failure {
        Failure::Problem(problem) if problem.code == ProblemCode::NotRunning => {
            problem.with_hint("the tool `up` starts it")
        }
        Failure::Problem(problem) => *problem,
        Failure::Interrupted => Problem::new(ProblemCode::Internal, "the call was interrupted"),
        Failure::Status(_) | Failure::OutputClosed => {
            Problem::new(ProblemCode::Internal, "the call ended without an answer")
        }
    }
}
