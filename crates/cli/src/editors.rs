//! The editors of this computer, and what each is told to open an environment.
//!
//! VS Code and its kin attach to the container through the docker context `cove`; all others come by ssh.

pub(crate) mod attached;

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use serde::Serialize;

use crate::docker_context;

/// An editor, or what stands for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Editor {
    /// VS Code
    Code,
    /// VS Code Insiders
    CodeInsiders,
    /// Cursor
    Cursor,
    /// Windsurf
    Windsurf,
    /// Zed
    Zed,
    /// JetBrains Gateway
    Jetbrains,
    /// A shell: in this terminal, or in a new one where this is none
    Terminal,
}

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

/// How an editor is found.
struct Traces {
    commands: &'static [&'static str],
    /// In a folder of applications, on a Mac.
    bundle: &'static str,
}

impl Editor {
    /// The order in which they are looked for.
    pub(crate) const LOOKED_FOR: [Self; 6] =
        [Self::Code, Self::Cursor, Self::Windsurf, Self::Zed, Self::CodeInsiders, Self::Jetbrains];

    /// The word for it on the command line.
    pub(crate) fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The one of a word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }

    /// How people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Code => "VS Code",
            Self::CodeInsiders => "VS Code Insiders",
            Self::Cursor => "Cursor",
            Self::Windsurf => "Windsurf",
            Self::Zed => "Zed",
            Self::Jetbrains => "JetBrains Gateway",
            Self::Terminal => "a terminal",
        }
    }

    /// Whether it attaches to the container itself, rather than coming by ssh.
    pub(crate) fn attaches(self) -> bool {
        matches!(self, Self::Code | Self::CodeInsiders | Self::Cursor | Self::Windsurf)
    }

    /// Where it keeps what it knows of containers; `None` where that is not known.
    pub(crate) fn extension(self) -> Option<AttachingExtension> {
        let (user_data, name) = match self {
            Self::Code => ("Code", "ms-vscode-remote.remote-containers"),
            Self::CodeInsiders => ("Code - Insiders", "ms-vscode-remote.remote-containers"),
            Self::Cursor => ("Cursor", "anysphere.remote-containers"),
            Self::Windsurf | Self::Zed | Self::Jetbrains | Self::Terminal => return None,
        };
        Some(AttachingExtension { user_data, name })
    }

    fn traces(self) -> Traces {
        let (commands, bundle): (&'static [&'static str], _) = match self {
            Self::Code => (&["code"], "Visual Studio Code.app/Contents/Resources/app/bin/code"),
            Self::CodeInsiders => {
                (&["code-insiders"], "Visual Studio Code - Insiders.app/Contents/Resources/app/bin/code")
            }
            Self::Cursor => (&["cursor"], "Cursor.app/Contents/Resources/app/bin/cursor"),
            Self::Windsurf => (&["windsurf"], "Windsurf.app/Contents/Resources/app/bin/windsurf"),
            Self::Zed => (&["zed", "zeditor"], "Zed.app/Contents/MacOS/cli"),
            Self::Jetbrains => {
                (&["gateway", "jetbrains-gateway"], "JetBrains Gateway.app/Contents/MacOS/gateway")
            }
            Self::Terminal => (&[], ""),
        };
        Traces { commands, bundle }
    }

    /// The program that opens it.
    pub(crate) fn program(self) -> Option<Utf8PathBuf> {
        let path = std::env::var("PATH").unwrap_or_default();
        self.program_in(path.split(':').map(Utf8Path::new), &application_folders())
    }

    fn program_in<'a>(
        self,
        path: impl Iterator<Item = &'a Utf8Path> + Clone,
        applications: &[Utf8PathBuf],
    ) -> Option<Utf8PathBuf> {
        let Traces { commands, bundle } = self.traces();
        let in_path = commands.iter().flat_map(|command| {
            path.clone().filter(|folder| folder.is_absolute()).map(move |folder| folder.join(command))
        });
        let bundles = applications.iter().filter(|_| !bundle.is_empty()).map(|folder| folder.join(bundle));
        in_path.chain(bundles).find(|file| is_program(file))
    }

    /// The URI or command that leads to the target.
    pub(crate) fn address(self, target: &Target) -> String {
        let Target { environment, host, folder, user, .. } = target;
        match self {
            Self::Code | Self::CodeInsiders | Self::Cursor | Self::Windsurf => attached_uri(target),
            Self::Zed => format!("ssh://{host}{}", encoded(folder, "/")),
            // Neither `deploy=true`, which goes with the product and build to install, nor `deploy=false`, which goes
            // with the path of one that is there: a person chooses the IDE.
            Self::Jetbrains => format!(
                "jetbrains-gateway://connect#type=ssh&host={}&port=22&user={}&projectPath={}",
                encoded(host, ""),
                encoded(user, ""),
                encoded(folder, "")
            ),
            Self::Terminal => format!("cove shell {environment}"),
        }
    }

    /// What its program is told.
    pub(crate) fn arguments(self, target: &Target) -> Vec<String> {
        let address = self.address(target);
        if self.attaches() { vec!["--folder-uri".to_owned(), address] } else { vec![address] }
    }
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

fn is_program(file: &Utf8Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Where applications are, as one finds them with the Finder.
#[cfg(target_os = "macos")]
fn application_folders() -> Vec<Utf8PathBuf> {
    let own = std::env::var("HOME").map(|home| Utf8PathBuf::from(home).join("Applications"));
    std::iter::once("/Applications".into()).chain(own).collect()
}

#[cfg(not(target_os = "macos"))]
fn application_folders() -> Vec<Utf8PathBuf> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
        let all: Vec<_> = Editor::value_variants()
            .iter()
            .map(|editor| format!("{} {}", editor.word(), editor.address(&target())))
            .collect();
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

    #[test]
    fn an_editor_is_found_in_the_path_and_then_among_the_applications() {
        let temp = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temp.path()).unwrap();
        let program = |path: &str, mode: u32| {
            let file = root.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let bundled = program("Applications/Zed.app/Contents/MacOS/cli", 0o755);
        let find = |editor: Editor| {
            let folders = [root.join("bin")];
            editor.program_in(folders.iter().map(Utf8PathBuf::as_path), &[root.join("Applications")])
        };
        assert_eq!(find(Editor::Zed), Some(bundled));
        let other_name = program("bin/zeditor", 0o755);
        assert_eq!(find(Editor::Zed), Some(other_name));
        program("bin/code", 0o644);
        assert_eq!((find(Editor::Code), find(Editor::Terminal)), (None, None));
    }
}
