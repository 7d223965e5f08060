//! Programs that others start by their interface: git's credential helper, what git signs with, and `gh`.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use protocol::grants::{Answer, Ask, MAX_MESSAGE_BYTES, SignatureFormat};
use protocol::inside::PROGRAM;

use super::ask::ask;
use crate::say;

/// `get` asks; `store` and `erase` are for who keeps something, and nothing is kept here. A refusal is told and no
/// failure: git goes on with its other helpers.
pub(super) fn git_credential(operation: &str) -> Result<(), String> {
    if operation != "get" {
        return Ok(());
    }
    let mut text = Vec::new();
    let read = std::io::stdin().take(MAX_MESSAGE_BYTES as u64).read_to_end(&mut text);
    read.map_err(|error| format!("git's question cannot be read: {error}"))?;
    let text = String::from_utf8_lossy(&text);
    let value = |key: &str| {
        let found = text.lines().find_map(|line| line.split_once('=').filter(|(name, _)| *name == key));
        found.map(|(_, value)| value.to_owned())
    };
    let question = Ask::Git {
        protocol: value("protocol").unwrap_or_default(),
        host: value("host").unwrap_or_default(),
        path: value("path"),
        username: value("username"),
    };
    match ask(&question, &[]) {
        Ok((Answer::Login { username, secret, expires }, _)) => {
            let expires =
                expires.map(|expires| format!("password_expiry_utc={expires}\n")).unwrap_or_default();
            let answer = format!("username={username}\npassword={secret}\n{expires}");
            write(&mut std::io::stdout(), answer.as_bytes())
        }
        Ok(_) => Ok(()),
        Err(reason) => {
            say(std::io::stderr(), &format!("cove: no login of git for this: {reason}"));
            Ok(())
        }
    }
}

/// `ssh-keygen -Y sign -n git -f KEY [-U] FILE` leaves FILE.sig. What needs no key is ssh-keygen's own.
pub(super) fn sign_ssh(arguments: Vec<OsString>) -> Result<ExitCode, String> {
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1)
    };
    if after("-Y").is_none_or(|operation| operation != "sign") {
        return Err(become_program("ssh-keygen", &arguments));
    }
    let file = arguments.last().map(PathBuf::from).unwrap_or_default();
    let payload =
        std::fs::read(&file).map_err(|error| format!("`{}` cannot be read: {error}", file.display()))?;
    let signature = signed(SignatureFormat::Ssh, &payload)?;
    let mut beside = file.into_os_string();
    beside.push(".sig");
    std::fs::write(&beside, signature)
        .map_err(|error| format!("`{}` cannot be written: {error}", beside.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// `gpg --status-fd=2 -bsau KEY` signs its standard input. What needs no key is gpg's own.
pub(super) fn sign_openpgp(arguments: Vec<OsString>) -> Result<ExitCode, String> {
    let signs = |argument: &OsString| argument.to_str().is_some_and(|it| it.starts_with("-bs"));
    if !arguments.iter().any(signs) {
        return Err(become_program("gpg", &arguments));
    }
    let mut payload = Vec::new();
    let read = std::io::stdin().take(MAX_MESSAGE_BYTES as u64).read_to_end(&mut payload);
    read.map_err(|error| format!("what is to be signed cannot be read: {error}"))?;
    let signature = signed(SignatureFormat::Openpgp, &payload)?;
    write(&mut std::io::stdout(), &signature)?;
    // By this line git knows that it succeeded.
    write(&mut std::io::stderr(), b"\n[GNUPG:] SIG_CREATED D\n")?;
    Ok(ExitCode::SUCCESS)
}

fn signed(format: SignatureFormat, payload: &[u8]) -> Result<Vec<u8>, String> {
    match ask(&Ask::Sign { format }, payload)? {
        (Answer::Signed, signature) => Ok(signature),
        _ => Err("the answer is not understood".to_owned()),
    }
}

/// The `gh` of the container, with a token for this run alone.
pub(super) fn gh(arguments: Vec<OsString>) -> Result<ExitCode, String> {
    let Some(program) = other("gh") else {
        return Err("`gh` is granted, but it is not installed in this container".to_owned());
    };
    let mut command = Command::new(program);
    command.args(&arguments);
    let host = gh_host(&arguments);
    match ask(&Ask::Gh { host: host.clone() }, &[]) {
        Ok((Answer::Token { secret }, _)) => {
            let is_cloud = host == "github.com" || host.ends_with(".ghe.com");
            command.env(if is_cloud { "GH_TOKEN" } else { "GH_ENTERPRISE_TOKEN" }, secret);
            command.env("GH_HOST", host);
        }
        Ok(_) => {}
        // It may have a login of its own.
        Err(reason) => say(std::io::stderr(), &format!("cove: gh has no token of yours: {reason}")),
    }
    let error = command.exec();
    Err(format!("`gh` cannot be started: {error}"))
}

/// `cove idp token --audience URL` inside: prints a token that says which environment this is, for that audience alone.
pub(super) fn cove(arguments: &[OsString]) -> Result<ExitCode, String> {
    const USAGE: &str = "in an environment there is `cove idp token --audience URL` alone";
    let words: Option<Vec<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let audience = match words.as_deref() {
        Some(["idp", "token", "--audience", audience]) => *audience,
        Some(["idp", "token", audience]) => audience.strip_prefix("--audience=").ok_or(USAGE)?,
        _ => return Err(USAGE.to_owned()),
    };
    match ask(&Ask::Identity { audience: audience.to_owned() }, &[])? {
        (Answer::Token { secret }, _) => {
            write(&mut std::io::stdout(), format!("{secret}\n").as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err("the answer is not understood".to_owned()),
    }
}

fn gh_host(arguments: &[OsString]) -> String {
    let mut words = arguments.iter().filter_map(|argument| argument.to_str());
    let mut named = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--hostname") {
            Some("") => named = words.next().map(str::to_owned),
            Some(rest) if rest.starts_with('=') => named = Some(rest[1..].to_owned()),
            _ => {}
        }
    }
    let known = || std::env::var("GH_HOST").ok().filter(|host| !host.is_empty());
    named.or_else(known).unwrap_or_else(|| "github.com".to_owned()).to_ascii_lowercase()
}

/// The next program of a name in `PATH` that is not this one.
fn other(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let ours = std::fs::canonicalize(PROGRAM).ok();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(name));
    found.find(|candidate| is_program(candidate) && std::fs::canonicalize(candidate).ok() != ours)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Becomes a program of the container; returns only if that fails.
fn become_program(name: &str, arguments: &[impl AsRef<OsStr>]) -> String {
    let error = Command::new(name).args(arguments).exec();
    format!("`{name}` cannot be started in this container: {error}")
}

fn write(to: &mut impl std::io::Write, bytes: &[u8]) -> Result<(), String> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|error| format!("nobody reads the answer: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_gh_is_the_one_it_would_speak_to() {
        let host = |words: &[&str]| gh_host(&words.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(host(&["api", "user", "--hostname", "git.Example.com"]), "git.example.com");
        assert_eq!(host(&["api", "--hostname=a.ghe.com"]), "a.ghe.com");
        if std::env::var_os("GH_HOST").is_none() {
            assert_eq!(host(&["pr", "list"]), "github.com");
        }
    }
}
