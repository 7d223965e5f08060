//! What the daemon saw of one environment just now.

use api::{Consent, HookStage, Problem, Session};

use crate::Failure;

/// One look at the world, as far as it concerns one environment.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The machine the environment belongs to.
    pub machine: MachineFacts,
    /// Whether the present wish was fulfilled, or given up, in the life of an earlier daemon, and the machine was not
    /// seen on since. Nobody waits for such an environment, so it starts no machine: it rests until it is asked for
    /// again or the machine comes up for something else.
    pub answered: bool,
    /// Whether it was seen down since it was told to stop: what runs now was started by somebody else, and is left
    /// alone.
    pub left_alone: bool,
    /// Where its sources are.
    pub sources: SourceFacts,
    /// Its configuration, as the files are now; `None` while it was not read for this spec.
    pub config: Option<ConfigFacts>,
    /// Its container, by the labels Cove gave it.
    pub container: ContainerFacts,
    /// Why it does not run, or is gone, though it ran for the present wish, and the engine ran on since: it ended by
    /// itself, or by other means than Cove's. Starting it once more by itself would start a container that always ends
    /// for ever, and undo what a person did.
    pub ended: Option<Box<Problem>>,
    /// What is there of its compose project without the main container.
    pub left: LeftServices,
    /// The configuration digest and rebuild session that the image was last prepared for.
    pub image_prepared_for: Option<(String, Session)>,
    /// Hooks that ended well.
    pub hooks: Vec<HookRecord>,
    /// Whether dotfiles could not be installed for the present wish. They keep nothing else from running, and are tried
    /// again with the next wish.
    pub dotfiles_failed: bool,
    /// Whether the ports open on the host are the wanted ones.
    pub ports_in_place: bool,
    /// Why something has to be said to who looks after tasks and services in the container; `None` where nothing has.
    pub automations: Option<String>,
    /// Why files of secrets are to be put into the container or taken away; `None` where they are as they shall be.
    pub secrets: Option<String>,
    /// How the tasks of a prebuild stand.
    pub prebuild_tasks: TaskFacts,
    /// A prebuild that a container which is to be made begins from, by name.
    pub prebuild: Option<String>,
    /// Whether any port is open on the host.
    pub any_port_open: bool,
    /// The last step that failed and was not overcome since.
    pub failure: Option<Failure>,
}

/// Where the sources of an environment are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SourceFacts {
    /// In a folder of this computer.
    #[default]
    Folder,
    /// Nowhere: the repository is still to be cloned.
    Nowhere,
    /// Cloned, and on this computer still.
    Fetched,
    /// The same, and it was begun to put them into a volume of the machine: half a volume may be there.
    Filling,
    /// In a volume of the machine, whole.
    InVolume,
}

/// How tasks stand that have to end before something else begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum TaskFacts {
    /// All ended well, or there are none.
    #[default]
    Done,
    /// Some are still to end.
    Pending,
    /// One failed.
    Failed(Box<Problem>),
}

/// How the machine stands, as far as planning goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineFacts {
    /// Off.
    Off,
    /// On its way up or down: nothing in it can be seen.
    Unready,
    /// On, and its engine answers.
    Ready,
}

/// What planning needs to know of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFacts {
    /// Changes with everything that needs a new container.
    pub digest: String,
    /// Stages that have a command in it, without `initializeCommand`.
    pub hooks: Vec<HookStage>,
    /// Its `initializeCommand`, if it has one.
    pub initialize: Option<InitializeFacts>,
    /// Mounts from outside of the workspace folder that a person may still agree to.
    pub open_mounts: Vec<Consent>,
    /// The stage after which the environment can be worked in.
    pub wait_for: HookStage,
    /// Things to tell a person that keep nothing from working.
    pub warnings: Vec<Problem>,
}

/// What planning needs to know of an `initializeCommand`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializeFacts {
    /// Whether a person agreed to run it as it is now.
    pub trust: Trust,
    /// What a person agrees to.
    pub consent: Consent,
}

/// How a thing stands that needs consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A person agreed to it as it is now, or to all such things.
    Given,
    /// A person may still agree.
    Open,
    /// A person said that such a thing never happens.
    Refused,
}

/// The container of an environment.
#[derive(Debug, Clone, PartialEq)]
pub enum ContainerFacts {
    /// The machine is down, and there may be one on its disk.
    Unseen,
    /// There is none.
    Absent,
    /// There is none of ours, but one that another tool made for the same folder and configuration.
    Foreign,
    /// There is one.
    Present {
        /// Docker's id.
        id: String,
        /// Identifies the present run of it: a new one each time it starts. `None` while it does not run.
        run: Option<String>,
        /// Configuration digest it was made from.
        digest: String,
        /// Rebuild session it was made for.
        rebuild: Session,
        /// Whether all its containers run, where there are several, as far as the present wish needs them.
        complete: bool,
        /// Whether any of its containers runs.
        active: bool,
    },
}

impl ConfigFacts {
    /// What a person may still agree to, as far as it counts for the steps ahead: a mount counts for a container that
    /// is to be made.
    pub fn open_consents(&self, makes_container: bool) -> Vec<Consent> {
        let command = self.initialize.iter().filter(|it| it.trust == Trust::Open).map(|it| &it.consent);
        let mounts = self.open_mounts.iter().filter(|_| makes_container);
        command.chain(mounts).cloned().collect()
    }
}

impl Observed {
    /// Whether the environment rests with its machine off, see [`answered`](Self::answered).
    pub fn rests(&self) -> bool {
        self.answered && self.machine == MachineFacts::Off
    }
}

/// Containers of a compose project whose main container is gone: somebody removed it, or it could not be made anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LeftServices {
    /// None.
    #[default]
    None,
    /// Some, and none of them runs.
    Stopped,
    /// Some, and at least one runs.
    Running,
}

/// A hook stage that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRecord {
    /// Which stage.
    pub stage: HookStage,
    /// What it ran for: the container's id for stages that run once, the run of it for `postStart` and
    /// `postAttach`, the retry session for `initializeCommand`.
    pub subject: String,
}
