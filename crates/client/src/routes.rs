//! Every route of the daemon, as a method.

use api::control::Settlement;
use api::{
    AuditCheck, AuditRecord, ContainerLogLine, ControlReport, Customizations, Diagnosis, DiagnosticsPreview,
    Environment, EnvironmentPatch, EventPage, ExecRequest, GrantKind, GrantRequest, HomeLayout, Https,
    HttpsWish, JoinRequest, KeepAlive, Machine, MachineLogLine, MachinePatch, Membership, MetricsMessage,
    ObjectReference, PageAccess, PageRequest, PlanRequest, Prebuild, Preview, Reclaimed, SecretStatus,
    SecretWish, UpRequest, Version,
};
use camino::{Utf8Path, Utf8PathBuf};
use hyper::Method;
use hyper::header::HeaderValue;
use serde::de::DeserializeOwned;

use crate::connection::{self, Call, segment};
use crate::{CallError, ConnectError, ExecSession, Lines, Watch};

/// Speaks to one daemon. Cheap to clone; holds no connection.
///
/// Environments are named by name or id throughout, machines by name.
#[derive(Debug, Clone)]
pub struct Client {
    socket: Utf8PathBuf,
    asker: Option<HeaderValue>,
}

/// Longest name of who asks, in characters.
const MOST_OF_NAME: usize = 160;

/// Which lines of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRange {
    /// Whether new lines follow as they are written.
    pub follow: bool,
    /// At most so many of the last lines there are; all if absent.
    pub tail: Option<u32>,
}

impl Client {
    /// A client for the daemon on this socket. Nothing is connected yet.
    pub fn at_socket(socket: impl Into<Utf8PathBuf>) -> Self {
        Self { socket: socket.into(), asker: None }
    }

    /// A client for the daemon of this state folder. Nothing is connected yet.
    pub fn new(home: &HomeLayout) -> Self {
        Self::at_socket(home.api_socket())
    }

    /// The same client, which says for whom it asks: the daemon writes each of its calls to its log under that name.
    /// What a header cannot hold is taken out of the name, and a long one is cut.
    pub fn asking_for(&self, name: &str) -> Self {
        let fits = |letter: &char| *letter == ' ' || letter.is_ascii_graphic();
        let name: String = name.chars().filter(fits).take(MOST_OF_NAME).collect();
        Self { socket: self.socket.clone(), asker: HeaderValue::from_str(&name).ok() }
    }

    /// The socket it speaks to.
    pub fn socket(&self) -> &Utf8Path {
        &self.socket
    }

    /// Who answers.
    pub async fn version(&self) -> Result<Version, CallError> {
        self.get("/v1/version").await
    }

    /// Makes sure that the daemon answers and is of this client's version.
    pub async fn check_version(&self) -> Result<Version, CallError> {
        let version = self.version().await?;
        let ours = env!("CARGO_PKG_VERSION");
        if version.api != api::API_VERSION || version.version != ours {
            let (daemon, ours) = (version.version, ours.to_owned());
            return Err(ConnectError::VersionSkew { daemon, ours, pid: version.pid }.into());
        }
        Ok(version)
    }

    /// All environments.
    pub async fn environments(&self) -> Result<Vec<Environment>, CallError> {
        self.get("/v1/environments").await
    }

    /// One environment.
    pub async fn environment(&self, environment: &str) -> Result<Environment, CallError> {
        self.get(&environment_path(environment, "")).await
    }

    /// What an environment's image, features and configuration ask of editors and other tools, as it holds now.
    pub async fn customizations(&self, environment: &str) -> Result<Customizations, CallError> {
        self.get(&environment_path(environment, "/customizations")).await
    }

    /// The environment of a folder shall run; answers at once, the work is followed by a watch.
    pub async fn up(&self, request: &UpRequest) -> Result<Environment, CallError> {
        self.call(Call::new(Method::POST, "/v1/environments").body(request)).await
    }

