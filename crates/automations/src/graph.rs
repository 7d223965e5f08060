//! What waits for what.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Automations, Item};

/// The graph of dependencies.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    needs: BTreeMap<Item, Vec<Item>>,
}

/// A step of a path through the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStep {
    /// What.
    pub item: Item,
    /// How long it takes, in milliseconds; `None` where that is not known.
    pub millis: Option<u64>,
}

impl Graph {
    /// One of which it is known what waits for what.
    pub fn new(needs: BTreeMap<Item, Vec<Item>>) -> Self {
        Self { needs }
    }

    /// That of a file.
    pub fn of(automations: &Automations) -> Self {
        let needs = automations.items().map(|item| {
            let needs = automations.depends_on(&item).to_vec();
            (item, needs)
        });
        Self { needs: needs.collect() }
    }

    /// What must be there before it.
    pub fn needs(&self, item: &Item) -> &[Item] {
        self.needs.get(item).map_or(&[], Vec::as_slice)
    }

    /// It and everything that has to be there for it, dependencies first.
    pub fn with_needs(&self, item: &Item) -> Vec<Item> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        self.visit(item, &mut seen, &mut order);
        order
    }

    /// All of it, so that nothing comes before what it needs.
    pub fn in_order(&self) -> Vec<Item> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        for item in self.needs.keys() {
            self.visit(item, &mut seen, &mut order);
        }
        order
    }

    // Without recursion: a chain may be as long as a file.
    fn visit(&self, item: &Item, seen: &mut BTreeSet<Item>, order: &mut Vec<Item>) {
        let mut stack = vec![(item.clone(), false)];
        while let Some((item, done)) = stack.pop() {
            if done {
                order.push(item);
            } else if seen.insert(item.clone()) {
                let needs = self.needs(&item).iter().rev().map(|need| (need.clone(), false));
                let needs: Vec<_> = needs.collect();
                stack.push((item, true));
                stack.extend(needs);
            }
        }
    }

    /// Ways from something back to itself, it at both ends. At least one where there is any, at most `most`, and
    /// without the first link of each there is none.
    pub fn cycles(&self, most: usize) -> Vec<Vec<Item>> {
        let mut cycles = Vec::new();
        let mut seen = BTreeSet::new();
        for start in self.needs.keys() {
            if seen.contains(start) {
                continue;
            }
            seen.insert(start);
            // The way from the start to here, each with those of its needs that are still to be looked at.
            let mut way = vec![(start, self.needs(start).iter())];
            let mut on_way = BTreeMap::from([(start, 0)]);
            while let Some((item, needs)) = way.last_mut() {
                let item = *item;
                let Some(need) = needs.next() else {
                    on_way.remove(item);
                    way.pop();
                    continue;
                };
                if let Some(&begin) = on_way.get(need) {
                    let chain = way[begin..].iter().map(|(item, _)| (*item).clone());
                    cycles.push([item.clone()].into_iter().chain(chain).collect());
                    if cycles.len() == most {
                        return cycles;
                    }
                } else if let Some((need, needs)) = self.needs.get_key_value(need)
                    && seen.insert(need)
                {
                    on_way.insert(need, way.len());
                    way.push((need, needs.iter()));
                }
            }
        }
        cycles
    }

    /// The chain that decides how long all of it takes at least, first step first. Where times are not known, the
    /// longest chain of those whose known times are alike.
    pub fn critical_path(&self, millis: impl Fn(&Item) -> Option<u64>) -> Vec<PathStep> {
        let mut best: BTreeMap<Item, ((u64, usize), Option<Item>)> = BTreeMap::new();
        for item in self.in_order() {
            let before = self.needs(&item).iter().filter_map(|need| Some((best.get(need)?.0, need)));
            let before = before.max_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(one.1)));
            let ((time, steps), via) =
                before.map_or(((0, 0), None), |(length, need)| (length, Some(need.clone())));
            let length = (time.saturating_add(millis(&item).unwrap_or(0)), steps + 1);
            best.insert(item, (length, via));
        }
        let mut longest: Vec<_> = best.iter().collect();
        longest.sort_by(|one, other| other.1.0.cmp(&one.1.0).then(one.0.cmp(other.0)));
        let mut next = longest.first().map(|(item, _)| (*item).clone());
        let mut path = Vec::new();
        while let Some(item) = next {
            next = best.get(&item).and_then(|(_, via)| via.clone());
            path.push(PathStep { millis: millis(&item), item });
        }
        path.reverse();
        path
    }
}
