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

/// In the place of a digest where something failed.
const FAILED: &str = "failed";

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
            let (names, former) = (before.names.clone(), before.names);
            let opened =
                tokio::task::spawn_blocking(move || take_in(&control, &secrets, &id, &sent, &names)).await;
            let (names, problem) = opened.unwrap_or_else(|error| {
                let title = "secrets could not be taken in";
                (former, Some(Problem::new(ProblemCode::Internal, title).caused_by(&error)))
            });
            // What failed is tried again with the next look.
            let digest = if problem.is_none() { digest } else { FAILED.to_owned() };
            Command::Opened { key, kept: Kept { digest, names }, problem }
        });
    }

    /// Secrets were taken in, as far as they could be.
    pub(super) fn opened(
        &mut self,
        key: &Key,
        kept: Kept,
        problem: Option<Problem>,
    ) -> Result<(), DiskError> {
        self.opening.remove(key);
        self.keep_secrets(key, kept)?;
        self.complain(key, "secrets", problem)
    }
}

/// Keeps what is sent, and no more what was sent before. The names under which it is kept, and the first that is wrong: one
/// that cannot be used hinders no other.
fn take_in(
    control: &ControlPlane,
    secrets: &KeptSecrets,
    id: &EnvironmentId,
    sent: &[Sealed],
    before: &BTreeSet<String>,
) -> (BTreeSet<String>, Option<Problem>) {
    let scope = SecretScope::Environment { id: id.clone() };
    let wanted: BTreeSet<String> = sent.iter().map(name_of).collect();
    // First: another may go where one of them was.
    for name in before.difference(&wanted) {
        let wish = SecretWish { name: name.clone(), scope: scope.clone(), value: None, target: None };
        // It may be gone already.
        if let Err(problem) = secrets.carry_out(&wish) {
            tracing::debug!(%problem, name, "a former secret is not removed");
        }
    }
    let (mut names, mut wrong) = (BTreeSet::new(), None);
    for sealed in sent {
        match opened(control, &scope, sealed).and_then(|wish| secrets.carry_out(&wish)) {
            Ok(_) => drop(names.insert(name_of(sealed))),
            Err(problem) => {
                names.extend(before.get(&name_of(sealed)).cloned());
                wrong.get_or_insert(problem);
            }
        }
    }
    (names, wrong)
}

fn name_of(sealed: &Sealed) -> String {
    format!("{PREFIX}{}", sealed.name.replace('-', "_"))
}

/// A secret as a person would have wished it here.
fn opened(control: &ControlPlane, scope: &SecretScope, sealed: &Sealed) -> Result<SecretWish, Problem> {
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
    let value = Some(SecretValue(control.open_sealed(&sealed.name, &told.value)?));
    Ok(SecretWish { name: name_of(sealed), scope: scope.clone(), value, target: Some(target) })
}
