//! Whether something is used, and what follows: a function of what was seen.
//!
//! Times are of a clock that stands still while this computer sleeps, and that begins with this process. So neither a
//! night with the lid closed nor a restart of the daemon brings a stop any nearer.

use std::time::Duration;

use api::{InUse, UseKind};
use tokio::time::Instant;

use super::uses::OpenUse;

/// A session or connection through which nothing went for so long is one that somebody forgot.
pub(super) const FORGOTTEN: Duration = Duration::from_hours(8);

/// Processors at less than this are not at work: hundredths of one. Editors' servers and databases that nobody asks
/// are well below.
const BUSY_PERCENT: u128 = 10;

/// Likewise for disks, in bytes a second.
const BUSY_BYTES: u128 = 256 << 10;

/// The longest time between the warning and the stop; with short limits it is a quarter of them.
const WARNED_BEFORE: Duration = Duration::from_mins(5);

/// What was seen at one moment.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The moment.
    pub(super) now: Instant,
    /// Sessions, connections and holds.
    pub(super) open: Vec<OpenUse>,
    /// When the last of them ended.
    pub(super) ended: Option<Instant>,
    /// What else is a use now.
    pub(super) also: Vec<InUse>,
}

/// What is remembered from one look to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    /// The last moment at which it was used.
    pub(super) used: Instant,
    /// Whether its stop was announced since.
    pub(super) warned: bool,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is used.
    Used,
    /// It is not, and stops in this time.
    Idle(Duration),
    /// Likewise, and that is to be told now.
    Warn(Duration),
    /// It is to stop.
    Stop,
}

/// A look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judgement {
    pub(super) uses: Vec<InUse>,
    pub(super) past: Past,
    pub(super) verdict: Verdict,
}

/// Judges by a limit. Without a past it was used just now.
pub(super) fn judge(limit: Duration, seen: &Seen, past: Option<Past>) -> Judgement {
    let uses = uses(seen);
    let before = past.unwrap_or(Past { used: seen.now, warned: false });
    if !uses.is_empty() {
        let past = Past { used: seen.now, warned: false };
        return Judgement { uses, past, verdict: Verdict::Used };
    }
    let forgotten = seen.open.iter().map(|open| open.moved);
    let last = forgotten.chain(seen.ended).fold(before.used, Instant::max);
    let warned = before.warned && last == before.used;
    let left = limit.saturating_sub(seen.now.saturating_duration_since(last));
    let verdict = if left.is_zero() {
        Verdict::Stop
    } else if !warned && left <= WARNED_BEFORE.min(limit / 4) {
        Verdict::Warn(left)
    } else {
        Verdict::Idle(left)
    };
    let warned = warned || matches!(verdict, Verdict::Warn(_));
    Judgement { uses, past: Past { used: last, warned }, verdict }
}

/// What uses it now. What was forgotten does not.
pub(super) fn uses(seen: &Seen) -> Vec<InUse> {
    let lives = |open: &&OpenUse| {
        seen.now.saturating_duration_since(open.moved) < FORGOTTEN || open.what.kind == UseKind::KeepAlive
    };
    let open = seen.open.iter().filter(lives).map(|open| open.what.clone());
    open.chain(seen.also.iter().cloned()).collect()
}

/// What processes have used in all, as counters that only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Processor time.
    pub(super) processor: Duration,
    /// Bytes read from and written to disks.
    pub(super) disk: u64,
}

/// Whether what was used between two looks is a use.
pub(super) fn load(before: Counters, now: Counters, elapsed: Duration) -> Vec<InUse> {
    let millis = elapsed.as_millis().max(1);
    // Counters of a container that was started anew begin anew.
    let percent = now.processor.saturating_sub(before.processor).as_millis() * 100 / millis;
    let bytes = u128::from(now.disk.saturating_sub(before.disk)) * 1000 / millis;
    let busy =
        (percent >= BUSY_PERCENT).then(|| use_of(UseKind::Processor, format!("{percent} % of a processor")));
    let disk = (bytes >= BUSY_BYTES).then(|| {
        let bytes = api::bytes_in_words(u64::try_from(bytes).unwrap_or(u64::MAX));
        use_of(UseKind::Disk, format!("{bytes} a second"))
    });
    busy.into_iter().chain(disk).collect()
}

