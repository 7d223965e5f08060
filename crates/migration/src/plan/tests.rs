use engine::{ContainerRecord, NetworkRecord};
use serde_json::json;

use super::*;
use crate::observe::Side;

fn image(id: &str, tags: &[&str]) -> ImageRecord {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    ImageRecord { id: id.into(), tags, size: 100, layers: vec![id.into()], ..ImageRecord::default() }
}

fn volume(name: &str) -> VolumeRecord {
    VolumeRecord { name: name.into(), driver: "local".into(), ..VolumeRecord::default() }
}

fn network(name: &str, scope: &str, internal: bool) -> NetworkRecord {
    let inspect = json!({ "Name": name, "Driver": "bridge", "Internal": internal });
    NetworkRecord {
        name: name.into(),
        id: format!("{name}-id"),
        scope: scope.into(),
        inspect,
        ..Default::default()
    }
}

/// A container of the image `i1`, with one bind and in one network.
fn container(name: &str, bind: &str, network: &str) -> ContainerRecord {
    let id = format!("{name}-0123456789");
    let volumes = match bind.split_once(':') {
        Some((volume, at)) if !volume.starts_with('/') => [(at.to_owned(), volume.to_owned())].into(),
        _ => [].into(),
    };
    let binds = if bind.is_empty() { json!(null) } else { json!([bind]) };
    let inspect = json!({ "HostConfig": { "Binds": binds, "NetworkMode": network } });
    ContainerRecord { id, name: name.into(), image_id: "i1".into(), volumes, inspect, ..Default::default() }
}

fn running(container: ContainerRecord) -> ContainerRecord {
    ContainerRecord { running: true, ..container }
}

/// The plan, a line for each thing.
fn lines(source: Side, target: Side, change: impl FnOnce(&mut Observed, &mut Wishes)) -> Vec<String> {
    let (mut observed, mut wishes) = (Observed { source, target, ..Observed::default() }, Wishes::default());
    change(&mut observed, &mut wishes);
    let plan = plan(&observed, &wishes);
    let line = |item: &Item| {
        let action = match &item.action {
            Action::Copy => "copy".to_owned(),
            Action::Name => format!("name {}", item.tags.join(" ")),
            Action::Nothing => "nothing".to_owned(),
            Action::LeaveOut { reason, .. } => format!("leave out: {reason}"),
        };
        let taken =
            if item.taken_tags.is_empty() { String::new() } else { format!(" but {:?}", item.taken_tags) };
        format!("{:?} {}: {action}{taken}", item.kind, item.name)
    };
    plan.items.iter().map(line).collect()
}

#[test]
fn images() {
    let source = || Side {
        images: vec![
            image("i1", &["app:1", "app:2"]),
            image("sha256:aaaabbbbccccdddd", &[]),
            image("i3", &[]),
            image("i4", &["db:1"]),
            image("i5", &["web:1"]),
        ],
        containers: vec![ContainerRecord { image_id: "i3".into(), ..container("c", "", "default") }],
        ..Side::default()
    };
    let target = Side {
        images: vec![image("i1", &["app:1"]), image("i4", &["db:1"]), image("other", &["web:1"])],
        ..Side::default()
    };
    let only = |_: &mut Observed, wishes: &mut Wishes| wishes.only = [Kind::Image].into();
    assert_eq!(
        lines(source(), target, only),
        [
            "Image app:1: name app:2",
            "Image i3: copy",
            "Image db:1: nothing",
            "Image web:1: copy but [\"web:1\"]",
        ]
    );
    let plan = plan(&Observed { source: source(), ..Observed::default() }, &Wishes::default());
    assert_eq!((plan.nameless_images, plan.needed), (1, 500));
}

#[test]
fn volumes() {
    let elsewhere = |options: &[(&str, &str)], driver: &str| VolumeRecord {
        options: options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        driver: driver.into(),
        ..volume("elsewhere")
    };
    let labelled = |mut volume: VolumeRecord| {
        volume.labels.insert("a".into(), "1".into());
        volume
    };
    let bound = || elsewhere(&[("type", "none"), ("device", "/srv")], "local");
    let same = Comparison::Same { empty: false };
    let differs = Comparison::Differs("2 entries".into());
    for (source, here, compared, expected) in [
        (volume("v"), None, None, "copy"),
        (volume("v"), Some(volume("v")), Some(same.clone()), "nothing"),
        (labelled(volume("v")), Some(volume("v")), Some(same), "nothing"),
        (volume("v"), Some(volume("v")), Some(Comparison::Empty), "copy"),
        (
            labelled(volume("v")),
            Some(volume("v")),
            Some(Comparison::Empty),
            "leave out: there is a volume of that name here with other labels or options",
        ),
        (
            volume("v"),
            Some(volume("v")),
            Some(differs),
            "leave out: there is a volume of that name here with other content (2 entries)",
        ),
        (bound(), None, None, "copy"),
        (bound(), Some(bound()), None, "nothing"),
        (
            bound(),
            Some(volume("elsewhere")),
            None,
            "leave out: there is a volume of that name here with other labels or options",
        ),
        (
            elsewhere(&[], "rclone"),
            None,
            None,
            "leave out: its content is kept by `rclone`, not by the engine",
        ),
    ] {
        let name = source.name.clone();
        let side =
            |volume: Option<VolumeRecord>| Side { volumes: volume.into_iter().collect(), ..Side::default() };
        let found = lines(side(Some(source)), side(here), |observed, _| {
            observed.compared.extend(compared.map(|compared| (name.clone(), compared)));
        });
        assert_eq!(found, [format!("Volume {name}: {expected}")]);
    }
}

