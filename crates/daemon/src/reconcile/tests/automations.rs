//! Tasks and services of whole environments.

mod beside;

use api::{
    AutomationPhase, AutomationStatus, AutomationWish, ConditionKind, Environment, EnvironmentId, Phase,
    ProblemCode, Secrets, Session, UpRequest,
};
use test_support::dockerd::BASE_IMAGE;

use super::{Duration, PATIENCE, Place, codes};

/// A database that is not ready at once, a task that seeds it, and a web server.
const FILE: &str = r#"
services:
  db:
    triggeredBy: [postEnvironmentStart]
    commands:
      start: "echo db >> order; rm -f /tmp/ready; sleep 0.5; touch /tmp/ready; exec sleep 86000"
      ready: test -e /tmp/ready
      stop: echo stopped >> order
  web:
    triggeredBy: [postEnvironmentStart]
    dependsOn: [db, seed]
    commands: {start: "echo web $URL >> order; exec httpd -f -p 8000"}
    env: {URL: {output: seed.url}}
    restart: {policy: on-failure, delay: 100ms}
tasks:
  seed:
    triggeredBy: [postDevcontainerStart]
    dependsOn: [db]
    command: "echo seed as $(id -un) in $PWD with $TOKEN >> order; echo url=http://$TOKEN > $COVE_OUTPUT"
    env: {TOKEN: {secret: TOKEN}}
    outputs: [url]
  broken:
    triggeredBy: [postEnvironmentStart]
    command: echo no s3cret-value here; exit 3
"#;

fn story(name: &str) -> Option<Place> {
    let place = Place::start(name)?;
    let config = format!(
        r#"{{"image": "{BASE_IMAGE}", "remoteUser": "dev", "postStartCommand": "echo hook >> order",
            "mounts": ["type=bind,source=${{localWorkspaceFolder}}/.bin/cove-inside,target=/dev/cove/bin/cove-inside"]}}"#
    );
    place.write(&[
        (".devcontainer/devcontainer.json", &config),
        (".cove/automations.yaml", FILE),
        ("order", ""),
    ]);
    fs_err::create_dir(place.folder.join(".bin")).unwrap();
    fs_err::copy(test_support::inside::program(), place.folder.join(".bin/cove-inside")).unwrap();
    place.docker(&["info"]);
    for path in ["", "order"] {
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs_err::set_permissions(place.folder.join(path), open).unwrap();
    }
    Some(place)
}

fn secrets() -> Secrets {
    Secrets([("TOKEN".to_owned(), "s3cret-value".to_owned())].into())
}

fn item<'a>(environment: &'a Environment, name: &str) -> &'a AutomationStatus {
    environment.status.automations.item(name).unwrap_or_else(|| panic!("no {name}: {:?}", environment.status))
}

impl Place {
    async fn until_phase(&self, id: &EnvironmentId, name: &str, phase: AutomationPhase) -> Environment {
        let is = |now: &Environment| now.status.automations.item(name).is_some_and(|it| it.phase == phase);
        self.until(id, is).await
    }

