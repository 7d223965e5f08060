//! What a template's files become with the options that a person chose.

use super::{TEMPLATE_FILE, TemplateMetadata};
use crate::edit;
use crate::feature::{OptionKind, OptionSpec};
use crate::jsonc::SyntaxError;
use crate::near;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Files about the template itself, which nobody wants in a project.
const NEVER_WRITTEN: &[&str] = &[TEMPLATE_FILE, "README.md", "NOTES.md"];

/// What a person chose.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Values of options, by name.
    pub options: &'a BTreeMap<String, String>,
    /// Files, and folders written `folder/*`, to leave out.
    pub omit: &'a [String],
    /// Features to add to the configuration, with their options.
    pub features: &'a [(String, Map<String, Value>)],
}

/// A template applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The files to write, by their path in the project.
    pub files: BTreeMap<Utf8PathBuf, Vec<u8>>,
    /// Options that files use and the template does not declare. They were replaced by nothing, as the
    /// reference does.
    pub undeclared: Vec<Undeclared>,
}

/// An option that a file uses and the template does not declare.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: the template has no option `{option}`")]
pub struct Undeclared {
    /// The file.
    pub file: Utf8PathBuf,
    /// The option.
    pub option: String,
}

/// Why a template cannot be applied as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template has no such option. The reference takes the value and does nothing with it.
    #[error("the template has no option `{option}`{}{}", did_you_mean(near.as_deref()), listed(known))]
    UnknownOption {
        /// As it was given.
        option: String,
        /// The option that was probably meant.
        near: Option<String>,
        /// The options there are.
        known: Vec<String>,
    },
    /// The option takes other values.
    #[error("the option `{option}` cannot be `{value}`{}: expected one of {}", did_you_mean(near.as_deref()), allowed.join(", "))]
    NotAllowed {
        /// The option.
        option: String,
        /// The value that was given.
        value: String,
        /// The value that was probably meant.
        near: Option<String>,
        /// The values it takes.
        allowed: Vec<String>,
    },
    /// A file of git's own: what is written there git runs on the computer itself.
    #[error("the template's `{path}` is refused: what lies in `.git` belongs to git, which runs it")]
    Git {
        /// The file.
        path: Utf8PathBuf,
    },
    /// Features were asked for, and there is no configuration to add them to.
    #[error("the template has no devcontainer.json to which the features could be added")]
    NoConfiguration,
    /// The template's configuration is not JSON with comments. Shown as `file:line:column: reason`.
    #[error("{file}:{error}")]
    Syntax {
        /// The file in the template.
        file: Utf8PathBuf,
        /// Where and why.
        error: SyntaxError,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default()
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!(" (it has {})", known.join(", ")) }
}

/// Applies a template to nothing: the result is what is to be written.
///
/// # Errors
/// See [`TemplateError`]; nothing is to be written then.
pub fn apply(
    metadata: &TemplateMetadata,
    files: &BTreeMap<Utf8PathBuf, Vec<u8>>,
    selection: &Selection<'_>,
) -> Result<Applied, TemplateError> {
    let values = values(&metadata.options, selection.options)?;
    let mut applied = Applied { files: BTreeMap::new(), undeclared: Vec::new() };
    for (path, bytes) in files {
        if is_omitted(path, selection.omit) {
            continue;
        }
        // Some file systems ignore case.
        if path.components().any(|part| part.as_str().eq_ignore_ascii_case(".git")) {
            return Err(TemplateError::Git { path: path.clone() });
        }
        // Whatever is not text has no variables; replacing in it would destroy it.
        let content = match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => {
                let mut missing = BTreeSet::new();
                let text = replace(text, &values, &mut missing);
                let undeclared = |option| Undeclared { file: path.clone(), option };
                applied.undeclared.extend(missing.into_iter().map(undeclared));
                text.into_bytes()
            }
            _ => bytes.clone(),
        };
        applied.files.insert(path.clone(), content);
    }
    add_features(&mut applied.files, selection.features)?;
    Ok(applied)
}

/// The value of every option: the one chosen, else the default, else nothing.
fn values(
    options: &[(String, OptionSpec)],
    chosen: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, TemplateError> {
    for (name, value) in chosen {
        let Some((_, option)) = options.iter().find(|(known, _)| known == name) else {
            let known: Vec<String> = options.iter().map(|(known, _)| known.clone()).collect();
            let near = near::closest(name, known.iter().map(String::as_str)).map(str::to_owned);
            return Err(TemplateError::UnknownOption { option: name.clone(), near, known });
        };
        let allowed = match &option.kind {
            OptionKind::Boolean => vec!["true".to_owned(), "false".to_owned()],
            OptionKind::Choice(values) => values.clone(),
            OptionKind::Text(_) => continue,
        };
        if !allowed.contains(value) {
            let near = near::closest(value, allowed.iter().map(String::as_str)).map(str::to_owned);
            let (option, value) = (name.clone(), value.clone());
            return Err(TemplateError::NotAllowed { option, value, near, allowed });
        }
    }
    let value = |(name, option): &(String, OptionSpec)| {
        let value = chosen.get(name).cloned().or_else(|| option.default.clone()).unwrap_or_default();
        (name.clone(), value)
    };
    Ok(options.iter().map(value).collect())
}

/// Replaces every `${templateOption:name}`; other variables are for the configuration's reader.
fn replace(text: &str, values: &BTreeMap<String, String>, missing: &mut BTreeSet<String>) -> String {
    const START: &str = "${templateOption:";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(START) {
        let inner = &rest[start + START.len()..];
        out.push_str(&rest[..start]);
        let name = inner.find('}').map(|end| inner[..end].trim());
        let is_word = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        match name {
            Some(name) if values.contains_key(name) => out.push_str(&values[name]),
            Some(name) if is_word(name) => {
                missing.insert(name.to_owned());
            }
            // Not a variable but a text that begins like one.
            _ => {
                out.push_str(START);
                rest = inner;
                continue;
            }
        }
        rest = inner.split_once('}').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

/// Whether a file is left out. Patterns are paths as in the template, and `folder/*` for all below a folder.
fn is_omitted(path: &Utf8Path, omit: &[String]) -> bool {
    NEVER_WRITTEN.iter().any(|name| path == Utf8Path::new(name))
        || omit.iter().any(|pattern| {
            let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
            match pattern.strip_suffix("/*") {
                Some(folder) => path != Utf8Path::new(folder) && path.starts_with(folder),
                None => path == Utf8Path::new(pattern),
            }
        })
}

fn add_features(
    files: &mut BTreeMap<Utf8PathBuf, Vec<u8>>,
    features: &[(String, Map<String, Value>)],
) -> Result<(), TemplateError> {
    if features.is_empty() {
        return Ok(());
    }
    let is_configuration =
        |path: &Utf8Path| matches!(path.file_name(), Some("devcontainer.json" | ".devcontainer.json"));
    let Some((path, content)) = files.iter_mut().find(|(path, _)| is_configuration(path)) else {
        return Err(TemplateError::NoConfiguration);
    };
    let syntax = |error| TemplateError::Syntax { file: path.clone(), error };
    // Text that is not UTF-8 becomes a syntax error with its place.
    crate::jsonc::parse(content).map_err(syntax)?;
    let text = String::from_utf8_lossy(content);
    let features = features.iter().map(|(id, options)| (id.as_str(), options));
    *content = edit::add_features(&text, features).map_err(syntax)?.into_bytes();
    Ok(())
}

#[cfg(test)]
mod tests;
