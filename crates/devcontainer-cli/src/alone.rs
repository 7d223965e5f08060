//! The drop-in without Cove: on the engine that `DOCKER_HOST`, a docker context or the computer gives. The tests run
//! this one. What it keeps goes to the folder in `COVE_HOME`.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use devcontainer_cli::{Host, HostError, OwnEngine};
use futures::future::BoxFuture;

struct WithoutCove {
    home: Utf8PathBuf,
}

impl Host for WithoutCove {
    fn has_engine(&self) -> bool {
        false
    }

    fn engine(&self, _wake: bool) -> BoxFuture<'_, Result<OwnEngine, HostError>> {
        let message = "there is no container engine here".to_owned();
        Box::pin(async { Err(HostError { message }) })
    }

    fn socket(&self) -> Utf8PathBuf {
        self.home.join("run/docker.sock")
    }

    fn cache(&self) -> Utf8PathBuf {
        self.home.join("cache")
    }

    fn state(&self) -> Utf8PathBuf {
        self.home.join("devcontainer")
    }
}

fn main() -> ExitCode {
    let home = std::env::var("COVE_HOME")
        .map_or_else(|_| Utf8PathBuf::from("/tmp/cove-devcontainer"), Utf8PathBuf::from);
    devcontainer_cli::main(std::env::args_os().skip(1), &WithoutCove { home })
}
