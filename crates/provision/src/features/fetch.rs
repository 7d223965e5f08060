//! Gets one feature from where it comes from.

use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::feature::{
    FEATURE_FILE, FeatureError, FeatureMetadata, FeatureReference, Fetched, LocalFeature, ResolvedFeature,
    Wanted,
};
use oci::{File, Files, Limits, METADATA_ANNOTATION, Manifest, OciError, Reference, Registry};
use sha2::{Digest, Sha256};

use super::FeaturesError;

/// The file that described a whole set of features before there was one for each.
const FIRST_FEATURE_FILE: &str = "devcontainer-features.json";

/// The most that a local feature may come to; it travels with every build.
const LARGEST_LOCAL: u64 = 64 << 20;

/// Fetches what a feature says about itself; with it the files, where these came along.
pub(super) async fn description(
    registry: &Registry,
    wanted: &Wanted,
) -> Result<(Fetched, Option<Files>), FeaturesError> {
    let written = &wanted.written;
    match wanted.pinned() {
        FeatureReference::Oci(feature) => {
            let reference = reference(written, &feature.to_string())?;
            let manifest = manifest(registry, written, &reference).await?;
            let digest = manifest.digest.clone();
            if let Some(text) = manifest.annotations.get(METADATA_ANNOTATION) {
                let metadata = FeatureMetadata::parse(text.as_bytes(), written)?;
                return Ok((Fetched { metadata, digest }, None));
            }
            let files = layer(registry, written, &reference, &manifest).await?;
            let metadata = described_by(&files, written, "its archive")?;
            Ok((Fetched { metadata, digest }, Some(files)))
        }
        FeatureReference::Tarball(feature) => {
            tarball(registry, written, &feature.url, wanted.pin.as_deref()).await
        }
        FeatureReference::Release(feature) => tarball(registry, written, &feature.url(), None).await,
        FeatureReference::Local(feature) => {
            let files = local(written, &feature)?;
            let metadata = described_by(&files, written, &format!("`{}`", feature.folder))?;
            Ok((Fetched { metadata, digest: content_digest(&files) }, Some(files)))
        }
    }
}

/// Fetches the files of a feature. Every byte of them is covered by the digest that the feature was resolved with.
pub(super) async fn files(registry: &Registry, feature: &ResolvedFeature) -> Result<Files, FeaturesError> {
    let written = &feature.written;
    match &feature.reference {
        FeatureReference::Oci(found) => {
            let reference = reference(written, &found.pinned(&feature.digest).to_string())?;
            let manifest = manifest(registry, written, &reference).await?;
            layer(registry, written, &reference, &manifest).await
        }
        FeatureReference::Tarball(found) => {
            download(registry, written, &found.url, Some(&feature.digest)).await.map(|(_, files)| files)
        }
        FeatureReference::Release(found) => {
            download(registry, written, &found.url(), Some(&feature.digest)).await.map(|(_, files)| files)
        }
        FeatureReference::Local(found) => local(written, found),
    }
}

fn reference(written: &str, text: &str) -> Result<Reference, FeaturesError> {
    let parsed = text.parse::<Reference>();
    parsed.map_err(|error| FeaturesError::Fetch { written: written.to_owned(), source: error.into() })
}

async fn manifest(
    registry: &Registry,
    written: &str,
    reference: &Reference,
) -> Result<Manifest, FeaturesError> {
    let found = registry.manifest(reference).await;
    found.map_err(|source| FeaturesError::Fetch { written: written.to_owned(), source })
}

/// The files in the one layer that a feature has.
async fn layer(
    registry: &Registry,
    written: &str,
    reference: &Reference,
    manifest: &Manifest,
) -> Result<Files, FeaturesError> {
    let no_layer = || FeaturesError::NoFile { written: written.to_owned(), place: "its registry".to_owned() };
    let layer = manifest.layers.first().ok_or_else(no_layer)?;
    let bytes = registry.blob(reference, layer).await;
    let bytes = bytes.map_err(|source| FeaturesError::Fetch { written: written.to_owned(), source })?;
    unpack(written, &bytes)
}

async fn tarball(
    registry: &Registry,
    written: &str,
    url: &str,
    pin: Option<&str>,
) -> Result<(Fetched, Option<Files>), FeaturesError> {
    let (digest, files) = download(registry, written, url, pin).await?;
    let metadata = described_by(&files, written, "its archive")?;
    Ok((Fetched { metadata, digest }, Some(files)))
}

async fn download(
    registry: &Registry,
    written: &str,
    url: &str,
    pin: Option<&str>,
) -> Result<(String, Files), FeaturesError> {
    let got = match pin {
        Some(digest) => registry.download_exactly(url, digest).await,
        None => registry.download(url).await,
    };
    let got = got.map_err(|source| match (source, pin) {
        (OciError::DigestMismatch { expected, actual, .. }, Some(_)) => {
            let written = written.to_owned();
            FeatureError::Integrity { written, expected, found: actual, locked: true }.into()
        }
        (source, _) => FeaturesError::Fetch { written: written.to_owned(), source },
    })?;
    Ok((got.digest, unpack(written, &got.bytes)?))
}

fn unpack(written: &str, bytes: &[u8]) -> Result<Files, FeaturesError> {
    let unpacked = oci::unpack(bytes, Limits::default());
    unpacked.map_err(|source| FeaturesError::Archive { written: written.to_owned(), source })
}

