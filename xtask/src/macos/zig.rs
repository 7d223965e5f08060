//! A C compiler for the Mac: Zig's, from the Python package that carries it.
//!
//! Build scripts call it by the names of a compiler and an archiver, which are links to this very program: it drops
//! the words that Zig does not understand and calls Zig.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::symlink;
use std::process::{Command, ExitCode};

use camino::Utf8PathBuf;

use super::MACOS_VERSION;
use crate::image::Places;
use crate::output::failure;
use crate::pip::{PipError, PipTool};

/// What pip installs.
const ZIGLANG: PipTool = PipTool {
    name: "ziglang",
    requirement: "xtask/src/macos/ziglang.txt",
    program: "ziglang/zig",
    what: "Zig, a C compiler for the Mac",
};

/// This program's name as a C compiler, and as an archiver.
const NAMES: [(&str, &str); 2] = [("cove-zig-cc", "cc"), ("cove-zig-ar", "ar")];

/// Tells the compiler where Zig is.
const ZIG: &str = "COVE_ZIG";

/// An installed Zig.
pub(super) struct Zig {
    folder: Utf8PathBuf,
}

impl Zig {
    /// Installs it, unless it is there.
    pub(super) fn provide(places: &Places) -> Result<Self, PipError> {
        let folder = ZIGLANG.provide(places)?.join("ziglang");
        Ok(Self { folder })
    }

    fn program(&self) -> Utf8PathBuf {
        self.folder.join("zig")
    }

    /// The list of what macOS's system library has.
    pub(super) fn system_library(&self) -> Utf8PathBuf {
        self.folder.join("lib/libc/darwin/libSystem.tbd")
    }

    /// Makes build scripts compile C code for the Mac with it.
    pub(super) fn compile_for_the_mac(&self, cargo: &mut Command) -> io::Result<()> {
        let this = std::env::current_exe()?;
        for ((name, _), variables) in NAMES.iter().zip([&["CC", "CXX"][..], &["AR"][..]]) {
            let link = this.with_file_name(name);
            match symlink(&this, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            for variable in variables {
                cargo.env(format!("{variable}_aarch64_apple_darwin"), &link);
            }
        }
        cargo.env(ZIG, self.program());
        for variable in ["ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"] {
            cargo.env(variable, self.folder.with_file_name("cache"));
        }
        Ok(())
    }
}

/// Calls Zig when this program was called by the name of a compiler.
pub(super) fn as_compiler() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    let called = Utf8PathBuf::from_os_string(words.next()?).ok()?;
    let (_, face) = NAMES.iter().find(|(name, _)| super::name(&called) == *name)?;
    let zig = std::env::var_os(ZIG).unwrap_or_else(|| "zig".into());
    let words = if *face == "cc" { compiler_words(words) } else { words.collect() };
    match Command::new(zig).arg(face).args(words).status() {
        Ok(status) => {
            Some(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
        }
        Err(error) => {
            failure(&error);
            Some(ExitCode::FAILURE)
        }
    }
}

/// Names the target as Zig does. Its checks at run time are left out: they would call functions that no Mac has.
fn compiler_words(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let target = format!("aarch64-macos.{MACOS_VERSION}");
    let mut given: Vec<OsString> = ["-target", &target, "-fno-sanitize=undefined"].map(Into::into).to_vec();
    let mut is_value = false;
    for word in words {
        let text = word.to_string_lossy();
        let drop = is_value || text.starts_with("--target=") || text.starts_with("-mmacosx-version-min=");
        is_value = text == "-arch";
        if !drop && !is_value {
            given.push(word);
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_zig_does_not_know_are_left_out() {
        let words = "-O0 --target=arm64-apple-macosx -arch arm64 -c a.c -mmacosx-version-min=14.0 -o a.o";
        let given = compiler_words(words.split(' ').map(OsString::from));
        let text: Vec<_> = given.iter().map(|word| word.to_string_lossy()).collect();
        assert_eq!(text.join(" "), "-target aarch64-macos.14.0 -fno-sanitize=undefined -O0 -c a.c -o a.o");
    }
}
