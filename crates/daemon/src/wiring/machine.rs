//! The server's view of the machine.

use api::{
    Activity, ContainerLogLine, DesiredPhase, EnvironmentId, ExecRequest, MachineLogLine, MetricsMessage,
    Problem, ProblemCode, Reclaimed, UseKind,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use protocol::agent::{Exec, TerminalSize};
use tokio::sync::broadcast::error::RecvError;

use super::{environments, process};
use crate::idle::Used;
use crate::inventory::Inventory;
use crate::machine::MachineHost;
use crate::reconcile::Reconciler;
use crate::server::{LogRange, MachineWish, MachineWork, Process};
use crate::store::Store;

/// What the server does with the live machine.
#[derive(Clone)]
pub(super) struct LiveMachine {
    machine: MachineHost,
    store: Store,
    reconciler: Reconciler,
    docker: Inventory,
}

impl LiveMachine {
    pub(super) fn new(machine: MachineHost, store: Store, reconciler: Reconciler, docker: Inventory) -> Self {
        Self { machine, store, reconciler, docker }
    }

    async fn fulfil(&self, wish: MachineWish) {
        match wish {
            MachineWish::Start => self.start().await,
            MachineWish::Stop => {
                self.stop_environments();
                self.stop().await;
            }
            MachineWish::Restart => {
                self.stop().await;
                self.start().await;
            }
        }
    }

    async fn start(&self) {
        // How it went is in the machine's status and events.
        if let Err(problem) = self.machine.ensure_running().await {
            tracing::warn!(%problem, "the machine did not start");
        }
    }

    async fn stop(&self) {
        if let Err(problem) = self.machine.stop().await {
            tracing::warn!(%problem, "the machine does not stop in order and is killed");
            self.machine.kill().await;
        }
    }

    /// Who switches the machine off wants the environments in it off; one that still shall run would switch it on
    /// again at once.
    fn stop_environments(&self) {
        let environments = match self.store.environments() {
            Ok(environments) => environments,
            Err(error) => {
                tracing::error!(%error, "the environments of the machine are not known");
                return;
            }
        };
        for environment in environments {
            if environment.spec.desired_phase != DesiredPhase::Running {
                continue;
            }
            let stopped = self
                .store
                .change_spec(&environment.id, None, |spec| spec.desired_phase = DesiredPhase::Stopped);
            match stopped {
                Ok(_) => self.reconciler.wake(&environment.id),
                Err(error) => tracing::warn!(%error, "an environment was not stopped with its machine"),
            }
        }
    }
}

impl MachineWork for LiveMachine {
    fn carry_out(&self, wish: MachineWish) {
        let this = self.clone();
        tokio::spawn(async move { this.fulfil(wish).await });
    }

    fn refresh(&self) -> BoxFuture<'_, ()> {
        self.machine.refresh_usage().boxed()
    }

    fn activity(&self) -> Option<Activity> {
        self.reconciler.machine_activity()
    }

    fn logs(&self, range: LogRange) -> BoxFuture<'_, Result<BoxStream<'static, MachineLogLine>, Problem>> {
        let (mut so_far, receiver) = self.machine.logs();
        if let Some(tail) = range.tail {
            so_far.drain(..so_far.len().saturating_sub(tail as usize));
        }
        let lines = futures::stream::iter(so_far);
        if !range.follow {
            return futures::future::ready(Ok(lines.boxed())).boxed();
        }
        let new = futures::stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(line) => return Some((line, receiver)),
                    // A follower that is slower than the guest misses lines rather than holding it up.
                    Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a follower of the log lags"),
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        futures::future::ready(Ok(lines.chain(new).boxed())).boxed()
    }

    fn metrics(&self) -> BoxStream<'static, MetricsMessage> {
        self.machine.metrics()
    }

    fn reclaim(&self) -> BoxFuture<'_, Result<Reclaimed, Problem>> {
        self.machine.reclaim().boxed()
    }

    fn container_logs<'a>(
        &'a self,
        container: &'a str,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>> {
        let longest = range.longest;
        let range = engine::LogRange { tail: range.tail, since: None, follow: range.follow };
        async move {
            let (pieces, owner) = self.docker.log_of(container, range).await?;
            let owner = match owner {
                Some(id) => self.store.environment(&EnvironmentId(id))?,
                None => None,
            };
            let Some(environment) = owner else { return Ok(environments::lines(pieces, longest).boxed()) };
            // Of an environment's container nothing more is shown here than there.
            environments::lines_without_secrets(&self.reconciler, &environment, pieces, longest).await
        }
        .boxed()
    }

    fn container_exec<'a>(
        &'a self,
        container: &'a str,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<Process, Problem>> {
        async move {
            let is_shell = request.terminal.is_some() || request.argv.is_empty();
            let kind = if is_shell { UseKind::Shell } else { UseKind::Command };
            let in_use = self.machine.uses().begin(Used::Machine, kind, "");
            let session = self.docker.exec(container, request).await?;
            Ok(process::counted(process::from_engine(session), in_use))
        }
        .boxed()
    }

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<Process, Problem>> {
        async move {
            if let Some(user) = request.user {
                let title = format!("the machine has no user `{user}`: processes in it run as root");
                return Err(Problem::new(ProblemCode::InvalidRequest, title));
            }
            let login = || vec!["/bin/sh".to_owned(), "-l".to_owned()];
            let exec = Exec {
                argv: if request.argv.is_empty() { login() } else { request.argv },
                env: request.env,
                cwd: request.cwd,
                terminal: request
                    .terminal
                    .map(|size| TerminalSize { rows: size.rows, columns: size.columns }),
                input: request.input,
            };
            let kind = if request.terminal.is_some() { UseKind::Shell } else { UseKind::Command };
            let in_use = self.machine.uses().begin(Used::Machine, kind, "");
            self.machine.awake().await?;
            let session = self.machine.agent()?.exec(exec).await?;
            Ok(process::counted(process::from_agent(session), in_use))
        }
        .boxed()
    }
}
