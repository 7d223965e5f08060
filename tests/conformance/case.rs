//! The cases as they lie in files.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// One behaviour: a row of the page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// `<section>/<file>`.
    #[serde(skip)]
    pub(crate) id: String,
    /// The property or behaviour, as the page names it.
    pub(crate) property: String,
    /// What holds, in a sentence or two.
    pub(crate) holds: String,
    /// The cases that show it.
    #[serde(rename = "case")]
    pub(crate) cases: Vec<Case>,
}

/// Files, and what is done with them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Case {
    /// Unique in its row; also the name of the workspace folder.
    pub(crate) name: String,
    /// Short for the file `.devcontainer/devcontainer.json`.
    pub(crate) config: Option<String>,
    /// Files by their path in the workspace. A path that ends in `.sh` can be run.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Images by tag, each as a Dockerfile without context.
    #[serde(default)]
    pub(crate) images: BTreeMap<String, String>,
    /// Features in the registry, by `path:version`.
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Published>,
    /// Features on a web server that speaks TLS, by the name of their archive. `{web}` is its address, and `{authority}`
    /// the file of the authority that its certificate is of.
    #[serde(default)]
    pub(crate) archives: BTreeMap<String, Published>,
    /// The registry that `{registry}` names.
    #[serde(default)]
    pub(crate) registry: RegistryKind,
    /// Files by their path in the person's home, all of which can be run. With a `.docker/config.json` that one is read
    /// instead of the one that finds the engine's plugins, which are in `{plugins}`.
    #[serde(default)]
    pub(crate) home: BTreeMap<String, String>,
    /// Variables of the programs.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Why the reference's answer is another one, and ours is right.
    pub(crate) deviation: Option<String>,
    /// Why there is nothing to ask the reference.
    pub(crate) no_reference: Option<String>,
    /// What is done, in order.
    #[serde(rename = "step")]
    pub(crate) steps: Vec<Step>,
}

/// A registry to run a case with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RegistryKind {
    /// Open to everyone, without TLS.
    #[default]
    Open,
    /// As that, for this case alone: it can be stopped.
    Own,
    /// Knows one user, `cove` with the password `sesame`.
    Login,
    /// Speaks TLS, with a certificate of `{authority}`.
    Tls,
}

/// A feature or template as it is published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Published {
    /// `devcontainer-feature.json`, or the template's where the path of the key begins with `templates/`.
    pub(crate) json: String,
    /// `install.sh`; one that does nothing without it.
    pub(crate) install: Option<String>,
    /// Further files.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Tags beside the version, its shorter forms and `latest`.
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    /// Leaves out the annotation with the metadata, as old publishers did.
    #[serde(default)]
    pub(crate) without_annotation: bool,
    /// Further members of the archive, by names that no file could have.
    #[serde(default)]
    pub(crate) members: Vec<Member>,
    /// The registry gives other bytes for the layer than its digest says.
    #[serde(default)]
    pub(crate) damaged: bool,
}

/// A member of an archive: a text, or a link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) text: String,
    pub(crate) link: Option<String>,
}

/// One thing that is done, and what must come of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Step {
    /// Arguments of `devcontainer`; `--workspace-folder` is added unless `bare`.
    pub(crate) run: Option<Words>,
    /// A command of the host's shell, in the workspace. `$DEVCONTAINER` is the program.
    pub(crate) host: Option<String>,
    /// A command of the shell in the container that came up last, as its first process' user.
    pub(crate) inside: Option<String>,
    /// Features to publish now, as in [`Case::features`].
    pub(crate) publish: Option<BTreeMap<String, Published>>,
    /// Stops the case's own registry.
    pub(crate) stop_registry: bool,
    /// What `docker inspect` tells of that container, by JSON pointer.
    pub(crate) inspect: Option<BTreeMap<String, Value>>,
    /// `UID:GID` of the person that the program believes to run for; root without it.
    #[serde(rename = "as")]
    pub(crate) person: Option<String>,
    /// Nothing is added to the arguments.
    pub(crate) bare: bool,
    /// The status it must end with; 0 without it.
    pub(crate) exit: Option<i32>,
    /// JSON that standard output must hold: objects may have more, lists may not.
    pub(crate) out: Option<String>,
    /// The text of standard output, without the white space at both ends.
    pub(crate) text: Option<String>,
    /// Words that standard error or the message must hold, in any order. The reference need not say them.
    pub(crate) says: Vec<String>,
    /// Words that nothing of what it prints may hold.
    pub(crate) never_says: Vec<String>,
    /// JSON pointers to what must be as the reference has it; everything without it, nothing when empty.
    pub(crate) compare: Option<Vec<String>>,
}

/// Arguments, in one text that white space parts or as a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Words {
    Text(String),
    List(Vec<String>),
}

impl Words {
    pub(crate) fn list(&self) -> Vec<String> {
        match self {
            Self::Text(text) => text.split_whitespace().map(ToOwned::to_owned).collect(),
            Self::List(list) => list.clone(),
        }
    }
}

impl Case {
    /// Every file, by its path in the workspace.
    pub(crate) fn all_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let config = self.config.as_deref().map(|text| (".devcontainer/devcontainer.json", text));
        config.into_iter().chain(self.files.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }
}

/// Reads `<section>/<row>.toml` below a folder, in order of their names.
pub(crate) fn read_rows(folder: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for section in sorted(folder) {
        for file in sorted(&section).iter().filter(|file| file.extension().is_some_and(|it| it == "toml")) {
            let text = std::fs::read_to_string(file).unwrap();
            let mut row: Row =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
            row.id = format!("{}/{}", name(&section), name(file));
            let mut names: Vec<&str> = row.cases.iter().map(|case| case.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), row.cases.len(), "{}: two cases of one name", row.id);
            for step in row.cases.iter().flat_map(|case| &case.steps) {
                check(&row.id, step);
            }
            rows.push(row);
        }
    }
    rows
}

fn check(row: &str, step: &Step) {
    let kinds = [
        step.run.is_some(),
        step.host.is_some(),
        step.inside.is_some(),
        step.inspect.is_some(),
        step.publish.is_some(),
        step.stop_registry,
    ];
    assert_eq!(
        kinds.into_iter().filter(|it| *it).count(),
        1,
        "{row}: a step is one of run, host, inside, inspect, publish, stop-registry"
    );
    if let Some(out) = &step.out {
        let json: Result<Value, _> = serde_json::from_str(out);
        assert!(json.is_ok(), "{row}: {}: {out}", json.unwrap_err());
    }
}

fn sorted(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}
