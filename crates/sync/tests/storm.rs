//! All runners come back at once: how long until the last one is welcome, and how many ask in one second meanwhile.
//!
//! A model in virtual time: runners pause as [`sync::backoff`] says, and give up an attempt that was not greeted in time; the
//! server takes them in one after the other: it shakes hands with each, also with one that nobody waits for any more, and
//! greets who is still there.
//! `docs/scale.md` says what a server takes in; `cargo test -p sync --test storm -- --nocapture` prints the table.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::Write as _;

use sync::limits::GREETING;

/// How many there are.
const RUNNERS: u32 = 100_000;

/// What the server spends on shaking hands, in microseconds.
const HANDSHAKE: u64 = 500;

/// What came of it.
#[derive(Debug)]
struct Storm {
    /// When the last one was welcome, in seconds.
    over: u64,
    /// When half of them were.
    half: u64,
    /// The most attempts in one second.
    peak: u32,
    /// Attempts that were given up.
    in_vain: u32,
}

/// A connection to a server that is there again at zero, which takes in so many runners a second.
fn storm(rate: u64) -> Storm {
    let greeting = 1_000_000 / rate - HANDSHAKE;
    let mut random = 41_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 11
    };
    // When each asks next, and how often it failed; times are in microseconds.
    let mut asks: BinaryHeap<Reverse<(u64, u32)>> =
        (0..RUNNERS).map(|_| Reverse((sync::backoff(0, next()) * 1000, 0))).collect();
    let mut queue: VecDeque<(u64, u32)> = VecDeque::new();
    let (mut now, mut welcome) = (0_u64, 0_u32);
    let mut each_second: BTreeMap<u64, u32> = BTreeMap::new();
    let mut storm = Storm { over: 0, half: 0, peak: 0, in_vain: 0 };
    while welcome < RUNNERS {
        while let Some(Reverse((at, failures))) = asks.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            asks.pop();
            *each_second.entry(at / 1_000_000).or_default() += 1;
            queue.push_back((at, failures));
        }
        let Some((asked, failures)) = queue.pop_front() else {
            now = asks.peek().map_or(now, |Reverse((at, _))| *at);
            continue;
        };
        let given_up = asked + GREETING * 1000;
        now += HANDSHAKE;
        if given_up < now {
            storm.in_vain += 1;
            let again = given_up + sync::backoff(failures + 1, next()) * 1000;
            asks.push(Reverse((again.max(now), failures + 1)));
            continue;
        }
        now += greeting;
        welcome += 1;
        if welcome == RUNNERS / 2 {
            storm.half = now / 1_000_000;
        }
    }
    storm.over = now / 1_000_000;
    storm.peak = each_second.values().copied().max().unwrap_or_default();
    storm
}

#[test]
fn a_hundred_thousand_runners_come_back_in_a_time_that_has_an_end() {
    for rate in [100, 300] {
        let storm = storm(rate);
        let _ = writeln!(std::io::stderr(), "{rate} a second: {storm:?}");
        let least = u64::from(RUNNERS) / rate;
        assert!(storm.over <= 3 * least + 900, "{rate} a second: {storm:?}");
    }
}
