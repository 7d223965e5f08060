//! Signatures of commits and tags by this person's key, made by their own program as git would have it do so.
//!
//! What is signed must be what git makes: a commit, a tag, or the certificate of a push. Which program and which key is
//! taken from the person's own configuration of git, never from a repository's.

use std::io;

use api::GrantKind;
use camino::{Utf8Path, Utf8PathBuf};
use protocol::grants::SignatureFormat;

use super::ask::{granted, told};
use super::broker::{Broker, Wanted};
use super::programs::{self, Means};

/// How this person's git signs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Signer {
    /// `gpg.format`.
    pub(super) format: Option<String>,
    /// `user.signingKey`.
    key: Option<String>,
    /// `gpg.ssh.program`
    ssh_program: Option<String>,
    /// `gpg.openpgp.program`, or `gpg.program`.
    openpgp_program: Option<String>,
    /// `commit.gpgSign`
    pub(super) commits: bool,
    /// `tag.gpgSign`
    pub(super) tags: bool,
}

impl Signer {
    /// From the person's configuration and the system's. `None` where git has no answer.
    pub(super) async fn of(means: &Means) -> Self {
        let mut signer = Self::default();
        let argv = ["git", "config", "--null", "--get-regexp", "^(gpg|user|commit|tag)\\."];
        // No match is a failure of git's.
        let said = programs::output(&argv, means, b"").await.unwrap_or_default();
        for entry in String::from_utf8_lossy(&said).split('\0') {
            let (name, value) = entry.split_once('\n').unwrap_or((entry, "true"));
            let value = || Some(value.to_owned()).filter(|value| !value.is_empty());
            match name.to_ascii_lowercase().as_str() {
                "gpg.format" => signer.format = value(),
                "user.signingkey" => signer.key = value(),
                "gpg.ssh.program" => signer.ssh_program = value(),
                "gpg.program" if signer.openpgp_program.is_none() => signer.openpgp_program = value(),
                "gpg.openpgp.program" => signer.openpgp_program = value(),
                "commit.gpgsign" => signer.commits = is_true(value()),
                "tag.gpgsign" => signer.tags = is_true(value()),
                _ => {}
            }
        }
        signer
    }

    /// Whether this person's git makes signatures of a format. Nobody is to have others of theirs.
    fn makes(&self, format: SignatureFormat) -> bool {
        let own = self.format.as_deref().unwrap_or("openpgp");
        match format {
            SignatureFormat::Ssh => own == "ssh",
            SignatureFormat::Openpgp => own == "openpgp",
        }
    }

    /// What git in a container is to have as `user.signingKey`: the public key, or the name of one. Never a path here.
    pub(super) async fn public_key(&self, means: &Means) -> Option<String> {
        let key = self.key.as_deref()?;
        if self.format.as_deref() != Some("ssh") {
            return Some(key.to_owned());
        }
        if let Some(literal) = literal(key) {
            return Some(format!("key::{literal}"));
        }
        let path = key_path(key, means);
        for candidate in [Utf8PathBuf::from(format!("{path}.pub")), path] {
            let text = fs_err::tokio::read_to_string(&candidate).await.unwrap_or_default();
            if let Some(literal) = text.lines().next().and_then(literal) {
                return Some(format!("key::{literal}"));
            }
        }
        None
    }
}

fn is_true(value: Option<String>) -> bool {
    value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1"))
}

/// A public key that is written out, as git takes it.
fn literal(key: &str) -> Option<&str> {
    let bare = key.strip_prefix("key::").unwrap_or(key);
    let is_key = ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| bare.starts_with(kind)) && bare.contains(' ');
    is_key.then_some(bare)
}

fn key_path(key: &str, means: &Means) -> Utf8PathBuf {
    match key.strip_prefix("~/") {
        Some(rest) => Utf8Path::new(means.home()).join(rest),
        None => Utf8PathBuf::from(key),
    }
}

/// The signature of something that git made.
pub(super) async fn sign(
    broker: &Broker,
    format: SignatureFormat,
    payload: &[u8],
) -> Result<Vec<u8>, String> {
    let Some(what) = kind_of(payload) else {
        let wanted = Wanted::new(GrantKind::Signing, None, "sign something");
        return Err(broker.refuse(wanted, "only commits, tags and certificates of pushes are signed").await);
    };
    let wanted = Wanted::new(GrantKind::Signing, None, format!("sign {what}"));
    let grant = granted(broker, &wanted).await?;
    let means = broker.means(&grant);
    let signer = Signer::of(&means).await;
    if !signer.makes(format) {
        return Err(broker.refuse(wanted, "git on this computer signs in another format").await);
    }
    let leave = broker.allow(grant, wanted).await?;
    let signature = match format {
        SignatureFormat::Ssh => ssh(&signer, &means, payload).await?,
        SignatureFormat::Openpgp => openpgp(&signer, &means, payload).await?,
    };
    broker.confirm(&leave).await?;
    Ok(signature)
}

