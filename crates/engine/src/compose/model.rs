//! What the compose files say, as far as we look at it.

use std::collections::BTreeMap;

use devcontainer::Compose;
use serde::Deserialize;

use super::ComposeError;

/// A compose project as compose itself understands its files.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ComposeModel {
    /// The project's name: as the files say, else the folder's.
    pub name: String,
    /// Whether the files say a name that could be the folder's as well.
    #[serde(skip)]
    pub says_its_name: bool,
    /// The services.
    #[serde(default)]
    pub services: BTreeMap<String, ComposeService>,
    /// What the files say of the volumes that have names.
    #[serde(default)]
    pub volumes: BTreeMap<String, Option<serde_json::Value>>,
    /// What the files say of the secrets.
    #[serde(default)]
    pub secrets: BTreeMap<String, Option<serde_json::Value>>,
    /// What the files say of the configurations.
    #[serde(default)]
    pub configs: BTreeMap<String, Option<serde_json::Value>>,
}

/// A service of a compose project.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ComposeService {
    /// Its image.
    pub image: Option<String>,
    /// When its image is pulled, where the files say so.
    pub pull_policy: Option<String>,
    /// How its image is built, if it is.
    pub build: Option<serde_json::Value>,
    /// The user it runs as, where the files say one.
    pub user: Option<String>,
    /// Its entrypoint, where the files say one.
    pub entrypoint: Option<Vec<String>>,
    /// Its command, where the files say one.
    pub command: Option<Vec<String>>,
    /// The profiles that it belongs to; without one it always starts.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// How many processors it gets, where the files say so for the service itself.
    pub cpus: Option<serde_json::Value>,
    /// How much memory it gets, where the files say so for the service itself.
    pub mem_limit: Option<serde_json::Value>,
    /// How much memory and swap it gets together, where the files say so.
    pub memswap_limit: Option<serde_json::Value>,
    /// What the files say of how it is deployed.
    pub deploy: Option<serde_json::Value>,
    /// Whose network it is in, where it has none of its own: `service:db`.
    pub network_mode: Option<String>,
    /// What is mounted into it, in compose's long form.
    #[serde(default)]
    pub volumes: Vec<serde_json::Value>,
    /// The secrets it is given, in compose's long form.
    #[serde(default)]
    pub secrets: Vec<serde_json::Value>,
    /// The configurations it is given, in compose's long form.
    #[serde(default)]
    pub configs: Vec<serde_json::Value>,
}

impl ComposeModel {
    /// The service of that name; the error lists those that there are.
    pub fn service(&self, name: &str) -> Result<&ComposeService, ComposeError> {
        self.services.get(name).ok_or_else(|| ComposeError::UnknownService {
            service: name.to_owned(),
            known: self.services.keys().cloned().collect(),
        })
    }

    /// The services to start for a dev container: its own and those that it asks for, or all of them that belong
    /// to no profile. The empty list means all.
    pub fn services_to_start(&self, compose: &Compose) -> Result<Vec<String>, ComposeError> {
        let own = self.service(&compose.service)?;
        let wanted: Vec<&String> = match &compose.run_services {
            // As the reference has it: nobody is no choice.
            Some(wanted) if !wanted.is_empty() => wanted.iter().collect(),
            // Compose itself would leave out the dev container.
            _ if !own.profiles.is_empty() => {
                let always = self.services.iter().filter(|(_, service)| service.profiles.is_empty());
                always.map(|(name, _)| name).collect()
            }
            _ => return Ok(Vec::new()),
        };
        let mut services = vec![compose.service.clone()];
        for name in wanted {
            self.service(name)?;
            if !services.contains(name) {
                services.push(name.clone());
            }
        }
        Ok(services)
    }

    /// The name of the image that a service's container is made of: its own or the one that compose gives
    /// to what it builds.
    pub fn image_of(&self, project: &str, service: &str) -> Result<String, ComposeError> {
        let found = self.service(service)?;
        Ok(found.image.clone().unwrap_or_else(|| format!("{project}-{service}")))
    }
}

