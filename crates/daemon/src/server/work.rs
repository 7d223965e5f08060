//! What the server needs of the parts that touch machines and containers.

use std::sync::Arc;

use api::{
    Activity, ContainerLogLine, Customizations, Diagnosis, Environment, EnvironmentId, ExecRequest, Https,
    MachineLogLine, MetricsMessage, PlanRequest, Prebuild, Preview, Problem, Reclaimed, SecretStatus,
    SecretWish, Secrets, Session,
};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use protocol::agent::{ExecControl, ExecEnd};
use tokio::sync::mpsc;

/// What can be done with environments besides writing their specs.
pub trait EnvironmentWork: Send + Sync {
    /// A person changed the spec, or asked again.
    fn asked(&self, id: &EnvironmentId);

    /// Something else is wanted of its tasks and services.
    fn automations_wanted(&self, id: &EnvironmentId);

    /// It may use other credentials from now on. Returns when that is so, or a while later.
    fn grants_changed<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, ()>;

    /// What to tell of an environment whose file of tasks and services differs from what it was.
    fn automations_changed(&self, environment: &Environment) -> Option<Problem>;

    /// Whether the environment is in use; `None` while it does not run.
    fn activity(&self, environment: &Environment) -> Option<Activity>;

    /// Counts as a use of the environment for as long as what is given lives.
    fn keep_alive(&self, environment: &Environment, command: &str) -> Box<dyn Send>;

    /// The secrets that are kept; of one environment, those that could count for it.
    ///
    /// # Errors
    /// They cannot be read.
    fn secrets(&self, of: Option<&Environment>) -> Result<Vec<SecretStatus>, Problem>;

    /// Carries out what a person wants a secret to be. What is there afterwards.
    ///
    /// # Errors
    /// It cannot be, or could not be written.
    fn change_secret(&self, wish: &SecretWish) -> Result<Option<SecretStatus>, Problem>;

    /// Keeps the secrets that a person gave with `up`.
    ///
    /// # Errors
    /// They could not be written.
    fn keep_secrets(&self, id: &EnvironmentId, secrets: &Secrets) -> Result<(), Problem>;

    /// Holds the variables of who asks with this session until `initializeCommand` ran. Before the session is written
    /// down.
    fn hold_caller_variables(&self, session: &Session, variables: Secrets);

    /// The session was written down for this environment, and what its earlier ones brought goes; or the request was
    /// refused.
    fn settle_caller_variables(&self, session: &Session, id: Option<&EnvironmentId>);

    /// How https for names of ports stands.
    fn https(&self) -> Https;

    /// Serves names of ports by https too, or no more.
    ///
    /// # Errors
    /// The authority could not be made or removed.
    fn set_https(&self, on: bool) -> BoxFuture<'_, Result<Https, Problem>>;

    /// Succeeds if nothing that is an environment's alone would go with it.
    ///
    /// # Errors
    /// It would lose work, or it cannot be told whether it would.
    fn unsaved<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Problem>>;

    /// The prebuilds there are.
    fn prebuilds(&self) -> BoxFuture<'_, Result<Vec<Prebuild>, Problem>>;

    /// Removes a prebuild.
    fn remove_prebuild<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Problem>>;

    /// What asking for a folder, which may have an environment, would do.
    fn plan<'a>(
        &'a self,
        request: &'a PlanRequest,
        environment: Option<&'a Environment>,
    ) -> BoxFuture<'a, Result<Preview, Problem>>;

    /// What the main container's image and features and the configuration ask of tools.
    ///
    /// # Errors
    /// There is no container that can be seen.
    fn customizations<'a>(
        &'a self,
        environment: &'a Environment,
    ) -> BoxFuture<'a, Result<Customizations, Problem>>;

    /// What the main container wrote, and will write if it is followed.
    fn logs<'a>(
        &'a self,
        environment: &'a Environment,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>>;

    /// What a task or service wrote, and will write if it is followed. `item` is `services/NAME` or `tasks/NAME`. No use of
    /// the environment: who only looks on keeps nothing running.
    fn automation_logs<'a>(
        &'a self,
        environment: &'a Environment,
        item: &'a str,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>>;

    /// Runs a process in the main container.
    fn exec<'a>(
        &'a self,
        environment: &'a Environment,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<Process, Problem>>;

    /// Runs an ssh server for one client in the main container. `asked` is the name that the client used.
    fn ssh<'a>(
        &'a self,
        environment: &'a Environment,
        asked: &'a str,
    ) -> BoxFuture<'a, Result<Process, Problem>>;
}

/// What can be done with the machine besides writing its spec.
pub trait MachineWork: Send + Sync {
    /// Acts on a wish. Returns at once; how it goes is seen in the status and the events.
    fn carry_out(&self, wish: MachineWish);

    /// Brings the figures of the status up to date.
    fn refresh(&self) -> BoxFuture<'_, ()>;

    /// Whether the machine is in use; `None` while it does not run.
    fn activity(&self) -> Option<Activity>;

    /// What the guest wrote, and will write if it is followed.
    fn logs(&self, range: LogRange) -> BoxFuture<'_, Result<BoxStream<'static, MachineLogLine>, Problem>>;

    /// How busy it is: lately, and from now on for as long as what is given lives.
    fn metrics(&self) -> BoxStream<'static, MetricsMessage>;

    /// Gives back to this computer what can be given back.
    ///
    /// # Errors
    /// It does not run, or its guest cannot do this.
    fn reclaim(&self) -> BoxFuture<'_, Result<Reclaimed, Problem>>;

    /// What a container of the machine's engine wrote, and will write if it is followed.
    fn container_logs<'a>(
        &'a self,
        container: &'a str,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>>;

    /// Runs a process in a container of the machine's engine.
    fn container_exec<'a>(
        &'a self,
        container: &'a str,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<Process, Problem>>;

    /// Runs a process in the guest, outside of any container.
    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Process, Problem>>;
}

/// Looks at everything the daemon needs.
pub type Diagnose = Arc<dyn Fn() -> BoxFuture<'static, Diagnosis> + Send + Sync>;

/// What a person wishes of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineWish {
    /// On, and kept so.
    Start,
    /// Off.
    Stop,
    /// Off and on again.
    Restart,
}

/// Which lines of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRange {
    /// Whether new lines follow as they are written.
    pub follow: bool,
    /// At most so many of the last lines there are; all if absent.
    pub tail: Option<u32>,
    /// Bytes after which a line is cut; absent: a very long one comes in pieces.
    pub longest: Option<u32>,
}

/// A running process. Dropping `input` or `output` before its end ends it.
pub struct Process {
    /// To it. Full while it does not read.
    pub input: mpsc::Sender<ToProcess>,
    /// From it; after the end nothing follows, and a stream without one was cut.
    pub output: BoxStream<'static, FromProcess>,
}

/// What goes to a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToProcess {
    /// Standard input.
    Input(Vec<u8>),
    /// The end of standard input.
    EndOfInput,
    /// A terminal's size, or a signal.
    Control(ExecControl),
}

/// What comes from a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromProcess {
    /// Standard output, or the terminal's.
    Output(Vec<u8>),
    /// Standard error.
    ErrorOutput(Vec<u8>),
    /// Its end.
    Ended(ExecEnd),
}
