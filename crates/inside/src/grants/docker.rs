//! docker's logins: a credential helper by the name of `docker-credential-cove`, and the entries in the user's
//! configuration of docker that lead to it while a registry is granted.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use protocol::grants::{Answer, Ask};
use serde_json::{Map, Value, json};

use super::ask::ask;
use crate::say;

/// Our name among credential helpers.
const HELPER: &str = "cove";

/// What such a helper says where it has nothing; docker goes on without a login then.
const NOTHING: &str = "credentials not found in native keychain";

/// Longest configuration that is changed, in bytes.
const LONGEST: u64 = 1 << 20;

/// Longest name of a registry that is asked for, in bytes.
const LONGEST_NAME: u64 = 1024;

/// The key that docker has for its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

pub(super) fn helper(arguments: Vec<OsString>) -> Result<ExitCode, String> {
    let operation = arguments.first().and_then(|operation| operation.to_str()).unwrap_or_default();
    if operation == "list" {
        say(io::stdout(), "{}");
        return Ok(ExitCode::SUCCESS);
    }
    let mut server = String::new();
    let read = io::stdin().take(LONGEST_NAME).read_to_string(&mut server);
    match operation {
        "get" => {}
        "erase" => return Ok(ExitCode::SUCCESS),
        _ => return Err("logins are kept on the computer of the owner; nothing is stored here".to_owned()),
    }
    read.map_err(|error| format!("docker's question cannot be read: {error}"))?;
    let server = server.trim();
    let login = ask(&Ask::Registry { server: server.to_owned() }, &[]);
    if let Ok((Answer::Login { username, secret, .. }, _)) = login {
        let answer = json!({"ServerURL": server, "Username": username, "Secret": secret});
        say(io::stdout(), &answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    say(io::stdout(), NOTHING);
    Ok(ExitCode::FAILURE)
}

/// Our entries in the user's configuration of docker.
pub(super) struct Entries(Option<PathBuf>);

impl Entries {
    /// Adds those for these registries, and takes away what an earlier one left. Entries of others stay.
    pub(super) fn add(registries: &[String]) -> Self {
        let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
        let Some(path) = folder.or(home).map(|folder| folder.join("config.json")) else { return Self(None) };
        if let Err(error) = change(&path, registries) {
            say(io::stderr(), &format!("cove-inside: `{}` is not changed: {error}", path.display()));
        }
        Self(Some(path))
    }

    /// Takes ours away.
    pub(super) fn take_away(self) {
        let _ = self.0.map(|path| change(&path, &[]));
    }
}

fn change(path: &Path, registries: &[String]) -> io::Result<()> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    // A link stays one, as those to dotfiles are.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let before = match std::fs::File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(LONGEST).read_to_string(&mut text)?;
            text
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let Some(after) = changed(&before, registries)? else { return Ok(()) };
    if after == Value::Object(Map::new()) && !is_link {
        return std::fs::remove_file(path);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("cove-new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    let mut text = serde_json::to_vec_pretty(&after)?;
    text.push(b'\n');
    file.write_all(&text)?;
    std::fs::rename(&beside, path)
}

/// The configuration as it is to be; `None` where it is so already.
fn changed(before: &str, registries: &[String]) -> io::Result<Option<Value>> {
    let mut config: Value = match before.trim() {
        "" => Value::Object(Map::new()),
        text => serde_json::from_str(text)?,
    };
    let is_same = config.clone();
    let refused = || io::Error::other("it is no JSON object of docker's");
    let object = config.as_object_mut().ok_or_else(refused)?;
    let mut helpers = match object.remove("credHelpers") {
        Some(Value::Object(helpers)) => helpers,
        None => Map::new(),
        Some(_) => return Err(refused()),
    };
    helpers.retain(|_, helper| helper != HELPER);
    for registry in registries {
        let key = if registry == "docker.io" { DOCKER_HUB } else { registry };
        // Whoever set another helper for it wants that one.
        helpers.entry(key).or_insert_with(|| HELPER.into());
    }
    if !helpers.is_empty() {
        object.insert("credHelpers".to_owned(), Value::Object(helpers));
    }
    Ok((config != is_same).then_some(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_and_go_and_those_of_others_stay() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("docker/config.json");
        change(&path, &[]).unwrap();
        assert!(!path.exists());
        change(&path, &["ghcr.io".to_owned(), "docker.io".to_owned()]).unwrap();
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read(), json!({"credHelpers": {"ghcr.io": "cove", DOCKER_HUB: "cove"}}));
        change(&path, &[]).unwrap();
        assert!(!path.exists(), "a file that was not there before");

        let own = json!({"auths": {"x": {}}, "credHelpers": {"ghcr.io": "pass", "gone.example": "cove"}});
        std::fs::write(&path, own.to_string()).unwrap();
        change(&path, &["ghcr.io".to_owned(), "r.example".to_owned()]).unwrap();
        let expected = json!({"auths": {"x": {}}, "credHelpers": {"ghcr.io": "pass", "r.example": "cove"}});
        assert_eq!(read(), expected);
        change(&path, &[]).unwrap();
        assert_eq!(read(), json!({"auths": {"x": {}}, "credHelpers": {"ghcr.io": "pass"}}));

        let link = temp.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for before in [json!({"auths": {"x": {}}}), json!({})] {
            std::fs::write(&path, before.to_string()).unwrap();
            change(&link, &["r.example".to_owned()]).unwrap();
            assert_eq!(read()["credHelpers"], json!({"r.example": "cove"}));
            change(&link, &[]).unwrap();
            assert_eq!((read(), std::fs::read_link(&link).unwrap()), (before, path.clone()));
        }

        std::fs::write(&path, "{ broken").unwrap();
        assert!(change(&path, &["r.example".to_owned()]).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{ broken");
    }
}