pub(super) fn use_of(kind: UseKind, detail: impl Into<String>) -> InUse {
    InUse { kind, detail: detail.into(), since: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_hours(2);

    fn minutes(count: u64) -> Duration {
        Duration::from_mins(count)
    }

    /// What is seen some minutes after the beginning.
    struct Moment {
        begin: Instant,
        at: u64,
        /// Sessions, by the minute of their last byte.
        open: Vec<(UseKind, u64)>,
        ended: Option<u64>,
        also: Vec<UseKind>,
    }

    impl Moment {
        fn seen(&self) -> Seen {
            let at = |minute| self.begin + minutes(minute);
            let open =
                self.open.iter().map(|(kind, moved)| OpenUse { what: use_of(*kind, ""), moved: at(*moved) });
            Seen {
                now: at(self.at),
                open: open.collect(),
                ended: self.ended.map(at),
                also: self.also.iter().map(|kind| use_of(*kind, "")).collect(),
            }
        }
    }

    fn begin() -> Instant {
        Instant::now() + Duration::from_hours(1000)
    }

    fn verdict(at: u64, change: impl FnOnce(&mut Moment), used: u64, warned: bool) -> Verdict {
        let begin = begin();
        let mut moment = Moment { begin, at, open: Vec::new(), ended: None, also: Vec::new() };
        change(&mut moment);
        let past = Past { used: begin + minutes(used), warned };
        judge(LIMIT, &moment.seen(), Some(past)).verdict
    }

    #[test]
    fn what_counts_as_use_and_what_follows_without() {
        use UseKind::{Connection, KeepAlive, Processor, Shell, Task};
        // The minute of the look, what is seen, the minute of the last use, whether its stop was announced.
        assert_eq!(verdict(60, |_| {}, 0, false), Verdict::Idle(minutes(60)));
        assert_eq!(verdict(115, |_| {}, 0, false), Verdict::Warn(minutes(5)));
        assert_eq!(verdict(116, |_| {}, 0, true), Verdict::Idle(minutes(4)), "announced once");
        assert_eq!(verdict(120, |_| {}, 0, true), Verdict::Stop);
        assert_eq!(verdict(999, |_| {}, 0, false), Verdict::Stop);
        for kind in [Shell, Connection] {
            let open = |moved| move |moment: &mut Moment| moment.open = vec![(kind, moved)];
            assert_eq!(verdict(300, open(0), 0, false), Verdict::Used, "an open {kind:?} is a use");
            assert_eq!(verdict(480, open(0), 0, false), Verdict::Stop, "one forgotten for hours is none");
            assert_eq!(verdict(481, open(470), 0, true), Verdict::Used);
        }
        // Forgotten, but not for as long as the limit: with a limit of ten hours there are two left.
        let begin = begin();
        let seen = Moment { begin, at: 480, open: vec![(Shell, 0)], ended: None, also: Vec::new() }.seen();
        let past = Past { used: begin, warned: false };
        assert_eq!(judge(minutes(600), &seen, Some(past)).verdict, Verdict::Idle(minutes(120)));
        assert_eq!(
            verdict(6000, |it| it.open = vec![(KeepAlive, 0)], 0, false),
            Verdict::Used,
            "a hold holds"
        );
        for kind in [Task, Processor] {
            assert_eq!(verdict(300, |it| it.also = vec![kind], 0, true), Verdict::Used, "{kind:?}");
        }
        assert_eq!(verdict(119, |it| it.ended = Some(100), 0, true), Verdict::Idle(minutes(101)));
        assert_eq!(
            verdict(216, |it| it.ended = Some(100), 0, true),
            Verdict::Warn(minutes(4)),
            "announced anew"
        );
    }

    #[test]
    fn a_daemon_that_knows_no_past_counts_from_now() {
        let seen = Moment { begin: begin(), at: 999, open: Vec::new(), ended: None, also: Vec::new() }.seen();
        let judgement = judge(LIMIT, &seen, None);
        assert_eq!(judgement.verdict, Verdict::Idle(LIMIT));
        assert_eq!(judgement.past, Past { used: seen.now, warned: false });
    }

    #[test]
    fn work_is_told_from_the_idling_of_programs() {
        let counters = |millis, disk| Counters { processor: Duration::from_millis(millis), disk };
        let kinds = |before, now| -> Vec<UseKind> {
            load(before, now, minutes(1)).into_iter().map(|it| it.kind).collect()
        };
        let before = counters(1000, 1000);
        assert_eq!(kinds(before, counters(1000 + 5900, 1000)), [], "below a tenth of a processor");
        assert_eq!(kinds(before, counters(1000 + 6000, 1000)), [UseKind::Processor]);
        assert_eq!(kinds(before, counters(1000, 1000 + (256 << 10) * 60)), [UseKind::Disk]);
        assert_eq!(kinds(counters(9_000_000, 9 << 40), before), [], "started anew");
        assert_eq!(
            load(Counters::default(), counters(2000, 0), Duration::from_secs(1))[0].detail,
            "200 % of a processor"
        );
    }
}
