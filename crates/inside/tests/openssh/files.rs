//! File transfer: sftp, scp and rsync.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output, Stdio};

use crate::client::{Client, noise, text};

/// Runs commands of sftp's; all must end well.
fn sftp(client: &Client, batch: &str) -> Output {
    let mut child = client
        .program("sftp")
        .args(["-b", "-", "web.cove"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_big_file_goes_there_and_back_unharmed_with_mode_and_time() {
    let client = Client::new();
    let [original, there, back] = ["original", "there", "back"].map(|name| client.path(name));
    std::fs::write(&original, noise(100 << 20)).unwrap();
    std::fs::set_permissions(&original, std::fs::Permissions::from_mode(0o751)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    std::fs::File::options().write(true).open(&original).unwrap().set_modified(time).unwrap();
    let output =
        sftp(&client, &format!("put -p \"{original}\" \"{there}\"\nget -p \"{there}\" \"{back}\"\n"));
    assert!(output.status.success(), "{}", text(&output));
    for copy in [&there, &back] {
        let same = Command::new("cmp").args([&original, copy]).status().unwrap();
        let metadata = std::fs::metadata(copy).unwrap();
        assert!(same.success());
        assert_eq!((metadata.mode() & 0o777, metadata.mtime()), (0o751, 1_700_000_000));
    }
}

#[test]
fn folders_links_and_renames_are_as_everywhere() {
    let client = Client::new();
    let folder = client.path("place");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..250 {
        std::fs::write(folder.join(format!("file {number}")), "content").unwrap();
    }
    let batch = format!(
        "cd \"{folder}\"\nmkdir new\nrename \"file 0\" new/moved\nsymlink new/moved link\nln -s new other\n\
         chmod 600 new/moved\nrm \"file 1\"\nls -1\npwd\ndf\n"
    );
    let output = sftp(&client, &batch);
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(
        said.contains("file 249") && !said.contains("file 1\n") && said.contains(folder.as_str()),
        "{said}"
    );
    assert_eq!(std::fs::read_link(folder.join("link")).unwrap().to_str(), Some("new/moved"));
    assert_eq!(std::fs::metadata(folder.join("new/moved")).unwrap().mode() & 0o777, 0o600);
    let output = sftp(&client, &format!("get \"{folder}/missing\" /dev/null\n"));
    assert!(text(&output).contains("not found"), "{}", text(&output));
}

#[test]
fn scp_copies_folders_by_the_same_way() {
    let client = Client::new();
    let folder = client.path("tree");
    std::fs::create_dir_all(folder.join("a/b")).unwrap();
    std::fs::write(folder.join("a/b/c"), "deep").unwrap();
    let to = client.path("copy");
    let output =
        client.program("scp").args(["-r", folder.as_str(), &format!("web.cove:{to}")]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(to.join("a/b/c")).unwrap(), "deep");
}

#[test]
fn rsync_goes_both_ways_and_carries_only_what_changed() {
    let client = Client::new();
    let [from, there, back] = ["from/", "there/", "back/"].map(|name| client.path(name));
    std::fs::create_dir_all(from.join("deep")).unwrap();
    std::fs::write(from.join("deep/noise"), noise(20 << 20)).unwrap();
    std::fs::write(from.join("small"), "one").unwrap();
    let rsync = |from: &str, to: &str| {
        let shell = format!("ssh -F '{}'", client.path("config"));
        let output = Command::new("rsync")
            .args(["-a", "--delete", "--stats", "-e", &shell, from, to])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    rsync(from.as_str(), &format!("web.cove:{there}"));
    rsync(&format!("web.cove:{there}"), back.as_str());
    let same = Command::new("diff").args(["-r", from.as_str(), back.as_str()]).status().unwrap();
    assert!(same.success());
    // Of another length, as rsync looks at lengths and whole seconds.
    std::fs::write(from.join("small"), "three").unwrap();
    let said = rsync(from.as_str(), &format!("web.cove:{there}"));
    assert!(said.contains("Number of regular files transferred: 1"), "{said}");
}
