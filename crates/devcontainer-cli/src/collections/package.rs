//! Packages a feature or template, or a whole collection of them: one archive each, and a file that lists them.

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::ReadError;
use devcontainer::feature::{FeatureFileError, FeatureMetadata};
use devcontainer::template::TemplateMetadata;
use oci::Files;
use serde_json::{Map, Value, json};

use super::folder::{self, FolderError};
use super::json::{self, JsonError};
use super::kind::Kind;
use super::template_facts::{self, TemplateFactsError};
use crate::log::{Level, Log};

/// The file that lists what a collection has.
pub(crate) const COLLECTION_FILE: &str = "devcontainer-collection.json";

/// What every feature must have.
const INSTALL_SCRIPT: &str = "install.sh";

/// One packaged feature or template.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its id.
    pub(crate) id: String,
    /// Its version.
    pub(crate) version: String,
    /// Ids that it had in the past.
    pub(crate) legacy_ids: Vec<String>,
    /// Its whole metadata, as published.
    pub(crate) metadata: Map<String, Value>,
    /// Its files as an archive; the same bytes for the same files.
    pub(crate) archive: Vec<u8>,
}

/// What was packaged from one folder.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) kind: Kind,
    /// Never empty.
    pub(crate) packages: Vec<Package>,
}

/// Why something cannot be packaged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    /// Files cannot be read or written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A metadata file is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A feature's file says what cannot be.
    #[error(transparent)]
    Feature(#[from] FeatureFileError),
    /// A template's file says what cannot be.
    #[error(transparent)]
    TemplateFile(#[from] ReadError),
    /// A property that has to be there is missing, empty, or of another type.
    #[error("{file}: \"{property}\" is required and must be a string that says something")]
    Property {
        /// The metadata file.
        file: Utf8PathBuf,
        /// The property.
        property: &'static str,
    },
    /// An id that cannot be part of a name in a registry.
    #[error("{file}: the id \"{id}\" may only have letters, digits, and `.`, `_` or `-` between them")]
    Id {
        /// The metadata file.
        file: Utf8PathBuf,
        /// The id.
        id: String,
    },
    /// A feature that cannot be installed.
    #[error("the feature in `{folder}` has no `{INSTALL_SCRIPT}`")]
    NoInstallScript {
        /// Its folder.
        folder: Utf8PathBuf,
    },
    /// A template that is none.
    #[error(transparent)]
    Template(#[from] TemplateFactsError),
    /// There is nothing to package.
    #[error(
        "`{folder}` has no `{}`, and no folder in it has one: there is nothing to package",
        kind.metadata_file()
    )]
    Empty {
        /// What was looked for.
        kind: Kind,
        /// Where.
        folder: Utf8PathBuf,
    },
    /// Two folders say that they are the same.
    #[error("two {}s have the id \"{id}\"", kind.word())]
    Twice {
        /// What they are.
        kind: Kind,
        /// The id.
        id: String,
    },
    /// The archives would replace what may be wanted.
    #[error(
        "the output folder `{folder}` exists already: delete it, or let --force-clean-output-folder do so"
    )]
    OutputExists {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// Cleaning the output folder would delete the sources.
    #[error("the output folder `{folder}` holds what is to be packaged, and is not deleted")]
    OutputHoldsSources {
        /// The folder.
        folder: Utf8PathBuf,
    },
}

/// Packages what is in `target`, which is the folder of one of them or has a folder for each. What is in `output` is no
/// part of it.
pub(crate) fn collect(
    kind: Kind,
    target: &Utf8Path,
    output: Option<&Utf8Path>,
    log: &Log,
) -> Result<Collection, PackageError> {
    if !target.is_dir() {
        return Err(FolderError::Missing { path: target.to_owned() }.into());
    }
    let file = kind.metadata_file();
    let mut packages: Vec<Package> = Vec::new();
    if target.join(file).is_file() {
        log.write(Level::Info, &format!("Packaging a single {}...", kind.word()));
        packages.push(package(kind, target, output)?);
    } else {
        log.write(Level::Info, &format!("Packaging a collection of {}s...", kind.word()));
        for path in folder::entries(target)? {
            if path.file_name().is_some_and(|name| name.starts_with('.')) || Some(path.as_path()) == output {
                continue;
            }
            if !path.join(file).is_file() {
                let note = format!("(!) `{path}` has no `{file}` and is left out");
                log.write(Level::Warning, &note);
                continue;
            }
            let package = package(kind, &path, output)?;
            if packages.iter().any(|other| other.id == package.id) {
                return Err(PackageError::Twice { kind, id: package.id });
            }
            if path.file_name() != Some(&package.id) {
                let note =
                    format!("(!) the folder `{path}` should have the name of its id, `{}`", package.id);
                log.write(Level::Warning, &note);
            }
            log.write(Level::Info, &format!("Packaged the {} `{}`", kind.word(), package.id));
            packages.push(package);
        }
    }
    if packages.is_empty() {
        return Err(PackageError::Empty { kind, folder: target.to_owned() });
    }
    log.write(Level::Info, &format!("Packaged {} {}(s)", packages.len(), kind.word()));
    Ok(Collection { kind, packages })
}

