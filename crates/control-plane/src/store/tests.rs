//! What every database must do; run on each of them.

mod refusals;
mod replicas;

use std::sync::mpsc;

use api::control::{Change, Document, Kind, Metadata, Principal, PrincipalKind};
use camino::Utf8Path;
use serde_json::json;
use test_support::postgres::Postgres;

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

fn entry(sequence: u64, organization: Option<&str>) -> AuditEntry {
    AuditEntry {
        sequence,
        time: Timestamp::from_second(1_800_000_000).unwrap(),
        previous: String::new(),
        organization: organization.map(name),
        principal: Principal { kind: PrincipalKind::Server, name: "server".to_owned() },
        action: "test".to_owned(),
        kind: None,
        name: None,
        resource_version: None,
        allowed: true,
        because: Vec::new(),
        note: None,
    }
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
        let mut other = document(Kind::Project, "acme", "b");
        other.metadata.id = "another".to_owned();
        let taken = t.put(&other);
        assert!(matches!(&taken, Err(StoreError::Taken { name }) if name == "b"), "{taken:?}");
        assert_eq!(t.count(Kind::Project, &name("acme")).unwrap(), 1, "one can go on after that");
        other.kind = Kind::Runner;
        t.put(&other).unwrap();
        t.remove(&first.metadata.id).unwrap();
        assert_eq!(t.count(Kind::Project, &name("acme")).unwrap(), 0);
    }),
    ("what is shared is found by runner, by version, and once nobody has it", |t| {
        let time = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let mut synced = Synced {
            organization: name("acme"),
            key: "k".to_owned(),
            version: 7,
            gone_at: None,
            stored: json!({ "a": "Größe" }),
        };
        t.put_synced(&synced, &["mac", "other"]).unwrap();
        t.set_sealed_for(&name("acme"), "k", "mark").unwrap();
        assert_eq!(t.synced(&name("acme"), "k").unwrap(), Some(synced.stored.clone()));
        assert_eq!(t.synced(&name("beta"), "k").unwrap(), None);
        assert_eq!(t.synced(&name("acme"), "\0").unwrap(), None);
        synced.version = 8;
        t.put_synced(&synced, &["other", "third"]).unwrap();
        assert_eq!(t.sealed_for(&name("acme"), "k").unwrap(), "mark");
        assert!(t.synced_of(&name("acme"), "mac").unwrap().is_empty());
        assert_eq!(t.synced_of(&name("acme"), "third").unwrap(), ["k"]);
        let concerned: Vec<_> = t
            .synced_after(7, 9)
            .unwrap()
            .into_iter()
            .map(|concern| (concern.version, concern.runner))
            .collect();
        assert_eq!(concerned.len(), 2);
        assert!(concerned.contains(&(8, "other".to_owned())) && t.synced_after(8, 9).unwrap().is_empty());
        for (gone_at, before, count) in
            [(Some(time(10)), 11, 1), (Some(time(20)), 11, 1), (None, 99, 0), (Some(time(20)), 11, 0)]
        {
            synced.gone_at = gone_at;
            t.put_synced(&synced, &[]).unwrap();
            assert_eq!(t.synced_gone_before(time(before), 9).unwrap().len(), count, "{gone_at:?}");
        }
        t.drop_synced(&name("acme"), "k").unwrap();
        assert_eq!(t.synced(&name("acme"), "k").unwrap(), None);
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
    ("lines of the audit log are told in order, of one organization or of all", |t| {
        assert_eq!(t.audit_head().unwrap(), None);
        for (sequence, organization) in [(1, None), (2, Some("acme")), (3, Some("beta")), (4, Some("acme"))] {
            t.append_audit(&entry(sequence, organization), &format!("line {sequence}")).unwrap();
        }
        assert_eq!(t.audit_head().unwrap(), Some((4, "line 4".to_owned())));
        let sequences = |lines: Vec<(u64, String)>| -> Vec<u64> { lines.iter().map(|line| line.0).collect() };
        assert_eq!(sequences(t.audit(None, 1, 2).unwrap()), [2, 3]);
        assert_eq!(sequences(t.audit(Some(&name("acme")), 0, 9).unwrap()), [2, 4]);
    }),
    ("the order is that of bytes, whatever language the computer speaks", |t| {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for key in ["b", "_", "B", "ä", "a", "-"] {
            let record = Record { key: key.to_owned(), value: json!(null), expires_at: None };
            t.put_record(Space::Server, &record).unwrap();
        }
        let keys: Vec<String> =
            t.records(Space::Server, now).unwrap().into_iter().map(|record| record.key).collect();
        assert_eq!(keys, ["-", "B", "_", "a", "b", "ä"]);
    }),
    ("what nobody can have written is not there", |t| {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(t.resource_by_id("a\0b").unwrap(), None);
        assert_eq!(t.record(Space::SignIns, "a\0b", now).unwrap(), None);
        assert!(!t.remove_record(Space::SignIns, "a\0b").unwrap());
        t.remove("a\0b").unwrap();
        assert_eq!(t.record(Space::SignIns, &"long".repeat(10_000), now).unwrap(), None);
        assert_eq!(t.version().unwrap(), 0, "one can go on after that");
    }),
    ("texts are kept as they are", |t| {
        let mut odd = document(Kind::Project, "acme", "odd");
        odd.spec = json!({ "text": "\0 \\ ' \" $1 \u{1F980} \n", "large": "x".repeat(1 << 20) });
        t.put(&odd).unwrap();
        assert_eq!(t.resource_by_id(&odd.metadata.id).unwrap(), Some(odd));
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

/// All of it, each on a new database.
async fn does_what_every_database_must(new: impl AsyncFn() -> Database) {
    for (what, case) in CASES {
        let database = new().await;
        let done: Result<(), StoreError> = database
            .write(move |transaction| {
                case(transaction);
                Ok(())
            })
            .await;
        done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    }
    what_fails_leaves_nothing_behind_and_is_no_news(new().await).await;
    who_reads_sees_one_moment(new().await).await;
    what_panics_takes_nothing_along(new().await).await;
    a_copy_has_all_of_it(new().await).await;
}

#[tokio::test]
async fn sqlite_does_what_every_database_must() {
    let folder = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(folder.path()).unwrap();
    does_what_every_database_must(async || {
        let path = root.join(uuid::Uuid::new_v4().to_string()).join("control.db");
        Database::open(path.as_str()).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn postgres_does_what_every_database_must() {
    let Some(server) = Postgres::start() else { return };
    does_what_every_database_must(async || {
        let database = format!("case_{}", uuid::Uuid::new_v4().simple());
        server.create(&database);
        Database::open(&server.url(&database)).await.unwrap()
    })
    .await;
}

async fn what_fails_leaves_nothing_behind_and_is_no_news(database: Database) {
    let news = database.news();
    let failed: Result<(), StoreError> = database
        .write(|transaction| {
            transaction.set_version(7)?;
            transaction.put(&document(Kind::Project, "acme", "a"))?;
            Err(StoreError::Taken { name: "made up".to_owned() })
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Taken { name }) if name == "made up"));
    let (version, count) = database
        .read(|transaction| {
            Ok::<_, StoreError>((transaction.version()?, transaction.count(Kind::Project, &name("acme"))?))
        })
        .await
        .unwrap();
    assert_eq!((version, count, *news.borrow()), (0, 0, 0));
    let done: Result<(), StoreError> = database.write(|transaction| transaction.set_version(8)).await;
    done.unwrap();
    assert_eq!(*news.borrow(), 8);
}

async fn who_reads_sees_one_moment(database: Database) {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let reading = tokio::spawn({
        let database = database.clone();
        async move {
            database
                .read(move |transaction| {
                    let before = transaction.version()?;
                    begun.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok::<_, StoreError>((before, transaction.version()?))
                })
                .await
        }
    });
    has_begun.await.unwrap();
    let done: Result<(), StoreError> = database.write(|transaction| transaction.set_version(5)).await;
    done.unwrap();
    go_on.send(()).unwrap();
    assert_eq!(reading.await.unwrap().unwrap(), (0, 0));
    assert_eq!(database.read(|transaction| transaction.version()).await.unwrap(), 5);
}

async fn what_panics_takes_nothing_along(database: Database) {
    // More often than there are connections.
    for _ in 0..6 {
        let (reads, writes) = (database.clone(), database.clone());
        let read = tokio::spawn(async move {
            reads.read(|_| -> Result<(), StoreError> { panic!("as this test wants it") }).await
        });
        let write = tokio::spawn(async move {
            let work = |transaction: &mut dyn Transaction| -> Result<(), StoreError> {
                transaction.set_version(9)?;
                panic!("as this test wants it")
            };
            writes.write(work).await
        });
        assert!(read.await.unwrap_err().is_panic());
        assert!(write.await.unwrap_err().is_panic());
    }
    assert_eq!(database.read(|transaction| transaction.version()).await.unwrap(), 0);
    let done: Result<(), StoreError> = database.write(|transaction| transaction.set_version(1)).await;
    done.unwrap();
}

/// What can be told from outside.
async fn all_of(database: &Database) -> impl PartialEq + std::fmt::Debug + use<> {
    let read = database.read(|transaction| {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Ok::<_, StoreError>((
            transaction.version()?,
            transaction.resources(&Listing::of(Kind::Project, &name("acme")))?,
            transaction.changes(None, 2, u32::MAX)?,
            transaction.changes(None, 1, u32::MAX)?,
            transaction.audit(None, 0, u32::MAX)?,
            transaction.records(Space::Server, now)?,
        ))
    });
    read.await.unwrap()
}

async fn a_copy_has_all_of_it(database: Database) {
    let filled: Result<(), StoreError> = database
        .write(|transaction| {
            transaction.set_version(2)?;
            transaction.forget_changes()?;
            for number in 3..=2000 {
                transaction.set_version(number)?;
                transaction.announce(&name("acme"), &change(number))?;
            }
            transaction.put(&document(Kind::Project, "acme", "a"))?;
            transaction.append_audit(&entry(1, None), "line")?;
            for (key, expires_at) in [("never", None), ("late", Some(Timestamp::MAX))] {
                transaction.put_record(
                    Space::Server,
                    &Record { key: key.to_owned(), value: json!("ä"), expires_at },
                )?;
            }
            Ok(())
        })
        .await;
    filled.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = Utf8Path::from_path(folder.path()).unwrap().join("copy.db");
    database.copy_to(&file).await.unwrap();
    assert_eq!(all_of(&Database::sqlite(&file).unwrap()).await, all_of(&database).await);
    assert!(database.copy_to(&file).await.is_err(), "somebody has it");
    Database::sqlite(&file).unwrap();
}
