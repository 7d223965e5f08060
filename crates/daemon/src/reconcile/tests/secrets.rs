//! Secrets of whole environments: where they get to, and where they do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::{
    AutomationPhase, AutomationWish, ConditionKind, Environment, Phase, Problem, ProblemCode, SecretScope,
    SecretTarget, SecretValue, SecretWish, Session,
};
use engine::ExecSession;
use test_support::dockerd::BASE_IMAGE;

use super::*;

const TOKEN: &str = "tok-3f9a-first";
const KEY: &str = "-----BEGIN KEY-----\nMIIBx7secretline\n-----END KEY-----\n";

/// A service that has a secret, and a hook that shows what is there when hooks run.
fn story(name: &str, service: &str) -> Option<Place> {
    let place = Place::start(name)?;
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "remoteUser": "dev",
            "secrets": {{"TOKEN": {{}}, "ABSENT": {{"description": "is missing"}}}},
            "postCreateCommand": "echo hook has $TOKEN; cat /run/secrets/KEY",
            "mounts": ["type=bind,source=${{localWorkspaceFolder}}/.bin/cove-inside,target=/dev/cove/bin/cove-inside"]}}"#
    );
    place.write(&[
        (".devcontainer/devcontainer.json", &config),
        (
            ".cove/automations.yaml",
            &format!(
                "services: {{web: {{triggeredBy: [postEnvironmentStart], commands: {{start: '{service}; exec sleep 86002'}}, \
                 env: {{IT: {{secret: TOKEN}}}}}}}}"
            ),
        ),
    ]);
    fs_err::create_dir(place.folder.join(".bin")).unwrap();
    fs_err::copy(test_support::inside::program(), place.folder.join(".bin/cove-inside")).unwrap();
    Some(place)
}

fn wish(name: &str, scope: SecretScope, value: Option<&str>, path: Option<&str>) -> SecretWish {
    let value = value.map(|value| SecretValue(value.to_owned()));
    let target = path.map(|path| SecretTarget::File { path: path.into() });
    SecretWish { name: name.to_owned(), scope, value, target }
}

impl Place {
    /// What `cove secret` does.
    fn secret(&self, wish: &SecretWish) {
        self.reconciler.parts().secrets.carry_out(wish).unwrap();
        self.reconciler.wake_all();
    }

    fn user_secret(&self, name: &str, value: Option<&str>, path: Option<&str>) {
        self.secret(&wish(name, SecretScope::User, value, path));
    }

    async fn until_output(&self, app: &Environment, line: &str, wanted: &str, most: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let said = self.output(app, line).await;
            if said == wanted {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < most, "{line}: {said}");
        }
    }

    async fn open(&self, app: &Environment, line: &str) -> ExecSession {
        let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
        self.reconciler.exec(&app.id, &ExecRequest { argv, ..ExecRequest::default() }).await.unwrap()
    }
}

fn of(app: &Environment, code: ProblemCode) -> Vec<&Problem> {
    app.status.warnings.iter().filter(|problem| problem.code == code).collect()
}

fn is_in_sync(app: &Environment) -> bool {
    app.status.conditions.iter().any(|it| it.kind == ConditionKind::SecretsInSync && it.holds)
}

/// Looks at the arguments of every process of this computer, and those of containers are among them.
fn watch_arguments(stop: Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut found = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line);
                if [TOKEN, "MIIBx7secretline"].iter().any(|secret| line.contains(secret)) {
                    found.push(line.into_owned());
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        found
    })
}