/// What git made, by how it begins.
fn kind_of(payload: &[u8]) -> Option<&'static str> {
    let hash = |rest: &[u8]| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        matches!(digits, 40 | 64) && rest.get(digits) == Some(&b'\n')
    };
    let begins = |word: &str| payload.strip_prefix(word.as_bytes());
    if begins("tree ").is_some_and(hash) {
        Some("a commit")
    } else if begins("object ").is_some_and(hash) {
        Some("a tag")
    } else {
        begins("certificate version 0.1\npusher ").map(|_| "the certificate of a push")
    }
}

async fn ssh(signer: &Signer, means: &Means, payload: &[u8]) -> Result<Vec<u8>, String> {
    let key = signer.key.as_deref().ok_or("git on this computer has no `user.signingKey`")?;
    let folder = Folder::new().map_err(|error| failed(&error))?;
    let file = folder.0.join("payload");
    fs_err::tokio::write(&file, payload).await.map_err(|error| failed(&error))?;
    let (key, is_literal) = match literal(key) {
        Some(literal) => {
            let path = folder.0.join("key.pub");
            fs_err::tokio::write(&path, literal).await.map_err(|error| failed(&error))?;
            (path, true)
        }
        None => (key_path(key, means), false),
    };
    let program = signer.ssh_program.as_deref().unwrap_or("ssh-keygen");
    let mut argv = vec![program, "-Y", "sign", "-n", "git", "-f", key.as_str()];
    if is_literal {
        argv.push("-U");
    }
    argv.push(file.as_str());
    programs::output(&argv, means, b"").await.map_err(|error| told(&error))?;
    fs_err::tokio::read(folder.0.join("payload.sig")).await.map_err(|error| failed(&error))
}

async fn openpgp(signer: &Signer, means: &Means, payload: &[u8]) -> Result<Vec<u8>, String> {
    let program = signer.openpgp_program.as_deref().unwrap_or("gpg");
    let mut argv = vec![program, "--batch", "--no-tty", "-bsa"];
    if let Some(key) = &signer.key {
        argv.extend(["-u", key]);
    }
    programs::output(&argv, means, payload).await.map_err(|error| told(&error))
}

fn failed(error: &io::Error) -> String {
    tracing::warn!(%error, "a commit could not be signed");
    "this computer could not write a file for it".to_owned()
}

/// A folder of this user alone, which goes with its holder.
struct Folder(Utf8PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let name = format!("cove-signing-{}", uuid::Uuid::new_v4().simple());
        let path = Utf8PathBuf::from_path_buf(std::env::temp_dir().join(name));
        let path = path.map_err(|_| io::Error::other("the folder for temporary files is no text"))?;
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_git_makes_is_signed() {
        let hash = "d".repeat(40);
        for (payload, kind) in [
            (format!("tree {hash}\nparent {hash}\n"), Some("a commit")),
            (format!("tree {}\n", "a".repeat(64)), Some("a commit")),
            (format!("object {hash}\ntype commit\n"), Some("a tag")),
            ("certificate version 0.1\npusher Ada".to_owned(), Some("the certificate of a push")),
            ("certificate version 0.1\nI owe Eve a thousand\n".to_owned(), None),
            ("certificate version of a debt\npusher ".to_owned(), None),
            (format!("tree {hash}"), None),
            (format!("tree {hash}d\n"), None),
            ("I owe Eve a thousand\n".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(kind_of(payload.as_bytes()), kind, "{payload}");
        }
    }

    #[test]
    fn nobody_has_signatures_that_git_here_does_not_make() {
        for (own, ssh, openpgp) in [
            (None, false, true),
            (Some("openpgp"), false, true),
            (Some("ssh"), true, false),
            (Some("x509"), false, false),
        ] {
            let signer = Signer { format: own.map(str::to_owned), ..Signer::default() };
            let makes = (signer.makes(SignatureFormat::Ssh), signer.makes(SignatureFormat::Openpgp));
            assert_eq!(makes, (ssh, openpgp), "{own:?}");
        }
    }

    #[test]
    fn keys_are_told_from_paths() {
        assert_eq!(literal("ssh-ed25519 AAAA ada"), Some("ssh-ed25519 AAAA ada"));
        assert_eq!(literal("key::ssh-rsa AAAA"), Some("ssh-rsa AAAA"));
        assert_eq!(literal("~/.ssh/id_ed25519.pub"), None);
        assert_eq!(literal("ssh-keys/mine"), None);
    }
}