    fn order(&self) -> Vec<String> {
        let text = fs_err::read_to_string(self.folder.join("order")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The lines, once so many of them are these: a service runs before it has said its first word.
    async fn order_with(&self, count: usize, is_it: impl Fn(&str) -> bool) -> Vec<String> {
        let written = async {
            while self.order().iter().filter(|line| is_it(line)).count() < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let written = tokio::time::timeout(PATIENCE, written).await;
        written.unwrap_or_else(|_| panic!("there are not {count}: {:?}", self.order()));
        self.order()
    }

    /// What `cove automations start` and the like ask for.
    fn wish(&self, environment: &Environment, name: &str, run: bool) -> Session {
        let session = Session::fresh();
        let container_run = environment.status.container.as_ref().and_then(|it| it.started_at.clone());
        let wish = AutomationWish { run, session: session.clone(), container_run };
        let wishes = [(name.to_owned(), wish)].into();
        self.fixture.store.change_automations(&environment.id, wishes).unwrap();
        self.reconciler.wake(&environment.id);
        session
    }
}

#[tokio::test]
async fn automations_start_in_their_order_heal_and_outlive_the_daemon() {
    let Some(mut place) = story("automated") else { return };
    let app = place.up(&UpRequest { secrets: Some(secrets()), ..place.request() }).await;
    assert_eq!(app.status.problem, None);
    let app = place.until_phase(&app.id, "services/web", AutomationPhase::Running).await;
    let seed = format!(
        "seed as dev in {} with s3cret-value",
        app.status.container.as_ref().unwrap().workspace_folder
    );
    let order = place.order_with(1, |line| line.starts_with("web")).await;
    assert_eq!(order, ["hook", "db", &seed, "web http://s3cret-value"]);
    assert_eq!(item(&app, "tasks/seed").outputs["url"], "http://********", "secrets are not shown");

    // A failed task is told of, and the environment is as good as before.
    let app = place.until_phase(&app.id, "tasks/broken", AutomationPhase::Failed).await;
    let problem = item(&app, "tasks/broken").problem.clone().expect("it failed");
    assert_eq!((problem.code, problem.exit_code), (ProblemCode::AutomationFailed, Some(3)));
    assert_eq!(problem.log_tail, ["no ******** here"]);
    let holds = |app: &Environment, kind| app.status.conditions.iter().any(|it| it.kind == kind && it.holds);
    assert!(holds(&app, ConditionKind::Ready) && !holds(&app, ConditionKind::AutomationsWell));
    assert_eq!(app.status.phase, Phase::Running);

    // It heals.
    let before = item(&app, "services/web").pid;
    place.output(&app, "kill -9 $(pidof httpd)").await;
    let healed = |now: &Environment| {
        let web = item(now, "services/web");
        web.phase == AutomationPhase::Running && web.pid.is_some() && web.pid != before
    };
    let app = place.until(&app.id, healed).await;
    let pid = item(&app, "services/web").pid;

    // A daemon that begins anew finds what runs, and starts nothing twice.
    place.restart().await;
    place.wish(&app, "tasks/broken", true);
    let failed_again = |now: &Environment| {
        let broken = item(now, "tasks/broken");
        broken.phase == AutomationPhase::Failed && broken.session != item(&app, "tasks/broken").session
    };
    let app = place.until(&app.id, failed_again).await;
    assert_eq!(item(&app, "services/web").pid, pid);
    let order = place.order_with(2, |line| line.starts_with("web")).await;
    assert_eq!(order.len(), 5, "{order:?}");

    // Somebody restarts the container: what belongs to each start comes again, what was done once is done.
    let id = app.status.container.as_ref().unwrap().id.clone();
    place.docker(&["restart", "--time", "1", &id]);
    let again = |now: &Environment| {
        let web = item(now, "services/web");
        web.phase == AutomationPhase::Running && web.session != item(&app, "services/web").session
    };
    place.until(&app.id, again).await;
    let order = place.order_with(3, |line| line.starts_with("web")).await;
    assert_eq!(order.iter().filter(|line| line.starts_with("seed")).count(), 1, "{order:?}");
    assert_eq!(order.iter().filter(|line| *line == "db").count(), 2, "{order:?}");
    // What a task left is handed on as it is, though it is shown without the secret in it.
    let with_output = order.iter().filter(|line| *line == "web http://s3cret-value").count();
    // At first, healed, and in the new run of the container.
    assert_eq!(with_output, 3, "{order:?}");
    assert_eq!(item(&app, "tasks/seed").outputs["url"], "http://********");

    // Stopped, services are stopped as their authors would have it.
    place
        .fixture
        .store
        .change_spec(&app.id, None, |spec| spec.desired_phase = api::DesiredPhase::Stopped)
        .unwrap();
    place.reconciler.wake(&app.id);
    let app = place.until(&app.id, |now| now.status.phase == Phase::Stopped).await;
    assert_eq!(place.order().last().map(String::as_str), Some("stopped"));
    assert_eq!(item(&app, "services/db").phase, AutomationPhase::Stopped);
    place.end().await;
}

#[tokio::test]
async fn changes_of_the_file_count_at_the_next_up_and_mistakes_keep_nothing_from_running() {
    let Some(place) = story("edited") else { return };
    let app = place.up(&place.request()).await;
    // A secret that is not there is told with its place; what needs it does not run without.
    let app = place.until_phase(&app.id, "tasks/seed", AutomationPhase::Failed).await;
    let told = item(&app, "tasks/seed").problem.clone().unwrap().title;
    assert!(
        told.contains(".cove/automations.yaml:") && told.contains("there is no secret `TOKEN`"),
        "{told}"
    );
    assert_eq!(place.reconciler.automations_changed(&app), None);

    let edited = FILE
        .replace("exec sleep 86000", "exec sleep 86001")
        .replace("{TOKEN: {secret: TOKEN}}", "{TOKEN: x}");
    place.write(&[(".cove/automations.yaml", &edited)]);
    let changed = place.reconciler.automations_changed(&app).expect("it differs");
    assert_eq!(changed.code, ProblemCode::AutomationsChanged);
    let db = item(&place.until_phase(&app.id, "services/db", AutomationPhase::Running).await, "services/db")
        .clone();
    let app = place.up(&place.request()).await;
    assert_eq!(place.reconciler.automations_changed(&app), None);
    let anew = |now: &Environment| {
        let now = item(now, "services/db");
        now.phase == AutomationPhase::Running && now.pid.is_some() && now.pid != db.pid
    };
    let app = place.until(&app.id, anew).await;
    place.wish(&app, "tasks/seed", true);
    let app = place.until_phase(&app.id, "tasks/seed", AutomationPhase::Succeeded).await;

    // With a mistake in it, what runs, runs on.
    let db = item(&app, "services/db").pid;
    place.write(&[(".cove/automations.yaml", "services: {db: {comands: {start: x}}}")]);
    let app = place.up(&place.request()).await;
    assert!(
        codes(&app.status.warnings).contains(&ProblemCode::AutomationsInvalid),
        "{:?}",
        app.status.warnings
    );
    assert_eq!((app.status.problem.clone(), app.status.phase), (None, Phase::Running));
    assert_eq!(item(&app, "services/db").pid, db);
    assert_eq!(place.output(&app, "ps -o args | grep -c '^sleep 86001'").await, "1");

    // What is gone from the file is stopped.
    fs_err::remove_file(place.folder.join(".cove/automations.yaml")).unwrap();
    let app = place.up(&place.request()).await;
    assert!(app.status.automations.items.is_empty());
    let begun = std::time::Instant::now();
    while place.output(&app, "ps -o args | grep -c '^sleep 86001'").await != "0" {
        assert!(begun.elapsed() < super::PATIENCE, "it still runs");
    }
    place.end().await;
}

#[tokio::test]
async fn a_container_without_the_program_is_told_of_and_works() {
    let Some(place) = Place::start("without") else { return };
    let config = format!(r#"{{"image": "{BASE_IMAGE}"}}"#);
    place.write(&[
        (".devcontainer.json", &config),
        (".gitpod/automations.yaml", "tasks: {a: {command: x, triggeredBy: [postEnvironmentStart]}}"),
    ]);
    let app = place.up(&place.request()).await;
    assert_eq!((app.status.problem.clone(), app.status.phase), (None, Phase::Running));
    let told =
        app.status.warnings.iter().find(|it| it.code == ProblemCode::AutomationFailed).expect("it is told");
    assert!(told.title.contains("nobody in the container looks after them"), "{told:?}");
    place.end().await;
}
