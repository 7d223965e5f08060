//! Rosetta as the agent meets it, without a Mac: a share with its tag, holding something else that translates, or
//! something that fails every program, as Rosetta does under a kernel it does not know.

use std::fs;
use std::path::Path;
use std::time::Duration;

use camino::Utf8Path;
use protocol::agent::{Emulation, Event, Reply, Request};
use protocol::{AGENT_PORT, FrameDecoder, FrameKind, encode_json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use vmm::qemu::Qemu;
use vmm::{ByteStream, DataDisk, Hypervisor as _, Share, VmConfig, VmState};

use crate::arm64::{busybox, busybox_program};
use crate::cove::Cove;

/// How long a boot may take on a busy computer that translates it.
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) fn arm64_uses_rosetta_only_if_it_works(cove: &Cove) {
    let good = cove.project("rosetta-good", &[]);
    // The guest's own QEMU, taken out of it, stands for a Rosetta that works.
    let image = busybox(cove, "arm64");
    let out = format!("{}:/out", good.display());
    let copy = ["cp", "/guest/qemu-x86_64", "/out/rosetta"];
    let run = ["run", "--rm", "-v", "/usr/bin:/guest:ro", "-v", &out, &image];
    let said = cove.docker(&[&run[..], &copy[..]].concat());
    assert_eq!(said.status, 0, "{said:?}");
    let told = boot_with(cove, &good);
    assert_eq!((told.by.as_deref(), &told.note), (Some("rosetta"), &None), "{told:?}");

    // A program that is called `rosetta` and can do nothing of the sort.
    let bad = cove.project("rosetta-bad", &[]);
    fs::copy(busybox_program("arm64"), bad.join("rosetta")).unwrap();
    let told = boot_with(cove, &bad);
    assert_eq!(told.by.as_deref(), Some("qemu-user"), "{told:?}");
    let note = told.note.unwrap_or_default();
    assert!(note.starts_with("Rosetta failed: ") && note.contains("applet not found"), "{note}");
}

/// Boots a machine like that of the tests, with this folder as Rosetta's share; gives what runs foreign programs there.
fn boot_with(cove: &Cove, share: &Path) -> Emulation {
    let booted = fs::read(cove.home().join("machines/default/machine.json")).unwrap();
    let mut config: VmConfig = serde_json::from_slice(&booted).unwrap();
    let folder = tempfile::Builder::new().prefix("cvr").tempdir_in("/tmp").unwrap();
    let place = Utf8Path::from_path(folder.path()).unwrap();
    let host_path = Utf8Path::from_path(share).unwrap().to_owned();
    config.shares = vec![Share { tag: "rosetta".to_owned(), host_path, read_only: false }];
    config.data_disk = DataDisk { path: place.join("data.img"), size_gib: 1 };
    config.console_log = place.join("console.log");
    config.run_dir = place.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async { tokio::time::timeout(PATIENCE, boot(config)).await });
    told.unwrap_or_else(|_| {
        let console = fs::read_to_string(place.join("console.log")).unwrap_or_default();
        panic!("the guest did not tell what runs foreign programs\n{console}")
    })
}

async fn boot(config: VmConfig) -> Emulation {
    let launcher = ["setpriv", "--pdeathsig", "KILL", "--"].map(Into::into).to_vec();
    let machine = Qemu::new(launcher).boot(config).await.unwrap();
    let mut states = machine.watch();
    let state = states.wait_for(|state| *state != VmState::Starting).await.unwrap().clone();
    assert_eq!(state, VmState::Running);
    let mut stream = machine.connect(AGENT_PORT).await.unwrap();
    stream.write_all(&encode_json(&Request::Watch)).await.unwrap();
    stream.flush().await.unwrap();
    let told = follow(&mut stream).await;
    drop(stream);
    machine.kill().await.unwrap();
    told
}

/// Reads a watch, from its reply to the event.
async fn follow(stream: &mut ByteStream) -> Emulation {
    let mut decoder = FrameDecoder::new();
    let mut piece = vec![0; 16 * 1024];
    let mut replied = false;
    loop {
        while let Some(frame) = decoder.next().unwrap() {
            assert_eq!(frame.kind, FrameKind::Message);
            if !std::mem::replace(&mut replied, true) {
                assert_eq!(frame.message::<Reply>().unwrap(), Reply::Done);
            } else if let Event::Emulation(told) = frame.message().unwrap() {
                return told;
            }
        }
        match stream.read(&mut piece).await.unwrap() {
            0 => panic!("the agent ended the stream"),
            read => decoder.push(&piece[..read]),
        }
    }
}
