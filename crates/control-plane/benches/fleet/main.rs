//! What a server of many runners costs: `cargo xtask bench --control`. Prints tables and, last, one line of JSON with every
//! number; what is measured and how is in `bench/README.md`.
//!
//! The server is an optimised build and a process of its own, whose processor time and memory are the kernel's word. What
//! plays the runners here is not optimised, which adds to the times that are told, and to nothing else.

#[path = "../../tests/server/client.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "it is of the tests, which use more of it and may fail")]
mod client;
mod host;
mod line;
mod raw;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use test_support::postgres::Postgres;

use host::{Host, Server};

/// Runners that are connected at once.
const RUNNERS: usize = 1000;
/// Watches that are open at once.
const WATCHES: usize = 100;
/// Changes whose way is measured.
const CHANGES: usize = 100;
/// Clients that write at once.
const WRITERS: usize = 16;
/// How long each rate is measured.
const TURN: Duration = Duration::from_secs(10);
/// How long the server is left alone before its memory is read.
const REST: Duration = Duration::from_secs(5);
/// A runner's signs of life: one in so many seconds.
const BEAT: f64 = 30.0;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was measured on one database.
struct Measured {
    database: &'static str,
    numbers: Value,
    /// Rows of the tables, by heading.
    rows: Vec<(String, String)>,
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let postgres = Postgres::start().ok_or("the figures of PostgreSQL need one")?;
    let measured = runtime.block_on(async {
        let mut measured = vec![measure("SQLite", None).await?];
        postgres.create("control");
        measured.push(measure("PostgreSQL", Some(postgres.url("control"))).await?);
        Ok::<_, Failure>(measured)
    })?;
    let mut text = String::from("| |");
    for one in &measured {
        text.extend([" ", one.database, " |"]);
    }
    text += "\n|---|";
    text += &"--:|".repeat(measured.len());
    for (index, (heading, _)) in measured[0].rows.iter().enumerate() {
        write!(text, "\n| {heading} |")?;
        for one in &measured {
            write!(text, " {} |", one.rows[index].1)?;
        }
    }
    let numbers: serde_json::Map<String, Value> =
        measured.into_iter().map(|one| (one.database.to_lowercase(), one.numbers)).collect();
    writeln!(std::io::stdout(), "{text}\n\n{}", Value::from(numbers))?;
    Ok(())
}

