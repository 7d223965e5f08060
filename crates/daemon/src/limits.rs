//! What the organization that this computer is a runner of allows its environments. Nothing is limited elsewhere.
//!
//! A limit is narrower than what a person decided here, and never wider: agreeing to a mount does not help where the
//! organization forbids mounts.

use std::time::Duration;

use api::control::{Bound, Limits};
use api::{IdlePolicy, Problem, ProblemCode};
use devcontainer::{Config, ContainerSource};
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

/// Whether containers may be made of what a configuration names.
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
    use api::Name;

    use super::*;

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
