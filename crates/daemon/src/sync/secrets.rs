//! Secrets that come with a document: opened here, and kept with the person's own from then on, for the one environment.

use std::collections::BTreeSet;

use api::control::SecretUse;
use api::{
    Environment, EnvironmentId, Problem, ProblemCode, SecretScope, SecretTarget, SecretValue, SecretWish,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sync::{Key, Sealed};

use super::desk::{Command, Talk};
use super::disk::DiskError;
use crate::control::ControlPlane;
use crate::properties::hex;
use crate::secrets::KeptSecrets;

/// What names of secrets begin with that a control plane gave, so that none of a person's own is ever replaced.
const PREFIX: &str = "control_";

/// Secrets of a document that are kept here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Of what the server sent.
    digest: String,
    /// Under which names.
    names: BTreeSet<String>,
}

/// What the server says of one, beside its name.
#[derive(Deserialize)]
struct Told {
    used_as: SecretUse,
    /// An age file, in Base64.
    value: String,
}

impl Talk<'_> {
    /// Takes in what the server sent for an environment, beside the desk: a keyring may ask its person.
    pub(super) fn take_secrets(&mut self, key: &Key, environment: &Environment) {
        let Some(held) = self.runner.disk().documents.get(key) else { return };
        let sent = held.secrets.clone();
        let text = serde_json::to_string(&sent).expect("sealed secrets are plain data that JSON can hold");
        let digest = if sent.is_empty() { String::new() } else { hex(&Sha256::digest(text)) };
        let before = self.kept_of(key);
        if before.digest == digest || !self.opening.insert(key.clone()) {
            return;
        }
        let (control, secrets) =
            (self.desk.around.control.clone(), self.desk.around.reconciler.parts().secrets.clone());
        let (id, key) = (environment.id.clone(), key.clone());
        self.ask_desk(async move {
            let names = before.names;
            let opened =
                tokio::task::spawn_blocking(move || take_in(&control, &secrets, &id, &sent, names)).await;
            let opened = opened.unwrap_or_else(|error| {
                Err(Problem::new(ProblemCode::Internal, "secrets could not be taken in").caused_by(&error))
            });
            Command::Opened { key, kept: opened.map(|names| Kept { digest, names }) }
        });
    }

    /// Secrets were taken in, or could not be.
    pub(super) fn opened(&mut self, key: &Key, kept: Result<Kept, Problem>) -> Result<(), DiskError> {
        self.opening.remove(key);
        match kept {
            Ok(kept) => self.keep_secrets(key, kept),
            Err(problem) => self.complain(key, "secrets", Some(problem)),
        }
    }
}

/// Keeps what is sent, and no more what was sent before. The names under which it is kept.
fn take_in(
    control: &ControlPlane,
    secrets: &KeptSecrets,
    id: &EnvironmentId,
    sent: &[Sealed],
    before: BTreeSet<String>,
) -> Result<BTreeSet<String>, Problem> {
    let scope = SecretScope::Environment { id: id.clone() };
    let mut names = BTreeSet::new();
    for sealed in sent {
        let told: Told = serde_json::from_str(&sealed.sealed).map_err(|_| {
            Problem::new(ProblemCode::VersionSkew, format!("secret `{}` is not understood here", sealed.name))
        })?;
        let target = match told.used_as {
            SecretUse::Variable(name) => SecretTarget::Variable { name },
            SecretUse::File(path) => SecretTarget::File { path: path.into() },
            SecretUse::Git(host) | SecretUse::Registry(host) => {
                let title = format!("secret `{}` is for {host}, which this version cannot use", sealed.name);
                return Err(Problem::new(ProblemCode::VersionSkew, title));
            }
        };
        let value = control.open_sealed(&sealed.name, &told.value)?;
        let name = format!("{PREFIX}{}", sealed.name.replace('-', "_"));
        let wish = SecretWish {
            name: name.clone(),
            scope: scope.clone(),
            value: Some(SecretValue(value)),
            target: Some(target),
        };
        secrets.carry_out(&wish)?;
        names.insert(name);
    }
    for name in before.difference(&names) {
        let wish = SecretWish { name: name.clone(), scope: scope.clone(), value: None, target: None };
        // It may be gone already.
        if let Err(problem) = secrets.carry_out(&wish) {
            tracing::debug!(%problem, name, "a former secret is not removed");
        }
    }
    Ok(names)
}
