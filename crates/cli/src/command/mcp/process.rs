//! Runs a program inside, with bounds on its time and on what is kept of its output.

use std::collections::VecDeque;
use std::time::Duration;

use api::{ExecRequest, Problem, ProblemCode};
use client::{ExecEvent, ExecSession};
use protocol::agent::ExecEnd;
use serde_json::json;

use super::Asked;
use super::answer::{Answer, add};
use super::tools::ExecWish;
use crate::failure::Failure;

/// How long a program may run unless the call says otherwise.
const TIME: Duration = Duration::from_mins(2);
/// How long it may run whatever the call says.
const MOST_TIME: Duration = Duration::from_hours(1);
/// What is kept of each output, in bytes: so much of its beginning, and so much of its end.
const KEPT: usize = 64 * 1024;

/// A program to run.
pub(super) struct Program {
    pub(super) request: ExecRequest,
    pub(super) input: Option<String>,
    pub(super) time: Duration,
    /// What is kept of its standard output.
    pub(super) output: Kept,
}

/// How a program ended, and what it wrote.
pub(super) struct Ran {
    /// Nothing: its time was over.
    pub(super) end: Option<ExecEnd>,
    pub(super) output: Kept,
    pub(super) error_output: Kept,
}

pub(super) async fn exec(asked: &Asked<'_>, wish: ExecWish) -> Result<Answer, Failure> {
    if wish.argv.is_empty() {
        return Err(Failure::request("`argv` is empty").with_hint("its first item is the program").into());
    }
    let time =
        wish.timeout_seconds.map_or(TIME, |seconds| Duration::from_secs(seconds.into())).min(MOST_TIME);
    let request = ExecRequest {
        argv: wish.argv,
        env: wish.env,
        cwd: wish.cwd,
        input: wish.stdin.is_some(),
        ..ExecRequest::default()
    };
    let program = Program { request, input: wish.stdin, time, output: Kept::new(KEPT, KEPT) };
    let Ran { end, output, error_output } = run(asked, program).await?;
    let (out, err) = (output.text(), error_output.text());
    let ending = match end {
        Some(ExecEnd::Exited { code }) => format!("exit code {code}"),
        Some(ExecEnd::Signaled { number }) => format!("ended by signal {number}"),
        None => format!("ended: it ran longer than {} s (`timeout_seconds`)", time.as_secs()),
    };
    let mut text = ending;
    for (name, written) in [("stdout", &out), ("stderr", &err)] {
        if !written.is_empty() {
            add(&mut text, format_args!("\n--- {name}\n{}", written.trim_end_matches('\n')));
        }
    }
    let data = json!({
        "exit_code": end.map(ExecEnd::status),
        "timed_out": end.is_none(),
        "stdout": out,
        "stderr": err,
        "left_out": { "stdout": output.left_out(), "stderr": error_output.left_out() },
    });
    Ok(Answer { text, data })
}

/// Runs a program to its end, or until its time is over or nobody waits for it any more. The daemon ends a process
/// whose connection is dropped.
pub(super) async fn run(asked: &Asked<'_>, program: Program) -> Result<Ran, Failure> {
    let Program { request, input, time, mut output } = program;
    let deadline = tokio::time::sleep(time);
    tokio::pin!(deadline);
    let session = tokio::select! {
        session = asked.client.exec(asked.id(), &request) => session?,
        () = asked.cancelled() => return Err(given_up()),
        () = &mut deadline => return Ok(Ran { end: None, output, error_output: Kept::new(KEPT, KEPT) }),
    };
    let ExecSession { input: mut to, output: mut from } = session;
    let feed = async move {
        if let Some(text) = input {
            // What the program does not want to read is no error.
            let _ = to.send(text.as_bytes()).await;
            let _ = to.close().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(feed);
    let mut error_output = Kept::new(KEPT, KEPT);
    let end = loop {
        tokio::select! {
            event = from.next() => match event? {
                ExecEvent::Output(bytes) => output.push(&bytes),
                ExecEvent::ErrorOutput(bytes) => error_output.push(&bytes),
                ExecEvent::Ended(end) => break Some(end),
            },
            () = &mut feed => {}
            () = asked.cancelled() => return Err(given_up()),
            () = &mut deadline => break None,
        }
    };
    Ok(Ran { end, output, error_output })
}

/// Nobody reads it: a cancelled call has no answer.
fn given_up() -> Failure {
    Problem::new(ProblemCode::Internal, "the call was cancelled, and the program ended").into()
}

/// The beginning and the end of what was written.
#[derive(Debug)]
pub(super) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    most: (usize, usize),
    written: u64,
}

impl Kept {
    /// Keeps so many bytes of the beginning, and so many of the end.
    pub(super) fn new(head: usize, tail: usize) -> Self {
        Self { head: Vec::new(), tail: VecDeque::new(), most: (head, tail), written: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.written += bytes.len() as u64;
        let (first, rest) = bytes.split_at(bytes.len().min(self.most.0 - self.head.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        self.tail.drain(..self.tail.len().saturating_sub(self.most.1));
    }

    /// How many bytes between beginning and end are not kept.
    pub(super) fn left_out(&self) -> u64 {
        self.written - (self.head.len() + self.tail.len()) as u64
    }

    /// The beginning.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// All that is kept as text. Where bytes are left out it says how many; what is no UTF-8 is replaced.
    fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        match self.left_out() {
            0 => String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat()).into_owned(),
            count => format!(
                "{}\n[… {count} bytes left out …]\n{}",
                String::from_utf8_lossy(&self.head),
                String::from_utf8_lossy(&tail)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_are_kept_however_it_comes() {
        let all: Vec<u8> = (b'a'..=b'z').collect();
        for step in 1..=all.len() {
            let mut kept = Kept::new(3, 4);
            for piece in all.chunks(step) {
                kept.push(piece);
            }
            assert_eq!(kept.text(), "abc\n[… 19 bytes left out …]\nwxyz", "pieces of {step}");
        }
    }

    #[test]
    fn what_fits_is_whole() {
        let mut kept = Kept::new(3, 4);
        kept.push("größe".as_bytes());
        assert_eq!((kept.text().as_str(), kept.left_out()), ("größe", 0), "the cut is inside of a letter");
    }
}
