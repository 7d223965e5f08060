//! The guest of Macs: the arm64 image, booted by the same programs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use test_support::free_port;

use crate::cove::{Cove, fetch, until};

/// A tag for the smallest image of a processor, which is in the machine when this returns: Debian's static busybox.
pub(crate) fn busybox(cove: &Cove, arch: &str) -> String {
    let tag = format!("busybox:{arch}");
    if cove.docker(&["image", "inspect", &tag]).status == 0 {
        return tag;
    }
    let program = busybox_program(arch);
    let folder = program.parent().unwrap();
    let archive = cove.home().join(format!("busybox-{arch}.tar"));
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder).arg("-cf").arg(&archive).args(["--transform=s,^,bin/,", "busybox"]);
    assert!(tar.status().unwrap().success(), "{tar:?}");
    let platform = format!("linux/{arch}");
    let entry = r#"ENTRYPOINT ["/bin/busybox"]"#;
    let archive = archive.to_str().unwrap();
    let said = cove.docker(&["import", "--platform", &platform, "--change", entry, archive, &tag]);
    assert_eq!(said.status, 0, "{said:?}");
    tag
}

/// Debian's static busybox for a processor.
pub(crate) fn busybox_program(arch: &str) -> PathBuf {
    let parts = std::env::var_os("COVE_TEST_BUSYBOX").map(PathBuf::from);
    let parts = parts.expect("`cargo xtask test` unpacks busybox and says where");
    parts.join(arch).join("usr/bin/busybox")
}

/// Slow on a computer of another processor, where the second image is translated twice.
pub(crate) fn arm64_runs_images_of_both_processors(cove: &Cove) {
    cove.ok(&["machine", "start"]);
    for (arch, machine) in [("arm64", "aarch64"), ("amd64", "x86_64")] {
        let image = busybox(cove, arch);
        let platform = format!("linux/{arch}");
        let said = cove.docker(&["run", "--rm", "--platform", &platform, &image, "uname", "-m"]);
        assert_eq!((said.status, said.out.trim()), (0, machine), "{said:?}");
    }
}

pub(crate) fn arm64_shares_files_with_their_owners(cove: &Cove) {
    let image = busybox(cove, "arm64");
    let folder = cove.project("arm64-share", &[("from-host", "of the host\n")]);
    let path = folder.to_str().unwrap();
    let mount = format!("{path}:{path}");
    let script = "/bin/busybox cat from-host; echo of the guest > from-guest";
    let mut run = vec!["run", "--rm", "-v", &mount, "-w", path];
    run.extend([image.as_str(), "sh", "-c", script]);
    let said = cove.docker(&run);
    assert_eq!((said.status, said.out.as_str()), (0, "of the host\n"), "{said:?}");
    let (caller, made) = (fs::metadata(folder.join("from-host")), fs::metadata(folder.join("from-guest")));
    let owner = |file: std::io::Result<fs::Metadata>| file.map(|file| (file.uid(), file.gid())).unwrap();
    assert_eq!(owner(made), owner(caller));
    assert_eq!(fs::read_to_string(folder.join("from-guest")).unwrap(), "of the guest\n");
}

pub(crate) fn arm64_publishes_ports(cove: &Cove) {
    let image = busybox(cove, "arm64");
    let port = free_port();
    let publish = format!("{port}:8080");
    let folder = cove.project("arm64-web", &[("index.html", "from inside\n")]);
    let mount = format!("{}:/www", folder.display());
    let said = cove.docker(&[
        "run", "-d", "--name", "web", "-p", &publish, "-v", &mount, &image, "httpd", "-f", "-p", "8080",
        "-h", "/www",
    ]);
    assert_eq!(said.status, 0, "{said:?}");
    until("the published port answers", || fetch(port).is_ok_and(|answer| answer.contains("from inside")));
    assert_eq!(cove.docker(&["rm", "-f", "web"]).status, 0);
}

pub(crate) fn arm64_tells_what_runs_foreign_programs(cove: &Cove) {
    cove.ok(&["machine", "start"]);
    let status = cove.json(&["machine", "status"]);
    let emulation = &status["status"]["emulation"];
    assert_eq!(emulation["architecture"], "amd64", "{status:#}");
    assert_eq!(emulation["by"], "qemu-user", "{status:#}");
    let text = cove.ok(&["machine", "status"]);
    assert!(text.contains("run by QEMU, slowly (this computer shares no Rosetta)"), "{text}");
}

/// Rosetta of macOS 14 and 15 aborts every program that is told more (docs/design/0011): a kernel that tells more takes
/// it away from people with those.
pub(crate) fn arm64_tells_programs_what_rosetta_knows(cove: &Cove) {
    let image = busybox(cove, "arm64");
    let said = cove.docker(&["run", "--rm", &image, "xxd", "-p", "/proc/self/auxv"]);
    assert_eq!(said.status, 0, "{said:?}");
    let digits: Vec<u32> = said.out.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    let types = bytes.chunks_exact(16).map(|entry| u64::from_le_bytes(entry[..8].try_into().unwrap()));
    // AT_HWCAP3 and AT_HWCAP4, of Linux 6.13.
    let newer: Vec<u64> = types.filter(|kind| matches!(kind, 29 | 30)).collect();
    assert!(newer.is_empty() && bytes.len() > 160, "{newer:?} in {}", said.out);
}

/// Docker's containers get their end, and the data disk is left clean: the next boot finds what was there.
/// The kernel module for file events is built for this processor's kernel, and loaded by it.
pub(crate) fn arm64_follows_files(cove: &Cove) {
    // An image of nothing but busybox has no shell by its usual name.
    let shells =
        format!("FROM {}\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n", busybox(cove, "arm64"));
    let config = r#"{ "build": { "dockerfile": "Dockerfile" } }"#;
    cove.project("arm64-files", &[(".devcontainer.json", config), ("Dockerfile", &shells)]);
    cove.ok(&["up", "arm64-files"]);
    until("files are followed", || {
        let conditions = cove.json(&["show", "arm64-files"])["status"]["conditions"].clone();
        let mut conditions = conditions.as_array().unwrap().iter();
        conditions.any(|it| it["kind"] == "files_followed" && it["holds"] == true)
    });
    let module = cove.ok(&["machine", "shell", "--", "sh", "-c", "test -c /dev/cove-fsnotify && lsmod"]);
    assert!(module.contains("cove_fsnotify"), "{module}");
    cove.ok(&["rm", "--yes", "arm64-files"]);
}

pub(crate) fn arm64_stops_in_order(cove: &Cove) {
    busybox(cove, "arm64");
    cove.ok(&["machine", "stop"]);
    until("no hypervisor is left", || cove.processes("qemu-system-aarch64").is_empty());
    cove.ok(&["machine", "start"]);
    let said = cove.docker(&["image", "inspect", "--format", "{{.Architecture}}", "busybox:arm64"]);
    assert_eq!(said.out.trim(), "arm64", "{said:?}");
    let logs = cove.ok(&["machine", "logs"]);
    assert!(!logs.contains("was not unmounted in order"), "{logs}");
    cove.ok(&["machine", "stop"]);
}
