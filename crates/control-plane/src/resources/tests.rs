mod policies;
mod secrets;
mod unused;

use api::ProblemCode::{self, Conflict, LastAdministrator, ResourceInvalid, TooLarge};
use api::control::{Draft, DraftMetadata};
use api::{Name, Problem};
use serde_json::{Value, json};

use super::*;
use crate::store::Database;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn draft(kind: Kind, called: &str, spec: Value) -> Draft {
    let metadata =
        DraftMetadata { name: name(called), organization: None, labels: [].into(), resource_version: None };
    Draft { kind, metadata, spec }
}

/// An organization with a person who owns it, a runner with a class, a project and an environment.
fn world() -> Vec<Draft> {
    vec![
        draft(Kind::Organization, "acme", json!({ "title": "Acme" })),
        draft(Kind::User, "ann", json!({ "email": "ann@example.com" })),
        draft(Kind::Group, "all", json!({ "members": ["ann"] })),
        draft(Kind::Role, "owner", json!({ "permissions": [{}], "subjects": [{ "group": "all" }] })),
        draft(Kind::Runner, "big", json!({ "variant": "shared" })),
        draft(Kind::EnvironmentClass, "large", json!({ "runner": "big", "configuration": { "cpus": 8 } })),
        draft(
            Kind::Project,
            "shop",
            json!({ "repository": { "url": "https://example.com/shop" }, "classes": [{ "class": "large" }] }),
        ),
        draft(Kind::Environment, "shop-1", environment()),
    ]
}

fn environment() -> Value {
    json!({ "desired_phase": "running", "project": "shop", "owner": "ann", "runner": "big", "class": "large",
        "source": { "type": "repository", "url": "https://example.com/shop" } })
}

struct World {
    _folder: tempfile::TempDir,
    database: Database,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8Path::from_path(folder.path()).unwrap().join("control.db");
        let world = Self { _folder: folder, database: Database::sqlite(&path).unwrap() };
        for draft in self::world() {
            world.apply(draft).await.unwrap();
        }
        world
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, ResourceError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.database.write(work).await.map_err(Problem::from)
    }

    async fn apply(&self, draft: Draft) -> Result<Applied, Problem> {
        self.write(move |t| apply(t, Timestamp::UNIX_EPOCH, &name("acme"), draft)).await
    }

    async fn delete(&self, kind: Kind, called: &str) -> Result<Deleted, Problem> {
        let called = name(called);
        self.write(move |t| delete(t, Timestamp::UNIX_EPOCH, kind, &name("acme"), &called, None)).await
    }

    async fn version(&self) -> u64 {
        self.database.read(|t| t.version()).await.unwrap()
    }
}

#[tokio::test]
async fn applying_twice_is_one_change_and_a_change_of_the_spec_alone_is_a_generation() {
    let world = World::new().await;
    let before = world.version().await;
    for draft in self::world() {
        assert_eq!(world.apply(draft).await.unwrap().difference.kind, DifferenceKind::Same);
    }
    assert_eq!(world.version().await, before);

    let mut with_label = draft(Kind::Environment, "shop-1", environment());
    with_label.metadata.labels.insert("team".to_owned(), "a".to_owned());
    let changed = world.apply(with_label.clone()).await.unwrap().document.metadata;
    assert_eq!((changed.generation, changed.resource_version), (1, before + 1));
    with_label.spec["desired_phase"] = json!("stopped");
    let changed = world.apply(with_label).await.unwrap().document.metadata;
    assert_eq!((changed.generation, changed.resource_version), (2, before + 2));
    let announced =
        world.database.read(move |t| t.changes(Some(&name("acme")), before, 9)).await.unwrap().unwrap();
    assert_eq!(
        announced.iter().map(|change| change.resource_version).collect::<Vec<_>>(),
        [before + 1, before + 2]
    );
}

#[tokio::test]
async fn what_cannot_be_is_told_with_its_place_and_changes_nothing() {
    let world = World::new().await;
    let before = world.version().await;
    let mut other_source = environment();
    other_source["source"]["url"] = json!("https://example.com/other");
    let mut elsewhere = draft(Kind::Project, "elsewhere", json!({ "repository": { "url": "u" } }));
    elsewhere.metadata.organization = Some(name("other"));
    let mut stale = draft(Kind::Project, "shop", json!({ "repository": { "url": "u" } }));
    stale.metadata.resource_version = Some(1);
    let mut fresh = stale.clone();
    fresh.metadata.resource_version = Some(0);
    let big = "x".repeat(LARGEST);
    for (draft, code, text) in [
        (
            draft(Kind::Project, "a", json!({ "repository": { "url": "u" }, "colour": 1 })),
            ResourceInvalid,
            "spec.colour",
        ),
        (
            draft(Kind::Project, "a", json!({ "repository": { "url": 7 } })),
            ResourceInvalid,
            "spec.repository.url",
        ),
        (draft(Kind::Project, "a", json!({})), ResourceInvalid, "repository"),
        (
            draft(
                Kind::Project,
                "a",
                json!({ "repository": { "url": "u" }, "classes": [{ "class": "huge" }] }),
            ),
            ResourceInvalid,
            "spec.classes[0]",
        ),
        (draft(Kind::Group, "a", json!({ "members": ["ann", "bob"] })), ResourceInvalid, "spec.members[1]"),
        (draft(Kind::Environment, "shop-1", other_source), ResourceInvalid, "spec.source"),
        (elsewhere, ResourceInvalid, "metadata.organization"),
        (stale, Conflict, "was made from 1"),
        (fresh, Conflict, "was made from 0"),
        (draft(Kind::Organization, "beta", json!({ "title": big })), TooLarge, "bytes long"),
        (
            draft(Kind::User, "ann", json!({ "email": "ann@example.com", "suspended": true })),
            LastAdministrator,
            "acme",
        ),
        (
            draft(
                Kind::Role,
                "owner",
                json!({ "permissions": [{ "verbs": ["get"] }], "subjects": [{ "group": "all" }] }),
            ),
            LastAdministrator,
            "acme",
        ),
        (draft(Kind::Group, "all", json!({ "members": [] })), LastAdministrator, "acme"),
    ] {
        let what = format!("{draft:?}");
        let problem = world.apply(draft).await.expect_err(&what);
        let told = format!("{}\n{}", problem.title, problem.causes.join("\n"));
        assert_eq!(problem.code, code, "{told}");
        assert!(told.contains(text), "`{text}` is not in:\n{told}");
    }
    assert_eq!(world.version().await, before);
}

