//! `templates apply`: puts a template's files into a folder, with the options and features that a person chose.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::template::{self, Applied, Selection, TEMPLATE_FILE, TemplateError, TemplateMetadata};
use devcontainer::{ReadError, closest};
use oci::{File, Files, Limits, OciError, Reference, Registry, UnpackError};
use serde_json::{Map, Value};

use super::arguments::ApplyArguments;
use super::folder::{self, FolderError};
use super::info::{self, InfoError};
use super::json::{self, JsonError};
use crate::log::{Level, Log};

/// Why a template was not applied. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// An argument is not the JSON that it should be.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// An argument is JSON of another shape.
    #[error("{flag}{at}: expected {expected}, found {found}")]
    Shape {
        /// The option of the command line.
        flag: &'static str,
        /// Where in its value.
        at: String,
        /// What is expected there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A property of a feature to add that means nothing.
    #[error("{flag}{at}: there is no \"{name}\"{}", near.map(|near| format!("; is it a misspelling of \"{near}\"?")).unwrap_or_default())]
    Unknown {
        /// The option of the command line.
        flag: &'static str,
        /// Where in its value.
        at: String,
        /// The property.
        name: String,
        /// What was probably meant.
        near: Option<&'static str>,
    },
    /// The registry has no such template.
    #[error(transparent)]
    Info(#[from] InfoError),
    /// Its content cannot be had.
    #[error(transparent)]
    Registry(#[from] OciError),
    /// Its content is not an archive that may be unpacked.
    #[error("the archive of the template `{name}` cannot be used")]
    Archive {
        /// The template.
        name: String,
        /// Why not.
        #[source]
        source: UnpackError,
    },
    /// A folder or archive that is no template.
    #[error("`{name}` is no template: it has no `{TEMPLATE_FILE}`")]
    NoTemplate {
        /// The template.
        name: String,
    },
    /// The file that describes it is wrong.
    #[error(transparent)]
    Metadata(#[from] ReadError),
    /// It cannot be applied as asked.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A link in the folder leads what would be written out of it.
    #[error("`{path}` is not written: the link `{link}` leads out of the folder")]
    LeadsOut {
        /// The file of the template.
        path: Utf8PathBuf,
        /// The link.
        link: Utf8PathBuf,
    },
    /// Files cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// What the command line asks for, read.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    options: BTreeMap<String, String>,
    features: Vec<(String, Map<String, Value>)>,
    omit: Vec<String>,
}

/// Applies the template to the folder `workspace`. `local` makes the path of a local template absolute. Gives the files
/// that were written, as they are printed.
pub(crate) async fn apply(
    registry: &Registry,
    arguments: &ApplyArguments,
    workspace: &Utf8Path,
    local: impl Fn(&Utf8Path) -> Utf8PathBuf,
    log: &Log,
) -> Result<Vec<String>, ApplyError> {
    let asked = Asked::of(arguments)?;
    let name = &arguments.template_id;
    let files = if is_local(name) {
        folder::read(&local(Utf8Path::new(name)), None)?
    } else {
        fetch(registry, name).await?
    };
    let Some(description) = files.get(Utf8Path::new(TEMPLATE_FILE)) else {
        return Err(ApplyError::NoTemplate { name: name.clone() });
    };
    let metadata = TemplateMetadata::parse(&description.bytes, Utf8Path::new(TEMPLATE_FILE))?;
    let contents = files.iter().map(|(path, file)| (path.clone(), file.bytes.clone())).collect();
    let selection = Selection { options: &asked.options, omit: &asked.omit, features: &asked.features };
    let Applied { files: applied, undeclared } = template::apply(&metadata, &contents, &selection)?;
    for missing in undeclared {
        log.write(Level::Warning, &format!("(!) {missing}; it was replaced by nothing"));
    }
    for path in applied.keys() {
        check_links(workspace, path)?;
    }
    let mut written = Vec::new();
    for (path, bytes) in applied {
        let place = workspace.join(&path);
        if place.exists() {
            log.write(Level::Info, &format!("Replacing `{place}`"));
        }
        let mode = files.get(&path).map_or(0o644, |file| file.mode);
        folder::write(&place, &File { bytes, mode })?;
        written.push(format!("./{path}"));
    }
    Ok(written)
}

/// The folder may be a repository of strangers, and a link in it could lead a template's files over the person's own.
fn check_links(workspace: &Utf8Path, path: &Utf8Path) -> Result<(), ApplyError> {
    let steps = path.ancestors().filter(|step| !step.as_str().is_empty()).map(|step| workspace.join(step));
    for link in steps.filter(|step| step.is_symlink()) {
        let root = workspace.canonicalize_utf8();
        let stays = root.is_ok_and(|root| link.canonicalize_utf8().is_ok_and(|real| real.starts_with(root)));
        if !stays {
            return Err(ApplyError::LeadsOut { path: path.to_owned(), link });
        }
    }
    Ok(())
}

/// Whether a template is named by a folder. Names of registries begin with a host.
fn is_local(name: &str) -> bool {
    name == "." || name == ".." || ["./", "../", "/"].iter().any(|start| name.starts_with(start))
}

/// The files of a published template.
async fn fetch(registry: &Registry, name: &str) -> Result<Files, ApplyError> {
    let reference: Reference = name.parse().map_err(OciError::from)?;
    let manifest = info::manifest(registry, &reference).await?;
    let Some(layer) = manifest.layers.first() else {
        return Err(ApplyError::NoTemplate { name: name.to_owned() });
    };
    let bytes = registry.blob(&reference, layer).await?;
    oci::unpack(&bytes, Limits::default())
        .map_err(|source| ApplyError::Archive { name: name.to_owned(), source })
}

const OPTIONS: &str = "--template-args";
const FEATURES: &str = "--features";
const OMIT: &str = "--omit-paths";

impl Asked {
    fn of(arguments: &ApplyArguments) -> Result<Self, ApplyError> {
        let options = json::read(arguments.template_args.as_bytes(), OPTIONS)?;
        let features = json::read(arguments.features.as_bytes(), FEATURES)?;
        let omit = json::read(arguments.omit_paths.as_bytes(), OMIT)?;
        let wrong = |flag, at: String, expected, found: &Value| ApplyError::Shape {
            flag,
            at,
            expected,
            found: json::kind(found),
        };
        let Value::Object(options) = options else {
            return Err(wrong(
                OPTIONS,
                String::new(),
                "an object such as {\"imageVariant\": \"3.16\"}",
                &options,
            ));
        };
        let options = options.into_iter().map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            other => Err(wrong(OPTIONS, format!(": \"{name}\""), "a string", &other)),
        });
        let Value::Array(features) = features else {
            let expected = "an array such as [{\"id\": \"ghcr.io/devcontainers/features/git:1\"}]";
            return Err(wrong(FEATURES, String::new(), expected, &features));
        };
        let features = features.into_iter().enumerate().map(|(index, value)| feature(index, value));
        let Value::Array(omit) = omit else {
            return Err(wrong(OMIT, String::new(), "an array such as [\".github/*\", \"file.ts\"]", &omit));
        };
        let omit = omit.into_iter().enumerate().map(|(index, value)| match value {
            Value::String(text) => Ok(text),
            other => Err(wrong(OMIT, format!(": [{index}]"), "a string", &other)),
        });
        Ok(Self {
            options: options.collect::<Result<_, _>>()?,
            features: features.collect::<Result<_, _>>()?,
            omit: omit.collect::<Result<_, _>>()?,
        })
    }
}

/// One feature to add: its id, and its options if it is given some.
fn feature(index: usize, value: Value) -> Result<(String, Map<String, Value>), ApplyError> {
    let at = format!(": [{index}]");
    let wrong = |at, expected, found| ApplyError::Shape { flag: FEATURES, at, expected, found };
    let expected = "an object with \"id\"";
    let Value::Object(mut entry) = value else { return Err(wrong(at, expected, json::kind(&value))) };
    let id = match entry.shift_remove("id") {
        Some(Value::String(id)) if !id.is_empty() => id,
        Some(other) => return Err(wrong(format!("{at}.id"), "the name of a feature", json::kind(&other))),
        None => return Err(wrong(at, expected, "one without")),
    };
    let options = match entry.shift_remove("options") {
        Some(Value::Object(options)) => options,
        None | Some(Value::Null) => Map::new(),
        Some(other) => return Err(wrong(format!("{at}.options"), "an object", json::kind(&other))),
    };
    match entry.keys().find_map(|name| closest(name, ["id", "options"]).map(|near| (name.clone(), near))) {
        Some((name, near)) => Err(ApplyError::Unknown { flag: FEATURES, at, name, near: Some(near) }),
        None => Ok((id, options)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: ApplyArguments,
    }

    fn asked(arguments: &[&str]) -> Result<Asked, String> {
        let line = ["apply", "--template-id", "x"].iter().chain(arguments);
        Asked::of(&Line::parse_from(line).arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_written_through_a_link_out_of_the_folder() {
        use std::os::unix::fs::symlink;
        let temporary = tempfile::tempdir().unwrap();
        let home = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).unwrap();
        let workspace = home.join("project");
        std::fs::create_dir_all(workspace.join("inside")).unwrap();
        std::fs::write(home.join(".bashrc"), "own").unwrap();
        symlink("../.bashrc", workspace.join("file")).unwrap();
        symlink("../new", workspace.join("dangling")).unwrap();
        symlink("..", workspace.join(".devcontainer")).unwrap();
        symlink("inside", workspace.join("linked")).unwrap();
        for (path, may) in [
            ("file", false),
            ("dangling", false),
            (".devcontainer/devcontainer.json", false),
            ("linked/a", true),
            ("not/yet/there", true),
        ] {
            assert_eq!(check_links(&workspace, Utf8Path::new(path)).is_ok(), may, "{path}");
        }
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(asked(&[]), Ok(Asked::default()));
        let features = r#"[{"id": "ghcr.io/a/b:1", "options": {"v": "2"}}, {"id": "c"}]"#;
        let read = asked(&["-a", r#"{"x": "1", /* why */ }"#, "-f", features, "--omit-paths", r#"["a/*"]"#]);
        let read = read.unwrap();
        assert_eq!(read.options, BTreeMap::from([("x".to_owned(), "1".to_owned())]));
        assert_eq!(read.features.len(), 2);
        assert_eq!(read.features[0].1["v"], "2");
        assert_eq!(read.omit, ["a/*"]);
    }

    #[test]
    fn arguments_of_another_shape_are_refused() {
        for (arguments, said) in [
            (["-a", "{x}"], "--template-args:1:2: not valid JSON"),
            (["-a", "[]"], "--template-args: expected an object such as"),
            (["-a", r#"{"x": 1}"#], "--template-args: \"x\": expected a string, found a number"),
            (["-f", "{}"], "--features: expected an array such as"),
            (
                ["-f", r#"[{"name": "x"}]"#],
                "--features: [0]: expected an object with \"id\", found one without",
            ),
            (["-f", r#"[{"id": "x", "option": {}}]"#], "misspelling of \"options\""),
            (
                ["-f", r#"[{"id": "x", "options": []}]"#],
                "--features: [0].options: expected an object, found an array",
            ),
            (["--omit-paths", "\"a\""], "--omit-paths: expected an array such as"),
        ] {
            let error = asked(&arguments).unwrap_err();
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn folders_are_told_from_names() {
        for (name, local) in [
            (".", true),
            ("./t", true),
            ("../t", true),
            ("/t", true),
            ("ghcr.io/t", false),
            (".hidden.io/t", false),
        ] {
            assert_eq!(is_local(name), local, "{name}");
        }
    }
}
