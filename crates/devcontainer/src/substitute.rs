//! Variables: `${…}` in strings, replaced in two passes.
//!
//! The first pass happens while a file is read and knows the host and the workspace; the second,
//! [`substitute_container_env`], needs the running container. A variable that a pass does not know stays as
//! it is written, and what a variable expands to is not looked at again.

use crate::config::{Config, Properties};
use crate::merge::Resolved;
use crate::sources::Sources;
use camino::Utf8Path;
use std::collections::BTreeMap;

/// One `${name:argument:default}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variable<'a> {
    pub(crate) name: &'a str,
    pub(crate) argument: Option<&'a str>,
    /// Ends at the next `:` as the reference has it, so that a default cannot be a URL.
    pub(crate) default: Option<&'a str>,
}

impl<'a> Variable<'a> {
    fn parse(inner: &'a str) -> Self {
        let mut parts = inner.split(':');
        Self { name: parts.next().unwrap_or_default(), argument: parts.next(), default: parts.next() }
    }

    fn is_local_env(&self) -> bool {
        matches!(self.name, "localEnv" | "env")
    }

    /// What a variable of an environment stands for; `None` when it names none.
    fn of_env(&self, lookup: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        let name = self.argument?;
        Some(lookup(name).unwrap_or_else(|| self.default.unwrap_or_default().to_owned()))
    }
}

/// A variable ends on the line on which it begins.
const LINE_ENDS: [char; 4] = ['\n', '\r', '\u{2028}', '\u{2029}'];

/// Replaces each variable for which `value` has an answer.
pub(crate) fn expand(text: &str, mut value: impl FnMut(&Variable<'_>) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let inner = &rest[start + 2..];
        let end = inner.find('}').filter(|end| !inner[..*end].contains(LINE_ENDS));
        out.push_str(&rest[..start]);
        let Some(end) = end else {
            out.push_str("${");
            rest = inner;
            continue;
        };
        match value(&Variable::parse(&inner[..end])) {
            Some(replacement) => out.push_str(&replacement),
            None => out.push_str(&rest[start..=start + 2 + end]),
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    out
}

/// The first `${localEnv}` of a text that says no name.
pub(crate) fn nameless(text: &str) -> Option<String> {
    let mut found = None;
    expand(text, |variable| {
        if variable.is_local_env() && variable.argument.is_none() {
            found.get_or_insert_with(|| format!("${{{}}}", variable.name));
        }
        None
    });
    found
}

/// What is known before there is a container. An absent part leaves its variables alone.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) env: Option<&'a dyn Sources>,
    pub(crate) workspace: Option<&'a Utf8Path>,
    pub(crate) container_folder: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
}

impl Known<'_> {
    /// What image metadata may use of a configuration: everything but the host's environment.
    pub(crate) fn of(config: &Config) -> Known<'_> {
        Known {
            env: None,
            workspace: Some(config.workspace.as_path()).filter(|folder| !folder.as_str().is_empty()),
            container_folder: Some(config.workspace_folder.as_str()).filter(|folder| !folder.is_empty()),
            id: Some(config.id.as_str()),
        }
    }

    /// Leaves every variable alone.
    pub(crate) const fn nothing() -> Self {
        Self { env: None, workspace: None, container_folder: None, id: None }
    }

    pub(crate) fn expand(&self, text: &str) -> String {
        expand(text, |variable| match variable.name {
            "localWorkspaceFolder" => self.workspace.map(Utf8Path::to_string),
            "localWorkspaceFolderBasename" => self.workspace.map(|path| basename(path.as_str()).to_owned()),
            "containerWorkspaceFolder" => self.container_folder.map(str::to_owned),
            "containerWorkspaceFolderBasename" => self.container_folder.map(|path| basename(path).to_owned()),
            "devcontainerId" => self.id.map(str::to_owned),
            _ if variable.is_local_env() => {
                self.env.and_then(|sources| variable.of_env(|name| sources.env(name)))
            }
            _ => None,
        })
    }
}

fn basename(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Replaces `${localEnv:…}` in metadata read off an image.
///
/// [`merge`](crate::merge) replaces every other variable of image metadata. This one is separate because it
/// lets an image read the variables of the person who uses it: call it only for images that were built from
/// the person's own configuration or that they trust.
pub fn substitute_local_env(entries: &mut [Properties], sources: &dyn Sources) {
    for entry in entries {
        entry.for_each_text(&mut |text| {
            *text = expand(text, |variable| {
                variable.is_local_env().then(|| variable.of_env(|name| sources.env(name))).flatten()
            });
        });
    }
}

/// Replaces `${containerEnv:NAME}` in `remoteEnv`, the lifecycle commands and the customizations, from the
/// environment of the running container. An unset variable becomes its default, or empty.
pub fn substitute_container_env(resolved: &mut Resolved, env: &BTreeMap<String, String>) {
    let mut replace = |text: &mut String| *text = expand_container_env(text, env);
    resolved.remote_env.values_mut().flatten().for_each(&mut replace);
    resolved.lifecycle.for_each_text(&mut replace);
    resolved.customizations.values_mut().flatten().for_each(|value| for_each_text(value, &mut replace));
}

/// Replaces `${containerEnv:NAME}` in one text.
pub(crate) fn expand_container_env(text: &str, env: &BTreeMap<String, String>) -> String {
    expand(text, |variable| {
        (variable.name == "containerEnv").then(|| variable.of_env(|name| env.get(name).cloned())).flatten()
    })
}

/// Calls `change` with every string in a value that is not a key.
pub(crate) fn for_each_text(value: &mut serde_json::Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        serde_json::Value::String(text) => change(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| for_each_text(item, change)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|item| for_each_text(item, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Files;
    use proptest::prelude::*;

    #[test]
    fn every_variable() {
        let files =
            Files::new().with_env("USER", "eva").with_env("EMPTY", "").with_env("B", "${localEnv:USER}");
        let known = Known {
            env: Some(&files),
            workspace: Some("/src/app".into()),
            container_folder: Some("/workspaces/app/web"),
            id: Some("0id"),
        };
        let table = [
            ("${localEnv:USER}-${env:USER}", "eva-eva"),
            ("${localEnv:NONE}|${localEnv:NONE:else}|${localEnv:EMPTY:else}", "|else|"),
            ("${localEnv:NONE:http://x}", "http"),
            ("${localWorkspaceFolder} ${localWorkspaceFolderBasename}", "/src/app app"),
            ("${containerWorkspaceFolder} ${containerWorkspaceFolderBasename}", "/workspaces/app/web web"),
            ("v-${devcontainerId}", "v-0id"),
            (
                "${containerEnv:PATH} ${unknown} ${ localEnv:USER}",
                "${containerEnv:PATH} ${unknown} ${ localEnv:USER}",
            ),
            ("${localEnv:B}", "${localEnv:USER}"),
            ("$ $${localEnv:USER} ${localEnv:USER", "$ $eva ${localEnv:USER"),
            ("${a\n${localEnv:USER}", "${a\neva"),
            ("${localEnv}", "${localEnv}"),
        ];
        for (text, expected) in table {
            assert_eq!(known.expand(text), expected, "{text}");
        }
        assert_eq!(nameless("x ${localEnv} ${env}").as_deref(), Some("${localEnv}"));
    }

    proptest! {
        #[test]
        fn keeps_everything_without_answers(text in "[${}:a\n é]{0,30}") {
            prop_assert_eq!(expand(&text, |_| None), text);
        }
    }
}
