//! Merging two copies: its laws, and the stories that people would tell of it.

use proptest::prelude::*;
use serde_json::{Value, json};
use sync::{Conflict, Deletion, Document, Key, Owners, PHASE, Pen, RunnerId, Side, Token};

fn key() -> Key {
    Key::parse("environments/1").expect("a name")
}

fn server(token: u64) -> Pen {
    Pen::new(Side::Server, 0, Token(token))
}

fn runner(token: u64) -> Pen {
    Pen::new(Side::Runner(RunnerId::parse("mac").expect("a name")), 0, Token(token))
}

fn merged(a: &Document, b: &Document) -> Document {
    let mut both = a.clone();
    both.merge(b);
    both
}

/// Two copies of a document that is there already, with who writes in each.
fn apart() -> (Document, Pen, Document, Pen) {
    let (mut at_server, at_runner) = (server(1), runner(2));
    let mut document = Document::default();
    document.edit(&key(), PHASE, "stopped".into(), &mut at_server);
    document.edit(&key(), "class", "small".into(), &mut at_server);
    (document.clone(), at_server, document, at_runner)
}

#[test]
fn edits_of_different_fields_both_count() {
    let (mut mine, mut pen, mut theirs, mut other) = apart();
    mine.edit(&key(), "automations/services.web", json!({"wish": "started"}), &mut pen);
    theirs.edit(&key(), "automations/services.db", json!({"wish": "stopped"}), &mut other);
    let owners = Owners::default();
    let both = merged(&mine, &theirs);
    assert_eq!(both, merged(&theirs, &mine));
    assert_eq!(both.values(&owners).count(), 4);
    assert!(both.conflicts(&owners).is_empty());
}

#[test]
fn between_two_values_the_owners_counts_and_people_see_the_other_until_they_choose() {
    let (mut mine, mut pen, mut theirs, mut other) = apart();
    let owners = Owners::default();
    for field in ["class", PHASE] {
        mine.edit(&key(), field, "servers".into(), &mut pen);
        theirs.edit(&key(), field, "runners".into(), &mut other);
    }
    let mut both = merged(&mine, &theirs);
    assert_eq!(both.value("class", &owners), Some(&json!("servers")));
    assert_eq!(both.value(PHASE, &owners), Some(&json!("runners")));
    assert_eq!(both.conflicts(&owners).len(), 2);

    both.edit(&key(), "class", "runners".into(), &mut pen);
    both.edit(&key(), PHASE, "runners".into(), &mut pen);
    assert!(both.conflicts(&owners).is_empty());
    // What the two had said before changes nothing any more.
    assert_eq!(merged(&merged(&both, &mine), &theirs), both);
}

#[test]
fn the_same_value_twice_is_no_conflict() {
    let (mut mine, mut pen, mut theirs, mut other) = apart();
    mine.edit(&key(), "config", json!({"a": 1, "b": 2}), &mut pen);
    theirs.edit(&key(), "config", json!({"b": 2, "a": 1}), &mut other);
    assert!(merged(&mine, &theirs).conflicts(&Owners::default()).is_empty());
}

#[test]
fn a_field_taken_away_on_one_side_and_edited_on_the_other_is_a_conflict() {
    let (mut mine, mut pen, mut theirs, mut other) = apart();
    mine.edit(&key(), "class", Value::Null, &mut pen);
    theirs.edit(&key(), "class", "large".into(), &mut other);
    let owners = Owners::default();
    let both = merged(&mine, &theirs);
    assert_eq!(both.value("class", &owners), None);
    assert!(
        matches!(&both.conflicts(&owners)[..], [Conflict::Field { rivals, .. }] if rivals[0].value == "large")
    );
}

#[test]
fn an_edit_that_a_deletion_did_not_know_of_stops_it() {
    let (mut mine, mut pen, mut theirs, mut other) = apart();
    let owners = Owners::default();
    mine.delete(&key(), &owners, &mut pen);
    assert!(matches!(mine.deletion(&owners), Deletion::Effective(_)));
    theirs.edit(&key(), "config", "mine".into(), &mut other);
    let mut both = merged(&mine, &theirs);
    assert_eq!(both.deletion(&owners), Deletion::Opposed(vec!["config"]));
    assert_eq!(both.conflicts(&owners), [Conflict::Deletion { fields: vec!["config".into()] }]);

    let mut revived = both.clone();
    revived.edit(&key(), PHASE, "running".into(), &mut other);
    assert_eq!(revived.deletion(&owners), Deletion::None);
    assert!(both.delete(&key(), &owners, &mut pen), "the same wish, by one who knows");
    assert!(matches!(both.deletion(&owners), Deletion::Effective(_)));
    assert!(both.conflicts(&owners).is_empty());
}

#[test]
fn what_the_server_works_out_by_itself_stops_no_deletion() {
    let (mut mine, mut pen, _, _) = apart();
    let owners = Owners::default();
    mine.delete(&key(), &owners, &mut pen);
    mine.edit(&key(), "policy", json!({ "stop_after": 60 }), &mut pen);
    mine.edit(&key(), "size", json!({ "cpus": 2 }), &mut pen);
    assert!(matches!(mine.deletion(&owners), Deletion::Effective(_)));
    assert!(mine.conflicts(&owners).is_empty());
    mine.edit(&key(), "class", "large".into(), &mut pen);
    assert_eq!(mine.deletion(&owners), Deletion::Opposed(vec!["class"]));
}

