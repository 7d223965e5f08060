//! The source of the standard library, of exactly the compiler's version: the toolchain's own `rust-src` component
//! where it is installed, else Debian's package of it, pinned like every other package, else a copy that somebody
//! kept for the day when Debian drops that version.

use camino::{Utf8Path, Utf8PathBuf};

use super::Toolchain;
use crate::image::{
    Arch, DPKG_DEB, Depot, Digest, PackagesError, Places, TAR, ToolError, Wanted, empty, run_tool,
};
use crate::output::say;

/// Names a tar archive of the folder `library`.
const KEPT_COPY: &str = "COVE_RUST_LIBRARY";

/// The library source is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LibraryError {
    /// Debian does not have it, and nobody kept it.
    #[error(
        "no source of Rust's standard library {version}; `rustup component add rust-src` brings it, or set {KEPT_COPY} to a tar archive of its folder `library`"
    )]
    Missing { version: String, source: Box<PackagesError> },
    /// The archive is another one.
    #[error("{path}, which {KEPT_COPY} names, does not hold Rust's `library/Cargo.lock`")]
    Archive { path: Utf8PathBuf },
    /// It did not unpack.
    #[error("could not unpack the source of Rust's standard library")]
    Unpack(#[from] ToolError),
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Toolchain {
    /// The folder `library` of the compiler's source.
    pub(crate) fn library_source(&self, places: &Places, depot: &Depot) -> Result<Utf8PathBuf, LibraryError> {
        let component = self.sysroot.join("lib/rustlib/src/rust/library");
        if component.join("Cargo.lock").exists() {
            return Ok(component);
        }
        let version = self.version();
        let wanted = Wanted::Version { name: "rust-src".to_owned(), version: format!("{version}+") };
        let lock_file = places.definitions().join("rust-src.lock");
        // The version is the compiler's: there is nothing newer to move to, only something to lose.
        let lock = match depot.provide(&lock_file, Arch::host(), &wanted, false) {
            Ok(lock) => lock,
            Err(source) => {
                let missing = LibraryError::Missing { version: version.to_owned(), source: Box::new(source) };
                let kept =
                    std::env::var(KEPT_COPY).ok().filter(|path| !path.is_empty()).map(Utf8PathBuf::from);
                return kept_copy(places, &kept.ok_or(missing)?);
            }
        };
        let folder = places.cache.join("rust-library").join(lock.digest().as_str());
        unpack(&folder, version, |folder| {
            for pin in lock.pins() {
                run_tool(DPKG_DEB.command()?.arg("--extract").args([&depot.pool.path(pin), folder]))?;
            }
            Ok(())
        })?;
        Ok(folder.join(format!("usr/src/rustc-{version}/library")))
    }
}

fn kept_copy(places: &Places, archive: &Utf8Path) -> Result<Utf8PathBuf, LibraryError> {
    let folder = places.cache.join("rust-library").join(Digest::of_file(archive)?.as_str());
    unpack(&folder, archive.as_str(), |folder| {
        run_tool(TAR.command()?.args([
            "--extract",
            "--file",
            archive.as_str(),
            "--directory",
            folder.as_str(),
        ]))?;
        if folder.join("library/Cargo.lock").exists() {
            Ok(())
        } else {
            Err(LibraryError::Archive { path: archive.to_owned() })
        }
    })?;
    Ok(folder.join("library"))
}

/// Fills a folder once.
fn unpack(
    folder: &Utf8Path,
    what: &str,
    fill: impl FnOnce(&Utf8Path) -> Result<(), LibraryError>,
) -> Result<(), LibraryError> {
    if !folder.join("complete").exists() {
        say(format!("unpacking the source of Rust's standard library: {what}"));
        empty(folder)?;
        fill(folder)?;
        fs_err::write(folder.join("complete"), "")?;
    }
    Ok(())
}
