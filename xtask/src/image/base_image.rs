//! The base dev image: a small, configured Debian with a user, for environments that name no image.
//!
//! Unlike the guest's root its packages are installed with their scripts, by mmdebstrap, from a repository made of
//! exactly the pinned files. apt works in it, with the mirror of the machine that built it.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::arch::Arch;
use super::digest::{Digest, Hasher};
use super::docker_archive::{self, Description};
use super::host_tools::{DPKG_DEB, MMDEBSTRAP, ToolError, find, run};
use super::lock::Lock;
use super::mirror::{Mirror, MirrorError};
use super::packages::{Depot, PackagesError, Wanted};
use super::places::Places;
use super::recipe::{self, BaseRecipe, RecipeError};
use super::stamp::Stamp;
use super::tree;
use crate::output::{megabytes, say};

/// The finished image.
pub(crate) struct BaseImage {
    /// Name in the image's folder.
    pub(crate) file: &'static str,
    /// Digest of all that it was built from.
    pub(crate) inputs: Digest,
}

const FILE: &str = "base-image.tar.zst";

/// The time that everything in the image is stamped with at the latest: the day Debian 13 was released.
const EPOCH: u64 = 1_754_697_600;
/// A fair size in a fraction of the time that the last percents would take.
const LEVEL: i32 = 12;

/// What dpkg leaves out in the image, now and when packages are added to it.
const NOT_UNPACKED: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
];

