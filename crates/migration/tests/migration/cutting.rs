//! Runs that are cut off, and copies that go wrong.

use std::sync::Mutex;

use engine::{Progress, ProgressEvent, ProgressKind};
use migration::{Action, Kind, Outcome, Wishes};
use test_support::dockerd::BASE_IMAGE;
use tokio::sync::Notify;

use crate::support::{Pair, action, assert_unchanged, not_here, state, volume_files};

/// Tells when a piece of news comes.
struct When<F>(F, Notify);

impl<F: Fn(&ProgressEvent) -> bool + Send + Sync> Progress for When<F> {
    fn report(&self, event: ProgressEvent) {
        if (self.0)(&event) {
            self.1.notify_one();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_loses_nothing_and_the_next_run_goes_on() {
    let Some(pair) = Pair::start().await else { return };
    pair.fill("first", "echo first > file");
    pair.fill("large", "dd if=/dev/urandom of=big bs=1M count=48 2>/dev/null; echo last > z");
    let before = state(&pair.source);
    let volumes = Wishes { only: [Kind::Volume].into(), ..Wishes::default() };
    let in_the_middle = |event: &ProgressEvent| {
        event.item == "volume large"
            && matches!(event.kind, ProgressKind::Bytes { done, .. } if done > 8 << 20)
    };
    let while_comparing = |event: &ProgressEvent| {
        event.item == "volume large" && matches!(&event.kind, ProgressKind::Line(line) if line == "comparing")
    };
    // Each begins where the one before was cut off.
    for (moment, when) in [
        (
            "in the middle",
            When(Box::new(in_the_middle) as Box<dyn Fn(&_) -> bool + Send + Sync>, Notify::new()),
        ),
        ("while comparing", When(Box::new(while_comparing), Notify::new())),
    ] {
        let (observed, plan) = pair.plan(&volumes).await;
        assert_eq!(action(&plan, Kind::Volume, "large"), &Action::Copy, "{moment}");
        tokio::select! {
            report = pair.migration.run(&observed, &plan, &when) => panic!("it was not cut {moment}: {report:?}"),
            () = when.1.notified() => {}
        }
        // As after a kill: nothing was said to either engine.
        let filling = "label=dev.cove.migration=filling";
        assert_ne!(pair.target.docker(&["ps", "-aq", "--filter", filling]), "", "{moment}");
    }
    let report = pair.run(&volumes, &()).await;
    assert!(report.complete, "{:#?}", not_here(&report));
    for volume in ["first", "large"] {
        assert_eq!(volume_files(&pair.source, volume), volume_files(&pair.target, volume));
    }
    assert!(pair.is_clean());
    assert_unchanged(&pair.source, &before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_being_taken_away_is_not_mistaken_for_another() {
    let Some(pair) = Pair::start().await else { return };
    let target = &pair.target;
    pair.fill("half", "echo whole > file");
    pair.fill("theirs", "echo source > file");
    let mark = |volume: &str, created: &str| {
        let labels = [
            "dev.cove.migration=undoing".to_owned(),
            format!("dev.cove.migration.volume={volume}"),
            format!("dev.cove.migration.created={created}"),
        ];
        let labels = labels.iter().flat_map(|label| ["--label", label.as_str()]);
        target.docker(&["create"].into_iter().chain(labels).chain([BASE_IMAGE, "true"]).collect::<Vec<_>>());
    };
    // One was cut off while it was taken away; the other is a volume that a person made since.
    for volume in ["half", "theirs"] {
        let mount = format!("{volume}:/v");
        target.docker(&["run", "--rm", "-v", &mount, BASE_IMAGE, "sh", "-c", "echo here > /v/other"]);
    }
    mark("half", &target.docker(&["volume", "inspect", "--format", "{{.CreatedAt}}", "half"]));
    mark("theirs", "2001-02-03T04:05:06Z");
    let kept = volume_files(target, "theirs");
    let report = pair.run(&Wishes { only: [Kind::Volume].into(), ..Wishes::default() }, &()).await;
    assert_eq!(not_here(&report).len(), 1, "{report:#?}");
    assert_eq!(volume_files(target, "theirs"), kept);
    assert_eq!(volume_files(target, "half"), volume_files(&pair.source, "half"));
    assert!(pair.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_differs_is_found_and_made_anew() {
    let Some(pair) = Pair::start().await else { return };
    pair.fill("data", "echo 'all is well' > file; touch -d '2001-02-03 04:05:06' file .");
    pair.source.docker(&["create", "--name", "web", "--volume", "data:/data", BASE_IMAGE, "true"]);
    pair.target.docker(&["rmi", BASE_IMAGE]);
    let file = pair.target.socket().parent().unwrap().join("root/volumes/data/_data/file");
    // One byte, and the time as it was.
    let damage = move |event: &ProgressEvent| {
        if event.item == "volume data"
            && matches!(&event.kind, ProgressKind::Line(line) if line == "comparing")
        {
            let time = std::fs::metadata(&file).unwrap().modified().unwrap();
            std::fs::write(&file, "all is hell\n").unwrap();
            std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        }
        false
    };
    let report = pair.run(&Wishes::default(), &When(damage, Notify::new())).await;
    let of = |name: &str| &report.items.iter().find(|done| done.name == name).unwrap().outcome;
    let Outcome::Failed { error } = of("data") else { panic!("not found: {report:#?}") };
    assert!(
        error.contains("the copy differs from the original") && error.contains("`file` differs"),
        "{error}"
    );
    assert_eq!(of("web"), &Outcome::NotTried);
    let report = pair.run(&Wishes::default(), &()).await;
    assert!(report.complete, "{:#?}", not_here(&report));
    assert!(pair.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_image_is_loaded_again() {
    let Some(pair) = Pair::start().await else { return };
    let script = "dd if=/dev/urandom of=/big bs=1M count=32 2>/dev/null";
    pair.source.docker(&["run", "--name", "build", BASE_IMAGE, "sh", "-c", script]);
    pair.source.docker(&["commit", "build", "big:1"]);
    pair.source.docker(&["tag", "big:1", "big:2"]);
    pair.source.docker(&["rm", "build"]);
    pair.target.docker(&["rmi", BASE_IMAGE]);
    let images = Wishes { only: [Kind::Image].into(), ..Wishes::default() };
    let seen = Mutex::new(Vec::new());
    let when = When(
        |event: &ProgressEvent| {
            seen.lock().unwrap().push(event.clone());
            event.item == "image big:1" && event.kind == ProgressKind::Started
        },
        Notify::new(),
    );
    let (observed, plan) = pair.plan(&images).await;
    tokio::select! {
        report = pair.migration.run(&observed, &plan, &when) => panic!("it was not cut: {report:?}"),
        () = when.1.notified() => {}
    }
    let report = pair.run(&images, &()).await;
    assert!(report.complete, "{:#?}", not_here(&report));
    let id = |name: &str| pair.target.docker(&["image", "inspect", "--format", "{{.Id}}", name]);
    assert_eq!(id("big:1"), id("big:2"));
    // Loaded but not yet named, as after a cut in between: it is not sent again.
    pair.target.docker(&["rmi", "big:2"]);
    let (_, plan) = pair.plan(&images).await;
    assert_eq!(action(&plan, Kind::Image, "big:1"), &Action::Name);
    assert!(pair.run(&images, &()).await.complete);
    assert_eq!(id("big:1"), id("big:2"));
}
