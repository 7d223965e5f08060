//! What a runner that lies can do, and who is away. What honest ones do, real processes show in `tests/server`.

use api::Name;
use api::control::{Document, Draft, DraftMetadata, EnvironmentSpec, Kind, RunnerPhase, RunnerStatus};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sync::{
    Author, Disk, Hello, Key, Moment, Owners, Protocol, Refusal, Runner, RunnerId, Side, ToRunner, ToServer,
    Token,
};

use super::{Fleet, Heard, Said, presence};
use crate::identity::RunnerIdentity;
use crate::resources::{self, ResourceError};
use crate::store::{Database, Transaction};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

struct World {
    _folder: tempfile::TempDir,
    database: Database,
    fleet: Fleet,
}

/// A connection of a runner, as its server sees it.
struct Line {
    who: RunnerIdentity,
    heard: Option<Heard>,
    lease: Token,
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24)
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = camino::Utf8Path::from_path(folder.path()).unwrap().join("control.db");
        let database = Database::sqlite(&path).unwrap();
        let fleet = Fleet::start(&database).await.unwrap();
        let world = Self { _folder: folder, database, fleet };
        for (organization, kind, called, spec) in [
            ("acme", Kind::Organization, "acme", json!({})),
            ("acme", Kind::Runner, "mac", json!({ "variant": "shared" })),
            ("acme", Kind::Runner, "victim", json!({ "variant": "shared" })),
            ("beta", Kind::Organization, "beta", json!({})),
            ("beta", Kind::Runner, "mac", json!({ "variant": "shared" })),
        ] {
            world.apply(organization, kind, called, spec).await;
        }
        world
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Transaction, &Fleet) -> Result<T, ResourceError> + Send + 'static,
    ) -> T {
        let fleet = self.fleet.clone();
        let written = self.database.write(move |transaction| -> Result<_, ResourceError> {
            let done = work(transaction, &fleet)?;
            Ok((done, transaction.version()?))
        });
        let (done, version) = written.await.unwrap();
        self.fleet.committed(version);
        done
    }

    async fn apply(&self, organization: &str, kind: Kind, called: &str, spec: Value) -> Document {
        let metadata = DraftMetadata {
            name: name(called),
            organization: None,
            labels: [].into(),
            resource_version: None,
        };
        let (organization, draft) = (name(organization), Draft { kind, metadata, spec });
        self.write(move |transaction, fleet| {
            let former = transaction.resource(kind, &organization, &draft.metadata.name)?;
            let applied = resources::apply(transaction, now(), &organization, draft)?;
            if kind != Kind::Environment {
                return Ok(applied.document);
            }
            fleet.turn(transaction, &organization, now())?.declare(former.as_ref(), &applied.document)
        })
        .await
    }

    async fn get(&self, organization: &str, kind: Kind, called: &str) -> Option<Document> {
        let (organization, called) = (name(organization), name(called));
        self.database
            .read(move |transaction| transaction.resource(kind, &organization, &called))
            .await
            .unwrap()
    }

    async fn phase(&self, runner: &str) -> RunnerPhase {
        let document = self.get("acme", Kind::Runner, runner).await.unwrap();
        serde_json::from_value::<RunnerStatus>(document.status).unwrap().phase
    }

    /// A runner says hello, and something with its lease.
    async fn connect(&self, organization: &str, runner: &str) -> Line {
        let id = self.get(organization, Kind::Runner, runner).await.unwrap().metadata.id;
        let who = RunnerIdentity { id, organization: name(organization), name: name(runner) };
        let mut line = Line { who, heard: Some(Heard::default()), lease: Token(0) };
        let runner = RunnerId::parse(runner).unwrap();
        let hello = Hello {
            protocol: Protocol::OURS,
            runner: runner.clone(),
            author: Author { side: Side::Runner(runner), run: 1, token: Token(1) },
            attempt: 1,
            lease: None,
            heard: 0,
            documents: [].into(),
            statuses: [].into(),
        };
        let said = self.say(&mut line, ToServer::Hello(hello)).await;
        let [ToRunner::Welcome(welcome)] = said.as_slice() else { panic!("{said:?}") };
        line.lease = welcome.lease;
        let lease = line.lease;
        self.say(&mut line, ToServer::Beat { lease }).await;
        line
    }

    async fn say(&self, line: &mut Line, message: ToServer) -> Vec<ToRunner> {
        let (who, mut heard) = (line.who.clone(), line.heard.take().unwrap());
        let (said, heard) = self
            .write(move |transaction, fleet| {
                let mut turn = fleet.turn(transaction, &who.organization, now())?;
                let said = turn.hear(&who, "here/1", &mut heard, Said::Message(Box::new(message)))?;
                Ok((said, heard))
            })
            .await;
        line.heard = Some(heard);
        said
    }

    /// A runner brings a document.
    async fn bring(&self, line: &mut Line, key: &Key, document: sync::Document) -> Vec<ToRunner> {
        let lease = line.lease;
        self.say(line, ToServer::Document { lease, key: key.clone(), document }).await
    }
}

