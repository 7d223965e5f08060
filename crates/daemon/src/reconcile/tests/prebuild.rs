//! Prebuilds: real images of real containers, with secrets on the way.

use std::io::Write;
use std::process::{Command, Stdio};

use api::{HookStage, PrebuildWish};
use test_support::registry::Registry as RealRegistry;

use super::*;

const SECRET: &str = "s3cret-of-the-hooks";
const VARIABLE: &str = "t0ken-of-the-person";

const FILE: &str = r#"
tasks:
  warm:
    triggeredBy: [prebuild]
    command: "echo task-$(echo $KEY | wc -c | grep -qx 20 && echo knows) >> /home/dev/ran; echo $KEY"
    env: {KEY: {secret: DEPLOY_KEY}}
  later:
    triggeredBy: [postDevcontainerStart]
    command: echo later >> /home/dev/ran
"#;

/// What a person's folder says. Its text is in the image's label, so it counts letters instead of comparing.
/// `MORE` in it is more properties.
const CONFIG: &str = r#"{
    "image": "BASE", "remoteUser": "dev", "overrideCommand": true,
    "mounts": ["type=bind,source=${localWorkspaceFolder}/.bin/cove-inside,target=/dev/cove/bin/cove-inside"],
    "containerEnv": {"API": "${localEnv:API_TOKEN}"}, "remoteEnv": {"ALSO": "${localEnv:API_TOKEN}"},
    "onCreateCommand": "echo $DEPLOY_KEY $API | wc -c | grep -qx 40 && test $ALSO = $API && echo create >> ~/ran",
    "updateContentCommand": "echo update >> ~/ran",
    "postCreateCommand": "echo post-$DEPLOY_KEY-$API > ~/post"MORE
}"#;

fn story() -> Option<(Place, UpRequest)> {
    let place = Place::start("web")?;
    write_config(&place, "");
    place.write(&[(".cove/automations.yaml", FILE), ("source.txt", "a source that is in no image")]);
    fs_err::create_dir(place.folder.join(".bin")).unwrap();
    fs_err::copy(test_support::inside::program(), place.folder.join(".bin/cove-inside")).unwrap();
    let request = UpRequest {
        variables: BTreeMap::from([("API_TOKEN".to_owned(), VARIABLE.to_owned())]),
        secrets: Some(Secrets(BTreeMap::from([("DEPLOY_KEY".to_owned(), SECRET.to_owned())]))),
        ..place.request()
    };
    Some((place, request))
}

fn write_config(place: &Place, more: &str) {
    let config = CONFIG.replace("BASE", BASE_IMAGE).replace("MORE", more);
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
}

impl Place {
    /// Makes a prebuild: its environment is gone after that, or has a problem.
    async fn prebuild(&self, request: &UpRequest, wish: PrebuildWish) -> Option<Environment> {
        let id = self.begin_prebuild(request, wish);
        self.prebuild_ended(&id).await
    }

    fn begin_prebuild(&self, request: &UpRequest, wish: PrebuildWish) -> EnvironmentId {
        let request = UpRequest { prebuild: Some(wish), rebuild: true, ..request.clone() };
        let session = Session::fresh();
        let callers = &self.reconciler.parts().callers;
        if let Some(variables) = &request.caller_variables {
            callers.hold(&session, variables.clone());
        }
        let (made, _) = self.fixture.store.up(&request, session.clone(), Timestamp::now()).unwrap();
        if let Some(secrets) = &request.secrets {
            self.reconciler.parts().secrets.keep(&made.id, secrets).unwrap();
        }
        callers.settle(&session, &made.id);
        self.reconciler.ask(&made.id);
        made.id
    }

