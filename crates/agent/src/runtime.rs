//! `cove-runtime`: stands before the OCI runtime and gives containers what the host configured.
//!
//! The engine and BuildKit call it in place of `runc`. For `create`, `run` and `exec` it edits the description
//! of the container or process, then becomes the real runtime with the same arguments; every other command goes
//! through untouched. What it cannot read it leaves as it is: a container without the host's certificates is
//! better than none. It also says which share of the processors a process gets ([`shares`]).

mod arguments;
mod bundle;
mod shares;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use fs_err as fs;
use serde_json::Value;

use crate::configuration::{ContainerAdditions, RUNTIME_FILE};
use crate::emulation::rosetta;
use crate::{console, engine, mounts, trust};
use arguments::Subject;

/// Variable that names another runtime than the default one.
const CHOICE: &str = "COVE_OCI_RUNTIME";
/// Tried in this order: crun starts a container in a third of runc's time.
const RUNTIMES: &[&str] = &["crun", "runc"];
/// Folder of the root with what works inside of containers.
const PROGRAMS: &str = "/usr/lib/cove/bin";
/// Longest description that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Why a description stays as it was.
#[derive(Debug, thiserror::Error)]
enum EditError {
    #[error("cannot read or write the description")]
    File(#[from] io::Error),
    #[error("the description {path} is no JSON")]
    Json {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the description {path} is longer than {LONGEST} bytes")]
    Long { path: String },
}

/// Edits if there is something to edit, and becomes the runtime.
pub(crate) fn main(mut arguments: Vec<OsString>) -> ExitCode {
    if let Some(subject) = arguments::subject(&arguments) {
        match edit(&subject) {
            Ok(description) => give_share(&subject, &description, &mut arguments),
            Err(error) => console::say(&format!("cove-runtime: {}", console::chain(&error))),
        }
    }
    let chosen = std::env::var_os(CHOICE).map(|name| name.to_string_lossy().into_owned());
    let mut names = chosen.as_deref().into_iter().chain(RUNTIMES.iter().copied());
    let Some(runtime) = names.find_map(engine::find_program) else {
        console::say("cove-runtime: there is neither crun nor runc in the guest");
        return ExitCode::FAILURE;
    };
    let error = Command::new(&runtime).args(arguments).exec();
    console::say(&format!("cove-runtime: cannot start {}: {error}", runtime.display()));
    ExitCode::FAILURE
}

/// Which share of the processors it gets.
fn give_share(subject: &Subject, description: &Value, arguments: &mut Vec<OsString>) {
    let root = Path::new(mounts::CGROUPS);
    let given = match subject {
        Subject::Container { .. } => shares::lower_builds(root, description).map(|()| None),
        Subject::Process { container, .. } => shares::group_for(root, container, description),
    };
    match (given, subject) {
        (Ok(Some(group)), Subject::Process { options_at, .. }) => {
            arguments.insert(*options_at, format!("--cgroup={group}").into());
        }
        (Ok(_), _) => {}
        // It runs as all others do.
        (Err(error), _) => console::say(&format!("cove-runtime: no share of its own: {error}")),
    }
}

/// Edits the description, and gives it as it is then.
fn edit(subject: &Subject) -> Result<Value, EditError> {
    let path = match subject {
        Subject::Container { bundle } => bundle.join("config.json"),
        Subject::Process { file, .. } => file.clone(),
    };
    let mut description = read(&path)?;
    let additions = match fs::read(RUNTIME_FILE) {
        Ok(text) => serde_json::from_slice::<ContainerAdditions>(&text)
            .map_err(|source| EditError::Json { path: RUNTIME_FILE.to_owned(), source })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(description),
        Err(error) => return Err(error.into()),
    };
    match subject {
        Subject::Container { .. } => {
            let folders = bundle::Folders {
                programs: Path::new(PROGRAMS).exists().then_some(PROGRAMS),
                rosetta_cache: rosetta::cache_folder(),
            };
            bundle::edit_container(&mut description, &additions, folders);
        }
        Subject::Process { .. } => bundle::edit_environment(&mut description, &additions),
    }
    let text = serde_json::to_vec(&description)
        .map_err(|source| EditError::Json { path: path.display().to_string(), source })?;
    let mode = {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(&path)?.permissions().mode() & 0o777
    };
    trust::replace_file(&path, &text, mode)?;
    Ok(description)
}

fn read(path: &Path) -> Result<Value, EditError> {
    if fs::metadata(path)?.len() > LONGEST {
        return Err(EditError::Long { path: path.display().to_string() });
    }
    let text = fs::read(path)?;
    serde_json::from_slice(&text)
        .map_err(|source| EditError::Json { path: path.display().to_string(), source })
}