#[test]
fn an_edit_of_a_phase_and_a_deletion_are_a_conflict_that_deletes_nothing() {
    let (mut mine, mut pen, mut theirs, mut other) = apart();
    let owners = Owners::default();
    mine.edit(&key(), PHASE, "running".into(), &mut pen);
    theirs.delete(&key(), &owners, &mut other);
    let both = merged(&mine, &theirs);
    assert!(matches!(both.deletion(&owners), Deletion::Opposed(_)));
    assert!(!both.conflicts(&owners).is_empty());
}

#[test]
fn a_restored_copy_takes_what_it_had_forgotten_and_keeps_what_it_adds() {
    let (mut mine, _, backup, _) = apart();
    let mut before = runner(2);
    mine.edit(&key(), "config", "made after the backup".into(), &mut before);
    // A program on the restored disk is another author, though all it knows is what the former knew then.
    let mut after = runner(3);
    let mut restored = backup;
    restored.edit(&key(), "config", "made after the restore".into(), &mut after);
    let both = merged(&mine, &restored);
    assert_eq!(both.fields()["config"].writes().len(), 2);
    assert_eq!(both.conflicts(&Owners::default()).len(), 1);
}

#[test]
fn two_values_of_one_dot_become_a_conflict() {
    // Only a copy of a running program writes one dot twice.
    let (mine, _, theirs, _) = apart();
    let (mut mine, mut theirs) = (mine, theirs);
    mine.edit(&key(), "config", "a".into(), &mut runner(7));
    theirs.edit(&key(), "config", "b".into(), &mut runner(7));
    let both = merged(&mine, &theirs);
    assert_eq!(both, merged(&theirs, &mine));
    assert_eq!(both.digest(), merged(&theirs, &mine).digest());
    assert_ne!(both.digest(), mine.digest());
    assert_eq!(both.conflicts(&Owners::default()).len(), 1);
}

#[test]
fn a_document_is_its_json() {
    let (mut mine, mut pen, mut theirs, mut other) = apart();
    mine.delete(&key(), &Owners::default(), &mut pen);
    theirs.edit(&key(), "class", json!([1, {"a": null}]), &mut other);
    let both = merged(&mine, &theirs);
    let text = serde_json::to_string(&both).unwrap();
    assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), both);
    assert!((text.len()..2 * text.len()).contains(&both.size()), "{} is about {}", both.size(), text.len());
}

/// What happens to some copies of one document: copy `0` edits field `1` to value `2`, or deletes, or takes in copy `3`.
type Story = Vec<(usize, usize, u8, Option<usize>)>;

const FIELDS: [&str; 3] = ["class", "config", PHASE];

fn stories() -> impl Strategy<Value = Story> {
    let step = (0..4usize, 0..FIELDS.len(), 0..4u8, proptest::option::of(0..4usize));
    proptest::collection::vec(step, 0..40)
}

/// The copies at the end. With `copied` two of the programs are one, as if it had been copied while it ran.
fn outcome(story: &Story, copied: bool) -> Vec<Document> {
    let owners = Owners::default();
    let mut pens = [server(1), runner(2), runner(if copied { 2 } else { 3 }), server(4)];
    let mut all = vec![Document::default(); 4];
    for (at, field, value, from) in story {
        if let Some(from) = from {
            let theirs = all[*from].clone();
            all[*at].merge(&theirs);
        } else if *value == 0 && FIELDS[*field] == PHASE {
            all[*at].delete(&key(), &owners, &mut pens[*at]);
        } else {
            all[*at].edit(&key(), FIELDS[*field], (*value).into(), &mut pens[*at]);
        }
    }
    all
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(story in stories(), copied: bool) {
        let copies = outcome(&story, copied);
        for a in &copies {
            prop_assert_eq!(&merged(a, a), a);
            for b in &copies {
                let both = merged(a, b);
                prop_assert_eq!(&both, &merged(b, a));
                prop_assert_eq!(&merged(&both, b), &both);
                prop_assert_eq!(both.digest(), merged(b, a).digest());
                for c in &copies {
                    prop_assert_eq!(merged(&both, c), merged(a, &merged(b, c)));
                }
            }
        }
    }

    #[test]
    fn copies_that_differ_have_other_digests(story in stories()) {
        let copies = outcome(&story, false);
        for a in &copies {
            for b in &copies {
                prop_assert_eq!(a == b, a.digest() == b.digest());
            }
        }
    }

    #[test]
    fn a_merge_says_the_same_wherever_it_happens(story in stories()) {
        let owners = Owners::default();
        let copies = outcome(&story, false);
        let forwards = copies.iter().fold(Document::default(), |all, copy| merged(&all, copy));
        let backwards = copies.iter().rev().fold(Document::default(), |all, copy| merged(&all, copy));
        prop_assert_eq!(forwards.conflicts(&owners), backwards.conflicts(&owners));
        prop_assert_eq!(forwards.deletion(&owners), backwards.deletion(&owners));
        prop_assert!(forwards.values(&owners).eq(backwards.values(&owners)));
    }
}
