//! Who is who in a container or an image: its `/etc/passwd` and `/etc/group`.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::query_parameters::{ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder};
use futures::TryStreamExt;

use crate::connect::Engine;
use crate::containers::{ContainerError, ContainerSpec, never};
use crate::error::{EngineError, absent_is_none};

/// The most that is read out of a container at once.
const LARGEST_ARCHIVE: usize = 16 * 1024 * 1024;

/// The bit of a mode that says link, where Go writes it.
const LINK: u32 = 1 << 27;

/// An account of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name; for a number without an account, the number.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Its home folder.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

impl Account {
    /// The account of that name, else of that number.
    pub(crate) fn find<'a>(accounts: &'a [Self], name_or_uid: &str) -> Option<&'a Self> {
        let by_name = accounts.iter().find(|account| account.name == name_or_uid);
        let by_number = || {
            let uid = name_or_uid.parse::<u32>().ok()?;
            accounts.iter().find(|account| account.uid == uid)
        };
        by_name.or_else(by_number)
    }
}

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathFound {
    /// Nothing.
    Nothing,
    /// A link, and where that leads by the files of the container alone.
    Link(String),
    /// A file or folder.
    Other,
}

/// A user could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The container has no such account.
    #[error("there is no user `{user}` in `{container}`, it has: {}", known.join(", "))]
    NotFound {
        /// The user as it was named.
        user: String,
        /// The container.
        container: String,
        /// The accounts that there are.
        known: Vec<String>,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Looks a user up in a container, which need not run. `user` may be a name or a number, with a group
    /// after a colon. A number without an account is somebody with `/` as home.
    pub async fn account(&self, container: &str, user: &str) -> Result<Account, UserError> {
        let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
        let name = if name.is_empty() { "root" } else { name };
        let passwd = self.file_of_container(container, "/etc/passwd").await?.unwrap_or_default();
        let accounts = parse_passwd(&String::from_utf8_lossy(&passwd));
        if let Some(account) = Account::find(&accounts, name) {
            return Ok(account.clone());
        }
        let number = match name {
            "root" => Some(0),
            _ => name.parse().ok(),
        };
        let Some(uid) = number else {
            let known = accounts.into_iter().map(|account| account.name).collect();
            return Err(UserError::NotFound {
                user: name.to_owned(),
                container: container.to_owned(),
                known,
            });
        };
        let gid = group.and_then(|group| group.parse().ok()).unwrap_or(0);
        let home = if uid == 0 { "/root" } else { "/" };
        Ok(Account { name: name.to_owned(), uid, gid, home: home.to_owned(), shell: "/bin/sh".to_owned() })
    }

    /// Reads a file of a container, which need not run; `None` when there is no such file.
    pub async fn file_of_container(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let archive = self.archive_of_container(container, path).await?;
        let Some(archive) = archive else { return Ok(None) };
        let files = regular_files(&archive).map_err(|error| unreadable(container, path, &error))?;
        Ok(files.into_iter().next().map(|(_, bytes)| bytes))
    }

    /// Reads the regular files of a folder of a container, by their paths below it; `None` when there is no such
    /// folder. A folder that holds more than a few files is an error: what is in a container is not trusted.
    pub async fn files_of_container(
        &self,
        container: &str,
        folder: &str,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, EngineError> {
        let archive = self.archive_of_container(container, folder).await?;
        let Some(archive) = archive else { return Ok(None) };
        let files = regular_files(&archive).map_err(|error| unreadable(container, folder, &error))?;
        // The engine puts the folder's own name before each.
        let below = |(path, bytes): (String, Vec<u8>)| Some((path.split_once('/')?.1.to_owned(), bytes));
        Ok(Some(files.into_iter().filter_map(below).collect()))
    }

    /// What is at a path of a container, which need not run. Only its last part is not followed.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn path_in_container(&self, container: &str, path: &str) -> Result<PathFound, EngineError> {
        let operation = format!("look at `{path}` in `{container}`");
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        let found = self.api(&operation)?.get_container_archive_info(container, Some(options)).await;
        let found = absent_is_none(found.map_err(|error| self.failed(&operation, error)))?;
        Ok(match found {
            None => PathFound::Nothing,
            Some(found) if found.file_mode & LINK != 0 => PathFound::Link(found.link_target),
            Some(_) => PathFound::Other,
        })
    }

    /// A path of a container as the engine packs it; `None` when there is no such path.
    async fn archive_of_container(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        let operation = format!("read `{path}` in `{container}`");
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let mut archive = Vec::new();
        let api = self.api(&operation)?;
        let mut pieces = std::pin::pin!(api.download_from_container(container, Some(options)));
        loop {
            let piece = pieces.try_next().await.map_err(|error| self.failed(&operation, error));
            let Some(piece) = absent_is_none(piece)? else { return Ok(None) };
            let Some(piece) = piece else { return Ok(Some(archive)) };
            archive.extend_from_slice(&piece);
            if archive.len() > LARGEST_ARCHIVE {
                return Err(EngineError::from_message(&operation, None, "it is too large"));
            }
        }
    }

    /// Reads files of an image; an absent one is empty. Images have no call for it: it takes a container
    /// that never starts.
    pub(crate) async fn files_of_image(
        &self,
        image: &str,
        paths: &[&str],
    ) -> Result<Vec<Vec<u8>>, EngineError> {
        let operation = format!("look into the image `{image}`");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let spec = ContainerSpec {
            name: format!("cove-look-{now}"),
            image: image.to_owned(),
            first_process: never(),
            ..ContainerSpec::default()
        };
        let id = self.create_container(&spec).await.map_err(|error| match error {
            ContainerError::Engine(error) => error,
            error => EngineError::from_message(&operation, None, error.to_string()),
        })?;
        let mut files = Vec::new();
        let mut outcome = Ok(());
        for path in paths {
            match self.file_of_container(&id, path).await {
                Ok(file) => files.push(file.unwrap_or_default()),
                Err(error) => outcome = Err(error),
            }
        }
        self.remove_container(&id).await?;
        outcome.map(|()| files)
    }
}

