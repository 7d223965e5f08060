//! Tasks and services that run in an image of their own.

use api::{AutomationPhase, DesiredPhase, Environment, ExecRequest, Phase, ProblemCode, UpRequest};
use futures::StreamExt as _;
use test_support::dockerd::BASE_IMAGE;

use super::{Place, item, secrets, story};

/// A database in an image of its own, and a task in the dev container that needs it.
const BESIDE: &str = r#"
services:
  db:
    commands:
      start: "echo db $KIND in $(cat /etc/kind) with $TOKEN as $(id -un) in $PWD >> order; exec httpd -f -p 5432 -h /"
      ready: wget -q -O - http://localhost:5432/etc/kind
      stop: echo stopped >> order; killall httpd
    env: {TOKEN: {secret: TOKEN}}
    restart: POLICY
    runsOn: {docker: {image: other, environment: ["KIND=small", "TOKEN=none"]}}
  broken:
    commands: {start: x}
    runsOn: {docker: {image: localhost:1/nowhere}}
tasks:
  seed:
    triggeredBy: [postEnvironmentStart]
    dependsOn: [db, build]
    command: "echo seed $(wget -q -O - http://localhost:5432/etc/kind) $URL; echo seed $URL >> order"
    env: {URL: {output: build.url}}
  build:
    runsOn: {docker: {image: other}}
    command: "echo build; echo url=u1 > $COVE_OUTPUT"
    outputs: [url]
"#;

