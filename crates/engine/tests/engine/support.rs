//! What the tests on a real engine share.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Config, Resolved, SourceError, Sources};
use engine::{ContainerSpec, Engine, ExecSpec, FirstProcess, HostTools, Identity};
use futures::StreamExt;
use test_support::dockerd::{BASE_IMAGE, Dockerd};

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

/// Files of this host, and no variables.
struct HostFiles;

impl Sources for HostFiles {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(std::fs::read(path).ok())
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path.exists()
    }

    fn list_dirs(&self, _path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Ok(Vec::new())
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// A workspace with a configuration, and what is read from it.
pub(crate) fn configure(folder: &Utf8Path, files: &[(&str, &str)]) -> (Config, Resolved) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let located = devcontainer::locate(&HostFiles, folder, None).unwrap();
    let config = devcontainer::read(&HostFiles, folder, &located, BASE_IMAGE).unwrap();
    let resolved = devcontainer::merge(&[], &config);
    (config, resolved)
}

/// A folder that is gone when the first part is dropped.
pub(crate) fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

/// The environment that the tests' containers belong to.
pub(crate) fn identity() -> Identity {
    Identity { environment: "env1".into(), name: "My app!".into() }
}
