//! What tests of routes need.

use std::sync::Arc;

use camino::Utf8Path;
use jiff::Timestamp;

use super::Control;
use crate::identity::Authority;
use crate::store::Database;
use crate::sync::Fleet;

/// A server with an empty database, whose folder goes with the first value.
pub(super) async fn served() -> (tempfile::TempDir, Control) {
    let folder = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(folder.path()).unwrap().join("control.db");
    let database = Database::sqlite(&file).unwrap();
    let authority = database.write(|transaction| Authority::of(transaction, Timestamp::now())).await.unwrap();
    let fleet = Fleet::start(&database).await.unwrap();
    let control = Control {
        database,
        authority: Arc::new(authority),
        provider: None,
        address: "https://localhost:8443".into(),
        worlds: Arc::default(),
        pace: Arc::default(),
        fleet,
        now: Timestamp::now,
        shutdown: tokio_util::sync::CancellationToken::new(),
    };
    (folder, control)
}
