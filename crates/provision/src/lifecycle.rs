//! The lifecycle commands in a container: which, in what order, as of when, and that each ended well.
//!
//! A hook is recorded **after** all its commands ended well, so that the next try goes on with the one that failed or
//! was cut off. Where it is recorded is the caller's choice; see [`Record`] and [`Markers`].

mod markers;

use std::collections::BTreeMap;

use devcontainer::{Command, Resolved, WaitFor};
use engine::{CommandError, Progress};
use futures::future::BoxFuture;
use serde::Serialize;

pub use markers::Markers;

use crate::dotfiles::{self, Dotfiles};
use crate::secrets::{Masks, Secrets};
use crate::workplace::Workplace;

/// A stage in the container, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Once, after the container was first started.
    OnCreate,
    /// Once after that, and again for a prebuild.
    UpdateContent,
    /// Once after that.
    PostCreate,
    /// At every start.
    PostStart,
    /// Whenever a tool attaches.
    PostAttach,
}

impl Hook {
    /// All of them, in their order.
    pub const ALL: [Self; 5] =
        [Self::OnCreate, Self::UpdateContent, Self::PostCreate, Self::PostStart, Self::PostAttach];

    /// Its property in devcontainer.json.
    pub fn property(self) -> &'static str {
        match self {
            Self::OnCreate => "onCreateCommand",
            Self::UpdateContent => "updateContentCommand",
            Self::PostCreate => "postCreateCommand",
            Self::PostStart => "postStartCommand",
            Self::PostAttach => "postAttachCommand",
        }
    }

    /// Its commands: those of the image and the features first, the configuration's own last.
    pub fn commands(self, resolved: &Resolved) -> &[Command] {
        let lifecycle = &resolved.lifecycle;
        match self {
            Self::OnCreate => &lifecycle.on_create,
            Self::UpdateContent => &lifecycle.update_content,
            Self::PostCreate => &lifecycle.post_create,
            Self::PostStart => &lifecycle.post_start,
            Self::PostAttach => &lifecycle.post_attach,
        }
    }

    fn waited_for(self) -> WaitFor {
        match self {
            Self::OnCreate => WaitFor::OnCreateCommand,
            Self::UpdateContent => WaitFor::UpdateContentCommand,
            Self::PostCreate => WaitFor::PostCreateCommand,
            Self::PostStart => WaitFor::PostStartCommand,
            Self::PostAttach => WaitFor::PostAttachCommand,
        }
    }
}

/// Where it is written down which hooks ended well.
pub trait Record: Send + Sync {
    /// Whether a hook has ended well and need not run again. Not asked for [`Hook::PostAttach`].
    fn is_done(&self, hook: Hook) -> BoxFuture<'_, Result<bool, RecordError>>;

    /// A hook has ended well. Not called for [`Hook::PostAttach`].
    fn done(&self, hook: Hook) -> BoxFuture<'_, Result<(), RecordError>>;
}

/// The record could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} that `{}` ran", hook.property())]
pub struct RecordError {
    /// `look up` or `write down`.
    pub what: &'static str,
    /// The hook.
    pub hook: Hook,
    /// Why not.
    #[source]
    pub source: engine::Cause,
}

/// A hook did not end well.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// One of its commands failed or could not be run.
    #[error("{} from {origin} failed", name.as_ref().map_or_else(|| hook.property().to_owned(), |name| format!("{name} of {}", hook.property())))]
    Command {
        /// The hook.
        hook: Hook,
        /// Who says it: `devcontainer.json`, or `Feature '…'`.
        origin: String,
        /// The command's own name, where it is one of several in parallel.
        name: Option<String>,
        /// The command as it was run.
        argv: Vec<String>,
        /// How it failed.
        #[source]
        source: CommandError,
    },
    /// What it did could not be looked up or written down.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// How far the lifecycle shall go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// Stop after the stage that `waitFor` names.
    pub skip_non_blocking: bool,
    /// Stop after [`Hook::UpdateContent`], which runs even if it ran before.
    pub prebuild: bool,
    /// Stop after the dotfiles.
    pub stop_for_personalization: bool,
    /// Do not attach.
    pub skip_post_attach: bool,
}

