//! bubblewrap, from the distribution.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Sandbox, SandboxError};

/// Its program.
const PROGRAM: &str = "bwrap";

pub(super) fn around(folder: &Utf8Path, home: &Utf8Path) -> Result<Sandbox, SandboxError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|place| place.join(PROGRAM)).find(|place| place.is_file());
    let program = found.and_then(|place| Utf8PathBuf::from_path_buf(place).ok());
    let program = program.ok_or(SandboxError::Missing { program: PROGRAM })?;
    Ok(Sandbox { prefix: words(&program, folder, home, folder.join(".git").exists()), temporary: None })
}

/// Later words go before earlier ones: the folder is seen where it is, in a home folder that is empty otherwise.
fn words(program: &Utf8Path, folder: &Utf8Path, home: &Utf8Path, has_git: bool) -> Vec<String> {
    let mut words = vec![program.as_str(), "--unshare-all", "--die-with-parent", "--new-session"];
    words.extend(["--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
    // Sockets of this computer's programs are in the second.
    words.extend(["--tmpfs", "/tmp", "--tmpfs", "/run", "--tmpfs", home.as_str()]);
    words.extend(["--bind", folder.as_str(), folder.as_str()]);
    let git = folder.join(".git");
    if has_git {
        words.extend(["--ro-bind", git.as_str(), git.as_str()]);
    }
    words.extend(["--chdir", folder.as_str(), "--"]);
    words.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    /// A home folder with a secret, a project in it, and what a shell in the sandbox said.
    struct Tried {
        temp: tempfile::TempDir,
    }

    impl Tried {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            fs_err::create_dir_all(temp.path().join("project/.git/hooks")).unwrap();
            fs_err::write(temp.path().join("secret"), "s3cret").unwrap();
            Self { temp }
        }

        fn home(&self) -> &Utf8Path {
            Utf8Path::from_path(self.temp.path()).unwrap()
        }

        /// Whether a line ends well, and what it says.
        fn run(&self, line: &str) -> (bool, String) {
            let folder = self.home().join("project");
            let sandbox =
                Sandbox::around(&folder, self.home()).expect("bubblewrap is installed for the tests");
            let mut words = sandbox.prefix().iter();
            let output = Command::new(words.next().unwrap())
                .args(words)
                .args(["/bin/sh", "-c", line])
                .current_dir(&folder)
                .output()
                .unwrap();
            let said = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&said).into_owned())
        }
    }

    #[test]
    fn a_command_does_its_work_in_the_folder() {
        let tried = Tried::new();
        let (well, said) =
            tried.run("pwd; echo made > file; t=$(mktemp) && echo x > $t; cat /etc/hostname > /dev/null");
        assert!(well, "{said}");
        assert_eq!(said.trim(), tried.home().join("project"));
        assert_eq!(fs_err::read_to_string(tried.home().join("project/file")).unwrap(), "made\n");
    }

    #[test]
    fn a_command_reaches_nothing_else() {
        let tried = Tried::new();
        let home = tried.home();
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let _socket = UnixListener::bind(home.join("agent.sock")).unwrap();
        // Each does well outside of the sandbox.
        for line in [
            format!("cat {home}/secret"),
            format!("test -e {home}/agent.sock"),
            "echo x > .git/hooks/post-checkout && rm .git/hooks/post-checkout".to_owned(),
            "test -n \"$(ls -A /run)\"".to_owned(),
            format!("kill -0 {}", std::process::id()),
            format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"),
        ] {
            let outside =
                Command::new("sh").args(["-c", &line]).current_dir(home.join("project")).output().unwrap();
            assert!(outside.status.success(), "{line}: {}", String::from_utf8_lossy(&outside.stderr));
            let (well, said) = tried.run(&line);
            assert!(!well, "{line}: {said}");
        }
        for line in ["echo x > /usr/cove-was-here", "mount -t tmpfs none /mnt"] {
            let (well, said) = tried.run(line);
            assert!(!well, "{line}: {said}");
        }
        // What is written beside the folder is gone with the sandbox.
        let _ = tried.run(&format!("echo x > {home}/beside"));
        assert!(!home.join("beside").exists());
        assert_eq!(fs_err::read_dir(home.join("project/.git/hooks")).unwrap().count(), 0);
    }
}
