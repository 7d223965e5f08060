//! Writes a [`BuildSpec`] as a `docker buildx build` command. Pure.

use std::io;

use camino::Utf8Path;

use super::spec::{
    BuildContext, BuildOutput, BuildSecret, BuildSpec, ContextFiles, Dockerfile, label_instruction,
};
use crate::tools::ToolCommand;

/// The longest value that goes into an argument or a variable of a process: the kernel takes 128 KiB for each.
const LONGEST_ARGUMENT: usize = 100_000;

/// The name of a Dockerfile that is put among the files of a context in memory.
const DOCKERFILE: &str = ".cove.Dockerfile";

/// A build as a command, and the files that have to lie beside it first.
#[derive(Debug, Default)]
pub(super) struct BuildCommand {
    /// The command. Paths that begin with [`BESIDE`] are in the folder where the files beside it lie.
    pub(super) command: ToolCommand,
    /// Files that the command needs, in folders by name.
    pub(super) beside: ContextFiles,
    /// Labels too long for an argument and not in the Dockerfile: they take an image on top.
    pub(super) labels_on_top: Vec<(String, String)>,
}

/// Stands in the arguments for the folder of the files beside the command, until that folder is there.
const BESIDE: &str = "\u{1}beside\u{1}";

impl BuildCommand {
    /// The command with the folder's name in it.
    pub(super) fn with_folder(mut self, folder: &Utf8Path) -> ToolCommand {
        for argument in &mut self.command.argv {
            *argument = argument.replace(BESIDE, folder.as_str());
        }
        self.command
    }
}

/// The command that builds; `progress` is how it tells its progress. What the engine itself is to have is built by
/// `engine_builder`, the builder in the engine: any other, which a person may have chosen for publishing, does not see
/// the images that the engine has, and ours are built upon each other.
///
/// Values of build arguments stay out of the arguments of the process, which everybody on the engine's host
/// may read: the command takes them from its environment. Variables that mean something to the command
/// itself cannot go that way. Secrets go through the environment or a private file.
///
/// # Errors
/// A file of a context in memory has a path that leaves the context.
pub(super) fn build_command(
    spec: &BuildSpec,
    progress: &str,
    engine_builder: &str,
) -> io::Result<BuildCommand> {
    let mut built = BuildCommand {
        command: ToolCommand::new(["docker", "buildx", "build", "--progress", progress]),
        ..BuildCommand::default()
    };
    match &spec.output {
        BuildOutput::Engine => {
            built.flag("--load");
            built.option("--builder", engine_builder);
        }
        BuildOutput::Push => built.flag("--push"),
        BuildOutput::Other(output) => built.option("--output", output),
    }
    for tag in &spec.tags {
        built.option("--tag", tag);
    }
    if !spec.platforms.is_empty() {
        built.option("--platform", &spec.platforms.join(","));
    }
    let mut dockerfile = spec.dockerfile.clone();
    built.add_labels(spec, &mut dockerfile);
    built.add_arguments(spec);
    built.add_secrets(spec);
    for cache in &spec.cache_from {
        built.option("--cache-from", cache);
    }
    for cache in &spec.cache_to {
        built.option("--cache-to", cache);
    }
    if let Some(target) = &spec.target {
        built.option("--target", target);
    }
    for (wanted, flag) in [(spec.no_cache, "--no-cache"), (spec.pull, "--pull")] {
        if wanted {
            built.flag(flag);
        }
    }
    for (index, (name, context)) in spec.contexts.iter().enumerate() {
        let place = built.place(&format!("context{index}"), context);
        built.option("--build-context", &format!("{name}={place}"));
    }
    built.command.argv.extend(spec.options.iter().cloned());
    built.add_context(&spec.context, &dockerfile)?;
    Ok(built)
}

impl BuildCommand {
    fn flag(&mut self, flag: &str) {
        self.command.argv.push(flag.to_owned());
    }

