use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use host::ssh_keys::SshKeys;
use protocol::inside::SshStart;

use super::super::ssh;
use super::*;

/// The real agent of a person, with one key.
struct Agent(Child);

impl Agent {
    fn start(person: &Person) -> Self {
        let socket = person.home.join("agent");
        let mut command = person.command("ssh-agent");
        let child = command.args(["-D", "-a", socket.as_str()]).stdout(Stdio::null()).spawn().unwrap();
        let agent = Self(child);
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let key = person.home.join("key");
        person.run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", key.as_str()]);
        person.run(&["ssh-add", "-q", key.as_str()]);
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that lets the person's key in: `cove-inside ssh`, behind OpenSSH's client as its `ProxyCommand`.
struct Server {
    folder: Utf8PathBuf,
    host_key: String,
}

impl Server {
    fn new(person: &Person, name: &str) -> Self {
        let folder = person.home.join(name);
        let keys = SshKeys::provide(&folder).unwrap();
        let host = keys.host(&[name.to_owned()]).unwrap();
        fs_err::write(folder.join("host"), &host.private).unwrap();
        fs_err::set_permissions(folder.join("host"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let host_key = person.run(&["ssh-keygen", "-y", "-f", folder.join("host").as_str()]);
        let start = SshStart {
            host_key: host.private,
            certificate: host.certificate,
            client_key: fs_err::read_to_string(person.home.join("key.pub")).unwrap(),
            shell: "/bin/sh".to_owned(),
        };
        fs_err::write(folder.join("start"), protocol::encode_json(&start)).unwrap();
        let program = test_support::inside::program();
        let script = format!("cat '{folder}/start' - | '{}' ssh\n", program.display());
        fs_err::write(folder.join("proxy"), script).unwrap();
        fs_err::write(folder.join("known"), format!("server {host_key}\n")).unwrap();
        Self { folder, host_key }
    }

    /// The real client, which has no key but those of the agent behind this socket.
    async fn login(&self, socket: &Utf8Path) -> Output {
        let mut command = tokio::process::Command::new("ssh");
        command.args(["-F", "none"]);
        for option in [
            "HostKeyAlias=server".to_owned(),
            "HostKeyAlgorithms=ssh-ed25519".to_owned(),
            "BatchMode=yes".to_owned(),
            "IdentityFile=none".to_owned(),
            format!("UserKnownHostsFile={}/known", self.folder),
            format!("ProxyCommand=sh '{}/proxy'", self.folder),
        ] {
            command.args(["-o", &option]);
        }
        command.args(["git@anywhere", "echo in"]).env("SSH_AUTH_SOCK", socket).stdin(Stdio::null());
        tokio::time::timeout(Duration::from_mins(1), command.output()).await.expect("ssh ends").unwrap()
    }
}

/// One request of an agent over an open connection; `None` when that is closed.
async fn request(stream: &UnixStream, message: &'static [u8]) -> Option<Vec<u8>> {
    let mut stream = stream.try_clone().unwrap();
    let asked = tokio::task::spawn_blocking(move || {
        stream.write_all(&(message.len() as u32).to_be_bytes()).ok()?;
        stream.write_all(message).ok()?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).ok()?;
        Some(answer)
    });
    asked.await.unwrap()
}

const LIST: &[u8] = &[11];
const REMOVE_ALL: &[u8] = &[19];

/// What a command says that comes by ssh, as editors come.
async fn over_ssh(story: &Story, script: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = ssh::serve(listener, story.place.reconciler.clone(), story.web.clone(), "web");
    let serving = tokio::spawn(serving);
    let output = ssh::client(&story.place, "ssh", port, "web.cove", &["127.0.0.1", script]).await;
    serving.abort();
    said(&output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_logs_in_where_it_is_granted_and_nowhere_else() {
    let Some(mut story) = Story::begin("").await else { return };
    let _agent = Agent::start(&story.person);
    let uid = story.place.output(&story.web, "id -u").await;
    let path = format!("/tmp/cove-grants-{uid}/agent.sock");
    assert_eq!(story.place.output(&story.web, "echo ${SSH_AUTH_SOCK:-none}").await, "none");
    assert!(!story.inside(&path).exists(), "nothing is granted by itself");

    let (work, evil) = (Server::new(&story.person, "work"), Server::new(&story.person, "evil"));
    let known = format!("work.example {}\nevil.example {}\n", work.host_key, evil.host_key);
    fs_err::write(story.person.home.join("known_hosts"), known).unwrap();
    // As most people have it: without names in it.
    let file = story.person.home.join("known_hosts");
    story.person.run(&["ssh-keygen", "-q", "-H", "-f", file.as_str()]);

    story.grant(GrantKind::SshAgent, Some("work.example")).await;
    assert_eq!(story.place.output(&story.web, "echo $SSH_AUTH_SOCK").await, path);
    assert_eq!(over_ssh(&story, "echo $SSH_AUTH_SOCK").await, path);
    let listing = "stat -c '%a %U' $(dirname $SSH_AUTH_SOCK) $SSH_AUTH_SOCK";
    assert_eq!(story.place.output(&story.web, listing).await, "700 vscode\n600 vscode");
    let socket = story.inside(&path);
    let output = work.login(&socket).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "in\n", "{output:?}");
    let output = evil.login(&socket).await;
    assert!(!output.status.success(), "{output:?}");

    // What the agent can do beside that stays the person's own.
    let with_agent = |argv: &[&str]| {
        let mut command = story.person.command(argv[0]);
        command.args(&argv[1..]).env("SSH_AUTH_SOCK", &socket).output().unwrap()
    };
    assert!(said(&with_agent(&["ssh-add", "-l"])).contains("ada"));
    let other = story.person.home.join("other");
    story.person.run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other.as_str()]);
    assert!(!with_agent(&["ssh-add", other.as_str()]).status.success());
    fs_err::write(story.person.home.join("text"), "I owe Eve a thousand").unwrap();
    let (key, text) = (story.person.home.join("key.pub"), story.person.home.join("text"));
    let signing = ["ssh-keygen", "-Y", "sign", "-n", "file", "-f", key.as_str(), text.as_str()];
    assert!(!with_agent(&signing).status.success());
    let stream = UnixStream::connect(&socket).unwrap();
    assert_eq!(request(&stream, REMOVE_ALL).await, Some(vec![5]));
    assert!(story.person.run(&["ssh-add", "-l"]).contains("ada"), "the agent has its key still");

    let audit = story.audit().await;
    let has = |begin: &str| audit.iter().any(|line| line.starts_with(begin));
    assert!(has("used ssh-agent work.example: log in as `git`"), "{audit:#?}");
    let refused = "refused ssh-agent work.example: log in as `git`: the server's key is not known here";
    assert!(has(refused), "{audit:#?}");
    assert!(has("refused signing : sign a document for `file`"), "{audit:#?}");
    assert!(!has("used ssh-agent evil"), "{audit:#?}");

    // Revoked, a connection that is open is of no more use; nor is a new one.
    assert!(request(&stream, LIST).await.unwrap().len() > 20);
    story.revoke();
    let answer = request(&stream, LIST).await;
    assert!(answer.is_none() || answer == Some(vec![5]), "{answer:?}");
    story.settle().await;
    assert!(!work.login(&socket).await.status.success());
    assert_eq!(story.place.output(&story.web, "echo ${SSH_AUTH_SOCK:-none}").await, "none");

    // For every host; and a daemon that begins anew serves what was granted.
    story.grant(GrantKind::SshAgent, None).await;
    assert!(evil.login(&socket).await.status.success());
    story.place.restart().await;
    story.place.until(&story.web.id, |web| web.status.container.is_some()).await;
    let served = async {
        while !work.login(&socket).await.status.success() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), served).await.expect("it is served again");

    // A container that starts again has it again.
    let id = story.web.status.container.as_ref().unwrap().id.clone();
    story.place.docker(&["restart", "--time", "1", &id]);
    let served = async {
        while !work.login(&story.inside(&path)).await.status.success() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), served).await.expect("it is served in the next run");

    // Its time is over.
    story.revoke();
    story.grant_for(GrantKind::SshAgent, None, Some(15)).await;
    let stream = UnixStream::connect(story.inside(&path)).unwrap();
    assert!(request(&stream, LIST).await.unwrap().len() > 20);
    let over = async {
        while request(&stream, LIST).await.is_some_and(|answer| answer != [5]) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), over).await.expect("its time is over");
    story.place.until(&story.web.id, |web| web.spec.grants.is_empty()).await;
    let told = async {
        while !story.audit().await.contains(&"over ssh-agent".to_owned()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), told).await.expect("its end is told");
    story.end().await;
}
