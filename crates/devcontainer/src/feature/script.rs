//! The script that runs one feature's `install.sh`, and the words for the shell in it.

use super::resolver::ResolvedFeature;
use super::{options, without_version};

/// Says which feature it was when the installation fails, and keeps the exit status. It goes where the
/// script's own words go: builders mix two streams in any order, and this has to be the last.
const ON_EXIT: &str = r#"failed() {
  status=$?
  [ "$status" -eq 0 ] && exit
  printf '%s\n' "$failure"
  exit "$status"
}
trap failed EXIT
"#;

/// Reads the home of a user given by name or number, with or without a group. An image may have no `getent`.
const HOME_OF: &str = r#"home_of() {
  user=${1%%:*}
  { getent passwd "$user" 2>/dev/null || cat /etc/passwd; } | while IFS=: read -r name _ number _ _ home _; do
    if [ "$name" = "$user" ] || [ "$number" = "$user" ]; then echo "$home"; break; fi
  done
}
"#;

/// Variables that are set from here on are there for the feature's own script.
const RUN: &str = r#"_CONTAINER_USER_HOME=$(home_of "$_CONTAINER_USER")
_REMOTE_USER_HOME=$(home_of "$_REMOTE_USER")
. ./devcontainer-features.env
set +a

chmod +x ./install.sh
./install.sh"#;

/// The script beside a feature's own files. It says what is installed, gives the feature its variables and
/// runs it.
///
/// Homes are looked up where the script runs, so that a feature sees the home of a user that another
/// feature has made before it.
pub(super) fn installer(feature: &ResolvedFeature, container_user: &str, remote_user: &str) -> String {
    let metadata = &feature.metadata;
    let id = without_version(&feature.written);
    let name = metadata.name.as_deref().unwrap_or(id);
    let documentation = metadata.documentation_url.as_deref();
    let help = documentation.map(|link| format!(" See {link} for help.")).unwrap_or_default();
    let failure = format!("ERROR: Feature \"{name}\" ({id}) failed to install!{help}");
    let mut lines =
        vec!["#!/bin/sh".to_owned(), "set -e".to_owned(), format!("failure={}", quoted(&failure))];
    lines.extend([ON_EXIT.to_owned(), HOME_OF.to_owned()]);
    if metadata.deprecated {
        lines.push(say(&format!("WARNING: {id} is deprecated and gets no more updates")));
    }
    let facts = [
        ("Feature", Some(name)),
        ("Description", metadata.description.as_deref()),
        ("Id", Some(id)),
        ("Version", metadata.version.as_deref()),
        ("Documentation", documentation),
    ];
    lines.extend(facts.iter().filter_map(|(title, text)| Some(say(&format!("{title}: {}", (*text)?)))));
    lines.push(say("Options:"));
    let options = feature.options.iter();
    lines.extend(options.map(|(name, value)| say(&format!("  {}={value}", options::environment_name(name)))));
    lines.extend([String::new(), "set -a".to_owned()]);
    lines.push(format!("_CONTAINER_USER={}", quoted(container_user)));
    lines.push(format!("_REMOTE_USER={}", quoted(remote_user)));
    lines.extend([RUN.to_owned(), String::new()]);
    lines.join("\n")
}

/// A line of the script that prints a text as it stands; some shells' `echo` reads `\n` and the like.
fn say(text: &str) -> String {
    format!("printf '%s\\n' {}", quoted(text))
}

/// A word that the shell takes as it stands. Foreign text must not steer the terminal of who reads the log.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", plain.replace('\'', r"'\''"))
}