#[tokio::test]
async fn what_is_needed_stays_and_an_environment_goes_when_its_runner_is_done() {
    let world = World::new().await;
    for (kind, called, by) in [
        (Kind::Runner, "big", "EnvironmentClass large"),
        (Kind::Project, "shop", "Environment shop-1"),
        (Kind::User, "ann", "Group all"),
        (Kind::Organization, "acme", "User ann"),
    ] {
        let problem = world.delete(kind, called).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::ResourceInUse, "{problem}");
        assert!(problem.title.contains(by), "{problem}");
    }
    let Deleted::Going(going) = world.delete(Kind::Environment, "shop-1").await.unwrap() else {
        panic!("its runner knows nothing of it yet")
    };
    let again = world.apply(draft(Kind::Environment, "shop-1", environment())).await.unwrap_err();
    assert_eq!(again.code, ProblemCode::Conflict);
    let id = going.metadata.id.clone();
    assert!(world.write(move |t| release(t, Timestamp::UNIX_EPOCH, &id, RUNNER_FINALIZER)).await.unwrap());
    for (kind, called) in [(Kind::Project, "shop"), (Kind::EnvironmentClass, "large"), (Kind::Runner, "big")]
    {
        assert_eq!(world.delete(kind, called).await.unwrap(), Deleted::Gone);
    }
    let gone = world.delete(Kind::Runner, "big").await.unwrap_err();
    assert_eq!(gone.code, ProblemCode::ResourceNotFound);
}

#[tokio::test]
async fn a_class_is_as_its_runner_can_have_it() {
    let world = World::new().await;
    let status = json!({ "phase": "active", "schema": { "fields": {
        "cpus": { "title": "Processors", "required": true, "type": "integer", "least": 1, "most": 16 },
        "disk": { "title": "Disk", "type": "choice", "values": ["ssd", "hdd"] } } } });
    world
        .write(move |t| report(t, Timestamp::UNIX_EPOCH, Kind::Runner, &name("acme"), &name("big"), status))
        .await
        .unwrap();
    for (configuration, wrong) in [
        (json!({ "cpus": 8, "disk": "ssd" }), None),
        (json!({}), Some("Processors")),
        (json!({ "cpus": 17 }), Some("the most is 16")),
        (json!({ "cpus": "8" }), Some("a whole number")),
        (json!({ "cpus": 8, "disk": "tape" }), Some("ssd, hdd")),
        (json!({ "cpus": 8, "gpus": 1 }), Some("cpus, disk")),
    ] {
        let class = draft(
            Kind::EnvironmentClass,
            "large",
            json!({ "runner": "big", "configuration": configuration }),
        );
        let told = world.apply(class).await.err().map(|problem| problem.causes.join("\n"));
        assert_eq!(told.is_some(), wrong.is_some(), "{configuration}: {told:?}");
        assert!(told.unwrap_or_default().contains(wrong.unwrap_or_default()), "{configuration}");
    }
}

#[tokio::test]
async fn a_difference_names_fields_and_changes_nothing() {
    let world = World::new().await;
    let before = world.version().await;
    let mut spec = environment();
    spec["desired_phase"] = json!("stopped");
    spec["idle"] = json!({ "stop_after": 600 });
    let changed = draft(Kind::Environment, "shop-1", spec);
    let told =
        world.database.rehearse(move |t| apply(t, Timestamp::UNIX_EPOCH, &name("acme"), changed)).await;
    let told = told.map_err(Problem::from).unwrap().difference;
    assert_eq!(told.kind, DifferenceKind::Update);
    assert_eq!(told.fields["desired_phase"], [Some(json!("running")), Some(json!("stopped"))]);
    assert_eq!(told.fields["idle.stop_after"], [None, Some(json!(600))]);
    assert_eq!(told.fields.len(), 2);
    assert_eq!(world.version().await, before);
}

#[tokio::test]
async fn of_an_organization_one_person_has_an_address() {
    let world = World::new().await;
    let user = |called, email: &str| draft(Kind::User, called, json!({ "email": email }));
    let problem = world.apply(user("bob", "ANN@example.com")).await.unwrap_err();
    assert_eq!(problem.code, ResourceInvalid);
    assert_eq!(problem.title, "User bob: `spec.email` cannot be so");
    assert!(problem.causes[0].contains("User `ann`"), "{problem:?}");
    world.apply(user("bob", "bob@example.com")).await.unwrap();
    assert_eq!(world.apply(user("bob", "ann@example.com")).await.unwrap_err().code, ResourceInvalid);
    // Their own, in other letters; one that nobody has any more; and programs that have none.
    for (called, email) in [
        ("ann", "Ann@Example.com"),
        ("bob", "bob@new.example"),
        ("eve", "bob@example.com"),
        ("build", ""),
        ("release", ""),
    ] {
        world.apply(user(called, email)).await.unwrap();
    }
}
