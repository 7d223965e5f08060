//! When a world is made again.

use std::sync::Arc;

use api::control::{Change, Document, Metadata};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Worlds;
use super::*;
use crate::store::{Database, StoreError, Transaction};

fn put(transaction: &mut dyn Transaction, kind: Kind, organization: &str, called: &str, spec: Value) {
    let version = transaction.version().unwrap() + 1;
    let id = format!("{organization}-{kind}-{called}");
    let metadata = Metadata {
        id: id.clone(),
        name: name(called),
        organization: name(organization),
        labels: [].into(),
        generation: 1,
        resource_version: version,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        deleted_at: None,
        finalizers: Vec::new(),
    };
    transaction.set_version(version).unwrap();
    transaction.put(&Document { kind, metadata, spec, status: json!({}) }).unwrap();
    let change = Change { resource_version: version, kind, id, name: name(called), gone: false };
    transaction.announce(&name(organization), &change).unwrap();
}

fn reader(transaction: &mut dyn Transaction, organization: &str) {
    let spec = json!({ "permissions": [{ "verbs": ["get"] }], "subjects": ["everybody"] });
    put(transaction, Kind::Role, organization, "reader", spec);
}

struct Place {
    _folder: tempfile::TempDir,
    database: Database,
    worlds: Arc<Worlds>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8Path::from_path(folder.path()).unwrap().join("control.db");
        Self { _folder: folder, database: Database::sqlite(&path).unwrap(), worlds: Arc::default() }
    }

    async fn write(&self, work: impl FnOnce(&mut dyn Transaction) + Send + 'static) {
        let done = self.database.write(|transaction| {
            work(transaction);
            Ok::<_, StoreError>(())
        });
        let done = done.await;
        done.unwrap();
    }

    async fn world(&self) -> Arc<World> {
        let worlds = Arc::clone(&self.worlds);
        self.database.read(move |transaction| worlds.for_read(transaction, &name("acme"))).await.unwrap()
    }
}

fn ann_gets(world: &World) -> bool {
    world.decide(&ask(&user("ann"), Verb::Get, Kind::Project, one("shop"))).allowed
}

#[tokio::test]
async fn a_world_is_made_again_when_people_changed_and_only_then() {
    let place = Place::new();
    place.write(|t| put(t, Kind::User, "acme", "ann", json!({ "email": "a" }))).await;
    let first = place.world().await;
    assert!(!ann_gets(&first));
    place.write(|t| put(t, Kind::Project, "acme", "shop", json!({}))).await;
    place.write(|t| reader(t, "beta")).await;
    assert!(Arc::ptr_eq(&first, &place.world().await), "neither concerns the people of acme");
    place.write(|t| reader(t, "acme")).await;
    let second = place.world().await;
    assert!(ann_gets(&second));
    place
        .write(|t| {
            let far = t.version().unwrap() + 5000;
            t.set_version(far).unwrap();
            put(t, Kind::User, "acme", "ann", json!({ "email": "a", "suspended": true }));
        })
        .await;
    assert!(!ann_gets(&*place.world().await));
}

#[tokio::test]
async fn what_was_given_up_is_not_remembered() {
    let place = Place::new();
    place.write(|t| put(t, Kind::User, "acme", "ann", json!({ "email": "a" }))).await;
    assert!(!ann_gets(&*place.world().await));
    let worlds = Arc::clone(&place.worlds);
    let given_up: Result<(), StoreError> = place
        .database
        .write(move |transaction| {
            reader(transaction, "acme");
            let within = worlds.for_write(transaction, &name("acme"))?;
            assert!(ann_gets(&within), "it counts within the transaction");
            Err(StoreError::Taken { name: String::new() })
        })
        .await;
    given_up.unwrap_err();
    // Another change gets the version that the role had.
    place.write(|t| put(t, Kind::Project, "acme", "shop", json!({}))).await;
    assert!(!ann_gets(&*place.world().await));
}

#[tokio::test]
async fn a_database_of_an_older_time_has_its_own_world() {
    let (newer, older) = (Place::new(), Place::new());
    for _ in 0..3 {
        newer.write(|t| put(t, Kind::User, "acme", "ann", json!({ "email": "a" }))).await;
    }
    newer.write(|t| reader(t, "acme")).await;
    assert!(ann_gets(&*newer.world().await));
    older.write(|t| put(t, Kind::User, "acme", "ann", json!({ "email": "a" }))).await;
    let worlds = Arc::clone(&newer.worlds);
    let world = older.database.read(move |t| worlds.for_read(t, &name("acme"))).await.unwrap();
    assert!(!ann_gets(&world));
}
