//! Keeps what is known true: one watch of the daemon, and a reading whenever it tells of a change.
//!
//! ```text
//! start the daemon, if none answers ──► watch ──► Synced: read everything ──► Changed: read that ──┐
//!        ▲                                │  ▲                                      └──────────────┘
//!        │ it died                        │  └─ it is back, whoever started it
//!        └────────────────────────────────┴─► it was ended: say so, and leave it to people
//! ```
//!
//! Nothing is asked at intervals: an idle machine stays idle.

use std::time::Duration;

use api::{DEFAULT_MACHINE, Event, EventKind, HomeLayout, Machine, MachinePhase, ObjectKind};
use client::{CallError, Client, Watch, WatchUpdate};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::act::Hands;
use crate::browse::Browsing;
use crate::menu::Action;
use crate::snapshot::{Daemon, Reading, Snapshot};

/// Least time between two readings, and so between two changes of the menu.
pub(crate) const CALM: Duration = Duration::from_millis(500);

/// How often a daemon that died is started again, …
const MOST_MENDS: u32 = 3;

/// … until one has lived for so long.
const LONG_LIFE: Duration = Duration::from_mins(1);

/// For so long the daemon keeps figures of the machine, also that there were none.
const FIGURES_KEPT: Duration = Duration::from_millis(2200);

/// What the menu can ask of this loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Start the daemon.
    Start,
    /// A person looks: read the machine's figures.
    Look,
}

/// Follows for as long as the app runs. `hands` open what is to be opened without a click.
pub(crate) async fn follow(
    home: HomeLayout,
    known: watch::Sender<Snapshot>,
    hands: Hands,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let mut follower = Follower::new(home, known, hands);
    follower.start().await;
    loop {
        let due = follower.due();
        tokio::select! {
            update = next(&mut follower.watch) => follower.take(update).await,
            order = orders.recv() => match order {
                Some(Order::Start) => follower.start().await,
                Some(Order::Look) => follower.stale.machine |= follower.is_understood(),
                None => return,
            },
            () = sleep_until(due), if follower.is_due() => follower.read().await,
            () = sleep_until(follower.second.at(due)), if follower.second.is_planned() => {
                follower.second = SecondLook::Had;
                follower.stale.machine = true;
            }
        }
    }
}

/// The next update; none for ever without a watch.
async fn next(watch: &mut Option<Watch>) -> Option<Result<WatchUpdate, CallError>> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// A machine that just started may have been read before there were figures. It is read once more, and not again and
/// again: one that has no figures then has none.
#[derive(Clone, Copy)]
enum SecondLook {
    NotNeeded,
    Planned(Instant),
    Had,
}

impl SecondLook {
    fn is_planned(self) -> bool {
        matches!(self, Self::Planned(_))
    }

    fn at(self, otherwise: Instant) -> Instant {
        if let Self::Planned(at) = self { at } else { otherwise }
    }

    fn after(self, machine: &Machine) -> Self {
        let lacks_figures = machine.status.phase == MachinePhase::Running && machine.status.usage.is_none();
        match self {
            _ if !lacks_figures => Self::NotNeeded,
            Self::NotNeeded => Self::Planned(Instant::now() + FIGURES_KEPT),
            Self::Planned(_) | Self::Had => self,
        }
    }
}

struct Follower {
    home: HomeLayout,
    client: Client,
    known: watch::Sender<Snapshot>,
    hands: Hands,
    browsing: Browsing,
    watch: Option<Watch>,
    stale: Stale,
    read_at: Option<Instant>,
    second: SecondLook,
    mends: u32,
    mended_at: Option<Instant>,
}

/// What changed since it was read.
#[derive(Default)]
struct Stale {
    environments: bool,
    machine: bool,
}

impl Follower {
    fn new(home: HomeLayout, known: watch::Sender<Snapshot>, hands: Hands) -> Self {
        let client = Client::new(&home);
        Self {
            home,
            client,
            known,
            hands,
            browsing: Browsing::default(),
            watch: None,
            stale: Stale::default(),
            read_at: None,
            second: SecondLook::NotNeeded,
            mends: 0,
            mended_at: None,
        }
    }

    fn is_due(&self) -> bool {
        self.stale.environments || self.stale.machine
    }

    fn due(&self) -> Instant {
        self.read_at.map_or_else(Instant::now, |read| read + CALM)
    }

    fn tell(&self, daemon: Daemon) {
        self.known.send_if_modified(|known| {
            let is_new = known.daemon != daemon;
            if matches!(daemon, Daemon::Ended | Daemon::Failed(_)) {
                known.environments.clear();
                known.machine = None;
            }
            known.daemon = daemon;
            is_new
        });
    }