    fn option(&mut self, name: &str, value: &str) {
        self.command.argv.extend([name.to_owned(), value.to_owned()]);
    }

    fn add_labels(&mut self, spec: &BuildSpec, dockerfile: &mut Dockerfile) {
        for (name, value) in &spec.labels {
            if value.len() <= LONGEST_ARGUMENT {
                self.option("--label", &format!("{name}={value}"));
                continue;
            }
            match (&mut *dockerfile, label_instruction(name, value)) {
                // The last stage is the one that is built.
                (Dockerfile::Text(text), Some(line)) if spec.target.is_none() => {
                    text.push('\n');
                    text.push_str(&line);
                }
                _ => self.labels_on_top.push((name.clone(), value.clone())),
            }
        }
    }

    fn add_arguments(&mut self, spec: &BuildSpec) {
        for (name, value) in &spec.args {
            if means_something_to_the_command(name) || value.len() > LONGEST_ARGUMENT {
                self.option("--build-arg", &format!("{name}={value}"));
            } else {
                self.option("--build-arg", name);
                self.command.env.insert(name.clone(), value.clone());
            }
        }
    }

    fn add_secrets(&mut self, spec: &BuildSpec) {
        for (index, (id, secret)) in spec.secrets.iter().enumerate() {
            let source = match secret {
                BuildSecret::File(path) => format!("src={path}"),
                BuildSecret::Value(bytes) => {
                    if let Some(text) = text_for_a_variable(bytes) {
                        let variable = format!("COVE_BUILD_SECRET_{index}");
                        self.command.env.insert(variable.clone(), text);
                        format!("env={variable}")
                    } else {
                        let name = format!("secret{index}");
                        self.beside.insert(name.clone().into(), (0o600, bytes.clone()));
                        format!("src={BESIDE}/{name}")
                    }
                }
            };
            let fields = [format!("id={id}"), source].map(|field| csv_field(&field));
            self.option("--secret", &fields.join(","));
        }
    }

    /// How the builder is told of a context besides the main one.
    fn place(&mut self, name: &str, context: &BuildContext) -> String {
        match context {
            BuildContext::Folder(path) => path.to_string(),
            BuildContext::Address(address) => address.clone(),
            BuildContext::Empty | BuildContext::Files(_) => {
                // A folder that is empty is made by a file that is not in the way.
                self.beside
                    .insert(format!("{name}/.dockerignore").into(), (0o644, b".dockerignore\n".to_vec()));
                if let BuildContext::Files(files) = context {
                    let files =
                        files.iter().map(|(path, file)| (format!("{name}/{path}").into(), file.clone()));
                    self.beside.extend(files);
                }
                format!("{BESIDE}/{name}")
            }
        }
    }

    fn add_context(&mut self, context: &BuildContext, dockerfile: &Dockerfile) -> io::Result<()> {
        match (context, dockerfile) {
            (BuildContext::Empty, Dockerfile::Text(text)) => {
                self.flag("-");
                self.command.stdin = Some(text.clone().into_bytes());
            }
            (BuildContext::Files(files), Dockerfile::Text(text)) => {
                let mut files = files.clone();
                files.insert(DOCKERFILE.into(), (0o644, text.clone().into_bytes()));
                self.option("--file", DOCKERFILE);
                self.flag("-");
                self.command.stdin = Some(super::archive::pack(&files)?);
            }
            (context, Dockerfile::Text(text)) => {
                self.option("--file", "-");
                self.command.stdin = Some(text.clone().into_bytes());
                let place = self.place("context", context);
                self.flag(&place);
            }
            (context, Dockerfile::File(path)) => {
                self.option("--file", path.as_str());
                let place = self.place("context", context);
                self.flag(&place);
            }
        }
        Ok(())
    }
}

/// What an environment can hold.
fn text_for_a_variable(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (bytes.len() <= LONGEST_ARGUMENT && !text.contains('\0')).then(|| text.to_owned())
}

