//! What a person can send to somebody who helps: what is known here of Cove, without what is nobody's business.
//!
//! ```text
//! collect: doctor, versions, resources, settings, events, ends of logs -> redact: every text -> MANIFEST.txt -> archive
//! ```
//! The audit log is never read for it. Nothing is sent anywhere: it is an archive for the person.

mod archive;
mod collect;
pub mod redact;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::{DiagnosticsFile, DiagnosticsPreview, Problem, ProblemCode, Removed, RemovedKind};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use self::redact::Redacted;
use crate::doctor::Examined;
use crate::properties::hex;
use crate::secrets::KeptSecrets;

/// Name of the file that says what is in a bundle.
const MANIFEST: &str = "MANIFEST.txt";

/// Makes bundles. Cheap to clone.
#[derive(Clone)]
pub struct Diagnostics {
    inner: Arc<Inner>,
}

struct Inner {
    examined: Examined,
    secrets: KeptSecrets,
    /// What was shown last: who read it sends just that.
    shown: Mutex<Option<Arc<DiagnosticsPreview>>>,
}

/// Bundles, as the server sees them.
pub trait Bundles: Send + Sync {
    /// Makes one, to be read.
    ///
    /// # Errors
    /// It broke off.
    fn preview(&self) -> BoxFuture<'_, Result<Arc<DiagnosticsPreview>, Problem>>;

    /// One as an archive: that which was shown under this id, or a new one.
    ///
    /// # Errors
    /// It is not kept any more, or broke off.
    fn bundle<'a>(&'a self, shown: Option<&'a str>) -> BoxFuture<'a, Result<Vec<u8>, Problem>>;
}

impl Diagnostics {
    /// Of this state folder.
    pub fn new(examined: Examined, secrets: KeptSecrets) -> Self {
        Self { inner: Arc::new(Inner { examined, secrets, shown: Mutex::default() }) }
    }

    async fn make(&self) -> Result<DiagnosticsPreview, Problem> {
        let material = collect::collect(&self.inner.examined, &self.inner.secrets).await;
        // Megabytes of logs, looked through for everything.
        let made = tokio::task::spawn_blocking(move || put_together(material, Timestamp::now()));
        made.await.map_err(|error| {
            Problem::new(ProblemCode::Internal, "the bundle for diagnosis broke off").caused_by(&error)
        })
    }

    fn kept(&self, id: &str) -> Result<Arc<DiagnosticsPreview>, Problem> {
        let shown = self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        shown.filter(|shown| shown.id == id).ok_or_else(|| {
            Problem::new(ProblemCode::Conflict, "the bundle that was shown is not kept any more")
                .with_hint("look at it again, and send that")
        })
    }
}

impl Bundles for Diagnostics {
    fn preview(&self) -> BoxFuture<'_, Result<Arc<DiagnosticsPreview>, Problem>> {
        async move {
            let made = Arc::new(self.make().await?);
            let mut shown = self.inner.shown.lock().unwrap_or_else(PoisonError::into_inner);
            *shown = Some(Arc::clone(&made));
            Ok(made)
        }
        .boxed()
    }

    fn bundle<'a>(&'a self, shown: Option<&'a str>) -> BoxFuture<'a, Result<Vec<u8>, Problem>> {
        async move {
            let made = match shown {
                Some(id) => self.kept(id)?,
                None => Arc::new(self.make().await?),
            };
            archive::write(&made, Timestamp::now()).map_err(|error| {
                Problem::new(ProblemCode::Internal, "the archive for diagnosis was not written")
                    .caused_by(&error)
            })
        }
        .boxed()
    }
}

/// What was collected, before anything is taken out of it.
struct Material {
    redactor: redact::Redactor,
    documents: Vec<Document>,
    left_out: Vec<Problem>,
}

struct Document {
    name: &'static str,
    about: &'static str,
    content: Content,
}

enum Content {
    /// All of it.
    Text(String),
    /// Its end.
    End(String),
    /// With a structure that tells where variables are.
    Json(serde_json::Value),
}

/// Takes out of every document what is to go, and says so in front of them.
fn put_together(material: Material, now: Timestamp) -> DiagnosticsPreview {
    let Material { redactor, documents, left_out } = material;
    let mut counts: BTreeMap<RemovedKind, u64> = BTreeMap::new();
    let mut files = Vec::with_capacity(documents.len() + 1);
    for document in documents {
        let Redacted { text, removed } = match document.content {
            Content::Text(text) => redactor.apply(&text),
            Content::End(text) => redactor.end_of(&text, collect::KEPT_OF_LOG),
            Content::Json(value) => redactor.json(value),
        };
        for (kind, count) in &removed {
            *counts.entry(*kind).or_default() += count;
        }
        files.push(DiagnosticsFile {
            name: document.name.to_owned(),
            about: document.about.to_owned(),
            text,
            removed: removed.values().sum(),
        });
    }
    let removed: Vec<Removed> = RemovedKind::ALL
        .into_iter()
        .map(|kind| Removed { kind, count: counts.get(&kind).copied().unwrap_or(0) })
        .collect();
    // Problems of what was left out are words of ours and of the system, which may name the home folder.
    let left_out: Vec<Problem> =
        left_out.into_iter().map(|problem| problem.map_texts(|text| redactor.apply(text).text)).collect();
    let text = archive::manifest(&files, &removed, &left_out, now);
    let about = "what is in this bundle, and what was taken out".to_owned();
    files.insert(0, DiagnosticsFile { name: MANIFEST.to_owned(), about, text, removed: 0 });
    let mut digest = Sha256::new();
    for file in &files {
        digest.update(&file.name);
        digest.update([0]);
        digest.update(&file.text);
        digest.update([0]);
    }
    let mut id = hex(&digest.finalize());
    id.truncate(32);
    DiagnosticsPreview { id, files, removed, left_out }
}
