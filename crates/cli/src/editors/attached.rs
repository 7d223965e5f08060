//! What VS Code and its kin know of a container before they attach to it: a file by the container's name, which says
//! whose files open, where, and with which extensions and settings.
//!
//! They do not apply a configuration's part for them by themselves when they attach.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};

use super::{AttachingExtension, Target};

/// Longest file of an editor's that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// What a configuration wants of VS Code.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Customizations {
    extensions: Vec<String>,
    settings: Map<String, Value>,
}

impl Customizations {
    /// From the metadata label of a container, which has the parts of its image and of its configuration, the latter
    /// last. What cannot be read says nothing.
    pub(crate) fn of_label(label: &str) -> Self {
        let parts = match serde_json::from_str(label) {
            Ok(Value::Array(parts)) => parts,
            Ok(part @ Value::Object(_)) => vec![part],
            _ => Vec::new(),
        };
        let mut all = Self::default();
        for part in &parts {
            let vscode = &part["customizations"]["vscode"];
            for extension in vscode["extensions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                all.add(extension);
            }
            for (name, value) in vscode["settings"].as_object().into_iter().flatten() {
                all.settings.insert(name.clone(), value.clone());
            }
        }
        all
    }

    /// A `-` in front takes an extension of an earlier part away.
    fn add(&mut self, extension: &str) {
        match extension.strip_prefix('-') {
            Some(unwanted) => self.extensions.retain(|other| !other.eq_ignore_ascii_case(unwanted)),
            None if self.extensions.iter().any(|other| other.eq_ignore_ascii_case(extension)) => {}
            None => self.extensions.push(extension.to_owned()),
        }
    }
}

/// The folder below which editors of that family keep their files.
#[cfg(target_os = "macos")]
pub(crate) fn user_folder() -> Option<Utf8PathBuf> {
    Some(Utf8PathBuf::from(std::env::var("HOME").ok()?).join("Library/Application Support"))
}

/// The folder below which editors of that family keep their files.
#[cfg(not(target_os = "macos"))]
pub(crate) fn user_folder() -> Option<Utf8PathBuf> {
    let set = |name| std::env::var(name).ok().filter(|value: &String| value.starts_with('/'));
    set("XDG_CONFIG_HOME")
        .map(Utf8PathBuf::from)
        .or_else(|| Some(Utf8PathBuf::from(set("HOME")?).join(".config")))
}

/// Writes what the configuration says into the editor's file of that container. What a person added there stays, and
/// their settings win.
pub(crate) fn write(
    user_folder: &Utf8Path,
    extension: AttachingExtension,
    target: &Target,
    wanted: &Customizations,
) -> io::Result<()> {
    let AttachingExtension { user_data, name } = extension;
    let folder = user_folder.join(user_data).join("User/globalStorage").join(name).join("nameConfigs");
    let file = folder.join(format!("{}.json", super::encoded(&target.container, "")));
    let before = read(&file)?;
    let after = merged(before.clone(), target, wanted);
    if before.as_ref() == Some(&after) {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    let text = serde_json::to_string_pretty(&after)?;
    let new = folder.join(format!(".{}.cove-{}", target.container, std::process::id()));
    std::fs::write(&new, format!("{text}\n"))?;
    std::fs::rename(&new, &file)
}

fn read(file: &Utf8Path) -> io::Result<Option<Value>> {
    match std::fs::metadata(file) {
        Ok(found) if found.len() > LONGEST => Err(io::Error::other("the file is too long")),
        Ok(_) => Ok(Some(serde_json::from_slice(&std::fs::read(file)?)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn merged(before: Option<Value>, target: &Target, wanted: &Customizations) -> Value {
    let mut all = match before {
        Some(Value::Object(all)) => all,
        _ => Map::new(),
    };
    all.insert("workspaceFolder".to_owned(), json!(target.folder));
    all.insert("remoteUser".to_owned(), json!(target.user));
    let mut extensions = wanted.clone();
    for own in all.get("extensions").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        extensions.add(own);
    }
    if !extensions.extensions.is_empty() {
        all.insert("extensions".to_owned(), json!(extensions.extensions));
    }
    let mut settings = wanted.settings.clone();
    for (name, value) in all.get("settings").and_then(Value::as_object).into_iter().flatten() {
        settings.insert(name.clone(), value.clone());
    }
    if !settings.is_empty() {
        all.insert("settings".to_owned(), Value::Object(settings));
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENSION: AttachingExtension = AttachingExtension { user_data: "Code", name: "some.extension" };

    fn target() -> Target {
        Target {
            environment: "web".to_owned(),
            host: "web.cove".to_owned(),
            container: "cove-web".to_owned(),
            folder: "/workspaces/web".to_owned(),
            user: "vscode".to_owned(),
        }
    }

    #[test]
    fn parts_of_a_label_add_up_and_can_take_away() {
        let label = json!([
            {"customizations": {"vscode": {"extensions": ["a.a", "b.b"], "settings": {"x": 1, "y": 1}}}},
            {"remoteUser": "x"},
            {"customizations": {"vscode": {"extensions": ["-A.A", "c.c", "B.b"], "settings": {"y": 2}}}},
        ]);
        let all = Customizations::of_label(&label.to_string());
        assert_eq!(all.extensions, ["b.b", "c.c"]);
        assert_eq!(Value::Object(all.settings), json!({"x": 1, "y": 2}));
        for nonsense in ["", "[", "[1]", "{\"customizations\": 3}", "[{\"customizations\":{\"vscode\":[]}}]"]
        {
            assert_eq!(Customizations::of_label(nonsense), Customizations::default());
        }
    }

    #[test]
    fn a_persons_own_part_of_the_file_stays() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let wanted = Customizations::of_label(
            r#"[{"customizations":{"vscode":{"extensions":["a.a"],"settings":{"x":1,"y":1}}}}]"#,
        );
        write(folder, EXTENSION, &target(), &wanted).unwrap();
        let file = folder.join("Code/User/globalStorage/some.extension/nameConfigs/cove-web.json");
        let mut now: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(now["workspaceFolder"], "/workspaces/web");
        now["settings"]["x"] = json!("mine");
        now["extensions"] = json!(["own.own"]);
        now["forwardPorts"] = json!([1]);
        std::fs::write(&file, now.to_string()).unwrap();
        write(folder, EXTENSION, &target(), &wanted).unwrap();
        let now: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(
            now,
            json!({
                "workspaceFolder": "/workspaces/web", "remoteUser": "vscode", "extensions": ["a.a", "own.own"],
                "settings": {"x": "mine", "y": 1}, "forwardPorts": [1],
            })
        );
        std::fs::write(&file, "{").unwrap();
        assert!(write(folder, EXTENSION, &target(), &wanted).is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "{", "what cannot be read is left alone");
    }
}
