//! Kernel modules: what each needs, and loading it.
//!
//! The agent loads what every machine uses; everything else comes when the kernel or the engine asks for it
//! through `modprobe`, which is this module under another name ([`main`]). It reads `modules.dep` and
//! `modules.alias` as `depmod` writes them. A module that is built in or not in the image is no error for the
//! list at boot: kernels differ in what they build in.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fs_err as fs;
use rustix::io::Errno;

use crate::console;

/// `finit_module(2)`: the file is compressed and the kernel unpacks it.
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// What containerd must find when it starts.
pub(crate) const FIRST: &[&str] = &["overlay"];

/// What carries the host's transport and the network.
pub(crate) const TRANSPORT: &[&str] = &["virtio_console", "virtio_net"];

/// What carries the host's sockets. Loaded only when a host wants them: most have none.
pub(crate) const SOCKETS: &[&str] = &["vmw_vsock_virtio_transport"];

/// What the engine uses at its start. Left out, each would come by itself, one `modprobe` process a piece.
pub(crate) const ENGINE: &[&str] = &[
    "virtio_rng",
    "bridge",
    "br_netfilter",
    "veth",
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "nf_conntrack_netlink",
    "xt_conntrack",
    "xt_MASQUERADE",
    "xt_addrtype",
    "xt_nat",
    "xt_tcpudp",
    "xt_mark",
];

/// Why a module is not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModuleError {
    /// Its file cannot be read.
    #[error("cannot open the kernel module {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The kernel refused it.
    #[error("the kernel refused the module {path}")]
    Refused {
        path: PathBuf,
        #[source]
        source: Errno,
    },
    /// Neither a module nor an alias of one.
    #[error("no module of this kernel is called `{name}`")]
    Unknown { name: String },
    /// The list of modules cannot be read.
    #[error("cannot read the list of kernel modules")]
    List(#[source] io::Error),
}

/// Gives one file to the kernel. Loaded already: done.
pub(crate) fn insert(path: &Path) -> Result<(), ModuleError> {
    let file =
        std::fs::File::open(path).map_err(|source| ModuleError::Open { path: path.to_owned(), source })?;
    let is_plain = path.extension().is_some_and(|extension| extension == "ko");
    let flags = if is_plain { 0 } else { MODULE_INIT_COMPRESSED_FILE };
    match rustix::system::finit_module(&file, c"", flags) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(source) => Err(ModuleError::Refused { path: path.to_owned(), source }),
    }
}

/// The modules of the running kernel.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    folder: PathBuf,
    /// Name to file and to the files it needs, in the order of `modules.dep`: the nearest need first.
    files: HashMap<String, (String, Vec<String>)>,
    inserted: HashSet<String>,
}

impl Modules {
    /// Reads the list of the running kernel's modules. An image without one has none.
    pub(crate) fn of_running_kernel() -> Result<Self, ModuleError> {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let folder = Path::new("/usr/lib/modules").join(release);
        match fs::read_to_string(folder.join("modules.dep")) {
            Ok(text) => Ok(Self::parse(folder, &text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { folder, ..Self::default() }),
            Err(error) => Err(ModuleError::List(error)),
        }
    }

    fn parse(folder: PathBuf, dependencies: &str) -> Self {
        let files = dependencies
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(file, needs)| {
                let needs = needs.split_ascii_whitespace().map(str::to_owned).collect();
                (name_of(file), (file.to_owned(), needs))
            })
            .collect();
        Self { folder, files, inserted: HashSet::new() }
    }

    /// Files to load for a module, in order. `None`: not a module of this kernel.
    fn order(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        let (file, needs) = self.files.get(&canonical(name))?;
        Some(needs.iter().rev().map(String::as_str).chain(std::iter::once(file.as_str())))
    }

    /// Loads a module and what it needs.
    ///
    /// # Errors
    /// [`ModuleError::Unknown`] for a name that is neither a module nor, where `modules.alias` has it, an alias.
    pub(crate) fn load(&mut self, name: &str) -> Result<(), ModuleError> {
        let order: Vec<String> = match self.order(name) {
            Some(order) => order.map(str::to_owned).collect(),
            None => return Err(ModuleError::Unknown { name: name.to_owned() }),
        };
        for file in order {
            if !self.inserted.contains(&file) {
                insert(&self.folder.join(&file))?;
                self.inserted.insert(file);
            }
        }
        Ok(())
    }

    /// Loads those of `names` that this kernel has as modules; gives back what was refused.
    pub(crate) fn load_all(&mut self, names: &[&str]) -> Vec<ModuleError> {
        let outcomes = names.iter().map(|name| self.load(name));
        outcomes
            .filter_map(|outcome| match outcome {
                Ok(()) | Err(ModuleError::Unknown { .. }) => None,
                Err(error) => Some(error),
            })
            .collect()
    }

