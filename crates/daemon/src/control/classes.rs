//! What the classes of this computer can be told: how much of it one environment may have.

use std::collections::BTreeMap;

use api::control::{ClassSchema, Field, FieldType};

/// Processors of an environment.
pub(crate) const PROCESSORS: &str = "cpus";
/// Memory of an environment, in GiB.
pub(crate) const MEMORY: &str = "memory_gib";

/// Most that can be asked for, in GiB: a computer is told of, and not measured, so that the schema stays the same.
const MOST_MEMORY: i64 = 1024;

/// The settings that a class can have.
pub(super) fn schema() -> ClassSchema {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let number = |title: &str, most: i64| Field {
        title: title.to_owned(),
        required: false,
        of: FieldType::Integer { least: Some(1), most: Some(most) },
    };
    let fields = BTreeMap::from([
        (PROCESSORS.to_owned(), number("Processors", i64::try_from(processors).unwrap_or(i64::MAX))),
        (MEMORY.to_owned(), number("Memory in GiB", MOST_MEMORY)),
    ]);
    ClassSchema { fields }
}
