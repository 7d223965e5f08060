//! Whole environments on a real engine, with a machine that is only played.

mod automations;
mod clone;
mod clone_work;
mod copies;
mod customizations;
mod grants;
mod host_mounts;
mod idle;
mod images;
mod ports;
mod prebuild;
mod secrets;
mod ssh;
mod worktree;

use std::collections::BTreeMap;
use std::time::Duration;

use api::{
    ConditionKind, Environment, EnvironmentId, EventKind, ExecRequest, PlanRequest, Problem, ProblemCode,
    Secrets, Session, StepKind, Unasked, UpRequest,
};
use camino::Utf8PathBuf;
use futures::StreamExt;
use jiff::Timestamp;
use oci::{Options, Registry};
use provision::workplace::ProbeCache;
use test_support::dockerd::{BASE_IMAGE, Dockerd};

use super::{Reconciler, Surroundings};
use crate::audit::Audit;
use crate::consent::ConsentPolicy;
use crate::machine::MachineHost;
use crate::machine::testing::Fixture;
use crate::ports::{Ports, testing};
use crate::secrets::KeptSecrets;

/// How long an environment may take: an image is built, on a computer that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(4);

/// A daemon's inside, on a real engine.
struct Place {
    reconciler: Reconciler,
    machine: MachineHost,
    fixture: Fixture,
    /// Absent where nothing of the story reaches an engine.
    dockerd: Option<Dockerd>,
    /// The folder of the environment.
    folder: Utf8PathBuf,
    /// The last sequence before anything happened.
    began: u64,
}

impl Place {
    /// `None` where there is no engine for tests.
    fn start(name: &str) -> Option<Self> {
        Some(Self::of(name, Some(Dockerd::start()?)))
    }

    fn of(name: &str, dockerd: Option<Dockerd>) -> Self {
        let fixture = Fixture::new();
        let machine = match &dockerd {
            Some(dockerd) => fixture.with_engine(dockerd),
            None => fixture.machine.clone(),
        };
        let reconciler = Self::begin(&fixture, &machine);
        let folder = fixture.share().join(name);
        fs_err::create_dir(&folder).unwrap();
        let began = fixture.store.last_sequence();
        Self { reconciler, machine, fixture, dockerd, folder, began }
    }

    /// What a daemon does when it starts.
    fn begin(fixture: &Fixture, machine: &MachineHost) -> Reconciler {
        let surroundings = Surroundings {
            secrets: KeptSecrets::new(fixture.paths.secrets_dir(), false),
            policy: ConsentPolicy::default(),
            registry: Registry::new(Options::new(fixture.paths.registry_cache_dir())).unwrap(),
            probes: ProbeCache::new(fixture.paths.shell_cache_dir()),
            ssh: fixture.paths.ssh_dir(),
            audit: Audit::open(&fixture.paths.audit_dir()).unwrap(),
        };
        let ports = Ports::new(machine.clone(), fixture.store.clone(), testing::no_names(&fixture.paths));
        let reconciler = Reconciler::new(fixture.store.clone(), machine.clone(), ports, surroundings);
        reconciler.start().unwrap();
        reconciler
    }

    /// The daemon ends, and the next one begins with what is on the disk; the machine runs on.
    async fn restart(&mut self) {
        self.reconciler.stop().await;
        testing::free_doorbells(&self.reconciler.parts().ports).await;
        self.reconciler = Self::begin(&self.fixture, &self.machine);
    }

    fn docker(&self, arguments: &[&str]) -> String {
        self.dockerd.as_ref().expect("the story has an engine").docker(arguments)
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.folder.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
    }

    fn request(&self) -> UpRequest {
        UpRequest { folder: self.folder.clone(), ..UpRequest::default() }
    }

    /// Asks for the environment as a client does, and waits until that is answered.
    async fn up(&self, request: &UpRequest) -> Environment {
        let session = Session::fresh();
        let callers = &self.reconciler.parts().callers;
        if let Some(variables) = &request.caller_variables {
            callers.hold(&session, variables.clone());
        }
        let (environment, _) = self.fixture.store.up(request, session.clone(), Timestamp::now()).unwrap();
        if let Some(secrets) = &request.secrets {
            self.reconciler.parts().secrets.keep(&environment.id, secrets).unwrap();
        }
        callers.settle(&session, &environment.id);
        self.reconciler.ask(&environment.id);
        self.answered(&environment.id, environment.metadata.generation).await
    }

