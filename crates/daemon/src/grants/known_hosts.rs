//! Whether this person knows a server's key under a name, as their ssh would see it: `ssh -G` says where the known hosts of
//! that name are, `ssh-keygen -F` looks into them, hashed names and patterns included.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use camino::Utf8PathBuf;

use super::programs::{self, Means, ProgramError};

/// Whether a key is one that the known hosts list for a host, and revoke in none of them.
pub(super) async fn list(host: &str, key: &[u8], means: &Means) -> Result<bool, ProgramError> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let argv = ["ssh", "-G"].into_iter().chain(port.into_iter().flat_map(|port| ["-p", port])).chain([name]);
    let said = programs::lines(&argv.collect::<Vec<_>>(), means, b"").await?;
    let named = Named::read(name, &said, means.home());
    let mut is_listed = false;
    for file in named.files {
        // A file that has nothing of that name is a failure of `ssh-keygen`, like one that is not there.
        let found =
            programs::lines(&["ssh-keygen", "-F", &named.name, "-f", file.as_str()], means, b"").await;
        let found = match found {
            Err(ProgramError::Ended { .. }) => continue,
            other => other?,
        };
        for line in found {
            match mark_of(&line, key) {
                Some(Mark::Revoked) => return Ok(false),
                Some(Mark::Known) => is_listed = true,
                None => {}
            }
        }
    }
    Ok(is_listed)
}

/// Under which name a host is known, and where.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    name: String,
    files: Vec<Utf8PathBuf>,
}

impl Named {
    fn read(host: &str, said: &[String], home: &str) -> Self {
        let value = |key: &str| {
            let found = said.iter().find_map(|line| line.split_once(' ').filter(|(name, _)| *name == key));
            found.map(|(_, value)| value.trim())
        };
        let name = match (value("hostkeyalias"), value("hostname").unwrap_or(host), value("port")) {
            (Some(alias), _, _) if alias != "none" => alias.to_owned(),
            (_, name, None | Some("22")) => name.to_owned(),
            (_, name, Some(port)) => format!("[{name}]:{port}"),
        };
        let files = ["userknownhostsfile", "globalknownhostsfile"].into_iter().filter_map(value);
        let files = files.flat_map(|files| files.split_ascii_whitespace()).filter(|file| *file != "none");
        let whole = |file: &str| match file.strip_prefix("~/") {
            Some(rest) => Utf8PathBuf::from(home).join(rest),
            None => Utf8PathBuf::from(file.trim_matches('"')),
        };
        Self { name: name.to_ascii_lowercase(), files: files.map(whole).collect() }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Mark {
    Known,
    Revoked,
}

/// What a line of known hosts says of a key. Authorities vouch for certificates, which are no such keys.
fn mark_of(line: &str, key: &[u8]) -> Option<Mark> {
    let mut words = line.split_ascii_whitespace();
    let first = words.next().filter(|word| !word.starts_with('#'))?;
    let mark = match first {
        "@revoked" => Mark::Revoked,
        marked if marked.starts_with('@') => return None,
        _ => Mark::Known,
    };
    if mark == Mark::Revoked {
        words.next()?;
    }
    let (_kind, text) = (words.next()?, words.next()?);
    BASE64_STANDARD.decode(text).is_ok_and(|listed| listed == key).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_for_as_ssh_looks_for_it() {
        let read = |said: &[&str]| {
            let said: Vec<String> = said.iter().map(|line| (*line).to_owned()).collect();
            let named = Named::read("work", &said, "/home/ada");
            (named.name, named.files.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let files =
            ["userknownhostsfile /home/ada/.ssh/known_hosts ~/more", "globalknownhostsfile /etc/k none"];
        let expected = ["/home/ada/.ssh/known_hosts", "/home/ada/more", "/etc/k"];
        let (name, found) = read(&["hostname git.example.com", "port 22", files[0], files[1]]);
        assert_eq!((name.as_str(), found), ("git.example.com", expected.map(str::to_owned).to_vec()));
        assert_eq!(read(&["hostname git.example.com", "port 2222"]).0, "[git.example.com]:2222");
        assert_eq!(read(&["hostname 10.0.0.1", "port 2222", "hostkeyalias Vault"]).0, "vault");
        assert_eq!(read(&[]), ("work".to_owned(), Vec::new()));
    }

    #[test]
    fn only_the_very_key_counts() {
        for (line, mark) in [
            ("github.com ssh-ed25519 a2V5", Some(Mark::Known)),
            ("|1|abc=|def= ssh-ed25519 a2V5 comment", Some(Mark::Known)),
            ("@revoked github.com ssh-ed25519 a2V5", Some(Mark::Revoked)),
            ("@cert-authority github.com ssh-ed25519 a2V5", None),
            ("# Host github.com found: line 1", None),
            ("github.com ssh-ed25519 b3RoZXI=", None),
            ("github.com ssh-ed25519", None),
            ("", None),
        ] {
            assert_eq!(mark_of(line, b"key"), mark, "{line}");
        }
    }
}
