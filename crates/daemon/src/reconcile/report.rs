//! What a step tells while it runs, as events of its environment.

use api::{EnvironmentId, EventKind, LogStream, ObjectReference, StepKind, Unit};
use engine::{Progress, ProgressEvent, ProgressKind};
use provision::Masks;

use crate::masks;
use crate::store::Store;

/// Tells the watchers of one environment about one step.
#[derive(Clone)]
pub(crate) struct Report {
    store: Store,
    object: ObjectReference,
    step: StepKind,
    masks: Masks,
}

impl Report {
    pub(crate) fn new(store: Store, id: &EnvironmentId, step: StepKind, masks: Masks) -> Self {
        Self { store, object: ObjectReference::environment(id), step, masks }
    }

    /// An event of the environment, without its secrets.
    pub(crate) fn emit(&self, kind: EventKind) {
        self.store.emit(self.object.clone(), masks::event(&self.masks, kind));
    }

    /// A line of output.
    pub(crate) fn line(&self, line: impl Into<String>) {
        self.emit(EventKind::Log { step: self.step, stream: LogStream::Output, line: line.into() });
    }
}

impl Progress for Report {
    fn report(&self, event: ProgressEvent) {
        let step = self.step;
        let item = event.item;
        let progress =
            |item, current, total| EventKind::Progress { step, item, current, total, unit: Unit::Items };
        self.emit(match event.kind {
            ProgressKind::Started => progress(item, 0, Some(1)),
            ProgressKind::Finished { .. } => progress(item, 1, Some(1)),
            ProgressKind::Bytes { done, total } => {
                EventKind::Progress { step, item, current: done, total, unit: Unit::Bytes }
            }
            ProgressKind::Line(line) => EventKind::Log { step, stream: LogStream::Output, line },
            // The step's own failure follows and says why.
            ProgressKind::Failed => return,
        });
    }
}
