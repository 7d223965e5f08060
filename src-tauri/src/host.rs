//! What each system has its own way for: terminals, login, and the place of the app among others.

#[cfg(not(target_os = "macos"))]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::io;
use std::process::Stdio;

use api::{ErrorBody, Name, Problem, ProblemCode};
use auto_launch::AutoLaunchBuilder;
use camino::Utf8PathBuf;
use tokio::io::AsyncReadExt;

use crate::menu::CoveCommand;
use crate::snapshot::Host;

#[cfg(not(target_os = "macos"))]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

pub(crate) use system::{
    ICON_COLOUR, RENAMES_SUBMENUS, dress_window, heard, pick_folder, settle, unusable, window_closed,
    window_opens,
};

/// Most that is read of what `cove open` says of a failure, in bytes.
const LONGEST_FAILURE: u64 = 256 << 10;

/// What this computer offers.
pub(crate) fn look() -> Host {
    let starts_at_login = system::login().ok().and_then(|login| login.is_enabled().ok());
    Host { terminal: system::has_terminal(), starts_at_login }
}

/// Lets the app start at login, or no longer.
///
/// # Errors
/// What the system says.
pub(crate) fn set_start_at_login(wanted: bool) -> io::Result<()> {
    let login = system::login()?;
    let set = if wanted { login.enable() } else { login.disable() };
    set.map_err(io::Error::other)
}

/// Runs a command of `cove` in a new window of a terminal.
///
/// # Errors
/// What the system says.
pub(crate) fn open_terminal(command: &CoveCommand) -> io::Result<()> {
    system::open_terminal(&script(command))
}

/// Opens an environment in the person's editor, as `cove open` does, and answers once that has handed over.
///
/// # Errors
/// What `cove open` says of it.
pub(crate) async fn open_in_editor(environment: &str) -> Result<(), Problem> {
    // Names are plain words; so nothing of it is taken for an option.
    let name = Name::parse(environment)
        .map_err(|error| Problem::new(ProblemCode::InvalidRequest, error.to_string()))?;
    let failed = |error: io::Error| {
        Problem::new(ProblemCode::Internal, format!("`cove open {name}` could not be run")).caused_by(&error)
    };
    let mut command = tokio::process::Command::new(cove());
    command.args(["open", "--json", "--quiet", name.as_str()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut said = Vec::new();
    if let Some(errors) = child.stderr.take() {
        errors.take(LONGEST_FAILURE).read_to_end(&mut said).await.map_err(failed)?;
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() { Ok(()) } else { Err(failure_of(&name, &said)) }
}

/// The problem that a failed command told, or told in words.
fn failure_of(name: &Name, said: &[u8]) -> Problem {
    let text = String::from_utf8_lossy(said);
    // Warnings come before it, in lines of their own.
    let json = text.find("{\n").and_then(|at| serde_json::from_str::<ErrorBody>(&text[at..]).ok());
    json.map_or_else(
        || {
            let lines = text.lines().map(str::to_owned).collect();
            Problem::new(ProblemCode::Internal, format!("`cove open {name}` failed")).with_log(lines)
        },
        |body| body.problem,
    )
}

/// The app, for a list of what starts at login.
fn login_item(program: &std::path::Path) -> AutoLaunchBuilder {
    let mut item = AutoLaunchBuilder::new();
    item.set_app_name("Cove").set_app_path(&program.to_string_lossy());
    item
}

/// Lines for a shell that run the command, and keep the window for who wants to read what it said.
fn script(command: &CoveCommand) -> String {
    let words = [cove().as_str()].into_iter().chain(command.arguments()).map(quoted).collect::<Vec<_>>();
    let stays = match command {
        CoveCommand::Shell(_) => "[ $status -eq 0 ] || ",
        CoveCommand::Logs(_) | CoveCommand::Show(_) => "",
    };
    let home = std::env::var("COVE_HOME").ok().filter(|home| !home.is_empty());
    let home = home.map(|home| format!("export COVE_HOME={}\n", quoted(&home))).unwrap_or_default();
    format!(
        "{home}{}\nstatus=$?\n{stays}{{ printf '\\nPress Return to close. '; read -r _; }}\nexit $status\n",
        words.join(" ")
    )
}

/// The command line: beside this program, else whatever `PATH` finds.
fn cove() -> Utf8PathBuf {
    let own = std::env::current_exe().ok().and_then(|own| Utf8PathBuf::from_path_buf(own).ok());
    let beside = own.map(|own| own.with_file_name("cove")).filter(|path| path.is_file());
    beside.unwrap_or_else(|| "cove".into())
}

/// One word for a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_word_reaches_the_shell_as_it_is() {
        for word in ["/home/ada/it's $HOME", "a b", "`id`", "\\", "", "-n"] {
            let line = format!("printf %s {}", quoted(word));
            let said = Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), word);
        }
    }

    #[test]
    fn a_window_stays_for_what_is_to_be_read() {
        let logs = script(&CoveCommand::Logs(api::Name::from_text("web")));
        assert!(logs.contains("'logs' '--follow' 'web'\nstatus=$?\n{ printf"), "{logs}");
        let shell = script(&CoveCommand::Shell(api::Name::from_text("web")));
        assert!(shell.contains("'shell' 'web'\nstatus=$?\n[ $status -eq 0 ] || {"), "{shell}");
    }

    #[test]
    fn what_a_command_said_of_its_failure_is_told() {
        let name = Name::from_text("web");
        let told = Problem::new(ProblemCode::EditorMissing, "no editor was found");
        let body = serde_json::to_string_pretty(&ErrorBody { problem: told.clone() }).unwrap();
        assert_eq!(failure_of(&name, format!("a note {{}}\n{body}\n").as_bytes()), told);
        let odd = failure_of(&name, b"killed\n{\n");
        assert_eq!((odd.title.as_str(), odd.log_tail.len()), ("`cove open web` failed", 2));
    }
}
