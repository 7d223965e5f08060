//! How busy the machine is, looked at for as long as somebody reads.
//!
//! All readers share one sampler, which begins with the first and ends with the last of them: a machine that nobody looks
//! at is not woken to be counted. What was seen within the last minutes is kept, so that who looks again sees a line and
//! not a dot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::{MachinePhase, MetricsMessage, MetricsSample, Problem};
use futures::stream::{BoxStream, StreamExt};
use jiff::Timestamp;
use protocol::agent::{Metrics, Traffic};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use super::{Inner, MachineHost, lock, session};
use crate::agent_client::AgentError;

/// Between two samples.
const EVERY: Duration = Duration::from_secs(2);

/// How far back is kept.
const KEPT: Duration = Duration::from_mins(10);

/// How often it is said again that there is nothing to count: a write also finds out that the reader is gone.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// How long a guest may take to tell, until that is told instead.
const PATIENCE: Duration = Duration::from_secs(10);

/// Two looks that are further apart make no rate: it would tell of a time in which nobody looked.
const FURTHEST: Duration = Duration::from_secs(15);

/// Messages a reader may lag behind.
const QUEUE: usize = 64;

/// What was seen, and who looks.
pub(super) struct Gauge {
    seen: VecDeque<MetricsMessage>,
    readers: usize,
    sampler: Option<JoinHandle<()>>,
    sender: broadcast::Sender<MetricsMessage>,
}

impl Default for Gauge {
    fn default() -> Self {
        let sender = broadcast::Sender::new(QUEUE);
        Self { seen: VecDeque::new(), readers: 0, sampler: None, sender }
    }
}

impl Gauge {
    fn publish(&mut self, message: MetricsMessage) {
        self.forget_old(message.time());
        self.seen.push_back(message.clone());
        // A reader that goes at this moment is none.
        let _ = self.sender.send(message);
    }

    fn forget_old(&mut self, now: Timestamp) {
        self.seen.retain(|message| now.duration_since(message.time()).unsigned_abs() < KEPT);
    }
}

