//! What is to be beside the dev container: which sidecars, what is said to each, and how that stands which has none.

use std::collections::BTreeMap;

use api::{AutomationPhase, AutomationStatus, Environment, Problem};
use automations::{Image, Item, Order, Outcome, Phase, Report, State, States, awaited};
use engine::ContainerState;

use super::link::Spot;
use super::sidecar::{self, Sidecar};
use super::{Look, with_secrets};
use crate::reconcile::Parts;
use crate::secrets::Given;

/// A sidecar that is to run, and be told something.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Of what.
    pub(crate) item: Item,
    /// What it is made of.
    pub(crate) image: Image,
    /// The session it is wanted for.
    pub(crate) session: String,
    /// What is to be said there.
    pub(crate) order: Order,
    /// The one there is.
    pub(crate) there: Option<Sidecar>,
    /// Whether that runs.
    pub(crate) is_up: bool,
}

/// What is remembered of sidecars.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sidecars {
    /// The run of the dev container in which each was told something last.
    told: BTreeMap<Item, String>,
    /// Why there is none, and for which session.
    failed: BTreeMap<Item, (String, Problem)>,
}

impl Sidecars {
    /// One was told what is wanted, in this run of the dev container.
    pub(crate) fn note_told(&mut self, item: &Item, run: String) {
        self.failed.remove(item);
        self.told.insert(item.clone(), run);
    }

    /// There is none for this session.
    pub(crate) fn note_failed(&mut self, item: &Item, session: &str, problem: Problem) {
        self.failed.insert(item.clone(), (session.to_owned(), problem));
    }

    /// A person asked: what could not be had may be there by now.
    pub(crate) fn doubt(&mut self) {
        self.failed.values_mut().for_each(|(session, _)| session.clear());
    }

    /// Where there is no container, what failed says so with the problem that it has.
    pub(super) fn tell_why(&self, items: &mut [AutomationStatus]) {
        for status in items.iter_mut().filter(|status| status.phase == AutomationPhase::Failed) {
            let failed = Item::parse(&status.name).and_then(|item| self.failed.get(&item));
            if let Some((_, problem)) = failed.filter(|(session, _)| *session == status.session.0) {
                status.problem = Some(problem.clone());
            }
        }
    }
}

/// What is looked at.
pub(super) struct View<'a> {
    pub(super) parts: &'a Parts,
    pub(super) environment: &'a Environment,
    /// All that is wanted, without secrets.
    pub(super) order: &'a Order,
    pub(super) given: &'a Given,
    pub(super) main: Option<&'a ContainerState>,
    /// The run of the dev container.
    pub(super) run: &'a String,
    pub(super) sidecars: &'a [Sidecar],
    pub(super) known: &'a Sidecars,
}

impl View<'_> {
    /// Says which sidecars there are to be, and adds to the report what nobody can tell who would be in one.
    pub(super) fn look(&self, report: &mut Option<Report>, look: &mut Look) {
        let Some(main) = self.main else { return };
        let declared = &self.order.automations;
        let told: Vec<Item> = report.iter().flat_map(|report| report.items.keys().cloned()).collect();
        for item in declared.items() {
            if !told.contains(&item)
                && let Some(status) = self.without(&item)
            {
                report.get_or_insert_default().items.insert(item, status);
            }
        }
        let states = self.states(report.as_ref());
        let awaited = awaited(declared, &self.order.wish, &states);
        let untold = states.0.into_iter().filter(|(item, _)| !told.contains(item)).collect();
        self.parts.automations.set_untold(&self.environment.id, untold);

        let mut fitting = Vec::new();
        for item in declared.items() {
            let Some(image) = sidecar::image_of(declared, &item) else { continue };
            let there = self.sidecars.iter().find(|it| it.serves(&item, image, main));
            fitting.extend(there.map(|it| &it.id));
            let is_up = there.is_some_and(|it| it.is_up(main, self.known.told.get(&item)));
            let before = || self.before(&item).map(|it| it.session.0.clone()).unwrap_or_default();
            let session = awaited.get(&item).cloned();
            if session.is_none() && !is_up {
                continue;
            }
            let session = session.unwrap_or_else(before);
            if self.known.failed.get(&item).is_some_and(|(failed, _)| *failed == session) {
                continue;
            }
            let spot = Spot::Beside(item.clone());
            let order = with_secrets(self.order, &spot, self.given);
            let why = if is_up {
                self.parts.automations.why_tell(&self.environment.id, &spot, &order)
            } else {
                Some(format!("`{item}` is to run in a container of its own"))
            };
            if let Some(why) = why {
                look.due.get_or_insert(why);
                let (image, there) = (image.clone(), there.cloned());
                look.beside.push(Wanted { item, image, session, order, there, is_up });
            }
        }
        look.stale = self.sidecars.iter().filter(|it| !fitting.contains(&&it.id)).cloned().collect();
        if !look.stale.is_empty() {
            look.due.get_or_insert("a container of their own is not wanted any more".to_owned());
        }
    }

    fn before(&self, item: &Item) -> Option<&AutomationStatus> {
        self.environment.status.automations.item(&item.to_string())
    }

    /// How something stands that is to have a sidecar, where it has none that could tell.
    fn without(&self, item: &Item) -> Option<automations::Status> {
        let declared = &self.order.automations;
        sidecar::image_of(declared, item)?;
        if let Some((session, problem)) = self.known.failed.get(item) {
            return Some(sidecar::settled(Phase::Failed, session.clone(), problem.to_string()));
        }
        let is_there =
            |it: &Sidecar| it.item == *item && self.main.is_some_and(|main| it.is_up(main, Some(self.run)));
        let was_there = self.known.told.get(item) == Some(self.run);
        if !was_there || self.sidecars.iter().any(is_there) {
            return None;
        }
        sidecar::lost(declared, item, self.before(item)?)
    }

    /// How all stands, as far as it is known.
    fn states(&self, report: Option<&Report>) -> States {
        let mut states = States::default();
        for item in self.order.automations.items() {
            let told = report.and_then(|report| report.items.get(&item)).map(automations::Status::state);
            states.0.extend(told.or_else(|| self.remembered(&item)).map(|state| (item, state)));
        }
        states
    }

    /// How something came to rest of which nobody tells.
    fn remembered(&self, item: &Item) -> Option<State> {
        if let Item::Task(name) = item {
            let task = self.order.wish.tasks.get(name)?;
            let Outcome { succeeded, outputs } = task.ended.clone()?;
            let phase = if succeeded { Phase::Succeeded } else { Phase::Failed };
            return Some(State { phase, session: task.session.clone(), outputs, ..State::default() });
        }
        let before = self.before(item)?;
        let phase = match before.phase {
            AutomationPhase::Failed => Phase::Failed,
            AutomationPhase::Stopped => Phase::Stopped,
            _ => return None,
        };
        let message = before.problem.as_ref().map(|problem| problem.title.clone());
        Some(State { phase, session: before.session.0.clone(), message, ..State::default() })
    }
}