fn described_by(files: &Files, written: &str, place: &str) -> Result<FeatureMetadata, FeaturesError> {
    let Some(file) = files.get(Utf8Path::new(FEATURE_FILE)) else {
        if files.contains_key(Utf8Path::new(FIRST_FEATURE_FILE)) {
            return Err(FeaturesError::FirstVersion { written: written.to_owned(), place: place.to_owned() });
        }
        return Err(FeaturesError::NoFile { written: written.to_owned(), place: place.to_owned() });
    };
    Ok(FeatureMetadata::parse(&file.bytes, written)?)
}

/// Two folders with the same files are the same feature.
fn content_digest(files: &Files) -> String {
    let mut digest = Sha256::new();
    for (path, file) in files {
        digest.update((path.as_str().len() as u64).to_le_bytes());
        digest.update(path.as_str());
        digest.update(file.mode.to_le_bytes());
        digest.update((file.bytes.len() as u64).to_le_bytes());
        digest.update(&file.bytes);
    }
    digest.finalize().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// What a local feature may be made of: its project. The repository may not be trusted, and a link in it could
/// carry any file of this computer into the image.
fn project_of(feature: &LocalFeature) -> &Utf8Path {
    let mut ancestors = feature.folder.ancestors();
    let holder = ancestors.find(|folder| folder.file_name() == Some(".devcontainer"));
    holder.and_then(Utf8Path::parent).unwrap_or(&feature.folder)
}

/// The files of a folder on this computer.
fn local(written: &str, feature: &LocalFeature) -> Result<Files, FeaturesError> {
    let failed = |path: &Utf8Path, source| FeaturesError::Local {
        written: written.to_owned(),
        path: path.to_owned(),
        source,
    };
    let refused = |path: &Utf8Path, why: String| failed(path, std::io::Error::other(why));
    let root = project_of(feature).canonicalize_utf8().map_err(|source| failed(&feature.folder, source))?;
    let real = |path: &Utf8Path| {
        let real = path.canonicalize_utf8().map_err(|source| failed(path, source))?;
        let leads_out = || refused(path, format!("it leads to `{real}`, out of `{root}`"));
        if real.starts_with(&root) { Ok(()) } else { Err(leads_out()) }
    };
    real(&feature.folder)?;
    let mut files = Files::new();
    let mut left = LARGEST_LOCAL;
    let mut folders = vec![feature.folder.clone()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir_utf8().map_err(|source| failed(&folder, source))?;
        for entry in entries {
            let path = entry.map_err(|source| failed(&folder, source))?.into_path();
            let metadata = std::fs::metadata(&path).map_err(|source| failed(&path, source))?;
            if metadata.is_dir() {
                // A link to a folder could lead around in a circle, and out of the feature.
                if !path.is_symlink() {
                    folders.push(path);
                }
                continue;
            }
            real(&path)?;
            if !metadata.is_file() {
                return Err(refused(&path, "it is neither file nor folder".to_owned()));
            }
            left = left
                .checked_sub(metadata.len())
                .ok_or_else(|| refused(&path, "the feature is too large".to_owned()))?;
            let bytes = std::fs::read(&path).map_err(|source| failed(&path, source))?;
            let name = path.strip_prefix(&feature.folder).map(Utf8Path::to_owned);
            let name: Utf8PathBuf = name.unwrap_or_else(|_| path.clone());
            files.insert(name, File { bytes, mode: metadata.permissions().mode() & 0o777 });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository may hold any link; what it points to would travel into the image.
    #[test]
    fn a_link_out_of_the_feature_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let root = home.join("project/.devcontainer/f");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(home.join("id_rsa"), "SECRET").unwrap();
        std::fs::write(root.join("install.sh"), "echo").unwrap();
        std::fs::write(root.parent().unwrap().join("shared.sh"), "echo").unwrap();
        let link = |target: &str| {
            let _ = std::fs::remove_file(root.join("link"));
            std::os::unix::fs::symlink(target, root.join("link")).unwrap();
            local("./f", &LocalFeature { folder: root.clone() }).map_err(|error| error.to_string())
        };
        assert_eq!(link("install.sh").unwrap()[Utf8Path::new("link")].bytes, b"echo");
        assert_eq!(link("../shared.sh").unwrap()[Utf8Path::new("link")].bytes, b"echo");
        for target in ["../../../id_rsa", home.join("id_rsa").as_str(), "/dev/zero", "nowhere"] {
            let error = link(target).unwrap_err();
            assert!(error.contains("f/link` of the feature `./f`"), "{target}: {error}");
        }
        std::fs::remove_dir_all(&root).unwrap();
        std::os::unix::fs::symlink(&home, &root).unwrap();
        local("./f", &LocalFeature { folder: root }).unwrap_err();
    }

    #[test]
    fn a_local_feature_is_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        std::fs::create_dir(root.join("lib")).unwrap();
        std::fs::write(root.join("install.sh"), "echo").unwrap();
        std::fs::write(root.join("lib/a"), "1").unwrap();
        std::os::unix::fs::symlink("..", root.join("lib/up")).unwrap();
        let feature = LocalFeature { folder: root.clone() };
        let files = local("./f", &feature).unwrap();
        assert_eq!(files.keys().map(|path| path.as_str()).collect::<Vec<_>>(), ["install.sh", "lib/a"]);
        let digest = content_digest(&files);
        assert_eq!(digest, content_digest(&local("./f", &feature).unwrap()));
        std::fs::write(root.join("lib/a"), "2").unwrap();
        assert_ne!(digest, content_digest(&local("./f", &feature).unwrap()));
        let missing = local("./f", &LocalFeature { folder: root.join("none") }).unwrap_err();
        assert!(missing.to_string().contains("of the feature `./f`"), "{missing}");
    }
}
