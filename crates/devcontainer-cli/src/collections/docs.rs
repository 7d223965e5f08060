//! Writes the README.md of every feature or template of a collection.

use camino::Utf8Path;

use super::arguments::TemplateDocsArguments;
use super::folder::{self, FolderError};
use super::json;
use super::kind::Kind;
use super::readme::Page;
use crate::log::{Level, Log};

/// Writes them. `published` is the registry and namespace of features. Gives whether every file could be used; what
/// could not is in the log, and the others have their README all the same.
pub(crate) fn generate(
    kind: Kind,
    folder: &Utf8Path,
    arguments: &TemplateDocsArguments,
    published: Option<(&str, &str)>,
    log: &Log,
) -> Result<bool, FolderError> {
    let mut all_used = true;
    for member in folder::entries(folder)? {
        let Some(name) = member.file_name().filter(|name| !name.starts_with('.')) else { continue };
        let place = member.join(kind.metadata_file());
        let Some(bytes) = folder::read_file(&place)? else {
            let note = format!("(!) there is no `{place}`; the folder is left out");
            log.write(Level::Warning, &note);
            continue;
        };
        let metadata = match json::read_object(&bytes, place.as_str()) {
            Ok(metadata) => metadata,
            Err(error) => {
                log.error(&error.to_string());
                all_used = false;
                continue;
            }
        };
        if metadata.get("id").and_then(|id| id.as_str()).is_none_or(str::is_empty) {
            log.error(&format!("{place}: \"id\" is missing; the folder is left out"));
            continue;
        }
        let notes = folder::read_file(&member.join("NOTES.md"))?.unwrap_or_default();
        let readme = member.join("README.md");
        log.write(Level::Info, &format!("Writing {readme}..."));
        let page = Page {
            kind,
            metadata: &metadata,
            notes: &String::from_utf8_lossy(&notes),
            link: &link(kind, arguments, name),
            published,
        };
        folder::write_bytes(&readme, page.render().as_bytes())?;
    }
    Ok(all_used)
}

/// Where people read the metadata file: on GitHub, or beside the README.
fn link(kind: Kind, arguments: &TemplateDocsArguments, name: &str) -> String {
    let file = kind.metadata_file();
    let TemplateDocsArguments { github_owner: owner, github_repo: repository, project_folder, .. } =
        arguments;
    if owner.is_empty() || repository.is_empty() {
        return file.to_owned();
    }
    let folder = project_folder.as_str();
    let folder = folder.strip_prefix("./").unwrap_or(folder);
    format!("https://github.com/{owner}/{repository}/blob/main/{folder}/{name}/{file}")
}
