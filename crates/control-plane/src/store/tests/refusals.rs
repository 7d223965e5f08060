//! What a database refuses, and what people are told then.

use std::time::{Duration, Instant};

use api::{Problem, ProblemCode};

use super::*;

/// More than the server takes to do what it was told.
const PATIENCE: Duration = Duration::from_secs(20);

/// All that an error says to anybody.
fn said(error: &StoreError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    format!("{error:?} {error}: {}", causes.join(": "))
}

async fn refused(place: &str) -> StoreError {
    match Database::open(place).await {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn sqlite_tells_a_newer_format_from_damage() {
    let folder = tempfile::tempdir().unwrap();
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

#[tokio::test]
async fn what_is_no_database_is_not_taken_for_a_file() {
    let error = refused("mysql://ada:s3cret@db/cove").await;
    assert!(matches!(error, StoreError::Unsuitable { .. }));
    assert!(!said(&error).contains("s3cret"));
    assert!(!Utf8Path::new("mysql:").exists());
    let error = refused("postgres://ada:s3cret@127.0.0.1:1/cove").await;
    assert!(said(&error).contains("127.0.0.1:1 (database cove)"), "{}", said(&error));
    assert!(!said(&error).contains("s3cret"));
    assert_eq!(Problem::from(error).code, ProblemCode::DatabaseUnavailable);
}

#[tokio::test]
async fn postgres_tells_what_it_cannot_be_used_for() {
    let Some(server) = Postgres::start() else { return };
    server.create("newer");
    let database = Database::open(&server.url("newer")).await.unwrap();
    server.sql("newer", "UPDATE meta SET value = 99 WHERE key = 'format'");
    assert!(matches!(refused(&server.url("newer")).await, StoreError::TooNew { found: 99, .. }));

    let latin = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0";
    server.sql("postgres", latin);
    let error = refused(&server.url("latin")).await;
    assert!(matches!(&error, StoreError::Unsuitable { reason } if reason.contains("LATIN1")), "{error}");

    server.create("other");
    server.sql("other", "CREATE TABLE meta (id INT)");
    let error = refused(&server.url("other")).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "of another program: {error:?}");
    assert_eq!(server.sql("other", "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");

    assert!(said(&refused(&server.url("nowhere")).await).contains("\"nowhere\" does not exist"));

    // What the server says of its disk and of its files, said by a trigger.
    for (state, damaged) in [("53100", false), ("XX001", true), ("57014", false)] {
        server.sql(
            "newer",
            &format!(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN RAISE EXCEPTION 'as this test wants it' USING ERRCODE = '{state}'; END $$;
                 CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON records EXECUTE FUNCTION refuse()"
            ),
        );
        let record = Record { key: "a".to_owned(), value: json!(1), expires_at: None };
        let failed: Result<(), StoreError> =
            database.write(move |transaction| transaction.put_record(Space::Server, &record)).await;
        match failed {
            Err(StoreError::Damaged(_)) => assert!(damaged, "{state}"),
            Err(StoreError::Unavailable(_)) => assert!(!damaged, "{state}"),
            other => panic!("{state}: {other:?}"),
        }
        // A failure that nobody minds is one all the same: nothing of it is there, and nobody is told that it were.
        let ignored: Result<(), StoreError> = database
            .write(|transaction| {
                transaction.set_version(3)?;
                let record = Record { key: "a".to_owned(), value: json!(1), expires_at: None };
                drop(transaction.put_record(Space::Server, &record));
                Ok(())
            })
            .await;
        assert!(ignored.is_err(), "{state}");
        assert_eq!(database.read(|transaction| transaction.version()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_way_to_postgres_is_as_private_as_its_address_says() {
    let Some(server) = Postgres::start() else { return };
    server.create("cove");
    let url = server.url_by_network("cove");
    let by_name = url.replace("127.0.0.1", "localhost");
    let root = server.authority();
    let private = || {
        let query = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE datname = 'cove' AND application_name = 'cove-control'";
        server.sql("postgres", query) == "t"
    };
    for (address, is_private) in [
        (format!("{url}?sslmode=disable"), false),
        (url.clone(), true),
        (format!("{url}?sslmode=require"), true),
        (format!("{url}?sslmode=verify-ca&sslrootcert={root}"), true),
        (format!("{by_name}?sslmode=verify-full&sslrootcert={root}"), true),
    ] {
        let database = Database::open(&address).await.unwrap_or_else(|error| panic!("{address}: {error:?}"));
        // The ones of before are told to end, and may take their time.
        let deadline = Instant::now() + PATIENCE;
        while private() != is_private {
            assert!(Instant::now() < deadline, "{address}");
        }
        drop(database);
        server.cut_connections();
    }
    for (address, why) in [
        (format!("{url}?sslmode=verify-full&sslrootcert={root}"), "name"),
        (format!("{by_name}?sslmode=verify-full"), "sslrootcert=FILE"),
        (url.replace("s3cret", "s3cret-but-another"), "password authentication failed"),
    ] {
        let error = refused(&address).await;
        assert!(matches!(error, StoreError::Unavailable(_)), "{address}: {error:?}");
        assert!(said(&error).contains(why) && !said(&error).contains("s3cret"), "{}", said(&error));
    }
    server.sql("postgres", "ALTER SYSTEM SET ssl = off");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        match Database::open(&format!("{url}?sslmode=require")).await {
            Err(error) => break error,
            // It reads its settings anew when it comes to it.
            Ok(_) => assert!(Instant::now() < deadline, "TLS is off"),
        }
    };
    assert!(said(&error).contains("sslmode=disable"), "{}", said(&error));
    drop(Database::open(&url).await.unwrap());
}
