//! What a person granted, used from inside of the machine: their real ssh agent, and a login of their git.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use camino::Utf8PathBuf;
use host::ssh_keys::SshKeys;
use protocol::inside::SshStart;
use test_support::git_server;

use crate::cove::{Cove, Said, finish, until};

/// Somebody with a home folder of their own, and an agent with one key.
struct Person {
    home: tempfile::TempDir,
    agent: Option<Child>,
}

impl Person {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("ada").tempdir_in("/tmp").unwrap();
        let mut person = Self { home, agent: None };
        // OpenSSH goes by the account's home folder, whatever `HOME` says.
        fs::create_dir(person.path("bin")).unwrap();
        let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", person.named("ssh_config"));
        fs::write(person.path("bin/ssh"), ssh).unwrap();
        person.run("chmod", &["755", &person.named("bin/ssh")]);
        let known =
            format!("UserKnownHostsFile {}\nGlobalKnownHostsFile none\n", person.named("known_hosts"));
        fs::write(person.path("ssh_config"), known).unwrap();
        let socket = person.named("agent");
        let mut agent = person.command("ssh-agent");
        person.agent = Some(agent.args(["-D", "-a", &socket]).stdout(Stdio::null()).spawn().unwrap());
        until("the agent listens", || person.path("agent").exists());
        let key = person.named("key");
        person.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "ada-s-key", "-f", &key]);
        person.run("ssh-add", &["-q", &key]);
        person
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn named(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Lets a command run as this person's.
    fn owns(&self, command: &mut Command) {
        let path = format!("{}:{}", self.named("bin"), std::env::var("PATH").unwrap_or_default());
        command
            .env("HOME", self.home.path())
            .env("PATH", path)
            .env("GIT_CONFIG_GLOBAL", self.path("gitconfig"))
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("SSH_AUTH_SOCK", self.path("agent"));
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.owns(&mut command);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let said = Said::from(self.command(program).args(arguments).output().unwrap());
        assert_eq!(said.status, 0, "{program} {arguments:?} {said:?}");
    }

    /// A command of Cove by this person, which must succeed.
    fn cove(&self, cove: &Cove, arguments: &[&str]) {
        let mut command = cove.command(arguments);
        self.owns(&mut command);
        let said = Said::from(command.output().unwrap());
        assert_eq!(said.status, 0, "cove {arguments:?} {said:?}");
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// A server that lets the person's key in, put where the container sees it: `cove-inside ssh` there, behind the
/// container's own client. Its name among the known hosts of this computer.
fn server(person: &Person, folder: &std::path::Path, name: &str) -> String {
    let place = Utf8PathBuf::from_path_buf(person.path(name)).unwrap();
    let host = SshKeys::provide(&place).unwrap().host(&[name.to_owned()]).unwrap();
    fs::write(place.join("host"), &host.private).unwrap();
    person.run("chmod", &["600", place.join("host").as_str()]);
    let key = Said::from(
        person.command("ssh-keygen").args(["-y", "-f", place.join("host").as_str()]).output().unwrap(),
    );
    let start = SshStart {
        host_key: host.private,
        certificate: host.certificate,
        client_key: fs::read_to_string(person.path("key.pub")).unwrap(),
        shell: "/bin/sh".to_owned(),
    };
    fs::write(folder.join(name), protocol::encode_json(&start)).unwrap();
    let login = format!(
        "exec ssh -F none -o HostKeyAlias=server -o HostKeyAlgorithms=ssh-ed25519 -o BatchMode=yes \
         -o IdentityFile=none -o UserKnownHostsFile={name}.known \
         -o ProxyCommand='cat {name} - | /dev/cove/bin/cove-inside ssh' git@anywhere 'echo in'\n"
    );
    fs::write(folder.join(format!("{name}.sh")), login).unwrap();
    fs::write(folder.join(format!("{name}.known")), format!("server {}\n", key.out.trim())).unwrap();
    format!("{name}.example {}\n", key.out.trim())
}

/// Asks the agent for its keys at each line of its input; how long the answer is, or that there is none.
const ASK: &str = r#"
    use IO::Socket::UNIX; $| = 1;
    my $agent = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die "connect: $!";
    $SIG{PIPE} = "IGNORE";
    while (<STDIN>) {
        syswrite($agent, "\0\0\0\1\x0b");
        # An answer is its length and then as many bytes, which need not come together.
        my ($answer, $length) = ("", 4);
        while (length($answer) < $length) {
            sysread($agent, $answer, 4096, length($answer)) or last;
            $length = 4 + unpack("N", $answer) if length($answer) >= 4;
        }
        print length($answer) > 20 ? "keys\n" : "none\n";
    }
"#;

pub(crate) fn what_is_granted_is_used_from_inside_until_it_is_revoked(cove: &Cove) {
    let person = Person::new();
    let folder = cove.project("granted", &[("ask.pl", ASK)]);
    let known = server(&person, &folder, "work") + &server(&person, &folder, "evil");
    fs::write(person.path("known_hosts"), known).unwrap();
    person.run("git", &["init", "--quiet", folder.to_str().unwrap()]);
    for (name, value) in [("user.name", "Ada \"the\" Countess"), ("user.email", "ada@example.com")] {
        person.run("git", &["-C", folder.to_str().unwrap(), "config", name, value]);
    }
    person.run("git", &["init", "--quiet", "--bare", &person.named("served/private.git")]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let root = Utf8PathBuf::from_path_buf(person.path("served")).unwrap();
    let authority = Utf8PathBuf::from_path_buf(folder.join("authority.pem")).unwrap();
    let host = format!("host.docker.internal:{}", runtime.block_on(git_server::serve(root, &authority)));
    let login =
        format!("https://{}:{}@{}\n", git_server::USER, git_server::PASSWORD, host.replace(':', "%3a"));
    fs::write(person.path("logins"), login).unwrap();
    let helper = format!("store --file {}", person.named("logins"));
    person.run("git", &["config", "--global", "credential.helper", &helper]);

    person.cove(cove, &["up", folder.to_str().unwrap()]);
    let sh = |line: &str| cove.run(&["exec", "granted", "--", "sh", "-c", line]);
    let git = |line: &str| sh(&format!("export GIT_SSL_CAINFO=$PWD/authority.pem; {line}"));
    let url = format!("https://{host}/private.git");

    // Who the person is passes by itself, and nothing else.
    assert_eq!(
        sh("cd /tmp; git config user.name; echo ${SSH_AUTH_SOCK:-none}").out,
        "Ada \"the\" Countess\nnone\n"
    );
    let refused = git(&format!("git ls-remote {url}"));
    assert!(refused.status != 0 && refused.err.contains("could not read Username"), "{refused:?}");

    person.cove(cove, &["grant", "granted", "ssh-agent", "--host", "work.example", "--for", "1h"]);
    person.cove(cove, &["grant", "granted", "git", "--host", &host, "--for", "1h"]);
    let listed = cove.ok(&["exec", "granted", "--", "ssh-add", "-l"]);
    assert!(listed.contains("ada-s-key"), "{listed}");
    let said = sh("sh work.sh");
    assert_eq!(said.out, "in\n", "{said:?}");
    assert_ne!(sh("sh evil.sh").status, 0, "it is another host than the granted one");
    let said = git(&format!("git clone --quiet {url} /tmp/clone"));
    assert_eq!(said.status, 0, "{said:?}");
    let push = "cd /tmp/clone && echo text > file && git add . && git commit -qm one && git push -q origin HEAD:main";
    let said = git(push);
    assert_eq!(said.status, 0, "{said:?}");
    let log = ["--git-dir", &person.named("served/private.git"), "log", "--format=%an %ae", "main"];
    let pushed = Said::from(person.command("git").args(log).output().unwrap());
    assert_eq!(pushed.out, "Ada \"the\" Countess ada@example.com\n", "{pushed:?}");

    // Revoked, it is of no more use at once, through what is open as well.
    let mut open = cove.command(&["exec", "-i", "granted", "--", "perl", "ask.pl"]);
    let mut open = open.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut ask, mut answers) = (open.stdin.take().unwrap(), BufReader::new(open.stdout.take().unwrap()));
    let mut answer = || {
        let mut line = String::new();
        ask.write_all(b"\n").unwrap();
        answers.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(answer(), "keys\n");
    person.cove(cove, &["revoke", "granted", "--all"]);
    assert_eq!(answer(), "none\n");
    drop((ask, answers));
    finish(open, &["perl ask.pl"]);
    let socket = "SSH_AUTH_SOCK=/tmp/cove-grants-$(id -u)/agent.sock";
    assert_ne!(sh(&format!("export {socket}; sh work.sh")).status, 0);
    let refused = git(&format!("git ls-remote {url}"));
    assert!(refused.status != 0 && refused.err.contains("could not read Username"), "{refused:?}");

    let ask =
        format!("printf 'protocol=https\\nhost={host}\\n\\n' | /dev/cove/bin/cove-inside git-credential get");
    let refused = sh(&ask);
    assert!(refused.out.is_empty() && refused.err.contains("nothing is granted"), "{refused:?}");

    // Each use has its line, and the log is whole.
    let audit = cove.ok(&["audit", "granted"]);
    for line in [
        "granted ssh-agent for work.example until ",
        &format!("granted git for {host} until "),
        "used ssh-agent for work.example: log in as `git`",
        "refused ssh-agent for work.example: log in as `git`: the server's key is not known here",
        &format!("used git for {host}: a login of git"),
        "revoked ssh-agent for work.example",
        &format!("revoked git for {host}"),
    ] {
        assert!(audit.contains(line), "{line}:\n{audit}");
    }
    assert!(!audit.contains(git_server::PASSWORD));
    let verified = cove.ok(&["audit", "verify"]);
    assert!(verified.contains("are whole"), "{verified}");
    cove.ok(&["rm", "--yes", "granted"]);
}
