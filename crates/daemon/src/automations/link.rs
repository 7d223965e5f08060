//! The links to those who look after tasks and services, one for each environment whose container runs.
//!
//! A link is an exec in the container that carries lines. It may break at any time, and costs nothing then: the next
//! look sees that, and the next link is told the same.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{EnvironmentId, Problem, ProblemCode};
use automations::{Item, Order, Report, ServiceWish, TaskWish, Wish};
use engine::{Channel, ExecSession};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, mpsc, watch};
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

/// All links, none at first. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Links {
    links: Arc<Mutex<HashMap<EnvironmentId, Link>>>,
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

struct Link {
    /// What was said last.
    told: Order,
    orders: mpsc::Sender<Order>,
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

    fn links(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How everything of an environment stands; `None` while nobody tells.
    pub(crate) fn report(&self, id: &EnvironmentId) -> Option<Report> {
        self.links().get(id)?.reports.borrow().clone()
    }

    /// Why an order is to be told; `None` where it was.
    pub(super) fn why_tell(&self, id: &EnvironmentId, order: &Order) -> Option<String> {
        let links = self.links();
        let reason = match links.get(id).map(|link| &link.told) {
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
        order: &Order,
        open: impl Future<Output = Result<ExecSession, Problem>>,
    ) -> Result<(), Problem> {
        let known =
            self.links().get(id).filter(|link| link.told.run == order.run).map(|link| link.orders.clone());
        let is_sent = match known {
            Some(orders) => orders.send(order.clone()).await.is_ok(),
            None => false,
        };
        if !is_sent {
            self.close(id);
            let link = self.begin(id, order, open.await?);
            self.links().insert(id.clone(), link);
        }
        let reports = {
            let mut links = self.links();
            let Some(link) = links.get_mut(id) else { return Err(unheard(&[])) };
            link.told = order.clone();
            link.reports.clone()
        };
        let declared = order.automations.digest();
        let heard = until(reports, ANSWER_TIME, |report| report.declared == declared).await;
        if heard {
            return Ok(());
        }
        let noise = self.links().get(id).map(|link| link.noise.clone());
        let noise = noise.map(|noise| noise.lock().unwrap_or_else(PoisonError::into_inner).clone());
        self.close(id);
        Err(unheard(&noise.unwrap_or_default()))
    }

    /// Ends everything of an environment whose container is about to be stopped, as its authors would have it. What
    /// takes too long ends with the container.
    pub(crate) async fn stop(&self, id: &EnvironmentId) {
        let (order, orders, reports) = {
            let links = self.links();
            let Some(link) = links.get(id) else { return };
            (stopping(&link.told), link.orders.clone(), link.reports.clone())
        };
        if orders.send(order).await.is_ok() {
            let is_down = |report: &Report| report.items.values().all(|status| !status.phase.is_alive());
            if !until(reports, STOP_TIME, is_down).await {
                tracing::info!(%id, "tasks or services end with their container");
            }
        }
        self.close(id);
    }

    /// Lets a link go; what runs in the container runs on.
    pub(crate) fn close(&self, id: &EnvironmentId) {
        drop(self.links().remove(id));
    }

    /// Lets all links go.
    pub(crate) fn close_all(&self) {
        self.links().clear();
    }

    fn begin(&self, id: &EnvironmentId, first: &Order, session: ExecSession) -> Link {
        let ExecSession { mut input, mut output, control: _ } = session;
        let (orders, mut to_send) = mpsc::channel::<Order>(4);
        let (tell, reports) = watch::channel(None);
        let noise = Arc::new(Mutex::new(Vec::new()));
        let first = first.clone();
        let writing = tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(order) = next {
                let Ok(mut line) = serde_json::to_vec(&order) else { return };
                line.push(b'\n');
                if input.write_all(&line).await.is_err() || input.flush().await.is_err() {
                    return;
                }
                next = to_send.recv().await;
            }
        });
        let (links, id, heard) = (self.clone(), id.clone(), Arc::clone(&noise));
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
                links.close(&id);
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
