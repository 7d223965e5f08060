//! Ways by which files from outside of a folder could get into its container without a question.

use api::{DesiredPhase, Phase};

use super::*;

/// A story: a file outside of the folder that a configuration is after.
struct Keys {
    place: Place,
    /// The folder of that file, which is called `id`.
    keys: Utf8PathBuf,
}

impl Keys {
    fn start() -> Option<Self> {
        let place = Place::start("none")?;
        let keys = place.fixture.share().join("keys");
        fs_err::create_dir(&keys).unwrap();
        fs_err::write(keys.join("id"), "the key").unwrap();
        Some(Self { place, keys })
    }

    /// Makes a folder with these files. `KEYS` and `HERE` in them are the two folders, `BASE` the image.
    fn folder(&self, name: &str, files: &[(&str, &str)]) -> UpRequest {
        let folder = self.place.fixture.share().join(name);
        for (file, text) in files {
            let path = folder.join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            let text = text.replace("KEYS", self.keys.as_str()).replace("HERE", folder.as_str());
            fs_err::write(path, text.replace("BASE", BASE_IMAGE)).unwrap();
        }
        UpRequest { folder, ..self.place.request() }
    }

    /// Whether a running container sees the file anywhere.
    fn is_seen(&self) -> bool {
        let running = self.place.docker(&["ps", "--quiet"]);
        running.lines().any(|id| {
            let look = "cat /s/id /s/*/id 2>/dev/null; true";
            self.place.docker(&["exec", id, "/bin/sh", "-c", look]).contains("the key")
        })
    }

    /// What is asked for in the end, whether that keeps the environment down or was left out of it.
    fn asked(environment: &Environment) -> Vec<api::Consent> {
        let problems = environment.status.problem.iter().chain(&environment.status.warnings);
        problems.flat_map(|problem| problem.consents.clone()).collect()
    }

    /// Asks for an environment. Nothing is seen until all that is asked for is agreed to; then it is.
    async fn is_asked_for(&self, name: &str, request: UpRequest) {
        let mut request = UpRequest { unasked: Unasked::Wait, ..request };
        for _ in 0..3 {
            let now = self.place.up(&request).await;
            let asked = Self::asked(&now);
            if asked.is_empty() {
                assert_eq!(now.status.problem, None, "{name}");
                assert!(!request.consents.is_empty(), "{name}: nothing was asked");
                assert!(self.is_seen(), "{name}: it was agreed to");
                self.remove(&now).await;
                return;
            }
            assert!(!self.is_seen(), "{name}: {asked:?} was only asked for");
            let leads = |consent: &api::Consent| consent.text.contains(self.keys.as_str());
            assert!(asked.iter().any(leads), "{name}: {asked:?}");
            request.consents.extend(asked.into_iter().map(|consent| consent.digest));
        }
        panic!("{name}: it is asked for again and again");
    }

    async fn remove(&self, environment: &Environment) {
        self.want(environment, DesiredPhase::Deleted);
        let mut events = self.place.fixture.store.subscribe();
        while self.place.fixture.store.environment(&environment.id).unwrap().is_some() {
            let _ = tokio::time::timeout(PATIENCE, events.recv()).await.expect("it goes");
        }
    }

    async fn stop(&self, environment: &Environment) {
        self.want(environment, DesiredPhase::Stopped);
        self.place.until(&environment.id, |it| it.status.phase == Phase::Stopped).await;
    }

    fn want(&self, environment: &Environment, phase: DesiredPhase) {
        let id = &environment.id;
        self.place.fixture.store.change_spec(id, None, |spec| spec.desired_phase = phase).unwrap();
        self.place.reconciler.ask(id);
    }
}

const COMPOSE: &str = r#"{"dockerComposeFile": "compose.yaml", "service": "app", "overrideCommand": true}"#;