    /// Changes what is wanted of an environment.
    pub async fn change_environment(
        &self,
        environment: &str,
        patch: &EnvironmentPatch,
    ) -> Result<Environment, CallError> {
        self.call(Call::new(Method::PATCH, environment_path(environment, "")).body(patch)).await
    }

    /// The environment shall go away. Refused while it alone holds work, unless by `force`; else it answers at once.
    pub async fn remove_environment(&self, environment: &str, force: bool) -> Result<Environment, CallError> {
        let query = if force { "?force=true" } else { "" };
        self.call(Call::new(Method::DELETE, environment_path(environment, query))).await
    }

    /// The prebuilds that the machine's engine has, the newest first.
    pub async fn prebuilds(&self) -> Result<Vec<Prebuild>, CallError> {
        self.get("/v1/prebuilds").await
    }

    /// Removes a prebuild, by one of its names; those that are left.
    pub async fn remove_prebuild(&self, image: &str) -> Result<Vec<Prebuild>, CallError> {
        let path = format!("/v1/prebuilds?image={}", segment(image));
        self.call(Call::new(Method::DELETE, path)).await
    }

    /// What asking for a folder now would do.
    pub async fn preview(&self, request: &PlanRequest) -> Result<Preview, CallError> {
        self.call(Call::new(Method::POST, "/v1/plan").body(request)).await
    }

    /// An environment may use a credential of the person; answers when it can be used.
    pub async fn grant(&self, environment: &str, request: &GrantRequest) -> Result<Environment, CallError> {
        self.call(Call::new(Method::POST, environment_path(environment, "/grants")).body(request)).await
    }

    /// An environment may use no more what was granted: of this kind or of all, for this host or for all.
    pub async fn revoke(
        &self,
        environment: &str,
        kind: Option<GrantKind>,
        host: Option<&str>,
    ) -> Result<Environment, CallError> {
        let kind = kind.map(|kind| format!("kind={kind}"));
        let host = host.map(|host| format!("host={}", segment(host)));
        let query = kind.into_iter().chain(host).collect::<Vec<_>>().join("&");
        let path = environment_path(environment, &format!("/grants?{query}"));
        self.call(Call::new(Method::DELETE, path)).await
    }

    /// The audit log, of one environment or of all.
    pub async fn audit(
        &self,
        environment: Option<&str>,
        range: LogRange,
    ) -> Result<Lines<AuditRecord>, CallError> {
        let of = environment.map(|environment| format!("&environment={}", segment(environment)));
        self.lines(format!("/v1/audit{}{}", query_of(range), of.unwrap_or_default())).await
    }

    /// Whether the audit log is whole.
    pub async fn check_audit(&self) -> Result<AuditCheck, CallError> {
        self.get("/v1/audit/check").await
    }

    /// The control plane that this computer belongs to, if it does.
    pub async fn control(&self) -> Result<ControlReport, CallError> {
        self.call(Call::new(Method::GET, "/v1/control")).await
    }

    /// Makes this computer a runner of a control plane.
    pub async fn join_control(&self, request: &JoinRequest) -> Result<Membership, CallError> {
        self.call(Call::new(Method::POST, "/v1/control").body(request)).await
    }

    /// Ends that; what it was.
    pub async fn leave_control(&self) -> Result<ControlReport, CallError> {
        self.call(Call::new(Method::DELETE, "/v1/control")).await
    }

    /// Settles a field of an environment that this computer and the control plane both changed.
    pub async fn settle_control(&self, environment: &str, settlement: &Settlement) -> Result<(), CallError> {
        let path = format!("/v1/control/environments/{}/fields", segment(environment));
        self.call(Call::new(Method::PUT, path).body(settlement)).await
    }

    /// This computer is the runner, where another with a copy of its disk has taken its place.
    pub async fn insist_control(&self) -> Result<(), CallError> {
        self.call(Call::new(Method::POST, "/v1/control/insist")).await
    }

