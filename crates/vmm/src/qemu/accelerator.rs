//! Which accelerator runs our guests on this host: found out by booting one.
//!
//! `/dev/kvm` that can be opened proves nothing: a nested or paravirtual host may stop in the middle of the
//! kernel's first instructions. So a guest is booted that prints a line and switches off. The verdict holds until
//! the host's kernel, QEMU or the guest's kernel change.

use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;

use super::qmp::{Event, Qmp, RunState};
use super::{Qemu, argv};
use crate::image::{self, Manifest};
use crate::process::Launch;
use crate::{Accelerator, Architecture, Error, VmConfig};

/// What the guest prints when it is told to prove itself.
const PROOF: &str = "cove: probe ok";

/// How long a guest may stay silent. Under a working KVM it needs less than two seconds.
const SILENCE: Duration = Duration::from_secs(8);

const KVM: &str = "/dev/kvm";

/// Verdicts that are kept: a few images and QEMU versions in turn.
const MEMORY_ENTRIES: usize = 8;

/// What runs the guest, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why, in one sentence for people.
    pub reason: String,
}

/// What a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Circumstances {
    host_kernel: String,
    qemu: String,
    guest_kernel: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    circumstances: Circumstances,
    #[serde(flatten)]
    verdict: Verdict,
}

/// Decides for a machine, by memory where it can.
pub(super) async fn choose(
    qemu: &Qemu,
    program: &Utf8Path,
    config: &VmConfig,
    manifest: Option<&Manifest>,
    memory: Option<&Utf8Path>,
) -> Result<Verdict, Error> {
    if Some(config.architecture) != Architecture::host() {
        return Ok(translated("the guest's processor is not the host's".to_owned()));
    }
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(KVM) {
        return Ok(translated(format!("KVM cannot be used: {error}")));
    }
    let circumstances = Circumstances {
        host_kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        qemu: version(program).await?,
        guest_kernel: kernel_digest(config, manifest).await?,
    };
    let mut entries = memory.map(recall).unwrap_or_default();
    if let Some(known) = entries.iter().find(|entry| entry.circumstances == circumstances) {
        return Ok(known.verdict.clone());
    }
    let verdict = match probe(qemu, program, config).await? {
        None => Verdict { accelerator: Accelerator::Kvm, reason: "a guest ran under KVM".to_owned() },
        Some(failure) => translated(failure),
    };
    entries.insert(0, Entry { circumstances, verdict: verdict.clone() });
    entries.truncate(MEMORY_ENTRIES);
    if let Some(memory) = memory {
        remember(memory, &entries);
    }
    Ok(verdict)
}

fn translated(reason: String) -> Verdict {
    Verdict { accelerator: Accelerator::Tcg, reason }
}

/// Boots a guest under KVM. `None` when it proved itself, else what happened.
async fn probe(qemu: &Qemu, program: &Utf8Path, config: &VmConfig) -> Result<Option<String>, Error> {
    let (control, control_end) = socket_pair()?;
    let (console, console_end) = socket_pair()?;
    let mut running = Launch {
        launcher: &qemu.launcher,
        program,
        arguments: argv::probe_argv(config, Accelerator::Kvm),
        folder: &config.run_dir,
        input: Some(control_end.into()),
        output: Some(console_end.into()),
    }
    .start()?;
    let sign = tokio::select! {
        biased;
        proven = proof(console) => if proven { Sign::Proof } else { Sign::End },
        failure = failure(control) => Sign::Failure(failure),
        _ = running.child.wait() => Sign::End,
        () = tokio::time::sleep(SILENCE) => {
            Sign::Failure(format!("a guest under KVM stayed silent for {} s", SILENCE.as_secs()))
        }
    };
    // Dead already in one case; then its last words tell why.
    let _ = running.child.start_kill();
    let ended = running.ended().await;
    Ok(match sign {
        Sign::Proof => None,
        Sign::Failure(failure) => Some(failure),
        Sign::End => {
            // What it wrote is in the log; people need the fact.
            let end = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            Some(format!("KVM of this computer cannot run a guest: QEMU ended at once ({end})"))
        }
    })
}

/// What a probe came to.
enum Sign {
    /// The guest printed the line.
    Proof,
    /// It is known that it never will.
    Failure(String),
    /// The console or the whole QEMU ended without it.
    End,
}

/// Whether the line comes before the console ends.
async fn proof(console: UnixStream) -> bool {
    let mut lines = BufReader::new(console).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        if String::from_utf8_lossy(&line).contains(PROOF) {
            return true;
        }
    }
    false
}

