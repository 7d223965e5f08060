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
        let request = UpRequest { prebuild: Some(wish), rebuild: true, ..request.clone() };
        let (made, _) = self.fixture.store.up(&request, Session::fresh(), Timestamp::now()).unwrap();
        if let Some(secrets) = &request.secrets {
            self.reconciler.parts().secrets.keep(&made.id, secrets).unwrap();
        }
        self.reconciler.ask(&made.id);
        let mut events = self.fixture.store.subscribe();
        loop {
            let now = self.fixture.store.environment(&made.id).unwrap();
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
