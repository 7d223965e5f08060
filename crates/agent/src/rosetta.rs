//! Programs for x86-64 on an ARM machine, by Apple's translator, where the host shares it.
//!
//! The translator is registered for every namespace (`F`: the kernel opens it once, so containers need no copy), with
//! the credentials of the program (`C`) and its open file (`O`). Then a program proves it: with some kernels Rosetta
//! aborts every program it is given, and an `exec format error` says more than that. What was translated is kept by
//! Apple's daemon, where the share has one.

use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;
use protocol::agent::ComponentState;
use rustix::mount::MountFlags;

use crate::console::chain;
use crate::journal::Journal;
use crate::modules::Modules;
use crate::reaper;

const SHARE: &str = "/run/cove/rosetta";
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
const TEST: &str = "/run/cove/rosetta-test";
const CACHE: &str = "/var/cache/rosettad";
/// Where the daemon makes its socket below its folder, and where the host told the translator to look.
const SOCKET: &str = "/var/cache/rosettad/uds/rosetta.sock";
const SOCKET_FOLDER: &str = "/run/rosettad";

/// Programs of 64 bits for x86-64, of either kind; the kernel reads the escapes.
const REGISTRATION: &str = concat!(
    ":rosetta:M::",
    r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00",
    ":",
    r"\xff\xff\xff\xff\xff\xfe\xfe\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
    ":/run/cove/rosetta/rosetta:OCF"
);

/// What the test program exits with.
const PROOF: i32 = 42;

/// Why programs for x86-64 do not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RosettaError {
    /// The share or the kernel's table could not be used.
    #[error("cannot {doing}")]
    Prepare {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    /// A program did not do what it does.
    #[error(
        "a program for x86-64 ended with {status} in place of {PROOF}: this Rosetta does not work here; {output}"
    )]
    Proof { status: i32, output: String },
}

/// Registers the translator of the share with this tag, and tells how that went.
pub(crate) async fn start(tag: &str, journal: &Journal) {
    match register_and_prove(tag).await {
        Ok(()) => {
            journal.info("programs for x86-64 run by Rosetta");
            if let Err(error) = start_cache().await {
                journal.warn(format!("Rosetta translates each program anew: {error}"));
            }
        }
        Err(error) => {
            // Nothing may be left that makes programs abort.
            let _ = fs::write(Path::new(BINFMT).join("rosetta"), "-1");
            let error = chain(&error);
            journal.error(format!("programs for x86-64 do not run: {error}"));
            journal.component("rosetta", ComponentState::Failed, 0, vec![error]);
        }
    }
}

async fn register_and_prove(tag: &str) -> Result<(), RosettaError> {
    let prepare = |doing| move |source| RosettaError::Prepare { doing, source };
    let loading = tokio::task::spawn_blocking(|| {
        Modules::of_running_kernel().map(|mut modules| modules.load_all(&["virtiofs", "binfmt_misc"]))
    });
    // A driver that is missing shows in the next step.
    let _ = loading.await;
    fs::create_dir_all(SHARE).map_err(prepare("make the share's folder"))?;
    rustix::mount::mount(tag, SHARE, c"virtiofs", MountFlags::RDONLY, None)
        .map_err(io::Error::from)
        .map_err(prepare("mount the share"))?;
    if !Path::new(BINFMT).join("register").exists() {
        rustix::mount::mount("binfmt_misc", BINFMT, c"binfmt_misc", MountFlags::NOSUID, None)
            .map_err(io::Error::from)
            .map_err(prepare("mount the kernel's table of formats"))?;
    }
    fs::write(Path::new(BINFMT).join("register"), REGISTRATION)
        .map_err(prepare("register the translator"))?;
    write_program(Path::new(TEST)).map_err(prepare("write a program to try"))?;
    let outcome = reaper::run_tool(Command::new(TEST), b"").await.map_err(prepare("start a program"))?;
    let _ = fs::remove_file(TEST);
    match outcome.end.status() {
        PROOF => Ok(()),
        status => Err(RosettaError::Proof { status, output: outcome.output }),
    }
}

/// Starts the daemon that keeps translations, where the share has one.
async fn start_cache() -> io::Result<()> {
    let daemon = Path::new(SHARE).join("rosettad");
    if !daemon.exists() {
        return Ok(());
    }
    for folder in [CACHE, SOCKET_FOLDER] {
        fs::create_dir_all(folder)?;
    }
    symlink(SOCKET, Path::new(SOCKET_FOLDER).join("rosetta.sock"))?;
    let mut command = Command::new(daemon);
    command.args(["daemon", CACHE]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut process, _child) = reaper::spawn(&mut command)?;
    tokio::spawn(async move { process.ended().await });
    for _ in 0..100 {
        if Path::new(SOCKET).exists() {
            // Translators of every user come here.
            return fs::set_permissions(SOCKET, std::fs::Permissions::from_mode(0o722));
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "its cache made no socket"))
}

/// A whole program for x86-64 that only exits: one header, one segment, three instructions.
fn write_program(path: &Path) -> io::Result<()> {
    const BASE: u64 = 0x0040_0000;
    const HEADERS: u64 = 64 + 56;
    let code = [0xbf, PROOF as u8, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(u64::to_le_bytes(word));
    }
    // Flags; sizes of this header and of a program header, of which there is one; no sections.
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // Loaded, to be read and executed.
    for word in [1_u32, 5] {
        file.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend(code);
    fs::write(path, file)?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_proves_it_is_one_and_the_registration_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        write_program(&path).unwrap();
        let program = fs::read(&path).unwrap();
        assert_eq!(program.len(), 132);
        assert_eq!(&program[16..20], b"\x02\0\x3e\0", "what the registration looks for");
        if cfg!(target_arch = "x86_64") {
            let status = Command::new(&path).status().unwrap();
            assert_eq!(status.code(), Some(PROOF));
        }
    }
}
