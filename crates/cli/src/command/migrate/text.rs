//! A plan and a report as people read them.

use migration::{Action, Done, Item, Kind, Outcome, Plan, Report};

use crate::paint::Paint;
use crate::quantity;
use crate::table::{self, Cell};
use crate::text::harmless;

/// What would be done.
pub(super) fn plan(plan: &Plan, paint: Paint) -> String {
    if plan.items.is_empty() {
        return "There is nothing to copy.\n".to_owned();
    }
    let rows: Vec<_> = plan.items.iter().map(|item| row(item, paint)).collect();
    let table = table::render(&["WHAT", "NAME", "SIZE", "IS"], &rows, paint);
    let mut known = Vec::new();
    for item in &plan.items {
        let advice = match &item.action {
            Action::LeaveOut { advice, .. } => Some(advice.as_str()),
            _ => None,
        };
        known.push(remarks(item.kind, &item.name, None, advice, &item.taken_tags, &item.notes, paint));
    }
    let mut end = Vec::new();
    if plan.nameless_images > 0 {
        let images = if plan.nameless_images == 1 { "image" } else { "images" };
        end.push(format!(
            "{} {images} without a name that no container uses: not copied.\n",
            plan.nameless_images
        ));
    }
    if plan.is_work() {
        let needed = format!("Up to {} to copy.", quantity::bytes(plan.needed));
        end.push(match &plan.shortage {
            Some(shortage) => format!("{needed} The machine has {} left.\n", quantity::bytes(shortage.free)),
            None => format!("{needed}\n"),
        });
    }
    apart([table, known.concat(), end.concat()])
}

/// What was done.
pub(super) fn report(report: &Report, paint: Paint) -> String {
    if report.items.is_empty() {
        return "There is nothing to copy.\n".to_owned();
    }
    let mut known = Vec::new();
    for done in &report.items {
        let (wrong, advice) = match &done.outcome {
            Outcome::Verified | Outcome::Already => (None, None),
            Outcome::LeftOut { reason, advice } => {
                (Some(format!("left out: {reason}")), Some(advice.as_str()))
            }
            Outcome::Failed { error } => (Some(format!("failed: {error}")), None),
            Outcome::NotTried => {
                (Some("not tried: what it needs failed, or an engine was lost".to_owned()), None)
            }
        };
        let wrong = wrong.map(|wrong| paint.yellow(&harmless(&wrong)));
        known.push(remarks(done.kind, &done.name, wrong, advice, &done.taken_tags, &done.notes, paint));
    }
    let mut end = Vec::new();
    for (kind, (here, all)) in report.counts() {
        let line = format!("{here} of {all} {}s verified", kind.word());
        let line = if here == all { paint.green(&line) } else { paint.yellow(&line) };
        let compared = if kind == Kind::Volume { compared(&report.items) } else { String::new() };
        end.push(format!("{line}{compared}\n"));
    }
    if !report.complete {
        end.push(
            "Nothing was changed at the source. The same command goes on where this one ended.\n".to_owned(),
        );
    }
    apart([known.concat(), end.concat()])
}

/// Those that say something, with an empty line between.
fn apart<const N: usize>(sections: [String; N]) -> String {
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn compared(items: &[Done]) -> String {
    let contents: Vec<_> = items.iter().filter_map(|done| done.content.as_ref()).collect();
    if contents.is_empty() {
        return String::new();
    }
    let entries = contents.iter().map(|content| content.entries).sum::<u64>();
    let bytes = contents.iter().map(|content| content.bytes).sum();
    let noun = if entries == 1 { "entry" } else { "entries" };
    format!(": {entries} {noun} with {} compared on both sides", quantity::bytes(bytes))
}

fn row(item: &Item, paint: Paint) -> Vec<Cell> {
    let action = match &item.action {
        Action::Copy => Cell::plain("to copy"),
        Action::Name => Cell::plain(format!("here, to be named {}", item.tags.join(", "))),
        Action::Nothing => Cell::painted("here", paint.dim("here")),
        Action::LeaveOut { reason, .. } => {
            let text = harmless(&format!("left out: {reason}"));
            let painted = paint.yellow(&text);
            Cell::painted(&text, painted)
        }
    };
    let size = item.size.map(quantity::bytes).unwrap_or_default();
    vec![Cell::plain(item.kind.word()), Cell::plain(&item.name), Cell::plain(size), action]
}

/// What a person should know of one thing, a line each; nothing for most.
fn remarks(
    kind: Kind,
    name: &str,
    wrong: Option<String>,
    advice: Option<&str>,
    taken: &[String],
    notes: &[String],
    paint: Paint,
) -> String {
    let taken = taken.iter().map(|tag| format!("`{tag}` names another image here and is left as it is"));
    let lines: Vec<_> =
        wrong.into_iter().chain(taken.chain(notes.iter().cloned()).map(|it| harmless(&it))).collect();
    if lines.is_empty() && advice.is_none() {
        return String::new();
    }
    let title = format!("{} {}\n", kind.word(), paint.bold(&harmless(name)));
    let lines = lines.iter().map(|line| format!("  {line}\n"));
    let advice = advice.map(|advice| format!("  {} {}\n", paint.cyan("hint:"), harmless(advice)));
    [title].into_iter().chain(lines).chain(advice).collect()
}

#[cfg(test)]
mod tests;