impl Place {
    /// The containers that stand beside the dev container, and how.
    fn beside(&self, format: &str) -> Vec<String> {
        let said = self.docker(&["ps", "-a", "--filter", "label=dev.cove.automation", "--format", format]);
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    async fn logs_of(&self, app: &Environment, item: &str) -> String {
        let argv = ["/dev/cove/bin/cove-inside", "automations", "logs", item].map(str::to_owned).to_vec();
        let automation = Some(item.to_owned());
        let request = ExecRequest { argv, automation, masked: true, ..ExecRequest::default() };
        let mut session = self.reconciler.exec(&app.id, &request).await.unwrap();
        let mut said = Vec::new();
        while let Some(piece) = session.output.next().await {
            said.extend(piece.unwrap().1);
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    /// Wishes an environment stopped, running or gone.
    fn desire(&self, app: &Environment, phase: DesiredPhase) {
        self.fixture.store.change_spec(&app.id, None, |spec| spec.desired_phase = phase).unwrap();
        self.reconciler.wake(&app.id);
    }
}

/// A second image, which can be told from the first.
fn other_image(place: &Place) {
    place.docker(&["create", "--name", "maker", BASE_IMAGE, "sh", "-c", "echo other > /etc/kind"]);
    place.docker(&["start", "-a", "maker"]);
    place.docker(&["commit", "--change", "USER dev", "maker", "other"]);
    place.docker(&["rm", "maker"]);
}

#[tokio::test]
async fn an_image_of_its_own_runs_beside_the_dev_container_and_lives_with_it() {
    let Some(mut place) = story("beside") else { return };
    other_image(&place);
    place.write(&[(".cove/automations.yaml", &BESIDE.replace("POLICY", "never"))]);
    let app = place.up(&UpRequest { secrets: Some(secrets()), ..place.request() }).await;
    assert_eq!(app.status.problem, None);
    let app = place.until_phase(&app.id, "tasks/seed", AutomationPhase::Succeeded).await;
    let folder = app.status.container.as_ref().unwrap().workspace_folder.clone();
    let db = format!("db small in other with s3cret-value as dev in {folder}");
    assert_eq!(place.order(), ["hook", &db, "seed u1"]);
    assert_eq!(place.logs_of(&app, "tasks/seed").await, "seed other u1");
    assert_eq!(place.logs_of(&app, "tasks/build").await, "build");
    assert_eq!(place.beside("{{.Image}} {{.State}}"), ["other running", "other running"]);
    let ids = place.beside("{{.ID}}");
    let mut words = vec!["inspect", "--format", "{{.Config.Env}}"];
    words.extend(ids.iter().map(String::as_str));
    let made = place.docker(&words);
    assert!(!made.contains("s3cret"), "{made}");

    // An image that is not there fails what asks for it, and nothing else.
    place.wish(&app, "services/broken", true);
    let app = place.until_phase(&app.id, "services/broken", AutomationPhase::Failed).await;
    let problem = item(&app, "services/broken").problem.clone().unwrap();
    assert_ne!(problem.code, ProblemCode::AutomationFailed, "{problem:?}");

    // A daemon that begins anew finds it, and starts nothing twice.
    let pid = item(&app, "services/db").pid;
    place.restart().await;
    let stop = place.wish(&app, "services/db", false);
    let app = place.until(&app.id, |now| item(now, "services/db").session == stop).await;
    let app = place.until_phase(&app.id, "services/db", AutomationPhase::Stopped).await;
    assert_eq!(place.order(), ["hook", &db, "seed u1", "stopped"]);
    place.wish(&app, "services/db", true);
    let app = place.until_phase(&app.id, "services/db", AutomationPhase::Running).await;
    assert_ne!(item(&app, "services/db").pid, pid);
    assert_eq!(place.output(&app, "wget -q -O - http://localhost:5432/etc/kind").await, "other");

    // Somebody removes its container: nothing is started again that the file does not say.
    let removed = place.beside("{{.Names}}").into_iter().find(|name| name.ends_with(".service.db")).unwrap();
    place.docker(&["rm", "-f", &removed]);
    let app = place.until_phase(&app.id, "services/db", AutomationPhase::Failed).await;
    let told = item(&app, "services/db").problem.clone().unwrap().title;
    assert!(told.contains("its container ended or was removed"), "{told}");
    assert_eq!(place.beside("{{.Names}}").len(), 1);

    // By the policy that the file says, it is.
    place.write(&[(".cove/automations.yaml", &BESIDE.replace("POLICY", "always"))]);
    let app = place.up(&place.request()).await;
    place.wish(&app, "services/db", true);
    let app = place.until_phase(&app.id, "services/db", AutomationPhase::Running).await;
    let before = place.order().len();
    place.docker(&["rm", "-f", &removed]);
    place.until(&app.id, |_| place.order().len() > before).await;
    let app = place.until_phase(&app.id, "services/db", AutomationPhase::Running).await;
    assert_eq!(place.beside("{{.Names}}").len(), 2);

    // They stop with the dev container, and come again with it, with what they have.
    place.docker(&["exec", "-u", "root", &removed, "sh", "-c", "echo kept > /etc/kind"]);
    place.desire(&app, DesiredPhase::Stopped);
    let app = place.until(&app.id, |now| now.status.phase == Phase::Stopped).await;
    assert_eq!(place.order().last().map(String::as_str), Some("stopped"));
    assert_eq!(place.beside("{{.State}}"), ["exited", "exited"]);
    let seeds = |place: &Place| place.order().iter().filter(|line| line.starts_with("seed")).count();
    let before = seeds(&place);
    place.desire(&app, DesiredPhase::Running);
    place.until(&app.id, |_| seeds(&place) > before).await;
    let app = place.until_phase(&app.id, "services/db", AutomationPhase::Running).await;
    assert_eq!(place.output(&app, "wget -q -O - http://localhost:5432/etc/kind").await, "kept");

    // Moved into the dev container, it leaves its own.
    let moved = BESIDE
        .replace("    runsOn: {docker: {image: other, environment: [\"KIND=small\", \"TOKEN=none\"]}}\n", "");
    let moved = moved
        .replace("5432/etc/kind", "5432/etc/passwd")
        .replace("POLICY", "always")
        .replace("postEnvironmentStart", "manual");
    place.write(&[(".cove/automations.yaml", &moved)]);
    let app = place.up(&place.request()).await;
    place.wish(&app, "services/db", true);
    let app = place.until_phase(&app.id, "services/db", AutomationPhase::Running).await;
    assert!(!place.beside("{{.Names}}").contains(&removed));

    // Gone with it.
    place.desire(&app, DesiredPhase::Deleted);
    let begun = std::time::Instant::now();
    while place.fixture.store.environment(&app.id).unwrap().is_some() {
        assert!(begun.elapsed() < super::super::PATIENCE, "it is still there");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(place.beside("{{.Names}}"), Vec::<String>::new());
    place.end().await;
}