/// A document as a runner makes it.
fn made_on(runner: &str, called: &str, key: &Key) -> sync::Document {
    let at = Moment { now: 0, random: 1 };
    let id = RunnerId::parse(runner).unwrap();
    let (mut runner, _) = Runner::start(id, Disk::default(), Owners::default(), Token(9), at);
    let spec: EnvironmentSpec = serde_json::from_value(json!({ "desired_phase": "running", "runner": "x",
        "source": { "type": "folder", "path": "/work" } }))
    .unwrap();
    let fields = spec.fields(&name(called)).into_iter().filter(|(field, _)| field != sync::PLACED);
    runner.create(key, fields, at).unwrap();
    runner.document(key).unwrap().clone()
}

fn refusal(said: &[ToRunner]) -> Option<&Refusal> {
    said.iter().find_map(|said| match said {
        ToRunner::Refused { refusal, .. } => Some(refusal),
        _ => None,
    })
}

#[tokio::test]
async fn nobody_gets_at_something_else_by_its_id() {
    let world = World::new().await;
    let spec =
        json!({ "desired_phase": "running", "runner": "mac", "source": { "type": "folder", "path": "/a" } });
    let theirs = world.apply("beta", Kind::Environment, "web", spec).await;
    let runner = world.get("acme", Kind::Runner, "victim").await.unwrap();
    let mut line = world.connect("acme", "mac").await;
    for id in [&theirs.metadata.id, &runner.metadata.id] {
        let key = key(id);
        let said = world.bring(&mut line, &key, made_on("mac", "mine", &key)).await;
        assert_eq!(refusal(&said), Some(&Refusal::NotHere { key: key.clone() }));
    }
    assert_eq!(world.get("beta", Kind::Environment, "web").await, Some(theirs));
    assert_eq!(world.get("acme", Kind::Runner, "victim").await.unwrap().spec, runner.spec);
    assert!(world.get("acme", Kind::Environment, "mine").await.is_none());
}

#[tokio::test]
async fn a_runner_places_nothing_on_another() {
    let world = World::new().await;
    let mut line = world.connect("acme", "mac").await;
    // As if the victim had made it: its own word, in another's mouth.
    let brought = key("aaaa");
    let said = world.bring(&mut line, &brought, made_on("victim", "trap", &brought)).await;
    assert_eq!(refusal(&said), None);
    let trap = world.get("acme", Kind::Environment, "trap").await.unwrap();
    assert_eq!(trap.spec["runner"], "mac");

    // What is on the victim is none of this runner's business, also after it moved there.
    let spec = |runner: &str| json!({ "desired_phase": "running", "runner": runner, "source": { "type": "repository", "url": "u" } });
    let web = world.apply("acme", Kind::Environment, "web", spec("victim")).await;
    let theirs = key(&web.metadata.id);
    let said = world.bring(&mut line, &theirs, made_on("mac", "web", &theirs)).await;
    assert_eq!(refusal(&said), Some(&Refusal::NotHere { key: theirs }));
    let hello = world.connect("acme", "victim").await;
    assert_eq!(hello.who.name.as_str(), "victim");
}

