//! Reads what BuildKit tells with `--progress rawjson`: JSON objects, one in each line or, from older
//! versions, spread over many with the outer braces on lines of their own.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use serde::Deserialize;

use crate::progress::{Lines, Progress, ProgressExt, Tail};

/// Follows a build.
#[derive(Debug, Default)]
pub(super) struct Follower {
    steps: HashMap<String, Step>,
    /// The first step that failed; others end with it because they are called off.
    failed: Option<String>,
    /// The lines of an object whose end has not come.
    unfinished: Option<String>,
}

/// An object that does not end within this is not what we wait for.
const LONGEST_OBJECT: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
struct Step {
    name: String,
    started: bool,
    over: bool,
    error: String,
    log: Lines,
    tail: Tail,
}

/// The step that broke the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedStep {
    /// `[2/3] RUN make`.
    pub(super) name: String,
    /// Why, in BuildKit's words.
    pub(super) error: String,
    /// The last lines that it said.
    pub(super) log_tail: Vec<String>,
}

impl FailedStep {
    /// Whether the step only asked a registry about an image.
    pub(super) fn is_image_lookup(&self) -> bool {
        self.name.contains("load metadata for ") || self.name.starts_with("resolve image config")
    }
}

#[derive(Deserialize)]
struct News {
    #[serde(default)]
    vertexes: Vec<Vertex>,
    #[serde(default)]
    statuses: Vec<Status>,
    #[serde(default)]
    logs: Vec<Log>,
    #[serde(default)]
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Vertex {
    digest: String,
    #[serde(default)]
    name: String,
    started: Option<Timestamp>,
    completed: Option<Timestamp>,
    #[serde(default)]
    cached: bool,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Status {
    id: String,
    vertex: String,
    #[serde(default)]
    current: u64,
    #[serde(default)]
    total: u64,
}

#[derive(Deserialize)]
struct Log {
    vertex: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Warning {
    vertex: String,
    #[serde(default)]
    short: String,
}

impl Follower {
    /// Takes a line and reports what it says; false for a line that is no news.
    pub(super) fn read(&mut self, line: &str, progress: &dyn Progress) -> bool {
        let whole = match (self.unfinished.take(), line) {
            (None, "{") => {
                self.unfinished = Some("{".to_owned());
                return true;
            }
            (Some(mut object), line) => {
                object.push_str(line);
                if line != "}" {
                    self.unfinished = (object.len() < LONGEST_OBJECT).then_some(object);
                    return true;
                }
                object
            }
            (None, line) if line.starts_with('{') => line.to_owned(),
            _ => return false,
        };
        let Ok(news) = serde_json::from_str::<News>(&whole) else { return false };
        for vertex in news.vertexes {
            self.vertex(vertex, progress);
        }
        for status in news.statuses {
            if let Some(step) = self.steps.get(&status.vertex) {
                let total = (status.total > 0).then_some(status.total);
                if status.current > 0 || total.is_some() {
                    progress.bytes(&format!("{} {}", step.name, status.id), status.current, total);
                }
            }
        }
        for log in news.logs {
            if let Some(step) = self.steps.get_mut(&log.vertex) {
                for line in step.log.push(&decoded(&log.data)) {
                    progress.line(&step.name, line.as_str());
                    step.tail.push(&line);
                }
            }
        }
        for warning in news.warnings {
            if let Some(step) = self.steps.get(&warning.vertex) {
                progress.line(&step.name, String::from_utf8_lossy(&decoded(&warning.short)));
            }
        }
        true
    }

    fn vertex(&mut self, vertex: Vertex, progress: &dyn Progress) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if !vertex.name.is_empty() {
            step.name = vertex.name;
        }
        if vertex.started.is_some() && !step.started {
            step.started = true;
            progress.started(&step.name);
        }
        // Steps are told again and again, a cached one first as done and then as done and cached.
        let (Some(completed), false) = (vertex.completed, step.over) else { return };
        step.over = true;
        if let Some(line) = step.log.finish() {
            progress.line(&step.name, line.as_str());
            step.tail.push(&line);
        }
        if vertex.error.is_empty() {
            let took = vertex.started.and_then(|started| completed.duration_since(started).try_into().ok());
            progress.finished(&step.name, took, vertex.cached);
            return;
        }
        progress.broke(&step.name);
        let called_off = vertex.error.contains("context canceled");
        step.error = vertex.error;
        if self.failed.is_none() && !called_off {
            self.failed = Some(vertex.digest);
        }
    }

    /// The step that broke the build, if one did.
    pub(super) fn failed(mut self) -> Option<FailedStep> {
        let step = self.steps.remove(&self.failed?)?;
        Some(FailedStep { name: step.name, error: step.error, log_tail: step.tail.into_lines() })
    }
}

/// Decodes what a step said; what is not base64 is nothing.
fn decoded(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use std::time::Duration;

    use crate::progress::{ProgressEvent, ProgressKind};

    struct Heard(Mutex<Vec<ProgressEvent>>);

    impl Progress for Heard {
        fn report(&self, event: ProgressEvent) {
            self.0.lock().expect("no test panics with it").push(event);
        }
    }

    const NEWS: &str = r#"{"vertexes":[{"digest":"a","name":"[1/2] FROM x","started":"2026-01-01T23:59:59.5Z"}]}
{
  "vertexes": [
    {"digest": "a", "name": "[1/2] FROM x", "started": "2026-01-01T23:59:59.5Z", "completed": "2026-01-02T00:00:01Z"},
    {"digest": "b", "name": "[2/2] RUN y", "started": "2026-01-02T00:00:01Z"}
  ],
  "statuses": [{"id": "sha256:f", "vertex": "a", "name": "downloading", "current": 5, "total": 9}],
  "logs": [{"vertex": "b", "stream": 1, "data": "b25lCnR3", "timestamp": "2026-01-02T00:00:01Z"}]
}
{"logs":[{"vertex":"b","stream":2,"data":"bw==","timestamp":"2026-01-02T00:00:01Z"}]}
{"vertexes":[{"digest":"c","name":"other","completed":"2026-01-02T00:00:02Z","error":"context canceled"}]}
{"vertexes":[{"digest":"b","name":"[2/2] RUN y","completed":"2026-01-02T00:00:02Z","error":"exit code: 3"}]}
{"new":"things"}"#;

    #[test]
    fn both_layouts_tell_the_same() {
        let heard = Heard(Mutex::default());
        let mut follower = Follower::default();
        assert!(NEWS.lines().all(|line| follower.read(line, &heard)));
        assert!(!follower.read("ERROR: failed to solve", &heard) && !follower.read("{broken", &heard));
        let events = heard.0.into_inner().expect("no test panics with it");
        let of = |item: &str| -> Vec<_> {
            events.iter().filter(|event| event.item == item).map(|event| event.kind.clone()).collect()
        };
        let took = Some(Duration::from_millis(1500));
        assert_eq!(
            of("[1/2] FROM x"),
            [ProgressKind::Started, ProgressKind::Finished { took, cached: false }]
        );
        assert_eq!(of("[1/2] FROM x sha256:f"), [ProgressKind::Bytes { done: 5, total: Some(9) }]);
        assert_eq!(
            of("[2/2] RUN y"),
            [
                ProgressKind::Started,
                ProgressKind::Line("one".into()),
                ProgressKind::Line("two".into()),
                ProgressKind::Failed
            ]
        );
        let failed = follower.failed().expect("a step failed");
        assert_eq!(
            (failed.name.as_str(), failed.log_tail),
            ("[2/2] RUN y", vec!["one".to_owned(), "two".to_owned()])
        );
    }
}
