//! What a person should know of an environment though it works.

use api::{ChangeEffect, Consent, DesiredPhase, Environment, Place, Problem, ProblemCode, PropertyChange};
use devcontainer::{Config, Resolved, Warning};
use reconciler::{ContainerFacts, Trust};

use crate::configuration::Reading;
use crate::left_out::LeftOut;
use crate::reconcile::Parts;
use crate::requirements::{HostLimits, Lack};
use crate::secrets::Given;

/// Changed properties that are named before the rest is only counted.
const NAMED: usize = 4;

/// The warnings of an environment that was read and seen like this; its secrets are absent where they cannot be read.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn of(
    parts: &Parts,
    environment: &Environment,
    reading: &Reading,
    resolved: &Resolved,
    container: &ContainerFacts,
    left_out: &LeftOut,
    given: Option<&Given>,
) -> Result<Vec<Problem>, Problem> {
    let mut warnings: Vec<Problem> = reading.config.warnings.iter().map(idle).collect();
    warnings.extend(left_out.feature_warnings.clone());
    warnings.extend(reading.in_cloud.clone());
    warnings.extend(crate::worktree::warning(&reading.config, environment));
    warnings.extend(initialize(reading));
    let withheld = left_out.with(&reading.withheld);
    warnings.extend(mounts(withheld.open(), Trust::Open));
    warnings.extend(mounts(withheld.refused(), Trust::Refused));
    if let ContainerFacts::Present { digest, rebuild, .. } = container
        && (*digest != reading.config.digest || !left_out.agreed_since.is_empty())
        && *rebuild == environment.spec.rebuild
        && environment.spec.desired_phase == DesiredPhase::Running
    {
        warnings.push(changed(environment, &changes_since(parts, environment, reading, digest)?));
    }
    let machine = parts.store.machine()?.spec;
    let lack = Lack::of(&resolved.host_requirements, &machine);
    warnings.extend(lack.warning(&machine, HostLimits::of_this_computer()));
    // Which are missing is not known while they cannot be read; that is told by itself.
    warnings.extend(given.and_then(|given| {
        let is_given = |name: &str| given.values.contains_key(name) || given.variables.contains_key(name);
        missing_secrets(&reading.config, is_given)
    }));
    Ok(warnings)
}

/// What changed since the container was made; nothing where that is not known.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn changes_since(
    parts: &Parts,
    environment: &Environment,
    reading: &Reading,
    digest: &str,
) -> Result<Vec<PropertyChange>, Problem> {
    let made_from = parts.store.made_from(&environment.id)?.filter(|made_from| made_from.digest == digest);
    let Some(made_from) = made_from else { return Ok(Vec::new()) };
    let judge = parts.judge(environment);
    let agreed = made_from.left_out.iter().filter(|consent| judge.trust(consent) == Trust::Given);
    let added = agreed.map(|consent| PropertyChange {
        property: "mounts".to_owned(),
        old: None,
        new: Some(consent.text.as_str().into()),
        effect: ChangeEffect::NewContainer,
    });
    let mut changes: Vec<PropertyChange> = added.collect();
    changes.extend(reconciler::changes(&made_from.properties, &reading.properties));
    Ok(changes)
}

/// A property that does nothing, which is seldom what a person wants.
fn idle(warning: &Warning) -> Problem {
    Problem::new(ProblemCode::PropertyIdle, format!("\"{}\": {}", warning.property, warning.oddity)).at(
        Place {
            file: warning.file.to_string(),
            line: Some(warning.position.line),
            column: Some(warning.position.column),
        },
    )
}

fn initialize(reading: &Reading) -> Option<Problem> {
    let (consent, trust) = reading.initialize.as_ref()?;
    let problem =
        Problem::new(ProblemCode::ConsentNeeded, "`initializeCommand` was not run on this computer");
    match trust {
        Trust::Given if reading.is_sandboxed => Some(
            Problem::new(
                ProblemCode::ConsentNeeded,
                "`initializeCommand` runs in a sandbox on this computer",
            )
            .asking_consent(vec![consent.clone()])
            .with_command("agree to run it without, as it is now", "cove up --trust"),
        ),
        Trust::Given => None,
        Trust::Open => Some(
            problem
                .asking_consent(vec![consent.clone()])
                .with_command("agree to it as it is now", "cove up --trust"),
        ),
        Trust::Refused => Some(by_policy(problem, "initialize_command")),
    }
}

