//! Temporary.
use api::{Problem, ProblemCode};
use devcontainer::{Compose, Config, Resolved};
use engine::{ContainerState, Engine};

use super::Turn;
use crate::reconcile::{Prepared, Report};

fn not_yet() -> Problem {
    Problem::new(ProblemCode::Unsupported, "compose")
}
pub(super) async fn build(_: &Turn<'_>, _: &Config, _: &Compose) -> Result<String, Problem> {
    Err(not_yet())
}
pub(super) async fn create(
    _: &Turn<'_>,
    _: &Config,
    _: &Compose,
    _: &Resolved,
    _: &Prepared,
) -> Result<(), Problem> {
    Err(not_yet())
}
pub(super) async fn start(_: &Turn<'_>, _: &Config, _: &Compose) -> Result<(), Problem> {
    Err(not_yet())
}
pub(super) fn project_of(state: &ContainerState) -> Option<String> {
    state.labels.get("com.docker.compose.project").cloned()
}
pub(super) async fn stop(_: &Engine, _: &str, _: &Report) -> Result<(), Problem> {
    Err(not_yet())
}
pub(super) async fn down(_: &Engine, _: &str, _: &Report) -> Result<(), Problem> {
    Err(not_yet())
}
