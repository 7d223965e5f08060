use migration::Reason;

use super::*;

fn item(kind: Kind, name: &str, action: Action) -> Item {
    Item {
        kind,
        key: name.into(),
        name: name.into(),
        size: None,
        action,
        tags: Vec::new(),
        taken_tags: Vec::new(),
        notes: Vec::new(),
        needs: Vec::new(),
    }
}

fn left_out() -> (Reason, String) {
    let reason = Reason::VolumeBusy { containers: vec!["db".into()] };
    let advice = reason.advice();
    (reason, advice)
}

#[test]
fn a_plan_is_a_table_and_what_to_know() {
    let (reason, advice) = left_out();
    let items = vec![
        Item {
            size: Some(120 << 20),
            taken_tags: vec!["app:latest".into()],
            ..item(Kind::Image, "app:1", Action::Copy)
        },
        Item { tags: vec!["db:2".into()], ..item(Kind::Image, "db:1", Action::Name) },
        item(Kind::Volume, "data", Action::LeaveOut { reason, advice }),
        item(Kind::Network, "front", Action::Nothing),
        Item {
            notes: vec!["it wrote a file".into()],
            ..item(Kind::Container, "web\u{1b}[31m", Action::Copy)
        },
    ];
    let plan = Plan { items, nameless_images: 1, needed: 240 << 20, shortage: None };
    insta::assert_snapshot!(super::plan(&plan, Paint::OFF), @r"
    WHAT       NAME   SIZE       IS
    image      app:1  120.0 MiB  to copy
    image      db:1              here, to be named db:2
    volume     data              left out: the container `db` runs with it
    network    front             here
    container  web               to copy

    image app:1
      `app:latest` names another image here and is left as it is
    volume data
      hint: stop db at the source and run this again, or copy it as it is with `--running`: a database may be torn then
    container web
      it wrote a file

    1 image without a name that no container uses: not copied.
    Up to 240.0 MiB to copy.
    ");
    insta::assert_snapshot!(super::plan(&Plan::default(), Paint::OFF), @"There is nothing to copy.");
}

#[test]
fn a_report_counts_and_says_what_is_not_here() {
    let (reason, advice) = left_out();
    let done = |kind, name: &str, outcome| Done {
        kind,
        name: name.into(),
        outcome,
        taken_tags: Vec::new(),
        notes: Vec::new(),
        content: None,
    };
    let items = vec![
        done(Kind::Image, "app:1", Outcome::Verified),
        done(Kind::Image, "app:2", Outcome::Already),
        done(Kind::Volume, "data", Outcome::LeftOut { reason, advice }),
        done(Kind::Volume, "cache", Outcome::Failed { error: "the source failed: it is gone".into() }),
        done(Kind::Container, "web", Outcome::NotTried),
    ];
    let report = Report { items, complete: false };
    insta::assert_snapshot!(super::report(&report, Paint::OFF), @r"
    volume data
      left out: the container `db` runs with it
      hint: stop db at the source and run this again, or copy it as it is with `--running`: a database may be torn then
    volume cache
      failed: the source failed: it is gone
    container web
      not tried: what it needs failed, or an engine was lost

    2 of 2 images verified
    0 of 2 volumes verified
    0 of 1 containers verified
    Nothing was changed at the source. The same command goes on where this one ended.
    ");
}
