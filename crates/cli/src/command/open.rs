//! `cove open`

use std::io::{Read, Seek};
use std::process::{Command, Stdio};
use std::time::Duration;

use api::control::Limits;
use api::{Environment, HomeLayout, Name, Problem, ProblemCode};
use client::Client;
use devcontainer_cli::terminal;
use host::editors::{self, Editor};
use serde::Serialize;

use super::{exec, ssh};
use crate::arguments::{OpenArguments, ProcessOptions, ShellArguments};
use crate::context::Context;
use crate::docker_context::DockerFiles;
use crate::editors::attached::{self, Customizations, Folders};
use crate::editors::{Target, address, extension, words_for};
use crate::failure::Failure;
use crate::select;
use crate::ssh::{OwnConfig, PersonsConfig, host_of};

/// How long an editor's program is watched for a failure; most hand over and end at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most that is told of what such a program said, in bytes.
const LONGEST: u64 = 8 << 10;
/// How long the daemon may take to tell what the configuration wants.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// What opens terminals, the person's choice first.
#[cfg(not(target_os = "macos"))]
const TERMINALS: [&str; 5] = ["x-terminal-emulator", "gnome-terminal", "konsole", "xfce4-terminal", "xterm"];

/// The result for programs.
#[derive(Debug, Serialize)]
struct Answer {
    editor: &'static str,
    address: String,
}

pub(super) async fn run(context: &Context, arguments: OpenArguments) -> Result<(), Failure> {
    let client = context.client().await?;
    let selected = select::environment(&client, arguments.environment.as_deref()).await?;
    // Asked for alone, it comes with what policies allow.
    let mut environment = client.environment(selected.id.as_str()).await?;
    let editor = choose(&context.home, arguments.editor, &environment)?;
    if arguments.print {
        let answer = Answer { editor: editor.word(), address: address(editor, &target(&environment)?) };
        return context.output.show(&answer, |_| answer.address.clone());
    }
    let program = match editor {
        Editor::Terminal => None,
        editor => Some(editor.program().ok_or_else(|| missing(editor))?),
    };
    environment = ssh::bring_up(context, &client, environment).await?;
    let target = target(&environment)?;
    if arguments.editor.is_some() {
        // That it is not remembered costs a word on the command line, and nothing else.
        let _ = editors::remember(&context.home.editor_file(), Some(editor));
    }
    let Some(program) = program else { return in_a_terminal(context, &environment).await };
    if editor.attaches() {
        DockerFiles::from_environment()?.point_at(&context.home.docker_socket())?;
        tell_editor(context, &client, editor, &target).await;
    } else {
        reachable_by_ssh(&context.home)?;
    }
    let mut command = Command::new(program);
    command.args(words_for(editor, &target));
    start(command, editor).await?;
    let answer = Answer { editor: editor.word(), address: address(editor, &target) };
    context
        .output
        .show(&answer, |paint| format!("Opening {} in {}", paint.bold(&target.environment), editor.title()))
}

/// The editor that opens, of those that policies allow. A terminal is none: it is the shell that `cove shell` gives.
///
/// Who can reach an environment by ssh can attach whatever they like: this is a rule that `cove` keeps for people who want
/// to keep it.
fn choose(
    home: &HomeLayout,
    named: Option<Editor>,
    environment: &Environment,
) -> Result<Editor, Box<Problem>> {
    let limits = environment.status.limits.clone().unwrap_or_default();
    let forbids =
        |editor: Editor| limits.forbids_editor(editor.word()).filter(|_| editor != Editor::Terminal);
    let name = &environment.metadata.name;
    if let Some((editor, among)) = named.and_then(|editor| Some((editor, forbids(editor)?))) {
        let title = format!("`{name}` is not opened in {}, says policy {}", editor.title(), among.policy);
        return Err(Box::new(with_allowed(Problem::new(ProblemCode::PolicyForbids, title), &limits, name)));
    }
    let remembered = editors::remembered(&home.editor_file());
    let chosen = editors::choose(named, remembered, |editor| forbids(editor).is_none());
    chosen.ok_or_else(|| {
        Box::new(if limits.editors.is_empty() {
            Problem::new(ProblemCode::EditorMissing, "no editor was found that can open an environment")
                .with_hint("install VS Code, Cursor, Windsurf, Zed or JetBrains Gateway")
                .with_command("or work in a terminal", "cove open --editor terminal")
        } else {
            let policies: Vec<&str> = limits.editors.iter().map(|among| among.policy.as_str()).collect();
            let title =
                format!("no editor that was found may open `{name}`, say policies {}", policies.join(", "));
            with_allowed(Problem::new(ProblemCode::PolicyForbids, title), &limits, name)
        })
    })
}

