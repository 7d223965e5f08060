//! This computer's git, as it is used on repositories of others: nothing of them runs here, and none of a person's
//! credentials is used unless that was granted.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use api::{Problem, ProblemCode, RepositoryUrl};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::progress::{News, Words};

/// How long git's words are waited for once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lines of git's own words that are kept for a failure.
const TAIL: usize = 20;

/// Bytes that a git may say: the files of a very large repository are listed in a quarter of that.
const MOST_SAID: usize = 128 << 20;

/// Settings of a person's git that say how the network is reached, and carry no credentials for it.
const NETWORK: [&str; 6] = [
    "http.proxy",
    "http.proxySSLCAInfo",
    "http.sslCAInfo",
    "http.sslCAPath",
    "http.sslBackend",
    "http.version",
];

/// Variables that do the same.
const NETWORK_VARIABLES: [&str; 14] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
];

/// An ssh that has no keys to offer and asks for nothing. The hosts that a person knows are known to it.
const SSH_WITHOUT_KEYS: &str = "ssh -F /dev/null -o BatchMode=yes -o IdentityAgent=none -o IdentitiesOnly=yes \
     -o IdentityFile=/dev/null -o PreferredAuthentications=none,publickey";

/// How git runs.
pub(super) struct Git<'a> {
    /// Variables of the person who asked; empty where they are not known any more.
    pub(super) caller: &'a BTreeMap<String, String>,
    /// Whether it may use that person's credentials.
    pub(super) granted: bool,
    /// A folder for the time being; its home while nothing is granted.
    pub(super) home: &'a Utf8Path,
}

impl Git<'_> {
    /// Clones a repository without checking anything out.
    pub(super) async fn clone(
        &self,
        repository: &RepositoryUrl,
        to: &Utf8Path,
        news: &mut dyn News,
    ) -> Result<(), Problem> {
        let mut command =
            if self.granted { self.with_credentials() } else { self.without_credentials().await };
        // No template: a person's own may hold hooks, which would go into the machine.
        command.args(["clone", "--progress", "--no-checkout", "--template=", "--origin=origin"]);
        command.args(["--no-recurse-submodules", "--no-local"]);
        if let Some(branch) = repository.branch() {
            command.arg(format!("--branch={branch}"));
        }
        command.args(["--", repository.url(), to.as_str()]).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(|error| cannot_run(&error))?;
        let mut group = Group::of(&child);
        let mut words = Words::new(TAIL);
        let mut said = child.stderr.take().expect("it was asked for as a pipe");
        let status = {
            let reading = async {
                let mut piece = [0; 4096];
                // A pipe that breaks has no more to say.
                while let Ok(read @ 1..) = said.read(&mut piece).await {
                    words.push(&piece[..read], news);
                }
            };
            tokio::pin!(reading);
            tokio::select! {
                () = &mut reading => child.wait().await,
                // An ssh that stays for the next connection, or a helper that does, keeps the pipe.
                status = child.wait() => {
                    let _ = tokio::time::timeout(LAST_WORDS, reading).await;
                    status
                }
            }
        };
        let status = status.map_err(|error| cannot_run(&error))?;
        group.ended();
        if status.success() {
            return Ok(());
        }
        Err(self.refused(repository, words.into_tail(news)))
    }

    /// Everything of the person's: configuration, credential helpers, agents. Nobody is asked for anything.
    fn with_credentials(&self) -> Command {
        let mut command = bare();
        if !self.caller.is_empty() {
            command.env_clear().envs(self.caller);
        }
        command.env("GIT_TERMINAL_PROMPT", "0").env("SSH_ASKPASS_REQUIRE", "never");
        // Whoever asked may have done so from within a hook of another repository.
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"] {
            command.env_remove(name);
        }
        safe(&mut command);
        command
    }

    async fn without_credentials(&self) -> Command {
        let mut command = bare();
        command.env_clear();
        let own = std::env::vars().collect();
        let caller = if self.caller.is_empty() { &own } else { self.caller };
        for name in NETWORK_VARIABLES {
            command.envs(caller.get(name).map(|value| (name, value)));
        }
        alone(&mut command, self.home);
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", SSH_WITHOUT_KEYS);
        command.env("GIT_ASKPASS", "").env("SSH_ASKPASS", "").env("SSH_ASKPASS_REQUIRE", "never");
        command.args(["-c", "credential.helper=", "-c", "core.askPass="]);
        // A proxy may want a password, and whoever lists processes sees their arguments.
        let mut count = 0;
        for name in NETWORK {
            if let Some(value) = self.setting(name).await {
                command.env(format!("GIT_CONFIG_KEY_{count}"), name);
                command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
                count += 1;
            }
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        safe(&mut command);
        command
    }

    /// A setting of the person's git.
    async fn setting(&self, name: &str) -> Option<String> {
        let mut command = bare();
        if !self.caller.is_empty() {
            command.env_clear().envs(self.caller);
        }
        // Not the configuration of a repository that the daemon happens to stand in.
        command.current_dir("/").args(["config", "--get", name]).stderr(Stdio::null());
        let said = command.output().await.ok().filter(|said| said.status.success())?;
        let value = String::from_utf8(said.stdout).ok()?.trim().to_owned();
        Some(value).filter(|value| !value.is_empty())
    }

    fn refused(&self, repository: &RepositoryUrl, tail: Vec<String>) -> Problem {
        let said = tail.join("\n").to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let denied = says(&[
            "could not read username",
            "could not read password",
            "authentication failed",
            "permission denied",
            "terminal prompts disabled",
            "access denied",
            "error: 401",
            "error: 403",
            "error: 404",
            "repository not found",
            "no supported authentication",
        ]);
        if denied {
            let title = format!("`{}` does not show `{repository}` without a login", repository.host());
            let problem = Problem::new(ProblemCode::CloneDenied, title).with_log(tail);
            return if self.granted {
                problem.with_hint("git used this computer's credentials, which the host does not take for it")
            } else {
                problem.with_command(
                    "let git use this computer's credentials for this one clone",
                    format!("cove up {repository} --grant git"),
                )
            };
        }
        let problem = Problem::new(ProblemCode::CloneFailed, format!("`{repository}` could not be cloned"));
        let problem = problem.with_log(tail);
        if says(&["host key verification failed"]) {
            return problem.with_command(
                "if the host is the right one, let ssh know it",
                format!("ssh {}", repository.host()),
            );
        }
        problem
    }
}

