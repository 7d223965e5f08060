//! The kernel's table of formats, and the proof that an entry in it does what it should.

use std::io;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::program;
use crate::reaper;

const TABLE: &str = "/proc/sys/fs/binfmt_misc";

/// Programs of 64 bits for x86-64, of either kind, as the kernel reads it: what they begin with, and its mask.
const X86_64: &str = concat!(
    r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00",
    ":",
    r"\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
);

/// The program that proves a translator.
const PROOF: &str = "/run/cove/amd64-proof";

/// How long the proof may take before it counts as failed, in seconds: the engine waits for it. A translated ARM
/// machine on a busy host needs some seconds for what takes milliseconds.
const PATIENCE: &str = "30";

/// What runs programs of another processor.
#[derive(Debug)]
pub(super) struct Translator {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// Its program.
    pub(super) program: &'static str,
    /// `F`: the kernel opens it once, so that containers need no copy; `C` and `O`: programs keep their
    /// credentials, and those that nobody may read still start; `P`: it is told the name a program is called by.
    pub(super) flags: &'static str,
}

/// Why a translator is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TranslatorError {
    /// The share or the kernel's table could not be used.
    #[error("cannot {doing}")]
    Prepare {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    /// A program did not do what it does.
    #[error("a program to try it ended with status {status} and said `{output}`")]
    Proof { status: i32, output: String },
}

impl TranslatorError {
    /// Names what an error of the system kept us from.
    pub(super) fn prepare(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Prepare { doing, source }
    }
}

/// Makes the table appear at its place.
pub(super) fn mount() -> Result<(), TranslatorError> {
    match rustix::mount::mount("binfmt_misc", TABLE, c"binfmt_misc", MountFlags::NOSUID, None) {
        Ok(()) | Err(Errno::BUSY) => Ok(()),
        Err(error) => Err(TranslatorError::prepare("mount the kernel's table of formats")(error.into())),
    }
}

/// Enters a translator, and takes it out again if it does not run a program: nothing may be left that makes every
/// program abort.
pub(super) async fn register_and_prove(translator: &Translator) -> Result<(), TranslatorError> {
    let prepare = TranslatorError::prepare;
    fs::write(Path::new(TABLE).join("register"), registration(translator))
        .map_err(prepare("register it with the kernel"))?;
    let proven = prove().await;
    if proven.is_err() {
        let _ = fs::write(Path::new(TABLE).join(translator.name), "-1");
    }
    proven
}

fn registration(translator: &Translator) -> String {
    let Translator { name, program, flags } = translator;
    format!(":{name}:M::{X86_64}:{program}:{flags}")
}

async fn prove() -> Result<(), TranslatorError> {
    let prepare = TranslatorError::prepare;
    program::write(Path::new(PROOF)).map_err(prepare("write a program to try it"))?;
    let mut command = Command::new("/usr/bin/busybox");
    command.args(["timeout", "-s", "KILL", PATIENCE, PROOF]);
    let outcome = reaper::run_tool(command, b"").await.map_err(prepare("start a program to try it"))?;
    let _ = fs::remove_file(PROOF);
    if outcome.is_success() && outcome.output == program::SAYS {
        return Ok(());
    }
    Err(TranslatorError::Proof { status: outcome.end.status(), output: outcome.output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_everything_in_its_own_form() {
        let translator = Translator { name: "one", program: "/run/one", flags: "OCF" };
        let line = registration(&translator);
        let fields: Vec<&str> = line.split(':').collect();
        let [_, name, kind, offset, magic, mask, program, flags] = fields[..] else { panic!("{line}") };
        assert_eq!((name, kind, offset, program, flags), ("one", "M", "", "/run/one", "OCF"));
        let bytes = |text: &str| text.replace("ELF", r"\x45\x4c\x46").matches(r"\x").count();
        assert_eq!((bytes(magic), bytes(mask)), (20, 20));
        // The kernel takes no longer line.
        assert!(line.len() < 256, "{}", line.len());
    }
}
