//! Decides the next steps from what is wanted and what is there.
//!
//! [`plan`] is a pure function: no clock, no I/O, no randomness. The daemon observes the world, plans, takes the
//! first step, and does it all again; so a daemon that was killed at any instant goes on where it was, and no
//! action is remembered anywhere but in its effects. What the planner does not know it does not touch.

mod backoff;
mod drift;
mod observed;
mod phase;
mod plan;

pub use backoff::{Failure, Verdict};
pub use drift::{Properties, changes, effect_of, is_secret_variable};
pub use observed::{
    ConfigFacts, ContainerFacts, HookRecord, InitializeFacts, LeftServices, MachineFacts, Observed,
    SourceFacts, TaskFacts, Trust,
};
pub use phase::{is_usable, phase_of};
pub use plan::{Decision, plan};
