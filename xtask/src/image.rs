//! `cargo xtask image`: the guest image, from the declarations in `vm-images/`.
//!
//! Stages: packages (pinned, verified, cached) -> own programs -> tree -> kernel, modules, EROFS root -> initramfs ->
//! base dev image -> packed for transport -> manifest. A stage whose inputs did not change is not run again; the
//! sources of this module count as inputs of every stage but our own programs', which is Cargo's business. The same
//! inputs give the same bytes. An update of Debian's moves pins, and never breaks the build.

mod arch;
mod base_image;
mod digest;
mod docker_archive;
mod erofs;
mod host_tools;
mod index;
mod initramfs;
mod kernel;
mod kernel_module;
mod libraries;
mod lock;
mod manifest;
mod mirror;
mod modules;
mod packages;
mod places;
mod pool;
mod programs;
mod recipe;
mod stamp;
mod system;
mod test_engine;
mod transport;
mod tree;

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

pub(crate) use arch::Arch;
pub(crate) use digest::{Digest, Hasher};
pub(crate) use host_tools::{
    DPKG_DEB, HOST_PACKAGES, MMDEBSTRAP, PIP, TAR, ToolError, XORRISO, find as find_program, run as run_tool,
};
pub(crate) use mirror::{Mirror, MirrorError};
pub(crate) use packages::{Depot, PackagesError, Wanted, write_whole};
pub(crate) use places::{NoCache, Places, cache_folder};
pub(crate) use stamp::Stamp;
pub(crate) use test_engine::unpack as unpack_test_engine;
pub(crate) use tree::empty;

use manifest::Manifest;
use pool::Pool;
use recipe::PackageList;

use crate::output::say;

/// What `cargo xtask image` can be told.
#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// Processor of the guest; this machine's when not given
    #[arg(long)]
    arch: Option<Arch>,
    /// Folder for the image; in the cache folder when not given
    #[arg(long, value_name = "DIR")]
    out: Option<Utf8PathBuf>,
    /// Pin every package again in its current version
    #[arg(long)]
    relock: bool,
    /// Put this program into the initramfs instead of building the agent
    #[arg(long, value_name = "FILE")]
    agent: Option<Utf8PathBuf>,
    /// Also pack the files for transport, and hold the size limit; takes minutes
    #[arg(long)]
    pack: bool,
}

impl Options {
    /// This machine's image, packed for transport so that its size is held.
    pub(crate) fn packed() -> Self {
        Self { pack: true, ..Self::default() }
    }

    /// An image for that processor, not packed: enough to boot it.
    pub(crate) fn of(arch: Arch) -> Self {
        Self { arch: Some(arch), ..Self::default() }
    }
}