impl MachineHost {
    /// How busy the machine is: what was seen within the last minutes, and then a sample every two seconds while it
    /// runs. Never ends. It is looked at only for as long as such a stream lives, and once for all of them.
    pub fn metrics(&self) -> BoxStream<'static, MetricsMessage> {
        let (reader, seen, receiver) = Reader::begin(&self.inner);
        let news = futures::stream::unfold((reader, receiver), |(reader, mut receiver)| async move {
            loop {
                match receiver.recv().await {
                    Ok(message) => return Some((message, (reader, receiver))),
                    // A reader that is that slow sees a gap in the line.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        futures::stream::iter(seen).chain(news).boxed()
    }
}

/// One who looks.
struct Reader {
    inner: Arc<Inner>,
}

impl Reader {
    /// The first one has the looking begin.
    fn begin(inner: &Arc<Inner>) -> (Self, Vec<MetricsMessage>, broadcast::Receiver<MetricsMessage>) {
        let mut gauge = lock(&inner.gauge);
        gauge.forget_old(Timestamp::now());
        gauge.readers += 1;
        if gauge.sampler.is_none() {
            gauge.sampler = Some(tokio::spawn(sample(Arc::clone(inner))));
        }
        // What is told while the lock is held is in neither, and what is told later is new.
        let (seen, receiver) = (gauge.seen.iter().cloned().collect(), gauge.sender.subscribe());
        drop(gauge);
        (Self { inner: Arc::clone(inner) }, seen, receiver)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut gauge = lock(&self.inner.gauge);
        gauge.readers -= 1;
        if gauge.readers == 0
            && let Some(sampler) = gauge.sampler.take()
        {
            sampler.abort();
        }
    }
}

/// Looks again and again, until aborted.
async fn sample(inner: Arc<Inner>) {
    let mut state = inner.state.subscribe();
    let mut before = None;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let phase = state.borrow_and_update().phase;
        if phase != MachinePhase::Running {
            before = None;
            lock(&inner.gauge).publish(MetricsMessage::Off { time: Timestamp::now(), phase });
            // The sender lives in `inner`.
            let _ = timeout(HEARTBEAT, state.wait_for(|now| now.phase != phase)).await;
            continue;
        }
        ticks.tick().await;
        let looked = timeout(PATIENCE, look(&inner))
            .await
            .unwrap_or_else(|_| Err(AgentError::TimedOut { request: "metrics", after: PATIENCE }.into()));
        match looked {
            Ok(look) => {
                let sample = look.since(before.as_ref());
                lock(&inner.gauge).publish(MetricsMessage::Sample(sample));
                before = Some(look);
            }
            // One that was halted or ended meanwhile is no silent one.
            Err(_) if state.borrow().phase != MachinePhase::Running => {}
            Err(problem) => {
                lock(&inner.gauge).publish(MetricsMessage::Silent { time: Timestamp::now(), problem });
            }
        }
    }
}

/// What was seen of it at one time.
struct Look {
    at: Instant,
    time: Timestamp,
    guest: Metrics,
    host_memory: u64,
    host_disk: u64,
}

async fn look(inner: &Inner) -> Result<Look, Problem> {
    let session = inner.session().ok_or_else(super::problems::not_running)?;
    let (guest, shim) = session::figures(&session).await?;
    Ok(Look {
        at: Instant::now(),
        time: Timestamp::now(),
        guest,
        host_memory: shim.host_memory,
        host_disk: session::host_disk(inner),
    })
}

impl Look {
    /// What it tells, with rates where there was a look shortly before. What a guest tells may be anything.
    fn since(&self, before: Option<&Self>) -> MetricsSample {
        let near = before.filter(|before| {
            self.at.saturating_duration_since(before.at) <= FURTHEST
                // It was started anew in between.
                && self.guest.uptime_ms > before.guest.uptime_ms
        });
        let between = |of: fn(&Metrics) -> Option<Traffic>| {
            let before = near?;
            let elapsed = self.at.saturating_duration_since(before.at);
            let (now, then) = (of(&self.guest)?, of(&before.guest)?);
            Some((rate(then.came, now.came, elapsed)?, rate(then.went, now.went, elapsed)?))
        };
        let network = between(|guest| guest.network);
        let disks = between(|guest| guest.disks);
        MetricsSample {
            time: self.time,
            cpu: near.and_then(|before| busy(&before.guest, &self.guest)),
            processors: self.guest.processors,
            memory_total: self.guest.memory_total,
            memory_used: self.guest.memory_total.saturating_sub(self.guest.memory_available),
            memory_cached: self.guest.memory_cached,
            host_memory: self.host_memory,
            disk_total: self.guest.disk_total,
            disk_used: self.guest.disk_used,
            host_disk: self.host_disk,
            network_in: network.map(|(came, _)| came),
            network_out: network.map(|(_, went)| went),
            disk_read: disks.map(|(came, _)| came),
            disk_written: disks.map(|(_, went)| went),
        }
    }
}

/// How much of all processors was busy in between, in percent with one digit behind the point.
fn busy(before: &Metrics, now: &Metrics) -> Option<f64> {
    let processors = now.processors.filter(|count| *count > 0)?;
    let busy = now.busy_ms.checked_sub(before.busy_ms)? as f64;
    let possible = now.uptime_ms.checked_sub(before.uptime_ms)? as f64 * f64::from(processors);
    // The kernel counts in hundredths, so that it may be a little more than there is.
    (possible > 0.0).then(|| (busy / possible * 1000.0).round().min(1000.0) / 10.0)
}

/// How much of a counter a second. `None` where it fell: it was begun anew.
fn rate(before: u64, now: u64, elapsed: Duration) -> Option<u64> {
    let grown = u128::from(now.checked_sub(before)?);
    let rate = (grown * 1000).checked_div(elapsed.as_millis())?;
    Some(u64::try_from(rate).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
