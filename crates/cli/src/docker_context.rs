//! The docker command's context `cove`, kept in its own store of files.
//!
//! The files are written directly: that works whether or not the docker command is installed yet, and the layout
//! (`contexts/meta/<SHA-256 of the name>/meta.json`) is the one all its versions since 19.03 read. Contexts that
//! Cove did not make are not touched.

use std::io::{self, ErrorKind};

use api::{Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::whole_file;

/// Name of the context.
pub(crate) const NAME: &str = "cove";
/// SHA-256 of the name, in hex.
const NAME_DIGEST: &str = "6a259d3299684d8a1f5693be49dde21e5e22195158487a86c3d73d07c36a5cfc";
/// Mark of a context that Cove made.
const DESCRIPTION: &str = "Cove's machine";

/// Where the docker command keeps its files.
#[derive(Debug, Clone)]
pub(crate) struct DockerFiles {
    folder: Utf8PathBuf,
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new.
    Made,
    /// It pointed elsewhere before.
    Moved,
    /// It is gone.
    Removed,
    /// All was so already.
    Nothing,
}

impl DockerFiles {
    /// `DOCKER_CONFIG`, else `~/.docker`.
    pub(crate) fn from_environment() -> Result<Self, Problem> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let folder = match (variable("DOCKER_CONFIG"), variable("HOME")) {
            (Some(folder), _) => Utf8PathBuf::from(folder),
            (None, Some(home)) => Utf8PathBuf::from(home).join(".docker"),
            (None, None) => {
                let title =
                    "neither DOCKER_CONFIG nor HOME is set, so there is no place for a docker context";
                return Err(Problem::new(ProblemCode::InvalidRequest, title));
            }
        };
        Ok(Self { folder })
    }

    /// Makes the context point at a socket.
    pub(crate) fn point_at(&self, socket: &Utf8Path) -> Result<Change, Problem> {
        let host = format!("unix://{socket}");
        let change = match self.present()? {
            None => Change::Made,
            Some(meta) if host_of(&meta) == Some(host.as_str()) => return Ok(Change::Nothing),
            Some(_) => Change::Moved,
        };
        let meta = json!({
            "Name": NAME,
            "Metadata": { "Description": DESCRIPTION },
            "Endpoints": { "docker": { "Host": host, "SkipTLSVerify": false } },
        });
        let file = self.meta_file();
        write_whole(&file, &meta.to_string()).map_err(|error| unwritable(&file, &error))?;
        Ok(change)
    }

    /// Takes the context away.
    pub(crate) fn remove(&self) -> Result<Change, Problem> {
        if self.present()?.is_none() {
            return Ok(Change::Nothing);
        }
        if self.current_context().as_deref() == Some(NAME) {
            let title = format!("the docker context `{NAME}` is the current one");
            return Err(Problem::new(ProblemCode::Conflict, title)
                .with_command("choose another first", "docker context use default"));
        }
        let folder = self.meta_folder();
        std::fs::remove_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
        Ok(Change::Removed)
    }

    /// The context as it is; a problem if it is not ours.
    fn present(&self) -> Result<Option<Value>, Problem> {
        let file = self.meta_file();
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let title = format!("could not read `{file}`");
                return Err(Problem::new(ProblemCode::InvalidRequest, title).caused_by(&error));
            }
        };
        let meta: Value = serde_json::from_str(&text).unwrap_or_default();
        if meta["Metadata"]["Description"] == DESCRIPTION {
            return Ok(Some(meta));
        }
        let title = format!("there is a docker context `{NAME}` already that Cove did not make");
        Err(Problem::new(ProblemCode::Conflict, title)
            .with_command("look at it", format!("docker context inspect {NAME}"))
            .with_command("and remove it if nobody needs it", format!("docker context rm {NAME}")))
    }

    /// The context the docker command uses when none is named.
    fn current_context(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join("config.json")).ok()?;
        let config: Value = serde_json::from_str(&text).ok()?;
        config["currentContext"].as_str().map(str::to_owned)
    }

    fn meta_folder(&self) -> Utf8PathBuf {
        self.folder.join("contexts/meta").join(NAME_DIGEST)
    }

    fn meta_file(&self) -> Utf8PathBuf {
        self.meta_folder().join("meta.json")
    }
}

fn host_of(meta: &Value) -> Option<&str> {
    meta["Endpoints"]["docker"]["Host"].as_str()
}

fn write_whole(file: &Utf8Path, content: &str) -> io::Result<()> {
    std::fs::create_dir_all(file.parent().unwrap_or(file))?;
    whole_file::write(file, content.as_bytes(), 0o644)
}

fn unwritable(path: &Utf8Path, error: &io::Error) -> Problem {
    let title = format!("could not change `{path}`");
    Problem::new(ProblemCode::InvalidRequest, title).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_made_moved_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let files = DockerFiles { folder: Utf8Path::from_path(folder.path()).unwrap().to_owned() };
        assert_eq!(files.remove().unwrap(), Change::Nothing);
        assert_eq!(files.point_at("/a/docker.sock".into()).unwrap(), Change::Made);
        assert_eq!(files.point_at("/a/docker.sock".into()).unwrap(), Change::Nothing);
        assert_eq!(files.point_at("/b/docker.sock".into()).unwrap(), Change::Moved);
        std::fs::write(files.folder.join("config.json"), r#"{"currentContext":"cove"}"#).unwrap();
        assert_eq!(files.remove().unwrap_err().code, ProblemCode::Conflict);
        std::fs::remove_file(files.folder.join("config.json")).unwrap();
        assert_eq!(files.remove().unwrap(), Change::Removed);
        assert!(files.present().unwrap().is_none());
    }

    #[test]
    fn the_folder_is_the_one_the_docker_command_looks_in() {
        use sha2::{Digest, Sha256};
        let digest: Vec<_> = Sha256::digest(NAME).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest.concat(), NAME_DIGEST);
    }

    #[test]
    fn a_foreign_context_of_that_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let files = DockerFiles { folder: Utf8Path::from_path(folder.path()).unwrap().to_owned() };
        let theirs = r#"{"Name":"cove","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://x"}}}"#;
        write_whole(&files.meta_file(), theirs).unwrap();
        assert_eq!(files.point_at("/a/docker.sock".into()).unwrap_err().code, ProblemCode::Conflict);
        assert_eq!(files.remove().unwrap_err().code, ProblemCode::Conflict);
        assert_eq!(std::fs::read_to_string(files.meta_file()).unwrap(), theirs);
    }
}