/// Git and all that it starts (`git-remote-https`, ssh). They end together: one that went on would write into a folder that
/// another clone is in by then.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Git ended by itself: its number may be another's soon.
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // All of it may have ended meanwhile.
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
    }
}

/// A git that works on a clone that is here, and heeds nobody's configuration but that of git itself and the clone's,
/// which [`settle`] wrote.
pub(super) fn local(folder: &Utf8Path) -> Command {
    let mut command = bare();
    command.env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    alone(&mut command, folder);
    safe(&mut command);
    command.args(["-C", folder.as_str()]);
    command
}

/// Runs such a git to its end, and gives what it said.
pub(super) async fn run_local(folder: &Utf8Path, arguments: &[&str]) -> Result<Vec<u8>, Problem> {
    let output = ended(folder, arguments).await?;
    if output.status.success() { Ok(output.stdout) } else { Err(failed(arguments, &output)) }
}

/// Whether there is a commit that is checked out: an empty repository has none.
pub(super) async fn has_head(folder: &Utf8Path) -> Result<bool, Problem> {
    let arguments = ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"];
    let output = ended(folder, &arguments).await?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(failed(&arguments, &output)),
    }
}

/// A git that ended, and what it said. One that says more than [`MOST_SAID`] is ended: a few objects of a repository can
/// stand for a tree without an end.
async fn ended(folder: &Utf8Path, arguments: &[&str]) -> Result<Output, Problem> {
    let mut command = local(folder);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| cannot_run(&error))?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let said = tokio::try_join!(
        read(child.stdout.take(), &mut stdout, MOST_SAID),
        read(child.stderr.take(), &mut stderr, MOST_SAID),
    );
    if let Err(error) = said {
        let title = format!("the clone cannot be used: `git {}` says too much", arguments.join(" "));
        child.kill().await.map_err(|error| cannot_run(&error))?;
        return Err(Problem::new(ProblemCode::CloneFailed, title).caused_by(&error));
    }
    let status = child.wait().await.map_err(|error| cannot_run(&error))?;
    Ok(Output { status, stdout, stderr })
}

async fn read(from: Option<impl AsyncRead + Unpin>, to: &mut Vec<u8>, most: usize) -> std::io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    from.take(most as u64 + 1).read_to_end(to).await?;
    if to.len() > most {
        return Err(std::io::Error::other(format!("more than {most} bytes")));
    }
    Ok(())
}

fn failed(arguments: &[&str], output: &Output) -> Problem {
    let said = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
    let title = format!("the clone cannot be used: `git {}` failed", arguments.join(" "));
    Problem::new(ProblemCode::CloneFailed, title).with_log(said)
}

/// Takes out of a clone's configuration what git found out about this computer's file system: the volume is on another.
pub(super) async fn settle(folder: &Utf8Path) -> Result<(), Problem> {
    for name in ["core.ignorecase", "core.precomposeunicode", "core.symlinks", "core.filemode"] {
        let mut command = local(folder);
        // Not there is as good as gone.
        command.args(["config", "--unset-all", name]).stderr(Stdio::null());
        command.status().await.map_err(|error| cannot_run(&error))?;
    }
    Ok(())
}

