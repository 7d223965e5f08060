//! Those who are told how everything stands, and those who tell what is wanted.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use automations::{Order, Report};

use super::supervise::Event;

/// Longest order, in bytes.
const MAX_ORDER: u64 = 4 << 20;

/// How long somebody may take to read a line before nothing is told to them any more.
const SLOWEST: Duration = Duration::from_secs(5);

/// Everybody who is connected.
#[derive(Default)]
pub(super) struct Outbox {
    listeners: Vec<UnixStream>,
    last: Option<Report>,
}

impl Outbox {
    /// Somebody came; the last report is theirs at once.
    pub(super) fn add(&mut self, connection: UnixStream) {
        let _ = connection.set_write_timeout(Some(SLOWEST));
        if self.last.as_ref().is_none_or(|report| say(&connection, report)) {
            self.listeners.push(connection);
        }
    }

    /// Tells everybody, if it is news.
    pub(super) fn tell(&mut self, report: Report) {
        if self.last.as_ref() == Some(&report) {
            return;
        }
        self.listeners.retain(|listener| say(listener, &report));
        self.last = Some(report);
    }
}

fn say(mut connection: &UnixStream, report: &Report) -> bool {
    let Ok(mut line) = serde_json::to_vec(report) else { return false };
    line.push(b'\n');
    let is_told = connection.write_all(&line).is_ok();
    if !is_told {
        // Half a line is no report: who is too slow has to come again.
        let _ = connection.shutdown(Shutdown::Both);
    }
    is_told
}

/// Takes connections and their orders from now on.
pub(super) fn listen(listener: UnixListener, tell: Sender<Event>) {
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || take(connection, &tell));
        }
    });
}

fn take(connection: UnixStream, tell: &Sender<Event>) {
    let Ok(reading) = connection.try_clone() else { return };
    if tell.send(Event::Came(connection)).is_err() {
        return;
    }
    let mut reader = BufReader::new(reading);
    while let Some(order) = next(&mut reader) {
        if tell.send(Event::Order(Box::new(order))).is_err() {
            return;
        }
    }
    // Who says what is no order is to know that it was not heard.
    let _ = reader.get_ref().shutdown(Shutdown::Both);
}

/// The next order; `None` at the end, and if what comes is none.
fn next(reader: &mut BufReader<UnixStream>) -> Option<Order> {
    let mut line = Vec::new();
    reader.by_ref().take(MAX_ORDER).read_until(b'\n', &mut line).ok()?;
    line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok())?
}