/// The accounts of an `/etc/passwd`; lines that make no sense are passed over, as the system does.
pub(crate) fn parse_passwd(text: &str) -> Vec<Account> {
    let account = |line: &str| {
        let mut parts = line.split(':');
        let (name, _, uid, gid) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (_, home, shell) = (parts.next(), parts.next().unwrap_or("/"), parts.next().unwrap_or(""));
        Some(Account {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: if home.is_empty() { "/".to_owned() } else { home.to_owned() },
            shell: if shell.is_empty() { "/bin/sh".to_owned() } else { shell.to_owned() },
        })
    };
    text.lines().filter_map(account).collect()
}

/// The groups of an `/etc/group`, with their numbers.
pub(crate) fn parse_group(text: &str) -> Vec<(String, u32)> {
    let group = |line: &str| {
        let mut parts = line.split(':');
        Some((parts.next()?.to_owned(), parts.nth(1)?.parse().ok()?))
    };
    text.lines().filter_map(group).collect()
}

/// The regular files of a tar archive, in its order.
fn regular_files(archive: &[u8]) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            files.push((path, bytes));
        }
    }
    Ok(files)
}

fn unreadable(container: &str, path: &str, error: &std::io::Error) -> EngineError {
    let operation = format!("read `{path}` in `{container}`");
    EngineError::from_message(&operation, None, format!("the engine's archive is damaged: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_as_the_system_reads_them() {
        let accounts = parse_passwd(
            "root:x:0:0:root:/root:/bin/bash\n# no\nbroken:x:y:1::/:\n9:x:7:7::/nine:\n+::::::\n",
        );
        assert_eq!(accounts.len(), 2);
        assert_eq!((accounts[1].shell.as_str(), accounts[1].home.as_str()), ("/bin/sh", "/nine"));
        assert_eq!(
            Account::find(&accounts, "9").map(|found| found.uid),
            Some(7),
            "a name wins over a number"
        );
        assert_eq!(Account::find(&accounts, "0").map(|found| found.name.as_str()), Some("root"));
        assert_eq!(parse_group("root:x:0:\nadm:x:4:a,b\n"), [("root".to_owned(), 0), ("adm".to_owned(), 4)]);
    }
}