/// Waits until KVM gives the guest up.
async fn failure(control: UnixStream) -> String {
    if let Ok((qmp, mut events)) = Qmp::start(control).await {
        // Asked once more than told: the halt may have come before anyone listened.
        loop {
            match qmp.run_state().await {
                Ok(RunState::InternalError) => {
                    return "KVM stopped a guest with an internal error".to_owned();
                }
                Ok(_) => {}
                Err(_) => break,
            }
            match events.recv().await {
                Some(Event::Halted | Event::GuestPanicked | Event::Shutdown(_)) => {}
                None => break,
            }
        }
    }
    // The end of the channel is not the verdict: the console or the process tell.
    std::future::pending().await
}

async fn version(program: &Utf8Path) -> Result<String, Error> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .await
        .map_err(|source| Error::Spawn { program: program.to_owned(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

async fn kernel_digest(config: &VmConfig, manifest: Option<&Manifest>) -> Result<String, Error> {
    let kernel = config.image.kernel.clone();
    let listed = kernel.file_name().and_then(|name| manifest?.files.get(name));
    if let Some(file) = listed {
        return Ok(file.sha256.clone());
    }
    let reading = {
        let kernel = kernel.clone();
        tokio::task::spawn_blocking(move || image::sha256(&kernel))
    };
    let digest = reading.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    digest.map_err(|source| Error::ImageUnreadable { path: kernel, source })
}

fn recall(memory: &Utf8Path) -> Vec<Entry> {
    fs::read(memory).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// A verdict that cannot be kept costs a few seconds at the next boot, nothing else.
fn remember(memory: &Utf8Path, entries: &[Entry]) {
    let json = serde_json::to_vec_pretty(entries).expect("verdicts are plain data");
    let beside = memory.with_added_extension("new");
    if let Err(error) = fs::write(&beside, json).and_then(|()| fs::rename(&beside, memory)) {
        tracing::warn!(%error, "the accelerator's verdict could not be kept");
    }
}

/// Two ends of a socket: one for this process's tasks, one to hand to a program.
pub(crate) fn socket_pair() -> Result<(UnixStream, StdUnixStream), Error> {
    let pair = || {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((UnixStream::from_std(ours)?, theirs))
    };
    pair().map_err(|source| Error::File { doing: "make a socket for", path: "QEMU".into(), source })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::config::tests::sample;

    #[tokio::test]
    async fn a_foreign_guest_is_translated_without_a_probe() {
        let foreign = match Architecture::host() {
            Some(Architecture::Amd64) => Architecture::Arm64,
            _ => Architecture::Amd64,
        };
        let config = VmConfig { architecture: foreign, ..sample() };
        let nowhere = Utf8Path::new("/nonexistent");
        let verdict = choose(&Qemu::new(Vec::new()), nowhere, &config, None, None).await.unwrap();
        assert_eq!(verdict.accelerator, Accelerator::Tcg);
        assert!(verdict.reason.contains("not the host's"), "{}", verdict.reason);
    }

    #[test]
    fn a_verdict_holds_for_its_circumstances_and_a_damaged_memory_is_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Utf8PathBuf::from_path_buf(dir.path().join("accelerator.json")).unwrap();
        assert!(recall(&memory).is_empty());
        let circumstances = Circumstances {
            host_kernel: "6.1".to_owned(),
            qemu: "QEMU emulator version 10.0.2".to_owned(),
            guest_kernel: "ab".to_owned(),
        };
        let verdict = translated("KVM stopped a guest with an internal error".to_owned());
        remember(&memory, &[Entry { circumstances: circumstances.clone(), verdict: verdict.clone() }]);
        let [entry] = &recall(&memory)[..] else { panic!("one verdict was kept") };
        assert_eq!((&entry.circumstances, &entry.verdict), (&circumstances, &verdict));
        fs::write(&memory, "{").unwrap();
        assert!(recall(&memory).is_empty());
    }

    #[tokio::test]
    async fn only_the_line_itself_proves_a_guest() {
        for (console, expected) in
            [("\x1b[2J\r\nLinux\ncove: probe ok\r\n", true), ("cove: probe failed\n", false), ("", false)]
        {
            let (host, mut guest) = UnixStream::pair().unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut guest, console.as_bytes()).await.unwrap();
            drop(guest);
            assert_eq!(proof(host).await, expected, "{console:?}");
        }
    }
}