/// Packages one folder.
fn package(kind: Kind, folder: &Utf8Path, output: Option<&Utf8Path>) -> Result<Package, PackageError> {
    finish(kind, folder, folder::read(folder, output)?)
}

/// Adds what is published beside what the author wrote, and makes the archive.
fn finish(kind: Kind, folder: &Utf8Path, mut files: Files) -> Result<Package, PackageError> {
    let name = Utf8Path::new(kind.metadata_file());
    let place = folder.join(name);
    let Some(file) = files.get_mut(name) else {
        return Err(PackageError::Empty { kind, folder: folder.to_owned() });
    };
    let mut metadata = json::read_object(&file.bytes, place.as_str())?;
    match kind {
        Kind::Feature => drop(FeatureMetadata::parse(&file.bytes, place.as_str())?),
        Kind::Template => drop(TemplateMetadata::parse(&file.bytes, &place)?),
    }
    let required = |property: &'static str| match metadata.get(property).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(PackageError::Property { file: place.clone(), property }),
    };
    let (id, version, _name) = (required("id")?, required("version")?, required("name")?);
    let legacy_ids = texts(metadata.get("legacyIds"));
    // The id becomes the name of a file here, and of a repository later.
    if let Some(id) = legacy_ids.iter().chain([&id]).find(|id| !is_id(id)) {
        return Err(PackageError::Id { file: place, id: id.clone() });
    }
    match kind {
        Kind::Feature => {
            if !legacy_ids.is_empty() {
                // By this, who installs the feature by an older name learns its present one.
                metadata.insert("currentId".to_owned(), Value::String(id.clone()));
                file.bytes = json::pretty(&metadata, 4).into_bytes();
            }
            if !files.contains_key(Utf8Path::new(INSTALL_SCRIPT)) {
                return Err(PackageError::NoInstallScript { folder: folder.to_owned() });
            }
        }
        Kind::Template => {
            template_facts::add(&mut metadata, folder, &files)?;
            if let Some(file) = files.get_mut(name) {
                file.bytes = json::pretty(&metadata, 4).into_bytes();
            }
        }
    }
    Ok(Package { id, version, legacy_ids, metadata, archive: oci::pack(&files) })
}

fn is_id(id: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    id.bytes().all(inner) && ends(id.bytes().next()) && ends(id.bytes().last())
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Collection {
    /// The content of `devcontainer-collection.json`.
    pub(crate) fn document(&self) -> String {
        let listed = self.packages.iter().map(|package| Value::Object(package.metadata.clone())).collect();
        let mut document = Map::new();
        document.insert("sourceInformation".to_owned(), json!({ "source": "devcontainer-cli" }));
        document.insert(format!("{}s", self.kind.word()), Value::Array(listed));
        json::pretty(&document, 4)
    }
}

/// Packages into `output`, which is made; what is in it is deleted if `clean` says so, and else an error.
pub(crate) fn to_folder(
    kind: Kind,
    target: &Utf8Path,
    output: &Utf8Path,
    clean: bool,
    log: &Log,
) -> Result<(), PackageError> {
    let exists = output.is_dir();
    if exists && !clean {
        return Err(PackageError::OutputExists { folder: output.to_owned() });
    }
    if exists && holds(output, target) {
        return Err(PackageError::OutputHoldsSources { folder: output.to_owned() });
    }
    let collection = collect(kind, target, Some(output), log)?;
    if exists {
        folder::remove(output)?;
    }
    folder::make(output)?;
    for package in &collection.packages {
        folder::write_bytes(&output.join(kind.archive(&package.id)), &package.archive)?;
    }
    folder::write_bytes(&output.join(COLLECTION_FILE), collection.document().as_bytes())?;
    Ok(())
}

/// Whether `inner` is `outer` or in it, links looked through.
fn holds(outer: &Utf8Path, inner: &Utf8Path) -> bool {
    match (outer.canonicalize_utf8(), inner.canonicalize_utf8()) {
        (Ok(outer), Ok(inner)) => inner.starts_with(outer),
        _ => inner.starts_with(outer),
    }
}