    async fn answered(&self, id: &EnvironmentId, generation: u64) -> Environment {
        let mut events = self.fixture.store.subscribe();
        let answered = async {
            loop {
                let now = self.fixture.store.environment(id).unwrap().unwrap();
                let is_ready = |kind| now.status.conditions.iter().any(|it| it.kind == kind && it.holds);
                let is_heard = now.status.observed_generation >= generation && now.status.step.is_none();
                if is_heard && (is_ready(ConditionKind::Ready) || now.status.problem.is_some()) {
                    return now;
                }
                let _ = events.recv().await;
            }
        };
        let answer = tokio::time::timeout(PATIENCE, answered).await;
        answer.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"))
    }

    /// Waits until an environment is as a test wants it.
    async fn until(&self, id: &EnvironmentId, wanted: impl Fn(&Environment) -> bool) -> Environment {
        let mut events = self.fixture.store.subscribe();
        let seen = async {
            loop {
                let now = self.fixture.store.environment(id).unwrap().unwrap();
                if wanted(&now) {
                    return now;
                }
                let _ = events.recv().await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        seen.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {:?}", self.fixture.store.environment(id)))
    }

    /// Everything that was told.
    fn events(&self) -> Vec<api::Event> {
        self.fixture.store.events_since(self.began).expect("nothing is forgotten so soon")
    }

    /// What a command in the container of an environment prints.
    async fn output(&self, environment: &Environment, line: &str) -> String {
        let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
        let request = ExecRequest { argv, ..ExecRequest::default() };
        let mut session = self.reconciler.exec(&environment.id, &request).await.unwrap();
        let mut said = Vec::new();
        while let Some(piece) = session.output.next().await {
            said.extend(piece.unwrap().1);
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    async fn end(self) {
        self.reconciler.stop().await;
    }
}

fn codes(problems: &[Problem]) -> Vec<ProblemCode> {
    problems.iter().map(|problem| problem.code).collect()
}

const FEATURE: &[(&str, &str)] = &[
    (
        ".devcontainer/hello/devcontainer-feature.json",
        r#"{"id": "hello", "version": "1.0.0", "name": "Hello",
            "options": {"word": {"type": "string", "default": "hi"}},
            "containerEnv": {"FROM_FEATURE": "yes"},
            "mounts": [{"type": "bind", "source": "/proc", "target": "/of-feature"}],
            "postCreateCommand": "echo feature > /order"}"#,
    ),
    (".devcontainer/hello/install.sh", "#!/bin/sh\nset -e\necho \"$WORD\" > /installed\n"),
];

#[tokio::test]
async fn an_environment_gets_its_features_and_keeps_what_nobody_agreed_to_out() {
    let Some(place) = Place::start("web") else { return };
    place.write(FEATURE);
    let config = |image: &str, token: &str| {
        format!(
            r#"{{"image": "{image}", "features": {{"./hello": {{"word": "servus", "wrod": "x"}}}},
                "containerEnv": {{"API_TOKEN": "{token}", "WHO": "${{localEnv:WHO}}"}},
                "mounts": ["type=bind,source=/etc,target=/of-config", "type=volume,source=kept,target=/kept"],
                "waitFor": "onCreateCommand", "secrets": {{"DEPLOY_KEY": {{}}, "OTHER": {{"description": "the other"}}}},
                "onCreateCommand": "echo made", "postCreateCommand": "echo own >> /order; echo key=$DEPLOY_KEY"}}"#
        )
    };
    place.write(&[(".devcontainer/devcontainer.json", &config(BASE_IMAGE, "first"))]);
    let plan = PlanRequest {
        folder: place.folder.clone(),
        config: None,
        variables: BTreeMap::new(),
        features: true,
    };
    let doubts = place.reconciler.preview(&plan, None).await.unwrap().warnings;
    assert!(codes(&doubts).contains(&ProblemCode::FeatureDoubtful), "{doubts:?}");
    let doubt = &doubts[0];
    assert!(doubt.title.contains("`wrod`") && doubt.title.contains("did you mean `word`?"), "{doubt:?}");
    assert!(doubt.place.as_ref().is_some_and(|place| place.line == Some(1)), "{doubt:?}");
    let request = UpRequest {
        variables: BTreeMap::from([("WHO".to_owned(), "ada".to_owned())]),
        secrets: Some(Secrets(BTreeMap::from([("DEPLOY_KEY".to_owned(), "s3cret-value".to_owned())]))),
        ..place.request()
    };
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(
        place.output(&web, "cat /installed; echo $WHO $FROM_FEATURE $DEPLOY_KEY").await,
        "servus\nada yes s3cret-value"
    );
    assert_eq!(place.output(&web, "cat /order").await, "feature\nown");
    assert_eq!(place.output(&web, "ls -d /of-config /of-feature 2>/dev/null; ls -d /kept").await, "/kept");
    let told = [ProblemCode::FeatureDoubtful, ProblemCode::ConsentNeeded, ProblemCode::SecretMissing];
    assert_eq!(codes(&web.status.warnings), told);
    let wanted = &web.status.warnings[1].consents;
    assert_eq!(wanted.len(), 2, "{wanted:?}");
    let usable = web.status.conditions.iter().find(|condition| condition.kind == ConditionKind::Usable);
    assert!(usable.is_some_and(|condition| condition.holds));

    // The secret is nowhere but in the hook and the shell.
    let events = serde_json::to_string(&place.events()).unwrap();
    assert!(events.contains("key=********") && !events.contains("s3cret-value"));
    let container = web.status.container.clone().unwrap();
    assert!(!place.docker(&["inspect", &container.id]).contains("s3cret-value"));
    let label = place.docker(&[
        "inspect",
        "--format",
        "{{index .Config.Labels \"devcontainer.metadata\"}}",
        &container.id,
    ]);
    assert!(label.contains("\"id\":\"./hello\"") && label.contains("${localEnv:WHO}"), "{label}");

    // A change is told property by property, and kept back until it is asked for.
    place.write(&[(".devcontainer/devcontainer.json", &config(BASE_IMAGE, "second"))]);
    let kept = place.up(&request).await;
    assert_eq!(kept.status.container.as_ref().map(|it| &it.id), Some(&container.id));
    assert!(codes(&kept.status.warnings).contains(&ProblemCode::ConfigChanged));
    let plan = PlanRequest {
        folder: place.folder.clone(),
        config: None,
        variables: request.variables.clone(),
        features: true,
    };
    let preview = place.reconciler.preview(&plan, Some(&kept)).await.unwrap();
    let changed: Vec<&str> = preview.changes.iter().map(|change| change.property.as_str()).collect();
    assert_eq!(changed, ["containerEnv.API_TOKEN"]);
    assert!(!serde_json::to_string(&preview).unwrap().contains("second"));
    assert!(codes(&preview.warnings).contains(&ProblemCode::FeatureDoubtful));
    let rebuild = preview.rebuild.unwrap();
    assert!(rebuild.kept.iter().any(|it| it == "the volume `kept` at /kept"), "{:?}", rebuild.kept);

    // Agreed to, both mounts come with the next container.
    let consents = wanted.iter().map(|consent| consent.digest.clone()).collect();
    let anew = place.up(&UpRequest { rebuild: true, consents, ..request }).await;
    assert_ne!(anew.status.container.as_ref().map(|it| &it.id), Some(&container.id));
    assert_eq!(codes(&anew.status.warnings), [ProblemCode::FeatureDoubtful, ProblemCode::SecretMissing]);
    assert_eq!(
        place.output(&anew, "ls -d /of-config/passwd /of-feature/self").await,
        "/of-config/passwd\n/of-feature/self"
    );
    place.end().await;
}

#[tokio::test]
async fn a_hook_that_failed_is_run_again_from_there_and_that_is_said() {
    let Some(place) = Place::start("web") else { return };
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "onCreateCommand": "echo once >> /runs",
            "postCreateCommand": "echo try >> /runs; test -e $PWD/mended", "postStartCommand": "echo start >> /runs"}}"#
    );
    place.write(&[(".devcontainer.json", &config)]);
    let failed = place.up(&place.request()).await;
    let problem = failed.status.problem.clone().expect("the hook failed");
    assert_eq!(problem.code, ProblemCode::HookFailed);
    assert!(failed.status.hooks.iter().any(|hook| !hook.succeeded));
    place.write(&[("mended", "")]);
    let mended = place.up(&place.request()).await;
    assert_eq!(mended.status.problem, None);
    assert_eq!(place.output(&mended, "cat /runs").await, "once\ntry\ntry\nstart");
    let said = place.events().into_iter().any(|event| {
        matches!(event.kind, EventKind::StepStarted { detail, .. } if detail.contains("failed before; running it again from there"))
    });
    assert!(said);
    place.end().await;
}

