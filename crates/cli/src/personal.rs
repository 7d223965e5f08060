//! What of the person who types goes to the daemon: the variables that a configuration names, and secrets.
//!
//! The daemon's own variables are those of whoever happened to start it, so each `cove up` brings the person's. Only
//! those that are named go over, and all where there is an `initializeCommand`: it runs as if the person had typed it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;

use api::Secrets;
use camino::Utf8Path;
use devcontainer::{ContainerSource, SourceError, Sources};

use crate::failure::Failure;

/// Longest configuration, compose file or file of secrets that is read, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// The variable that names a compose project, wherever it is set.
const COMPOSE_PROJECT: &str = "COMPOSE_PROJECT_NAME";

/// The variables of this process that the configuration of a folder names. A configuration with mistakes names none:
/// the daemon tells of them.
pub(crate) fn variables_of(folder: &Utf8Path, config: Option<&Utf8Path>) -> BTreeMap<String, String> {
    let sources = Recording::default();
    let Ok(located) = devcontainer::locate(&sources, folder, config) else { return BTreeMap::new() };
    let Ok(config) = devcontainer::read(&sources, folder, &located, "unused") else { return BTreeMap::new() };
    if let ContainerSource::Compose(compose) = &config.container {
        sources.env(COMPOSE_PROJECT);
        for file in &compose.files {
            let text = sources.read(file).ok().flatten().unwrap_or_default();
            for name in named_in(&String::from_utf8_lossy(&text)) {
                sources.env(&name);
            }
        }
    }
    sources.asked.into_inner()
}

/// All variables of this process, for an `initializeCommand`; `None` if the configuration of a folder has none. What is
/// not UTF-8 stays here.
pub(crate) fn caller_variables_of(folder: &Utf8Path, config: Option<&Utf8Path>) -> Option<Secrets> {
    let sources = Recording::default();
    let located = devcontainer::locate(&sources, folder, config).ok()?;
    let config = devcontainer::read(&sources, folder, &located, "unused").ok()?;
    config.initialize_command.as_ref()?;
    Some(all_variables())
}

/// All variables of this process. What is not UTF-8 stays here.
pub(crate) fn all_variables() -> Secrets {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    Secrets(std::env::vars_os().filter_map(text).collect())
}

/// Reads the secrets of a file that holds a JSON object of strings.
pub(crate) fn secrets_of(file: &Utf8Path) -> Result<Secrets, Failure> {
    let wrong = |what: String| Failure::request(format!("the secrets of `{file}` cannot be used: {what}"));
    let bytes = read(file).map_err(|error| wrong(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| wrong("there is no such file".to_owned()))?;
    // Not serde's own words on values: they would quote a secret.
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("line {}, column {} is no JSON", error.line(), error.column())))?;
    let object = value.as_object().ok_or_else(|| wrong("a JSON object is expected".to_owned()))?;
    let mut secrets = BTreeMap::new();
    for (name, value) in object {
        let Some(text) = value.as_str() else {
            return Err(wrong(format!("the value of `{name}` is no string")).into());
        };
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            return Err(wrong(format!("`{name}` cannot be the name or value of a variable")).into());
        }
        secrets.insert(name.clone(), text.to_owned());
    }
    Ok(Secrets(secrets))
}

/// The disk, and the variables of this process; remembers which of them were asked for and are set.
#[derive(Debug, Default)]
struct Recording {
    asked: RefCell<BTreeMap<String, String>>,
}

impl Sources for Recording {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        read(path).map_err(|source| SourceError { path: path.to_owned(), source })
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path.exists()
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        let failed = |source| SourceError { path: path.to_owned(), source };
        let entries = match path.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let folders = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir());
        Ok(folders.map(|entry| entry.file_name().to_owned()).collect())
    }

    fn env(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok()?;
        self.asked.borrow_mut().insert(name.to_owned(), value.clone());
        Some(value)
    }
}

fn read(path: &Utf8Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MOST_BYTES => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => std::fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The variables that a compose file takes out of the environment: `$NAME`, `${NAME}` and `${NAME:-…}`, but not
/// `$$NAME`.
fn named_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        rest = &rest[start + 1..];
        if let Some(literal) = rest.strip_prefix('$') {
            rest = literal;
            continue;
        }
        let name: String = rest
            .trim_start_matches('{')
            .chars()
            .take_while(|character| character.is_ascii_alphanumeric() || *character == '_')
            .collect();
        if name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            names.insert(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compose_files_name_variables_in_their_three_ways() {
        let text = "image: $TAG-x\nenv: ${A} ${B:-${C}} $$D $1 ${E:?missing} $";
        let names: Vec<String> = named_in(text).into_iter().collect();
        assert_eq!(names, ["A", "B", "C", "E", "TAG"]);
    }

    #[test]
    fn only_variables_that_are_named_and_set_go_over() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let text = r#"{"image": "${localEnv:PATH}", "remoteEnv": {"A": "${localEnv:COVE_TEST_NOBODY_SETS_THIS:b}"}}"#;
        std::fs::write(folder.join(".devcontainer.json"), text).unwrap();
        let variables = variables_of(folder, None);
        assert_eq!(variables.keys().collect::<Vec<_>>(), ["PATH"]);
        std::fs::write(folder.join(".devcontainer.json"), "{").unwrap();
        assert!(variables_of(folder, None).is_empty());
    }

    #[test]
    fn all_variables_go_over_for_a_command_on_this_computer_alone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let brought = |text: &str| {
            std::fs::write(folder.join(".devcontainer.json"), text).unwrap();
            caller_variables_of(folder, None)
        };
        assert!(brought(r#"{"image": "a"}"#).is_none());
        let all = brought(r#"{"image": "a", "initializeCommand": "make"}"#).unwrap();
        assert!(all.0.contains_key("PATH"));
        assert!(!format!("{all:?}").contains(&all.0["PATH"]));
    }

    #[test]
    fn a_file_of_secrets_that_is_wrong_is_refused_without_quoting_it() {
        let temp = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(temp.path()).unwrap().join("secrets.json");
        for text in
            ["{\"A\": \"s3cret\" \"B\"}", "[\"s3cret\"]", "{\"A\": {\"s3cret\": 1}}", "{\"A=\": \"s3cret\"}"]
        {
            std::fs::write(&file, text).unwrap();
            let Err(Failure::Problem(problem)) = secrets_of(&file) else { panic!("{text} was taken") };
            assert!(!problem.title.contains("s3cret"), "{}", problem.title);
        }
        std::fs::write(&file, r#"{"A": "s3cret"}"#).unwrap();
        assert_eq!(secrets_of(&file).unwrap().0["A"], "s3cret");
    }
}
