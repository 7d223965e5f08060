//! `cargo xtask package`: `Cove.app`, the disk image people download, and what Homebrew and the app's updater read.
//!
//! The same code makes the packages of a release, on a Mac, and a rehearsal of them in every `make test`, on Linux, from
//! programs that were linked for the Mac. What was signed is looked at again by a reader of our own ([`inspect`])
//! before it goes on. What only a Mac can say, that it opens and runs there, nothing here claims.

mod contents;
mod disk_image;
mod homebrew;
mod icons;
mod info;
mod inspect;
mod macho;
mod seal;
mod signature;
mod signing;
#[cfg(test)]
mod tests;
mod update;

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::{Arch, Digest, NoCache, Places};
use crate::macos::{MacError, release_programs};
use crate::output::{megabytes, say};
use crate::steps::{StepError, step, target_folder};

use signing::Identity;

/// The version of all packages, that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where releases are published.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// What `cargo xtask package` can be told.
#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// One part; all of them, one after the other, when not given
    #[command(subcommand)]
    part: Option<Part>,
    /// Folder for the packages; `package` in Cargo's target folder when not given
    #[arg(long, value_name = "DIR", global = true)]
    out: Option<Utf8PathBuf>,
    /// Folder with the programs, linked for arm64 Macs; they are built when not given
    #[arg(long, value_name = "DIR", global = true)]
    programs: Option<Utf8PathBuf>,
    /// Folder of the arm64 guest image that the app shall name; the one in the cache folder when not given
    #[arg(long, value_name = "DIR", global = true)]
    image: Option<Utf8PathBuf>,
    /// Sign with this certificate of Apple's (PKCS#12) instead of as nobody in particular
    #[arg(long, value_name = "FILE", global = true, requires = "certificate_password_file")]
    certificate: Option<Utf8PathBuf>,
    /// File with the certificate's password
    #[arg(long, value_name = "FILE", global = true)]
    certificate_password_file: Option<Utf8PathBuf>,
}

/// The parts of a release, in their order. Apple's notarization comes after each of the first two.
#[derive(Clone, Copy, clap::Subcommand)]
enum Part {
    /// `Cove.app`, signed and looked at
    App,
    /// The disk image with the app
    Dmg,
    /// What Homebrew and the app's updater read
    Feeds,
    /// Draw the icons that are kept in the repository
    Icons,
}

/// The packages could not be made, or are not as they should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error("no place for what is built once")]
    Places(#[from] NoCache),
    #[error("could not build the programs")]
    Programs(#[source] Box<MacError>),
    #[error("could not put the app together")]
    Contents(#[from] contents::ContentsError),
    #[error("could not draw the icons")]
    Icons(#[from] icons::IconsError),
    #[error("could not sign")]
    Signing(#[from] signing::SigningError),
    #[error("the package is not as it should be:\n    {}", .0.join("\n    "))]
    Faults(Vec<String>),
    #[error("could not make the disk image")]
    DiskImage(#[from] disk_image::DiskImageError),
    #[error("could not make the update")]
    Update(#[from] update::UpdateError),
    #[error("a step failed")]
    Step(#[from] StepError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Makes what was asked for.
pub(crate) fn package(options: &Options) -> Result<(), PackageError> {
    let release = Release::new(options)?;
    match options.part {
        Some(Part::App) => release.app(),
        // Apple's ticket was attached since it was made.
        Some(Part::Dmg) => release.look_at().and_then(|()| release.disk_image()),
        Some(Part::Feeds) => release.look_at().and_then(|()| release.feeds()),
        Some(Part::Icons) => Ok(icons::draw_kept(&release.places.repository)?),
        None => release.all(),
    }
}

/// Makes all packages of programs that are linked already, and gives the app for tests.
pub(crate) fn rehearse(programs: &Utf8Path) -> Result<Utf8PathBuf, PackageError> {
    let release = Release::new(&Options { programs: Some(programs.to_owned()), ..Options::default() })?;
    release.all()?;
    Ok(release.bundle())
}

/// One making of packages.
struct Release {
    places: Places,
    out: Utf8PathBuf,
    programs: Option<Utf8PathBuf>,
    identity: Identity,
}

impl Release {
    fn new(options: &Options) -> Result<Self, PackageError> {
        let places = Places::new(Arch::Arm64, options.image.as_deref())?;
        let out = options.out.clone().unwrap_or_else(|| target_folder(&places.repository).join("package"));
        fs_err::create_dir_all(&out)?;
        let identity = match (&options.certificate, &options.certificate_password_file) {
            (Some(file), Some(password_file)) => {
                Identity::Certificate { file: file.clone(), password_file: password_file.clone() }
            }
            _ => Identity::Nobody,
        };
        Ok(Self { places, out, programs: options.programs.clone(), identity })
    }

    fn all(&self) -> Result<(), PackageError> {
        self.app()?;
        self.disk_image()?;
        self.feeds()
    }

    fn bundle(&self) -> Utf8PathBuf {
        self.out.join("Cove.app")
    }

    fn dmg(&self) -> Utf8PathBuf {
        self.out.join(format!("Cove-{VERSION}-arm64.dmg"))
    }

    fn app(&self) -> Result<(), PackageError> {
        let programs = match &self.programs {
            Some(given) => given.clone(),
            None => release_programs().map_err(|error| PackageError::Programs(Box::new(error)))?,
        };
        step("Packaging Cove.app", || {
            let bundle = self.bundle();
            contents::assemble(&self.places, &programs, &bundle)?;
            signing::provide()?;
            signing::sign_app(&self.places.repository, &bundle, &self.identity)?;
            contents::open_to_all(&bundle)?;
            self.look_at()?;
            if self.programs.is_none() {
                let home = std::env::var("HOME").unwrap_or_default();
                faultless(inspect::build_paths(&bundle, &home)?)?;
            }
            say(format!("    {bundle}: {}", megabytes(contents::size(&bundle)?)));
            Ok(())
        })
    }

    fn look_at(&self) -> Result<(), PackageError> {
        faultless(inspect::app(&self.places.repository, &self.bundle())?)
    }

    fn disk_image(&self) -> Result<(), PackageError> {
        step("Packaging the disk image", || {
            let dmg = self.dmg();
            disk_image::make(&self.bundle(), &self.out, &dmg)?;
            signing::provide()?;
            signing::sign_file(&dmg, &self.identity)?;
            disk_image::look_at(&dmg)?;
            say(format!("    {dmg}: {}", megabytes(fs_err::metadata(&dmg)?.len())));
            Ok(())
        })
    }

    fn feeds(&self) -> Result<(), PackageError> {
        step("Packaging the update and Homebrew's files", || {
            let source = homebrew::source_archive(&self.places.repository, &self.out)?;
            let digests =
                homebrew::Digests { dmg: Digest::of_file(&self.dmg())?, source: Digest::of_file(&source)? };
            homebrew::write(&self.places.repository, &self.out, &digests)?;
            let archive = update::archive(&self.bundle(), &self.out)?;
            match update::key()? {
                Some(key) => update::publish(&archive, &key, &self.out)?,
                None => say(format!("    no update is published: {} is not set", update::KEY)),
            }
            Ok(())
        })
    }
}

fn faultless(faults: Vec<String>) -> Result<(), PackageError> {
    if faults.is_empty() { Ok(()) } else { Err(PackageError::Faults(faults)) }
}