fn bare() -> Command {
    let mut command = Command::new("git");
    command.stdin(Stdio::null()).kill_on_drop(true);
    // A signal for the terminal that the daemon was started from is none for git.
    command.process_group(0);
    command
}

/// No configuration of a person or of this computer.
fn alone(command: &mut Command, home: &Utf8Path) {
    let none = Utf8PathBuf::from("/dev/null");
    command.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", &none);
    command.env("GIT_ATTR_NOSYSTEM", "1").env("GIT_CONFIG_COUNT", "0");
}

/// Nothing runs but git, and ssh for it.
fn safe(command: &mut Command) {
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "protocol.allow=never",
        "protocol.https.allow=always",
        "protocol.http.allow=always",
        "protocol.ssh.allow=always",
        "protocol.file.allow=always",
        "submodule.recurse=false",
        "gc.auto=0",
        "maintenance.auto=false",
        // Names and sizes that a server makes up are checked.
        "transfer.fsckObjects=true",
        "fetch.fsck.zeroPaddedFilemode=ignore",
        "fetch.fsck.badTimezone=ignore",
        "fetch.fsck.missingSpaceBeforeDate=ignore",
    ] {
        command.args(["-c", setting]);
    }
}

fn cannot_run(error: &std::io::Error) -> Problem {
    let problem = Problem::new(ProblemCode::CloneFailed, "this computer's git could not be run");
    problem.caused_by(error).with_hint("install git, so that `git --version` answers")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    struct Quiet;

    impl News for Quiet {
        fn count(&mut self, _: &str, _: u64, _: u64) {}

        fn line(&mut self, _: &str) {}
    }

    /// Somebody with a home of their own, and a server that answers nothing.
    fn person(settings: &str) -> (tempfile::TempDir, Utf8PathBuf, BTreeMap<String, String>) {
        let temp = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(temp.path()).unwrap().to_owned();
        fs_err::write(home.join(".gitconfig"), settings).unwrap();
        let path = std::env::var("PATH").unwrap();
        let caller = [("HOME", home.as_str()), ("PATH", path.as_str())];
        let caller = caller.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        (temp, home, caller)
    }

    /// Begins a clone and gives it up once it has asked for something: the first line of that, and the connection.
    async fn begun(git: &Git<'_>, url: &str, server: TcpListener) -> (String, TcpStream) {
        let repository = RepositoryUrl::parse(url).unwrap();
        let to = git.home.join("clone");
        let heard = tokio::task::spawn_blocking(move || {
            let stream = server.accept().unwrap().0;
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            (line, stream)
        });
        let mut quiet = Quiet;
        tokio::select! {
            ended = git.clone(&repository, &to, &mut quiet) => panic!("nobody answered: {ended:?}"),
            heard = heard => heard.unwrap(),
        }
    }

    #[tokio::test]
    async fn what_git_started_ends_with_it() {
        let (_temp, home, caller) = person("");
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/web", server.local_addr().unwrap());
        // The clone was given up by now: nobody holds the connection any more.
        let (_, mut left) = begun(&Git { caller: &caller, granted: false, home: &home }, &url, server).await;
        left.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut said = Vec::new();
        let end = left.read_to_end(&mut said);
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
    }

    #[tokio::test]
    async fn the_host_that_is_shown_is_the_one_that_git_contacts() {
        for (url, host) in [
            ("https://git.example/x", "git.example:443"),
            ("https://git.example:8443/x@evil.example/y", "git.example:8443"),
            ("https://me@git.example/:@evil.example", "git.example:443"),
        ] {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let proxy = format!("[http]\n\tproxy = http://{}\n", server.local_addr().unwrap());
            let (_temp, home, caller) = person(&proxy);
            let (line, _) = begun(&Git { caller: &caller, granted: false, home: &home }, url, server).await;
            assert_eq!(line.split(' ').nth(1), Some(host), "{line}");
            let shown = RepositoryUrl::parse(url).unwrap();
            assert!(host.starts_with(shown.host()), "{}", shown.host());
        }
    }

    #[tokio::test]
    async fn a_password_of_a_proxy_is_no_argument() {
        let (_temp, home, caller) =
            person("[http]\n\tproxy = http://me:s3cret@proxy.example\n\tversion = HTTP/1.1\n");
        let git = Git { caller: &caller, granted: false, home: &home };
        let mut command = git.without_credentials().await;
        let arguments = format!("{:?}", command.as_std().get_args().collect::<Vec<_>>());
        assert!(!arguments.contains("s3cret"), "{arguments}");
        let said = command.args(["config", "--get-regexp", "^http[.]"]).output().await.unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said, "http.proxy http://me:s3cret@proxy.example\nhttp.version HTTP/1.1\n");
    }
}
