//! The server's view of environments, by way of the reconciler.

use api::{
    Activity, ContainerLogLine, Customizations, Environment, EnvironmentId, ExecRequest, Https, LogStream,
    PlanRequest, Prebuild, Preview, Problem, SecretStatus, SecretWish, Secrets, Session, UseKind,
};
use bytes::Bytes;
use engine::{Channel, EngineError};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, Stream};

use super::process;
use crate::idle::{Use, Used};
use crate::masks;
use crate::reconcile::Reconciler;
use crate::server::{EnvironmentWork, LogRange, Process};

/// Longest line that is kept together, in bytes: a container may write without ever ending a line.
const MAX_LINE: usize = 64 * 1024;

/// What the server does with live environments.
pub(super) struct LiveEnvironments {
    reconciler: Reconciler,
}

impl LiveEnvironments {
    pub(super) fn new(reconciler: Reconciler) -> Self {
        Self { reconciler }
    }

    /// A use of an environment begins.
    fn begin(&self, environment: &Environment, kind: UseKind, detail: &str) -> Use {
        let uses = self.reconciler.parts().machine.uses();
        uses.begin(Used::Environment(environment.id.clone()), kind, detail)
    }
}

impl EnvironmentWork for LiveEnvironments {
    fn asked(&self, id: &EnvironmentId) {
        self.reconciler.ask(id);
    }

    fn automations_wanted(&self, id: &EnvironmentId) {
        self.reconciler.wake(id);
    }

    fn grants_changed<'a>(&'a self, id: &'a EnvironmentId) -> BoxFuture<'a, ()> {
        async move { self.reconciler.parts().grants.changed(id).await }.boxed()
    }

    fn automations_changed(&self, environment: &Environment) -> Option<Problem> {
        self.reconciler.automations_changed(environment)
    }

    fn activity(&self, environment: &Environment) -> Option<Activity> {
        self.reconciler.activity_of(environment)
    }

    fn keep_alive(&self, environment: &Environment, command: &str) -> Box<dyn Send> {
        Box::new(self.begin(environment, UseKind::KeepAlive, command))
    }

    fn secrets(&self, of: Option<&Environment>) -> Result<Vec<SecretStatus>, Problem> {
        self.reconciler.parts().secrets.list(of)
    }

    fn change_secret(&self, wish: &SecretWish) -> Result<Option<SecretStatus>, Problem> {
        let changed = self.reconciler.parts().secrets.carry_out(wish)?;
        self.reconciler.wake_all();
        Ok(changed)
    }

    fn keep_secrets(&self, id: &EnvironmentId, secrets: &Secrets) -> Result<(), Problem> {
        self.reconciler.parts().secrets.keep(id, secrets)
    }

    fn hold_caller_variables(&self, session: &Session, variables: Secrets) {
        self.reconciler.parts().callers.hold(session, variables);
    }

    fn settle_caller_variables(&self, session: &Session, id: Option<&EnvironmentId>) {
        let callers = &self.reconciler.parts().callers;
        match id {
            Some(id) => callers.settle(session, id),
            None => callers.forget(session),
        }
    }

    fn https(&self) -> Https {
        self.reconciler.parts().ports.https()
    }

