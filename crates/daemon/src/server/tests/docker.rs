//! What the machine's engine has, on a real one.

use engine::{Channel, LogRange as EngineLogRange};
use jiff::Timestamp;
use test_support::dockerd::{BASE_IMAGE, Dockerd};

use super::*;
use crate::Paths;
use crate::machine::MachineHost;
use crate::machine::testing::Fixture;

const DOCKER: &str = "/v1/machines/default/docker";

/// Lists of a machine that never ran.
pub(super) fn nothing(home: &Utf8Path, store: &Store) -> Inventory {
    Inventory::new(MachineHost::new(&Paths::new(home.join("h")).unwrap(), store.clone()), store.clone())
}

/// A server whose machine has a real engine.
struct Place {
    served: Served,
    dockerd: Dockerd,
    fixture: Fixture,
    inventory: Inventory,
}

impl Place {
    /// `None` where there is no engine for tests.
    async fn start() -> Option<Self> {
        let dockerd = Dockerd::start()?;
        let fixture = Fixture::new();
        let machine = fixture.with_engine(&dockerd);
        tokio::time::timeout(DEADLINE, machine.ensure_running()).await.unwrap().unwrap();
        let inventory = Inventory::new(machine, fixture.store.clone());
        let served = Served::start_with(tempfile::tempdir().unwrap(), Some(inventory.clone()));
        Some(Self { served, dockerd, fixture, inventory })
    }

