//! A source with everything in it arrives as it is, and stays as it is.

use migration::{Kind, Wishes};
use test_support::dockerd::BASE_IMAGE;

use crate::support::{Pair, assert_unchanged, not_here, state, volume_files};

/// Files of all kinds.
const ALL_KINDS: &str = r#"
    echo one > file; ln file hard; ln -s file soft; ln -s /nowhere/at/all dangling
    mkdir -p deep/er; long=$(printf 'n%.0s' $(seq 200)); mkdir deep/$long; echo deep > deep/$long/$long
    echo 'grüße' > 'grüße 🐳'; echo line > "two
lines"; : > '*.empty'; echo ' ' > ' '
    echo suid > suid; chmod 4755 suid; echo secret > secret; chmod 0 secret; mkdir sticky; chmod 1777 sticky
    echo owned > owned; chown 1234:5678 owned; chown -h 12:34 soft; chown 70000:70001 deep/er
    dd if=/dev/zero of=sparse bs=1 count=1 seek=20971520 2>/dev/null
    dd if=/dev/urandom of=random bs=1M count=7 2>/dev/null
    mkfifo fifo; touch -d '2001-02-03 04:05:06' file; touch -d '1990-01-01 00:00:00' sticky
    chmod 750 .; chown 1000:1000 .
"#;