/// How far the lifecycle went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reached {
    /// The stage that `waitFor` names.
    SkipNonBlocking,
    /// The end of a prebuild.
    Prebuild,
    /// The dotfiles.
    StopForPersonalization,
    /// The end.
    Done,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A hook. `again` runs it though it ended well before.
    Hook {
        /// Which.
        hook: Hook,
        /// Whether to run it again.
        again: bool,
    },
    /// The person's own files.
    Dotfiles,
}

/// Computes what is to be done in which order, whatever is done already, and where that ends. Pure.
pub fn stages(wait_for: WaitFor, extent: &Extent) -> (Vec<Stage>, Reached) {
    let mut stages = Vec::new();
    let blocked = |hook: Hook| extent.skip_non_blocking && hook.waited_for() == wait_for;
    if extent.skip_non_blocking && wait_for == WaitFor::InitializeCommand {
        return (stages, Reached::SkipNonBlocking);
    }
    for hook in Hook::ALL {
        if hook == Hook::PostAttach && extent.skip_post_attach {
            break;
        }
        let again = hook == Hook::PostAttach || (hook == Hook::UpdateContent && extent.prebuild);
        stages.push(Stage::Hook { hook, again });
        if blocked(hook) && hook != Hook::PostAttach {
            return (stages, Reached::SkipNonBlocking);
        }
        match hook {
            Hook::UpdateContent if extent.prebuild => return (stages, Reached::Prebuild),
            Hook::PostCreate => {
                stages.push(Stage::Dotfiles);
                if extent.stop_for_personalization {
                    return (stages, Reached::StopForPersonalization);
                }
            }
            _ => {}
        }
    }
    (stages, Reached::Done)
}

/// What the lifecycle works with.
pub struct Lifecycle<'a> {
    /// Where and as whom.
    pub place: &'a Workplace,
    /// What holds for the container.
    pub resolved: &'a Resolved,
    /// Who says each of a hook's commands, in their order: a feature's id, `None` for the configuration. May be
    /// shorter than the list of commands.
    pub origins: &'a BTreeMap<&'static str, Vec<Option<String>>>,
    /// What ended well.
    pub record: &'a dyn Record,
    /// Given to every command, and to nobody else.
    pub secrets: &'a Secrets,
    /// The person's own files.
    pub dotfiles: Option<&'a Dotfiles>,
    /// Who hears of it. It hears no secrets.
    pub progress: &'a dyn Progress,
}

impl Lifecycle<'_> {
    /// Does all that is not done yet. The first failure ends it.
    pub async fn run(&self, extent: &Extent) -> Result<Reached, HookError> {
        let (stages, reached) = stages(self.resolved.wait_for, extent);
        for stage in stages {
            match stage {
                Stage::Hook { hook, again } => self.hook(hook, again).await?,
                Stage::Dotfiles => self.install_dotfiles().await,
            }
        }
        Ok(reached)
    }

    /// Runs one hook unless it ended well before, and records it.
    pub async fn hook(&self, hook: Hook, again: bool) -> Result<(), HookError> {
        let recorded = hook != Hook::PostAttach;
        if recorded && !again && self.record.is_done(hook).await? {
            return Ok(());
        }
        self.commands(hook).await?;
        if recorded {
            self.record.done(hook).await?;
        }
        Ok(())
    }

    /// Runs the commands of a hook one after the other, whether they ran before or not, and records nothing.
    pub async fn commands(&self, hook: Hook) -> Result<(), HookError> {
        let masks = self.secrets.masks();
        let progress = masks.before(self.progress);
        let mut context = self.place.context();
        context.env.extend(self.secrets.variables().clone());
        let origins = self.origins.get(hook.property());
        for (at, command) in hook.commands(self.resolved).iter().enumerate() {
            let origin = origins.and_then(|origins| origins.get(at)).and_then(Option::as_deref);
            let origin =
                origin.map_or_else(|| "devcontainer.json".to_owned(), |id| format!("Feature '{id}'"));
            let item = format!("{} from {origin}", hook.property());
            let adapted = self.place.adapt(command);
            let ran = self.place.engine().run_command(&adapted, &context, &item, &progress).await;
            ran.map_err(|source| {
                let name = name_within(&source, &item);
                let argv = argv_of(command, name.as_deref());
                let argv = argv.iter().map(|word| masks.apply(word).into_owned()).collect();
                let source = without_secrets(source, &masks);
                HookError::Command { hook, origin: origin.clone(), name, argv, source }
            })?;
        }
        Ok(())
    }

    /// Failing dotfiles fail nothing else, as in the reference: the container is of use without them.
    async fn install_dotfiles(&self) {
        if let Some(wanted) = self.dotfiles
            && let Err(error) = dotfiles::install(self.place, wanted, self.secrets, self.progress).await
        {
            tracing::warn!(%error, "no dotfiles");
        }
    }
}

