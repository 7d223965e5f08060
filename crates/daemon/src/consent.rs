//! What a configuration wants of this computer, and what of it is left out because nobody agreed.
//!
//! Two things need consent, each as it is now: `initializeCommand`, and mounts from outside of the workspace folder.
//! The machine's own files count as outside, and so does its Docker socket. A mount is judged by where it really
//! leads: `..` and links are followed.
//!
//! Mounts are judged twice. First by the words of the files, so that a person is asked before anything is built, and
//! what is refused can be left out. Then as the engine made them, before each start ([`judge_made`]): words can mean
//! more than is read out of them here, and where a path leads can change after it was read.

mod compose;
mod host_command;
mod host_mount;
mod mounts;

use std::collections::BTreeMap;

use api::{Consent, ConsentKind};
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Config, Mount};
use engine::{MountedAt, RunOption, VolumeFacts, run_options};
use reconciler::Trust;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::properties::hex;

use host_mount::{Ground, HostMount, real};

pub(crate) use compose::{Kept, kept_file};
pub(crate) use host_command::of_initialize;
pub(crate) use host_mount::shortened;

/// What a person decided once for all, per kind: the `[consent]` table of `config.toml`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsentPolicy {
    /// For `initializeCommand`.
    pub initialize_command: CommandPolicy,
    /// For mounts from outside of the workspace folder.
    pub host_mounts: Policy,
}

/// What happens to things of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// A person is asked, once for each content.
    #[default]
    Ask,
    /// It is done.
    Always,
    /// It is never done, and nobody is asked.
    Never,
}

/// What happens to commands of this computer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandPolicy {
    /// A person is asked, once for each content.
    #[default]
    Ask,
    /// They are run.
    Always,
    /// They are never run, and nobody is asked.
    Never,
    /// They are run in a sandbox, and nobody is asked; a person may agree to run one without.
    Sandbox,
}

/// Decides for one environment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) policy: ConsentPolicy,
    /// Digests of what a person agreed to.
    pub(crate) agreed: &'a [String],
}

impl Judge<'_> {
    pub(crate) fn trust(&self, consent: &Consent) -> Trust {
        let policy = match consent.kind {
            ConsentKind::HostCommand => match self.policy.initialize_command {
                CommandPolicy::Ask => Policy::Ask,
                CommandPolicy::Always | CommandPolicy::Sandbox => Policy::Always,
                CommandPolicy::Never => Policy::Never,
            },
            ConsentKind::HostMount => self.policy.host_mounts,
        };
        match policy {
            Policy::Always => Trust::Given,
            Policy::Never => Trust::Refused,
            Policy::Ask if self.agreed.contains(&consent.digest) => Trust::Given,
            Policy::Ask => Trust::Open,
        }
    }

    /// Whether what may run does so in a sandbox.
    pub(crate) fn is_sandboxed(&self, consent: &Consent) -> bool {
        consent.kind == ConsentKind::HostCommand
            && self.policy.initialize_command == CommandPolicy::Sandbox
            && !self.agreed.contains(&consent.digest)
    }
}

/// Mounts that are left out, and how each stands: open or refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Withheld(pub(crate) Vec<(Consent, Trust)>);

impl Withheld {
    /// Those that a person may still agree to.
    pub(crate) fn open(&self) -> Vec<Consent> {
        let open = self.0.iter().filter(|(_, trust)| *trust == Trust::Open);
        open.map(|(consent, _)| consent.clone()).collect()
    }

    /// Those that a person said never to.
    pub(crate) fn refused(&self) -> Vec<Consent> {
        let refused = self.0.iter().filter(|(_, trust)| *trust == Trust::Refused);
        refused.map(|(consent, _)| consent.clone()).collect()
    }

    /// All of them.
    pub(crate) fn consents(&self) -> Vec<Consent> {
        self.0.iter().map(|(consent, _)| consent.clone()).collect()
    }

    pub(crate) fn extend(&mut self, more: Self) {
        for (consent, trust) in more.0 {
            if self.0.iter().all(|(known, _)| known.digest != consent.digest) {
                self.0.push((consent, trust));
            }
        }
    }

