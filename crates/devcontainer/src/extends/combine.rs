//! How a file and the one it extends become one.
//!
//! | how | properties |
//! |---|---|
//! | true if either says so | `init`, `privileged` |
//! | union, the base's first | `capAdd`, `securityOpt`, `forwardPorts` |
//! | both, the last one per target | `mounts` |
//! | the file's own per key | `remoteEnv`, `containerEnv`, `portsAttributes`, `features`, `secrets`, `build` and its `args` |
//! | the largest | `hostRequirements` |
//! | objects per key, lists joined, at any depth | `customizations` |
//! | the file's own, whole | all others, the lifecycle commands among them |
//!
//! Metadata of images collects lifecycle commands; a file can hold one for each stage, so that the own one
//! replaces the base's. Merging customizations is left to tools; a person who writes one file on top of
//! another expects one list of extensions. A file that says what the container is made of replaces what the
//! base says of another kind: an image takes the place of a Dockerfile. `null` takes away what the base says.

use crate::jsonc::{Field, Node, NodeKind};
use crate::requirements::Size;

/// Puts `own` on top of `base`.
pub(super) fn combine(mut base: Vec<Field>, own: Vec<Field>) -> Vec<Field> {
    base.retain(|field| !replaced_kind(&own).contains(&field.name.as_str()));
    per_key(base, own, &mut |name, base, own| match name {
        "init" | "privileged" => either(base, own),
        "capAdd" | "securityOpt" | "forwardPorts" => union(base, own),
        "mounts" => joined(base, own),
        "remoteEnv" | "containerEnv" | "portsAttributes" | "features" | "secrets" => {
            maps(base, own, &mut |_, _, own| own)
        }
        "build" => maps(base, own, &mut |name, base, own| match name {
            "args" => maps(base, own, &mut |_, _, own| own),
            _ => own,
        }),
        "hostRequirements" => maps(base, own, &mut |_, base, own| larger(base, own)),
        "customizations" => deep(base, own),
        _ => own,
    })
}

/// The properties of the base that mean another kind of container than the one `own` says.
fn replaced_kind(own: &[Field]) -> &'static [&'static str] {
    let says = |name: &str| own.iter().any(|field| field.name == name && field.value.kind != NodeKind::Null);
    let builds = says("dockerFile")
        || own.iter().any(|field| {
            field.name == "build"
                && matches!(&field.value.kind, NodeKind::Map(build) if build.iter().any(|part| part.name == "dockerfile"))
        });
    if says("dockerComposeFile") {
        &["image", "build", "dockerFile", "context"]
    } else if builds {
        &["image", "dockerFile", "context", "dockerComposeFile", "service", "runServices"]
    } else if says("image") {
        &["build", "dockerFile", "context", "dockerComposeFile", "service", "runServices"]
    } else {
        &[]
    }
}

type Rule<'a> = dyn FnMut(&str, Node, Node) -> Node + 'a;

fn per_key(mut base: Vec<Field>, own: Vec<Field>, rule: &mut Rule<'_>) -> Vec<Field> {
    for mut field in own {
        let Some(index) = base.iter().position(|known| known.name == field.name) else {
            base.push(field);
            continue;
        };
        if field.value.kind == NodeKind::Null {
            base[index] = field;
            continue;
        }
        let known = std::mem::replace(&mut base[index].value, Node { at: field.at, kind: NodeKind::Null });
        field.value =
            if known.kind == NodeKind::Null { field.value } else { rule(&field.name, known, field.value) };
        base[index] = field;
    }
    base
}

/// Two objects per key; anything else than two objects is the own value.
fn maps(base: Node, own: Node, rule: &mut Rule<'_>) -> Node {
    match (base.kind, own.kind) {
        (NodeKind::Map(base), NodeKind::Map(fields)) => {
            Node { at: own.at, kind: NodeKind::Map(per_key(base, fields, rule)) }
        }
        (_, kind) => Node { at: own.at, kind },
    }
}

fn deep(base: Node, own: Node) -> Node {
    match (&base.kind, &own.kind) {
        (NodeKind::Map(_), NodeKind::Map(_)) => maps(base, own, &mut |_, base, own| deep(base, own)),
        (NodeKind::List(_), NodeKind::List(_)) => union(base, own),
        _ => own,
    }
}

fn either(base: Node, own: Node) -> Node {
    match (&base.kind, &own.kind) {
        (NodeKind::Bool(true), NodeKind::Bool(false)) => base,
        _ => own,
    }
}

fn joined(base: Node, own: Node) -> Node {
    match (base.kind, own.kind) {
        (NodeKind::List(mut all), NodeKind::List(items)) => {
            all.extend(items);
            Node { at: own.at, kind: NodeKind::List(all) }
        }
        (_, kind) => Node { at: own.at, kind },
    }
}

fn union(base: Node, own: Node) -> Node {
    let mut all = joined(base, own);
    if let NodeKind::List(items) = &mut all.kind {
        let mut seen = Vec::new();
        items.retain(|item| {
            let value = item.to_value();
            let is_new = !seen.contains(&value);
            seen.push(value);
            is_new
        });
    }
    all
}

/// The value that asks for more. What cannot be compared is the own value, wrong or not.
fn larger(base: Node, own: Node) -> Node {
    match (weight(&base.kind), weight(&own.kind)) {
        (Some(one), Some(two)) if one > two => base,
        _ => own,
    }
}

fn weight(kind: &NodeKind) -> Option<u64> {
    match kind {
        NodeKind::Number(number) => number.as_u64(),
        NodeKind::Text(text) if text == "optional" => Some(1),
        NodeKind::Text(text) => Size::from_text(text).map(|size| size.0),
        NodeKind::Bool(false) => Some(0),
        NodeKind::Bool(true) => Some(2),
        NodeKind::Map(_) => Some(3), // A graphics processor described in detail.
        NodeKind::Null | NodeKind::List(_) => None,
    }
}
