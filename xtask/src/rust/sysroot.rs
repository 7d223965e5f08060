//! A standard library for a target that the toolchain does not bring, built once and kept apart from it.
//!
//! Afterwards `--sysroot` is all that the stable Cargo needs: nothing of the project itself is built with unstable
//! features, which crates that probe for them would otherwise switch on.

use std::io;

use camino::Utf8PathBuf;

use super::{LibraryError, Toolchain, cargo_with_flags};
use crate::image::{self, Hasher, ImageError, Places, Stamp, empty};
use crate::output::say;
use crate::steps::{StepError, run};

/// What is built: also for programs that end at a panic, for procedural macros and for tests.
const PARTS: &str = "-Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test";

/// So that a program can be optimised together with its library.
const FLAGS: &str = "-Cembed-bitcode=yes";

/// A package that has nothing but the library.
const PACKAGE: &str = "[package]\nname = \"stdonly\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[profile.release]\ndebug = 0\n";

/// The library could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SysrootError {
    /// No package folder to take the source from.
    #[error("could not open the folder of downloaded packages")]
    Depot(#[source] Box<ImageError>),
    /// No source.
    #[error(transparent)]
    Source(#[from] LibraryError),
    /// The compiler printed why.
    #[error("Rust's standard library does not build for {target}")]
    Build { target: &'static str, source: StepError },
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The library of one target.
pub(crate) struct Sysroot {
    folder: Utf8PathBuf,
}

impl Sysroot {
    /// Builds it, unless that was done for this very compiler.
    pub(crate) fn provide(
        toolchain: &Toolchain,
        places: &Places,
        target: &'static str,
    ) -> Result<Self, SysrootError> {
        let folder = places.cache.join("rust").join(toolchain.version()).join(target);
        let libraries = folder.join("lib/rustlib").join(target).join("lib");
        let mut inputs = Hasher::default();
        inputs.add_parts([toolchain.identity.as_str(), PARTS, FLAGS, PACKAGE]);
        fs_err::create_dir_all(&folder)?;
        let _alone = image::alone(&folder.join("lock"))?;
        Stamp::new(&folder, "library", inputs, vec![libraries.clone()]).run(|| {
            let source = {
                let depot = image::depot(places);
                let (depot, _alone) = depot.map_err(|error| SysrootError::Depot(Box::new(error)))?;
                toolchain.library_source(places, &depot)?
            };
            say(format!("building Rust's standard library for {target}"));
            let package = folder.join("package");
            empty(&package.join("src"))?;
            fs_err::write(package.join("Cargo.toml"), PACKAGE)?;
            fs_err::write(package.join("src/lib.rs"), "")?;
            let built = package.join("target");
            let mut cargo = cargo_with_flags(&places.repository, &[FLAGS.to_owned()]);
            cargo.args(["build", "--quiet", "--release", "--target", target, PARTS]);
            cargo.args([
                "--manifest-path",
                package.join("Cargo.toml").as_str(),
                "--target-dir",
                built.as_str(),
            ]);
            cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", source);
            run(&mut cargo).map_err(|source| SysrootError::Build { target, source })?;
            empty(&libraries)?;
            for entry in built.join(target).join("release/deps").read_dir_utf8()? {
                let file = entry?.into_path();
                let name = file.file_name().unwrap_or_default();
                if file.extension() == Some("rlib") && !name.starts_with("libstdonly") {
                    fs_err::copy(&file, libraries.join(name))?;
                }
            }
            fs_err::remove_dir_all(package)?;
            Ok::<_, SysrootError>(())
        })?;
        Ok(Self { folder })
    }

    /// The flag that makes the compiler use it.
    pub(crate) fn flag(&self) -> String {
        format!("--sysroot={}", self.folder)
    }
}