/// Images with shared layers and several names, volumes with files of all kinds, and containers of several kinds.
fn populate(pair: &Pair) {
    let source = &pair.source;
    let docker = |line: &str| source.docker(&line.split(' ').collect::<Vec<_>>());
    source.docker(&["run", "--name", "build1", BASE_IMAGE, "sh", "-c", "echo 1 > /one; ln /one /uno"]);
    source.docker(&["commit", "--change", "ENV GREETING=hi", "build1", "app:1"]);
    docker("tag app:1 app:latest");
    docker("tag app:1 registry.example:5000/team/app:stable");
    source.docker(&["run", "--name", "build2", "app:1", "sh", "-c", "echo 2 > /two"]);
    source.docker(&["commit", "--change", "LABEL level=2", "build2", "app:2"]);
    let nameless = docker("commit build2");
    docker("commit --author nobody build1");
    docker("rm build1 build2");

    docker("volume create --label who=me data");
    pair.fill("data", ALL_KINDS);
    docker("volume create empty");
    docker("network create --label tier=front --subnet 10.77.0.0/24 front");
    docker("network create --internal back");
    let missing = source.socket().with_file_name("nowhere");
    docker(&format!(
        "create --name web --env A=1 --env B=two --label com.docker.compose.project=shop --restart unless-stopped \
         --publish 127.0.0.1:18080:80 --network front --ip 10.77.0.9 --network-alias site --hostname shop \
         --volume data:/data --volume empty:/etc:nocopy --volume emptied:/home --volume {missing}:/config:ro \
         --volume /anonymous --shm-size 32m --cap-add SYS_PTRACE --health-cmd true --user 1000 --workdir /data \
         app:1 sleep 1000"
    ));
    // Making the container copied the image's files into it.
    pair.fill("emptied", "rm -r dev vscode");
    docker("network connect --alias inner back web");
    docker("create --name beside --network container:web --volumes-from web app:2 sleep 1000");
    docker(&format!("create --name a-first --pid container:web --log-opt max-size=1m {nameless} sleep 1"));
    docker("run --name wrote --volume /scratch app:2 touch /root/mine /scratch/file");
    pair.fill("at-work", "echo open > book");
    docker("run --detach --name busy --volume at-work:/work app:1 sleep 100000");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_and_nothing_changes_at_the_source() {
    let Some(pair) = Pair::start().await else { return };
    populate(&pair);
    pair.target.docker(&["rmi", BASE_IMAGE]);
    let before = state(&pair.source);

    let (_, plan) = pair.plan(&Wishes::default()).await;
    assert_eq!(plan.nameless_images, 1);
    let report = pair.run(&Wishes::default(), &()).await;
    let missing = not_here(&report);
    assert_eq!(missing.len(), 2, "{missing:#?}");
    assert!(missing[0].starts_with("Volume at-work: LeftOut { reason: VolumeBusy"), "{missing:#?}");
    assert!(missing[1].starts_with("Container busy: LeftOut { reason: Lacks"), "{missing:#?}");
    let of = |name: &str| report.items.iter().find(|done| done.name == name).unwrap();
    assert!(of("wrote").notes[0].contains("it wrote a file into its own file system"), "{:?}", of("wrote"));
    assert!(of("web").notes.is_empty(), "{:?}", of("web"));
    let content = of("data").content.as_ref().unwrap();
    assert_eq!((content.entries, content.files), (19, 11), "{content:?}");

    // Asked for in so many words, the rest comes too.
    let all = Wishes { running: true, ..Wishes::default() };
    let report = pair.run(&all, &()).await;
    assert!(report.complete, "{:#?}", not_here(&report));
    assert_eq!(report.counts()[&Kind::Container], (5, 5));

    // And then there is nothing to do.
    let (_, plan) = pair.plan(&all).await;
    assert!(!plan.is_work(), "{plan:#?}");

    assert!(pair.is_clean());
    assert_unchanged(&pair.source, &before);
    looks_alike(&pair);
    works(&pair);
}

fn looks_alike(pair: &Pair) {
    let (source, target) = (&pair.source, &pair.target);
    for volume in ["data", "empty", "emptied", "at-work"] {
        assert_eq!(volume_files(source, volume), volume_files(target, volume), "{volume}");
    }
    let both =
        |arguments: &[&str]| assert_eq!(source.docker(arguments), target.docker(arguments), "{arguments:?}");
    for name in ["app:1", "app:latest", "registry.example:5000/team/app:stable", "app:2"] {
        both(&["image", "inspect", "--format", "{{.Id}} {{json .Config}} {{json .RootFS}}", name]);
    }
    both(&[
        "network",
        "inspect",
        "--format",
        "{{json .Labels}} {{json .IPAM}} {{.Internal}}",
        "front",
        "back",
    ]);
    both(&["volume", "inspect", "--format", "{{json .Labels}} {{.Driver}}", "data", "empty"]);
    both(&[
        "inspect",
        "--format",
        "{{json .Config.Env}} {{json .Config.Labels}} {{.Config.Hostname}} {{.Config.User}} {{json .Config.Cmd}} \
         {{json .Config.Healthcheck}} {{json .HostConfig.PortBindings}} {{json .HostConfig.RestartPolicy}} \
         {{.HostConfig.ShmSize}} {{json .HostConfig.CapAdd}} {{.Config.WorkingDir}} \
         {{(index .NetworkSettings.Networks \"front\").IPAMConfig.IPv4Address}} {{.Config.Image}}",
        "web",
    ]);
    let aliases = "{{range .NetworkSettings.Networks}}{{json .Aliases}}{{end}}";
    let aliases = target.docker(&["inspect", "--format", aliases, "web"]);
    assert!(aliases.contains("site") && aliases.contains("inner"), "{aliases}");
}

fn works(pair: &Pair) {
    let target = &pair.target;
    // The engine makes the folder that is missing on this host.
    target.docker(&["start", "web", "beside"]);
    assert_eq!(target.docker(&["exec", "web", "cat", "/data/hard", "/one"]), "one\n1");
    assert_eq!(target.docker(&["exec", "beside", "ls", "/etc"]), "hostname\nhosts\nresolv.conf");
    target.docker(&["stop", "--time", "0", "beside", "web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_asked_for_is_copied() {
    let Some(pair) = Pair::start().await else { return };
    let source = &pair.source;
    pair.fill("data", "echo content > file");
    // No engine gives out sockets: they mean nothing without who listens.
    let socket = source.socket().with_file_name("root/volumes/data/_data/socket");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    source.docker(&["tag", BASE_IMAGE, "mine:1"]);
    source.docker(&["create", "--name", "web", "--volume", "data:/data", "mine:1", "true"]);
    // Without any image here, the volume is filled through one that is made for it and gone after.
    pair.target.docker(&["rmi", BASE_IMAGE]);
    let volumes = Wishes { only: [Kind::Volume].into(), ..Wishes::default() };
    let report = pair.run(&volumes, &()).await;
    assert!(report.complete && report.items.len() == 1, "{report:#?}");
    assert!(pair.is_clean());
    assert_eq!(report.items[0].content.as_ref().unwrap().entries, 1);
    assert_eq!(pair.target.docker(&["images", "-aq"]), "");

    let containers = Wishes { only: [Kind::Container].into(), ..Wishes::default() };
    let report = pair.run(&containers, &()).await;
    assert_eq!(not_here(&report).len(), 1);
    assert!(not_here(&report)[0].contains("the image `cove-test/base:1`"), "{report:#?}");

    // The two base images have the same files and were made at different moments: they are not the same.
    let images = Wishes { only: [Kind::Image].into(), ..Wishes::default() };
    assert!(pair.run(&images, &()).await.complete);
    assert!(pair.run(&containers, &()).await.complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_not_copied_into_itself() {
    let Some(pair) = Pair::start().await else { return };
    let (same, _) = migration::find(&[pair.target.socket()]).await.unwrap();
    let (ours, _) = migration::find(&[pair.target.socket()]).await.unwrap();
    let refused = migration::Migration::new(same, ours).observe(&Wishes::default(), &()).await;
    assert!(matches!(refused, Err(migration::MigrationError::SameEngine)));
    // Nobody there is told with every place that was looked at.
    let places = ["/nowhere/a.sock".into(), "/nowhere/b.sock".into()];
    let error = migration::find(&places).await.unwrap_err().to_string();
    assert_eq!(error, "there is no engine's socket at `/nowhere/a.sock` or `/nowhere/b.sock`");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_an_engine_that_stores_them_differently_are_known_again() {
    let Some(pair) = Pair::start_unlike().await else { return };
    let (source, target) = (&pair.source, &pair.target);
    source.docker(&["run", "--name", "build", BASE_IMAGE, "sh", "-c", "echo 1 > /one"]);
    source.docker(&["commit", "build", "app:1"]);
    source.docker(&["tag", "app:1", "app:2"]);
    source.docker(&["rm", "build"]);
    source.docker(&["create", "--name", "web", "--volume", "data:/data", "app:1", "cat", "/one"]);
    // A name that means another image here is not moved by loading.
    target.docker(&["tag", BASE_IMAGE, "app:2"]);
    let kept = target.docker(&["image", "inspect", "--format", "{{.Id}}", "app:2"]);
    let before = state(source);
    let report = pair.run(&Wishes::default(), &()).await;
    assert_eq!(not_here(&report), [""; 0]);
    assert_eq!(target.docker(&["image", "inspect", "--format", "{{.Id}}", "app:2"]), kept);
    let id = ["image", "inspect", "--format", "{{.Id}}", "app:1"];
    assert_ne!(source.docker(&id), target.docker(&id), "or the source stores images as this engine does");
    assert_eq!(target.docker(&["start", "--attach", "web"]), "1");
    let (_, plan) = pair.plan(&Wishes::default()).await;
    assert!(!plan.is_work(), "{plan:#?}");
    assert_unchanged(source, &before);
}