/// The image could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("no place for the image")]
    Places(#[from] places::NoCache),
    #[error("could not read the declarations of the image")]
    Recipe(#[from] recipe::RecipeError),
    #[error("could not open the folder of downloaded packages")]
    Pool(#[from] pool::PoolError),
    #[error("could not provide the packages of the image")]
    Packages(#[from] packages::PackagesError),
    #[error("could not build the root file system")]
    System(#[from] system::SystemError),
    #[error("could not build a program of the guest")]
    Program(#[from] programs::ProgramError),
    #[error("could not build the base dev image")]
    Base(#[from] base_image::BaseImageError),
    #[error(transparent)]
    Transport(#[from] transport::TransportError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Builds the image, or as much of it as changed.
pub(crate) fn build(options: &Options) -> Result<(), ImageError> {
    let arch = options.arch.unwrap_or_else(Arch::host);
    let places = Places::new(arch, options.out.as_deref())?;
    fs_err::create_dir_all(&places.out)?;
    let _alone = alone(&places.image_lock())?;
    let list: PackageList = recipe::read(&places.definitions().join("packages.toml"))?;
    let depot = Depot { pool: Pool::open(places.pool())?, apt: places.apt(), suite: list.suite.clone() };

    let lock = depot.provide(&places.lock("packages"), arch, &list.wanted(arch), options.relock)?;
    // The slowest first: stopped in it, a build leaves the finished image as it was.
    let base = base_image::build(&places, &depot, arch, options.relock)?;
    let own = own_sources(&places)?;
    let inside = programs::build(&places, &depot, arch, programs::INSIDE)?;
    let system = system::build(&places, &depot, arch, &list, &lock, &own, &inside)?;
    let agent = match &options.agent {
        Some(given) => given.clone(),
        None => programs::build(&places, &depot, arch, programs::AGENT)?,
    };
    let initramfs_inputs = initramfs(&places, &agent, &system)?;

    let files: Vec<&str> = FILES.into_iter().chain(base.as_ref().map(|base| base.file)).collect();
    let mut inputs = Hasher::default();
    inputs.add_part(system.inputs.as_str());
    inputs.add_part(initramfs_inputs.as_str());
    inputs.add_part(base.as_ref().map_or("", |base| base.inputs.as_str()));
    inputs.add_part([u8::from(options.pack)]);
    let outputs = files.iter().chain(&["manifest.json"]).map(|name| places.out.join(name)).collect();
    Stamp::new(&places.out, "manifest", inputs, outputs).run(|| {
        let mut manifest = Manifest::new(arch, system.kernel_release.clone(), lock.digest(), lock.len());
        for name in files {
            manifest.add(&places.out, name)?;
        }
        if options.pack {
            let bytes = transport::pack(&places, &manifest)?;
            manifest.set_transport(bytes);
        }
        manifest.write(&places.out)?;
        manifest.tell();
        Ok::<_, ImageError>(())
    })?;
    say(format!("image for {arch}: {}", places.out));
    Ok(())
}

/// The files that a machine starts from.
const FILES: [&str; 3] = ["kernel", "initramfs", "root.erofs"];

/// Unpacks a Debian package that is no part of this machine's image over `folder`, in the newest version that begins
/// with `series`: pinned in a lock file of its own and verified like the image's. `program` is what it brings.
pub(crate) fn unpack_beside(
    arch: Arch,
    folder: &Utf8Path,
    name: &str,
    series: &str,
    program: &str,
) -> Result<(), ImageError> {
    let places = Places::new(arch, None)?;
    let list: PackageList = recipe::read(&places.definitions().join("packages.toml"))?;
    let depot = Depot { pool: Pool::open(places.pool())?, apt: places.apt(), suite: list.suite };
    let wanted = Wanted::Version { name: name.to_owned(), version: series.to_owned() };
    let lock = depot.provide(&places.lock(name), arch, &wanted, false)?;
    let mut inputs = Hasher::default();
    inputs.add_part(lock.digest().as_str());
    fs_err::create_dir_all(folder)?;
    Stamp::new(folder, name, inputs, vec![folder.join(program)]).run(|| {
        for package in lock.pins().map(|pin| depot.pool.path(pin)) {
            let unpack = host_tools::DPKG_DEB.command();
            let unpacked =
                unpack.and_then(|mut unpack| run_tool(unpack.arg("--extract").args([&package, folder])));
            unpacked.map_err(|source| {
                system::SystemError::from(tree::TreeError::Unpack { package: package.clone(), source })
            })?;
        }
        Ok::<_, ImageError>(())
    })?;
    Ok(())
}

/// Where packages come from that are no part of an image, and the lock on the folders they go to.
pub(crate) fn depot(places: &Places) -> Result<(Depot, std::fs::File), ImageError> {
    fs_err::create_dir_all(&places.cache)?;
    let alone = alone(&places.image_lock())?;
    let list: PackageList = recipe::read(&places.definitions().join("packages.toml"))?;
    Ok((Depot { pool: Pool::open(places.pool())?, apt: places.apt(), suite: list.suite }, alone))
}

/// Waits until nobody else holds this lock; it goes with the returned file.
pub(crate) fn alone(lock: &Utf8Path) -> io::Result<std::fs::File> {
    let file = std::fs::File::create(lock)?;
    if file.try_lock().is_err() {
        say(format!("waiting for another build, which holds {lock}"));
        file.lock()?;
    }
    Ok(file)
}

/// The digest of this module's own sources.
fn own_sources(places: &Places) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    hasher.add_tree(&places.own_sources())?;
    Ok(hasher.finish())
}

/// Packs the agent and the early modules. The agent is nowhere else in the image, so a change of it ends here.
fn initramfs(places: &Places, agent: &Utf8Path, system: &system::System) -> io::Result<Digest> {
    let output = places.out.join("initramfs");
    let mut inputs = Hasher::default();
    inputs.add_part(system.inputs.as_str());
    inputs.add_part(fs_err::read(agent)?);
    let stamp = Stamp::new(&places.out, "initramfs", inputs, vec![output.clone()]);
    stamp.run(|| {
        say("packing the initramfs");
        write_whole(&output, &initramfs::archive(agent, &system.early_modules)?)
    })?;
    Ok(stamp.inputs().clone())
}