/// The project's name, by the rule that dev container tools share: what the person's environment says, then
/// the workspace's `.env`, then the compose folder's `.env`, then the files' own `name:`, then `hint`.
///
/// `model` is what compose made of the files without a name of ours; where it says just the folder's name,
/// the files said none.
pub fn project_name(
    environment: Option<&str>,
    env_files: &[&str],
    model: &ComposeModel,
    folder: &str,
    hint: &str,
) -> String {
    let in_files = env_files.iter().find_map(|text| {
        let value = text.lines().rev().find_map(|line| line.trim().strip_prefix("COMPOSE_PROJECT_NAME="))?;
        Some(value.trim().trim_matches(['"', '\'']))
    });
    let said = environment.into_iter().chain(in_files).find(|name| !name.is_empty());
    let is_said = |name: &&str| !name.is_empty() && (model.says_its_name || *name != clean(folder));
    let of_model = Some(model.name.as_str()).filter(is_said);
    match (said, of_model) {
        (Some(name), _) => clean(name),
        (None, Some(name)) => name.to_owned(),
        (None, None) => clean(hint),
    }
}

/// What compose takes as a project's name: lower-case letters, digits, dashes and underscores, a letter or
/// digit first.
fn clean(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-' || *c == '_')
        .collect();
    let kept = kept.trim_start_matches(['-', '_']);
    if kept.is_empty() { "devcontainer".to_owned() } else { kept.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> ComposeModel {
        let services = ["app", "db"].map(|name| (name.to_owned(), ComposeService::default()));
        ComposeModel { name: name.to_owned(), services: services.into(), ..ComposeModel::default() }
    }

    #[test]
    fn the_projects_name_comes_from_the_first_who_says_one() {
        let env = ["# x\nCOMPOSE_PROJECT_NAME=\"From_Env\"\n", "COMPOSE_PROJECT_NAME=second"];
        for (environment, files, model_name, expected) in [
            (Some("Person"), &env[..], "named", "person"),
            (Some(""), &env[..], "named", "from_env"),
            (None, &env[1..], "named", "second"),
            (None, &[][..], "named", "named"),
            (None, &[][..], "devcontainer", "my-app_devcontainer"),
        ] {
            let name =
                project_name(environment, files, &model(model_name), ".devcontainer", "-My-App_devcontainer");
            assert_eq!(name, expected);
        }
        let said = ComposeModel { says_its_name: true, ..model("devcontainer") };
        assert_eq!(project_name(None, &[], &said, ".devcontainer", "app_devcontainer"), "devcontainer");
    }

    #[test]
    fn a_dev_container_with_a_profile_starts_too() {
        let compose = |run_services| Compose {
            files: vec![],
            service: "app".into(),
            run_services,
            project_name_hint: String::new(),
        };
        let mut model = model("x");
        let with_profile = || ComposeService { profiles: vec!["dev".into()], ..ComposeService::default() };
        model.services.insert("app".into(), with_profile());
        model.services.insert("debug".into(), with_profile());
        assert_eq!(model.services_to_start(&compose(None)).unwrap(), ["app", "db"]);
        assert_eq!(model.services_to_start(&compose(Some(vec!["debug".into()]))).unwrap(), ["app", "debug"]);
    }

    #[test]
    fn an_unknown_service_names_the_known_ones() {
        let mut compose = Compose {
            files: vec![],
            service: "app".into(),
            run_services: None,
            project_name_hint: String::new(),
        };
        assert_eq!(model("x").services_to_start(&compose).unwrap(), Vec::<String>::new());
        compose.run_services = Some(vec![]);
        assert_eq!(model("x").services_to_start(&compose).unwrap(), Vec::<String>::new());
        compose.run_services = Some(vec!["db".into(), "app".into()]);
        assert_eq!(model("x").services_to_start(&compose).unwrap(), ["app", "db"]);
        compose.run_services = Some(vec!["cache".into()]);
        let error = model("x").services_to_start(&compose).unwrap_err();
        assert_eq!(error.to_string(), "there is no service `cache`, the compose files have: app, db");
    }
}
