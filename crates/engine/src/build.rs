//! Building images with BuildKit, through `docker buildx build`.

mod archive;
mod beside;
mod command;
mod rawjson;
mod spec;
mod user;

use camino::Utf8PathBuf;

pub use spec::{
    BuildContext, BuildOutput, BuildSecret, BuildSpec, ContextFiles, Dockerfile, image_tag,
    label_instruction, plan_build,
};
pub use user::{UserMove, plan_user_move};

use crate::connect::Engine;
use crate::error::{EngineError, says_no_space};
use crate::progress::{Lines, Progress, Tail};
use crate::tools::{Channel, ToolCommand, ToolError, run_to_end};
use beside::Beside;
use command::build_command;
use rawjson::{FailedStep, Follower};

/// An image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A step of the Dockerfile failed.
    #[error("the build of `{dockerfile}` failed{} at: {step}{}", line_words(*line), status_words(*exit_code))]
    StepFailed {
        /// The Dockerfile.
        dockerfile: Utf8PathBuf,
        /// The step, as BuildKit names it.
        step: String,
        /// Its line in the Dockerfile, from 1.
        line: Option<u32>,
        /// The exit status of its command, when it was a command that failed.
        exit_code: Option<i32>,
        /// The builder's words.
        message: String,
        /// The last lines that the step said.
        log_tail: Vec<String>,
    },
    /// The build did not get as far as a step: the Dockerfile cannot be read or understood, an image it
    /// starts from cannot be had, or an argument is wrong.
    #[error("could not build `{dockerfile}`{}: {message}", line_words(*line))]
    Invalid {
        /// The Dockerfile.
        dockerfile: Utf8PathBuf,
        /// The line that is at fault, from 1.
        line: Option<u32>,
        /// The builder's words.
        message: String,
        /// The last lines that the builder said.
        log_tail: Vec<String>,
    },
    /// The `docker` command has no builder.
    #[error(
        "`docker` lacks its plugin `buildx` (0.13 or newer), without which no image can be built: install the \
         package `docker-buildx-plugin` of Docker, or `docker-buildx` of the distribution"
    )]
    NoBuildx,
    /// A label is too long for an argument of a process, and the image goes where nothing can be put on top.
    #[error("the label `{name}` is too long for an image that does not go into the engine")]
    LabelTooLong {
        /// The label.
        name: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

fn line_words(line: Option<u32>) -> String {
    line.map(|line| format!(" in line {line}")).unwrap_or_default()
}

fn status_words(code: Option<i32>) -> String {
    code.map(|code| format!(" (exit status {code})")).unwrap_or_default()
}

/// How a build command ended.
struct Ended {
    code: i32,
    follower: Follower,
    /// Everything that was no news of a step.
    words: String,
    /// The last lines of it.
    said: Tail,
}

impl Engine {
    /// Builds an image. Gives its id, or `None` where it went elsewhere than into the engine. Every step, its
    /// log and its bytes go to `progress`. Dropping the future ends the build.
    pub async fn build(
        &self,
        spec: &BuildSpec,
        progress: &dyn Progress,
    ) -> Result<Option<String>, BuildError> {
        let name = spec.tags.first().map_or("an image", String::as_str);
        let operation = format!("build `{name}`");
        let lost = |source| Engine::tool_failed(&operation, source);
        let unpacked = |source| lost(ToolError::PutFile { path: "the files of a build".into(), source });
        let built = build_command(spec, "rawjson", &self.builder).map_err(unpacked)?;
        let on_top = built.labels_on_top.clone();
        if let Some((name, _)) = on_top.first()
            && spec.output != BuildOutput::Engine
        {
            return Err(BuildError::LabelTooLong { name: name.clone() });
        }
        let ended = if built.beside.is_empty() {
            self.follow_build(built.command, &operation, progress).await?
        } else {
            let beside = Beside::put(&self.tools, &built.beside).await.map_err(lost)?;
            let command = built.with_folder(beside.folder());
            let ended = self.follow_build(command, &operation, progress).await;
            beside.remove().await;
            ended?
        };
        if ended.code != 0 {
            let error = self.build_error(spec, &operation, ended);
            return Err(self.or_no_buildx(error).await);
        }
        if !on_top.is_empty() {
            return self.label_on_top(spec, &on_top, progress).await;
        }
        if spec.output != BuildOutput::Engine {
            return Ok(None);
        }
        let found = self.image(name).await?;
        let missing = "the builder succeeded, but the engine does not have the image";
        Ok(Some(found.ok_or_else(|| EngineError::from_message(&operation, None, missing))?.id))
    }

    /// Follows a build command to its end.
    async fn follow_build(
        &self,
        command: ToolCommand,
        operation: &str,
        progress: &dyn Progress,
    ) -> Result<Ended, EngineError> {
        let lost = |source| Engine::tool_failed(operation, source);
        let mut running = self.tools.run(command).await.map_err(lost)?;
        let mut ended =
            Ended { code: 0, follower: Follower::default(), words: String::new(), said: Tail::default() };
        let mut news = Lines::default();
        while let Some((channel, piece)) = running.next_output().await.map_err(lost)? {
            // The news comes on standard error, among it what the command says in plain words.
            if channel == Channel::Err {
                news.push(&piece).iter().for_each(|line| ended.take(line, progress));
            }
        }
        news.finish().iter().for_each(|line| ended.take(line, progress));
        ended.code = running.wait().await.map_err(lost)?;
        Ok(ended)
    }

    /// Puts labels that no argument can hold on an image that was just built.
    async fn label_on_top(
        &self,
        spec: &BuildSpec,
        labels: &[(String, String)],
        progress: &dyn Progress,
    ) -> Result<Option<String>, BuildError> {
        let mut text = format!("FROM {}\n", spec.tags.first().map_or("", String::as_str));
        for (name, value) in labels {
            let line = label_instruction(name, value);
            text += &line.ok_or_else(|| BuildError::LabelTooLong { name: name.clone() })?;
        }
        let dockerfile = Dockerfile::Text(text);
        let platforms = spec.platforms.clone();
        let spec = BuildSpec { dockerfile, platforms, tags: spec.tags.clone(), ..BuildSpec::default() };
        Box::pin(self.build(&spec, progress)).await
    }

    /// A `docker` without its builder answers with whatever it thinks of the first argument that it does not know.
    async fn or_no_buildx(&self, error: BuildError) -> BuildError {
        if !matches!(error, BuildError::Invalid { .. }) {
            return error;
        }
        let asked = run_to_end(&*self.tools, ToolCommand::new(["docker", "buildx", "version"])).await;
        let knows_news = |output: &[u8]| buildx_is_new_enough(&String::from_utf8_lossy(output));
        match asked {
            Ok(output) if output.code == 0 && knows_news(&output.stdout) => error,
            _ => BuildError::NoBuildx,
        }
    }

    fn build_error(&self, spec: &BuildSpec, operation: &str, ended: Ended) -> BuildError {
        let dockerfile = match &spec.dockerfile {
            Dockerfile::File(path) => path.clone(),
            Dockerfile::Text(_) => Utf8PathBuf::from("Dockerfile"),
        };
        let message = final_message(&ended.words);
        let line = marked_line(&ended.words);
        if says_no_space(&ended.words) || ended.words.contains("Cannot connect to the Docker daemon") {
            return self.tool_said(operation, message).into();
        }
        match ended.follower.failed() {
            // Reading the Dockerfile and looking up images are steps too, with names of their own.
            Some(step) if is_of_the_dockerfile(&step) => BuildError::StepFailed {
                dockerfile,
                step: step.name,
                line,
                exit_code: exit_code(&step.error),
                message,
                log_tail: step.log_tail,
            },
            _ => BuildError::Invalid { dockerfile, line, message, log_tail: ended.said.into_lines() },
        }
    }
}

fn is_of_the_dockerfile(step: &FailedStep) -> bool {
    !step.name.starts_with("[internal]") && !step.is_image_lookup()
}

impl Ended {
    /// Takes a line: news of a step, or words that belong to the error that is to come.
    fn take(&mut self, line: &str, progress: &dyn Progress) {
        if !self.follower.read(line, progress) {
            self.words.push_str(line);
            self.words.push('\n');
            self.said.push(line);
        }
    }
}

/// Whether the builder can tell its steps as data, as 0.13 and newer can. `github.com/docker/buildx 0.13.1+ds1 …`.
fn buildx_is_new_enough(said: &str) -> bool {
    let version = said.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (0, 13),
        // One built by hand may not know its version.
        _ => true,
    }
}

