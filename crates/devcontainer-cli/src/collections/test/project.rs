//! The projects in which features are tested: a folder with a configuration, the features' sources, and test scripts.

use camino::{Utf8Path, Utf8PathBuf};
use oci::{File, Files};
use serde_json::{Map, Value};

use crate::collections::json;

/// The library that test scripts source.
const LIBRARY: &str = include_str!("library.sh");
/// Its name for them.
const LIBRARY_NAME: &str = "dev-container-features-test-lib";

/// A project as files by their paths in its folder. Everybody may do everything with them: the tests run as whichever
/// user the configuration says.
#[derive(Debug, Default, Clone)]
pub(crate) struct Project {
    pub(crate) files: Files,
}

/// A scenario without what it is to test.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the scenario \"{scenario}\" has no \"features\"")]
pub(crate) struct NoFeatures {
    /// Its name.
    pub(crate) scenario: String,
}

impl Project {
    /// All these features, with their defaults, on one image.
    pub(crate) fn of_defaults(features: &[(String, Files)], image: &str, user: Option<&str>) -> Self {
        let listed: Map<String, Value> =
            features.iter().map(|(id, _)| (format!("./{id}"), Value::Object(Map::new()))).collect();
        let mut config = base(image, user);
        config.insert("features".to_owned(), Value::Object(listed));
        let mut project = Self::default();
        for (id, files) in features {
            project.add(&config_folder().join(id), files);
        }
        project.configure(&config);
        project
    }

    /// One feature twice: as chosen, and with its defaults.
    pub(crate) fn of_twice(
        id: &str,
        files: &Files,
        chosen: &Map<String, Value>,
        image: &str,
        user: Option<&str>,
    ) -> Self {
        // Two copies: one folder named twice would be one feature with its last options.
        let again = format!("{id}-0");
        let mut config = base(image, user);
        config.insert(
            "features".to_owned(),
            serde_json::json!({ format!("./{id}"): chosen, format!("./{again}"): {} }),
        );
        let mut project = Self::default();
        project.add(&config_folder().join(id), files);
        project.add(&config_folder().join(again), files);
        project.configure(&config);
        project
    }

    /// A scenario. `source` gives the files of a feature of this collection, which a scenario names by its id alone;
    /// `beside` is what the scenario has beside its configuration, a Dockerfile for instance.
    pub(crate) fn of_scenario<E: From<NoFeatures>>(
        name: &str,
        scenario: &Value,
        beside: &Files,
        mut source: impl FnMut(&str) -> Result<Files, E>,
    ) -> Result<Self, E> {
        let none = || NoFeatures { scenario: name.to_owned() };
        let mut config = scenario.as_object().cloned().ok_or_else(none)?;
        let features = config.get("features").and_then(Value::as_object).cloned().ok_or_else(none)?;
        let mut project = Self::default();
        let mut listed = Map::new();
        for (id, value) in features {
            if id.contains('/') {
                listed.insert(id, value);
                continue;
            }
            project.add(&config_folder().join(&id), &source(&id)?);
            listed.insert(format!("./{id}"), value);
        }
        config.insert("features".to_owned(), Value::Object(listed));
        project.configure(&config);
        project.add(config_folder(), beside);
        Ok(project)
    }

    /// The configuration as it was made.
    pub(crate) fn config(&self) -> &[u8] {
        self.files.get(&config_file()).map_or(&[], |file| &file.bytes)
    }

    /// The test scripts and their library, which the scripts expect in the folder that they are run in.
    pub(crate) fn scripts(scripts: &Files) -> Self {
        let mut project = Self::default();
        project.add(Utf8Path::new(""), scripts);
        project.put(Utf8PathBuf::from(LIBRARY_NAME), LIBRARY.as_bytes().to_vec());
        project
    }

    fn add(&mut self, below: &Utf8Path, files: &Files) {
        for (name, file) in files {
            self.put(below.join(name), file.bytes.clone());
        }
    }