    /// Makes sure that a daemon answers, as the command line does, and watches it.
    async fn start(&mut self) {
        self.tell(Daemon::Starting);
        if let Err(error) = Client::connect_or_start(&self.home).await {
            tracing::warn!(%error, "the daemon does not answer");
            self.tell(Daemon::Failed(error.problem()));
        }
        // Also without one: the watch tells when somebody else starts it.
        self.watch = Some(self.client.watch(None, None));
    }

    async fn take(&mut self, update: Option<Result<WatchUpdate, CallError>>) {
        match update {
            Some(Ok(WatchUpdate::Event(event))) => {
                self.mark(&event);
                if let Some(address) = self.browsing.address(&event.kind, Instant::now()) {
                    self.hands.act(Action::Open(address)).await;
                }
            }
            Some(Ok(WatchUpdate::Synced { .. } | WatchUpdate::ListAgain { .. })) => self.connected().await,
            Some(Ok(WatchUpdate::Interrupted(error))) => self.interrupted(&error).await,
            Some(Err(error)) => {
                tracing::warn!(%error, "the daemon cannot be watched");
                self.watch = None;
                self.tell(Daemon::Failed(error.problem()));
            }
            None => self.watch = None,
        }
    }

    /// Whatever was missed is read now.
    async fn connected(&mut self) {
        match self.client.check_version().await {
            Ok(_) => self.stale = Stale { environments: true, machine: true },
            // The watch notices too.
            Err(CallError::Broken { .. }) => {}
            Err(error) => self.tell(Daemon::Failed(error.problem())),
        }
    }

    /// An orderly end is somebody's wish; any other is mended.
    async fn interrupted(&mut self, error: &CallError) {
        self.stale = Stale::default();
        if self.mended_at.is_none_or(|mended| mended.elapsed() > LONG_LIFE) {
            self.mends = 0;
        }
        match error {
            CallError::Broken { .. } if self.mends < MOST_MENDS => {
                tracing::warn!(%error, "the daemon died; it is started again");
                self.mends += 1;
                self.mended_at = Some(Instant::now());
                self.start().await;
            }
            _ if matches!(self.known.borrow().daemon, Daemon::Failed(_)) => {}
            CallError::Broken { .. } => self.tell(Daemon::Failed(error.problem())),
            _ => self.tell(Daemon::Ended),
        }
    }

    /// Whether the daemon speaks as this program does, as far as was seen.
    fn is_understood(&self) -> bool {
        !matches!(self.known.borrow().daemon, Daemon::Failed(_))
    }

    fn mark(&mut self, event: &Event) {
        let is_change = matches!(event.kind, EventKind::Changed | EventKind::Removed) && self.is_understood();
        match event.object.kind {
            // What it does, the machine's figures show.
            ObjectKind::Environment => {
                self.stale.environments |= is_change;
                self.stale.machine |= is_change;
            }
            // Reading the machine measures it, which is a change that was read already.
            ObjectKind::Machine => self.stale.machine |= is_change && !self.is_read(event.sequence),
        }
    }

    fn is_read(&self, sequence: u64) -> bool {
        let known = self.known.borrow();
        known.machine.as_ref().is_some_and(|read| sequence <= read.machine.metadata.resource_version)
    }

    async fn read(&mut self) {
        let stale = std::mem::take(&mut self.stale);
        self.read_at = Some(Instant::now());
        let read = async {
            let mut machine = None;
            if stale.machine {
                machine = Some(self.client.machine(DEFAULT_MACHINE).await?);
            }
            let mut environments = None;
            if stale.environments {
                environments = Some(self.client.environments().await?);
            }
            Ok::<_, CallError>((machine, environments))
        };
        match read.await {
            Ok((machine, environments)) => {
                self.second = machine.as_ref().map_or(self.second, |machine| self.second.after(machine));
                self.known.send_modify(|known| {
                    known.daemon = Daemon::Answers;
                    if let Some(machine) = machine {
                        known.machine = Some(Reading { machine, at: jiff::Zoned::now().time() });
                    }
                    if let Some(mut environments) = environments {
                        environments.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
                        known.environments = environments;
                    }
                });
            }
            // The watch notices as well, and reads again once the daemon is back.
            Err(CallError::Connect(_) | CallError::Broken { .. }) => {}
            Err(error) => self.tell(Daemon::Failed(error.problem())),
        }
    }
}
