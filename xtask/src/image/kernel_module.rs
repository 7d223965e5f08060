//! Our kernel module, built for Debian's kernel from its headers.
//!
//! The kernel's own build system is left out: its helpers are programs of the suite's C library, which an older host
//! does not have, and it holds a compiler to the flags that the kernel was built with. What it does for a module of
//! one file is little: compile it, say for which kernel and with which symbols (that table is `Module.symvers`, and
//! the kernel refuses a module whose sums differ), and link both with the kernel's linker script.

use std::fmt::Write as _;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;
use super::host_tools::{READELF, ToolError, find, run};
use crate::output::say;

/// The module's name, which is that of its source.
const NAME: &str = "cove_fsnotify";

/// Flags for code inside a kernel, on every processor. A warning is an error: the compiler is the only one here who
/// reads this code against the kernel's headers.
const FLAGS: &[&str] = &[
    "-nostdinc",
    "-D__KERNEL__",
    "-DMODULE",
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Werror",
    // As the kernel itself is compiled: its names are of unsigned bytes, its functions take bytes.
    "-Wno-pointer-sign",
    "-Wno-address-of-packed-member",
    "-funsigned-char",
    "-fshort-wchar",
    "-fno-common",
    "-fno-PIE",
    "-fno-strict-aliasing",
    "-fno-delete-null-pointer-checks",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
];

/// No registers but the general ones, and the calling conventions of a kernel.
const FLAGS_AMD64: &[&str] = &[
    "-mcmodel=kernel",
    "-mno-red-zone",
    "-mno-sse",
    "-mno-mmx",
    "-mno-80387",
    "-fcf-protection=branch",
    "-fno-jump-tables",
    "-mpreferred-stack-boundary=3",
    "-mskip-rax-setup",
];
const FLAGS_ARM64: &[&str] = &["-mgeneral-regs-only", "-mabi=lp64", "-mbranch-protection=none"];

/// Included before every source, in this order.
const FIRST: &[&str] = &["linux/compiler-version.h", "linux/kconfig.h", "linux/compiler_types.h"];

/// The module could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelModuleError {
    /// There is no compiler for the guest's processor.
    #[error("`{command}` is not installed; install the Debian packages {packages:?}")]
    NoCompiler { command: &'static str, packages: [&'static str; 2] },
    /// The headers are not those of the kernel.
    #[error("the packages of the kernel bring no `{path}`")]
    NoHeaders { path: Utf8PathBuf },
    /// The kernel does not offer what the module calls.
    #[error("the kernel {release} does not export `{symbol}`, which our module calls")]
    NoSymbol { release: String, symbol: String },
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The headers of one kernel, in an unpacked root.
struct Headers {
    /// Generated for the flavour.
    flavour: Utf8PathBuf,
    /// Shared by all flavours.
    common: Utf8PathBuf,
    /// The processor as the kernel's folders call it.
    processor: &'static str,
}

