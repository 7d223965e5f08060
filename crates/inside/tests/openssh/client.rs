//! A person's ssh client that is set up for one host: `web.cove`.

use std::fmt::Write as _;
use std::process::{Command, Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use host::ssh_keys::SshKeys;
use protocol::inside::SshStart;

pub(crate) struct Client {
    pub(crate) folder: Utf8PathBuf,
    _temp: tempfile::TempDir,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self::of("web.cove")
    }

    /// The server proves to be this host.
    pub(crate) fn of(host: &str) -> Self {
        let temp = tempfile::Builder::new().prefix("ssh ").tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temp.path().to_owned()).unwrap();
        let keys = SshKeys::provide(&folder.join("keys")).unwrap();
        let host = keys.host(&[host.to_owned()]).unwrap();
        let start = SshStart {
            host_key: host.private,
            certificate: host.certificate,
            client_key: keys.client_key().unwrap(),
            shell: "/bin/bash".to_owned(),
        };
        std::fs::write(folder.join("start"), protocol::encode_json(&start)).unwrap();
        // `cat` is the daemon: the start message, then the client's bytes.
        let program = env!("CARGO_BIN_EXE_cove-inside");
        let script = format!("cat '{folder}/start' - | {program} ssh 2>>'{folder}/said'\n");
        std::fs::write(folder.join("proxy"), script).unwrap();
        let mut config = String::new();
        for line in [
            "Host *.cove".to_owned(),
            format!("  IdentityFile \"{}\"", keys.identity_file()),
            "  IdentitiesOnly yes".to_owned(),
            "  IdentityAgent none".to_owned(),
            format!("  UserKnownHostsFile \"{}\"", keys.known_hosts_file()),
            "  StrictHostKeyChecking yes".to_owned(),
            "  BatchMode yes".to_owned(),
            format!("  ProxyCommand sh '{folder}/proxy'"),
        ] {
            writeln!(config, "{line}").unwrap();
        }
        std::fs::write(folder.join("config"), config).unwrap();
        Self { folder, _temp: temp }
    }

    /// A program of OpenSSH's, with the configuration.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.args(["-F", self.folder.join("config").as_str()]).stdin(Stdio::null());
        command.env("LC_ALL", "C.UTF-8").env_remove("SSH_AUTH_SOCK");
        command
    }

    /// `ssh web.cove` with these words.
    pub(crate) fn ssh(&self, words: &[&str]) -> Command {
        let mut command = self.program("ssh");
        command.args(words);
        command
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        self.folder.join(name)
    }
}

/// All that a program said.
pub(crate) fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{:?} {}", output.status, both.concat())
}

/// Bytes that no compression and no repetition makes smaller, the same for the same seed.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// Waits for something that other processes bring about.
pub(crate) fn until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !there() {
        assert!(begun.elapsed().as_secs() < 120, "not within 120 s: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Whether a process of this number runs.
pub(crate) fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// The file's content, once it is there with an end of line.
pub(crate) fn line_in(path: &Utf8Path) -> String {
    let mut line = String::new();
    until(path.as_str(), || {
        line = std::fs::read_to_string(path).unwrap_or_default();
        line.ends_with('\n')
    });
    line.trim().to_owned()
}