#[tokio::test]
async fn secrets_reach_what_runs_and_nothing_that_lasts() {
    let Some(mut place) = story("secretive", "test -n \"$IT\"") else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch_arguments(stop.clone());
    place.user_secret("TOKEN", Some(TOKEN), None);
    place.user_secret("KEY", Some(KEY), Some("/run/secrets/KEY"));
    place.user_secret("NETRC", Some("machine x"), Some("/home/dev/.conf/netrc"));
    let app = place.up(&place.request()).await;
    assert_eq!(app.status.problem, None, "{:?}", place.events());
    let missing = of(&app, ProblemCode::SecretMissing);
    assert!(missing[0].title.ends_with("the secret `ABSENT`"), "{missing:?}");
    assert!(missing[0].hints.iter().any(|hint| hint.command.as_deref() == Some("cove secret set ABSENT")));

    // There when hooks run; the user's alone, in memory.
    let app = place.until(&app.id, is_in_sync).await;
    assert_eq!(place.output(&app, "echo $TOKEN").await, TOKEN);
    assert_eq!(format!("{}\n", place.output(&app, "cat /run/secrets/KEY").await), KEY);
    assert_eq!(place.output(&app, "cat ~/.conf/netrc").await, "machine x");
    let rights = place.output(&app, "stat -Lc '%a %U' /run/secrets/KEY; stat -fLc %T /run/secrets/KEY").await;
    assert_eq!(rights, "400 dev\ntmpfs");
    assert_eq!(place.output(&app, "stat -c %U ~/.conf").await, "dev", "a folder in a home is its user's");

    // Nothing that lasts has them: not what docker says, a layer, the store, or an event.
    let app = place
        .until(&app.id, |now| {
            now.status.automations.items.iter().any(|it| it.phase == AutomationPhase::Running)
        })
        .await;
    let id = app.status.container.as_ref().unwrap().id.clone();
    place.docker(&["commit", &id, "committed"]);
    place.docker(&["save", "-o", place.folder.join("image.tar").as_str(), "committed"]);
    let mut lasting = vec![
        ("the image", fs_err::read(place.folder.join("image.tar")).unwrap()),
        ("what docker says", place.docker(&["inspect", &id, "committed"]).into_bytes()),
        ("events", serde_json::to_vec(&place.events()).unwrap()),
        ("the environment", serde_json::to_vec(&app).unwrap()),
    ];
    fs_err::remove_file(place.folder.join("image.tar")).unwrap();
    for folder in [place.fixture.paths.root().to_owned(), place.fixture.paths.secrets_dir()] {
        let files = folder.read_dir_utf8().unwrap().flatten().filter(|entry| entry.path().is_file());
        lasting.extend(files.map(|entry| ("the state folder", fs_err::read(entry.path()).unwrap())));
    }
    for secret in [TOKEN, "MIIBx7secretline"] {
        for (what, bytes) in &lasting {
            let has = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!has, "{secret} lasts in {what}");
        }
    }
    let told = serde_json::to_string(&place.events()).unwrap();
    assert!(told.contains("hook has ********"), "the hook was heard, without the value: {told}");

    // A new daemon and a new run of the container: everything is there again, and what is there is not touched.
    let inode = place.output(&app, "stat -Lc %i /run/secrets/KEY").await;
    place.restart().await;
    let app = place.until(&app.id, is_in_sync).await;
    assert_eq!(place.output(&app, "stat -Lc %i /run/secrets/KEY").await, inode);
    place.docker(&["restart", "--time", "1", &id]);
    place.until_output(&app, "cat /run/secrets/KEY 2>/dev/null | wc -l", "3", PATIENCE).await;
    stop.store(true, Ordering::Relaxed);
    assert_eq!(watcher.join().unwrap(), [""; 0], "no process has a secret in its arguments");
    place.end().await;
}

#[tokio::test]
async fn a_changed_secret_is_there_at_once_and_who_has_the_old_one_is_told_of() {
    let Some(place) = story("rotated", "echo web has $IT") else { return };
    place.user_secret("TOKEN", Some(TOKEN), None);
    place.user_secret("KEY", Some("one"), Some("/run/secrets/KEY"));
    let app = place.up(&place.request()).await;
    assert_eq!(app.status.problem, None);
    let running = |now: &Environment| {
        now.status.automations.item("services/web").is_some_and(|it| it.phase == AutomationPhase::Running)
    };
    let app = place.until(&app.id, |now| running(now) && is_in_sync(now)).await;

    // A reader sees one whole value after the other, within moments.
    let mut shell =
        place.open(&app, "while sleep 0.05; do cat /run/secrets/KEY || echo gone; echo; done").await;
    let asked = Instant::now();
    place.user_secret("KEY", Some("two"), None);
    let mut seen = String::new();
    while !seen.contains("two") {
        seen.push_str(&String::from_utf8_lossy(&shell.output.next().await.unwrap().unwrap().1));
        assert!(asked.elapsed() < Duration::from_mins(1), "{seen}");
    }
    eprintln!("a changed file was seen after {:?}", asked.elapsed());
    assert!(seen.lines().all(|line| ["one", "two", ""].contains(&line.trim())), "{seen}");

    // A variable: what starts now has it; what runs is told of, and not touched.
    let pid = app.status.automations.item("services/web").unwrap().pid;
    place.user_secret("TOKEN", Some("tok-3f9a-second"), None);
    assert_eq!(place.output(&app, "echo $TOKEN").await, "tok-3f9a-second");
    let app = place.until(&app.id, |now| of(now, ProblemCode::SecretStale).len() == 2).await;
    let stale: Vec<&str> = of(&app, ProblemCode::SecretStale).iter().map(|it| it.title.as_str()).collect();
    assert_eq!(
        stale,
        [
            "`services/web` runs with an older value of `TOKEN`",
            "a shell or program does not have the present value of `TOKEN`"
        ]
    );
    assert!(!is_in_sync(&app));
    assert_eq!(app.status.automations.item("services/web").unwrap().pid, pid);
    let session = Session::fresh();
    let container_run = app.status.container.as_ref().and_then(|it| it.started_at.clone());
    let again = AutomationWish { run: true, session: session.clone(), container_run };
    place.fixture.store.change_automations(&app.id, [("services/web".to_owned(), again)].into()).unwrap();
    place.reconciler.wake(&app.id);
    let app = place.until(&app.id, |now| of(now, ProblemCode::SecretStale).len() == 1).await;
    shell.control.kill().await.unwrap();
    drop(shell);
    let app = place.until(&app.id, |now| running(now) && is_in_sync(now)).await;

    // Its log has both values in it, and shows neither, also to who asks in pieces.
    let argv =
        ["/dev/cove/bin/cove-inside", "automations", "logs", "services/web"].map(str::to_owned).to_vec();
    for (masked, expected) in [
        (true, "web has ********\nweb has ********"),
        (false, "web has tok-3f9a-first\nweb has tok-3f9a-second"),
    ] {
        let request = ExecRequest { argv: argv.clone(), masked, ..ExecRequest::default() };
        let mut session = place.reconciler.exec(&app.id, &request).await.unwrap();
        let mut said = Vec::new();
        while let Some(piece) = session.output.next().await {
            said.extend(piece.unwrap().1);
        }
        let said = String::from_utf8(said).unwrap();
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| line.contains("web has"))
            .map(|line| &line[line.find("web has").unwrap()..])
            .collect();
        assert_eq!(lines.join("\n"), expected);
    }

    // What is narrower comes before; another place takes the file from the first; gone, it is gone.
    let own = SecretScope::Environment { id: app.id.clone() };
    place.secret(&wish("KEY", own.clone(), Some("own"), Some("/tmp/key")));
    place.until_output(&app, "cat /tmp/key; ls /run/secrets", "own", PATIENCE).await;
    place.secret(&wish("KEY", own, None, None));
    place.until_output(&app, "cat /run/secrets/KEY; ls /tmp/key 2>/dev/null", "two", PATIENCE).await;
    place.user_secret("KEY", None, None);
    place.until_output(&app, "ls /run/secrets /dev/cove/secrets | grep KEY", "", PATIENCE).await;

    // What somebody put there stays, and that is told.
    place.output(&app, "echo mine > /tmp/taken").await;
    place.user_secret("OTHER", Some("other-value"), Some("/tmp/taken"));
    let app = place.until(&app.id, |now| !of(now, ProblemCode::SecretNotPlaced).is_empty()).await;
    let told = &of(&app, ProblemCode::SecretNotPlaced)[0].title;
    assert!(told.contains("`/tmp/taken`") && told.contains("did not make"), "{told}");
    assert_eq!(place.output(&app, "cat /tmp/taken").await, "mine");
    place.end().await;
}