#[tokio::test]
async fn what_cannot_be_an_environment_stops_nothing() {
    let world = World::new().await;
    let mut line = world.connect("acme", "mac").await;
    let odd = key("bbbb");
    let at = Moment { now: 0, random: 1 };
    let id = RunnerId::parse("mac").unwrap();
    let (mut runner, _) = Runner::start(id, Disk::default(), Owners::default(), Token(9), at);
    runner.create(&odd, [("name".to_owned(), json!({ "not": "a name" }))], at).unwrap();
    let said = world.bring(&mut line, &odd, runner.document(&odd).unwrap().clone()).await;
    assert!(matches!(said[0], ToRunner::Kept { .. }), "{said:?}");
    let good = key("cccc");
    world.bring(&mut line, &good, made_on("mac", "good", &good)).await;
    assert!(world.get("acme", Kind::Environment, "good").await.is_some());
    let lease = line.lease;
    for value in [json!("text"), json!({ "phase": "flying" }), json!({ "phase": "running", "unsaved": -1 })] {
        let said = world.say(&mut line, ToServer::Status { lease, key: good.clone(), count: 1, value }).await;
        assert_eq!(refusal(&said), None);
    }
}

#[tokio::test]
async fn a_transaction_that_is_given_up_is_no_database_that_was_set_back() {
    let world = World::new().await;
    let mut line = world.connect("acme", "mac").await;
    let fleet = world.fleet.clone();
    let given_up = world.database.write(move |transaction| -> Result<(), ResourceError> {
        let made = key("dddd");
        let mut turn = fleet.turn(transaction, &name("acme"), now())?;
        let runner = RunnerId::parse("mac").unwrap();
        turn.server.create(&mut turn.books, &made, &runner, []).unwrap();
        Err(ResourceError::invalid_field(Kind::Environment, &name("web"), "", "it was given up"))
    });
    given_up.await.unwrap_err();
    let lease = line.lease;
    let said = world.say(&mut line, ToServer::Beat { lease }).await;
    assert_eq!(said, [ToRunner::Alive { lease }], "the session goes on");
    let web = key("eeee");
    world.bring(&mut line, &web, made_on("mac", "web", &web)).await;
    assert!(world.get("acme", Kind::Environment, "web").await.is_some());
}

#[tokio::test]
async fn who_is_gone_is_away_after_a_while_also_where_a_replica_died() {
    let world = World::new().await;
    let line = world.connect("acme", "mac").await;
    assert_eq!(world.phase("mac").await, RunnerPhase::Active);
    let sweep = |seconds: i64, replica: &'static str| {
        let at = now() + SignedDuration::from_secs(seconds);
        world.write(move |transaction, _| presence::sweep(transaction, at, replica))
    };
    let version = world.database.read(|transaction| transaction.version()).await.unwrap();
    sweep(0, "here").await;
    sweep(90, "there").await;
    assert_eq!(world.phase("mac").await, RunnerPhase::Active);
    let after = world.database.read(|transaction| transaction.version()).await.unwrap();
    assert_eq!(after, version, "nobody is told that nothing changed");
    // `here` was not heard of since the beginning, and the runner with it.
    sweep(100, "there").await;
    assert_eq!(world.phase("mac").await, RunnerPhase::Active, "it may come elsewhere");
    sweep(130, "there").await;
    assert_eq!(world.phase("mac").await, RunnerPhase::Away);

    // It comes again. A connection that ends after it has another one takes nothing from it.
    let who = line.who.clone();
    let came = world.write(move |transaction, _| {
        presence::came(transaction, now(), &who, "there/2")?;
        Ok(presence::went(transaction, now(), &who, "here/1")?)
    });
    came.await;
    sweep(300, "there").await;
    assert_eq!(world.phase("mac").await, RunnerPhase::Active);
    let who = line.who.clone();
    world.write(move |transaction, _| Ok(presence::went(transaction, now(), &who, "there/2")?)).await;
    sweep(300, "there").await;
    assert_eq!(world.phase("mac").await, RunnerPhase::Away);
}