#[test]
fn a_volume_in_use_is_copied_on_request_only() {
    let source = || Side {
        volumes: vec![volume("v"), volume("idle")],
        containers: vec![running(container("db", "v:/v", "default")), container("off", "idle:/i", "default")],
        ..Side::default()
    };
    let only = |_: &mut Observed, wishes: &mut Wishes| wishes.only = [Kind::Volume].into();
    assert_eq!(
        lines(source(), Side::default(), only),
        ["Volume v: leave out: the container `db` runs with it", "Volume idle: copy"]
    );
    let too = |observed: &mut Observed, wishes: &mut Wishes| {
        only(observed, wishes);
        wishes.running = true;
    };
    assert_eq!(lines(source(), Side::default(), too), ["Volume v: copy", "Volume idle: copy"]);
    // One that was cut off is begun anew.
    let half = Side { volumes: vec![volume("idle")], ..Side::default() };
    let cut = |observed: &mut Observed, wishes: &mut Wishes| {
        only(observed, wishes);
        observed.cut_off.insert("idle".into());
    };
    assert_eq!(lines(source(), half, cut)[1], "Volume idle: copy");
}

#[test]
fn containers_come_after_what_they_need() {
    let source = || Side {
        images: vec![image("i1", &["app:1"])],
        volumes: vec![volume("v")],
        networks: vec![network("net", "local", false), network("swarm", "swarm", false)],
        containers: vec![
            container("a-joined", "", "container:web-0123456789"),
            container("web", "v:/v", "net-id"),
            container("far", "", "swarm"),
            container("lost", "gone:/v", "default"),
        ],
        ..Side::default()
    };
    assert_eq!(
        lines(source(), Side::default(), |_, _| {}),
        [
            "Image app:1: copy",
            "Volume v: copy",
            "Network net: copy",
            "Network swarm: leave out: it is not one engine's own (swarm)",
            "Container web: copy",
            "Container far: leave out: it needs the network `swarm`, neither here nor copied",
            "Container lost: leave out: it needs the volume `gone`, neither here nor copied",
            "Container a-joined: copy",
        ]
    );
    // Alone they find what they need here, or not.
    let here = || Side {
        images: vec![image("i1", &["app:1"])],
        networks: vec![network("net", "local", false)],
        ..Side::default()
    };
    let only = |_: &mut Observed, wishes: &mut Wishes| wishes.only = [Kind::Container].into();
    assert_eq!(
        lines(source(), here(), only)[..3],
        [
            "Network net: nothing",
            "Network swarm: leave out: it is not one engine's own (swarm)",
            "Container web: leave out: it needs the volume `v`, neither here nor copied",
        ]
    );
    let with_volume = Side { volumes: vec![volume("v")], ..here() };
    assert_eq!(lines(source(), with_volume, only)[2], "Container web: copy");
    let other = Side { networks: vec![network("net", "local", true)], ..here() };
    assert_eq!(
        lines(source(), other, only)[0],
        "Network net: leave out: there is a network of that name here that is not alike"
    );
}

#[test]
fn a_container_that_is_here_is_compared() {
    let side = |bind: &str| Side {
        images: vec![image("i1", &["app:1"])],
        containers: vec![container("web", bind, "default")],
        ..Side::default()
    };
    assert_eq!(lines(side("/a:/a"), side("/a:/a"), |_, _| {})[1], "Container web: nothing");
    assert_eq!(
        lines(side("/a:/a"), side("/b:/b"), |_, _| {})[1],
        "Container web: leave out: another container here has the name"
    );
}

#[test]
fn what_a_person_should_know_is_said() {
    let source = Side {
        images: vec![image("i1", &["app:1"])],
        containers: vec![
            container("web", "/Users/me/src:/src", "default"),
            container("dock", "/var/run/docker.sock:/s", "default"),
        ],
        ..Side::default()
    };
    let mut observed = Observed { source, ..Observed::default() };
    observed.written.insert(observed.source.containers[0].id.clone(), 3);
    let notes = |shares: &[&str]| {
        let shares = Some(shares.iter().map(|share| (*share).to_owned()).collect());
        plan(&observed, &Wishes { shares, ..Wishes::default() }).items[1].notes.clone()
    };
    let shared = notes(&["/Users/me"]);
    assert_eq!(shared.len(), 1);
    assert!(shared[0].contains("3 files") && shared[0].contains("docker commit web web-kept"), "{shared:?}");
    let hidden = notes(&["/Users/m"]);
    assert!(hidden[1].contains("does not see `/Users/me/src`"), "{hidden:?}");
    let nothing_shared = Wishes { shares: Some(Vec::new()), ..Wishes::default() };
    assert!(plan(&observed, &nothing_shared).items[2].notes.is_empty());
}

#[test]
fn room_is_reckoned_before() {
    let observed = Observed {
        source: Side {
            images: vec![image("i1", &["a:1"]), image("i2", &["a:2"])],
            volumes: vec![volume("v")],
            ..Side::default()
        },
        // Half of what both have is shared.
        layers_size: 150,
        volume_sizes: [("v".to_owned(), 40)].into(),
        ..Observed::default()
    };
    let with = |free| plan(&observed, &Wishes { free, ..Wishes::default() });
    assert_eq!(with(None).needed, 150 + 100 + 40);
    assert_eq!(with(Some(290)).shortage, None);
    assert_eq!(with(Some(289)).shortage, Some(Shortage { needed: 290, free: 289 }));
}
