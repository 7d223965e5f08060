//! What the tests on a real engine share.

use std::sync::Arc;

use engine::{ContainerSpec, Engine, ExecSpec, FirstProcess, HostTools};
use futures::StreamExt;
#[path = "../../../test-support/src/dockerd.rs"]
pub(crate) mod dockerd;
use dockerd::{BASE_IMAGE, Dockerd};

/// Starts an engine. It ends when the second part is dropped.
pub(crate) fn start() -> Option<(Engine, Dockerd)> {
    let dockerd = Dockerd::start()?;
    let engine = Engine::new(&dockerd.socket(), Arc::new(HostTools::new(dockerd.env().clone())));
    Some((engine, dockerd))
}

/// A container that says a line and waits to be stopped.
pub(crate) fn waiting(name: &str) -> ContainerSpec {
    let script = "trap 'exit 0' TERM; echo ready; while :; do sleep 3600 & wait $!; done";
    ContainerSpec {
        name: name.to_owned(),
        image: BASE_IMAGE.to_owned(),
        first_process: FirstProcess::Script { script: script.to_owned(), arguments: Vec::new() },
        ..ContainerSpec::default()
    }
}

/// Runs a program to its end; its status and all that it said.
pub(crate) async fn collect(engine: &Engine, container: &str, argv: &[&str]) -> (i32, String) {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    let mut session = engine.exec(container, &ExecSpec { argv, ..ExecSpec::default() }).await.unwrap();
    let mut said = Vec::new();
    while let Some(piece) = session.output.next().await {
        said.extend(piece.unwrap().1);
    }
    (session.control.exit_code().await.unwrap(), String::from_utf8_lossy(&said).into_owned())
}