#[tokio::test]
async fn a_mistake_in_a_feature_is_told_before_anything_is_done() {
    let place = Place::of("web", None);
    let config =
        format!(r#"{{"image": "{BASE_IMAGE}", "features": {{"ghcr.io/Upper Case/x": {{}}, "./no": []}}}}"#);
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
    let problem = place.up(&place.request()).await.status.problem.expect("the features are wrong");
    assert_eq!((problem.code, problem.causes.len()), (ProblemCode::ConfigInvalid, 2), "{problem:?}");
    assert_eq!(problem.place.and_then(|place| place.line), Some(1));
    assert_eq!(place.fixture.shim.starts(), 0, "the machine was not started");
    place.end().await;
}

#[tokio::test]
async fn a_mount_that_the_machine_cannot_see_is_told_before_anything_is_done() {
    let place = Place::of("web", None);
    let unseen = place.folder.ancestors().nth(2).unwrap().join("unseen");
    fs_err::create_dir(&unseen).unwrap();
    let config = format!(r#"{{"image": "{BASE_IMAGE}", "runArgs": ["-v", "{unseen}:/x:ro"]}}"#);
    place.write(&[(".devcontainer.json", &config)]);
    // Nobody agreed to it yet: then it is no matter.
    let (web, _) = place.fixture.store.up(&place.request(), Session::fresh(), Timestamp::now()).unwrap();
    let reading = crate::configuration::read(place.reconciler.parts(), &web).unwrap();
    let consents = reading.withheld.consents().into_iter().map(|consent| consent.digest).collect();
    let problem = place.up(&UpRequest { consents, ..place.request() }).await.status.problem;
    let problem = problem.expect("the machine cannot see it");
    assert_eq!(problem.code, ProblemCode::FolderNotShared);
    let command = problem.hints.first().and_then(|hint| hint.command.clone());
    assert_eq!(command, Some(format!("cove machine share {unseen}")));
    assert_eq!(place.fixture.shim.starts(), 0, "the machine was not started");
    place.end().await;
}

#[tokio::test]
async fn a_container_of_another_tool_is_taken_over() {
    let Some(place) = Place::start("web") else { return };
    let config = format!(r#"{{"image": "{BASE_IMAGE}", "onCreateCommand": "touch /again"}}"#);
    place.write(&[(".devcontainer.json", &config)]);
    let folder = format!("devcontainer.local_folder={}", place.folder);
    let file = format!("devcontainer.config_file={}/.devcontainer.json", place.folder);
    let volume = format!("{}:/workspaces/web", place.folder);
    let run = [
        "run", "--detach", "--volume", &volume, "--label", &folder, "--label", &file, BASE_IMAGE, "sleep",
        "3600",
    ];
    let other = place.docker(&run);
    let web = place.up(&place.request()).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(web.status.container.as_ref().map(|container| &container.id), Some(&other));
    assert_eq!(place.output(&web, "ls /again 2>/dev/null; echo looked").await, "looked");
    let said = place.events().into_iter().any(|event| {
        matches!(event.kind, EventKind::Log { line, .. } if line.contains("made for this folder by another tool"))
    });
    assert!(said);
    let count = place.docker(&["ps", "--all", "--quiet"]).lines().count();
    assert_eq!(count, 1, "no second one was made");
    let anew = place.up(&UpRequest { rebuild: true, ..place.request() }).await;
    assert_ne!(anew.status.container.as_ref().map(|container| &container.id), Some(&other));
    assert_eq!(place.output(&anew, "ls /again").await, "/again");
    place.end().await;
}

#[tokio::test]
async fn services_of_compose_get_only_the_mounts_that_were_agreed_to() {
    let Some(place) = Place::start("web") else { return };
    place.write(&[
        (".devcontainer.json", r#"{"dockerComposeFile": "compose.yaml", "service": "app", "workspaceFolder": "/w",
            "overrideCommand": true}"#),
        ("compose.yaml", &format!(
            "services:\n  app:\n    image: {BASE_IMAGE}\n    volumes: ['.:/w', '/etc:/outside', 'named:/named']\n    environment: ['WHO=${{WHO:?must be given}}']\nvolumes: {{named: {{}}}}\n"
        )),
    ]);
    let variables = BTreeMap::from([("WHO".to_owned(), "ada".to_owned())]);
    let request = UpRequest { variables, ..place.request() };
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(
        place.output(&web, "ls -d /outside 2>/dev/null; ls /w; ls -d /named; echo $WHO").await,
        "compose.yaml\n/named\nada"
    );
    let wanted = web.status.warnings.iter().flat_map(|warning| warning.consents.clone()).collect::<Vec<_>>();
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    // Asked first: nothing is made until the answer is there.
    let asking = UpRequest { rebuild: true, unasked: Unasked::Wait, ..request.clone() };
    let waiting = place.up(&asking).await;
    assert_eq!(waiting.status.problem.map(|problem| problem.consents), Some(wanted.clone()));
    let consents = wanted.into_iter().map(|consent| consent.digest).collect();
    let anew = place.up(&UpRequest { consents, rebuild: false, ..asking }).await;
    assert_eq!(anew.status.problem, None);
    assert_ne!(anew.status.container.map(|it| it.id), web.status.container.clone().map(|it| it.id));
    assert_eq!(
        place.output(&place.fixture.store.environment(&web.id).unwrap().unwrap(), "ls /outside/passwd").await,
        "/outside/passwd"
    );
    assert_ne!(anew.spec.rebuild, Session::default());
    place.end().await;
}

#[tokio::test]
async fn what_other_tools_stop_or_remove_stays_so_until_it_is_asked_for() {
    let Some(mut place) = Place::start("removed") else { return };
    place.write(&[(".devcontainer.json", &format!(r#"{{"image": "{BASE_IMAGE}"}}"#))]);
    let request = place.request();
    let first = place.up(&request).await;
    // Asked for again, it runs on: it was not started for this wish.
    let again = place.up(&request).await;
    assert_eq!(again.status.problem, None);
    let id = first.status.container.unwrap().id;
    place.docker(&["stop", "--time", "0", &id]);
    place.docker(&["rm", "--force", &id]);
    let told =
        place.until(&first.id, |it| it.status.problem.is_some() && it.status.container.is_none()).await;
    assert_eq!(told.status.phase, api::Phase::Stopped);
    let problem = told.status.problem.unwrap();
    assert_eq!(problem.code, ProblemCode::ContainerFailed);
    assert_eq!(problem.title, "the container of `removed` was removed by other means than Cove's");
    // The next daemon does not make it again either.
    let before = place.fixture.store.last_sequence();
    place.restart().await;
    place.reconciler.ask(&first.id);
    let reads =
        |event: &api::Event| matches!(event.kind, EventKind::StepFinished { step: StepKind::ReadConfig, .. });
    while !place.fixture.store.events_since(before).unwrap().iter().any(reads) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let still = place.until(&first.id, |it| it.status.step.is_none()).await;
    assert_eq!((still.status.phase, still.status.problem), (api::Phase::Stopped, Some(problem)));
    let anew = place.up(&request).await;
    assert_eq!(anew.status.problem, None);
    assert_ne!(anew.status.container.unwrap().id, id);
    place.end().await;
}

#[tokio::test]
async fn dotfiles_that_cannot_be_fetched_fail_nothing_else_and_are_tried_again() {
    let Some(place) = Place::start("dots") else { return };
    let config = format!(r#"{{"image": "{BASE_IMAGE}", "postStartCommand": "echo after"}}"#);
    place.write(&[(".devcontainer.json", &config)]);
    let dotfiles = api::Dotfiles { repository: "/none".into(), install_command: None, target_path: None };
    let request = UpRequest { dotfiles: Some(dotfiles), ..place.request() };
    let failed = |environment: &Environment| {
        let hooks = environment.status.hooks.iter();
        let failed: Vec<_> = hooks.filter(|hook| !hook.succeeded).map(|hook| hook.stage).collect();
        (failed, codes(&environment.status.warnings))
    };
    let first = place.up(&request).await;
    assert_eq!(first.status.problem, None);
    assert_eq!(failed(&first), (vec![api::HookStage::Dotfiles], vec![ProblemCode::HookFailed]));
    let said = serde_json::to_string(&first.status.warnings).unwrap();
    assert!(said.contains("There is no git in the container"), "{said}");
    assert!(place.output(&first, "echo up").await == "up");
    // Mended, they come with the next wish.
    let git = "printf '#!/bin/sh\\nfor last; do :; done; mkdir -p \"$last\"' > /bin/git; chmod +x /bin/git";
    assert_eq!(place.output(&first, &format!("({git}) 2>&1; git clone && echo cloned")).await, "cloned");
    let again = place.up(&request).await;
    assert_eq!(failed(&again), (Vec::new(), Vec::new()), "{:?}", again.status.warnings);
    assert!(again.status.hooks.iter().any(|hook| hook.stage == api::HookStage::Dotfiles));
    place.end().await;
}

#[tokio::test]
async fn the_command_on_this_computer_has_the_variables_of_who_asked() {
    let Some(place) = Place::start("initialize") else { return };
    let config = format!(r#"{{"image": "{BASE_IMAGE}", "initializeCommand": "env; echo $WHO > who"}}"#);
    place.write(&[(".devcontainer.json", &config)]);
    let plan = PlanRequest {
        folder: place.folder.clone(),
        config: None,
        variables: BTreeMap::new(),
        features: true,
    };
    let asked = place.reconciler.preview(&plan, None).await.unwrap().consents;
    let variables =
        [("WHO", "ada"), ("PATH", "/usr/bin:/bin"), ("GITHUB_TOKEN", "ghp-s3cret"), ("DAYS", "7")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = UpRequest {
        consents: asked.into_iter().map(|consent| consent.digest).collect(),
        caller_variables: Some(Secrets(BTreeMap::from(variables))),
        ..place.request()
    };
    let up = place.up(&request).await;
    assert_eq!(up.status.problem, None);
    assert_eq!(fs_err::read_to_string(place.folder.join("who")).unwrap(), "ada\n");
    let events = serde_json::to_string(&place.events()).unwrap();
    assert!(events.contains("DAYS=7") && !events.contains("CARGO_"), "the daemon's variables are not its");
    assert!(events.contains("GITHUB_TOKEN=********"));
    let store = fs_err::read(place.fixture.paths.store_file()).unwrap();
    assert!(!String::from_utf8_lossy(&store).contains("ghp-s3cret"));
    assert!(place.reconciler.parts().callers.of(&up.spec.retry).is_empty(), "they have served");
    place.end().await;
}

#[tokio::test]
async fn asking_again_lets_a_running_hook_end() {
    let Some(place) = Place::start("again") else { return };
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "initializeCommand": "echo x >> asked",
            "postCreateCommand": "echo x >> /begun; while [ ! -e /go ]; do sleep 0.1; done; echo x >> /ended"}}"#
    );
    place.write(&[(".devcontainer.json", &config)]);
    let plan = PlanRequest {
        folder: place.folder.clone(),
        config: None,
        variables: BTreeMap::new(),
        features: true,
    };
    let consents = place.reconciler.preview(&plan, None).await.unwrap().consents;
    let consents = consents.into_iter().map(|consent| consent.digest).collect();
    let request = UpRequest { consents, ..place.request() };
    let ask = || place.fixture.store.up(&request, Session::fresh(), Timestamp::now()).unwrap().0;
    let first = ask();
    place.reconciler.ask(&first.id);
    let hook = StepKind::RunHook(api::HookStage::PostCreate);
    place.until(&first.id, |it| it.status.step == Some(hook)).await;
    let second = ask();
    place.reconciler.ask(&second.id);
    assert_eq!(place.output(&first, "while [ ! -s /begun ]; do sleep 0.1; done; touch /go").await, "");
    let up = place.answered(&second.id, second.metadata.generation).await;
    assert_eq!(up.status.problem, None);
    assert_eq!(place.output(&up, "cat /begun /ended").await, "x\nx", "it was neither killed nor run again");
    assert_eq!(fs_err::read_to_string(place.folder.join("asked")).unwrap(), "x\nx\n", "once for each time");
    place.end().await;
}
