//! What is here already is never overwritten.

use std::collections::BTreeSet;

use migration::{Action, Kind, Reason, Wishes};
use test_support::dockerd::BASE_IMAGE;

use crate::support::{Pair, action, assert_unchanged, not_here, state};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_here_is_told_of_and_left_as_it_is() {
    let Some(pair) = Pair::start().await else { return };
    let (source, target) = (&pair.source, &pair.target);
    source.docker(&["tag", BASE_IMAGE, "app:1"]);
    pair.fill("data", "mkdir a; echo theirs > a/file");
    pair.fill("same", "echo same > file; touch -d '2001-02-03 04:05:06' file .");
    pair.fill("void", "echo something > file");
    source.docker(&["volume", "create", "--label", "a=1", "labelled"]);
    // Both are empty, and the time of the folder itself tells them apart.
    pair.fill("labelled", "touch -d '2001-02-03 04:05:06' .");
    source.docker(&["network", "create", "--internal", "net"]);
    source.docker(&[
        "volume",
        "create",
        "--opt",
        "type=none",
        "--opt",
        "o=bind",
        "--opt",
        "device=/srv/x",
        "bound",
    ]);
    source.docker(&["create", "--name", "web", "--env", "A=1", "app:1", "true"]);
    source.docker(&["create", "--name", "user", "--volume", "data:/d", "app:1", "true"]);
    source.docker(&["create", "--name", "networked", "--network", "net", "app:1", "true"]);
    source.docker(&["create", "--name", "binder", "--volume", "bound:/b", "app:1", "true"]);

    let here = |volume: &str, script: &str| {
        let mount = format!("{volume}:/v");
        target.docker(&["run", "--rm", "-v", &mount, "-w", "/v", BASE_IMAGE, "sh", "-ec", script]);
    };
    // An image of the name that is another.
    target.docker(&["tag", BASE_IMAGE, "app:1"]);
    here("data", "mkdir a; echo ours! > a/file");
    here("same", "echo same > file; touch -d '2001-02-03 04:05:06' file .");
    target.docker(&["volume", "create", "void"]);
    target.docker(&["volume", "create", "--label", "a=2", "labelled"]);
    target.docker(&["network", "create", "net"]);
    target.docker(&["create", "--name", "web", "--env", "A=2", BASE_IMAGE, "true"]);
    let kept = ["data", "same", "labelled"].map(|volume| crate::support::volume_files(target, volume));
    let web = target.docker(&["inspect", "web"]);
    let before = state(source);

    let (_, plan) = pair.plan(&Wishes::default()).await;
    let reason = |kind, name: &str| match action(&plan, kind, name) {
        Action::LeaveOut { reason, .. } => reason.clone(),
        other => panic!("{name} is {other:?}"),
    };
    let Reason::VolumeDiffers { how, .. } = reason(Kind::Volume, "data") else { panic!("not a conflict") };
    assert!(how.contains("2 entries with 7 bytes at the source, 2 entries with 6 bytes here"), "{how}");
    assert_eq!(action(&plan, Kind::Volume, "void"), &Action::Copy, "nothing is lost in an empty one");
    assert_eq!(reason(Kind::Volume, "labelled"), Reason::VolumeDefined { volume: "labelled".into() });
    assert_eq!(reason(Kind::Network, "net"), Reason::NetworkDiffers { name: "net".into() });
    assert_eq!(reason(Kind::Container, "web"), Reason::NameTaken { name: "web".into() });
    let lacks = |what: &str| Reason::Lacks { what: vec![what.to_owned()] };
    assert_eq!(reason(Kind::Container, "user"), lacks("the volume `data`"));
    assert_eq!(reason(Kind::Container, "networked"), lacks("the network `net`"));
    let image = plan.items.iter().find(|item| item.kind == Kind::Image).unwrap();
    let taken: BTreeSet<_> = image.taken_tags.iter().map(String::as_str).collect();
    assert_eq!(taken, ["app:1", BASE_IMAGE].into());

    let report = pair.run(&Wishes::default(), &()).await;
    assert!(!report.complete);
    assert_eq!(not_here(&report).len(), 6, "{:#?}", not_here(&report));
    assert_eq!(kept, ["data", "same", "labelled"].map(|volume| crate::support::volume_files(target, volume)));
    assert_eq!(target.docker(&["inspect", "web"]), web);
    let bound = ["volume", "inspect", "--format", "{{json .Options}}", "bound"];
    assert_eq!(target.docker(&bound), source.docker(&bound));
    // The name means another image here, so the container is made of its id.
    let image = |engine: &test_support::dockerd::Dockerd| {
        engine.docker(&["inspect", "--format", "{{.Image}}", "binder"])
    };
    assert_eq!(image(target), image(source));
    assert_unchanged(source, &before);
    assert!(pair.is_clean());
}
