//! Waits until a resource is as it should be, and shows what happens on the way.
//!
//! The resource is read at the start and whenever the watch says that it changed; the watch mends itself, and a
//! daemon that went away is started again, so that killing it in the middle of an `up` only costs a moment.

use api::{Event, EventKind, ObjectReference, Problem, ProblemCode};
use client::{CallError, Client, Watch, WatchUpdate};
use futures::StreamExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;

/// How often a daemon that went away is started again.
const RESTARTS: u32 = 3;

/// How a resource stands, compared to what is waited for.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Not there yet.
    Going,
    /// Not there yet, but far enough for a person to hear of it, once.
    FarEnough(String),
    /// There.
    Done,
    /// It does not get there without a person.
    Failed(Problem),
}

/// A watch, and the display of what it tells.
pub(crate) struct Follow<'a> {
    context: &'a Context,
    client: Client,
    watch: Watch,
    progress: Progress,
    restarts: u32,
    /// Listens all the time: ctrl-c between two waits counts as well. Not where it is ignored, as with `&` in a script: what
    /// is started afterwards is to ignore it too.
    interrupt: Option<Signal>,
}

impl<'a> Follow<'a> {
    /// Begins to watch. Whatever is asked of the daemon after this is seen.
    pub(crate) async fn begin(context: &'a Context, client: &Client) -> Result<Self, Failure> {
        Self::telling(context, client, Progress::for_output(context.output)).await
    }

    /// The same with another display.
    pub(crate) async fn telling(
        context: &'a Context,
        client: &Client,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let kind = SignalKind::interrupt();
        let is_heard = !host::signals::is_ignored(kind.as_raw_value());
        let interrupt = is_heard.then(|| signal(kind)).transpose().map_err(|error| {
            Problem::new(ProblemCode::Internal, "could not listen for ctrl-c").caused_by(&error)
        })?;
        let mut watch = client.watch(None, None);
        // What happened before belongs to somebody else's command.
        while let Some(update) = watch.next().await {
            match update? {
                WatchUpdate::Synced { .. } | WatchUpdate::ListAgain { .. } => break,
                WatchUpdate::Event(_) => {}
                WatchUpdate::Interrupted(error) => return Err(error.into()),
            }
        }
        Ok(Self { context, client: client.clone(), watch, progress, restarts: 0, interrupt })
    }

    /// Waits until the judge is content, and gives the resource as it is then; nothing if it is gone. The judge is
    /// also told of the step that failed since the wait began, if one did.
    ///
    /// # Errors
    /// The problem that keeps it, [`Failure::Interrupted`] after ctrl-c, or whatever keeps the daemon away.
    pub(crate) async fn until<T>(
        &mut self,
        objects: &[ObjectReference],
        read: impl AsyncFn(&Client) -> Result<T, CallError>,
        judge: impl Fn(&T, Option<&Problem>) -> Verdict,
    ) -> Result<Option<T>, Failure> {
        let result = self.run(objects, read, judge).await;
        self.progress.clear();
        result
    }

    async fn run<T>(
        &mut self,
        objects: &[ObjectReference],
        read: impl AsyncFn(&Client) -> Result<T, CallError>,
        judge: impl Fn(&T, Option<&Problem>) -> Verdict,
    ) -> Result<Option<T>, Failure> {
        let mut failed = None;
        let mut look = true;
        let mut told = false;
        loop {
            if look {
                match read(&self.client).await {
                    Ok(resource) => match judge(&resource, failed.as_ref()) {
                        Verdict::Done => return Ok(Some(resource)),
                        Verdict::Failed(problem) => return Err(problem.into()),
                        Verdict::FarEnough(text) if !told => {
                            self.progress.say(&text);
                            told = true;
                        }
                        Verdict::Going | Verdict::FarEnough(_) => {}
                    },
                    Err(error) if error.is_not_found() => return Ok(None),
                    // The watch notices as well, and looks again once the daemon is back.
                    Err(CallError::Connect(_) | CallError::Broken { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let update = tokio::select! {
                update = self.watch.next() => update,
                () = interrupted(&mut self.interrupt) => return Err(Failure::Interrupted),
            };
            look = match update {
                Some(Ok(WatchUpdate::Event(event))) if objects.contains(&event.object) => {
                    if let EventKind::StepFailed { problem, .. } = &event.kind {
                        failed = Some(problem.clone());
                    }
                    self.take(&event)
                }
                Some(Ok(WatchUpdate::Event(_))) => false,
                Some(Ok(WatchUpdate::Synced { .. } | WatchUpdate::ListAgain { .. })) => true,
                Some(Ok(WatchUpdate::Interrupted(error))) => {
                    self.revive(error).await?;
                    true
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(None),
            };
        }
    }

    /// Shows an event; tells whether the resource may have changed.
    fn take(&mut self, event: &Event) -> bool {
        self.progress.event(event);
        matches!(event.kind, EventKind::Changed | EventKind::Removed | EventKind::StepFailed { .. })
    }

    async fn revive(&mut self, error: CallError) -> Result<(), Failure> {
        if self.restarts == RESTARTS {
            return Err(error.into());
        }
        self.restarts += 1;
        self.progress.say("the daemon went away; it is started again");
        self.context.client().await.map(drop)
    }
}

async fn interrupted(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
