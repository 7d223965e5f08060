//! From the menu that is shown to the one that shall be, in the smallest steps.
//!
//! A menu that is open must not be replaced: macOS closes it or worse. So rows that stay are kept and only told
//! their new words; rows come and go one by one.

use std::mem::discriminant;

use crate::menu::{Item, Kind};

/// One step. Positions are those at the time of the step, after the steps before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// The row goes.
    Remove(usize),
    /// A row comes to stand here.
    Insert(usize, Item),
    /// The row says something else.
    Text(usize, String),
    /// The row is on or off.
    Checked(usize, bool),
    /// Rows inside of the row change.
    Inside(usize, Vec<Change>),
}

/// The steps from one list of rows to another.
pub(crate) fn changes(shown: &[Item], wanted: &[Item]) -> Vec<Change> {
    let mut steps = Vec::new();
    let mut now: Vec<&Item> = shown.iter().collect();
    for at in (0..now.len()).rev() {
        if !wanted.iter().any(|item| is_same_row(item, now[at])) {
            now.remove(at);
            steps.push(Change::Remove(at));
        }
    }
    for (at, item) in wanted.iter().enumerate() {
        match now.iter().position(|row| is_same_row(row, item)) {
            Some(found) if found == at => steps.extend(within(at, now[at], item)),
            // Moved: rows cannot be, so it comes anew.
            Some(found) => {
                steps.extend([Change::Remove(found), Change::Insert(at, item.clone())]);
                now.remove(found);
                now.insert(at, item);
            }
            None => {
                steps.push(Change::Insert(at, item.clone()));
                now.insert(at, item);
            }
        }
    }
    steps
}

/// Whether one row can become the other by being told new words.
fn is_same_row(one: &Item, other: &Item) -> bool {
    one.key == other.key && discriminant(&one.kind) == discriminant(&other.kind)
}

fn within(at: usize, shown: &Item, wanted: &Item) -> Vec<Change> {
    let mut steps = Vec::new();
    if shown.text != wanted.text {
        steps.push(Change::Text(at, wanted.text.clone()));
    }
    match (&shown.kind, &wanted.kind) {
        (Kind::Check(was, _), Kind::Check(is, _)) if was != is => steps.push(Change::Checked(at, *is)),
        (Kind::Submenu(shown), Kind::Submenu(wanted)) => {
            let inside = changes(shown, wanted);
            if !inside.is_empty() {
                steps.push(Change::Inside(at, inside));
            }
        }
        // What a row does is looked up when it is clicked.
        _ => {}
    }
    steps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::menu::Action;

    /// What Tauri's menus do, on a list.
    fn apply(rows: &mut Vec<Item>, steps: Vec<Change>) {
        for step in steps {
            match step {
                Change::Remove(at) => drop(rows.remove(at)),
                Change::Insert(at, item) => rows.insert(at, item),
                Change::Text(at, text) => rows[at].text = text,
                Change::Checked(at, on) => match &mut rows[at].kind {
                    Kind::Check(is, _) => *is = on,
                    other => panic!("{other:?} cannot be checked"),
                },
                Change::Inside(at, steps) => match &mut rows[at].kind {
                    Kind::Submenu(inside) => apply(inside, steps),
                    other => panic!("{other:?} has no rows"),
                },
            }
        }
    }

    fn row() -> impl Strategy<Value = Item> {
        let leaf = prop_oneof![
            Just(Kind::Line),
            Just(Kind::Separator),
            Just(Kind::Action(Action::Quit)),
            any::<bool>().prop_map(|on| Kind::Check(on, Action::Quit)),
        ];
        let row = |kind| (0..8_u8, "[a-c]", kind).prop_map(|(key, text, kind)| (key.to_string(), text, kind));
        let inside = prop::collection::vec(row(leaf.clone().boxed()), 0..6).prop_map(unique);
        let kind = prop_oneof![3 => leaf.boxed(), 1 => inside.prop_map(Kind::Submenu)];
        row(kind.boxed()).prop_map(|(key, text, kind)| Item { key, text, kind })
    }

    fn unique(rows: Vec<(String, String, Kind)>) -> Vec<Item> {
        rows.into_iter().map(|(key, text, kind)| Item { key, text, kind }).fold(Vec::new(), with)
    }

    fn with(mut rows: Vec<Item>, row: Item) -> Vec<Item> {
        if rows.iter().all(|there| there.key != row.key) {
            rows.push(row);
        }
        rows
    }

    fn rows() -> impl Strategy<Value = Vec<Item>> {
        prop::collection::vec(row(), 0..8).prop_map(|rows| rows.into_iter().fold(Vec::new(), with))
    }

    proptest! {
        #[test]
        fn the_steps_lead_there(shown in rows(), wanted in rows()) {
            let mut now = shown.clone();
            apply(&mut now, changes(&shown, &wanted));
            prop_assert_eq!(now, wanted);
        }

        #[test]
        fn what_is_as_it_shall_be_is_left_alone(rows in rows()) {
            prop_assert_eq!(changes(&rows, &rows), vec![]);
        }
    }

    #[test]
    fn a_row_with_new_words_stays_the_row_it_was() {
        let item = |text: &str| Item { key: "a".to_owned(), text: text.to_owned(), kind: Kind::Line };
        assert_eq!(changes(&[item("old")], &[item("new")]), [Change::Text(0, "new".to_owned())]);
    }
}
