//! A body of NDJSON, read line by line as it comes.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use hyper::body::{Body, Incoming};
use serde::de::DeserializeOwned;

use crate::CallError;

/// Values of one kind, one a line. Ends when the daemon ends the body, and after the first error.
pub struct Lines<T> {
    call: String,
    status: u16,
    body: Option<Incoming>,
    splitter: LineSplitter,
    values: PhantomData<fn() -> T>,
}

impl<T> Lines<T> {
    pub(crate) fn new(call: String, response: hyper::Response<Incoming>) -> Self {
        Self {
            call,
            status: response.status().as_u16(),
            body: Some(response.into_body()),
            splitter: LineSplitter::default(),
            values: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Lines<T> {
    fn parse(&mut self, line: &Bytes) -> Result<T, CallError> {
        serde_json::from_slice(line).map_err(|source| {
            self.body = None;
            CallError::Unreadable { call: self.call.clone(), status: self.status, source }
        })
    }
}

impl<T: DeserializeOwned> Stream for Lines<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.splitter.lines.pop_front() {
                return Poll::Ready(Some(self.parse(&line)));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.splitter.push(&bytes);
                    }
                }
                Some(Err(source)) => {
                    self.body = None;
                    let call = self.call.clone();
                    return Poll::Ready(Some(Err(CallError::Broken { call, source })));
                }
                None => {
                    self.body = None;
                    self.splitter.finish();
                }
            }
        }
    }
}

/// Cuts bytes into lines; empty ones, which a server may send to keep a connection alive, are left out.
#[derive(Default)]
struct LineSplitter {
    rest: BytesMut,
    lines: VecDeque<Bytes>,
}

impl LineSplitter {
    fn push(&mut self, bytes: &[u8]) {
        // Only the new bytes can hold a new end of line: a long line is not searched again and again.
        let mut searched = self.rest.len();
        self.rest.extend_from_slice(bytes);
        while let Some(at) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
            let mut line = self.rest.split_to(searched + at + 1);
            line.truncate(line.len() - 1);
            self.keep(line);
            searched = 0;
        }
    }

    fn finish(&mut self) {
        let rest = self.rest.split();
        self.keep(rest);
    }

    fn keep(&mut self, line: BytesMut) {
        if !line.iter().all(u8::is_ascii_whitespace) {
            self.lines.push_back(line.freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_any_cut() {
        let text = b"{\"a\":1}\n\n[2]\r\n\"last\"";
        for step in 1..=text.len() {
            let mut splitter = LineSplitter::default();
            for piece in text.chunks(step) {
                splitter.push(piece);
            }
            splitter.finish();
            let lines: Vec<_> = splitter.lines.iter().map(|line| line.trim_ascii()).collect();
            assert_eq!(lines, [b"{\"a\":1}".as_slice(), b"[2]", b"\"last\""], "cut into pieces of {step}");
        }
    }
}
