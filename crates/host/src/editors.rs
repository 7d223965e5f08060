//! The editors of this computer: which there are, and which one opens unless another is named.
//!
//! What each is told to open is the affair of who opens it.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use crate::whole_file;

/// An editor, or what stands for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Editor {
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

/// How an editor is found.
struct Traces {
    commands: &'static [&'static str],
    /// In a folder of applications, on a Mac.
    bundle: &'static str,
}

impl Editor {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Code,
        Self::CodeInsiders,
        Self::Cursor,
        Self::Windsurf,
        Self::Zed,
        Self::Jetbrains,
        Self::Terminal,
    ];

    /// The order in which they are looked for.
    pub const LOOKED_FOR: [Self; 6] =
        [Self::Code, Self::Cursor, Self::Windsurf, Self::Zed, Self::CodeInsiders, Self::Jetbrains];

    /// The word for it: on the command line, and where it is remembered.
    pub fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::CodeInsiders => "code-insiders",
            Self::Cursor => "cursor",
            Self::Windsurf => "windsurf",
            Self::Zed => "zed",
            Self::Jetbrains => "jetbrains",
            Self::Terminal => "terminal",
        }
    }

    /// The one of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|editor| editor.word() == word)
    }

    /// How people call it.
    pub fn title(self) -> &'static str {
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
    pub fn attaches(self) -> bool {
        matches!(self, Self::Code | Self::CodeInsiders | Self::Cursor | Self::Windsurf)
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
    pub fn program(self) -> Option<Utf8PathBuf> {
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
}

/// The one that a person chose last, by any way; `None` if none was, or it is no editor of this version.
pub fn remembered(file: &Utf8Path) -> Option<Editor> {
    Editor::of_word(std::fs::read_to_string(file).ok()?.trim())
}

/// Remembers a person's choice, or forgets it.
///
/// # Errors
/// It is not written; then the one before still is there.
pub fn remember(file: &Utf8Path, editor: Option<Editor>) -> io::Result<()> {
    match editor {
        Some(editor) => whole_file::write(file, format!("{}\n", editor.word()).as_bytes()),
        None => whole_file::remove(file),
    }
}

/// The one that opens: what was named, then what was named last, then one that is there. Where none was named, one that is
/// allowed.
pub fn choose(
    named: Option<Editor>,
    remembered: Option<Editor>,
    allows: impl Fn(Editor) -> bool,
) -> Option<Editor> {
    let there = || {
        let mut editors = Editor::LOOKED_FOR.into_iter();
        editors.find(|editor| allows(*editor) && editor.program().is_some())
    };
    named.or(remembered.filter(|editor| allows(*editor))).or_else(there)
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
    #[test]
    fn a_choice_is_kept_until_another_or_none() {
        let temp = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(temp.path()).unwrap().join("editor");
        for editor in Editor::ALL {
            remember(&file, Some(editor)).unwrap();
            assert_eq!(remembered(&file), Some(editor));
        }
        let all = |_| true;
        assert_eq!(choose(None, remembered(&file), all), Some(Editor::Terminal));
        assert_eq!(choose(Some(Editor::Zed), remembered(&file), all), Some(Editor::Zed));
        assert_eq!(choose(None, remembered(&file), |_| false), None);
        fs_err::write(&file, "teco\n").unwrap();
        assert_eq!(remembered(&file), None);
        remember(&file, None).unwrap();
        remember(&file, None).unwrap();
        assert!(!file.exists());
    }
}
