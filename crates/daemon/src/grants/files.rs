//! What is put into a container for git and others, by root: a configuration that `/etc/gitconfig` includes first, so that
//! whatever the image, the person's home or the repository says wins over it, and names for our own program.
//!
//! It lies in the container's own `/dev`: no layer of an image has it, and only root can write it, who reads it. With the
//! variables of sessions alone, git would not know of it where something else than Cove starts it: an editor's server,
//! `docker exec`, a cron job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Environment, Grant, GrantKind};
use camino::Utf8Path;
use engine::{Channel, ExecSpec};
use futures::StreamExt;
use protocol::encode_json;
use protocol::grants::{GrantFiles, NAMED_FOLDER};
use protocol::inside::PROGRAM;
use tokio::io::AsyncWriteExt;

use super::link::LinkError;
use super::programs::{self, Means};
use super::signing::Signer;
use super::{GrantPlace, Inner};

/// How long the container may take to write them.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest name or address that is handed on, in bytes.
const LONGEST_VALUE: usize = 500;

/// What is to be in the container of an environment.
pub(super) async fn wanted(inner: &Inner, environment: &Environment, grants: &[Grant]) -> GrantFiles {
    let mut text = String::new();
    section(
        &mut text,
        "user",
        &identity(&inner.means(&BTreeMap::new()), environment.spec.source.folder()).await,
    );
    for grant in grants {
        if let (GrantKind::Git, Some(host)) = (grant.kind, &grant.host) {
            let helper = ("helper", format!("{PROGRAM} git-credential"));
            section(&mut text, &format!("credential \"https://{host}\""), &[helper]);
        }
        if grant.kind == GrantKind::Signing {
            signing(&mut text, &inner.means(&grant.variables)).await;
        }
    }
    let has = |kind| grants.iter().any(|grant| grant.kind == kind);
    GrantFiles {
        git_config: text,
        gh: has(GrantKind::Gh),
        docker: has(GrantKind::Registry),
        cove: inner.is_identified(&environment.id),
    }
}

/// Whether there is nothing to be put there.
pub(super) fn are_idle(files: &GrantFiles) -> bool {
    *files == GrantFiles::default()
}

/// Who the person is for git in the environment's folder. Reading a configuration runs nothing, and of what is read
/// nothing but a name and an address leaves.
async fn identity(means: &Means, folder: &Utf8Path) -> Vec<(&'static str, String)> {
    let mut identity = Vec::new();
    for name in ["name", "email"] {
        let argv = ["git", "-C", folder.as_str(), "config", "--get", &format!("user.{name}")];
        let said = programs::lines(&argv, means, b"").await.unwrap_or_default();
        identity.extend(said.into_iter().next().map(|value| (name, value)));
    }
    identity
}

async fn signing(text: &mut String, means: &Means) {
    let signer = Signer::of(means).await;
    let key = signer.public_key(means).await;
    section(text, "user", &Vec::from_iter(key.map(|key| ("signingKey", key))));
    section(text, "gpg", &Vec::from_iter(signer.format.map(|format| ("format", format))));
    section(text, "gpg \"ssh\"", &[("program", format!("{NAMED_FOLDER}/cove-sign-ssh"))]);
    section(text, "gpg \"openpgp\"", &[("program", format!("{NAMED_FOLDER}/cove-sign-openpgp"))]);
    for (section_name, is_on) in [("commit", signer.commits), ("tag", signer.tags)] {
        if is_on {
            section(text, section_name, &[("gpgSign", "true".to_owned())]);
        }
    }
}

fn section(text: &mut String, name: &str, values: &[(&str, String)]) {
    let fits = |value: &str| value.len() <= LONGEST_VALUE * 4 && !value.contains(|it: char| it.is_control());
    let fitting: Vec<_> = values.iter().filter(|(_, value)| !value.is_empty() && fits(value)).collect();
    if fitting.is_empty() {
        return;
    }
    text.extend(["[", name, "]\n"]);
    for (key, value) in fitting {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        text.extend(["\t", key, " = \"", &value, "\"\n"]);
    }
}

/// Puts it there.
///
/// # Errors
/// The container did not take it.
pub(super) async fn tell(
    inner: &Arc<Inner>,
    place: &GrantPlace,
    files: &GrantFiles,
) -> Result<(), LinkError> {
    let engine = inner.machine.engine();
    let spec = ExecSpec {
        argv: vec![PROGRAM.to_owned(), "grants-files".to_owned()],
        user: Some("0:0".to_owned()),
        input: true,
        ..ExecSpec::default()
    };
    let mut session = engine.exec(&place.container, &spec).await?;
    let mut said = Vec::new();
    let told = async {
        let written = async {
            session.input.write_all(&encode_json(files)).await?;
            session.input.flush().await
        };
        // One that cannot begin says why.
        let _ = written.await;
        while let Some(Ok((channel, bytes))) = session.output.next().await {
            if channel == Channel::Err || said.len() < 400 {
                said.extend(bytes.iter().take(400));
            }
        }
        session.control.exit_code().await.ok()
    };
    match tokio::time::timeout(PATIENCE, told).await {
        Ok(Some(0)) => Ok(()),
        _ => Err(LinkError::Files { said: String::from_utf8_lossy(&said).trim().to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_values() {
        let mut text = String::new();
        let name = "Ada \"the\" \\ Countess".to_owned();
        section(&mut text, "user", &[("name", name), ("email", "a\n[core]\nfsmonitor = evil".to_owned())]);
        section(&mut text, "gpg", &[]);
        assert_eq!(text, "[user]\n\tname = \"Ada \\\"the\\\" \\\\ Countess\"\n");
    }
}
