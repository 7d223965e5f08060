//! Variables of users' shells, kept between runs: asking a shell with slow start-up files takes seconds.
//!
//! They are kept by what they follow from: the image, the container's own variables, the user, the kind of shell, and
//! the content of the start-up files.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use camino::Utf8PathBuf;
use devcontainer::UserEnvProbe;
use engine::{Account, ContainerState, Engine, ProbeError};
use sha2::{Digest, Sha256};

use super::Circumstances;
use crate::shell::Shell;

/// Prints the files that shells read when they start, below the home folder and in `/etc`, each with its name.
const START_UP_FILES: &str = "cd ~ 2>/dev/null; for file in .profile .bash_profile .bash_login .bashrc .zshenv \
     .zprofile .zshrc .zlogin .config/fish/config.fish .config/fish/conf.d/* .nvm/alias/default .cargo/env \
     /etc/profile /etc/profile.d/* /etc/bash.bashrc /etc/bashrc /etc/environment /etc/zsh/*; do \
     if [ -f \"$file\" ] && [ -r \"$file\" ]; then echo \"== $file\"; cat \"$file\"; fi; done; :";

/// Variables of one process or container, of no use to the next.
const PASSING: [&str; 3] = ["HOSTNAME", "SSH_AUTH_SOCK", "TERM"];

/// A folder on this computer for variables of shells. They may hold secrets: only their owner can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeCache {
    folder: Utf8PathBuf,
}

impl ProbeCache {
    /// Keeps them in this folder, which is made when it is needed.
    pub fn new(folder: impl Into<Utf8PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn read(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let bytes = std::fs::read(self.folder.join(key)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Keeps variables. What cannot be kept is asked for again: no reason to fail.
    fn write(&self, key: &str, env: &BTreeMap<String, String>) -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let beside = self.folder.join(format!("{key}.{}.new", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let written = serde_json::to_vec(env).map_err(Into::into).and_then(|bytes| file.write_all(&bytes));
        let kept = written.and_then(|()| std::fs::rename(&beside, self.folder.join(key)));
        // On a full disk, half of it would lie there for ever.
        kept.inspect_err(|_| drop(std::fs::remove_file(&beside)))
    }
}

/// The variables that the start-up files of a user's shell set.
pub(super) async fn variables(
    engine: &Engine,
    state: &ContainerState,
    account: &Account,
    probe: UserEnvProbe,
    circumstances: &Circumstances,
) -> Result<BTreeMap<String, String>, ProbeError> {
    let path = state.env.get("PATH").map(String::as_str);
    if probe == UserEnvProbe::None {
        return Ok(BTreeMap::new());
    }
    let Some(cache) = &circumstances.cache else {
        return engine.user_environment(&state.id, account, probe, path).await;
    };
    let shell = Shell::new(engine, &state.id, &account.name);
    // Where that cannot be told, the shell is asked every time.
    let Ok(files) = shell.run(START_UP_FILES, &[]).await else {
        return engine.user_environment(&state.id, account, probe, path).await;
    };
    let key = key(state, account, probe, &files);
    if let Some(env) = cache.read(&key) {
        return Ok(env);
    }
    let mut env = engine.user_environment(&state.id, account, probe, path).await?;
    env.retain(|name, _| !PASSING.contains(&name.as_str()));
    if let Err(error) = cache.write(&key, &env) {
        tracing::info!(%error, folder = %cache.folder, "variables of a shell are not kept");
    }
    Ok(env)
}

fn key(state: &ContainerState, account: &Account, probe: UserEnvProbe, files: &str) -> String {
    let facts = serde_json::json!({
        "image": state.image_id,
        "env": state.env,
        "user": account.name,
        "uid": account.uid,
        "home": account.home,
        "shell": account.shell,
        "probe": probe,
        "files": files,
    });
    Sha256::digest(facts.to_string()).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_private_and_comes_back() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("a/shells")).unwrap();
        let cache = ProbeCache::new(path.clone());
        let env = BTreeMap::from([("A".to_owned(), "1\n=2".to_owned())]);
        assert_eq!(cache.read("key"), None);
        cache.write("key", &env).unwrap();
        assert_eq!(cache.read("key"), Some(env));
        let mode = |path: &camino::Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("key"))), (0o700, 0o600));

        std::fs::create_dir(path.join("taken")).unwrap();
        cache.write("taken", &BTreeMap::new()).unwrap_err();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2, "half of it is not left there");
    }

    #[test]
    fn whatever_they_follow_from_asks_again() {
        let state = ContainerState { image_id: "i".into(), ..ContainerState::default() };
        let account =
            Account { name: "me".into(), uid: 1, gid: 1, home: "/home/me".into(), shell: "/bin/sh".into() };
        let probe = UserEnvProbe::LoginShell;
        let first = key(&state, &account, probe, "f");
        assert_eq!(first, key(&state, &account, probe, "f"));
        let other = ContainerState { image_id: "j".into(), ..ContainerState::default() };
        for changed in [
            key(&other, &account, probe, "f"),
            key(&state, &Account { uid: 2, ..account.clone() }, probe, "f"),
            key(&state, &account, UserEnvProbe::LoginInteractiveShell, "f"),
            key(&state, &account, probe, "g"),
        ] {
            assert_ne!(first, changed);
        }
    }
}