/// A field of a list with commas, which the command reads as CSV.
fn csv_field(field: &str) -> String {
    if field.contains([',', '"', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Whether `docker`, the Go runtime or the loader under them read a variable of this name.
fn means_something_to_the_command(name: &str) -> bool {
    const PREFIXES: [&str; 10] =
        ["DOCKER_", "BUILDX_", "BUILDKIT_", "COMPOSE_", "COVE_", "LD_", "GO", "SSL_CERT_", "XDG_", "OTEL_"];
    const NAMES: [&str; 6] = ["PATH", "HOME", "TMPDIR", "PWD", "TERM", "SOURCE_DATE_EPOCH"];
    let upper = name.to_ascii_uppercase();
    NAMES.contains(&upper.as_str())
        || upper.ends_with("_PROXY")
        || PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn values_of_arguments_stay_out_of_the_command_line() {
        let spec = BuildSpec {
            context: BuildContext::Folder("/src".into()),
            dockerfile: Dockerfile::File("/src/Dockerfile".into()),
            args: texts(&[("TOKEN", "s3cret\n"), ("PATH", "/x"), ("http_proxy", "http://p")]),
            target: Some("dev".into()),
            options: vec!["--network=host".into()],
            tags: vec!["cove-e:1".into(), "other:2".into()],
            platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
            cache_to: vec!["type=inline".into()],
            output: BuildOutput::Push,
            pull: true,
            ..BuildSpec::default()
        };
        let built = build_command(&spec, "rawjson", "default").unwrap().command;
        assert_eq!(
            built.argv.join(" "),
            "docker buildx build --progress rawjson --push --tag cove-e:1 --tag other:2 \
             --platform linux/amd64,linux/arm64 --build-arg PATH=/x --build-arg TOKEN \
             --build-arg http_proxy=http://p --cache-to type=inline --target dev --pull --network=host \
             --file /src/Dockerfile /src"
        );
        assert_eq!(built.env, texts(&[("TOKEN", "s3cret\n")]));
    }

    #[test]
    fn secrets_and_files_in_memory_stay_out_of_it_too() {
        let file = |text: &str| (0o600, text.as_bytes().to_vec());
        let spec = BuildSpec {
            dockerfile: Dockerfile::Text("FROM a".into()),
            context: BuildContext::Files([("f".into(), file("s3cret"))].into()),
            contexts: [("extra".to_owned(), BuildContext::Files([("d/g".into(), file("s3cret"))].into()))]
                .into(),
            secrets: [
                ("one".to_owned(), BuildSecret::Value(b"s3cret\nlines".to_vec())),
                ("two".to_owned(), BuildSecret::Value(b"\xff\0s3cret".to_vec())),
                ("three,3".to_owned(), BuildSecret::File("/a".into())),
            ]
            .into(),
            labels: texts(&[("long", &"x1".repeat(60_000))]),
            tags: vec!["t".into()],
            ..BuildSpec::default()
        };
        let built = build_command(&spec, "rawjson", "default").unwrap();
        let names: Vec<_> = built.beside.keys().map(|path| path.as_str()).collect();
        assert_eq!(names, ["context0/.dockerignore", "context0/d/g", "secret2"]);
        assert_eq!(built.command.env, texts(&[("COVE_BUILD_SECRET_0", "s3cret\nlines")]));
        assert!(built.labels_on_top.is_empty(), "it is in the Dockerfile");
        let command = built.with_folder("/tmp/x".into());
        assert_eq!(
            command.argv[5..].join(" "),
            "--load --builder default --tag t --secret id=one,env=COVE_BUILD_SECRET_0 --secret \"id=three,3\",src=/a \
             --secret id=two,src=/tmp/x/secret2 --build-context extra=/tmp/x/context0 --file .cove.Dockerfile -"
        );
        assert!(command.argv.iter().all(|argument| !argument.contains("s3cret")));
    }
}
