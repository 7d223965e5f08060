//! Building images with BuildKit, through `docker buildx build`.

mod rawjson;
mod user;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use devcontainer::Build;

pub use user::{UserMove, plan_user_move};

use crate::connect::Engine;
use crate::containers::{ENVIRONMENT_LABEL, Identity, resource_name};
use crate::error::{EngineError, says_no_space};
use crate::progress::{Lines, Progress, Tail};
use crate::tools::{Channel, ToolCommand};
use rawjson::{FailedStep, Follower};

/// An image to build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildSpec {
    /// The folder that `COPY` sees, as the engine's host names it.
    pub context: Utf8PathBuf,
    /// Where the Dockerfile is.
    pub dockerfile: Dockerfile,
    /// The stage to build; the last one without it.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Images to take cached layers from.
    pub cache_from: Vec<String>,
    /// More arguments for `docker build`, as a person wrote them.
    pub options: Vec<String>,
    /// Whether to build every step again.
    pub no_cache: bool,
    /// Labels for the image.
    pub labels: BTreeMap<String, String>,
    /// The image's name.
    pub tag: String,
}

/// Where a Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dockerfile {
    /// In a file, as the engine's host names it.
    File(Utf8PathBuf),
    /// Here; the build has no context then.
    Text(String),
}

impl Default for Dockerfile {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

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

/// Computes the build of a configuration's image. `digest` is that of the configuration; a changed one gives
/// the image another name, so that a running container keeps the image it was made of.
pub fn plan_build(build: &Build, identity: &Identity, digest: &str) -> BuildSpec {
    BuildSpec {
        context: build.context.clone(),
        dockerfile: Dockerfile::File(build.dockerfile.clone()),
        target: build.target.clone(),
        args: build.args.clone(),
        cache_from: build.cache_from.clone(),
        options: build.options.clone(),
        no_cache: false,
        labels: BTreeMap::from([(ENVIRONMENT_LABEL.to_owned(), identity.environment.clone())]),
        tag: image_tag(identity, digest),
    }
}

/// The name of the image that an environment builds: `cove-<id>:<start of the digest>`.
pub(crate) fn image_tag(identity: &Identity, digest: &str) -> String {
    let digest: String = digest.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("cove-{}:{digest}", resource_name(&identity.environment))
}

impl Engine {
    /// Builds an image and gives its id. Every step, its log and its bytes go to `progress`. Dropping the
    /// future ends the build.
    pub async fn build(&self, spec: &BuildSpec, progress: &dyn Progress) -> Result<String, BuildError> {
        let operation = format!("build `{}`", spec.tag);
        let lost = |source| Engine::tool_failed(&operation, source);
        let mut running = self.tools.run(build_command(spec)).await.map_err(lost)?;
        let mut follower = Follower::default();
        let (mut news, mut said) = (Lines::default(), Tail::default());
        let mut words = String::new();
        while let Some((channel, piece)) = running.next_output().await.map_err(lost)? {
            // The news comes on standard error, among it what the command says in plain words.
            if channel == Channel::Err {
                for line in news.push(&piece) {
                    if !follower.read(&line, progress) {
                        note(&line, &mut words, &mut said);
                    }
                }
            }
        }
        if let Some(line) = news.finish()
            && !follower.read(&line, progress)
        {
            note(&line, &mut words, &mut said);
        }
        let code = running.wait().await.map_err(lost)?;
        if code != 0 {
            return Err(self.build_error(spec, &operation, follower.failed(), &words, said));
        }
        let built = self.image(&spec.tag).await?;
        let missing = "the builder succeeded, but the engine does not have the image";
        Ok(built.ok_or_else(|| EngineError::from_message(&operation, None, missing))?.id)
    }