/// What the builder says last: `ERROR: failed to solve: …`.
fn final_message(words: &str) -> String {
    let last = words.lines().rev().find_map(|line| line.strip_prefix("ERROR: "));
    // Of mistakes in its arguments the command speaks plainly, and gives advice after the first line.
    let last = last.or_else(|| words.lines().find(|line| !line.trim().is_empty())).unwrap_or("no word why");
    last.strip_prefix("failed to solve: ").unwrap_or(last).trim().to_owned()
}

/// The line that the builder marks in its excerpt of the Dockerfile, else the one that its message names.
fn marked_line(words: &str) -> Option<u32> {
    let marked = words.lines().find_map(|line| {
        let (number, rest) = line.split_once('|')?;
        rest.trim_start().starts_with(">>>").then(|| number.trim().parse().ok()).flatten()
    });
    marked.or_else(|| {
        let (_, after) = words.split_once("parse error on line ")?;
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    })
}

/// `process "…" did not complete successfully: exit code: 7`.
fn exit_code(message: &str) -> Option<i32> {
    let (_, after) = message.rsplit_once("exit code: ")?;
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_builder_is_told_from_a_new_one() {
        for (said, expected) in [
            ("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3", true),
            ("github.com/docker/buildx v0.12.5 abc", false),
            ("github.com/docker/buildx v1.2.0-rc1 abc", true),
            ("github.com/docker/buildx unknown", true),
        ] {
            assert_eq!(buildx_is_new_enough(said), expected, "{said}");
        }
    }

    #[test]
    fn the_place_of_a_failure_is_found() {
        let words = "Dockerfile:3\n--------------------\n   1 |     FROM a\n   3 | >>> RUN false\n--------------------\n\
                     ERROR: failed to solve: process \"/bin/sh -c false\" did not complete successfully: exit code: 42\n";
        assert_eq!((marked_line(words), exit_code(words)), (Some(3), Some(42)));
        assert!(final_message(words).starts_with("process \"/bin/sh -c false\""));
        let words = "ERROR: failed to solve: dockerfile parse error on line 12: unknown instruction: FOO\n";
        assert_eq!((marked_line(words), exit_code(words)), (Some(12), None));
    }
}
