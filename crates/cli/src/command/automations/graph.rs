//! `cove automations graph`

use std::collections::BTreeMap;

use api::AutomationStatus;
use automations::{Graph, Item};
use camino::Utf8Path;
use serde::Serialize;

use super::file;
use crate::context::Context;
use crate::failure::Failure;
use crate::paint::Paint;
use crate::table::{self, Cell};
use crate::{quantity, select};

/// What waits for what.
#[derive(Serialize)]
struct Shown {
    /// Nothing comes before what it waits for.
    items: Vec<Step>,
    /// First step first.
    critical_path: Vec<String>,
    /// How long it takes, as far as that is known.
    critical_path_millis: u64,
}

#[derive(Serialize)]
struct Step {
    name: String,
    depends_on: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    millis: Option<u64>,
}

pub(super) async fn show(context: &Context, subject: Option<String>) -> Result<(), Failure> {
    let path = subject.as_deref().unwrap_or(".");
    let is_path = subject.is_none() || path.contains('/') || Utf8Path::new(path).exists();
    let shown = if is_path {
        let (_, reading) = file::read(Utf8Path::new(path))?;
        shown(&Graph::of(&reading.automations), &BTreeMap::new())
    } else {
        let client = context.client().await?;
        let environment = select::environment(&client, Some(path)).await?;
        let items = &environment.status.automations.items;
        shown(&graph_of(items), &times_of(items))
    };
    context.output.show(&shown, |paint| text(&shown, paint))
}

fn graph_of(items: &[AutomationStatus]) -> Graph {
    let parse = |name: &String| Item::parse(name);
    let needs = items
        .iter()
        .filter_map(|item| Some((parse(&item.name)?, item.depends_on.iter().filter_map(parse).collect())));
    Graph::new(needs.collect())
}

fn times_of(items: &[AutomationStatus]) -> BTreeMap<Item, u64> {
    items.iter().filter_map(|item| Some((Item::parse(&item.name)?, item.millis?))).collect()
}

fn shown(graph: &Graph, times: &BTreeMap<Item, u64>) -> Shown {
    let path = graph.critical_path(|item| times.get(item).copied());
    let step = |item: &Item| Step {
        name: item.to_string(),
        depends_on: graph.needs(item).iter().map(Item::to_string).collect(),
        millis: times.get(item).copied(),
    };
    Shown {
        items: graph.in_order().iter().map(step).collect(),
        critical_path_millis: path.iter().filter_map(|step| step.millis).sum(),
        critical_path: path.iter().map(|step| step.item.to_string()).collect(),
    }
}

fn text(shown: &Shown, paint: Paint) -> String {
    let rows: Vec<_> = shown
        .items
        .iter()
        .map(|step| {
            let is_critical = shown.critical_path.contains(&step.name);
            let needs = step.depends_on.join(", ");
            vec![
                Cell::plain(if is_critical { "*" } else { "" }),
                Cell::painted(&step.name, paint.bold(&step.name)),
                Cell::plain(step.millis.map_or("-".to_owned(), quantity::millis)),
                Cell::plain(if needs.is_empty() { "-".to_owned() } else { needs }),
            ]
        })
        .collect();
    let table = table::render(&["", "NAME", "TOOK", "WAITS FOR"], &rows, paint);
    let time = match shown.critical_path_millis {
        0 => String::new(),
        millis => format!(" ({})", quantity::millis(millis)),
    };
    format!("{table}\ncritical path (*): {}{time}\n", shown.critical_path.join(" → "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_that_takes_longest_is_marked() {
        let file = "
services:
  cache: {commands: {start: x}}
  db: {commands: {start: x}}
  web: {commands: {start: x}, dependsOn: [seed, cache]}
tasks: {seed: {command: x, dependsOn: [db]}}
";
        let reading = automations::read("x".into(), file.as_bytes()).unwrap();
        let graph = Graph::of(&reading.automations);
        let plain = Paint::OFF;
        insta::assert_snapshot!(text(&shown(&graph, &BTreeMap::new()), plain), @r##"
               NAME            TOOK  WAITS FOR
               services/cache  -     -
            *  services/db     -     -
            *  tasks/seed      -     services/db
            *  services/web    -     tasks/seed, services/cache

            critical path (*): services/db → tasks/seed → services/web
            "##);
        let times =
            [("services/cache", 9000), ("services/db", 1200), ("tasks/seed", 300), ("services/web", 5)];
        let times = times.map(|(name, millis)| (Item::parse(name).unwrap(), millis));
        insta::assert_snapshot!(text(&shown(&graph, &times.into()), plain), @r##"
               NAME            TOOK   WAITS FOR
            *  services/cache  9.0 s  -
               services/db     1.2 s  -
               tasks/seed      0.3 s  services/db
            *  services/web    0.0 s  tasks/seed, services/cache

            critical path (*): services/cache → services/web (9.0 s)
            "##);
    }
}