    fn build_error(
        &self,
        spec: &BuildSpec,
        operation: &str,
        step: Option<FailedStep>,
        words: &str,
        said: Tail,
    ) -> BuildError {
        let dockerfile = match &spec.dockerfile {
            Dockerfile::File(path) => path.clone(),
            Dockerfile::Text(_) => Utf8PathBuf::from("Dockerfile"),
        };
        let message = final_message(words);
        let line = marked_line(words);
        if says_no_space(words) || words.contains("Cannot connect to the Docker daemon") {
            return self.tool_said(operation, message).into();
        }
        match step {
            // Reading the Dockerfile and looking up images are steps too, with names of their own.
            Some(step) if !step.name.starts_with("[internal]") && !step.is_image_lookup() => {
                BuildError::StepFailed {
                    dockerfile,
                    step: step.name,
                    line,
                    exit_code: exit_code(&step.error),
                    message,
                    log_tail: step.log_tail,
                }
            }
            _ => BuildError::Invalid { dockerfile, line, message, log_tail: said.into_lines() },
        }
    }
}

/// Keeps a line that is not news: it belongs to the error that is to come.
fn note(line: &str, words: &mut String, said: &mut Tail) {
    words.push_str(line);
    words.push('\n');
    said.push(line);
}

/// The command that builds.
///
/// Values of build arguments stay out of the arguments of the process, which everybody on the engine's host
/// may read: the command takes them from its environment. Variables that mean something to the command
/// itself cannot go that way.
fn build_command(spec: &BuildSpec) -> ToolCommand {
    let mut command = ToolCommand::new(["docker", "buildx", "build", "--progress", "rawjson", "--load"]);
    let argv = &mut command.argv;
    let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
    option("--tag", spec.tag.clone());
    for (name, value) in &spec.labels {
        option("--label", format!("{name}={value}"));
    }
    for (name, value) in &spec.args {
        if means_something_to_the_command(name) {
            option("--build-arg", format!("{name}={value}"));
        } else {
            option("--build-arg", name.clone());
            command.env.insert(name.clone(), value.clone());
        }
    }
    for image in &spec.cache_from {
        option("--cache-from", image.clone());
    }
    if let Some(target) = &spec.target {
        option("--target", target.clone());
    }
    if spec.no_cache {
        argv.push("--no-cache".to_owned());
    }
    argv.extend(spec.options.iter().cloned());
    match &spec.dockerfile {
        Dockerfile::File(path) => {
            argv.extend(["--file".to_owned(), path.to_string(), spec.context.to_string()]);
        }
        Dockerfile::Text(text) => {
            argv.push("-".to_owned());
            command.stdin = Some(text.clone().into_bytes());
        }
    }
    command
}

/// Whether `docker`, the Go runtime or the loader under them read a variable of this name.
fn means_something_to_the_command(name: &str) -> bool {
    const PREFIXES: [&str; 9] =
        ["DOCKER_", "BUILDX_", "BUILDKIT_", "COMPOSE_", "LD_", "GO", "SSL_CERT_", "XDG_", "OTEL_"];
    const NAMES: [&str; 6] = ["PATH", "HOME", "TMPDIR", "PWD", "TERM", "SOURCE_DATE_EPOCH"];
    let upper = name.to_ascii_uppercase();
    NAMES.contains(&upper.as_str())
        || upper.ends_with("_PROXY")
        || PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
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
    fn values_of_arguments_stay_out_of_the_command_line() {
        let args = [("TOKEN", "s3cret\n"), ("PATH", "/x"), ("http_proxy", "http://p")];
        let spec = BuildSpec {
            context: "/src".into(),
            dockerfile: Dockerfile::File("/src/Dockerfile".into()),
            args: args.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            target: Some("dev".into()),
            options: vec!["--network=host".into()],
            tag: "cove-e:1".into(),
            ..BuildSpec::default()
        };
        let command = build_command(&spec);
        assert_eq!(
            command.argv.join(" "),
            "docker buildx build --progress rawjson --load --tag cove-e:1 --build-arg PATH=/x --build-arg TOKEN \
             --build-arg http_proxy=http://p --target dev --network=host --file /src/Dockerfile /src"
        );
        assert_eq!(command.env, BTreeMap::from([("TOKEN".to_owned(), "s3cret\n".to_owned())]));
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