    /// Waits for a file that a hook makes in the folder.
    async fn appears(&self, name: &str) {
        let seen = async {
            while !self.folder.join(name).exists() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("it appears");
    }

    async fn prebuild_ended(&self, id: &EnvironmentId) -> Option<Environment> {
        let mut events = self.fixture.store.subscribe();
        loop {
            let now = self.fixture.store.environment(id).unwrap();
            match now {
                Some(now) if now.status.problem.is_none() || now.status.retry != now.spec.retry => {
                    let _ = tokio::time::timeout(PATIENCE, events.recv()).await.expect("it goes on");
                }
                ended => return ended,
            }
        }
    }

    /// Whether any layer of an image holds a text, or its configuration does.
    fn holds(&self, image: &str, text: &str) -> bool {
        let saved = Command::new("docker")
            .args(["save", image])
            .envs(self.dockerd.as_ref().unwrap().env())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut all = saved.wait_with_output().unwrap().stdout;
        assert!(all.len() > 100_000, "the layers are in it");
        all.write_all(self.docker(&["inspect", image]).as_bytes()).unwrap();
        all.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

#[tokio::test]
async fn an_up_goes_on_from_a_prebuild_and_no_secret_is_in_it() {
    let Some((mut place, request)) = story() else { return };
    let registry = RealRegistry::start().map(|mut registry| {
        registry.serve_in(place.dockerd.as_ref().unwrap());
        registry
    });
    let Some(registry) = registry else { return };
    let pushed = format!("{}/team/web-prebuild:1", registry.address());
    let wish = PrebuildWish { tag: Some("mine:1".to_owned()), push: Some(pushed.clone()) };
    let left = place.prebuild(&request, wish).await;
    assert!(left.is_none(), "{:?}", left.map(|it| it.status));
    let all = place.reconciler.prebuilds().await.unwrap();
    assert_eq!(all.len(), 1);
    let image = all[0].image.clone();
    assert!(image.starts_with("cove/prebuild-web:"), "{image}");
    assert_eq!((all[0].also.contains(&"mine:1".to_owned()), all[0].also.contains(&pushed)), (true, true));
    assert_eq!(place.docker(&["ps", "--all", "--quiet"]), "", "its container is gone");

    // The hooks and the task had the secrets and the variables; no layer has, and no source is in it.
    for text in [SECRET, VARIABLE, "a source that is in no image"] {
        assert!(!place.holds(&image, text), "{text}");
    }
    assert!(place.holds(&image, "task-knows"), "what they made is there");
    let label =
        place.docker(&["inspect", "--format", "{{index .Config.Labels \"devcontainer.metadata\"}}", &image]);
    assert!(label.contains("updateContentCommand") && label.contains("${localEnv:API_TOKEN}"), "{label}");

    // Another daemon goes on from it, and the plan says so.
    place.restart().await;
    let plan = PlanRequest {
        folder: place.folder.clone(),
        config: None,
        variables: request.variables.clone(),
        features: false,
    };
    let preview = place.reconciler.preview(&plan, None).await.unwrap();
    let reasons: Vec<&str> = preview.plan.steps.iter().map(|step| step.reason.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains(&image)), "{reasons:?}");
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    let ran = "create\nupdate\ntask-knows\nupdate";
    let seen = place.output(&web, "grep -v later ~/ran; cat ~/post; echo $API; cat source.txt").await;
    assert_eq!(seen, format!("{ran}\npost-{SECRET}-{VARIABLE}\n{VARIABLE}\na source that is in no image"));
    assert!(web.status.hooks.iter().any(|hook| hook.stage == HookStage::OnCreate && hook.succeeded));
    let container = web.status.container.as_ref().unwrap();
    assert!(place.docker(&["inspect", "--format", "{{.Config.Image}}", &container.id]).contains("prebuild"));

    // The pushed one serves who has no other: the configuration names it.
    place.docker(&["rm", "--force", &container.id]);
    for name in [&image, "mine:1", &pushed] {
        place.docker(&["rmi", name]);
    }
    assert!(place.reconciler.prebuilds().await.unwrap().is_empty());
    write_config(&place, &format!(r#", "customizations": {{"cove": {{"prebuild": "{pushed}"}}}}"#));
    let web = place.up(&UpRequest { rebuild: true, ..request.clone() }).await;
    assert_eq!(web.status.problem, None);
    assert_eq!(place.output(&web, "grep -v later ~/ran").await, ran);
    write_config(&place, "");

    // One that does not fit is not used, and the reason is told.
    write_config(
        &place,
        r#", "overrideFeatureInstallOrder": ["x"], "updateContentCommand": "echo other >> ~/ran""#,
    );
    let config = place.folder.join(".devcontainer/devcontainer.json");
    let text = fs_err::read_to_string(&config).unwrap();
    fs_err::write(&config, text.replacen(r#""updateContentCommand": "echo update >> ~/ran","#, "", 1))
        .unwrap();
    let web = place.up(&UpRequest { rebuild: true, ..request }).await;
    assert_eq!(web.status.problem, None);
    let stale = web.status.warnings.iter().find(|warning| warning.code == ProblemCode::PrebuildStale);
    let title = &stale.unwrap_or_else(|| panic!("nothing is told: {:?}", web.status.warnings)).title;
    assert!(title.contains("overrideFeatureInstallOrder, updateContentCommand changed"), "{title}");
    assert_eq!(place.output(&web, "grep -v later ~/ran").await, "create\nother");
    place.reconciler.remove_prebuild(&pushed).await.unwrap();
    assert!(place.reconciler.prebuilds().await.unwrap().is_empty());
    place.end().await;
}

#[tokio::test]
async fn a_prebuild_that_would_hold_a_secret_is_refused() {
    let Some((place, request)) = story() else { return };
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "onCreateCommand": "mkdir -p /deep/er; echo x$DEPLOY_KEY > /deep/er/npmrc"}}"#
    );
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
    fs_err::remove_file(place.folder.join(".cove/automations.yaml")).unwrap();
    let left = place.prebuild(&request, PrebuildWish::default()).await.expect("it stays, to be looked at");
    let problem = left.status.problem.unwrap();
    assert_eq!(problem.code, ProblemCode::PrebuildFailed);
    assert!(problem.title.contains("`DEPLOY_KEY`") && !problem.title.contains(SECRET), "{problem:?}");
    assert!(place.reconciler.prebuilds().await.unwrap().is_empty());
    let kept = place.docker(&["images", "--all", "--quiet", "--filter", "label=dev.cove.prebuild.inputs"]);
    assert_eq!(kept, "", "not even without a name");

    // So is one with a variable of the person that is called like a secret.
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "containerEnv": {{"API": "${{localEnv:API_TOKEN}}"}}, "onCreateCommand": "echo $API > /npmrc"}}"#
    );
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
    let left = place.prebuild(&request, PrebuildWish::default()).await.expect("it stays");
    let problem = left.status.problem.unwrap();
    assert!(problem.title.contains("`API_TOKEN`") && !problem.title.contains(VARIABLE), "{problem:?}");