    /// A way into the page, which is served from now on.
    pub async fn open_page(&self, request: &PageRequest) -> Result<PageAccess, CallError> {
        self.call(Call::new(Method::POST, "/v1/page").body(request)).await
    }

    /// Ends the sessions of all pages that are open.
    pub async fn close_pages(&self) -> Result<(), CallError> {
        self.call(Call::new(Method::DELETE, "/v1/page")).await
    }

    /// How https for names of ports stands.
    pub async fn https(&self) -> Result<Https, CallError> {
        self.get("/v1/https").await
    }

    /// Serves names of ports by https too, or no more.
    pub async fn set_https(&self, on: bool) -> Result<Https, CallError> {
        self.call(Call::new(Method::PUT, "/v1/https").body(&HttpsWish { on })).await
    }

    /// The secrets that are kept, without their values; of one environment, those that could count for it.
    pub async fn secrets(&self, environment: Option<&str>) -> Result<Vec<SecretStatus>, CallError> {
        let of = environment.map(|name| format!("?environment={}", segment(name))).unwrap_or_default();
        self.get(&format!("/v1/secrets{of}")).await
    }

    /// A secret shall be so, or not be. What is there now.
    pub async fn change_secret(&self, wish: &SecretWish) -> Result<Option<SecretStatus>, CallError> {
        self.call(Call::new(Method::PUT, "/v1/secrets").body(wish)).await
    }

    /// What the main container of an environment wrote.
    pub async fn environment_logs(
        &self,
        environment: &str,
        range: LogRange,
    ) -> Result<Lines<ContainerLogLine>, CallError> {
        self.lines(environment_path(environment, &format!("/logs{}", query_of(range)))).await
    }

    /// Counts as a use of an environment for as long as what is given is read. It ends only with the daemon.
    pub async fn keep_alive(
        &self,
        environment: &str,
        asked: &KeepAlive,
    ) -> Result<Lines<KeepAlive>, CallError> {
        let path = environment_path(environment, "/keep-alive");
        let call = Call::new(Method::POST, path).body(asked).by(self.asker.as_ref());
        let response = connection::accepted(&call, connection::send(&self.socket, &call).await?).await?;
        Ok(Lines::new(call.describe(), response))
    }

    /// Runs a process in the main container of an environment.
    pub async fn exec(&self, environment: &str, request: &ExecRequest) -> Result<ExecSession, CallError> {
        self.open_exec(environment_path(environment, "/exec"), request).await
    }

    /// Speaks ssh with the main container of an environment: what goes to the process is what an ssh client says.
    pub async fn ssh(&self, environment: &str) -> Result<ExecSession, CallError> {
        let call = Call::new(Method::POST, environment_path(environment, "/ssh")).by(self.asker.as_ref());
        ExecSession::open(&self.socket, call).await
    }

    /// A machine.
    pub async fn machine(&self, machine: &str) -> Result<Machine, CallError> {
        self.get(&machine_path(machine, "")).await
    }

    /// Changes what is wanted of a machine.
    pub async fn change_machine(&self, machine: &str, patch: &MachinePatch) -> Result<Machine, CallError> {
        self.call(Call::new(Method::PATCH, machine_path(machine, "")).body(patch)).await
    }

    /// The machine shall start; answers at once.
    pub async fn start_machine(&self, machine: &str) -> Result<Machine, CallError> {
        self.call(Call::new(Method::POST, machine_path(machine, "/start"))).await
    }

    /// The machine shall stop; answers at once.
    pub async fn stop_machine(&self, machine: &str) -> Result<Machine, CallError> {
        self.call(Call::new(Method::POST, machine_path(machine, "/stop"))).await
    }

    /// How busy a machine is: lately, and from now on for as long as what is given is read.
    pub async fn machine_metrics(&self, machine: &str) -> Result<Lines<MetricsMessage>, CallError> {
        self.lines(machine_path(machine, "/metrics")).await
    }

