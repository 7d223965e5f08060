//! The links to those who look after tasks and services, one for each container of an environment that has some.
//!
//! A link is an exec in the container that carries lines. It may break at any time, and costs nothing then: the next
//! look sees that, and the next link is told the same. What one link tells, the others are told: what runs in one
//! container may wait for what runs in another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{EnvironmentId, Problem, ProblemCode};
use automations::{Automations, Item, Order, Place, Report, ServiceWish, State, TaskWish, Wish};
use engine::{Channel, ExecSession};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long the first answer may take: a supervisor may have to be started on a busy machine.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// How long everything may take to end before its container is stopped.
const STOP_TIME: Duration = Duration::from_secs(20);

/// Longest line that is taken from a container, in bytes.
const MAX_LINE: usize = 4 << 20;

/// What is kept of what a link said besides, for a message, in bytes.
const MAX_NOISE: usize = 2000;

/// How long a link that broke off counts as there, so that one that always breaks is not made without a pause.
const BREAK_PAUSE: Duration = Duration::from_secs(1);

/// Which container of an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    /// The dev container.
    Main,
    /// The one that this task or service has of its own.
    Beside(Item),
}

impl Spot {
    /// Where something runs.
    pub(crate) fn of(declared: &Automations, item: &Item) -> Self {
        match declared.place(item) {
            Place::DevContainer => Self::Main,
            Place::Docker(_) => Self::Beside(item.clone()),
        }
    }
}

/// All links, none at first. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Links {
    links: Arc<Mutex<HashMap<EnvironmentId, Group>>>,
    news: Arc<News>,
}

/// Whose reports are new. As many as there are environments, however much their containers say.
#[derive(Default)]
struct News {
    of: Mutex<BTreeSet<EnvironmentId>>,
    told: Notify,
}

impl News {
    fn tell(&self, id: &EnvironmentId) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        self.told.notify_one();
    }
}

/// The links of an environment.
#[derive(Default)]
struct Group {
    links: BTreeMap<Spot, Link>,
    /// How that stands of which no link tells.
    untold: BTreeMap<Item, State>,
}

impl Group {
    /// How it all stands that does not run in this container.
    fn elsewhere(&self, spot: &Spot, declared: &Automations) -> BTreeMap<Item, State> {
        let others = declared.items().map(|item| (Spot::of(declared, &item), item));
        let others = others.filter(|(place, _)| place != spot);
        let told = others.map(|(place, item)| {
            let state = self.state(&place, &item);
            (item, state)
        });
        told.collect()
    }

    fn state(&self, place: &Spot, item: &Item) -> State {
        let report = self.links.get(place).and_then(|link| link.reports.borrow().clone());
        let told = report.and_then(|report| report.items.get(item).map(automations::Status::state));
        told.or_else(|| self.untold.get(item).cloned()).unwrap_or_default()
    }

    /// Tells each link how it stands elsewhere, where that is news.
    fn relay(&self) {
        for (spot, link) in &self.links {
            let elsewhere = self.elsewhere(spot, &link.told.automations);
            link.orders.send_if_modified(|order| {
                let is_news = order.elsewhere != elsewhere;
                order.elsewhere = elsewhere;
                is_news
            });
        }
    }
}

