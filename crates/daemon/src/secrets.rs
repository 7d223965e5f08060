//! Secrets that a person gave to environments: one file each, readable by this user alone, and never in the store, a
//! label, an argument or a log.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use api::{EnvironmentId, Problem, ProblemCode, Secrets};
use camino::Utf8PathBuf;

/// The files of one state folder.
#[derive(Debug, Clone)]
pub struct SecretFiles {
    folder: Utf8PathBuf,
}

impl SecretFiles {
    /// The files in a folder. It is made when there is a secret.
    pub fn new(folder: impl Into<Utf8PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Keeps these secrets of an environment instead of the earlier ones.
    ///
    /// # Errors
    /// The disk does not take them; then the earlier ones are still there.
    pub fn keep(&self, id: &EnvironmentId, secrets: &Secrets) -> Result<(), Problem> {
        if secrets.0.is_empty() {
            return self.remove(id);
        }
        let failed = |error: std::io::Error| {
            Problem::new(ProblemCode::Internal, "the secrets could not be kept").caused_by(&error)
        };
        let text = serde_json::to_vec(secrets).map_err(|error| failed(error.into()))?;
        let beside = self.folder.join(format!("{id}.new"));
        let write = || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            // One that a cut-off write left behind may have other rights.
            match fs_err::remove_file(&beside) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs_err::rename(&beside, self.file(id))
        };
        write().map_err(failed)
    }

    /// The secrets of an environment; none if none were given.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub(crate) fn of(&self, id: &EnvironmentId) -> Result<provision::Secrets, Problem> {
        let failed = |error: &dyn std::error::Error| {
            Problem::new(ProblemCode::Internal, "the secrets of the environment cannot be read")
                .caused_by(error)
                .with_command("give them again", "cove up --secrets-file FILE")
        };
        match fs_err::read(self.file(id)) {
            Ok(text) => {
                // serde's words could quote the file.
                let secrets: Secrets = serde_json::from_slice(&text)
                    .map_err(|_| failed(&std::io::Error::other("the file is damaged")))?;
                Ok(provision::Secrets::new(secrets.0))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(provision::Secrets::default()),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Removes the secrets of an environment. None there: done.
    ///
    /// # Errors
    /// The file stays.
    pub fn remove(&self, id: &EnvironmentId) -> Result<(), Problem> {
        match fs_err::remove_file(self.file(id)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Problem::new(ProblemCode::Internal, "the secrets could not be removed").caused_by(&error))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, id: &EnvironmentId) -> Utf8PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_for_this_user_alone_and_go_when_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temp.path().join("secrets")).unwrap();
        let (files, id) = (SecretFiles::new(&folder), EnvironmentId("aa11".into()));
        assert!(files.of(&id).unwrap().variables().is_empty());
        let secrets = Secrets(BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]));
        files.keep(&id, &secrets).unwrap();
        files.keep(&id, &secrets).unwrap();
        assert_eq!(*files.of(&id).unwrap().variables(), secrets.0);
        let mode = |path: &Utf8PathBuf| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("aa11.json"))), (0o700, 0o600));
        assert!(!format!("{secrets:?}").contains("s3cret"));
        files.keep(&id, &Secrets::default()).unwrap();
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 0);
        files.remove(&id).unwrap();
    }
}