/// The base image could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BaseImageError {
    #[error("could not read the declaration of the base image")]
    Recipe(#[from] RecipeError),
    #[error("could not provide the packages of the base image")]
    Packages(#[from] PackagesError),
    #[error("could not find out which mirror the base image should use")]
    Mirror(#[from] MirrorError),
    #[error("could not install the base image")]
    Tool(#[from] ToolError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Builds the image unless nothing changed. Returns `None` when this machine cannot run programs
/// of that processor, which installing packages needs.
pub(crate) fn build(
    places: &Places,
    depot: &Depot,
    arch: Arch,
    relock: bool,
) -> Result<Option<BaseImage>, BaseImageError> {
    if !can_run(arch) {
        say(format!(
            "no base dev image for {arch}: installing its packages needs to run them; install \
             qemu-user-static and arch-test, or build on an {arch} machine"
        ));
        return Ok(None);
    }
    let declaration = places.definitions().join("base.toml");
    let recipe: BaseRecipe = recipe::read(&declaration)?;
    let lock = depot.provide(&places.lock("base"), arch, &recipe.wanted(arch), relock)?;
    let output = places.out.join(FILE);
    let mut inputs = Hasher::default();
    inputs.add_part(lock.digest().as_str());
    inputs.add_tree(&declaration)?;
    for own in ["base_image.rs", "docker_archive.rs"] {
        inputs.add_tree(&places.own_sources().join(own))?;
    }
    let stamp = Stamp::new(&places.out, "base-image", inputs, vec![output.clone()]);
    stamp.run(|| make(places, depot, arch, &recipe, &lock, &output))?;
    Ok(Some(BaseImage { file: FILE, inputs: stamp.inputs().clone() }))
}

impl BaseRecipe {
    /// What to ask Debian for: its essential packages, apt, and the listed ones.
    fn wanted(&self, arch: Arch) -> Wanted {
        let mut names = vec![format!("?and(?essential,?architecture({arch}))"), "apt".to_owned()];
        names.extend(self.include.iter().cloned());
        Wanted::WithDependencies { names }
    }
}

/// Whether programs of a processor run here: its own, or through the kernel's registered interpreters.
fn can_run(arch: Arch) -> bool {
    let interpreter = match arch {
        Arch::Amd64 => "/proc/sys/fs/binfmt_misc/qemu-x86_64",
        Arch::Arm64 => "/proc/sys/fs/binfmt_misc/qemu-aarch64",
    };
    // mmdebstrap wants arch-test for the proof of it.
    arch == Arch::host() || (Utf8Path::new(interpreter).exists() && find("arch-test").is_some())
}

fn make(
    places: &Places,
    depot: &Depot,
    arch: Arch,
    recipe: &BaseRecipe,
    lock: &Lock,
    output: &Utf8Path,
) -> Result<(), BaseImageError> {
    let started = Instant::now();
    say(format!("installing the base dev image, {} packages", lock.len()));
    let work = places.work("base");
    tree::empty(&work)?;
    let repository = work.join("repository");
    repository_of(depot, lock, &repository)?;
    let layer = work.join("layer.tar");
    install(arch, recipe, &work, &repository, &layer)?;
    say(format!("packing the base dev image, {}", megabytes(fs_err::metadata(&layer)?.len())));
    let metadata = json!([{ "remoteUser": recipe.user }]).to_string();
    let description = Description { tag: &recipe.tag, arch, metadata: &metadata, created: EPOCH };
    let partial = output.with_extension("partial");
    let mut encoder = zstd::Encoder::new(fs_err::File::create(&partial)?, LEVEL)?;
    encoder.include_checksum(true)?;
    docker_archive::write(&description, &layer, &mut encoder)?;
    encoder.finish()?;
    fs_err::rename(&partial, output)?;
    tree::remove(&work)?;
    say(format!("made the base dev image in {:.0} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Makes a flat repository of the pinned files. Its index comes from the files themselves.
fn repository_of(depot: &Depot, lock: &Lock, repository: &Utf8Path) -> Result<(), BaseImageError> {
    tree::empty(repository)?;
    let mut index = String::new();
    for pin in lock.pins() {
        let file = depot.pool.path(pin);
        let name = format!("{}.deb", pin.name);
        fs_err::os::unix::fs::symlink(&file, repository.join(&name))?;
        let control = run(DPKG_DEB.command()?.args(["--field", file.as_str()]))?;
        index += String::from_utf8_lossy(&control).trim_end();
        index.extend([
            format!("\nFilename: ./{name}\n"),
            format!("Size: {}\n", pin.size),
            format!("SHA256: {}\n\n", pin.sha256),
        ]);
    }
    fs_err::write(repository.join("Packages"), index)?;
    Ok(())
}

/// Installs the packages into the tar file of a layer.
fn install(
    arch: Arch,
    recipe: &BaseRecipe,
    work: &Utf8Path,
    repository: &Utf8Path,
    layer: &Utf8Path,
) -> Result<(), BaseImageError> {
    let file = |name: &str, content: String| -> std::io::Result<Utf8PathBuf> {
        let path = work.join(name);
        fs_err::write(&path, content)?;
        Ok(path)
    };
    let (user, uid) = (&recipe.user, recipe.uid);
    let sudoers = file("sudoers", format!("{user} ALL=(ALL) NOPASSWD: ALL\n"))?;
    let sources = file("debian.sources", sources(&Mirror::of_this_machine()?))?;
    // A container's packages are in an image, and come again with it: no sync for each file. Nobody reads the
    // translations of package descriptions in a build.
    let dpkg = file("dpkg.conf", "force-unsafe-io\n".to_owned())?;
    let apt = file("apt.conf", "Acquire::Languages \"none\";\n".to_owned())?;

    let mut bootstrap = MMDEBSTRAP.command()?;
    bootstrap.env("SOURCE_DATE_EPOCH", EPOCH.to_string());
    bootstrap.args(["--quiet", "--variant=apt", "--format=tar"]);
    bootstrap.arg(format!("--architectures={arch}"));
    bootstrap.arg(format!("--include={}", recipe.include.join(",")));
    bootstrap.arg("--aptopt=APT::Install-Recommends \"false\"");
    for option in NOT_UNPACKED {
        bootstrap.arg(format!("--dpkgopt={option}"));
    }
    for hook in [
        format!("chroot \"$1\" useradd --create-home --user-group --uid {uid} --shell /bin/bash {user}"),
        format!("upload {sudoers} /etc/sudoers.d/{user}"),
        format!("chmod 0440 \"$1/etc/sudoers.d/{user}\""),
        // The repository of pinned files is gone when the image is used.
        "rm -f \"$1/etc/apt/sources.list\" \"$1/etc/apt/apt.conf.d/99mmdebstrap\"".to_owned(),
        format!("upload {sources} /etc/apt/sources.list.d/debian.sources"),
        "chmod 0644 \"$1/etc/apt/sources.list.d/debian.sources\"".to_owned(),
        format!("upload {dpkg} /etc/dpkg/dpkg.cfg.d/container"),
        format!("upload {apt} /etc/apt/apt.conf.d/container"),
        "chmod 0644 \"$1/etc/dpkg/dpkg.cfg.d/container\" \"$1/etc/apt/apt.conf.d/container\"".to_owned(),
        // Copies of this machine's.
        "rm -f \"$1/etc/hostname\" \"$1/etc/resolv.conf\"".to_owned(),
    ] {
        bootstrap.arg(format!("--customize-hook={hook}"));
    }
    bootstrap.args(["", layer.as_str()]);
    // apt takes what stands in the index on trust: every file was checked against the lock on its way to the pool.
    bootstrap.arg(format!("deb [trusted=yes] copy://{repository} ./"));
    run(&mut bootstrap)?;
    Ok(())
}

/// The image's own apt sources.
fn sources(mirror: &Mirror) -> String {
    let paragraph = |uri: &str, suites: &str| {
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        )
    };
    let mut text = paragraph(&mirror.archive, "trixie trixie-updates");
    if let Some(security) = &mirror.security {
        text += &paragraph(security, "trixie-security");
    }
    text
}
