//! The kernel's clocks: `CLOCK_BOOTTIME` goes on while the computer sleeps, `CLOCK_MONOTONIC` stands still.
//!
//! Nothing polls. A timer on the wall clock that is never due is cancelled by the kernel whenever that clock jumps,
//! which it does at each waking; then the two clocks tell whether it was a sleep.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::sync::mpsc;

use super::{PowerEvent, SleepClock};

/// When the timer would be due, in seconds since 1970: in 2100. If it ever is, it is set again.
const NEVER: i64 = 4_102_444_800;

pub(super) fn watch(events: mpsc::UnboundedSender<PowerEvent>) -> io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
    arm(&timer)?;
    let (going, standing) = now();
    let mut clock = SleepClock::start(going, standing);
    thread::Builder::new().name("cove-power".to_owned()).spawn(move || {
        while !events.is_closed() {
            if let Err(error) = wait_for_a_jump(&timer) {
                tracing::warn!(%error, "sleep of this computer is not noticed any more");
                return;
            }
            let (going, standing) = now();
            let Some(slept) = clock.slept(going, standing) else { continue };
            tracing::info!(seconds = slept.as_secs(), "this computer slept");
            if events.send(PowerEvent::DidWake).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn arm(timer: &OwnedFd) -> io::Result<()> {
    let due = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: NEVER, tv_nsec: 0 },
    };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &due)?;
    Ok(())
}

/// Returns when the wall clock has jumped.
fn wait_for_a_jump(timer: &OwnedFd) -> io::Result<()> {
    loop {
        match rustix::io::read(timer, &mut [0; 8]) {
            // The kernel's word for "the clock was set".
            Err(Errno::CANCELED) => return arm(timer),
            Ok(_) => arm(timer)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Most that may lie between two readings that are to be of one moment: far below what is taken for sleep.
const MOMENT: Duration = Duration::from_millis(50);

/// The clock that goes on, and the one that stands still.
fn now() -> (Duration, Duration) {
    let read = |clock| {
        let time = clock_gettime(clock);
        // Neither is ever negative.
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    };
    loop {
        let before = read(ClockId::Monotonic);
        let both = (read(ClockId::Boottime), read(ClockId::Monotonic));
        // Else this process had to wait in between.
        if both.1.saturating_sub(before) < MOMENT {
            return both;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::power::PowerEvents;

    #[tokio::test]
    async fn a_computer_that_is_awake_tells_nothing() {
        let mut events = PowerEvents::watch().unwrap();
        let told = tokio::time::timeout(std::time::Duration::from_millis(50), events.next()).await;
        assert!(told.is_err(), "the timer was due, or the clocks disagree: {told:?}");
    }
}
