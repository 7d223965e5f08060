//! A whole program for x86-64 that says on which processor it believes to run: the smallest thing that a translator
//! must get right, from the loader over the kernel's calls to the end.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fs_err as fs;

/// What it says.
pub(super) const SAYS: &str = "x86_64";

const BASE: u64 = 0x0040_0000;
const HEADERS: u64 = 64 + 56;

/// `uname`, `write` of the field `machine`, which lies 260 bytes into the answer, and `exit`.
#[rustfmt::skip]
const CODE: &[u8] = &[
    0x48, 0x81, 0xec, 0x90, 0x01, 0x00, 0x00,       // sub rsp, 400
    0x48, 0x89, 0xe7,                               // mov rdi, rsp
    0xb8, 63, 0x00, 0x00, 0x00,                     // mov eax, 63
    0x0f, 0x05,                                     // syscall
    0xbf, 0x01, 0x00, 0x00, 0x00,                   // mov edi, 1
    0x48, 0x8d, 0xb4, 0x24, 0x04, 0x01, 0x00, 0x00, // lea rsi, [rsp + 260]
    0xba, SAYS.len() as u8, 0x00, 0x00, 0x00,       // mov edx, length
    0xb8, 0x01, 0x00, 0x00, 0x00,                   // mov eax, 1
    0x0f, 0x05,                                     // syscall
    0x31, 0xff,                                     // xor edi, edi
    0xb8, 60, 0x00, 0x00, 0x00,                     // mov eax, 60
    0x0f, 0x05,                                     // syscall
];

/// Writes it: the header of the file, the header of its one segment, and the code.
pub(super) fn write(path: &Path) -> io::Result<()> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    // The entry; where the segments' headers are; no sections.
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(u64::to_le_bytes(word));
    }
    // Flags; sizes of this header and of a segment's, of which there is one; no sections.
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // Loaded, to be read and executed.
    for word in [1_u32, 5] {
        file.extend(word.to_le_bytes());
    }
    let size = HEADERS + CODE.len() as u64;
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend(CODE);
    fs::write(path, file)?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;
    use crate::reaper;

    #[tokio::test]
    async fn its_own_processor_runs_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        write(&path).unwrap();
        let runs = async {
            loop {
                match reaper::run_tool(Command::new(&path), b"").await {
                    // A child that another test is just starting has it open for writing until it runs.
                    Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    outcome => return outcome.unwrap(),
                }
            }
        };
        // The reapers of other tests collect every child of this process.
        let outcome = tokio::select! {
            outcome = runs => outcome,
            _ = reaper::run() => panic!("the reaper runs as long as the runtime"),
        };
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(outcome.output, SAYS);
    }
}