    // A task that fails keeps it from being made, and the next try begins anew.
    let config = format!(r#"{{"image": "{BASE_IMAGE}", "onCreateCommand": "exit 7"}}"#);
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
    let left = place.prebuild(&request, PrebuildWish::default()).await.expect("it failed");
    assert_eq!(left.status.problem.map(|it| it.code), Some(ProblemCode::HookFailed));
    let config = format!(r#"{{"image": "{BASE_IMAGE}", "onCreateCommand": "echo well > /well"}}"#);
    place.write(&[(".devcontainer/devcontainer.json", &config)]);
    assert!(place.prebuild(&request, PrebuildWish::default()).await.is_none());
    // An image that says the same of itself passes for none: somebody else made it.
    let image = place.reconciler.prebuilds().await.unwrap().remove(0).image;
    let labels = place.docker(&["inspect", "--format", "{{json .Config.Labels}}", &image]);
    let labels: BTreeMap<String, String> = serde_json::from_str(&labels).unwrap();
    let mut played = vec!["commit".to_owned()];
    for (name, value) in &labels {
        played.extend(["--change".to_owned(), format!("LABEL {name}={value:?}")]);
    }
    let other = place.docker(&["create", BASE_IMAGE, "true"]);
    played.extend([other.clone(), "played:1".to_owned()]);
    place.docker(&played.iter().map(String::as_str).collect::<Vec<_>>());
    place.docker(&["rm", &other]);
    let ids: Vec<String> =
        place.reconciler.prebuilds().await.unwrap().into_iter().map(|it| it.image).collect();
    assert!(ids.contains(&"played:1".to_owned()), "{ids:?}");
    place.docker(&["rmi", &image]);
    let plan = PlanRequest {
        folder: place.folder.clone(),
        config: None,
        variables: request.variables.clone(),
        features: false,
    };
    let plan = place.reconciler.preview(&plan, None).await.unwrap().plan;
    assert!(plan.steps.iter().all(|step| !step.reason.contains("played")), "{plan:?}");
    assert!(place.prebuild(&request, PrebuildWish::default()).await.is_none());
    // An environment of the folder itself was there all the while for nobody.
    assert!(place.fixture.store.environment_of(&place.folder, None).unwrap().is_none());
    let web = place.up(&UpRequest { secrets: None, ..request }).await;
    assert_eq!(place.output(&web, "cat /well").await, "well");
    place.end().await;
}

/// What the configuration says that puts variables, labels and a check into a container's own configuration.
const ARGUMENTS: &str = r#"["--env-file", "${localWorkspaceFolder}/.devcontainer/devcontainer.env", "-e", "PERSON=${localEnv:API_TOKEN}",
    "--label", "deploy=${localEnv:API_TOKEN}", "--health-cmd", "test ${localEnv:API_TOKEN}"]"#;

const IN_FILE: &str = "f1le-secret-value";
const PLAIN: &str = "plain-in-the-file";

fn write_arguments(place: &Place, hooks: &str) {
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "runArgs": {ARGUMENTS}, "remoteEnv": {{"SEEN": "${{containerEnv:PLAIN}}"}}, {hooks}}}"#
    );
    let variables = format!("# of the team\nDEPLOY_TOKEN={IN_FILE}\nPLAIN={PLAIN}\nPERSON=is-said-again\n");
    place.write(&[
        (".devcontainer/devcontainer.json", &config),
        (".devcontainer/devcontainer.env", &variables),
    ]);
}

