//! Secrets that a person gave to environments: where this computer keeps such things, and never in the store, a label, an
//! argument or a log.

use std::io;

use api::{EnvironmentId, Problem, ProblemCode, Secrets};
use camino::Utf8PathBuf;
use host::vault::Vault;

/// Those of one state folder.
#[derive(Debug, Clone)]
pub struct KeptSecrets {
    vault: Vault,
}

impl KeptSecrets {
    /// Those of the state folder whose place for secrets this is.
    pub fn new(folder: impl Into<Utf8PathBuf>) -> Self {
        Self { vault: Vault::new(folder) }
    }

    /// Keeps these secrets of an environment instead of the earlier ones.
    ///
    /// # Errors
    /// They are not kept; then the earlier ones are still there.
    pub fn keep(&self, id: &EnvironmentId, secrets: &Secrets) -> Result<(), Problem> {
        if secrets.0.is_empty() {
            return self.remove(id);
        }
        let text = serde_json::to_vec(secrets).map_err(io::Error::from);
        let kept = text.and_then(|text| self.vault.keep(&name(id), &text));
        kept.map_err(|error| {
            Problem::new(ProblemCode::Internal, "the secrets could not be kept").caused_by(&error)
        })
    }

    /// The secrets of an environment; none if none were given.
    ///
    /// # Errors
    /// They cannot be read or are damaged.
    pub(crate) fn of(&self, id: &EnvironmentId) -> Result<provision::Secrets, Problem> {
        let failed = |error: &io::Error| {
            Problem::new(ProblemCode::Internal, "the secrets of the environment cannot be read")
                .caused_by(error)
                .with_command("give them again", "cove up --secrets-file FILE")
        };
        let Some(text) = self.vault.of(&name(id)).map_err(|error| failed(&error))? else {
            return Ok(provision::Secrets::default());
        };
        // serde's words could quote them.
        let secrets: Secrets =
            serde_json::from_slice(&text).map_err(|_| failed(&io::Error::other("they are damaged")))?;
        Ok(provision::Secrets::new(secrets.0))
    }

    /// Removes the secrets of an environment. None there: done.
    ///
    /// # Errors
    /// They stay.
    pub fn remove(&self, id: &EnvironmentId) -> Result<(), Problem> {
        self.vault.remove(&name(id)).map_err(|error| {
            Problem::new(ProblemCode::Internal, "the secrets could not be removed").caused_by(&error)
        })
    }
}

fn name(id: &EnvironmentId) -> String {
    format!("{id}.json")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn secrets_are_kept_for_each_environment_and_go_when_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temp.path().join("secrets")).unwrap();
        let (kept, id) = (KeptSecrets::new(&folder), EnvironmentId("aa11".into()));
        assert!(kept.of(&id).unwrap().variables().is_empty());
        let secrets = Secrets(BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]));
        kept.keep(&id, &secrets).unwrap();
        assert_eq!(*kept.of(&id).unwrap().variables(), secrets.0);
        assert!(kept.of(&EnvironmentId("bb22".into())).unwrap().variables().is_empty());
        assert!(!format!("{secrets:?}").contains("s3cret"));
        kept.keep(&id, &Secrets::default()).unwrap();
        assert!(kept.of(&id).unwrap().variables().is_empty());
    }
}
