//! What the organization that this computer is a runner of allows its environments. Nothing is limited elsewhere.
//!
//! A limit is narrower than what a person decided here, and never wider: agreeing to a mount does not help where the
//! organization forbids mounts.

use std::time::Duration;

use api::control::{Bound, Limits};
use api::{IdlePolicy, Problem, ProblemCode};
use devcontainer::{Config, ContainerSource};
use engine::{ContainerSize, RunOption, run_options};
use provision::compose::Project;

use crate::consent::{CommandPolicy, ConsentPolicy, Policy};
use crate::problems;

/// What a person decided once for all, where the organization lets them.
pub(crate) fn consent(own: ConsentPolicy, limits: &Limits) -> ConsentPolicy {
    let forbids = |bound: &Option<Bound<bool>>| bound.as_ref().is_some_and(|bound| !bound.value);
    ConsentPolicy {
        initialize_command: if forbids(&limits.initialize_command) {
            CommandPolicy::Never
        } else {
            own.initialize_command
        },
        host_mounts: if forbids(&limits.host_mounts) { Policy::Never } else { own.host_mounts },
    }
}

/// The time without any use after which an environment stops.
pub(crate) fn idle(own: IdlePolicy, limits: &Limits) -> Option<Duration> {
    let most = limits.stop_after.as_ref().map(|bound| Duration::from_secs(bound.value));
    own.limit().into_iter().chain(most).min()
}

/// Whether `runArgs` leave the image, and what a class gives, to what comes behind them in a `docker create`.
///
/// # Errors
/// A word of them would stand for the image, or take what is behind it for its value, where either is limited.
pub(crate) fn arguments(limits: &Limits, size: ContainerSize, config: &Config) -> Result<(), Problem> {
    let is_limited = !limits.images.is_empty() || size != ContainerSize::default();
    if !is_limited || matches!(config.container, ContainerSource::Compose(_)) {
        return Ok(());
    }
    let is_open = |option: &RunOption| option.name.is_empty() || option.wants_value();
    let Some(open) = run_options(&config.run_args).into_iter().find(is_open) else { return Ok(()) };
    let (word, why) = match open {
        RunOption { name, words, .. } if name.is_empty() => {
            (words.concat(), "is no option of `docker create`")
        }
        RunOption { name, .. } => (name, "has no value"),
    };
    let whose = if limits.images.is_empty() {
        "the environment's class says what its container gets"
    } else {
        "policies say which images containers are made of"
    };
    let title = format!("`{word}` in `runArgs` {why}, and {whose}");
    Err(Problem::new(ProblemCode::PolicyForbids, title)
        .with_hint("write each option with its value, as `--name=value`, and take out what is none"))
}

/// Whether containers may be made of what a configuration names, and those be started that were.
///
/// # Errors
/// The first image that is not allowed, or a Dockerfile that cannot be read.
pub(crate) fn images(limits: &Limits, config: &Config, project: Option<&Project>) -> Result<(), Problem> {
    if limits.images.is_empty() {
        return Ok(());
    }
    if let ContainerSource::Build(build) = &config.container
        && let Some(option) = build.options.iter().find(|option| changes_images(option))
    {
        let title = format!(
            "`{option}` in `build.options` can change what a build begins from, and policies say what may"
        );
        return Err(Problem::new(ProblemCode::PolicyForbids, title)
            .with_hint("write it into `build.args`, or take it out"));
    }
    let named = provision::image::named(config, project).map_err(|error| problems::from_image(&error))?;
    for image in named {
        let full = full_name(&image);
        if let Some(among) = limits.forbids_image(&full) {
            let title = format!("no container is made of `{full}`, says policy {}", among.policy);
            let allowed: Vec<&str> = among.values.iter().map(String::as_str).collect();
            let problem = Problem::new(ProblemCode::PolicyForbids, title);
            return Err(problem.with_hint(format!("images that it allows: {}", allowed.join(", "))));
        }
    }
    Ok(())
}

/// Whether an option of `docker build` can have it begin from other images than its Dockerfile names.
fn changes_images(option: &str) -> bool {
    ["--build-arg", "--build-context", "-f", "--file"].iter().any(|name| option.starts_with(name))
}

