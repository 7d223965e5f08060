//! The ssh clients of this computer, in environments of the machine.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use test_support::free_port;

use crate::cove::{Cove, Said, fetch, finish, until};
use crate::ports::{Server, web};

/// Somebody whose ssh is set up for Cove, and was for the rest of the world before.
struct Person<'a> {
    cove: &'a Cove,
    home: tempfile::TempDir,
}

impl<'a> Person<'a> {
    fn new(cove: &'a Cove) -> Self {
        let home = tempfile::Builder::new().prefix("ada").tempdir_in("/tmp").unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        // What would keep ssh from being strict, or lead it elsewhere, did it come first.
        let before = "Match host *\n  StrictHostKeyChecking no\n  ProxyCommand false\n  User nobody\n";
        fs::write(home.path().join(".ssh/config"), before).unwrap();
        let mut install = cove.command(&["ssh-config", "install", "--yes"]);
        let said = Said::from(install.env("HOME", home.path()).output().unwrap());
        assert_eq!(said.status, 0, "{said:?}");
        Self { cove, home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn config(&self) -> String {
        self.path(".ssh/config").display().to_string()
    }

    /// A program with what commands of Cove run with: the proxy is one.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        let variables = self.cove.command(&[]);
        command.envs(variables.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("HOME", self.home.path()).env_remove("SSH_AUTH_SOCK");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A client of OpenSSH's. These look for their configuration in the account's home folder, so it is named here.
    fn client(&self, name: &str, words: &[&str]) -> Command {
        let mut command = self.program(name);
        command.args(["-F", &self.config(), "-o", "BatchMode=yes"]).args(words);
        command
    }

    /// Runs one to its end.
    fn run(&self, name: &str, words: &[&str]) -> Said {
        finish(self.client(name, words).spawn().unwrap(), words)
    }

    /// Runs one that must succeed.
    fn ok(&self, name: &str, words: &[&str]) -> String {
        let said = self.run(name, words);
        assert_eq!(said.status, 0, "{name} {words:?} {said:?}");
        said.out
    }

    fn rsync(&self, from: &str, to: &str) {
        let shell = format!("ssh -F {}", self.config());
        let mut rsync = self.program("rsync");
        rsync.args(["-a", "--rsync-path=/workspaces/reached/tools/rsync", "-e", &shell, from, to]);
        let said = finish(rsync.spawn().unwrap(), &["rsync", from, to]);
        assert_eq!(said.status, 0, "{said:?}");
    }
}

/// A client in the background, which ends with this.
struct Background(Option<Child>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            finish(child, &["ssh -N"]);
        }
    }
}

fn same(one: &Path, other: &Path) {
    let compared = Command::new("diff").arg("-r").args([one, other]).status().unwrap();
    assert!(compared.success(), "{} and {}", one.display(), other.display());
}

pub(crate) fn ssh_clients_work_in_an_environment_and_start_it(cove: &Cove) {
    let folder = cove.project("reached", &[]);
    // The base image has none.
    test_support::portable("/usr/bin/rsync", folder.join("tools"));
    cove.ok(&["up", folder.to_str().unwrap()]);
    let person = Person::new(cove);

    let said = person.run("ssh", &["reached.cove", "--", "id -un; pwd; echo not so >&2; exit 7"]);
    assert_eq!(said.status, 7, "{said:?}");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("vscode\n/workspaces/reached\n", "not so\n"));
    let terminal = person.ok("ssh", &["-tt", "reached.cove", "tty"]);
    assert!(terminal.starts_with("/dev/pts/"), "{terminal}");

    // It is strict, with nothing learnt on the way: who is not vouched for by name is nobody.
    assert!(!person.path(".ssh/known_hosts").exists());
    for option in ["HostKeyAlias=other.cove", "UserKnownHostsFile=/dev/null"] {
        let said = person.run("ssh", &["-o", option, "reached.cove", "true"]);
        assert!(said.status == 255 && said.err.contains("Host key verification failed"), "{said:?}");
    }

    // Files, there and back.
    let tree = person.path("tree");
    fs::create_dir_all(tree.join("deep")).unwrap();
    fs::write(tree.join("deep/small"), "small\n").unwrap();
    let noise: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    fs::write(tree.join("noise"), noise).unwrap();
    let here = |name: &str| person.path(name).display().to_string();
    let mut sftp = person.client("sftp", &["-b", "-", "reached.cove"]);
    let mut sftp = sftp.stdin(Stdio::piped()).spawn().unwrap();
    let batch = format!(
        "put -r {} /tmp/by-sftp\nls -l /tmp/by-sftp\nget -r /tmp/by-sftp {}\n",
        here("tree"),
        here("sftp")
    );
    sftp.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
    let said = finish(sftp, &["sftp"]);
    assert!(said.status == 0 && said.out.contains("1000000"), "{said:?}");
    same(&tree, &person.path("sftp"));
    person.ok("scp", &["-r", &here("tree"), "reached.cove:/tmp/by-scp"]);
    person.ok("scp", &["-r", "reached.cove:/tmp/by-scp", &here("scp")]);
    same(&tree, &person.path("scp"));
    person.rsync(&format!("{}/", here("tree")), "reached.cove:/tmp/by-rsync/");
    person.rsync("reached.cove:/tmp/by-rsync/", &format!("{}/", here("rsync")));
    same(&tree, &person.path("rsync"));

    // A server on the container's loopback.
    let (server, _) = Server::start(cove, "reached", &web("INET", "127.0.0.1", 28_095));
    let port = free_port();
    let forward = format!("127.0.0.1:{port}:127.0.0.1:28095");
    let words = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward, "reached.cove"];
    let client = Background(Some(person.client("ssh", &words).spawn().unwrap()));
    until("the forwarded server answers", || {
        fetch(port).is_ok_and(|answer| answer.ends_with("from 28095\n"))
    });
    drop(client);
    drop(server);

    // Who comes by ssh starts it, and sees how that goes.
    cove.ok(&["stop", "reached"]);
    let said = person.run("ssh", &["reached.cove", "cat /tmp/by-scp/deep/small"]);
    assert_eq!((said.status, said.out.as_str()), (0, "small\n"), "{said:?}");
    assert!(!said.err.is_empty(), "it is told what takes so long");
    assert_eq!(cove.json(&["show", "reached"])["status"]["phase"], "running");
    cove.ok(&["rm", "--yes", "reached"]);
}
