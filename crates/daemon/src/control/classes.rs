//! What the classes of this computer can be told: how much of it one environment may have.

use std::collections::BTreeMap;

use api::control::{ClassSchema, Field, FieldType};
use engine::ContainerSize;
use serde_json::Value;

/// Processors of an environment.
const PROCESSORS: &str = "cpus";
/// Memory of an environment, in GiB.
const MEMORY: &str = "memory_gib";

/// Most that can be asked for, in GiB: a computer is told of, and not measured, so that the schema stays the same.
const MOST_MEMORY: i64 = 1024;

/// What a class's settings give a container, in a machine with so many processors: the engine refuses more. What this version
/// does not know is passed over.
pub(crate) fn size(settings: &Value, processors: u32) -> ContainerSize {
    let number = |key: &str| settings.get(key).and_then(Value::as_u64);
    let cpus = number(PROCESSORS).map(|count| count.min(processors.into()));
    ContainerSize { cpus, memory_gib: number(MEMORY) }
}

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_limits_the_container() {
        let settings = json!({ "cpus": 8, "memory_gib": 16, "later": true });
        assert_eq!(size(&settings, 10), ContainerSize { cpus: Some(8), memory_gib: Some(16) });
        let fewer = size(&json!({ "cpus": 8 }), 4);
        assert_eq!(fewer, ContainerSize { cpus: Some(4), memory_gib: None }, "as many as there are");
        assert_eq!(size(&json!({}), 4), ContainerSize::default());
        assert!(schema().fields.contains_key(PROCESSORS) && schema().fields.contains_key(MEMORY));
    }
}