fn with_allowed(problem: Problem, limits: &Limits, environment: &Name) -> Problem {
    let allowed: Vec<&str> = limits.allowed_editors().into_iter().collect();
    let hint = if allowed.is_empty() {
        "there is no editor that all policies allow".to_owned()
    } else {
        format!("editors that are allowed: {}", allowed.join(", "))
    };
    problem.with_hint(hint).with_command("or work in a terminal", format!("cove shell {environment}"))
}

fn missing(editor: Editor) -> Problem {
    let title = format!("{} was not found", editor.title());
    let problem = Problem::new(ProblemCode::EditorMissing, title);
    let problem = match editor {
        Editor::Jetbrains => {
            problem.with_hint("install JetBrains Gateway, and put its command `gateway` into PATH")
        }
        _ => problem.with_hint(format!("install it, and put its command `{}` into PATH", editor.word())),
    };
    problem.with_command(
        "see what another program can be given",
        format!("cove open --editor {} --print", editor.word()),
    )
}

fn target(environment: &Environment) -> Result<Target, Problem> {
    let name = environment.metadata.name.as_str();
    let container = environment.status.container.as_ref().ok_or_else(|| {
        Problem::new(ProblemCode::NotRunning, format!("`{name}` has no container yet"))
            .with_command("bring it up", format!("cove start {name}"))
    })?;
    Ok(Target {
        environment: name.to_owned(),
        host: host_of(name),
        container: container.name.clone(),
        folder: container.workspace_folder.clone(),
        user: container.remote_user.clone(),
    })
}

/// Writes down what the configuration wants of the editor. Without it the environment opens all the same.
async fn tell_editor(context: &Context, client: &Client, editor: Editor, target: &Target) {
    let (Some(_), Some(folder)) = (extension(editor), attached::user_folder()) else { return };
    let tell = async {
        let told = client.customizations(&target.environment).await.map_err(|error| error.to_string())?;
        let wanted = told.0.get("vscode").map(|parts| Customizations::of(parts)).unwrap_or_default();
        let of_cove = context.home.editors_dir();
        let folders = Folders { of_editors: &folder, of_cove: &of_cove };
        attached::write(folders, editor, target, &wanted).map_err(|error| error.to_string())
    };
    let told = tokio::time::timeout(ANSWER_TIME, tell).await;
    if let Err(reason) = told.unwrap_or_else(|_| Err("the daemon did not answer in time".to_owned())) {
        context.output.note(&format!(
            "{} could not be told the configuration's extensions and settings: {reason}",
            editor.title()
        ));
    }
}

fn reachable_by_ssh(home: &HomeLayout) -> Result<(), Problem> {
    let own = OwnConfig::provide(home)?;
    let person = PersonsConfig::from_environment()?;
    if person.includes(&own.line()?)? {
        let overridden = own.overridden_in(&person.file);
        if overridden.is_empty() {
            return Ok(());
        }
        let title = format!(
            "the editor comes by ssh, and something in `{}` comes before what leads there",
            person.file
        );
        let mut problem = Problem::new(ProblemCode::SshConfig, title);
        problem.causes.extend(overridden.into_iter().map(|(option, value)| format!("{option} is {value}")));
        return Err(
            problem.with_command("let Cove's line be the first of the file", "cove ssh-config install")
        );
    }
    Err(Problem::new(
        ProblemCode::SshConfig,
        format!("the editor comes by ssh, and `{}` does not lead there yet", person.file),
    )
    .with_command("let it", "cove ssh-config install"))
}

/// Starts a program that goes on without us. One that fails soon is told of.
async fn start(mut command: Command, editor: Editor) -> Result<(), Failure> {
    let failed = |why: String| {
        let title = format!("{} could not be started", editor.title());
        Failure::from(Problem::new(ProblemCode::EditorMissing, title).with_hint(why))
    };
    let run = async {
        // A file without a name, and no pipe: whatever it says later would end it, once nobody reads any more.
        let mut said = tempfile::tempfile()?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
        let mut child = tokio::process::Command::from(command).spawn()?;
        let ended = tokio::time::timeout(PATIENCE, child.wait()).await.ok().transpose()?;
        // One that runs on is an editor that is open.
        if ended.is_none_or(|status| status.success()) {
            return std::io::Result::Ok(None);
        }
        let mut words = Vec::new();
        said.rewind()?;
        said.take(LONGEST).read_to_end(&mut words)?;
        Ok(Some(words))
    };
    match run.await.map_err(|error| failed(error.to_string()))? {
        Some(words) => {
            let said = String::from_utf8_lossy(&words);
            Err(failed(format!("it said: {}", crate::text::harmless(said.trim()))))
        }
        None => Ok(()),
    }
}

