//! What every database must do; run on each of them.

use api::control::{Change, Document, Kind, Metadata};
use camino::Utf8Path;
use serde_json::json;

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn document(kind: Kind, organization: &str, text: &str) -> Document {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let metadata = Metadata {
        id: format!("{organization}-{text}-{kind}"),
        name: name(text),
        organization: name(organization),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        generation: 1,
        resource_version: 1,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        finalizers: Vec::new(),
    };
    Document { kind, metadata, spec: json!({ "title": "Größe" }), status: json!({}) }
}

fn change(version: u64) -> Change {
    Change { resource_version: version, kind: Kind::Project, id: "p".into(), name: name("p"), gone: false }
}

/// A case, on a database that is empty.
type Case = (&'static str, fn(&mut dyn Transaction));

const CASES: &[Case] = &[
    ("resources are found by name and id, and listed in order", |t| {
        for (organization, text) in [("beta", "a"), ("acme", "z"), ("acme", "b")] {
            t.put(&document(Kind::Project, organization, text)).unwrap();
        }
        t.put(&document(Kind::Runner, "acme", "b")).unwrap();
        let found = t.resource(Kind::Project, &name("acme"), &name("z")).unwrap().unwrap();
        assert_eq!(found, document(Kind::Project, "acme", "z"));
        assert_eq!(t.resource_by_id(&found.metadata.id).unwrap(), Some(found));
        assert_eq!(t.resource(Kind::Project, &name("acme"), &name("a")).unwrap(), None);
        let names = |listed: Vec<Document>| -> Vec<String> {
            listed.iter().map(|one| format!("{}/{}", one.metadata.organization, one.metadata.name)).collect()
        };
        let mut wanted = Listing { kind: Kind::Project, organization: None, after: None, most: 2 };
        assert_eq!(names(t.resources(&wanted).unwrap()), ["acme/b", "acme/z"]);
        wanted.after = Some((name("acme"), name("z")));
        assert_eq!(names(t.resources(&wanted).unwrap()), ["beta/a"]);
        assert_eq!(
            names(t.resources(&Listing::of(Kind::Project, &name("acme"))).unwrap()),
            ["acme/b", "acme/z"]
        );
        assert_eq!(t.count(Kind::Project, &name("acme")).unwrap(), 2);
    }),
    ("a name is taken once a kind and organization, and a resource keeps its id over a new name", |t| {
        let mut first = document(Kind::Project, "acme", "a");
        t.put(&first).unwrap();
        first.metadata.name = name("b");
        t.put(&first).unwrap();
        assert_eq!(t.resource(Kind::Project, &name("acme"), &name("a")).unwrap(), None);
        assert!(t.resource(Kind::Project, &name("acme"), &name("b")).unwrap().is_some());
        t.remove(&first.metadata.id).unwrap();
        assert_eq!(t.count(Kind::Project, &name("acme")).unwrap(), 0);
    }),
    ("changes are told after a version, and whoever was away for too long is told so", |t| {
        for version in 1..=5 {
            t.set_version(version).unwrap();
            t.announce(&name(if version == 3 { "beta" } else { "acme" }), &change(version)).unwrap();
        }
        let versions = |changes: Option<Vec<Change>>| -> Vec<u64> {
            changes.unwrap().iter().map(|change| change.resource_version).collect()
        };
        assert_eq!(versions(t.changes(None, 1, 3).unwrap()), [2, 3, 4]);
        assert_eq!(versions(t.changes(Some(&name("acme")), 1, 9).unwrap()), [2, 4, 5]);
        assert_eq!(versions(t.changes(None, 5, 9).unwrap()), [0; 0]);
        assert_eq!(t.changes(None, 6, 9).unwrap(), None, "a version of a database that is gone");
        let far = (CHANGES_KEPT / 1024 + 2) * 1024;
        t.set_version(far).unwrap();
        t.announce(&name("acme"), &change(far)).unwrap();
        assert_eq!(t.changes(None, 5, 9).unwrap(), None, "they are forgotten");
        assert_eq!(versions(t.changes(None, far - 1, 9).unwrap()), [far]);
    }),
    ("records end, and are taken away", |t| {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds| Some(now + jiff::SignedDuration::from_secs(seconds));
        for (key, expires_at) in [("over", at(-1)), ("soon", at(60)), ("never", None)] {
            let record = Record { key: key.to_owned(), value: json!({ "of": key }), expires_at };
            t.put_record(Space::Tokens, &record).unwrap();
        }
        assert_eq!(t.record(Space::Tokens, "over", now).unwrap(), None);
        assert_eq!(t.record(Space::Sessions, "soon", now).unwrap(), None);
        assert_eq!(t.record(Space::Tokens, "soon", now).unwrap().unwrap().value, json!({ "of": "soon" }));
        assert_eq!(t.records(Space::Tokens, now).unwrap().len(), 2);
        assert_eq!(t.forget_expired(now).unwrap(), 1);
        assert!(t.remove_record(Space::Tokens, "soon").unwrap());
        assert!(!t.remove_record(Space::Tokens, "soon").unwrap());
    }),
];

fn on_sqlite() -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap().join("below/control.db");
    let database = Database::sqlite(&path).unwrap();
    (folder, database)
}

#[tokio::test]
async fn sqlite_does_what_every_database_must() {
    for (what, case) in CASES {
        let (_folder, database) = on_sqlite();
        let done: Result<(), StoreError> = database
            .write(move |transaction| {
                case(transaction);
                Ok(())
            })
            .await;
        done.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[tokio::test]
async fn what_fails_leaves_nothing_behind_and_is_no_news() {
    let (_folder, database) = on_sqlite();
    let news = database.news();
    let failed: Result<(), StoreError> = database
        .write(|transaction| {
            transaction.set_version(7)?;
            transaction.put(&document(Kind::Project, "acme", "a"))?;
            Err(StoreError::Taken { name: "made up".to_owned() })
        })
        .await;
    assert!(failed.is_err());
    let version = database.read(|transaction| transaction.version()).await.unwrap();
    assert_eq!((version, *news.borrow()), (0, 0));
    let done: Result<(), StoreError> = database.write(|transaction| transaction.set_version(8)).await;
    done.unwrap();
    assert_eq!(*news.borrow(), 8);
}

#[tokio::test]
async fn a_taken_name_a_newer_format_and_damage_are_told_apart() {
    let (folder, database) = on_sqlite();
    let taken: Result<(), StoreError> = database
        .write(|transaction| {
            transaction.put(&document(Kind::Project, "acme", "a"))?;
            let mut other = document(Kind::Project, "acme", "a");
            other.metadata.id = "another".to_owned();
            transaction.put(&other)
        })
        .await;
    assert!(matches!(taken, Err(StoreError::Taken { name }) if name == "a"));

    let root = Utf8Path::from_path(folder.path()).unwrap();
    let newer = root.join("newer.db");
    drop(Database::sqlite(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Database::sqlite(&newer), Err(StoreError::TooNew { found: 99, .. })));

    let text = root.join("text.db");
    fs_err::write(&text, "no database at all, whatever its name says".repeat(20)).unwrap();
    assert!(matches!(Database::sqlite(&text), Err(StoreError::Damaged(_))));
    assert!(fs_err::read_to_string(&text).unwrap().starts_with("no database"));
}
