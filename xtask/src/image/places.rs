//! Where the image build reads from and writes to.

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;

/// The folders of one build.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The work tree.
    pub(crate) repository: Utf8PathBuf,
    /// `cove` in the person's cache folder.
    pub(crate) cache: Utf8PathBuf,
    /// Where the finished image goes.
    pub(crate) out: Utf8PathBuf,
    arch: Arch,
}

/// The person has neither a cache folder nor a home.
#[derive(Debug, thiserror::Error)]
#[error(
    "neither XDG_CACHE_HOME nor HOME is an absolute path; set one of them, so that downloads have a place"
)]
pub(crate) struct NoCache;

/// `cove` in the person's cache folder.
pub(crate) fn cache_folder() -> Result<Utf8PathBuf, NoCache> {
    let absolute =
        |name: &str| std::env::var(name).ok().map(Utf8PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Ok(cache.ok_or(NoCache)?.join("cove"))
}

impl Places {
    /// The places for an architecture; `out` replaces the default place of the image.
    pub(crate) fn new(arch: Arch, out: Option<&Utf8Path>) -> Result<Self, NoCache> {
        let cache = cache_folder()?;
        let repository = Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the manifest of xtask is in a folder of the work tree")
            .to_owned();
        let out = out.map_or_else(|| cache.join("images").join(arch.debian()), Utf8Path::to_owned);
        Ok(Self { repository, cache, out, arch })
    }

    /// The declarations and lock files.
    pub(crate) fn definitions(&self) -> Utf8PathBuf {
        self.repository.join("vm-images")
    }

    /// A lock file: `packages` or `base`.
    pub(crate) fn lock(&self, name: &str) -> Utf8PathBuf {
        self.definitions().join(format!("{name}.{}.lock", self.arch))
    }

    /// Downloaded package files, by digest.
    pub(crate) fn pool(&self) -> Utf8PathBuf {
        self.cache.join("pool")
    }

    /// Held by whoever writes to what images are made of.
    pub(crate) fn image_lock(&self) -> Utf8PathBuf {
        self.cache.join("image.lock")
    }

    /// apt's private folder.
    pub(crate) fn apt(&self) -> Utf8PathBuf {
        self.cache.join("apt")
    }

    /// A folder for what a stage makes on its way; emptied by the stage.
    pub(crate) fn work(&self, name: &str) -> Utf8PathBuf {
        self.cache.join("work").join(self.arch.debian()).join(name)
    }

    /// The sources of the image build itself, which are inputs like the lists are.
    pub(crate) fn own_sources(&self) -> Utf8PathBuf {
        self.repository.join("xtask/src/image")
    }
}
