//! The server's view of environments, by way of the reconciler.

use api::{
    Activity, ContainerLogLine, Customizations, Environment, EnvironmentId, ExecRequest, Https, LogStream,
    PlanRequest, Prebuild, Preview, Problem, SecretStatus, SecretWish, Secrets, Session, UseKind,
};
use bytes::Bytes;
use engine::{Channel, EngineError, OutputStream};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, Stream};
use protocol::inside::PROGRAM;

use super::process;
use crate::idle::{Use, Used};
use crate::masks;
use crate::reconcile::Reconciler;
use crate::server::{EnvironmentWork, FromProcess, LogRange, Process};

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
        let longest = range.longest;
        let range = engine::LogRange { tail: range.tail, since: None, follow: range.follow };
        async move {
            let pieces = self.reconciler.logs(&environment.id, range).await?;
            lines_without_secrets(&self.reconciler, environment, pieces, longest).await
        }
        .boxed()
    }

    fn automation_logs<'a>(
        &'a self,
        environment: &'a Environment,
        item: &'a str,
        range: LogRange,
    ) -> BoxFuture<'a, Result<BoxStream<'static, ContainerLogLine>, Problem>> {
        let mut argv = [PROGRAM, "automations", "logs", item].map(str::to_owned).to_vec();
        if let Some(tail) = range.tail {
            argv.extend(["--tail".to_owned(), tail.to_string()]);
        }
        argv.extend(range.follow.then(|| "--follow".to_owned()));
        let automation = Some(item.to_owned());
        let request = ExecRequest { argv, masked: true, automation, ..ExecRequest::default() };
        async move {
            let session = self.reconciler.exec(&environment.id, &request).await?;
            let Process { input, output } = process::from_engine(session);
            let pieces = output.filter_map(move |piece| {
                // Held for as long as it is read: without it the process would end.
                let _input = &input;
                std::future::ready(match piece {
                    FromProcess::Output(bytes) => Some(Ok((Channel::Out, bytes.into()))),
                    FromProcess::ErrorOutput(bytes) => Some(Ok((Channel::Err, bytes.into()))),
                    FromProcess::Ended(_) => None,
                })
            });
            Ok(lines(pieces, range.longest).boxed())
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

/// The lines of a container of this environment, of whose secrets nothing is shown.
pub(super) async fn lines_without_secrets(
    reconciler: &Reconciler,
    environment: &Environment,
    pieces: OutputStream,
    longest: Option<u32>,
) -> Result<BoxStream<'static, ContainerLogLine>, Problem> {
    let parts = reconciler.parts();
    parts.secrets.settled().await;
    let masks = parts.secrets_of(environment)?.masks();
    Ok(lines(masks::pieces(&masks, pieces), longest).boxed())
}

/// Cuts what a program wrote into lines, each output by itself, and lines that are longer than that. Ends with the pieces,
/// or where they break off.
pub(super) fn lines(
    pieces: impl Stream<Item = Result<(Channel, Bytes), EngineError>> + Send + 'static,
    longest: Option<u32>,
) -> impl Stream<Item = ContainerLogLine> + Send + 'static {
    let pieces = pieces.map(Some).chain(futures::stream::iter([None]));
    let mut splitters = [LogStream::Output, LogStream::Error].map(|stream| Splitter::new(stream, longest));
    pieces.flat_map(move |piece| {
        let lines = match piece {
            Some(Ok((Channel::Out, bytes))) => splitters[0].push(&bytes),
            Some(Ok((Channel::Err, bytes))) => splitters[1].push(&bytes),
            Some(Err(error)) => {
                tracing::debug!(%error, "a log broke off");
                Vec::new()
            }
            None => splitters.iter_mut().filter_map(Splitter::finish).collect(),
        };
        futures::stream::iter(lines)
    })
}

/// Makes lines of one output. Holds no more than one of [`MAX_LINE`] bytes.
struct Splitter {
    stream: LogStream,
    /// Bytes of a line that are told.
    most: usize,
    /// Whether the rest of a longer one is left out, rather than told in pieces.
    cuts: bool,
    rest: Vec<u8>,
    /// Whether the line was cut, and its end has not come yet.
    skips: bool,
}

impl Splitter {
    fn new(stream: LogStream, longest: Option<u32>) -> Self {
        let most = longest.map_or(MAX_LINE, |longest| (longest as usize).clamp(1, MAX_LINE));
        Self { stream, most, cuts: longest.is_some(), rest: Vec::new(), skips: false }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<ContainerLogLine> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (mut text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            while !self.skips && self.rest.len() + text.len() > self.most {
                let (more, left) = text.split_at(self.most.saturating_sub(self.rest.len()));
                self.rest.extend_from_slice(more);
                text = left;
                lines.push(self.full());
            }
            if !self.skips {
                self.rest.extend_from_slice(text);
            }
            if ends {
                let was_cut = std::mem::take(&mut self.skips);
                lines.extend((!was_cut).then(|| self.take()));
            }
        }
        lines
    }

    /// The line so far, which is as long as one can be, without the beginning of a character at its end.
    fn full(&mut self) -> ContainerLogLine {
        let whole = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let left = self.rest.split_off(whole);
        let line = ContainerLogLine { cut: self.cuts, ..self.take() };
        self.skips = self.cuts;
        self.rest = if self.cuts { Vec::new() } else { left };
        line
    }

    fn take(&mut self) -> ContainerLogLine {
        let line = std::mem::take(&mut self.rest);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let line = String::from_utf8_lossy(line).into_owned();
        ContainerLogLine { stream: self.stream, line, cut: false }
    }

    /// What was written without the end of a line.
    fn finish(&mut self) -> Option<ContainerLogLine> {
        (!self.rest.is_empty()).then(|| self.take())
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
        let lines: Vec<_> = lines(pieces, None).map(|line| (line.stream, line.line)).collect().await;
        let expected = [
            (LogStream::Output, "one"),
            (LogStream::Output, "two"),
            (LogStream::Output, ""),
            (LogStream::Error, "oh no"),
            (LogStream::Output, "rest"),
        ];
        assert_eq!(lines, expected.map(|(stream, line)| (stream, line.to_owned())));
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_told_in_pieces_or_cut() {
        // Each second piece of the log begins within a character.
        let long = "é".repeat(MAX_LINE);
        let told = async |longest| {
            let text = Bytes::from(format!("a\n{long}\nb\n{long}"));
            let pieces = (0..text.len()).step_by(9001).map(|at| text.slice(at..text.len().min(at + 9001)));
            let pieces = pieces.map(|piece| Ok((Channel::Out, piece))).collect::<Vec<_>>();
            lines(futures::stream::iter(pieces), longest).collect::<Vec<_>>().await
        };
        let whole = told(None).await;
        assert!(whole.iter().all(|line| line.line.len() <= MAX_LINE && !line.cut));
        let joined: String = whole.iter().map(|line| line.line.as_str()).collect();
        assert_eq!(joined, format!("a{long}b{long}"));
        let cut = told(Some(101)).await;
        let short = "é".repeat(50);
        let expected = [("a", false), (short.as_str(), true), ("b", false), (short.as_str(), true)];
        assert_eq!(cut.iter().map(|line| (line.line.as_str(), line.cut)).collect::<Vec<_>>(), expected);
        // A program that never ends its line is held by nobody.
        let mut splitter = Splitter::new(LogStream::Output, Some(10));
        let endless = (0..1000).flat_map(|_| splitter.push(&[b'x'; 4096])).collect::<Vec<_>>();
        assert_eq!((endless.len(), splitter.rest.capacity()), (1, 0));
    }
}
