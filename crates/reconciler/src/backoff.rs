//! When a step that failed is tried again.

use api::{Problem, Retry, Session, StepKind};
use jiff::{SignedDuration, Timestamp};

use crate::{Decision, MachineFacts};

/// Attempts at a step whose problem may pass by itself, before a person is asked.
const ATTEMPTS: u32 = 4;

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// A step that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Which step.
    pub step: StepKind,
    /// Why.
    pub problem: Problem,
    /// How often in a row.
    pub attempts: u32,
    /// When it failed last.
    pub at: Timestamp,
    /// The retry session of the spec at that time.
    pub retry: Session,
    /// The generation of the spec at that time.
    pub generation: u64,
}

/// What follows from a failure.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The spec was changed, or the pause is over: go on.
    TryNow,
    /// It is tried again at this time.
    Wait {
        /// When.
        until: Timestamp,
    },
    /// Only a person can help.
    GiveUp,
}

impl Failure {
    /// Whether this failure still counts after another look at the world: until its step ended well, or is not to be
    /// taken any more. That another step went well proves nothing: a build that brings the machine down would be
    /// tried for ever, since each time the machine starts well before it.
    pub fn counts(&self, succeeded: Option<StepKind>, machine: MachineFacts, decision: &Decision) -> bool {
        let is_due = decision.plan.steps.iter().any(|planned| planned.step == self.step);
        // What is left to do shows only in a machine that is on, and a blocked plan shows nothing.
        let is_unknown = machine != MachineFacts::Ready || decision.plan.blocked.is_some();
        succeeded != Some(self.step) && (is_due || is_unknown)
    }

    /// What follows from this failure for a spec with that retry session and generation, at that time.
    pub fn verdict(&self, retry: &Session, generation: u64, now: Timestamp) -> Verdict {
        if self.retry != *retry || self.generation != generation {
            return Verdict::TryNow;
        }
        if self.problem.retry() == Retry::OnRequest || self.attempts >= ATTEMPTS {
            return Verdict::GiveUp;
        }
        let pause = FIRST_PAUSE * 2_i32.pow(self.attempts.saturating_sub(1).min(6));
        let until = self.at.saturating_add(pause).unwrap_or(now);
        if now >= until { Verdict::TryNow } else { Verdict::Wait { until } }
    }
}
