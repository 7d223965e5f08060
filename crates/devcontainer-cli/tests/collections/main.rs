//! `features …`, `templates …`, `outdated` and `upgrade` as processes: what they print, write and publish, and how they
//! end. Registry and engine are real.

#![expect(clippy::unwrap_used, reason = "in a test, what does not succeed is a failure")]

mod packaging;
mod publishing;
#[path = "../drop_in/support.rs"]
#[allow(dead_code, reason = "the other tests need more of it")]
mod support;
mod templates;
mod testing;
mod versions;

use camino::Utf8Path;
use serde_json::{Value, json};

use crate::support::World;

/// The metadata of a feature.
fn feature(id: &str, version: &str, more: Value) -> String {
    let mut metadata = json!({ "id": id, "version": version, "name": format!("The {id}") });
    if let (Value::Object(metadata), Value::Object(more)) = (&mut metadata, more) {
        metadata.extend(more);
    }
    metadata.to_string()
}

/// A command that must end well; what it prints.
fn printed(world: &World, line: &[&str]) -> String {
    let answer = world.run(line);
    assert_eq!(answer.status, 0, "{line:?}: {}\n{}", answer.stdout, answer.stderr);
    answer.stdout
}

/// A command that must fail; what it says.
fn said(world: &World, line: &[&str]) -> String {
    let answer = world.run(line);
    assert_eq!(answer.status, 1, "{line:?}: {}\n{}", answer.stdout, answer.stderr);
    answer.stderr
}

fn read(path: &Utf8Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