/// Whether a [`Lifecycle`] would run anything of a person's: a command that is not done yet, or dotfiles.
pub async fn has_work(
    resolved: &Resolved,
    extent: &Extent,
    record: &dyn Record,
    has_dotfiles: bool,
) -> Result<bool, RecordError> {
    for stage in stages(resolved.wait_for, extent).0 {
        let is_work = match stage {
            Stage::Dotfiles => has_dotfiles,
            Stage::Hook { hook, .. } if hook.commands(resolved).is_empty() => false,
            Stage::Hook { hook, again } => again || !record.is_done(hook).await?,
        };
        if is_work {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The own name of a command that failed, which follows its hook's name in brackets.
fn name_within(error: &CommandError, hook_item: &str) -> Option<String> {
    let (CommandError::Failed { item, .. } | CommandError::Exec { item, .. }) = error;
    let name = item.strip_prefix(hook_item)?.trim_start().strip_prefix('(')?;
    Some(name.strip_suffix(')').unwrap_or(name).to_owned())
}

/// A command, or the one of that name in it, as it is run.
fn argv_of(command: &Command, name: Option<&str>) -> Vec<String> {
    match command {
        Command::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        Command::Exec(argv) => argv.clone(),
        Command::Parallel(all) => {
            let named = all.iter().find(|(own, _)| Some(own.as_str()) == name);
            named.map(|(_, command)| argv_of(command, None)).unwrap_or_default()
        }
    }
}

/// What a failed command said may hold a secret.
fn without_secrets(error: CommandError, masks: &Masks) -> CommandError {
    match error {
        CommandError::Failed { item, command, exit_code, log_tail } => CommandError::Failed {
            item,
            command: masks.apply(&command).into_owned(),
            exit_code,
            log_tail: log_tail.iter().map(|line| masks.apply(line).into_owned()).collect(),
        },
        error @ CommandError::Exec { .. } => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(wait_for: WaitFor, extent: &Extent) -> (String, Reached) {
        let (stages, reached) = stages(wait_for, extent);
        let words = stages.iter().map(|stage| match stage {
            Stage::Hook { hook, again } => format!("{}{}", hook.property(), if *again { "!" } else { "" }),
            Stage::Dotfiles => "dotfiles".to_owned(),
        });
        (words.collect::<Vec<_>>().join(" "), reached)
    }

    #[test]
    fn the_extent_decides_where_it_ends() {
        let all = "onCreateCommand updateContentCommand postCreateCommand dotfiles postStartCommand postAttachCommand!";
        let update = WaitFor::UpdateContentCommand;
        let whole = Extent::default();
        assert_eq!(order(update, &whole), (all.to_owned(), Reached::Done));
        let blocking = Extent { skip_non_blocking: true, ..Extent::default() };
        for (wait_for, last, reached) in [
            (WaitFor::InitializeCommand, "", Reached::SkipNonBlocking),
            (WaitFor::OnCreateCommand, "onCreateCommand", Reached::SkipNonBlocking),
            (update, "onCreateCommand updateContentCommand", Reached::SkipNonBlocking),
            (
                WaitFor::PostStartCommand,
                "onCreateCommand updateContentCommand postCreateCommand dotfiles postStartCommand",
                Reached::SkipNonBlocking,
            ),
            (WaitFor::PostAttachCommand, all, Reached::Done),
        ] {
            assert_eq!(order(wait_for, &blocking), (last.to_owned(), reached));
        }
        let prebuild = Extent { prebuild: true, ..Extent::default() };
        assert_eq!(
            order(update, &prebuild),
            ("onCreateCommand updateContentCommand!".to_owned(), Reached::Prebuild)
        );
        let personal = Extent { stop_for_personalization: true, ..Extent::default() };
        assert_eq!(
            order(update, &personal),
            (
                "onCreateCommand updateContentCommand postCreateCommand dotfiles".to_owned(),
                Reached::StopForPersonalization
            )
        );
        let apart = Extent { skip_post_attach: true, ..Extent::default() };
        assert_eq!(order(update, &apart), (all.replace(" postAttachCommand!", ""), Reached::Done));
    }
}
