//! The part of the image that comes from Debian's packages: kernel, modules and root file system.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;
use super::digest::{Digest, Hasher};
use super::erofs;
use super::host_tools::ToolError;
use super::kernel::{self, KernelError};
use super::kernel_module::{self, KernelModuleError};
use super::libraries::{self, LibrariesError};
use super::lock::Lock;
use super::modules::{Modules, ModulesError};
use super::packages::{Depot, write_whole};
use super::places::Places;
use super::recipe::{self, ModuleList, PackageList, RecipeError, RootRecipe};
use super::stamp::Stamp;
use super::tree::{self, TreeError};
use crate::output::say;

/// Where the root has the program that works inside of containers; the agent mounts its folder into them.
const INSIDE: &str = "usr/lib/cove/bin/cove-inside";

/// What later stages need to know of the system.
pub(crate) struct System {
    /// What `uname -r` says in the guest.
    pub(crate) kernel_release: String,
    /// Module files for the initramfs, in the order in which they load.
    pub(crate) early_modules: Vec<Utf8PathBuf>,
    /// Digest of all that the system was built from.
    pub(crate) inputs: Digest,
}

/// The system could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemError {
    #[error("could not read a declaration")]
    Recipe(#[from] RecipeError),
    #[error("could not make the root folder")]
    Tree(#[from] TreeError),
    #[error("could not build our kernel module")]
    OwnModule(#[from] KernelModuleError),
    #[error("could not select kernel modules")]
    Modules(#[from] ModulesError),
    #[error("the programs of the root file system would not start")]
    Libraries(#[from] LibrariesError),
    #[error("could not use the kernel")]
    Kernel(#[from] KernelError),
    #[error("could not pack the root file system")]
    Pack(#[from] ToolError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Builds kernel and root, unless the lock, the declarations, the sources of this program and the program for inside of
/// containers are those of the last build.
pub(crate) fn build(
    places: &Places,
    depot: &Depot,
    arch: Arch,
    list: &PackageList,
    lock: &Lock,
    own_sources: &Digest,
    inside: &Utf8Path,
) -> Result<System, SystemError> {
    let definitions = places.definitions();
    let mut inputs = Hasher::default();
    inputs.add_part(own_sources.as_str());
    inputs.add_part(lock.digest().as_str());
    inputs.add_part(fs_err::read(inside)?);
    for part in ["packages.toml", "modules.toml", "root.toml", "root", "fsnotify"] {
        inputs.add_tree(&definitions.join(part))?;
    }
    let work = places.work("system");
    let early_list = work.join("early-modules");
    let outputs = vec![places.out.join("kernel"), places.out.join("root.erofs"), early_list.clone()];
    let stamp = Stamp::new(&places.out, "system", inputs, outputs);
    stamp.run(|| make(places, depot, arch, list, lock, inside))?;
    let listed = fs_err::read_to_string(&early_list)?;
    let mut lines = listed.lines();
    let kernel_release = lines.next().unwrap_or_default().to_owned();
    let early_modules = lines.map(|name| work.join(name)).collect();
    Ok(System { kernel_release, early_modules, inputs: stamp.inputs().clone() })
}

fn make(
    places: &Places,
    depot: &Depot,
    arch: Arch,
    list: &PackageList,
    lock: &Lock,
    inside: &Utf8Path,
) -> Result<(), SystemError> {
    let definitions = places.definitions();
    let module_list: ModuleList = recipe::read(&definitions.join("modules.toml"))?;
    let root_recipe: RootRecipe = recipe::read(&definitions.join("root.toml"))?;
    let work = places.work("system");
    tree::empty(&work)?;
    let root = work.join("root");

    say(format!("unpacking {} packages", lock.len()));
    let (whole, parts): (Vec<_>, Vec<_>) = lock.pins().partition(|pin| list.only(&pin.name).is_empty());
    let packages: Vec<Utf8PathBuf> = whole.into_iter().map(|pin| depot.pool.path(pin)).collect();
    tree::unpack(arch, &packages, &root)?;
    for pin in parts {
        tree::unpack_only(&depot.pool.path(pin), list.only(&pin.name), &root)?;
    }

    let program = root.join(INSIDE);
    fs_err::create_dir_all(program.parent().expect("the program is in a folder"))?;
    fs_err::copy(inside, &program)?;
    fs_err::set_permissions(&program, Permissions::from_mode(0o755))?;

    let modules = Modules::of(&root)?;
    say("building our kernel module");
    let folder = modules.folder().join("extra");
    fs_err::create_dir_all(&folder)?;
    kernel_module::build(arch, &definitions.join("fsnotify"), &root, &modules.release, &folder)?;
    say("selecting kernel modules");
    let vmlinuz = fs_err::read(root.join(format!("boot/vmlinuz-{}", modules.release)))?;
    let early = modules.select(&module_list)?;
    // The initramfs is packed again without the root, so its modules are kept apart.
    let mut early_list = format!("{}\n", modules.release);
    for module in &early {
        let name = module.file_name().expect("a module path ends in a file name");
        fs_err::copy(module, work.join(name))?;
        early_list.extend([name, "\n"]);
    }
    tree::finish(arch, &root_recipe, &definitions.join("root"), &root)?;
    libraries::check(&root)?;

    say("packing the root file system");
    let partial = places.out.join("root.partial");
    erofs::pack(&root, &partial)?;
    fs_err::rename(partial, places.out.join("root.erofs"))?;
    write_whole(&places.out.join("kernel"), &kernel::bootable(arch, vmlinuz)?)?;
    tree::remove(&root)?;
    write_whole(&work.join("early-modules"), early_list.as_bytes())?;
    Ok(())
}
