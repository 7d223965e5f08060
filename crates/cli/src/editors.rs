//! What each editor of this computer is told to open an environment. Which there are is said by [`host::editors`].
//!
//! VS Code and its kin attach to the container through the docker context `cove`; all others come by ssh.

pub(crate) mod attached;

use std::fmt::Write as _;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use host::editors::Editor;

use crate::docker_context;

/// What is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The environment's name.
    pub(crate) environment: String,
    /// The host that it is to ssh.
    pub(crate) host: String,
    /// The container's name.
    pub(crate) container: String,
    /// The folder in it.
    pub(crate) folder: String,
    /// The user in it.
    pub(crate) user: String,
}

/// The folder of an editor's own files, and the extension in it that attaches to containers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttachingExtension {
    pub(crate) user_data: &'static str,
    pub(crate) name: &'static str,
}

/// Where an editor keeps what it knows of containers; `None` where that is not known.
pub(crate) fn extension(editor: Editor) -> Option<AttachingExtension> {
    let (user_data, name) = match editor {
        Editor::Code => ("Code", "ms-vscode-remote.remote-containers"),
        Editor::CodeInsiders => ("Code - Insiders", "ms-vscode-remote.remote-containers"),
        Editor::Cursor => ("Cursor", "anysphere.remote-containers"),
        Editor::Windsurf | Editor::Zed | Editor::Jetbrains | Editor::Terminal => return None,
    };
    Some(AttachingExtension { user_data, name })
}

/// The URI or command that leads to the target.
pub(crate) fn address(editor: Editor, target: &Target) -> String {
    let Target { environment, host, folder, user, .. } = target;
    match editor {
        Editor::Code | Editor::CodeInsiders | Editor::Cursor | Editor::Windsurf => attached_uri(target),
        Editor::Zed => format!("ssh://{host}{}", encoded(folder, "/")),
        // Neither `deploy=true`, which goes with the product and build to install, nor `deploy=false`, which goes with
        // the path of one that is there: a person chooses the IDE.
        Editor::Jetbrains => format!(
            "jetbrains-gateway://connect#type=ssh&host={}&port=22&user={}&projectPath={}",
            encoded(host, ""),
            encoded(user, ""),
            encoded(folder, "")
        ),
        Editor::Terminal => format!("cove shell {environment}"),
    }
}

/// What its program is told.
pub(crate) fn words_for(editor: Editor, target: &Target) -> Vec<String> {
    let address = address(editor, target);
    if editor.attaches() { vec!["--folder-uri".to_owned(), address] } else { vec![address] }
}

/// Reads the word of an editor on the command line.
pub(crate) fn parser() -> impl TypedValueParser<Value = Editor> {
    let words = Editor::ALL.map(|editor| {
        let about = match editor {
            Editor::Terminal => "A shell: in this terminal, or in a new one where this is none",
            editor => editor.title(),
        };
        PossibleValue::new(editor.word()).help(about)
    });
    PossibleValuesParser::new(words).try_map(|word| Editor::of_word(&word).ok_or("no such editor"))
}

/// Names the container and the docker context; without the context the extension would ask whatever engine is the
/// default one.
fn attached_uri(target: &Target) -> String {
    let named = serde_json::json!({
        "containerName": format!("/{}", target.container),
        "settings": { "context": docker_context::NAME },
    });
    let mut hex = String::new();
    for byte in named.to_string().bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    format!("vscode-remote://attached-container+{hex}{}", encoded(&target.folder, "/"))
}

/// Text within a URI; beside the letters and digits only these characters stay.
fn encoded(text: &str, kept: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || kept.contains(c) {
            encoded.push(c);
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target {
            environment: "web".to_owned(),
            host: "web.cove".to_owned(),
            container: "cove-web-1".to_owned(),
            folder: "/work spaces/web+1".to_owned(),
            user: "vscode".to_owned(),
        }
    }

    fn hex_of(uri: &str) -> String {
        uri.split(['+', '/']).nth(3).unwrap().to_owned()
    }

    #[test]
    fn each_editor_has_an_address_of_its_own_kind() {
        let all = Editor::ALL.map(|editor| format!("{} {}", editor.word(), address(editor, &target())));
        let all = all.join("\n").replace(&hex_of(&attached_uri(&target())), "HEX");
        insta::assert_snapshot!(all, @r"
        code vscode-remote://attached-container+HEX/work%20spaces/web%2B1
        code-insiders vscode-remote://attached-container+HEX/work%20spaces/web%2B1
        cursor vscode-remote://attached-container+HEX/work%20spaces/web%2B1
        windsurf vscode-remote://attached-container+HEX/work%20spaces/web%2B1
        zed ssh://web.cove/work%20spaces/web%2B1
        jetbrains jetbrains-gateway://connect#type=ssh&host=web.cove&port=22&user=vscode&projectPath=%2Fwork%20spaces%2Fweb%2B1
        terminal cove shell web
        ");
        let hex = hex_of(&attached_uri(&target()));
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"containerName":"/cove-web-1","settings":{"context":"cove"}}"#
        );
    }
}
