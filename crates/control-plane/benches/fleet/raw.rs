//! What the databases take without us: one row a transaction, on the disk before the next.

use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::Failure;

/// About as long as a resource.
const ROW: &str = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789\
    abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789\
    abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789";

/// Rows a second that SQLite takes, as our database has it.
pub(crate) fn sqlite(file: &Utf8Path, time: Duration) -> Result<f64, Failure> {
    let connection = rusqlite::Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE raw (id INTEGER PRIMARY KEY, value TEXT NOT NULL)")?;
    let mut insert = connection.prepare("INSERT INTO raw (value) VALUES ($1)")?;
    rate(time, || Ok(insert.execute([ROW]).map(drop)?))
}

/// Rows a second that PostgreSQL takes from one client.
pub(crate) async fn postgres(url: &str, time: Duration) -> Result<f64, Failure> {
    let url = url.to_owned();
    let measured = tokio::task::spawn_blocking(move || {
        let mut client = postgres::Client::connect(&url, postgres::NoTls)?;
        client.batch_execute("CREATE TABLE raw (id BIGSERIAL PRIMARY KEY, value TEXT NOT NULL)")?;
        let insert = client.prepare("INSERT INTO raw (value) VALUES ($1)")?;
        let rate = rate(time, || Ok(client.execute(&insert, &[&ROW]).map(drop)?));
        client.batch_execute("DROP TABLE raw")?;
        rate
    });
    measured.await?
}

fn rate(time: Duration, mut once: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        once()?;
        count += 1;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}