    /// Modules that answer to an alias such as `fs-ext4` or `net-pf-40`.
    fn resolve(&self, alias: &str) -> Vec<String> {
        let Ok(text) = fs::read_to_string(self.folder.join("modules.alias")) else { return Vec::new() };
        resolve_in(&text, alias)
    }
}

fn resolve_in(aliases: &str, wanted: &str) -> Vec<String> {
    let wanted = canonical(wanted);
    aliases
        .lines()
        .filter_map(|line| {
            let (pattern, module) = line.strip_prefix("alias ")?.rsplit_once(' ')?;
            matches(canonical(pattern).as_bytes(), wanted.as_bytes()).then(|| module.to_owned())
        })
        .collect()
}

/// Shell patterns with `*` and `?`, as the kernel's aliases use them. Takes time proportional to the product of
/// the lengths at worst.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    p = star_p + 1;
                    t = star_t + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    canonical(base.split_once(".ko").map_or(base, |(name, _)| name))
}

/// `-` and `_` are the same in names of modules.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Runs as `modprobe`: the kernel calls it with `-q -- ALIAS`, the engine and iptables with `-va NAME…` and
/// other flags, all of which are about what to print. `-r` and its like are refused: we never unload.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if words.iter().any(|word| word == "-r" || word == "--remove") {
        console::say("modprobe: modules are not unloaded in this machine");
        return ExitCode::FAILURE;
    }
    let quiet =
        words.iter().any(|word| word.starts_with('-') && !word.starts_with("--") && word.contains('q'));
    let mut modules = match Modules::of_running_kernel() {
        Ok(modules) => modules,
        Err(error) => {
            console::say(&format!("modprobe: {}", console::chain(&error)));
            return ExitCode::FAILURE;
        }
    };
    // Without `-a` only the first word is a module; the others are its parameters, which our modules have not.
    let all = words.iter().any(|word| word == "--all" || word.starts_with('-') && word.contains('a'));
    let names = words.iter().filter(|word| !word.starts_with('-')).take(if all { usize::MAX } else { 1 });
    let mut failed = false;
    for name in names {
        if let Err(error) = load_by_any_name(&mut modules, name) {
            failed = true;
            if !quiet {
                console::say(&format!("modprobe: {}", console::chain(&error)));
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn load_by_any_name(modules: &mut Modules, name: &str) -> Result<(), ModuleError> {
    match modules.load(name) {
        Err(ModuleError::Unknown { .. }) => {}
        outcome => return outcome,
    }
    let found = modules.resolve(name);
    if found.is_empty() {
        // Asked for by its name though built in: that is what the caller wanted.
        let built_in = Path::new("/sys/module").join(canonical(name)).exists();
        return if built_in { Ok(()) } else { Err(ModuleError::Unknown { name: name.to_owned() }) };
    }
    found.iter().try_for_each(|module| modules.load(module))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/net/bridge/bridge.ko: kernel/net/802/stp.ko kernel/net/llc/llc.ko\n\
                       kernel/net/802/stp.ko: kernel/net/llc/llc.ko\n\
                       kernel/net/llc/llc.ko:\n\
                       kernel/drivers/block/virtio_blk.ko.xz:\n";

    fn modules() -> Modules {
        Modules::parse(PathBuf::from("/m"), DEP)
    }

    #[test]
    fn needs_come_before_the_module_itself() {
        let order: Vec<String> = modules().order("bridge").unwrap().map(name_of).collect();
        assert_eq!(order, ["llc", "stp", "bridge"]);
    }

    #[test]
    fn a_name_is_found_however_its_dashes_are_written_and_packed() {
        assert!(modules().order("virtio-blk").is_some());
        assert!(modules().order("nvme").is_none());
    }

    #[test]
    fn modules_the_kernel_does_not_have_are_no_fault_of_the_list() {
        assert!(modules().load_all(&["ext4", "nvme"]).is_empty());
    }

    #[test]
    fn aliases_are_shell_patterns() {
        let aliases = "# Aliases\nalias fs-erofs erofs\nalias net-pf-40 vsock\n\
                       alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\nalias nft-chain-2-nat nft_chain_nat\n";
        assert_eq!(resolve_in(aliases, "fs-erofs"), ["erofs"]);
        assert_eq!(resolve_in(aliases, "nft_chain_2_nat"), ["nft_chain_nat"]);
        assert_eq!(resolve_in(aliases, "pci:v00001AF4d00001000sv0sd0bc02sc00i00"), ["virtio_pci"]);
        assert!(resolve_in(aliases, "net-pf-4").is_empty());
    }

    #[test]
    fn patterns_end_where_the_text_does() {
        assert!(matches(b"a*", b"a"));
        assert!(matches(b"*b?d*", b"xxbcdyy"));
        assert!(!matches(b"a*c", b"ab"));
        assert!(!matches(b"", b"a"));
    }
}