    /// A machine gives back what it only keeps in case it is wanted again; answers when that is done.
    pub async fn reclaim(&self, machine: &str) -> Result<Reclaimed, CallError> {
        self.call(Call::new(Method::POST, machine_path(machine, "/reclaim"))).await
    }

    /// What the parts of a machine wrote.
    pub async fn machine_logs(
        &self,
        machine: &str,
        range: LogRange,
    ) -> Result<Lines<MachineLogLine>, CallError> {
        self.lines(machine_path(machine, &format!("/logs{}", query_of(range)))).await
    }

    /// Runs a process in a machine, outside of any container.
    pub async fn exec_in_machine(
        &self,
        machine: &str,
        request: &ExecRequest,
    ) -> Result<ExecSession, CallError> {
        self.open_exec(machine_path(machine, "/exec"), request).await
    }

    /// Looks at everything Cove needs.
    pub async fn doctor(&self) -> Result<Diagnosis, CallError> {
        self.get("/v1/doctor").await
    }

    /// What a bundle for diagnosis would have.
    pub async fn diagnostics(&self) -> Result<DiagnosticsPreview, CallError> {
        self.get("/v1/diagnostics/preview").await
    }

    /// A bundle for diagnosis, as a gzipped tar: the one that was shown under this id, or a new one.
    pub async fn diagnostics_bundle(&self, shown: Option<&str>) -> Result<Vec<u8>, CallError> {
        let query = shown.map(|id| format!("?shown={}", segment(id))).unwrap_or_default();
        let call = Call::new(Method::GET, format!("/v1/diagnostics/bundle{query}")).by(self.asker.as_ref());
        Ok(connection::bytes(&self.socket, &call).await?.into())
    }

    /// What happened before a sequence, or last: the newest first, of one object or of all.
    pub async fn events(
        &self,
        before: Option<u64>,
        object: Option<&ObjectReference>,
    ) -> Result<EventPage, CallError> {
        let before = before.map(|sequence| format!("before={sequence}"));
        let object = object.map(|object| format!("object={}", segment(&object.id)));
        let query = before.into_iter().chain(object).collect::<Vec<_>>().join("&");
        self.get(&format!("/v1/events?{query}")).await
    }

    /// The daemon shall end; machines and environments run on.
    pub async fn shut_down(&self) -> Result<(), CallError> {
        let call = Call::new(Method::POST, "/v1/shutdown").by(self.asker.as_ref());
        let response = connection::send(&self.socket, &call).await?;
        connection::accepted(&call, response).await.map(drop)
    }

    /// Follows events after a sequence, of one object or of all. Without `since` it starts where the daemon
    /// likes; what is told after [`crate::WatchUpdate::Synced`] is new in any case.
    pub fn watch(&self, since: Option<u64>, object: Option<&ObjectReference>) -> Watch {
        Watch::new(self.clone(), since, object.map(|object| object.id.clone()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Call::new(Method::GET, path)).await
    }

    async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, CallError> {
        connection::call(&self.socket, &call.by(self.asker.as_ref())).await
    }

    async fn open_exec(&self, path: String, request: &ExecRequest) -> Result<ExecSession, CallError> {
        let call = Call::new(Method::POST, path).body(request).by(self.asker.as_ref());
        ExecSession::open(&self.socket, call).await
    }

    pub(crate) async fn lines<T>(&self, path: String) -> Result<Lines<T>, CallError> {
        let call = Call::new(Method::GET, path).by(self.asker.as_ref());
        let response = connection::accepted(&call, connection::send(&self.socket, &call).await?).await?;
        Ok(Lines::new(call.describe(), response))
    }
}

fn environment_path(environment: &str, rest: &str) -> String {
    format!("/v1/environments/{}{rest}", segment(environment))
}

fn machine_path(machine: &str, rest: &str) -> String {
    format!("/v1/machines/{}{rest}", segment(machine))
}

fn query_of(range: LogRange) -> String {
    let tail = range.tail.map(|tail| format!("&tail={tail}")).unwrap_or_default();
    format!("?follow={}{tail}", range.follow)
}