async fn measure(database: &'static str, url: Option<String>) -> Result<Measured, Failure> {
    let server = Server::start(url.clone())?;
    let host = server.host();
    let runners = declare(&host).await?;
    let mut rows = Vec::new();
    let mut numbers = serde_json::Map::new();
    let mut tell = |heading: &str, value: String, key: &str, number: f64| {
        let _ = writeln!(std::io::stderr(), "{database}: {heading}: {value}");
        rows.push((heading.to_owned(), value));
        numbers.insert(key.to_owned(), number.into());
    };

    // How fast the database takes one row after the other, without us.
    let raw = match &url {
        None => raw::sqlite(&server.folder().join("raw.db"), TURN)?,
        Some(url) => raw::postgres(url, TURN).await?,
    };
    tell("rows a second that the database takes alone, one client", format!("{raw:.0}"), "raw_writes", raw);
    for writers in [1, WRITERS] {
        let rate = host.write(writers, TURN).await?;
        let heading = format!("changes of resources a second, {writers} at once");
        tell(&heading, format!("{rate:.0} ({:.2}x)", rate / raw), &format!("writes_{writers}"), rate);
    }

    // Memory: of the server alone, with connections that say nothing, and with runners.
    let server = server.restart()?;
    let mut enrolled = line::enrol(&server, &runners).await?;
    let server = server.restart()?;
    line::follow(&server, &mut enrolled);
    tokio::time::sleep(REST).await;
    let alone = server.memory()?;
    let mut idle = Vec::new();
    for one in &enrolled {
        idle.push(one.0.connect(Some(&one.1)).await?);
    }
    tokio::time::sleep(REST).await;
    let with_idle = server.memory()?;
    drop(idle);
    let server = server.restart()?;
    tokio::time::sleep(REST).await;
    let before = server.memory()?;
    line::follow(&server, &mut enrolled);
    let begun = Instant::now();
    let (lines, core) = server.cost(line::connect(&enrolled)).await?;
    let mut lines = lines?;
    let rate = RUNNERS as f64 / begun.elapsed().as_secs_f64();
    let micros = core.as_secs_f64() * 1e6 / RUNNERS as f64;
    tell("runners that come in a second, each gets an environment", format!("{rate:.0}"), "comes", rate);
    tell("processor time of one that comes in", format!("{micros:.0} µs"), "come_micros", micros);
    tokio::time::sleep(REST).await;
    let with_runners = server.memory()?;
    let each = |with: u64, without: u64| with.saturating_sub(without) as f64 / 1024.0 / RUNNERS as f64;
    let (silent, runner) = (each(with_idle, alone), each(with_runners, before));
    tell("memory of a server alone", format!("{} MiB", alone >> 20), "alone_bytes", alone as f64);
    tell("of a TLS connection that says nothing", format!("{silent:.0} KiB"), "silent_kib", silent);
    let text = format!("{runner:.0} KiB ({:.1}x)", runner / silent);
    tell("of a runner that is connected", text, "runner_kib", runner);

    // Signs of life, as many as go.
    let (beats, core) = server.cost(line::beat(&mut lines, TURN)).await?;
    let beats = beats? as f64;
    let micros = core.as_secs_f64() * 1e6 / beats;
    tell(
        "signs of life a second, as many as go",
        format!("{:.0}", beats / TURN.as_secs_f64()),
        "beats",
        beats,
    );
    tell("processor time of one", format!("{micros:.0} µs"), "beat_micros", micros);
    let held = BEAT * 1e6 / micros;
    tell("runners that one core hears every 30 s", format!("{held:.0}"), "held", held);

    // Reports of statuses, as many as go.
    let (reports, core) = server.cost(line::report(&mut lines, TURN)).await?;
    let reports = reports? as f64;
    let rate = reports / TURN.as_secs_f64();
    let micros = core.as_secs_f64() * 1e6 / reports;
    tell("statuses a second, as many as go", format!("{rate:.0} ({:.2}x)", rate / raw), "reports", rate);
    tell("processor time of one", format!("{micros:.0} µs"), "report_micros", micros);

    // From the change of an environment to its runner.
    let mut ways = Vec::new();
    for index in 0..CHANGES {
        let begun = Instant::now();
        let name = &runners[index % runners.len()];
        host.change(name, index).await?;
        lines[index % runners.len()].until_stop_after(host::stop_after(index)).await?;
        ways.push(begun.elapsed());
    }
    percentiles("from a change to its runner", "delivery", &mut ways, &mut tell);
    drop(lines);

    // From a change to everybody who watches.
    let watches = host.watch(WATCHES).await?;
    let mut ways = host.fan_out(watches, CHANGES).await?;
    percentiles(&format!("from a change to each of {WATCHES} watches"), "watch", &mut ways, &mut tell);
    Ok(Measured { database, numbers: numbers.into(), rows })
}

fn percentiles(
    heading: &str,
    key: &str,
    ways: &mut [Duration],
    tell: &mut impl FnMut(&str, String, &str, f64),
) {
    ways.sort_unstable();
    for percent in [50, 99] {
        let way = ways[(ways.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        tell(&format!("{heading}, p{percent}"), format!("{way:.1} ms"), &format!("{key}_p{percent}_ms"), way);
    }
}

/// An organization with that many runners, and an environment on each. The names of the runners.
async fn declare(host: &Host) -> Result<Vec<String>, Failure> {
    let resource = |kind: &str, name: &str, spec: Value| json!({ "kind": kind, "metadata": { "name": name }, "spec": spec });
    let first = vec![
        resource("Organization", "bench", json!({})),
        resource("User", "ann", json!({ "email": "ann@example.com" })),
        resource("Role", "owner", json!({ "permissions": [{}], "subjects": [{ "user": "ann" }] })),
    ];
    host.apply(&first).await?;
    let names: Vec<String> = (0..RUNNERS).map(|index| format!("runner-{index}")).collect();
    for some in names.chunks(100) {
        let runners = some.iter().map(|name| resource("Runner", name, json!({ "variant": "shared" })));
        let environments = some.iter().map(|name| resource("Environment", name, host::environment(name, 0)));
        host.apply(&runners.chain(environments).collect::<Vec<_>>()).await?;
    }
    Ok(names)
}

/// Does things for many, some at a time.
async fn all<T, F: Future<Output = Result<T, Failure>>>(
    work: impl IntoIterator<Item = F>,
    at_once: usize,
) -> Result<Vec<T>, Failure> {
    let mut work = work.into_iter();
    let mut running: FuturesUnordered<F> = work.by_ref().take(at_once).collect();
    let mut done = Vec::new();
    while let Some(one) = running.next().await {
        done.push(one?);
        running.extend(work.next());
    }
    Ok(done)
}
