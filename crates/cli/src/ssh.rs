//! What ssh clients of this computer must know of environments: a configuration of Cove's own, and the one line by
//! which a person's configuration includes it.

mod include;
mod words;

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use api::{HomeLayout, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use host::ssh_keys::{ENDING, SshKeys};

use crate::whole_file;

/// The host that an environment is to ssh clients.
pub(crate) fn host_of(environment: &str) -> String {
    format!("{environment}{ENDING}")
}

/// The environment that a host names.
pub(crate) fn environment_of(host: &str) -> &str {
    host.strip_suffix(ENDING).unwrap_or(host)
}

/// The configuration that Cove writes.
pub(crate) struct OwnConfig {
    /// Its file.
    pub(crate) file: Utf8PathBuf,
    /// The options by which one can tell that it holds: as `ssh -G` tells them.
    expected: Vec<(&'static str, String)>,
}

impl OwnConfig {
    /// Writes it, and makes the keys that it names, where they are not as they should be.
    pub(crate) fn provide(home: &HomeLayout) -> Result<Self, Problem> {
        let file = home.ssh_config_file();
        let unusable = |error: &io::Error| {
            let title = format!("the files for ssh in `{}` cannot be used", home.ssh_dir());
            Problem::new(ProblemCode::SshConfig, title).caused_by(error)
        };
        let keys = SshKeys::provide(&home.ssh_dir()).map_err(|error| unusable(&error))?;
        let proxy = proxy_command(home)?;
        let (identity, known) = (keys.identity_file(), keys.known_hosts_file());
        let text = text(&identity, &known, &proxy)?;
        if std::fs::read(&file).ok().as_deref() != Some(text.as_bytes()) {
            whole_file::write(&file, text.as_bytes(), 0o600).map_err(|error| unusable(&error))?;
        }
        let expected = vec![
            ("proxycommand", proxy.replace("%%", "%")),
            ("identityfile", identity.into_string()),
            ("userknownhostsfile", known.into_string()),
            ("stricthostkeychecking", "true".to_owned()),
            ("identitiesonly", "yes".to_owned()),
        ];
        Ok(Self { file, expected })
    }

    /// The line by which another configuration includes it.
    pub(crate) fn line(&self) -> Result<String, Problem> {
        Ok(format!("Include {}", words::included(&self.file)?))
    }

    /// What holds instead of this for an environment, with the configuration of that file: names of options, and what
    /// they are. Nothing where there is no ssh to ask.
    pub(crate) fn overridden_in(&self, file: &Utf8Path) -> Vec<(&'static str, String)> {
        let mut ask = Command::new("ssh");
        ask.args(["-F", file.as_str(), "-G", &host_of("any-environment")]).stdin(Stdio::null());
        let Ok(said) = ask.output() else { return Vec::new() };
        if !said.status.success() {
            let words = String::from_utf8_lossy(&said.stderr).trim().to_owned();
            return vec![("the whole of it", words)];
        }
        different(&self.expected, &String::from_utf8_lossy(&said.stdout))
    }
}

/// Those of the expected options that `ssh -G` tells otherwise.
fn different(expected: &[(&'static str, String)], told: &str) -> Vec<(&'static str, String)> {
    let value_of = |name: &str| {
        let mut lines = told.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(option, _)| *option == name).map(|(_, value)| value.to_owned())
    };
    expected
        .iter()
        .filter_map(|(name, wanted)| match value_of(name) {
            Some(value) if value == *wanted => None,
            other => Some((*name, other.unwrap_or_else(|| "not set".to_owned()))),
        })
        .collect()
}

/// How ssh reaches an environment. `%` begins a token of ssh's. The name of a host may come from a stranger, as in the
/// address of a repository, and a shell reads this: it stands in quotes, and names with a quote are not ours.
fn proxy_command(home: &HomeLayout) -> Result<String, Problem> {
    let program = std::env::current_exe().ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    let program = program.ok_or_else(|| {
        Problem::new(ProblemCode::SshConfig, "the path of this program is not known, or not UTF-8")
    })?;
    let program = lasting(program, &std::env::var("PATH").unwrap_or_default());
    let usual = std::env::var("HOME").is_ok_and(|user| Utf8Path::new(&user).join(".cove") == home.root());
    let place = if usual {
        String::new()
    } else {
        format!("env COVE_HOME={} ", words::for_shell(home.root().as_str())?)
    };
    Ok(format!("{place}{} ssh-proxy -- '%h'", words::for_shell(program.as_str())?))
}

/// The path by which a person finds the program, where there is one: the program's own may have its version in it, as where
/// Homebrew keeps it, and be gone after an upgrade.
fn lasting(program: Utf8PathBuf, path: &str) -> Utf8PathBuf {
    let Some((name, real)) = program.file_name().zip(program.canonicalize().ok()) else { return program };
    let folders = path.split(':').map(Utf8Path::new).filter(|folder| folder.is_absolute());
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.canonicalize().is_ok_and(|other| other == real));
    found.unwrap_or(program)
}

fn text(identity: &Utf8Path, known_hosts: &Utf8Path, proxy: &str) -> Result<String, Problem> {
    let lines = [
        // First of all what names the host: others could put another in its place.
        ("HostName", "%h".to_owned()),
        ("ProxyCommand", proxy.to_owned()),
        ("IdentityFile", words::file(identity)?),
        ("IdentitiesOnly", "yes".to_owned()),
        ("IdentityAgent", "none".to_owned()),
        ("PubkeyAuthentication", "yes".to_owned()),
        ("PreferredAuthentications", "publickey".to_owned()),
        ("UserKnownHostsFile", words::file(known_hosts)?),
        ("GlobalKnownHostsFile", "/dev/null".to_owned()),
        ("StrictHostKeyChecking", "yes".to_owned()),
        ("HostKeyAlgorithms", "ssh-ed25519-cert-v01@openssh.com".to_owned()),
        ("CheckHostIP", "no".to_owned()),
        ("CanonicalizeHostname", "no".to_owned()),
        ("ForwardAgent", "no".to_owned()),
    ];
    let mut text =
        format!("# Written by Cove, and written again when it differs.\nHost *{ENDING} \"!*'*\"\n");
    for (name, value) in lines {
        let _ = writeln!(text, "  {name} {value}");
    }
    Ok(text)
}

/// A person's own configuration.
pub(crate) struct PersonsConfig {
    /// The file that ssh looks for.
    pub(crate) file: Utf8PathBuf,
}

impl PersonsConfig {
    pub(crate) fn from_environment() -> Result<Self, Problem> {
        let home = std::env::var("HOME").ok().filter(|home| home.starts_with('/')).ok_or_else(|| {
            Problem::new(ProblemCode::SshConfig, "HOME is not set, so there is no `~/.ssh/config` to look at")
        })?;
        Ok(Self { file: Utf8Path::new(&home).join(".ssh/config") })
    }

    /// Whether it includes Cove's for every host. Something before it may still override that: see
    /// [`OwnConfig::overridden_in`].
    pub(crate) fn includes(&self, line: &str) -> Result<bool, Problem> {
        Ok(self.read()?.is_some_and(|text| include::is_there(&text, line)))
    }

    /// Puts the line in front of everything, or moves it there. False: it was there, and nowhere else.
    pub(crate) fn add(&self, line: &str) -> Result<bool, Problem> {
        let before = self.read()?;
        match include::added(before.as_deref(), line) {
            None => Ok(false),
            Some(after) => self.write(&after, line).map(|()| true),
        }
    }

    /// Takes the line away; the rest is as it was before, to the byte. False: it was not there.
    pub(crate) fn remove(&self, line: &str) -> Result<bool, Problem> {
        let Some(before) = self.read()? else { return Ok(false) };
        match include::removed(&before, line) {
            include::Removed::Nothing => Ok(false),
            include::Removed::Rest(rest) => self.write(&rest, line).map(|()| true),
            include::Removed::Whole => {
                let real = self.real()?;
                std::fs::remove_file(&real).map_err(|error| unwritable(&real, &error, line))?;
                Ok(true)
            }
        }
    }

    fn read(&self) -> Result<Option<Vec<u8>>, Problem> {
        match std::fs::read(&self.file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.file.is_symlink() => Ok(None),
            Err(error) => {
                let title = format!("`{}` cannot be read", self.file);
                Err(Problem::new(ProblemCode::SshConfig, title).caused_by(&error))
            }
        }
    }

    /// The file behind all links: those stay.
    fn real(&self) -> Result<Utf8PathBuf, Problem> {
        match self.file.canonicalize_utf8() {
            Ok(real) => Ok(real),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.file.clone()),
            Err(error) => {
                let title = format!("`{}` cannot be found out about", self.file);
                Err(Problem::new(ProblemCode::SshConfig, title).caused_by(&error))
            }
        }
    }

    fn write(&self, text: &[u8], line: &str) -> Result<(), Problem> {
        let real = self.real()?;
        let write = || -> io::Result<()> {
            let Ok(metadata) = std::fs::metadata(&real) else {
                let folder = real.parent().unwrap_or(&real);
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                return whole_file::write(&real, text, 0o600);
            };
            if metadata.permissions().readonly() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
            }
            whole_file::write(&real, text, metadata.permissions().mode() & 0o7777)?;
            let now = std::fs::metadata(&real)?;
            if (now.uid(), now.gid()) != (metadata.uid(), metadata.gid()) {
                std::os::unix::fs::chown(&real, Some(metadata.uid()), Some(metadata.gid()))?;
            }
            Ok(())
        };
        write().map_err(|error| unwritable(&real, &error, line))
    }
}

fn unwritable(file: &Utf8Path, error: &io::Error, line: &str) -> Problem {
    Problem::new(ProblemCode::SshConfig, format!("`{file}` cannot be changed"))
        .caused_by(error)
        .with_hint(format!("if another tool writes it, tell that to begin it with the line `{line}`"))
        .with_command("or do without it", "cove ssh ENV")
}

#[cfg(test)]
mod tests;
