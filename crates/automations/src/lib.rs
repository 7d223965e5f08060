//! Tasks and services of an environment: the file that declares them, their graph, and what happens next.
//!
//! The crate is pure: no clock, no I/O, no processes. [`read`] turns the text of `automations.yaml` into
//! [`Automations`], with every mistake and its place; [`next`] says what changes, given what is declared, what is
//! wanted, how everything stands, and the time. The program inside the container carries that out.
//!
//! What the file may say is that of Gitpod and Ona, so that their files work unchanged, and what those lack: services
//! that depend on others, restarts, time limits, variables with secrets, and outputs of tasks.

mod duration;
mod fields;
mod graph;
mod item;
mod locate;
mod mistake;
mod model;
mod next;
mod outputs;
mod read;
mod state;
mod wire;
mod wish;
mod yaml;

pub use duration::Span;
pub use graph::{Graph, PathStep};
pub use item::Item;
pub use locate::{CANDIDATES, MAX_BYTES};
pub use mistake::{Mistake, ReadError};
pub use model::{Automations, Image, Place, Policy, Refusal, Restart, Role, Service, Task, Trigger, Value};
pub use next::{Change, Due, Next, awaited, next};
pub use outputs::{MAX_OUTPUT_BYTES, parse_outputs};
pub use read::{Reading, Warning, read};
pub use state::{Exit, Millis, Phase, State, States};
pub use wire::{Order, Report, Runnable, Status};
pub use wish::{Outcome, ServiceWish, TaskWish, Wish};