fn request_with_token(place: &Place) -> UpRequest {
    let variables = BTreeMap::from([("API_TOKEN".to_owned(), VARIABLE.to_owned())]);
    UpRequest { variables, ..place.request() }
}

#[tokio::test]
async fn what_run_arguments_put_into_a_container_is_in_no_prebuild() {
    let Some(place) = Place::start("web") else { return };
    let request = request_with_token(&place);
    // Counts letters: the hook's own text is in the label.
    write_arguments(
        &place,
        r#""onCreateCommand": "echo $DEPLOY_TOKEN,$PLAIN,$PERSON,$SEEN | wc -c > /lengths""#,
    );
    let left = place.prebuild(&request, PrebuildWish::default()).await;
    assert!(left.is_none(), "{:?}", left.map(|it| it.status));
    let image = place.reconciler.prebuilds().await.unwrap().remove(0).image;
    for text in [VARIABLE, IN_FILE, PLAIN, "is-said-again", "DEPLOY_TOKEN=", "PERSON="] {
        assert!(!place.holds(&image, text), "{text}");
    }
    let config = place.docker(&["inspect", "--format", "{{json .Config}}", &image]);
    assert!(!config.contains("Healthcheck") && !config.contains("deploy"), "{config}");
    let of_base = place.docker(&["inspect", "--format", "{{json .Config.Env}}", BASE_IMAGE]);
    assert_eq!(place.docker(&["inspect", "--format", "{{json .Config.Env}}", &image]), of_base);
    // Whoever begins from it has all of it.
    let web = place.up(&request).await;
    assert_eq!(web.status.problem, None);
    let container = web.status.container.as_ref().unwrap();
    assert!(place.docker(&["inspect", "--format", "{{.Config.Image}}", &container.id]).contains("prebuild"));
    let all = [IN_FILE, PLAIN, VARIABLE, PLAIN].join(",");
    let seen = place.output(&web, "cat /lengths; echo $DEPLOY_TOKEN,$PLAIN,$PERSON,$SEEN").await;
    assert_eq!(seen, format!("{}\n{all}", all.len() + 1));
    let label = place.docker(&["inspect", "--format", "{{.Config.Labels.deploy}}", &container.id]);
    assert_eq!(label, VARIABLE);

    // What a hook wrote of it is found.
    write_arguments(&place, r#""onCreateCommand": "echo $DEPLOY_TOKEN > /npmrc""#);
    let left = place.prebuild(&request, PrebuildWish::default()).await.expect("it stays");
    let problem = left.status.problem.unwrap();
    assert_eq!(problem.code, ProblemCode::PrebuildFailed);
    assert!(problem.title.contains("`DEPLOY_TOKEN`") && !problem.title.contains(IN_FILE), "{problem:?}");

    // A file that a hook swaps for a link to elsewhere is not read on this computer.
    let swap = r#""onCreateCommand": "ln -sf /etc/hosts .devcontainer/devcontainer.env", "updateContentCommand": "env > /seen""#;
    write_arguments(&place, swap);
    let left = place.prebuild(&request, PrebuildWish::default()).await.expect("it stays");
    assert_eq!(left.status.problem.map(|it| it.code), Some(ProblemCode::ConsentNeeded));
    fs_err::remove_file(place.folder.join(".devcontainer/devcontainer.env")).unwrap();

    // One that is not there is told before anything runs.
    write_arguments(&place, r#""onCreateCommand": "touch ran""#);
    fs_err::remove_file(place.folder.join(".devcontainer/devcontainer.env")).unwrap();
    let left = place.prebuild(&request, PrebuildWish::default()).await.expect("it stays");
    let problem = left.status.problem.unwrap();
    assert!(problem.title.contains("devcontainer.env` in `runArgs` cannot be read"), "{problem:?}");
    assert!(!place.folder.join("ran").exists());
    place.end().await;
}

#[tokio::test]
async fn a_daemon_that_ends_while_a_prebuild_is_made_leaves_no_secret_in_an_image() {
    let Some(mut place) = Place::start("web") else { return };
    let secrets = Secrets(BTreeMap::from([("DEPLOY_KEY".to_owned(), SECRET.to_owned())]));
    let request = UpRequest { secrets: Some(secrets), ..place.request() };
    let waits = "touch begun; until test -e go; do sleep 0.1; done";
    let config = |initialize: &str, command: &str| {
        format!(r#"{{"image": "{BASE_IMAGE}", {initialize} "onCreateCommand": "{waits}; {command}"}}"#)
    };
    let file = ".devcontainer/devcontainer.json";
    place.write(&[(file, &config("", "echo x$DEPLOY_KEY > /npmrc"))]);
    let id = place.begin_prebuild(&request, PrebuildWish::default());
    place.appears("begun").await;
    place.restart().await;
    place.write(&[("go", "")]);
    let left = place.prebuild_ended(&id).await.expect("it stays, to be looked at");
    let problem = left.status.problem.unwrap();
    assert!(problem.title.contains("the value of the secret `DEPLOY_KEY`"), "{problem:?}");

    // One that ends between the image and the end of the search leaves an image without a name.
    let maker = format!("LABEL dev.cove.prebuild.environment={id}");
    let container = left.status.container.unwrap().id;
    let mut commit = vec!["commit", "--change", &maker, "--change", "LABEL dev.cove.prebuild.inputs={}"];
    commit.push(&container);
    let unsearched = place.docker(&commit);
    assert_eq!(place.reconciler.prebuilds().await.unwrap(), [], "it is no prebuild");
    place.write(&[(file, &config("", "echo well > /well"))]);
    assert!(place.prebuild(&request, PrebuildWish::default()).await.is_none());
    let all = place.docker(&["images", "--all", "--quiet", "--no-trunc"]);
    assert!(!all.contains(&unsearched), "the next try removed it");
    assert_eq!(place.reconciler.prebuilds().await.unwrap().len(), 1);

    // What `initializeCommand` had is known to the daemon that ran it, and to no other.
    let initialize = r#""initializeCommand": "echo $NPM_TOKEN > of-this-computer","#;
    place.write(&[(file, &config(initialize, "cp of-this-computer /npmrc"))]);
    let plan = PlanRequest {
        folder: place.folder.clone(),
        config: None,
        variables: BTreeMap::new(),
        features: false,
    };
    let asked = place.reconciler.preview(&plan, None).await.unwrap().consents;
    let caller =
        [("NPM_TOKEN", VARIABLE), ("PATH", "/usr/bin:/bin")].map(|(name, value)| (name.into(), value.into()));
    let request = UpRequest {
        consents: asked.into_iter().map(|consent| consent.digest).collect(),
        caller_variables: Some(Secrets(BTreeMap::from(caller))),
        secrets: None,
        ..request
    };
    let left = place.prebuild(&request, PrebuildWish::default()).await.expect("it stays");
    let problem = left.status.problem.unwrap();
    assert!(problem.title.contains("the value of the secret `NPM_TOKEN`"), "{problem:?}");
    for name in ["begun", "go"] {
        fs_err::remove_file(place.folder.join(name)).unwrap();
    }
    let id = place.begin_prebuild(&request, PrebuildWish::default());
    place.appears("begun").await;
    place.restart().await;
    place.write(&[("go", "")]);
    let left = place.prebuild_ended(&id).await.expect("it stays");
    let problem = left.status.problem.unwrap();
    assert!(problem.title.contains("began anew after `initializeCommand`"), "{problem:?}");
    place.end().await;
}

#[tokio::test]
async fn a_named_prebuild_is_followed_when_its_team_makes_another() {
    let Some(place) = Place::start("web") else { return };
    let Some(mut registry) = RealRegistry::start() else { return };
    registry.serve_in(place.dockerd.as_ref().unwrap());
    let named = format!("{}/team/web:1", registry.address());
    let write = |command: &str, named: &str| {
        let config = format!(
            r#"{{"image": "{BASE_IMAGE}", "onCreateCommand": "{command}", "customizations": {{"cove": {{"prebuild": "{named}"}}}}}}"#
        );
        place.write(&[(".devcontainer/devcontainer.json", &config)]);
    };
    let request = UpRequest { rebuild: true, ..place.request() };
    let wish = PrebuildWish { tag: None, push: Some(named.clone()) };
    let mut made = Vec::new();
    for command in ["echo one > /of", "echo two > /of"] {
        write(command, &named);
        assert!(place.prebuild(&request, wish.clone()).await.is_none());
        made.push(place.docker(&["inspect", "--format", "{{.Id}}", &named]));
        place.docker(&["tag", &named, &format!("kept:{}", made.len())]);
        for image in place.reconciler.prebuilds().await.unwrap() {
            for name in image.also.iter().chain([&image.image]).filter(|name| !name.starts_with("kept:")) {
                place.docker(&["rmi", name]);
            }
        }
    }
    let begun = async |named: &str| {
        let web = place.up(&request).await;
        assert_eq!(web.status.problem, None);
        let stale = web.status.warnings.iter().any(|it| it.code == ProblemCode::PrebuildStale);
        (place.docker(&["inspect", "--format", "{{.Id}}", named]), stale)
    };
    // Who has the first one by that name, and none of the second.
    place.docker(&["tag", "kept:1", &named]);
    place.docker(&["rmi", "kept:2"]);
    assert_eq!(begun(&named).await, (made[1].clone(), false), "the second was pulled");
    // One that fits is followed all the same: its team may have made it of newer packages.
    write("echo one > /of", &named);
    place.docker(&["tag", "kept:1", &named]);
    assert_eq!(begun(&named).await, (made[1].clone(), false), "one that was made here serves instead");
    write("echo three > /of", &named);
    assert_eq!(begun(&named).await, (made[1].clone(), true), "none fits, and that is told");

    // A registry that does not answer keeps nobody from the one that is there.
    let away = "127.0.0.1:9/team/web:1";
    write("echo two > /of", away);
    place.docker(&["tag", &named, away]);
    place.docker(&["rmi", &named]);
    assert_eq!(begun(away).await, (made[1].clone(), false));
    write("echo three > /of", away);
    assert_eq!(begun(away).await, (made[1].clone(), true));
    place.end().await;
}