/// The warning about mounts that were left out; `None` without any.
fn mounts(left_out: Vec<Consent>, trust: Trust) -> Option<Problem> {
    if left_out.is_empty() {
        return None;
    }
    let list: Vec<&str> = left_out.iter().map(|consent| consent.text.as_str()).collect();
    let title = match list.as_slice() {
        [mount] => format!("a mount from outside of the folder was left out: {mount}"),
        several => format!("{} mounts from outside of the folder were left out", several.len()),
    };
    let problem = Problem::new(ProblemCode::ConsentNeeded, title);
    Some(if trust == Trust::Refused {
        by_policy(problem, "host_mounts")
    } else {
        problem.asking_consent(left_out).with_command(
            "agree to what is listed, and make the container with it",
            "cove up --trust --rebuild",
        )
    })
}

fn by_policy(problem: Problem, key: &str) -> Problem {
    problem.with_hint(format!(
        "`consent.{key}` in config.toml says `never`, or a policy of the organization that this computer belongs to"
    ))
}

fn changed(environment: &Environment, changes: &[PropertyChange]) -> Problem {
    let name = &environment.metadata.name;
    let of_container = changes.iter().filter(|change| change.effect == ChangeEffect::NewContainer);
    let mut properties: Vec<String> = of_container.map(|change| format!("`{}`", change.property)).collect();
    if properties.len() > NAMED {
        let rest = properties.len() - NAMED;
        properties.truncate(NAMED);
        properties.push(format!("{rest} more"));
    }
    let list = if properties.is_empty() { String::new() } else { format!(": {}", properties.join(", ")) };
    let title = format!("the configuration of `{name}` changed after its container was made{list}");
    Problem::new(ProblemCode::ConfigChanged, title)
        .with_command("see what changed, and what a new container would cost", format!("cove plan {name}"))
        .with_command("make the container anew", "cove up --rebuild")
}

fn missing_secrets(config: &Config, is_given: impl Fn(&str) -> bool) -> Option<Problem> {
    let missing: Vec<_> = config.secrets.iter().filter(|(name, _)| !is_given(name)).collect();
    if missing.is_empty() {
        return None;
    }
    let names: Vec<String> = missing.iter().map(|(name, _)| format!("`{name}`")).collect();
    let plural = if names.len() == 1 { "the secret" } else { "the secrets" };
    let title = format!("the configuration would like {plural} {}", names.join(", "));
    let mut problem = Problem::new(ProblemCode::SecretMissing, title);
    for (name, secret) in missing {
        let description = secret.description.as_deref().unwrap_or_default();
        let url = secret.documentation_url.as_ref().map(|url| format!("see {url}"));
        let words: Vec<&str> = [description, url.as_deref().unwrap_or_default()]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect();
        if !words.is_empty() {
            problem = problem.with_hint(format!("`{name}`: {}", words.join("; ")));
        }
    }
    let each =
        config.secrets.keys().filter(|name| !is_given(name)).map(|name| format!("cove secret set {name}"));
    Some(
        each.fold(problem, |problem, command| {
            problem.with_command("keep it for all your environments", command)
        }),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sources::Person;

    #[test]
    fn a_secret_that_was_not_given_is_told_with_what_is_said_of_it() {
        let temp = tempfile::tempdir().unwrap();
        let folder = camino::Utf8Path::from_path(temp.path()).unwrap();
        let text = r#"{"image": "base", "secrets": {
            "API_KEY": {"description": "The key of the shop", "documentationUrl": "https://shop.example/keys"},
            "OTHER": {}, "GIVEN": {"description": "x"}
        }}"#;
        fs_err::write(folder.join(".devcontainer.json"), text).unwrap();
        let variables = BTreeMap::new();
        let sources = Person::new(&variables);
        let located = devcontainer::locate(&sources, folder, None).unwrap();
        let config = devcontainer::read(&sources, folder, &located, "base").unwrap();
        let problem = missing_secrets(&config, |name| name == "GIVEN").unwrap();
        assert_eq!(problem.title, "the configuration would like the secrets `API_KEY`, `OTHER`");
        assert_eq!(problem.hints[0].text, "`API_KEY`: The key of the shop; see https://shop.example/keys");
        assert!(missing_secrets(&config, |_| true).is_none());
    }
}
