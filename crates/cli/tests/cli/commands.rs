//! What the commands print that only ask.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

use crate::fake::{Fake, Ran, cove, environment, running};

fn fake() -> Fake {
    let mut broken = environment("shop", "/srv/shop");
    broken.status.phase = api::Phase::Stopped;
    broken.status.problem = Some(
        api::Problem::new(api::ProblemCode::BuildFailed, "could not build the image of `shop`")
            .with_log(vec!["E: no such package".to_owned()]),
    );
    Fake::start(vec![running("web", "/srv/web"), broken], Vec::new())
}

#[test]
fn ls_is_a_table() {
    insta::assert_snapshot!(fake().run(&["ls"]).all(), @r"
    NAME  STATE           PORTS             FOLDER
    shop  stopped, E0204  -                 /srv/shop
    web   running         5000, 15432→5432  /srv/web
    --- stderr
    --- status 0
    ");
    insta::assert_snapshot!(Fake::start(Vec::new(), Vec::new()).run(&["ls"]).all(), @r"
    --- stderr
    There are no environments. `cove up` in a folder makes one.
    --- status 0
    ");
}

#[test]
fn the_drop_in_says_that_the_machine_is_off() {
    let fake = Fake::start(Vec::new(), Vec::new());
    // That there is a machine, which is off as long as nobody starts it.
    fake.folder("machines/default");
    fake.stop_machine();
    for (line, printed) in [
        (&["devcontainer", "list"][..], ""),
        (&["devcontainer", "list", "--output-format", "json"], "[]\n"),
        (&["devcontainer", "stop", "--all"], "{\"outcome\":\"success\",\"containerIds\":[]}\n"),
    ] {
        let ran = fake.run(line);
        assert_eq!((ran.status, ran.out.as_str()), (Some(0), printed), "{line:?}: {}", ran.all());
        assert!(ran.all().contains("Cove's machine is off"), "{line:?}: {}", ran.all());
    }
}

#[test]
fn tests_of_features_say_when_the_machine_cannot_see_them() {
    let fake = Fake::start(Vec::new(), Vec::new());
    fake.folder("machines/default");
    fake.answer_as_engine();
    let features = fake.folder("collection");
    for (file, text) in [
        ("src/lamp/devcontainer-feature.json", r#"{ "id": "lamp", "version": "1.0.0", "name": "Lamp" }"#),
        ("src/lamp/install.sh", "#!/bin/sh\n"),
        ("test/lamp/test.sh", "#!/bin/sh\n"),
    ] {
        let file = features.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let ran = fake.run(&["devcontainer", "features", "test", "-p", "collection"]);
    assert_eq!(ran.status, Some(1), "{}", ran.all());
    for words in [
        "cache/features-test`, which Cove's machine does not see; it sees `/home/ada`.",
        "cove machine share",
    ] {
        assert!(ran.err.contains(words), "{words}: {}", ran.all());
    }
}

#[test]
fn ls_as_json_is_what_the_daemon_says() {
    let ran = fake().run(&["ls", "--json"]);
    let environments: Vec<api::Environment> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(environments[1], running("web", "/srv/web"));
}

#[test]
fn show_has_sections() {
    insta::assert_snapshot!(fake().run(&["show", "web"]).all(), @r"
    web
      state          running
      folder         /srv/web
      configuration  /srv/web/.devcontainer/devcontainer.json
      machine        default
      id             web-id

    Container
      name       web-app-1
      id         4f2a9c1d7e8b
      image      python:3.13
      state      running
      user       vscode
      workspace  /workspaces/web

    Services
      db  running, healthy

    Ports
      app (5000)  http://localhost:5000
      db:5432     http://localhost:15432
      9000        not open

    Hooks
      postCreateCommand  done in 4.2 s
    --- stderr
    --- status 0
    ");
    insta::assert_snapshot!(fake().run(&["show", "sho"]).all(), @r"
    shop
      state          stopped, E0204
      folder         /srv/shop
      configuration  none: the default image is used
      machine        default
      id             shop-id

    error[E0204]: could not build the image of `shop`
      | E: no such package
    see: cove explain E0204
    --- stderr
    --- status 0
    ");
}

#[test]
fn ports_are_listed_asked_for_and_closed() {
    let fake = fake();
    insta::assert_snapshot!(fake.run(&["ports", "web"]).all(), @r#"
    PORT     HERE             NAME  LISTENS  BECAUSE     LABEL
    5000     localhost:5000   -     -        configured  app
    db:5432  localhost:15432  -     -        configured  -
    9000     not open         -     -        configured  -
    --- stderr
    --- status 0
    "#);
    insta::assert_snapshot!(fake.run(&["ports", "forward", "web", "5353/udp", "8081=8080"]).all(), @r#"
    PORT      HERE                NAME  LISTENS  BECAUSE     LABEL
    5000      localhost:5000      -     -        configured  app
    db:5432   localhost:15432     -     -        configured  -
    9000      not open            -     -        configured  -
    5353/udp  localhost:5353/udp  -     -        asked for   -
    8080      localhost:8081      -     -        asked for   -
    --- stderr
    --- status 0
    "#);
    insta::assert_snapshot!(fake.run(&["ports", "close", "web", "5353/udp", "8080"]).all(), @r#"
    PORT     HERE             NAME  LISTENS  BECAUSE     LABEL
    5000     localhost:5000   -     -        configured  app
    db:5432  localhost:15432  -     -        configured  -
    9000     not open         -     -        configured  -
    --- stderr
    --- status 0
    "#);
    insta::assert_snapshot!(fake.run(&["ports", "close", "web", "5000"]).all(), @r#"
    --- stderr
    error[E0002]: nobody asked for port 5000
    hint: ports of the configuration and ports that programs listen on are closed by `"onAutoForward": "ignore"` in `portsAttributes`, or by taking them out of `forwardPorts`
    see: cove explain E0002
    --- status 1
    "#);
    insta::assert_snapshot!(fake.run(&["ports", "shop"]).all(), @r#"
    --- stderr
    It does not run: its ports are open while it does.
    --- status 0
    "#);
    insta::assert_snapshot!(fake.run(&["ports", "forward", "web", "80/sctp"]).all(), @r#"
    --- stderr
    error: invalid value '80/sctp' for '<PORT>...': `80/sctp` is no port: write 3000, db:5432, 5353/udp or 8080=3000

    For more information, try '--help'.
    --- status 2
    "#);
}

#[test]
fn plan_tells_what_would_be_done_of_environments_and_of_folders_without_one() {
    let fake = fake();
    let named = fake.run(&["plan", "web"]);
    assert!(named.out.starts_with("web\n"), "{}", named.out);
    assert!(named.out.contains(r#"image  "a" -> "b", needs a new container"#), "{}", named.out);
    std::fs::create_dir(fake.home.path().join("new")).unwrap();
    insta::assert_snapshot!(fake.run(&["plan", "./new"]).all(), @r"
    HOME/new, which has no environment yet
    configuration: none: the default image is used

    `cove up` would
      1. Starting the machine  because the machine is off
      2. Running postCreateCommand  because it has not run yet
    --- stderr
    --- status 0
    ");
    let nowhere = fake.run(&["plan", "nowhere"]);
    assert_eq!(nowhere.status, Some(1));
    assert!(nowhere.err.contains("there is no environment `nowhere`"), "{}", nowhere.err);
}

#[test]
fn a_mistyped_name_is_a_problem_for_people_and_programs() {
    insta::assert_snapshot!(fake().run(&["show", "wbe"]).all(), @r"
    --- stderr
    error[E0003]: there is no environment `wbe`
    hint: did you mean `web`?
    see: cove explain E0003
    --- status 1
    ");
    let ran = fake().run(&["show", "wbe", "--json"]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""));
    let body: api::ErrorBody = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(body.problem.code, api::ProblemCode::EnvironmentNotFound);
}

#[test]
fn colour_comes_only_when_asked_for() {
    assert!(!fake().run(&["ls"]).out.contains('\u{1b}'));
    assert!(fake().run(&["ls", "--color", "always"]).out.contains("\u{1b}[32mrunning\u{1b}[0m"));
}

#[test]
fn a_machine_that_never_spoke_is_no_empty_answer() {
    insta::assert_snapshot!(fake().run(&["machine", "logs"]).all(), @r"
    --- stderr
    The machine has not said anything yet. `cove machine status` tells how it stands.
    --- status 0
    ");
}

#[test]
fn logs_keep_the_streams_apart() {
    insta::assert_snapshot!(fake().run(&["logs", "web", "-f", "--tail", "5"]).all(), @r"
    asked follow=true&tail=5
    --- stderr
    careful
    --- status 0
    ");
}

#[test]
fn stop_and_rm_say_what_stays() {
    let fake = fake();
    insta::assert_snapshot!(fake.run(&["stop", "web"]).all(), @r"
    Stopped web
    --- stderr
    --- status 0
    ");
    insta::assert_snapshot!(fake.run(&["rm", "web", "shop"]).all(), @r"
    Removed web; /srv/web and its named volumes stay
    Removed shop; /srv/shop and its named volumes stay
    --- stderr
    --- status 0
    ");
    assert_eq!(fake.requests(), ["PATCH web-id Some(Stopped)", "DELETE web-id", "DELETE shop-id"]);
}

#[test]
fn machine_status_gives_honest_figures() {
    insta::assert_snapshot!(fake().run(&["machine", "status"]).all(), @r"
    default
      state          running
      Docker Engine  ready
      driver         qemu
      accelerator    tcg (/dev/kvm cannot run the guest)
      kernel         6.12.48
      dockerd        ready, started again 2 times
      process        812

    Settings
      processors               4
      memory                   6.0 GiB
      disk                     64.0 GiB
      shared folders           /home/ada
      certificates, proxies    handed over
      stops when not used for  never: it was started with `cove machine start`

    Use
      up for                   1 h 02 min
      memory inside            295.6 MiB by programs, 858.3 MiB as cache, of 5.8 GiB
      memory of this computer  1.2 GiB
      disk inside              3.7 GiB of 62.4 GiB
      disk of this computer    3.8 GiB
      daemon                   20.0 MiB

    Boot, after the kernel started
      kernel  0.0 s
      engine  3.4 s

    Published ports
      localhost:8080  hello
    --- stderr
    --- status 0
    ");
}

#[test]
fn a_folder_is_shared_and_hidden_again() {
    let fake = fake();
    fake.folder("src");
    insta::assert_snapshot!(fake.run(&["machine", "share", "src"]).all(), @r"
      processors               4
      memory                   6.0 GiB
      disk                     64.0 GiB
      shared folders           /home/ada, HOME/src
      certificates, proxies    handed over
      stops when not used for  never: it was started with `cove machine start`
    What changed takes effect with `cove machine restart`.
    --- stderr
    --- status 0
    ");
    assert_eq!(fake.run(&["machine", "unshare", "src"]).status, Some(0));
    insta::assert_snapshot!(fake.run(&["machine", "unshare", "src"]).all(), @r"
    --- stderr
    error[E0002]: `HOME/src` is not shared
    hint: these folders are: `/home/ada`
    see: cove explain E0002
    --- status 1
    ");
    let home = fake.home.path().display();
    assert_eq!(
        fake.requests(),
        [
            format!(r#"PATCH machine {{"resource_version":4,"shares":["/home/ada","{home}/src"]}}"#),
            r#"PATCH machine {"resource_version":4,"shares":["/home/ada"]}"#.to_owned(),
        ]
    );
}

#[test]
fn doctor_fails_when_something_will_not_work() {
    insta::assert_snapshot!(fake().run(&["doctor"]).all(), @r"
       CHECK        FINDING
    !  accelerator  tcg: slow
    ✗  virtiofsd    not found

    warning[E0303]: virtiofsd is missing
    hint: install it
          cargo install virtiofsd
    see: cove explain E0303
    --- stderr
    --- status 1
    ");
}

#[test]
fn a_bundle_is_written_for_its_owner_alone_and_over_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let fake = fake();
    let file = fake.home.path().join("bundle.tar.gz");
    let name = file.to_str().unwrap();
    let written = fake.run(&["doctor", "--bundle", name]).all();
    assert!(written.contains("Read it before you send it: nothing was sent."), "{written}");
    assert_eq!(std::fs::read(&file).unwrap(), b"an archive");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "mine").unwrap();
    let refused = fake.run(&["doctor", "--bundle", name]).all();
    assert!(refused.contains("is there already") && refused.contains("status 1"), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

#[test]
fn what_a_machine_gives_back_is_told_with_what_it_cannot() {
    let told = fake().run(&["machine", "reclaim"]).all();
    for words in [
        "got back 0 B of memory and 1.9 GiB of disk",
        "858.3 MiB of page cache",
        "note: the driver `qemu` cannot",
    ] {
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_code_is_explained() {
    insta::assert_snapshot!(fake().run(&["explain", "e0207"]).all(), @r"
    E0207: A port of this computer is taken.

    Stop the program that holds it, or let another port be used.
    --- stderr
    --- status 0
    ");
    insta::assert_snapshot!(fake().run(&["explain", "E9999"]).all(), @r"
    --- stderr
    error[E0002]: there is no code `E9999`
    hint: see which there are
          cove explain
    see: cove explain E0002
    --- status 1
    ");
}

#[test]
fn a_docker_context_is_made_and_removed() {
    let fake = fake();
    insta::assert_snapshot!(fake.run(&["docker", "context"]).all(), @r"
    The docker context `cove` leads to unix://HOME/run/docker.sock.
    Use it with `docker --context cove …`, or for good with `docker context use cove`.
    --- stderr
    --- status 0
    ");
    let ran = fake.run(&["docker", "context", "--remove", "--json"]);
    insta::assert_snapshot!(ran.all(), @r#"
    {
      "context": "cove",
      "host": "unix://HOME/run/docker.sock",
      "exists": false,
      "changed": true
    }
    --- stderr
    --- status 0
    "#);
}

#[test]
fn a_daemon_of_another_version_is_told_apart() {
    let fake = Fake::of_version("0.0.9", Vec::new(), Vec::new());
    insta::assert_snapshot!(fake.run(&["ls"]).all().replace(env!("CARGO_PKG_VERSION"), "VERSION"), @r"
    --- stderr
    error[E0008]: the daemon (pid 4711) is version 0.0.9, this program is version VERSION
    hint: stop the other daemon; the next command starts the one of this version, and machines run on
          cove daemon stop
    see: cove explain E0008
    --- status 1
    ");
    assert_eq!(fake.run(&["daemon", "status"]).status, Some(0), "whatever its version");
}

#[test]
fn a_daemon_that_is_not_there_is_no_riddle() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| Ran::of(cove(home.path(), arguments), home.path()).all();
    insta::assert_snapshot!(run(&["daemon", "status"]), @r"
    --- stderr
    error[E0007]: the daemon is not running: nothing answers on `HOME/run/coved.sock`
      caused by: No such file or directory (os error 2)
    hint: start it in the foreground to see what it says
          cove daemon
    see: cove explain E0007
    --- status 1
    ");
    insta::assert_snapshot!(run(&["daemon", "stop"]), @r"
    --- stderr
    The daemon is not running.
    --- status 0
    ");
    let mut command = cove(home.path(), &["ls"]);
    command.env("COVE_HOME", "state");
    insta::assert_snapshot!(Ran::of(command, home.path()).all(), @r"
    --- stderr
    error[E0002]: COVE_HOME is `state`, which is not an absolute path
    see: cove explain E0002
    --- status 1
    ");
}

/// One that ends takes no calls any more, and goes on until those under way are answered.
#[test]
fn a_daemon_that_was_stopped_is_gone() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("run")).unwrap();
    let file = home.path().join("coved.lock");
    let lock = File::create(&file).unwrap();
    lock.lock().unwrap();
    let listener = UnixListener::bind(home.path().join("run/coved.sock")).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut call, _) = listener.accept().unwrap();
        drop(listener);
        assert!(call.read(&mut [0; 4096]).unwrap() > 0);
        call.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        drop(lock);
    });
    let ran = Ran::of(cove(home.path(), &["daemon", "stop"]), home.path());
    assert!(ran.status == Some(0) && ran.err.contains("has ended"), "{ran:?}");
    File::open(&file).unwrap().try_lock().expect("the next one has the lock at once");
    daemon.join().unwrap();
}

#[test]
fn names_are_completed_from_a_running_daemon_only() {
    let complete = |home: &std::path::Path| {
        let mut command = cove(home, &["--", "cove", "show", ""]);
        command.env("COMPLETE", "fish");
        Ran::of(command, home)
    };
    let ran = complete(fake().home.path());
    assert!(ran.out.contains("web\trunning, /srv/web"), "{ran:?}");
    let home = tempfile::tempdir().unwrap();
    let ran = complete(home.path());
    assert!(!ran.out.contains("web"), "{ran:?}");
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none(), "pressing tab starts nothing");
    let script = fake().run(&["completion", "bash"]);
    assert!(script.status == Some(0) && script.out.contains("COMPLETE"), "{script:?}");
}
