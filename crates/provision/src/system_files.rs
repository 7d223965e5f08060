//! Makes logins by other ways than the engine (`sshd`, `su -`) see the container's variables.
//!
//! As the reference does it: the variables go to `/etc/environment` once, and `/etc/profile` keeps a `PATH` that is set
//! instead of replacing it. Marks in the system's data folder tell that it was done.

use std::collections::BTreeMap;

use engine::{ContainerState, Engine};

use crate::shell::{Shell, ShellError};

/// The system's data folder unless a person says otherwise.
const SYSTEM_FOLDER: &str = "/var/devcontainer";

/// The marks of the two files.
const MARKS: [&str; 2] = [".patchEtcEnvironmentMarker", ".patchEtcProfileMarker"];

/// Makes a mark and does the work if it was not there. `$1` is the mark, `$2` what is appended to `/etc/environment`.
const PATCH: &str = r#"set -C
once() { [ ! -e "$1" ] && mkdir -p "${1%/*}" && { : > "$1"; } 2>/dev/null; }
if once "$1/.patchEtcEnvironmentMarker"; then printf '%s' "$2" >> /etc/environment; fi
if once "$1/.patchEtcProfileMarker" && [ -f /etc/profile ]; then
  sed -i -E 's/((^|[[:space:]])PATH=)([^$]*)$/\1${PATH:-\3}/g' /etc/profile
fi
:"#;

/// Patches the files of a running container unless that was done before. `folder` is the system's data folder.
///
/// Fails where there is no root or no place for the marks; the container is of use without.
pub async fn patch(engine: &Engine, state: &ContainerState, folder: Option<&str>) -> Result<(), ShellError> {
    let folder = folder.unwrap_or(SYSTEM_FOLDER);
    // Looking costs less than starting a shell.
    if let Ok(Some(files)) = engine.files_of_container(&state.id, folder).await
        && MARKS.iter().all(|mark| files.contains_key(*mark))
    {
        return Ok(());
    }
    let shell = Shell::new(engine, &state.id, "root");
    let lines = environment_lines(&state.env);
    shell.run(PATCH, &[folder, &lines]).await.map(drop)
}

/// The lines for `/etc/environment`. A value with a line end would begin another entry, and cannot be said there.
fn environment_lines(env: &BTreeMap<String, String>) -> String {
    let lines = env.iter().filter(|(_, value)| !value.contains(['\n', '\r']));
    lines.fold("\n".to_owned(), |text, (name, value)| format!("{text}{name}=\"{value}\"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_makes_an_entry_of_its_own() {
        let env = [("A", "1 2"), ("B", "x\nLD_PRELOAD=/evil"), ("PATH", "/a:/b")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(environment_lines(&env), "\nA=\"1 2\"\nPATH=\"/a:/b\"\n");
    }
}