async fn in_a_terminal(context: &Context, environment: &Environment) -> Result<(), Failure> {
    let name = environment.metadata.name.to_string();
    if terminal::is_interactive() {
        let process = ProcessOptions::default();
        return exec::shell(context, ShellArguments { environment: Some(name), process }).await;
    }
    let command = new_terminal(&name)?;
    start(command, Editor::Terminal).await
}

/// A terminal of its own with a shell in the environment.
#[cfg(not(target_os = "macos"))]
fn new_terminal(environment: &str) -> Result<Command, Problem> {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = TERMINALS.iter().find_map(|name| {
        let mut files = path.split(':').map(|folder| camino::Utf8Path::new(folder).join(name));
        files.find(|file| file.is_file())
    });
    let program = found.ok_or_else(|| {
        Problem::new(ProblemCode::EditorMissing, "there is no terminal here, and no program that opens one")
            .with_command("in a terminal", format!("cove shell {environment}"))
    })?;
    let option = before_command(program.file_name().unwrap_or_default());
    let mut command = Command::new(program);
    command.arg(option).args(own_shell(environment));
    Ok(command)
}

/// The option of a terminal's behind which all words are the command's.
#[cfg(not(target_os = "macos"))]
fn before_command(terminal: &str) -> &'static str {
    match terminal {
        "gnome-terminal" => "--",
        // Its `-e` takes one word alone.
        "xfce4-terminal" => "-x",
        _ => "-e",
    }
}

/// A window of Terminal's with a shell in the environment.
#[cfg(target_os = "macos")]
#[expect(clippy::unnecessary_wraps, reason = "on Linux there may be no such program")]
fn new_terminal(environment: &str) -> Result<Command, Problem> {
    let script = terminal_script(&own_shell(environment));
    let mut command = Command::new("osascript");
    command.args(["-e", "tell application \"Terminal\" to activate", "-e", &script]);
    Ok(command)
}

/// The AppleScript that has Terminal run a command: words within a shell's quotes, within AppleScript's.
#[cfg(any(target_os = "macos", test))]
fn terminal_script(words: &[String]) -> String {
    let for_shell: Vec<_> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    let for_script = for_shell.join(" ").replace('\\', "\\\\").replace('"', "\\\"");
    format!("tell application \"Terminal\" to do script \"{for_script}\"")
}

fn own_shell(environment: &str) -> [String; 3] {
    let own = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    [own.unwrap_or_else(|| "cove".to_owned()), "shell".to_owned(), environment.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It says something when nobody is there to hear it any more, and goes on.
    #[tokio::test]
    async fn what_a_program_says_later_does_not_end_it() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("on");
        let script = format!("sleep {}; echo warning >&2; echo > \"$0\"", PATIENCE.as_secs() + 1);
        let mut command = Command::new("sh");
        command.args(["-c", &script]).arg(&file);
        start(command, Editor::Terminal).await.unwrap();
        let gone_on = async {
            while !file.exists() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone_on).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_program_says_that_fails_is_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no display >&2; exit 3"]);
        let Err(Failure::Problem(problem)) = start(command, Editor::Terminal).await else { panic!() };
        assert_eq!(problem.hints[0].text, "it said: no display");
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn all_words_are_the_commands_in_every_terminal() {
        let options = TERMINALS.map(before_command);
        assert_eq!(options, ["-e", "--", "-e", "-x", "-e"], "{TERMINALS:?}");
    }

    /// Takes AppleScript's quotes away, as Terminal gets the command.
    fn command_of(script: &str) -> String {
        let text = script.strip_prefix("tell application \"Terminal\" to do script \"").unwrap();
        let text = text.strip_suffix('"').unwrap();
        let (mut command, mut letters) = (String::new(), text.chars());
        while let Some(letter) = letters.next() {
            assert_ne!(letter, '"', "the text ends before its end: {script}");
            command.push(if letter == '\\' { letters.next().unwrap() } else { letter });
        }
        command
    }

    /// Asks a real shell which words it got.
    #[test]
    fn a_terminal_on_a_mac_runs_the_very_words() {
        for words in [
            &["/Applications/Cove.app/Contents/MacOS/cove", "shell", "web"][..],
            &["/Users/o'neil/my \"own\" tools\\cove", "shell", "web"],
            &["$(touch x)`touch y`", "a;b & c", "", "\\'\\\"", "!$HOME"],
        ] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let line = format!("printf '%s\\n' {}", command_of(&terminal_script(&words)));
            let said = Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), format!("{}\n", words.join("\n")));
        }
    }
}