/// An image as registries know it: `debian` is `docker.io/library/debian:latest`.
fn full_name(image: &str) -> String {
    let registry = engine::registry_of(image);
    let path = image.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(image);
    let place = if registry == "docker.io" && !path.contains('/') { "library/" } else { "" };
    let has_version = path.contains('@') || path.rsplit('/').next().is_some_and(|last| last.contains(':'));
    let version = if has_version { "" } else { ":latest" };
    format!("{registry}/{place}{path}{version}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::Name;
    use api::control::Among;
    use camino::Utf8Path;
    use serde_json::{Value, json};

    use super::*;
    use crate::sources::Person;

    fn config_of(folder: &Utf8Path, text: &Value) -> Config {
        fs_err::write(folder.join(".devcontainer.json"), text.to_string()).unwrap();
        let variables = BTreeMap::new();
        let sources = Person::new(&variables);
        let located = devcontainer::locate(&sources, folder, None).unwrap();
        devcontainer::read(&sources, folder, &located, "base").unwrap()
    }

    #[test]
    fn images_are_known_by_their_full_names() {
        for (image, full) in [
            ("debian", "docker.io/library/debian:latest"),
            ("docker.io/debian:13", "docker.io/library/debian:13"),
            ("acme/app:1", "docker.io/acme/app:1"),
            ("ghcr.io/a/b@sha256:ab", "ghcr.io/a/b@sha256:ab"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
        ] {
            assert_eq!(full_name(image), full);
        }
    }

    #[test]
    fn arguments_that_reach_further_than_options_are_refused_where_something_is_limited() {
        let images = Limits {
            images: [Among { policy: Name::parse("base").unwrap(), values: ["*".to_owned()].into() }].into(),
            ..Limits::default()
        };
        let sized = ContainerSize { cpus: Some(2), memory_gib: None };
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        for (words, open) in [
            (json!(["--pull=always", "-e", "A=b", "-it", "--label", "x"]), None),
            (json!(["--pull=always", "evil/x"]), Some("evil/x")),
            (json!(["--init", "--", "x"]), Some("--")),
            (json!(["--init", "--label"]), Some("--label")),
            (json!(["-ite"]), Some("-e")),
            (json!(["--label="]), None),
        ] {
            let config = config_of(folder, &json!({ "image": "debian", "runArgs": words }));
            let judged =
                |limits: &Limits, size| arguments(limits, size, &config).map_err(|problem| problem.title);
            let (none, whole) = (Limits::default(), ContainerSize::default());
            assert_eq!(judged(&none, whole), Ok(()), "nothing is limited");
            for (limits, size) in [(&images, whole), (&none, sized)] {
                match (judged(limits, size), open) {
                    (Ok(()), None) => {}
                    (Err(title), Some(open)) => assert!(title.starts_with(&format!("`{open}` ")), "{title}"),
                    (judged, open) => panic!("{words}: {judged:?}, {open:?}"),
                }
            }
        }
    }

    #[test]
    fn the_narrower_of_both_counts() {
        let forbidden = || Some(Bound { value: false, policies: [Name::parse("base").unwrap()].into() });
        let limits = Limits {
            host_mounts: forbidden(),
            initialize_command: forbidden(),
            stop_after: Some(Bound { value: 600, policies: [Name::parse("base").unwrap()].into() }),
            ..Limits::default()
        };
        let own = ConsentPolicy { host_mounts: Policy::Always, ..ConsentPolicy::default() };
        assert_eq!(consent(own, &Limits::default()), own);
        let narrow = consent(own, &limits);
        assert_eq!((narrow.host_mounts, narrow.initialize_command), (Policy::Never, CommandPolicy::Never));
        for (own, limit) in [(None, 600), (Some(60), 60), (Some(6000), 600)] {
            let stops = idle(IdlePolicy { stop_after: own }, &limits);
            assert_eq!(stops, Some(Duration::from_secs(limit)));
        }
        assert_eq!(idle(IdlePolicy::NEVER, &Limits::default()), None);
    }
}
