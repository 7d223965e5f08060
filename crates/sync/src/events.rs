//! Events on their way: the one thing that is a sequence.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Author;
use crate::limits::{BATCH, EVENTS};

/// Something that happened on a runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The run in which it happened.
    pub author: Author,
    /// The how-manieth event of that run, from 1.
    pub number: u64,
    /// What it is. A time in it is there to be shown; nothing is ordered by it.
    pub value: Value,
}

/// Events of one run, in order and without a gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The run.
    pub author: Author,
    /// The number of the first. Those before it that the server never heard are lost, and it says so.
    pub first: u64,
    /// What happened.
    pub values: Vec<Value>,
}

/// What the server has not confirmed yet, oldest first, of as many runs as that took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Events(VecDeque<Event>);

impl Events {
    /// Keeps one more, and drops the oldest where there are too many.
    pub fn push(&mut self, event: Event) {
        self.0.push_back(event);
        while self.0.len() > EVENTS {
            self.0.pop_front();
        }
    }

    /// Drops those of a run up to a number: the server has them.
    pub fn confirm(&mut self, author: &Author, through: u64) {
        self.0.retain(|event| event.author != *author || event.number > through);
    }

    /// The next ones to be sent.
    pub fn batch(&self) -> Option<Batch> {
        let first = self.0.front()?;
        let values = self
            .0
            .iter()
            .zip(first.number..)
            .take(BATCH)
            .take_while(|(event, number)| event.author == first.author && event.number == *number)
            .map(|(event, _)| event.value.clone())
            .collect();
        Some(Batch { author: first.author.clone(), first: first.number, values })
    }

    /// Those that wait.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.0.iter()
    }
}