struct Link {
    /// What was said last, without how it stands elsewhere.
    told: Order,
    /// What is said: the newest alone counts.
    orders: watch::Sender<Order>,
    reports: watch::Receiver<Option<Report>>,
    /// What it said besides.
    noise: Arc<Mutex<Vec<u8>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Links {
    /// Waits for the next environment whose report is new. For one who asks; nothing is lost when the wait is given up.
    pub(crate) async fn next_news(&self) -> EnvironmentId {
        loop {
            let next = self.news.of.lock().unwrap_or_else(PoisonError::into_inner).pop_first();
            match next {
                Some(id) => return id,
                None => self.news.told.notified().await,
            }
        }
    }

    fn links(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Group>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How everything of an environment stands, in all its containers; `None` while nobody tells.
    pub(crate) fn report(&self, id: &EnvironmentId) -> Option<Report> {
        let links = self.links();
        let reports = links.get(id)?.links.iter().filter_map(|(spot, link)| {
            let report = link.reports.borrow().clone()?;
            Some((spot, report))
        });
        reports.fold(None, |all: Option<Report>, (spot, report)| {
            let Some(mut all) = all else { return Some(report) };
            let own = |item: &Item| *spot == Spot::Beside(item.clone());
            all.items.extend(report.items.into_iter().filter(|(item, _)| own(item)));
            Some(all)
        })
    }

    /// How that stands of which no link tells: others may wait for it.
    pub(super) fn set_untold(&self, id: &EnvironmentId, untold: BTreeMap<Item, State>) {
        if let Some(group) = self.links().get_mut(id)
            && group.untold != untold
        {
            group.untold = untold;
            group.relay();
        }
    }

    /// Why an order is to be told; `None` where it was.
    pub(super) fn why_tell(&self, id: &EnvironmentId, spot: &Spot, order: &Order) -> Option<String> {
        let links = self.links();
        let reason = match links.get(id).and_then(|group| group.links.get(spot)).map(|link| &link.told) {
            Some(told) if told.asks_same(order) => return None,
            Some(told) if told.run == order.run && told.automations != order.automations => {
                "the file that declares them changed"
            }
            Some(told) if told.run == order.run => "something else is wanted of them",
            _ => "they are declared, and nobody in the container was told yet",
        };
        Some(reason.to_owned())
    }

    /// Says what is wanted, over the link there is or a new one, and waits until that was heard.
    ///
    /// # Errors
    /// It was not heard; then there is no link.
    pub(crate) async fn tell(
        &self,
        id: &EnvironmentId,
        spot: &Spot,
        order: &Order,
        open: impl Future<Output = Result<ExecSession, Problem>>,
    ) -> Result<(), Problem> {
        let is_known = || {
            let links = self.links();
            let known = links.get(id).and_then(|group| group.links.get(spot));
            known.is_some_and(|link| link.told.run == order.run && !link.orders.is_closed())
        };
        if !is_known() {
            self.close(id, spot);
            let session = open.await?;
            let mut links = self.links();
            let group = links.entry(id.clone()).or_default();
            let elsewhere = group.elsewhere(spot, &order.automations);
            let link = self.begin(id, spot, Order { elsewhere, ..order.clone() }, session);
            group.links.insert(spot.clone(), link);
        }
        let reports = {
            let mut links = self.links();
            let Some(group) = links.get_mut(id) else { return Err(unheard(&[])) };
            let elsewhere = group.elsewhere(spot, &order.automations);
            let Some(link) = group.links.get_mut(spot) else { return Err(unheard(&[])) };
            link.told = order.clone();
            link.orders.send_if_modified(|said| {
                let order = Order { elsewhere, ..order.clone() };
                let is_news = *said != order;
                *said = order;
                is_news
            });
            link.reports.clone()
        };
        let declared = order.automations.digest();
        if until(reports, ANSWER_TIME, |report| report.declared == declared).await {
            return Ok(());
        }
        let noise =
            self.links().get(id).and_then(|group| group.links.get(spot)).map(|link| link.noise.clone());
        let noise = noise.map(|noise| noise.lock().unwrap_or_else(PoisonError::into_inner).clone());
        self.close(id, spot);
        Err(unheard(&noise.unwrap_or_default()))
    }

    /// Waits until the dev container has nothing more of what has a container of its own now.
    pub(crate) async fn until_left(&self, id: &EnvironmentId, order: &Order) {
        let reports = {
            let links = self.links();
            let main = links.get(id).and_then(|group| group.links.get(&Spot::Main));
            let Some(main) = main else { return };
            main.reports.clone()
        };
        let is_own = |item: &Item| Spot::of(&order.automations, item) == Spot::Main;
        if !until(reports, STOP_TIME, |report| report.items.keys().all(is_own)).await {
            tracing::info!(%id, "something that moved out of the dev container has not ended there yet");
        }
    }

    /// Ends everything of an environment whose container is about to be stopped, as its authors would have it. What
    /// takes too long ends with its container.
    pub(crate) async fn stop(&self, id: &EnvironmentId) {
        self.end(id, |_| true).await;
    }

    /// As [`stop`](Self::stop), of one container.
    pub(crate) async fn stop_at(&self, id: &EnvironmentId, spot: &Spot) {
        self.end(id, |it| it == spot).await;
    }

    async fn end(&self, id: &EnvironmentId, is_meant: impl Fn(&Spot) -> bool) {
        let mut ending = Vec::new();
        if let Some(group) = self.links().get_mut(id) {
            for (spot, link) in group.links.iter_mut().filter(|(spot, _)| is_meant(spot)) {
                // From now on this is what it was told, also where others have news for it.
                link.told = stopping(&link.told);
                let elsewhere = link.orders.borrow().elsewhere.clone();
                link.orders.send_replace(Order { elsewhere, ..link.told.clone() });
                ending.push((spot.clone(), link.reports.clone()));
            }
        }
        let is_down = |report: &Report| report.items.values().all(|status| !status.phase.is_alive());
        let all = ending.iter().map(|(_, reports)| until(reports.clone(), STOP_TIME, is_down));
        if !futures::future::join_all(all).await.into_iter().all(|is_down| is_down) {
            tracing::info!(%id, "tasks or services end with their container");
        }
        for (spot, _) in ending {
            self.close(id, &spot);
        }
    }

    /// Lets a link go; what runs in the container runs on.
    pub(crate) fn close(&self, id: &EnvironmentId, spot: &Spot) {
        let mut links = self.links();
        if let Some(group) = links.get_mut(id) {
            group.links.remove(spot);
            if group.links.is_empty() {
                links.remove(id);
            }
        }
    }

    /// Lets all links go.
    pub(crate) fn close_all(&self) {
        self.links().clear();
    }

    /// Something was told by one of an environment's links.
    fn relay(&self, id: &EnvironmentId) {
        if let Some(group) = self.links().get(id) {
            group.relay();
        }
    }

    fn begin(&self, id: &EnvironmentId, spot: &Spot, first: Order, session: ExecSession) -> Link {
        let ExecSession { mut input, mut output, control: _ } = session;
        let (orders, mut to_send) = watch::channel(first);
        let (tell, reports) = watch::channel(None);
        let noise = Arc::new(Mutex::new(Vec::new()));
        let writing = tokio::spawn(async move {
            loop {
                let order = to_send.borrow_and_update().clone();
                let Ok(mut line) = serde_json::to_vec(&order) else { return };
                line.push(b'\n');
                if input.write_all(&line).await.is_err() || input.flush().await.is_err() {
                    return;
                }
                if to_send.changed().await.is_err() {
                    return;
                }
            }
        });
        let (links, id, spot, heard) = (self.clone(), id.clone(), spot.clone(), Arc::clone(&noise));
        let reading = tokio::spawn(async move {
            let mut rest = Vec::new();
            while let Some(Ok((channel, bytes))) = output.next().await {
                if channel == Channel::Err {
                    hear(&heard, &bytes);
                    continue;
                }
                rest.extend_from_slice(&bytes);
                while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    if let Ok(report) = serde_json::from_slice::<Report>(&line) {
                        tell.send_replace(Some(report));
                        links.relay(&id);
                        links.news.tell(&id);
                    } else {
                        // Such as "no such file": the engine tells it in the place of the program.
                        hear(&heard, &line);
                    }
                }
                if rest.len() > MAX_LINE {
                    break;
                }
            }
            let is_new = tell.borrow().is_none();
            drop(tell);
            if !is_new {
                tokio::time::sleep(BREAK_PAUSE).await;
                links.close(&id, &spot);
            }
            links.news.tell(&id);
        });
        Link { told: Order::default(), orders, reports, noise, tasks: [writing, reading] }
    }
}

/// Keeps something for a message, while there is room.
fn hear(noise: &Mutex<Vec<u8>>, bytes: &[u8]) {
    let mut noise = noise.lock().unwrap_or_else(PoisonError::into_inner);
    let room = MAX_NOISE.saturating_sub(noise.len());
    noise.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Waits for a report that is as wanted; whether it came.
async fn until(
    mut reports: watch::Receiver<Option<Report>>,
    time: Duration,
    is: impl Fn(&Report) -> bool,
) -> bool {
    let wanted = reports.wait_for(|report| report.as_ref().is_some_and(&is));
    matches!(tokio::time::timeout(time, wanted).await, Ok(Ok(_)))
}

/// The order that nothing shall run.
fn stopping(order: &Order) -> Order {
    let session = format!("stop {}", order.run);
    let mut wish = Wish::default();
    for item in order.automations.items() {
        let (run, session) = (false, session.clone());
        match item {
            Item::Service(name) => drop(wish.services.insert(name, ServiceWish { run, session })),
            Item::Task(name) => drop(wish.tasks.insert(name, TaskWish { run, session, ended: None })),
        }
    }
    Order { wish, ..order.clone() }
}

fn unheard(noise: &[u8]) -> Problem {
    let title = "tasks and services are not started: nobody in the container looks after them";
    let lines = String::from_utf8_lossy(noise).lines().map(str::to_owned).collect();
    Problem::new(ProblemCode::AutomationFailed, title)
        .with_log(lines)
        .with_command("try it again", "cove up")
        .with_command("a container of an earlier version is made anew by", "cove up --rebuild")
}