#[tokio::test]
async fn secrets_that_cannot_be_read_keep_nobody_from_an_environment() {
    let Some(place) = Place::start("unreadable") else { return };
    let folder = place.fixture.paths.secrets_dir();
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(folder.join("store.age"), "damaged").unwrap();
    fs_err::create_dir(place.folder.join(".bin")).unwrap();
    fs_err::copy(test_support::inside::program(), place.folder.join(".bin/cove-inside")).unwrap();
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "secrets": {{"TOKEN": {{}}}},
            "mounts": ["type=bind,source=${{localWorkspaceFolder}}/.bin,target=/dev/cove/bin,readonly"]}}"#
    );
    place.write(&[(".devcontainer.json", &config)]);
    let app = place.up(&place.request()).await;
    assert_eq!((app.status.phase, &app.status.problem), (Phase::Running, &None), "{:?}", place.events());
    assert_eq!(of(&app, ProblemCode::SecretsUnreadable).len(), 1, "{:?}", app.status.warnings);
    assert_eq!(of(&app, ProblemCode::SecretMissing).len(), 0, "nobody knows which are missing");
    assert!(!is_in_sync(&app));

    // Shells start, and say first that they have none.
    let mut session = place.open(&app, "echo ${TOKEN-none}").await;
    let mut said = Vec::new();
    while let Some(Ok((channel, piece))) = session.output.next().await {
        said.push((channel, String::from_utf8_lossy(&piece).into_owned()));
    }
    let (channel, first) = &said[0];
    assert!(
        *channel == engine::Channel::Err && first.contains("cannot be used") && first.contains("[E0318]"),
        "{said:?}"
    );
    assert_eq!(said[1..], [(engine::Channel::Out, "none\n".to_owned())]);
    let mut session = place.reconciler.ssh(&app, "app").await.unwrap();
    let (channel, first) = session.output.next().await.unwrap().unwrap();
    let first = String::from_utf8_lossy(&first);
    assert!(channel == engine::Channel::Err && first.contains("cannot be used"), "{first}");
    let (channel, greeting) = session.output.next().await.unwrap().unwrap();
    assert!(channel == engine::Channel::Out && greeting.starts_with(b"SSH-2.0-"), "ssh goes on");
    drop(session);
    // What is to be masked cannot be.
    let argv = vec!["true".to_owned()];
    let masked = ExecRequest { argv, masked: true, ..ExecRequest::default() };
    let refused = place.reconciler.exec(&app.id, &masked).await.err();
    assert_eq!(refused.map(|problem| problem.code), Some(ProblemCode::SecretsUnreadable));
    place.end().await;
}
