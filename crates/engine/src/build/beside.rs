//! Files that a command needs beside it: in a folder of their own where the engine's commands run, for as long
//! as the command takes.

use std::io;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::archive::pack;
use super::spec::ContextFiles;
use crate::tools::{ToolCommand, ToolError, Tools, run_to_end};

/// Makes the folder, which only its owner can enter, and says its name.
const UNPACK: &str = "folder=$(mktemp -d \"${TMPDIR:-/tmp}/cove-build.XXXXXX\") || exit 1\n\
                      tar -x -p -f - -C \"$folder\" || { rm -rf \"$folder\"; exit 1; }\n\
                      printf %s \"$folder\"";

/// Such a folder. It goes with [`Beside::remove`], or by itself some time after this is dropped.
pub(super) struct Beside {
    tools: Arc<dyn Tools>,
    /// `None` once it is gone.
    folder: Option<Utf8PathBuf>,
}

impl Beside {
    /// Puts the files into a new folder.
    pub(super) async fn put(tools: &Arc<dyn Tools>, files: &ContextFiles) -> Result<Self, ToolError> {
        let failed = |source| ToolError::PutFile { path: "the files of a build".into(), source };
        let mut command = ToolCommand::new(["/bin/sh", "-c", UNPACK]);
        command.stdin = Some(pack(files).map_err(failed)?);
        let output = run_to_end(&**tools, command).await?;
        if output.code != 0 {
            return Err(failed(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())));
        }
        let folder = Utf8PathBuf::from(String::from_utf8_lossy(&output.stdout).into_owned());
        Ok(Self { tools: Arc::clone(tools), folder: Some(folder) })
    }

    /// Where they are.
    pub(super) fn folder(&self) -> &Utf8Path {
        self.folder.as_deref().unwrap_or(Utf8Path::new(""))
    }

    /// Removes them now.
    pub(super) async fn remove(mut self) {
        if let Some(folder) = self.folder.take() {
            remove(&self.tools, folder).await;
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let tools = Arc::clone(&self.tools);
            runtime.spawn(async move { remove(&tools, folder).await });
        }
    }
}

async fn remove(tools: &Arc<dyn Tools>, folder: Utf8PathBuf) {
    let command = ToolCommand::new(["rm", "-rf", "--", folder.as_str()]);
    match run_to_end(&**tools, command).await {
        Ok(output) if output.code == 0 => {}
        _ => tracing::warn!(%folder, "could not remove the files of a build"),
    }
}
