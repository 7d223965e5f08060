//! The script that runs one feature's `install.sh`, and the words for the shell in it.

use super::resolver::ResolvedFeature;
use super::{options, without_version};

/// A word that the shell takes as it stands.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The script beside a feature's own files. It says what is installed, gives the feature its variables and
/// runs it; when that fails it says which feature it was.
///
/// Homes are looked up where the script runs, so that a feature sees the home of a user that another
/// feature has made before it.
pub(super) fn installer(feature: &ResolvedFeature, container_user: &str, remote_user: &str) -> String {
    let metadata = &feature.metadata;
    let id = without_version(&feature.written);
    let name = metadata.name.as_deref().unwrap_or(id);
    let documentation = metadata.documentation_url.as_deref();
    let mut facts = vec![("Feature", name), ("Id", id)];
    facts.extend(metadata.description.as_deref().map(|text| ("Description", text)));
    facts.extend(metadata.version.as_deref().map(|text| ("Version", text)));
    facts.extend(documentation.map(|text| ("Documentation", text)));
    let facts: String = facts
        .into_iter()
        .map(|(title, text)| format!("echo {}\n", quoted(&format!("{title}: {}", one_line(text)))))
        .collect();
    let options: String = feature
        .options
        .iter()
        .map(|(option, value)| {
            let line = format!("  {}={}", options::environment_name(option), one_line(value));
            format!("printf '%s\\n' {}\n", quoted(&line))
        })
        .collect();
    let warning = if metadata.deprecated {
        format!("echo {}\n", quoted(&format!("WARNING: {id} is deprecated and gets no more updates")))
    } else {
        String::new()
    };
    let failure = format!("ERROR: Feature \"{}\" ({id}) failed to install!", one_line(name));
    let advice = documentation.map(|link| format!(" See {} for help.", one_line(link))).unwrap_or_default();
    format!(
        "#!/bin/sh\nset -e\n\n\
         failed() {{\n  status=$?\n  [ \"$status\" -eq 0 ] && exit\n  echo {failure} >&2\n  exit \"$status\"\n}}\n\
         trap failed EXIT\n\n\
         home_of() {{\n  user=${{1%%:*}}\n  \
         {{ getent passwd \"$user\" 2>/dev/null || cat /etc/passwd; }} | \
         while IFS=: read -r name _ number _ _ home _; do\n    \
         if [ \"$name\" = \"$user\" ] || [ \"$number\" = \"$user\" ]; then echo \"$home\"; break; fi\n  \
         done\n}}\n\n\
         {warning}{facts}echo Options:\n{options}\n\
         set -a\n\
         _CONTAINER_USER={container}\n_REMOTE_USER={remote}\n\
         _CONTAINER_USER_HOME=$(home_of \"$_CONTAINER_USER\")\n_REMOTE_USER_HOME=$(home_of \"$_REMOTE_USER\")\n\
         . ./devcontainer-features.env\nset +a\n\n\
         chmod +x ./install.sh\n./install.sh\n",
        failure = quoted(&format!("{failure}{advice}")),
        container = quoted(container_user),
        remote = quoted(remote_user),
    )
}

/// Foreign text must not steer the terminal of whoever reads the log.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
