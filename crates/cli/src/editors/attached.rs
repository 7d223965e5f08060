//! What VS Code and its kin know of a container before they attach to it: a file by the container's name, which says
//! whose files open, where, and with which extensions and settings.
//!
//! They do not apply a configuration's part for them by themselves when they attach. The file is a person's too, so that
//! it is merged three ways: what it holds, what Cove wrote into it last, and what Cove has to say now. What is as Cove
//! left it follows the configuration; anything else is the person's, also that something is not there any more.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use host::editors::Editor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{AttachingExtension, Target};
use crate::whole_file;

/// Longest file of an editor's that is read, in bytes.
const LONGEST: u64 = 4 << 20;

/// What a configuration wants of VS Code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Customizations {
    extensions: Vec<String>,
    settings: Map<String, Value>,
}

impl Customizations {
    /// From what everybody says to VS Code: image, features, and last the configuration. What is not understood says
    /// nothing.
    pub(crate) fn of(parts: &[Value]) -> Self {
        let mut all = Self::default();
        for part in parts {
            for extension in part["extensions"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                all.add(extension);
            }
            for (name, value) in part["settings"].as_object().into_iter().flatten() {
                all.settings.insert(name.clone(), value.clone());
            }
        }
        all
    }

    /// A `-` in front takes an extension of an earlier part away.
    fn add(&mut self, extension: &str) {
        match extension.strip_prefix('-') {
            Some(unwanted) => self.extensions.retain(|other| !other.eq_ignore_ascii_case(unwanted)),
            None if has(&self.extensions, extension) => {}
            None => self.extensions.push(extension.to_owned()),
        }
    }
}

/// Whether an extension is among others.
fn has(extensions: &[String], name: &str) -> bool {
    extensions.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// What of a file is Cove's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Part {
    remote_user: Option<Value>,
    #[serde(flatten)]
    customizations: Customizations,
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

/// Where the files are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Folders<'a> {
    /// The folder below which editors keep theirs.
    pub(crate) of_editors: &'a Utf8Path,
    /// The folder of what Cove knows of them.
    pub(crate) of_cove: &'a Utf8Path,
}

/// Writes what the configuration says into the editor's file of that container; none for an editor without such files.
///
/// # Errors
/// A file cannot be read, understood or written; then the editor's is as it was.
pub(crate) fn write(
    folders: Folders<'_>,
    editor: Editor,
    target: &Target,
    wanted: &Customizations,
) -> io::Result<()> {
    let Some(AttachingExtension { user_data, name }) = super::extension(editor) else { return Ok(()) };
    let folder = folders.of_editors.join(user_data).join("User/globalStorage").join(name).join("nameConfigs");
    let own_name = format!("{}.json", super::encoded(&target.container, ""));
    let file = folder.join(&own_name);
    let own_folder = folders.of_cove.join(editor.word());
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&own_folder)?;
    let lock = std::fs::File::create(folders.of_cove.join("lock"))?;
    lock.lock()?;

    let written_file = own_folder.join(&own_name);
    // Several where a writer ended in between: the file is as one of them says.
    let written: Vec<Part> = match read(&written_file) {
        Ok(Some(written)) => serde_json::from_value(written).unwrap_or_default(),
        Ok(None) | Err(_) => Vec::new(),
    };
    let before = read(&file)?;
    let now = Part { remote_user: Some(json!(target.user)), customizations: wanted.clone() };
    let after = merged(before.as_ref(), &written, &now, &target.folder);
    let keep = |parts: &[&Part]| whole_file::write(&written_file, &serde_json::to_vec_pretty(parts)?, 0o600);
    if before.as_ref() != Some(&after) {
        let begun: Vec<&Part> = written.iter().filter(|part| **part != now).chain([&now]).collect();
        keep(&begun)?;
        std::fs::create_dir_all(&folder)?;
        let mode = std::fs::metadata(&file).map_or(0o644, |found| found.permissions().mode() & 0o7777);
        whole_file::write(&file, format!("{}\n", serde_json::to_string_pretty(&after)?).as_bytes(), mode)?;
    }
    if written.as_slice() == [now.clone()] { Ok(()) } else { keep(&[&now]) }
}

fn read(file: &Utf8Path) -> io::Result<Option<Value>> {
    match std::fs::metadata(file) {
        Ok(found) if found.len() > LONGEST => Err(io::Error::other("the file is too long")),
        Ok(_) => Ok(Some(serde_json::from_slice(&std::fs::read(file)?)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The file as it is to be, from how it is, what Cove may have written last, and what it says now.
fn merged(file: Option<&Value>, written: &[Part], now: &Part, folder: &str) -> Value {
    let mut all = file.and_then(Value::as_object).cloned().unwrap_or_default();
    let nothing = [Part::default()];
    // A file that is not there any more takes what was written into it along.
    let written = if file.is_none() || written.is_empty() { &nothing } else { written };

    let user = |part: &Part| part.remote_user.clone();
    let user = settled(all.remove("remoteUser"), written.iter().map(user), user(now));
    let extensions = merged_extensions(all.remove("extensions"), written, now);
    let settings = merged_settings(all.remove("settings"), written, now);

    all.insert("workspaceFolder".to_owned(), json!(folder));
    all.extend(user.map(|user| ("remoteUser".to_owned(), user)));
    all.extend((!extensions.is_empty()).then(|| ("extensions".to_owned(), json!(extensions))));
    all.extend((!settings.is_empty()).then(|| ("settings".to_owned(), Value::Object(settings))));
    Value::Object(all)
}

/// What holds of one thing: a person's word on it, else Cove's present one.
fn settled<T: PartialEq>(file: T, mut written: impl Iterator<Item = T>, now: T) -> T {
    if written.any(|written| written == file) { now } else { file }
}

/// Cove's first, in their order, then the person's.
fn merged_extensions(file: Option<Value>, written: &[Part], now: &Part) -> Vec<String> {
    let file: Vec<String> = file.and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default();
    let now = &now.customizations.extensions;
    let mut merged: Vec<String> = Vec::new();
    for name in now.iter().chain(&file) {
        let was_written = written.iter().map(|part| has(&part.customizations.extensions, name));
        let is_wanted = settled(has(&file, name), was_written, has(now, name));
        if is_wanted && !has(&merged, name) && !has(&file, &format!("-{name}")) {
            merged.push(name.clone());
        }
    }
    merged
}

fn merged_settings(file: Option<Value>, written: &[Part], now: &Part) -> Map<String, Value> {
    let file = if let Some(Value::Object(file)) = file { file } else { Map::new() };
    let now = &now.customizations.settings;
    let mut merged = Map::new();
    for name in now.keys().chain(file.keys()) {
        let was_written = written.iter().map(|part| part.customizations.settings.get(name));
        if let Some(value) = settled(file.get(name), was_written, now.get(name)) {
            merged.insert(name.clone(), value.clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests;