#[tokio::test]
async fn no_words_of_a_configuration_bring_in_what_nobody_agreed_to() {
    let Some(story) = Keys::start() else { return };
    let driver = format!("device={}", story.keys);
    let volume = ["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &driver, "earlier"];
    story.place.docker(&volume);
    let mount = format!("{}:/s", story.keys);
    story.place.docker(&["create", "--name", "other", "--volume", &mount, BASE_IMAGE]);
    let cases = [
        ("a value that looks like an option", r#""runArgs": ["--label", "-v", "-v", "KEYS:/s"]"#),
        (
            "the last of several devices",
            r#""mounts": ["type=volume,source=v1,target=/s,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=HERE,volume-opt=device=KEYS"]"#,
        ),
        ("a volume that was made before", r#""mounts": ["type=volume,source=earlier,target=/s"]"#),
        ("what another container has", r#""runArgs": ["--volumes-from", "other"]"#),
    ];
    for (number, (name, property)) in cases.into_iter().enumerate() {
        let config = format!(r#"{{"image": "BASE", {property}}}"#);
        let request = story.folder(&format!("w{number}"), &[(".devcontainer.json", &config)]);
        story.is_asked_for(name, request).await;
    }
    // Where the engine would read another word than was judged, it takes neither.
    let config = r#"{"image": "BASE", "runArgs": ["-v", "-d", "KEYS:/s"]}"#;
    let up = story.place.up(&story.folder("shifted", &[(".devcontainer.json", config)])).await;
    assert!(up.status.problem.is_some() && !story.is_seen(), "{:?}", up.status);
    story.place.end().await;
}

#[tokio::test]
async fn no_words_of_a_compose_file_bring_in_what_nobody_agreed_to() {
    let Some(story) = Keys::start() else { return };
    let mount = format!("{}:/s", story.keys);
    story.place.docker(&["create", "--name", "other", "--volume", &mount, BASE_IMAGE]);
    // Each folder has a harmless one and a link to the keys, whose names are easily confused.
    let cases = [
        ("dollars that are meant", "$x", "$$x", "volumes: ['./$$$$x:/s']"),
        ("the project's name", "c1", "c1_devcontainer", "volumes: ['./${COMPOSE_PROJECT_NAME}:/s']"),
        ("what another container has", "harmless", "link", "volumes_from: ['container:other']"),
    ];
    for (number, (name, harmless, link, property)) in cases.into_iter().enumerate() {
        let compose = format!("services:\n  app:\n    image: BASE\n    {property}\n");
        let files = [
            (".devcontainer/devcontainer.json", COMPOSE),
            (".devcontainer/compose.yaml", &compose),
            (&format!(".devcontainer/{harmless}/x"), ""),
            (".devcontainer/devcontainer/x", ""),
        ];
        let request = story.folder(&format!("c{number}"), &files);
        let link = request.folder.join(".devcontainer").join(link);
        std::os::unix::fs::symlink(&story.keys, link).unwrap();
        story.is_asked_for(name, request).await;
    }
    story.place.end().await;
}

#[tokio::test]
async fn a_folder_that_became_a_link_is_judged_anew_at_each_start() {
    let Some(story) = Keys::start() else { return };
    let config =
        r#"{"image": "BASE", "mounts": ["type=bind,source=${localWorkspaceFolder}/data,target=/s"]}"#;
    let compose = "services:\n  app:\n    image: BASE\n    volumes: ['./data:/s']\n";
    let stories = [
        ("single", [(".devcontainer.json", config), ("data/x", "")]),
        ("composed", [(".devcontainer.json", COMPOSE), ("compose.yaml", compose)]),
    ];
    for (name, files) in stories {
        let request = story.folder(name, &files);
        let data = request.folder.join("data");
        fs_err::create_dir_all(&data).unwrap();
        let up = story.place.up(&request).await;
        assert_eq!(up.status.problem, None, "{name}");
        // As a hook can do it, for the folder is its own.
        fs_err::remove_dir_all(&data).unwrap();
        std::os::unix::fs::symlink("../keys", &data).unwrap();
        story.stop(&up).await;
        let again = story.place.up(&request).await;
        let problem = again.status.problem.expect("it leads elsewhere");
        assert_eq!(problem.code, ProblemCode::ConsentNeeded, "{name}");
        let service = if name == "composed" { " in the service `app`" } else { "" };
        assert_eq!(problem.consents[0].text, format!("{} at /s{service} (by way of {data})", story.keys));
        assert!(!story.is_seen(), "{name}");
        let id = |environment: &Environment| environment.status.container.as_ref().unwrap().id.clone();
        assert_eq!(again.status.container.as_ref().map(|it| it.running), Some(false), "{name}");
        let consents = problem.consents.into_iter().map(|consent| consent.digest).collect();
        let agreed = story.place.up(&UpRequest { consents, ..request }).await;
        assert_eq!(agreed.status.problem, None, "{name}");
        assert!(story.is_seen() && id(&agreed) == id(&up), "{name}: it is the same container");
        story.remove(&agreed).await;
    }
    story.place.end().await;
}

#[tokio::test]
async fn a_service_or_right_that_came_to_the_compose_files_later_is_asked_for() {
    let Some(story) = Keys::start() else { return };
    let compose = |more: &str| {
        format!(
            "services:\n  app:\n    image: BASE\n    volumes: ['.:/w', 'KEYS:/s:ro']\n    depends_on: [db]\n\
             \x20 db:\n    image: BASE\n    init: true\n    command: [sleep, '3600']\n    volumes: ['KEYS:/s:ro']\n{more}"
        )
    };
    let write = |more: &str| {
        story.folder("late", &[(".devcontainer.json", COMPOSE), ("compose.yaml", &compose(more))])
    };
    let request = write("");
    let up = story.place.up(&request).await;
    assert_eq!((up.status.problem.clone(), Keys::asked(&up).len()), (None, 1));
    assert!(!story.is_seen());
    // A service that is made anew does without what is refused, also when the file for the others is gone.
    let of_db = |story: &Keys| {
        story.place.docker(&["ps", "--all", "--quiet", "--filter", "label=com.docker.compose.service=db"])
    };
    assert!(!of_db(&story).is_empty());
    story.stop(&up).await;
    story.place.docker(&["rm", &of_db(&story)]);
    fs_err::remove_file(format!("/var/lib/cove/environments/{}/compose.json", up.id)).unwrap();
    let again = story.place.up(&request).await;
    assert_eq!(again.status.problem, None);
    assert!(!of_db(&story).is_empty() && !story.is_seen());
    // So does one that is new.
    story.stop(&again).await;
    write(
        "  late:\n    image: BASE\n    init: true\n    command: [sleep, '3600']\n    volumes: ['KEYS:/s']\n",
    );
    let waiting = story.place.up(&UpRequest { unasked: Unasked::Wait, ..request.clone() }).await;
    let problem = waiting.status.problem.expect("somebody can be asked");
    assert_eq!(problem.consents[0].text, format!("{} at /s in the service `late`", story.keys));
    let without = story.place.up(&request).await;
    assert_eq!(without.status.problem, None);
    assert_eq!(without.status.services.iter().filter(|service| service.running).count(), 2);
    assert!(!story.is_seen());
    // To read is not to write.
    let read_only = Keys::asked(&up).into_iter().map(|consent| consent.digest).collect();
    let agreed = story.place.up(&UpRequest { consents: read_only, rebuild: true, ..request }).await;
    assert!(story.is_seen());
    let asked: Vec<String> = Keys::asked(&agreed).into_iter().map(|consent| consent.text).collect();
    assert_eq!(asked, [format!("{} at /s in the service `late`", story.keys)]);
    story.remove(&agreed).await;
    story.place.end().await;
}
