//! Every verb on every kind, for whoever there is, in a file that people read.

use std::fmt::Write as _;

use api::control::{Document, Draft, DraftMetadata};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::resources::{self, ResourceError};
use crate::store::{Database, Listing};

const HEAD: &str = "\
# Who may do what: all of a kind, their own, what is on a runner, an environment itself and its project, or nothing (.).
# The roles are those that a new organization has. Nobody may do anything in another organization but the host.
# Written by `COVE_UPDATE_DOCS=1 cargo test -p control-plane --lib matrix`.
";

/// The roles of a new organization, as the store has them.
async fn first_roles() -> Vec<Document> {
    let folder = tempfile::tempdir().unwrap();
    let path = camino::Utf8Path::from_path(folder.path()).unwrap().join("control.db");
    let database = Database::sqlite(&path).unwrap();
    let metadata =
        DraftMetadata { name: name("acme"), organization: None, labels: [].into(), resource_version: None };
    let draft = Draft { kind: Kind::Organization, metadata, spec: json!({ "title": "Acme" }) };
    let made = database.write(move |transaction| {
        resources::apply(transaction, Timestamp::UNIX_EPOCH, &name("acme"), draft)?;
        Ok::<_, ResourceError>(transaction.resources(&Listing::of(Kind::Role, &name("acme")))?)
    });
    made.await.unwrap()
}

/// What belongs to somebody and lies on a runner, as far as that can be said of a kind.
fn of(kind: Kind, owner: &str, runner: &str, project: &str) -> Target {
    let (acme, called) = (name("acme"), name(if kind == Kind::Project { project } else { "it" }));
    let environment = json!({ "desired_phase": "running", "owner": owner, "runner": runner, "project": project,
        "source": { "type": "repository", "url": "u" } });
    let spec = match kind {
        Kind::Runner => json!({ "variant": "personal", "owner": owner }),
        Kind::EnvironmentClass => json!({ "runner": runner }),
        Kind::Environment => environment.clone(),
        Kind::Secret => json!({ "scope": { "user": owner }, "used_as": { "variable": "KEY" } }),
        _ => json!({}),
    };
    let environment = serde_json::from_value(environment).unwrap();
    let called = match kind {
        Kind::Organization => acme.clone(),
        Kind::Environment => name(&format!("{owner}-env")),
        Kind::Runner => name(runner),
        _ => called,
    };
    let target = Target::of(kind, &acme, &called, &spec, Some(&environment)).unwrap();
    if kind == Kind::Secret { target.on([name(runner)].into()) } else { target }
}

/// What somebody may do with a kind, in a word.
fn cell(world: &World, who: &Asker, verb: Verb, kind: Kind) -> &'static str {
    let may = |target| world.decide(&ask(who, verb, kind, target)).allowed;
    let theirs = may(of(kind, "ann", "big", "shop"));
    let others = may(of(kind, "bob", "small", "web"));
    assert!(theirs || !others, "{who:?} may {verb} {kind} of others and not their own");
    match (theirs, others, who) {
        (false, _, _) => ".",
        (true, true, _) => "all",
        (true, false, Asker::Runner { .. }) => "on it",
        (true, false, Asker::Environment { .. }) => "its",
        (true, false, _) => "own",
    }
}

fn table(text: &mut String, title: &str, world: &World, who: &Asker) {
    write!(text, "\n{title:20}").unwrap();
    for verb in Verb::ALL {
        write!(text, "{:8}", verb.as_str()).unwrap();
    }
    for kind in Kind::ALL {
        write!(text, "\n  {:18}", kind.as_str()).unwrap();
        for verb in Verb::ALL {
            let cell = cell(world, who, verb, kind);
            write!(text, "{cell:8}").unwrap();
            let elsewhere = Target { organization: name("beta"), ..of(kind, "ann", "big", "shop") };
            let elsewhere = world.decide(&ask(who, verb, kind, elsewhere)).allowed;
            assert_eq!(elsewhere, *who == Asker::Host, "{title} {verb} {kind} in another organization");
        }
    }
    text.push('\n');
}

#[tokio::test]
async fn the_matrix_is_as_it_is_written() {
    let mut text = HEAD.to_owned();
    for mut document in first_roles().await {
        document.spec["subjects"] = json!([{ "user": "ann" }]);
        let title = format!("role {}", document.metadata.name);
        let role = serde_json::from_value(document.spec).unwrap();
        let users = ["ann", "bob"].map(|called| (name(called), person(false))).into();
        let roles = [(document.metadata.name, role)].into();
        let world = World::new(&name("acme"), users, [].into(), roles);
        table(&mut text, &title, &world, &user("ann"));
    }
    let nothing = world([]);
    table(&mut text, "no role", &nothing, &user("ann"));
    let (organization, big) = (name("acme"), name("big"));
    table(&mut text, "runner", &nothing, &Asker::Runner { organization: organization.clone(), name: big });
    let (called, project) = (name("ann-env"), Some(name("shop")));
    table(&mut text, "environment", &nothing, &Asker::Environment { organization, name: called, project });
    table(&mut text, "host", &nothing, &Asker::Host);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    let text = lines.join("\n") + "\n";

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/authz/tests/matrix.txt");
    if std::env::var_os("COVE_UPDATE_DOCS").is_some() {
        fs_err::write(path, &text).unwrap();
    }
    let written = fs_err::read_to_string(path).unwrap_or_default();
    assert!(written == text, "run the tests once with COVE_UPDATE_DOCS=1, and read the difference:\n{text}");
}
