//! Why a command does not end with status 0.

use api::{Problem, ProblemCode};
use client::{CallError, ExecError, StartError};

/// The end of a command that did not go well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something failed; a person is told.
    Problem(Box<Problem>),
    /// All was said already, for instance by the command that ran; only the status is left.
    Status(u8),
    /// A person pressed ctrl-c.
    Interrupted,
    /// Nobody reads standard output any more.
    OutputClosed,
}

impl Failure {
    /// The exit status: 1 for problems, what shells use for signals.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Problem(_) => 1,
            Self::Status(status) => *status,
            Self::Interrupted => 128 + 2,
            Self::OutputClosed => 128 + 13,
        }
    }

    /// A problem with what was typed.
    pub(crate) fn request(title: impl Into<String>) -> Problem {
        Problem::new(ProblemCode::InvalidRequest, title)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Box<Problem>> for Failure {
    fn from(problem: Box<Problem>) -> Self {
        Self::Problem(problem)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        error.problem().into()
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        error.problem().into()
    }
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        error.problem().into()
    }
}