    /// Whether a mount stays; one that does not is noted.
    pub(crate) fn passes(&mut self, mount: Option<Consent>, judge: &Judge<'_>) -> bool {
        let Some(consent) = mount else { return true };
        match judge.trust(&consent) {
            Trust::Given => true,
            trust @ (Trust::Open | Trust::Refused) => {
                self.extend(Self(vec![(consent, trust)]));
                false
            }
        }
    }
}

/// The folders whose files a container sees without being asked for: the workspace, and the repository above it
/// that is mounted where the configuration says nothing else.
pub(crate) fn roots_of(config: &Config) -> Vec<Utf8PathBuf> {
    let mut roots = vec![real(&config.workspace)];
    if !config.written.contains_key("workspaceMount")
        && let Some(source) = config.workspace_mount.as_ref().and_then(|mount| mount.source.as_ref())
    {
        roots.push(real(Utf8Path::new(source)));
    }
    // Who asks for a worktree asks for its repository's git folder.
    let common = config.additional_mount.as_ref().and_then(|mount| mount.source.as_ref());
    roots.extend(common.map(|source| real(Utf8Path::new(source))));
    roots
}

/// What of the host the mounts of a configuration lead to, of those that are left.
pub(crate) fn bind_sources(config: &Config) -> Vec<String> {
    mounts::bind_sources(config)
}

/// Takes the mounts out of a configuration that nobody agreed to.
pub(crate) fn withhold(config: &mut Config, judge: &Judge<'_>) -> Withheld {
    let roots = roots_of(config);
    let ground = ground(&roots);
    let mut withheld = Withheld::default();
    config.properties.mounts.retain(|mount| withheld.passes(mounts::of_mount(mount, &ground), judge));
    config.workspace_mount = config
        .workspace_mount
        .take()
        .filter(|mount| withheld.passes(mounts::of_mount(mount, &ground), judge));
    let options = run_options(&std::mem::take(&mut config.run_args));
    let kept = options.into_iter().filter(|it| withheld.passes(mounts::of_option(it, &ground), judge));
    config.run_args = kept.flat_map(|option| option.words).collect();
    withheld
}

/// The real path of the file that an option of `runArgs` has read.
///
/// # Errors
/// What nobody agreed to.
pub(crate) fn file_of(
    option: &RunOption,
    config: &Config,
    judge: &Judge<'_>,
) -> Result<Utf8PathBuf, Withheld> {
    let roots = roots_of(config);
    let mut withheld = Withheld::default();
    let Some((real, consent)) = mounts::file_of(option, &ground(&roots)) else { return Err(withheld) };
    if withheld.passes(consent, judge) { Ok(real) } else { Err(withheld) }
}

/// Takes the mounts out of what an image or feature says that nobody agreed to.
pub(crate) fn withhold_mounts(all: &mut Vec<Mount>, roots: &[Utf8PathBuf], judge: &Judge<'_>) -> Withheld {
    let mut withheld = Withheld::default();
    all.retain(|mount| withheld.passes(mounts::of_mount(mount, &ground(roots)), judge));
    withheld
}

/// Finds the mounts of a project's services that nobody agreed to, and what stays.
pub(crate) fn withhold_of_services(
    model: &engine::ComposeModel,
    roots: &[Utf8PathBuf],
    judge: &Judge<'_>,
) -> (Withheld, Kept) {
    compose::withhold_of_services(model, &ground(roots), judge)
}

/// The mounts of a container, as the engine made it, that nobody agreed to. `volumes` are those it mounts, by name.
pub(crate) fn judge_made(
    mounts: &[MountedAt],
    volumes: &BTreeMap<String, VolumeFacts>,
    service: Option<&str>,
    roots: &[Utf8PathBuf],
    judge: &Judge<'_>,
) -> Withheld {
    let mut withheld = Withheld::default();
    for mount in mounts.iter().filter_map(|mount| HostMount::made(mount, volumes, service)) {
        withheld.passes(mount.consent(&ground(roots)), judge);
    }
    withheld
}

fn ground(roots: &[Utf8PathBuf]) -> Ground<'_> {
    Ground { roots, real: &real }
}

fn digest_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests;