    fn set_https(&self, on: bool) -> BoxFuture<'_, Result<Https, Problem>> {
        self.reconciler.parts().ports.set_https(on).boxed()
    }

    fn prebuilds(&self) -> BoxFuture<'_, Result<Vec<Prebuild>, Problem>> {
        self.reconciler.prebuilds().boxed()
    }

    fn remove_prebuild<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Problem>> {
        self.reconciler.remove_prebuild(name).boxed()
    }

    fn unsaved<'a>(&'a self, environment: &'a Environment) -> BoxFuture<'a, Result<(), Problem>> {
        self.reconciler.unsaved(environment).boxed()
    }

    fn plan<'a>(
        &'a self,
        request: &'a PlanRequest,
        environment: Option<&'a Environment>,
    ) -> BoxFuture<'a, Result<Preview, Problem>> {
        self.reconciler.preview(request, environment).boxed()
    }

    fn customizations<'a>(
        &'a self,
        environment: &'a Environment,
    ) -> BoxFuture<'a, Result<Customizations, Problem>> {
        self.reconciler.customizations(environment).boxed()
    }

    fn logs<'a>(
        &'a self,
        environment: &'a Environment,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>> {
        let range = engine::LogRange { tail: range.tail, since: None, follow: range.follow };
        async move {
            self.reconciler.parts().secrets.settled().await;
            let masks = self.reconciler.parts().secrets_of(environment)?.masks();
            let pieces = self.reconciler.logs(&environment.id, range).await?;
            Ok(lines(masks::pieces(&masks, pieces)).boxed())
        }
        .boxed()
    }

    fn exec<'a>(
        &'a self,
        environment: &'a Environment,
        request: ExecRequest,
    ) -> BoxFuture<'a, Result<Process, Problem>> {
        async move {
            let is_shell = request.terminal.is_some() || request.argv.is_empty();
            let kind = if is_shell { UseKind::Shell } else { UseKind::Command };
            // Arguments may hold secrets.
            let program = request.argv.first().map(String::as_str).unwrap_or_default();
            let in_use = self.begin(environment, kind, program);
            let session = self.reconciler.exec(&environment.id, &request).await?;
            Ok(process::counted(process::from_engine(session), in_use))
        }
        .boxed()
    }

    fn ssh<'a>(
        &'a self,
        environment: &'a Environment,
        asked: &'a str,
    ) -> BoxFuture<'a, Result<Process, Problem>> {
        async move {
            let in_use = self.begin(environment, UseKind::Ssh, "");
            let session = self.reconciler.ssh(environment, asked).await?;
            Ok(process::counted(process::that_ends_itself(session), in_use))
        }
        .boxed()
    }
}

/// Cuts what a container wrote into lines, each output by itself. Ends with the pieces, or where they break off.
pub(super) fn lines(
    pieces: impl Stream<Item = Result<(Channel, Bytes), EngineError>> + Send + 'static,
) -> impl Stream<Item = ContainerLogLine> + Send + 'static {
    let pieces = pieces.map(Some).chain(futures::stream::iter([None]));
    let mut splitters = [Splitter::new(LogStream::Output), Splitter::new(LogStream::Error)];
    pieces.flat_map(move |piece| {
        let lines = match piece {
            Some(Ok((Channel::Out, bytes))) => splitters[0].push(&bytes),
            Some(Ok((Channel::Err, bytes))) => splitters[1].push(&bytes),
            Some(Err(error)) => {
                tracing::debug!(%error, "a container's log broke off");
                Vec::new()
            }
            None => splitters.iter_mut().filter_map(Splitter::finish).collect(),
        };
        futures::stream::iter(lines)
    })
}

/// Makes lines of one output.
struct Splitter {
    stream: LogStream,
    rest: Vec<u8>,
}

impl Splitter {
    fn new(stream: LogStream) -> Self {
        Self { stream, rest: Vec::new() }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<ContainerLogLine> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() >= MAX_LINE {
                lines.extend(self.finish());
            }
        }
        lines
    }

    fn finish(&mut self) -> Option<ContainerLogLine> {
        if self.rest.is_empty() {
            return None;
        }
        let line = std::mem::take(&mut self.rest);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(ContainerLogLine { stream: self.stream, line: String::from_utf8_lossy(line).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn outputs_are_cut_into_lines_apart_from_each_other() {
        let pieces = [
            (Channel::Out, "one\ntw"),
            (Channel::Err, "oh "),
            (Channel::Out, "o\r\n\nrest"),
            (Channel::Err, "no\n"),
        ];
        let pieces = futures::stream::iter(pieces.map(|(channel, text)| Ok((channel, Bytes::from(text)))));
        let lines: Vec<_> = lines(pieces).map(|line| (line.stream, line.line)).collect().await;
        let expected = [
            (LogStream::Output, "one"),
            (LogStream::Output, "two"),
            (LogStream::Output, ""),
            (LogStream::Error, "oh no"),
            (LogStream::Output, "rest"),
        ];
        assert_eq!(lines, expected.map(|(stream, line)| (stream, line.to_owned())));
    }
}