/// Builds the module of the folder `source` for the kernel `release` of the tree `root`, into `folder`.
pub(crate) fn build(
    arch: Arch,
    source: &Utf8Path,
    root: &Utf8Path,
    release: &str,
    folder: &Utf8Path,
) -> Result<(), KernelModuleError> {
    let headers = Headers::of(arch, root, release)?;
    let (compiler, packages) = arch.cross_compiler();
    let compiler = find(compiler).ok_or(KernelModuleError::NoCompiler { command: compiler, packages })?;
    let code = folder.join("code.o");
    let about = folder.join("about.o");
    run(headers
        .compile(arch, &compiler, source)
        .arg(source.join(format!("{NAME}.c")))
        .args(["-o", code.as_str()]))?;

    let table = fs_err::read_to_string(headers.flavour.join("Module.symvers"))?;
    let called = run(READELF.command()?.args(["--symbols", "--wide", code.as_str()]))?;
    let called = undefined(&String::from_utf8_lossy(&called));
    let text = about_text(&called, &table)
        .map_err(|symbol| KernelModuleError::NoSymbol { release: release.to_owned(), symbol })?;
    let about_source = folder.join("about.c");
    fs_err::write(&about_source, text)?;
    run(headers.compile(arch, &compiler, source).arg(&about_source).args(["-o", about.as_str()]))?;

    let script = headers.flavour.join("arch").join(headers.processor).join("module.lds");
    let mut link = Command::new(&compiler);
    link.args(["-r", "-nostdlib", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-T"]).arg(&script);
    let module = folder.join(format!("{NAME}.ko"));
    run(link.args([&code, &about]).args(["-o", module.as_str()]))?;
    for left in [code, about, about_source] {
        fs_err::remove_file(left)?;
    }
    say(format!("  {NAME} for {release}"));
    Ok(())
}

impl Headers {
    fn of(arch: Arch, root: &Utf8Path, release: &str) -> Result<Self, KernelModuleError> {
        let sources = root.join("usr/src");
        let flavour = sources.join(format!("linux-headers-{release}"));
        // `6.12.1+deb13-cloud-amd64`: the version ends before the flavour.
        let version = release.split('-').next().unwrap_or(release);
        let common = sources.join(format!("linux-headers-{version}-common"));
        for path in [&flavour, &common] {
            if !path.is_dir() {
                return Err(KernelModuleError::NoHeaders { path: path.clone() });
            }
        }
        let processor = match arch {
            Arch::Amd64 => "x86",
            Arch::Arm64 => "arm64",
        };
        Ok(Self { flavour, common, processor })
    }

    /// A command that compiles one source for this kernel.
    fn compile(&self, arch: Arch, compiler: &Utf8Path, source: &Utf8Path) -> Command {
        let own = format!("arch/{}/include", self.processor);
        let mut command = Command::new(compiler);
        command.env("LC_ALL", "C.UTF-8").args(FLAGS).arg("-c");
        command.args(match arch {
            Arch::Amd64 => FLAGS_AMD64,
            Arch::Arm64 => FLAGS_ARM64,
        });
        for folder in [
            source.to_owned(),
            self.common.join(&own),
            self.flavour.join(&own).join("generated"),
            self.common.join("include"),
            self.flavour.join("include"),
            self.common.join(&own).join("uapi"),
            self.flavour.join(&own).join("generated/uapi"),
            self.common.join("include/uapi"),
            self.flavour.join("include/generated/uapi"),
        ] {
            command.arg(format!("-I{folder}"));
        }
        for header in FIRST {
            command.args(["-include", self.common.join("include").join(header).as_str()]);
        }
        for (macro_name, value) in [
            ("KBUILD_MODFILE", format!("\"{NAME}\"")),
            ("KBUILD_BASENAME", format!("\"{NAME}\"")),
            ("KBUILD_MODNAME", format!("\"{NAME}\"")),
            ("__KBUILD_MODNAME", format!("kmod_{NAME}")),
        ] {
            command.arg(format!("-D{macro_name}={value}"));
        }
        // Where the headers and sources are on this computer is not to be found in the module.
        if let Some(root) = self.common.parent() {
            command.arg(format!("-ffile-prefix-map={root}="));
        }
        command.arg(format!("-ffile-prefix-map={source}=fsnotify"));
        command
    }
}

/// The names that an object file needs from elsewhere, from `readelf --symbols`.
fn undefined(printed: &str) -> Vec<String> {
    let mut names: Vec<String> = printed
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(6);
            (fields.next()? == "UND").then(|| fields.next()).flatten()
        })
        // The module's own description, in the other object.
        .filter(|name| *name != "__this_module")
        .map(ToOwned::to_owned)
        .collect();
    names.sort_unstable();
    names
}

/// A source that says what the module is called, for which kernel it is, and with which sums of its symbols. Fails with
/// a symbol that is not in the table.
fn about_text(called: &[String], table: &str) -> Result<String, String> {
    let sums: std::collections::HashMap<&str, &str> = table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let sum = fields.next()?;
            Some((fields.next()?, sum))
        })
        .collect();
    let mut text = ABOUT.to_owned();
    for symbol in ["module_layout"].into_iter().chain(called.iter().map(String::as_str)) {
        let sum = sums.get(symbol).ok_or_else(|| symbol.to_owned())?;
        writeln!(text, "\t{{ {sum}, \"{symbol}\" }},").expect("text can be written to memory");
    }
    text.push_str("};\n");
    Ok(text)
}

/// What the kernel's `modpost` writes for a module that offers no symbols to others.
const ABOUT: &str = r#"#include <linux/module.h>
#define INCLUDE_VERMAGIC
#include <linux/build-salt.h>
#include <linux/vermagic.h>

BUILD_SALT;
MODULE_INFO(vermagic, VERMAGIC_STRING);
MODULE_INFO(name, KBUILD_MODNAME);
MODULE_INFO(depends, "");

__visible struct module __this_module __section(".gnu.linkonce.this_module") = {
	.name = KBUILD_MODNAME,
	.init = init_module,
	.arch = MODULE_ARCH_INIT,
};

static const struct modversion_info ____versions[] __used __section("__versions") = {
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_called_symbols_are_told() {
        let printed = "   Num:    Value          Size Type    Bind   Vis      Ndx Name\n\
             \x20    0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND \n\
             \x20   52: 0000000000000000     0 NOTYPE  GLOBAL DEFAULT  UND fsnotify\n\
             \x20   53: 0000000000000010    10 FUNC    GLOBAL DEFAULT    5 init_module\n\
             \x20   54: 0000000000000000     0 NOTYPE  GLOBAL DEFAULT  UND dput\n\
             \x20   55: 0000000000000000     0 NOTYPE  GLOBAL DEFAULT  UND __this_module\n";
        let called = undefined(printed);
        assert_eq!(called, ["dput", "fsnotify"]);
        let table = "0x01\tfsnotify\tvmlinux\tEXPORT_SYMBOL_GPL\t\n0x02\tdput\tvmlinux\tEXPORT_SYMBOL\t\n\
             0x03\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n";
        let text = about_text(&called, table).unwrap();
        assert!(text.ends_with(
            "\t{ 0x03, \"module_layout\" },\n\t{ 0x02, \"dput\" },\n\t{ 0x01, \"fsnotify\" },\n};\n"
        ));
        assert_eq!(about_text(&called, "0x03\tmodule_layout\t\n"), Err("dput".to_owned()));
    }
}