    fn docker(&self, arguments: &[&str]) -> String {
        self.dockerd.docker(arguments)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.served.call("GET", &format!("{DOCKER}{path}"), "").await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn done(&self, method: &str, path: &str) {
        let (status, body) = self.served.call(method, &format!("{DOCKER}{path}"), "").await;
        assert!(status.is_success(), "{method} {path}: {status} {body}");
    }

    async fn refused(&self, method: &str, path: &str) -> (StatusCode, Problem) {
        self.served.refused(method, &format!("{DOCKER}{path}"), "").await
    }

    async fn prune(&self, kind: &str, all: bool) -> Value {
        let body = json!({ "kind": kind, "all": all }).to_string();
        let (status, said) = self.served.call("POST", &format!("{DOCKER}/prune"), &body).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        said
    }

    /// An environment that the store knows, and its label.
    fn environment(&self, name: &str) -> (EnvironmentId, String) {
        let folder = self.fixture.share().join(name);
        fs_err::create_dir_all(&folder).unwrap();
        let request = api::UpRequest { folder, ..api::UpRequest::default() };
        let (made, _) = self.fixture.store.up(&request, Session::fresh(), Timestamp::now()).unwrap();
        (made.id.clone(), format!("dev.cove.environment={}", made.id))
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name}: {list}"))
}

#[tokio::test]
async fn a_machine_that_is_off_stays_off_and_says_how_to_start_it() {
    let served = Served::start();
    for path in
        ["usage", "containers", "images", "volumes", "networks", "builds", "images/x", "volumes/v/files"]
    {
        let (status, problem) = served.refused("GET", &format!("{DOCKER}/{path}"), "").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(problem.hints[0].command.as_deref(), Some("cove machine start"), "{path}");
    }
}

#[tokio::test]
async fn containers_are_listed_and_worked_with_but_for_those_of_environments() {
    let Some(place) = Place::start().await else { return };
    let (id, label) = place.environment("app");
    let hostile = "<img src=x onerror=alert(1)>";
    place.docker(&[
        "run",
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-l",
        &format!("note={hostile}"),
        BASE_IMAGE,
        "sleep",
        "600",
    ]);
    place.docker(&["create", "--name", "mine", "--label", &label, BASE_IMAGE]);
    place.docker(&["create", "--name", "left", "--label", "dev.cove.environment=gone", BASE_IMAGE]);
    place.docker(&["run", "-d", "--name", "said", BASE_IMAGE, "sh", "-c", "echo one; echo two >&2; exit 3"]);
    place.docker(&["wait", "said"]);

    let all = place.get("/containers").await;
    assert_eq!(names(&all), ["web", "left", "mine", "said"]);
    let web = named(&all, "web");
    assert_eq!((&web["state"], &web["image"]), (&json!("running"), &json!(BASE_IMAGE)));
    assert_eq!(web["ports"], json!([{"container": 80, "protocol": "tcp", "host": 8080}]));
    assert_eq!(named(&all, "mine")["owner"], json!({"environment": id, "name": "app", "kept": true}));
    assert_eq!(named(&all, "left")["owner"], json!({"environment": "gone", "kept": false}));
    assert!(place.get("/containers?sizes=true").await[0]["size"].is_number());
    let inspect = place.get("/containers/web/inspect").await;
    assert_eq!(inspect["Config"]["Labels"]["note"], hostile);

    for (method, path, code) in [
        ("POST", "/containers/mine/start", ProblemCode::OwnedByEnvironment),
        ("DELETE", "/containers/mine?force=true", ProblemCode::OwnedByEnvironment),
        ("DELETE", "/containers/web", ProblemCode::DockerInUse),
        ("GET", "/containers/nobody", ProblemCode::DockerNotFound),
        ("DELETE", "/containers/..%2Fimages%2Fprune", ProblemCode::DockerNotFound),
    ] {
        let (status, problem) = place.refused(method, path).await;
        assert_eq!(problem.code, code, "{method} {path}: {problem:?}");
        let missing = code == ProblemCode::DockerNotFound;
        assert_eq!(status, if missing { StatusCode::NOT_FOUND } else { StatusCode::CONFLICT });
    }
    let (_, problem) = place.refused("DELETE", "/containers/mine").await;
    assert_eq!(problem.hints[0].command.as_deref(), Some("cove rm app"));

    place.done("POST", "/containers/web/stop").await;
    assert_eq!(place.get("/containers/web").await["state"], "exited");
    place.done("POST", "/containers/web/start").await;
    place.done("POST", "/containers/web/restart").await;
    assert_eq!(place.get("/containers/web").await["state"], "running");

    // The engine reads both channels at the same time: only within each is there an order.
    let both = [(Channel::Out, Bytes::from("one\n")), (Channel::Err, Bytes::from("two\n"))];
    for (tail, count) in [(None, 2), (Some(1), 1)] {
        let range = EngineLogRange { tail, ..EngineLogRange::default() };
        let (pieces, owner) = place.inventory.log_of("said", range).await.unwrap();
        let pieces: Vec<_> = pieces.map(Result::unwrap).collect().await;
        assert_eq!((pieces.len(), owner), (count, None), "{pieces:?}");
        assert!(pieces.iter().all(|piece| both.contains(piece)), "{pieces:?}");
    }
    let shell = ExecRequest { input: true, ..ExecRequest::default() };
    let mut session = place.inventory.exec("web", shell).await.unwrap();
    session.input.write_all(b"echo $((6 * 7)); exit 4\n").await.unwrap();
    let output: Vec<_> = session.output.by_ref().map(Result::unwrap).collect().await;
    assert_eq!(output, [(Channel::Out, Bytes::from("42\n"))]);
    assert_eq!(session.control.exit_code().await.unwrap(), 4);

    let before = &place.get("/usage").await["containers"];
    assert_eq!((&before["count"], &before["prune"]["names"]), (&json!(4), &json!(["said", "left"])));
    assert_eq!(place.prune("containers", false).await["count"], 2, "not that of the environment");
    place.fixture.store.forget(&id).unwrap();
    place.done("DELETE", "/containers/mine").await;
    place.done("DELETE", "/containers/web?force=true").await;
    assert_eq!(place.get("/containers").await, json!([]));
}

#[tokio::test]
async fn images_and_builds_tell_what_they_take_and_a_prune_does_what_it_said() {
    let Some(place) = Place::start().await else { return };
    let (_, label) = place.environment("app");
    let image = |from: &str, name: &str, change: &str| {
        let id = place.docker(&["create", from, "sh", "-c", "true"]);
        let made = place.docker(&["commit", "--change", change, &id, name]);
        place.docker(&["rm", &id]);
        made
    };
    image(BASE_IMAGE, "shop/api:1", "LABEL note=<script>alert(1)</script>");
    let loose = image(BASE_IMAGE, "", "ENV A=1");
    image(BASE_IMAGE, "cove-app:1", &format!("LABEL {label}"));
    image(BASE_IMAGE, "cove/prebuild-app:1", "LABEL dev.cove.prebuild.inputs=x");
    place.docker(&["create", "--name", "user", "shop/api:1"]);

    let all = place.get("/images").await;
    let tagged = |tag: &str| all.as_array().unwrap().iter().find(|it| it["tags"][0] == tag).unwrap();
    assert_eq!(tagged("shop/api:1")["used_by"], json!(["user"]));
    assert_eq!(tagged("cove-app:1")["owner"]["kept"], true);
    assert_eq!(tagged("cove/prebuild-app:1")["prebuild"], true);
    let detail = place.get("/images/shop%2Fapi:1").await;
    assert_eq!(detail["inspect"]["Config"]["Labels"]["note"], "<script>alert(1)</script>");
    let layers = detail["layers"].as_array().unwrap();
    assert!(layers.len() >= 2 && layers.iter().any(|it| it["size"].as_u64() > Some(100_000)), "{layers:?}");

    for (path, code) in [
        ("/images/shop%2Fapi:1", ProblemCode::DockerInUse),
        ("/images/cove-app:1", ProblemCode::OwnedByEnvironment),
        ("/images/cove%2Fprebuild-app:1", ProblemCode::OwnedByEnvironment),
        ("/images/none:1", ProblemCode::DockerNotFound),
    ] {
        assert_eq!(place.refused("DELETE", path).await.1.code, code, "{path}");
    }
    let usage = &place.get("/usage").await["images"];
    assert_eq!(usage["prune"]["names"], json!([loose]));
    assert_eq!(usage["prune_all"]["count"], 2, "the base is no container's: {usage}");
    assert_eq!(place.prune("images", false).await["count"], 1);
    place.done("DELETE", "/containers/user").await;
    place.done("DELETE", "/images/shop%2Fapi:1").await;
    assert_eq!(place.get("/builds").await, json!([]));
    assert_eq!(place.prune("builds", true).await["count"], 0);
}

#[tokio::test]
async fn volumes_are_looked_into_and_nothing_leads_out_of_them() {
    let Some(place) = Place::start().await else { return };
    let (_, label) = place.environment("app");
    let script = "cd /v && mkdir -p 'a b/c' && printf 12345 > 'a b/<b>x' && ln -s /etc out && ln -s 'a b' in && mkfifo pipe && touch .hidden 'two
lines' && chmod 640 .hidden";
    place.docker(&["run", "--rm", "-v", "data:/v", BASE_IMAGE, "sh", "-c", script]);
    place.docker(&["volume", "create", "--label", &label, "cove-src-x"]);
    place.docker(&["volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "memory"]);
    place.docker(&["create", "--name", "user", "-v", "held:/v", "-v", "/anonymous", BASE_IMAGE]);

    let all = place.get("/volumes?sizes=true").await;
    assert!(named(&all, "data")["size"].as_u64() >= Some(5));
    assert_eq!(named(&all, "held")["used_by"], json!(["user"]));
    assert_eq!(named(&all, "cove-src-x")["owner"]["kept"], true);
    assert_eq!(all.as_array().unwrap().iter().filter(|it| it["anonymous"] == true).count(), 1);

    let top = place.get("/volumes/data/files").await;
    assert_eq!(names(&top["entries"]), ["a b", ".hidden", "in", "out", "pipe", "two\nlines"]);
    let kinds: Vec<_> = top["entries"].as_array().unwrap().iter().map(|it| it["kind"].clone()).collect();
    assert_eq!(kinds, ["folder", "file", "link", "link", "special", "file"]);
    assert_eq!(named(&top["entries"], ".hidden")["mode"], "rw-r-----");
    let below = place.get("/volumes/data/files?path=a%20b").await;
    assert_eq!((&below["path"], names(&below["entries"])), (&json!("a b"), vec!["c", "<b>x"]));
    assert_eq!(named(&below["entries"], "<b>x")["size"], 5);
    assert_eq!(names(&place.get("/volumes/data/files?path=in").await["entries"]), ["c", "<b>x"]);
    for (path, code) in [
        ("/volumes/data/files?path=out", ProblemCode::DockerNotFound),
        ("/volumes/data/files?path=pipe", ProblemCode::DockerNotFound),
        ("/volumes/data/files?path=a%20b%2F..%2F..", ProblemCode::InvalidRequest),
        ("/volumes/data/files?path=%2Fetc", ProblemCode::InvalidRequest),
        ("/volumes/none/files", ProblemCode::DockerNotFound),
        ("/volumes/memory/files", ProblemCode::VolumeElsewhere),
    ] {
        assert_eq!(place.refused("GET", path).await.1.code, code, "{path}");
    }
    assert_eq!(place.docker(&["ps", "-aq"]).lines().count(), 1, "nothing is left of looking");

    assert_eq!(place.refused("DELETE", "/volumes/held").await.1.code, ProblemCode::DockerInUse);
    assert_eq!(place.refused("DELETE", "/volumes/cove-src-x").await.1.code, ProblemCode::OwnedByEnvironment);
    place.docker(&["rm", "user"]);
    let usage = &place.get("/usage").await["volumes"];
    assert_eq!((&usage["prune"]["count"], &usage["prune_all"]["count"]), (&json!(1), &json!(4)), "{usage}");
    assert_eq!(place.prune("volumes", false).await["count"], 1);
    place.done("DELETE", "/volumes/memory").await;
    let pruned = place.prune("volumes", true).await;
    assert_eq!(pruned["count"], 2);
    assert_eq!(names(&place.get("/volumes").await), ["cove-src-x"]);
}

#[tokio::test]
async fn networks_keep_their_containers_and_a_watch_that_asks_hears_of_changes() {
    let Some(place) = Place::start().await else { return };
    let mut watch = place.served.watch("?docker=true").await;
    let mut old = place.served.watch("").await;
    assert!(matches!(watch.next().await, Some(WatchMessage::Synced { .. })));
    let changed = WatchMessage::DockerChanged { machine: "default".to_owned() };
    assert_eq!(watch.next().await, Some(changed.clone()), "what was before is not known");
    place.docker(&["network", "create", "--subnet", "172.31.99.0/24", "back"]);
    assert_eq!(watch.next().await, Some(changed.clone()));
    place.docker(&["network", "create", "empty"]);
    place.docker(&["create", "--name", "user", "--network", "back", BASE_IMAGE]);
    assert_eq!(watch.next().await, Some(changed));
    assert!(matches!(old.next().await, Some(WatchMessage::Synced { .. })));
    let silent = tokio::time::timeout(Duration::from_millis(300), old.body.frame()).await;
    assert!(silent.is_err(), "who did not ask is not told");

    let all = place.get("/networks").await;
    assert_eq!(names(&all), ["back", "empty", "bridge", "host", "none"]);
    let back = named(&all, "back");
    assert_eq!((&back["subnets"], &back["used_by"]), (&json!(["172.31.99.0/24"]), &json!(["user"])));
    assert!(place.get("/networks/back/inspect").await["IPAM"].is_object());
    for path in ["/networks/back", "/networks/bridge"] {
        assert_eq!(place.refused("DELETE", path).await.1.code, ProblemCode::DockerInUse, "{path}");
    }
    assert_eq!(place.get("/usage").await["networks"]["prune"]["names"], json!(["empty"]));
    assert_eq!(place.prune("networks", false).await["count"], 1);
    place.docker(&["rm", "user"]);
    place.done("DELETE", "/networks/back").await;
}
