//! Several replicas on one PostgreSQL, and what happens to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::store::postgres::migrate;

/// More than any of this takes, on a computer that has much else to do.
const LONG: Duration = Duration::from_mins(2);

async fn replicas(server: &Postgres, count: usize) -> Vec<Database> {
    let mut replicas = Vec::new();
    for _ in 0..count {
        replicas.push(Database::open(&server.url("cove")).await.unwrap());
    }
    replicas
}

/// Writes what always belongs together: a version, its change, a line and a record.
async fn write(database: &Database, by: usize) -> Result<u64, StoreError> {
    database
        .write(move |transaction| {
            let version = transaction.version()? + 1;
            transaction.set_version(version)?;
            transaction.announce(&name("acme"), &change(version))?;
            let last = transaction.audit_head()?.map_or(0, |(sequence, _)| sequence);
            assert_eq!(last + 1, version, "who writes sees what was written before");
            transaction.append_audit(&entry(version, None), &format!("by {by}"))?;
            let record = Record { key: version.to_string(), value: json!(by), expires_at: None };
            transaction.put_record(Space::Server, &record)?;
            Ok(version)
        })
        .await
}

/// Follows changes as a watch does, up to a version: what it saw, in the order in which it saw it.
async fn follow(database: Database, until: u64) -> Vec<u64> {
    let mut news = database.news();
    let mut seen = Vec::new();
    loop {
        let last = seen.last().copied().unwrap_or_default();
        let changes = database.read(move |transaction| transaction.changes(None, last, 7)).await.unwrap();
        let changes = changes.expect("they are kept");
        let are_more = changes.len() == 7;
        seen.extend(changes.iter().map(|change| change.resource_version));
        if seen.last().is_some_and(|last| *last >= until) {
            return seen;
        }
        if !are_more {
            news.changed().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_write_one_after_the_other_and_who_watches_misses_nothing() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let Some(server) = Postgres::start() else { return };
    server.create("cove");
    let replicas = replicas(&server, 2).await;
    let until = (WRITERS * EACH) as u64;
    let watching: Vec<_> =
        replicas.iter().map(|replica| tokio::spawn(follow(replica.clone(), until))).collect();
    let mut writing = JoinSet::new();
    for by in 0..WRITERS {
        let replica = replicas[by % replicas.len()].clone();
        writing.spawn(async move {
            let mut won = 0;
            for turn in 0..EACH {
                write(&replica, by).await.unwrap();
                let mut wanted = document(Kind::Project, "acme", &format!("p-{turn}"));
                wanted.metadata.id = format!("{by}-{turn}");
                let taken: Result<(), StoreError> =
                    replica.write(move |transaction| transaction.put(&wanted)).await;
                match taken {
                    Ok(()) => won += 1,
                    Err(StoreError::Taken { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            won
        });
    }
    let won: usize = timeout(LONG, writing.join_all()).await.unwrap().iter().sum();
    assert_eq!(won, EACH, "a name is had once, whichever replica it was asked of");
    for watching in watching {
        let seen = timeout(LONG, watching).await.unwrap().unwrap();
        assert_eq!(seen, (1..=until).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_outlives_the_server_and_the_rest_is_whole_or_absent() {
    let Some(mut server) = Postgres::start() else { return };
    server.create("cove");
    // Whoever set this up wanted it to be fast.
    server.sql("cove", "ALTER DATABASE cove SET synchronous_commit = off");
    let replicas = replicas(&server, 2).await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..2_u64 {
        let mut writing = JoinSet::new();
        let written = Arc::new(Notify::new());
        for by in 0..8 {
            let replica = replicas[by % replicas.len()].clone();
            let written = Arc::clone(&written);
            writing.spawn(async move {
                let mut done = Vec::new();
                loop {
                    match write(&replica, by).await {
                        Ok(version) => {
                            done.push(version);
                            written.notify_one();
                        }
                        Err(StoreError::Unavailable(_)) => return done,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(400 + 130 * round)).await;
        timeout(LONG, written.notified()).await.expect("one is written");
        server.kill();
        let done = timeout(LONG, writing.join_all()).await.unwrap();
        assert!(done.iter().any(|done| !done.is_empty()), "it was killed in the midst of writes");
        acknowledged.extend(done.into_iter().flatten());
        let away = replicas[0].read(|transaction| transaction.version()).await;
        assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");

        server.start_again();
        let now = Timestamp::now();
        let (version, changes, lines, records) = replicas[1]
            .read(move |transaction| {
                let changes = transaction.changes(None, 0, u32::MAX)?.expect("they are kept");
                let changes: Vec<u64> = changes.iter().map(|change| change.resource_version).collect();
                let lines: Vec<u64> =
                    transaction.audit(None, 0, u32::MAX)?.into_iter().map(|line| line.0).collect();
                let records = transaction.records(Space::Server, now)?;
                let records: BTreeSet<u64> =
                    records.iter().map(|record| record.key.parse().unwrap()).collect();
                Ok::<_, StoreError>((transaction.version()?, changes, lines, records))
            })
            .await
            .unwrap();
        let all: Vec<u64> = (1..=version).collect();
        assert_eq!((&changes, &lines), (&all, &all));
        assert_eq!(records, all.iter().copied().collect());
        assert!(acknowledged.is_subset(&records), "what was acknowledged is there");
        assert!(version <= acknowledged.len() as u64 + 2 * (round + 1), "a replica writes one at a time");
        // And it goes on, with what there was.
        acknowledged.insert(timeout(LONG, write(&replicas[0], 0)).await.unwrap().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_hears_of_others_again_after_its_connections_were_cut() {
    let Some(mut server) = Postgres::start() else { return };
    server.create("cove");
    let replicas = replicas(&server, 2).await;
    let mut news = replicas[1].news();
    let hears = async |news: &mut watch::Receiver<u64>, version: u64| {
        timeout(LONG, news.wait_for(|heard| *heard >= version)).await.expect("it hears of it").unwrap();
    };
    let version = write(&replicas[0], 0).await.unwrap();
    hears(&mut news, version).await;

    server.cut_connections();
    // Connections that were idle are replaced, and nobody notices.
    let version = write(&replicas[0], 0).await.unwrap();
    assert_eq!(replicas[1].read(|transaction| transaction.version()).await.unwrap(), version);
    hears(&mut news, version).await;

    server.kill();
    server.start_again();
    let version = write(&replicas[0], 0).await.unwrap();
    hears(&mut news, version).await;

    // Everyone looks once it is heard again, though nothing is new.
    news.borrow_and_update();
    server.cut_connections();
    timeout(LONG, news.changed()).await.expect("it is woken").unwrap();
    assert_eq!(*news.borrow(), version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_that_start_at_once_make_the_tables_once_and_an_older_one_goes_on_beside_a_newer() {
    let Some(server) = Postgres::start() else { return };
    server.create("cove");
    let mut opening = JoinSet::new();
    for _ in 0..6 {
        let url = server.url("cove");
        opening.spawn(async move { Database::open(&url).await.unwrap() });
    }
    let replicas = timeout(LONG, opening.join_all()).await.unwrap();
    let format = "SELECT value FROM meta WHERE key = 'format'";
    assert_eq!(server.sql("cove", format), migrations::MIGRATIONS.len().to_string());
    // Statements are known to the server before the tables change.
    for _ in 0..2 {
        write(&replicas[0], 0).await.unwrap();
    }

    let mut newer = migrations::MIGRATIONS.to_vec();
    newer.push("ALTER TABLE records ADD COLUMN note TEXT; CREATE TABLE more (id TEXT PRIMARY KEY)");
    let url = server.url("cove");
    let migrated = blocking(move || {
        let mut client = ::postgres::Client::connect(&url, ::postgres::NoTls).unwrap();
        migrate(&mut client, &newer)
    });
    migrated.await.unwrap();
    assert_eq!(server.sql("cove", format), (migrations::MIGRATIONS.len() + 1).to_string());
    for (by, replica) in replicas.iter().enumerate() {
        let version = write(replica, by).await.unwrap();
        let found = replica
            .read(move |transaction| {
                transaction.record(Space::Server, &version.to_string(), Timestamp::now())
            })
            .await;
        assert_eq!(found.unwrap().unwrap().value, json!(by));
    }
    assert!(matches!(Database::open(&server.url("cove")).await, Err(StoreError::TooNew { .. })));
}
