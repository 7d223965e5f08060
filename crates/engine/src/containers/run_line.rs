//! Writes a [`ContainerSpec`] as a `docker create` command. Pure.

use crate::containers::plan::{ContainerSpec, FirstProcess};
use crate::containers::run_options::run_options;
use crate::tools::ToolCommand;

/// The longest line that `docker` reads from a file of variables, with some room.
const LONGEST_FILE_LINE: usize = 60_000;

/// The command that makes the container.
///
/// Variables stay out of the arguments, which everybody on the engine's host may read: they go in on
/// standard input as an `--env-file`. The lines of such a file are taken as they are, so that quotes,
/// dollars and backslashes arrive unchanged. Values that are no single line are handed over in the
/// environment of the command itself; only these, since a variable such as `DOCKER_HOST` or `PATH` would
/// change what the command does.
pub(super) fn create_command(spec: &ContainerSpec) -> ToolCommand {
    let mut command = ToolCommand::new(["docker", "create", "--pull", "never", "--env-file", "/dev/stdin"]);
    let mut file = String::new();
    let argv = &mut command.argv;
    if !spec.name.is_empty() {
        argv.extend(["--name".to_owned(), spec.name.clone()]);
    }
    for (name, value) in &spec.env {
        if fits_a_line(name, value) {
            file.extend([name, "=", value, "\n"]);
        } else {
            argv.extend(["--env".to_owned(), name.clone()]);
            command.env.insert(name.clone(), value.clone());
        }
    }
    command.stdin = Some(file.into_bytes());

    let mut option = |name: &str, value: String| argv.extend([name.to_owned(), value]);
    for (name, value) in &spec.labels {
        option("--label", format!("{name}={value}"));
    }
    for mount in &spec.mounts {
        option("--mount", mount.to_string());
    }
    for port in &spec.publish {
        option("--publish", port.clone());
    }
    for host in &spec.hosts {
        option("--add-host", host.clone());
    }
    if let Some(network) = &spec.network {
        option("--network", network.clone());
    }
    for capability in &spec.cap_add {
        option("--cap-add", capability.clone());
    }
    for security in &spec.security_opt {
        option("--security-opt", security.clone());
    }
    if let Some(user) = &spec.user {
        option("--user", user.clone());
    }
    if spec.init {
        argv.push("--init".to_owned());
    }
    if spec.privileged {
        argv.push("--privileged".to_owned());
    }
    let asks_for_gpus = |argument: &String| argument == "--gpus" || argument.starts_with("--gpus=");
    if spec.gpu && !spec.run_args.iter().any(asks_for_gpus) {
        argv.extend(["--gpus".to_owned(), "all".to_owned()]);
    }
    // After ours, so that what a person wrote wins.
    argv.extend(for_create(&spec.run_args));
    match &spec.first_process {
        FirstProcess::OfImage => argv.push(spec.image.clone()),
        FirstProcess::Program(program) => {
            let (first, arguments) = program.split_first().map_or(("", &[][..]), |(it, rest)| (&**it, rest));
            argv.extend(["--entrypoint", first, &spec.image].map(str::to_owned));
            argv.extend(arguments.iter().cloned());
        }
        FirstProcess::Script { script, arguments } => {
            argv.extend(["--entrypoint", "/bin/sh", &spec.image, "-c", script, "-"].map(str::to_owned));
            argv.extend(arguments.iter().cloned());
        }
    }
    command
}

/// The arguments of a `docker run`, without those few options that `docker create` has not. They would change nothing:
/// nobody watches what the container prints.
fn for_create(run_args: &[String]) -> impl Iterator<Item = String> {
    const OF_RUN: [&str; 4] = ["-d", "--detach", "--sig-proxy", "--detach-keys"];
    let options = run_options(run_args).into_iter();
    options.filter(|option| !OF_RUN.contains(&option.name.as_str())).flat_map(|option| option.words)
}

/// Whether a variable survives as a line of an `--env-file`.
fn fits_a_line(name: &str, value: &str) -> bool {
    !value.contains(['\n', '\r'])
        && name.len() + value.len() < LONGEST_FILE_LINE
        && !name.starts_with(['#', '\u{feff}'])
        && !name.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_program_of_ours_takes_the_place_of_the_images_in_anothers_network() {
        let program = ["/dev/x", "wait"].map(str::to_owned).to_vec();
        let spec = ContainerSpec {
            image: "img".into(),
            network: Some("container:c1".into()),
            first_process: FirstProcess::Program(program),
            ..ContainerSpec::default()
        };
        let words = create_command(&spec).argv.join(" ");
        assert!(words.ends_with(" --network container:c1 --entrypoint /dev/x img wait"), "{words}");
    }

    #[test]
    fn what_a_person_wrote_comes_after_ours() {
        let spec = ContainerSpec {
            name: "cove-app".into(),
            image: "img".into(),
            labels: pairs(&[("l", "v w")]),
            mounts: vec![devcontainer::Mount::bind("/a", "/b")],
            user: Some("dev".into()),
            init: true,
            gpu: true,
            run_args: [
                "--name",
                "mine",
                "--detach",
                "-dit",
                "--sig-proxy=false",
                "--detach-keys",
                "x",
                "--dns=d",
                "--label",
                "-d",
            ]
            .map(str::to_owned)
            .to_vec(),
            first_process: FirstProcess::Script { script: "x".into(), arguments: vec!["y".into()] },
            ..ContainerSpec::default()
        };
        let expected = [
            "docker create --pull never --env-file /dev/stdin --name cove-app --label l=v w",
            "--mount type=bind,source=/a,target=/b --user dev --init --gpus all --name mine -i -t --dns=d --label -d",
            "--entrypoint /bin/sh img -c x - y",
        ];
        assert_eq!(create_command(&spec).argv.join(" "), expected.join(" "));
    }

    #[test]
    fn no_variable_shows_in_the_arguments() {
        let env = pairs(&[("TOKEN", "s3cret"), ("KEY", "s3cret\nlines"), ("LONG", &"s3cret".repeat(20_000))]);
        let command = create_command(&ContainerSpec { env, ..ContainerSpec::default() });
        assert!(command.argv.iter().all(|argument| !argument.contains("s3cret")));
        assert_eq!(command.stdin.as_deref(), Some(&b"TOKEN=s3cret\n"[..]));
        assert_eq!(command.env.keys().collect::<Vec<_>>(), ["KEY", "LONG"]);
    }
}