    fn configure(&mut self, config: &Map<String, Value>) {
        let text = json::pretty(config, 2);
        self.put(config_file(), text.into_bytes());
    }

    fn put(&mut self, name: Utf8PathBuf, bytes: Vec<u8>) {
        self.files.insert(name, File { bytes, mode: 0o777 });
    }
}

fn config_folder() -> &'static Utf8Path {
    Utf8Path::new(".devcontainer")
}

fn config_file() -> Utf8PathBuf {
    config_folder().join("devcontainer.json")
}

fn base(image: &str, user: Option<&str>) -> Map<String, Value> {
    let mut config = Map::new();
    config.insert("image".to_owned(), image.into());
    if let Some(user) = user {
        config.insert("remoteUser".to_owned(), user.into());
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn files(names: &[&str]) -> Files {
        let file =
            |name: &&str| (Utf8PathBuf::from(*name), File { bytes: name.as_bytes().to_vec(), mode: 0o644 });
        names.iter().map(file).collect()
    }

    fn names(project: &Project) -> Vec<&str> {
        project.files.keys().map(|name| name.as_str()).collect()
    }

    fn config(project: &Project) -> Value {
        serde_json::from_slice(project.config()).unwrap()
    }

    #[test]
    fn features_of_the_collection_come_along() {
        let scenario = json!({
            "image": "x",
            "features": {"color": {"favorite": "gold"}, "ghcr.io/o/r/other:1": {}},
            "remoteUser": "me"
        });
        let source = |id: &str| Ok::<_, NoFeatures>(files(&[&format!("{id}.sh")]));
        let project = Project::of_scenario("s", &scenario, &files(&["Dockerfile"]), source).unwrap();
        assert_eq!(
            names(&project),
            [".devcontainer/Dockerfile", ".devcontainer/color/color.sh", ".devcontainer/devcontainer.json"]
        );
        let expected = json!({
            "image": "x",
            "features": {"./color": {"favorite": "gold"}, "ghcr.io/o/r/other:1": {}},
            "remoteUser": "me"
        });
        assert_eq!(config(&project), expected);
        assert!(project.files.values().all(|file| file.mode == 0o777));
    }

    #[test]
    fn a_scenario_needs_features() {
        let source = |_: &str| Ok::<_, NoFeatures>(Files::new());
        for scenario in [json!({"image": "x"}), json!([]), json!({"features": []})] {
            let error = Project::of_scenario("s", &scenario, &Files::new(), source).unwrap_err();
            assert_eq!(error.to_string(), "the scenario \"s\" has no \"features\"");
        }
    }

    #[test]
    fn one_project_has_all_features_with_their_defaults() {
        let features = [("a".to_owned(), files(&["install.sh"])), ("b".to_owned(), files(&["install.sh"]))];
        let project = Project::of_defaults(&features, "ubuntu:focal", Some("me"));
        let expected =
            json!({"image": "ubuntu:focal", "remoteUser": "me", "features": {"./a": {}, "./b": {}}});
        assert_eq!(config(&project), expected);
        assert_eq!(names(&project).len(), 3);
    }

    #[test]
    fn a_feature_is_installed_twice() {
        let chosen = json!({"flag": true}).as_object().cloned().unwrap();
        let project = Project::of_twice("a", &files(&["install.sh"]), &chosen, "x", None);
        assert_eq!(config(&project), json!({"image": "x", "features": {"./a": {"flag": true}, "./a-0": {}}}));
        assert_eq!(
            names(&project),
            [".devcontainer/a/install.sh", ".devcontainer/a-0/install.sh", ".devcontainer/devcontainer.json"]
        );
    }

    #[test]
    fn scripts_have_their_library_beside_them() {
        let scripts = Project::scripts(&files(&["test.sh", "help/it.sh"]));
        assert_eq!(names(&scripts), [LIBRARY_NAME, "help/it.sh", "test.sh"]);
    }
}
