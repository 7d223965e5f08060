//! Moves properties of old files to where the specification has them today. Positions stay, so that a
//! mistake is still reported where the person wrote it.

use crate::jsonc::{Field, Node, NodeKind};

/// Moves `extensions`, `settings` and `devPort` below `customizations.vscode`. Extensions of both places
/// are joined; of settings the one at the present place wins, key by key.
pub(crate) fn move_customizations(root: &mut Vec<Field>) {
    for name in ["extensions", "settings", "devPort"] {
        let Some(mut old) = take(root, name) else { continue };
        let Some(vscode) = object_at(root, &["customizations", "vscode"], &old) else { continue };
        let Some(present) = vscode.iter_mut().find(|field| field.name == name) else {
            vscode.push(old);
            continue;
        };
        match (&mut present.value.kind, &mut old.value.kind) {
            (NodeKind::List(present), NodeKind::List(old)) => present.append(old),
            (NodeKind::Map(present), NodeKind::Map(old)) => {
                old.retain(|field| present.iter().all(|own| own.name != field.name));
                present.append(old);
            }
            _ => {}
        }
    }
}

/// Moves `dockerFile`, and the `context` beside it, below `build`. A property at its present place wins.
pub(crate) fn move_build(root: &mut Vec<Field>) {
    let Some(dockerfile) = take(root, "dockerFile") else { return };
    let context = take(root, "context");
    for (field, name) in [(Some(dockerfile), "dockerfile"), (context, "context")] {
        let Some(field) = field else { continue };
        let Some(build) = object_at(root, &["build"], &field) else { return };
        if build.iter().all(|present| present.name != name) {
            build.push(Field { name: name.to_owned(), ..field });
        }
    }
}

fn take(root: &mut Vec<Field>, name: &str) -> Option<Field> {
    let index = root.iter().position(|field| field.name == name && field.value.kind != NodeKind::Null)?;
    Some(root.remove(index))
}

/// The fields of the object at `path`, made where `cause` stands if it is not there. `None` for something
/// else than an object, which is a mistake that is reported when it is read.
fn object_at<'a>(root: &'a mut Vec<Field>, path: &[&str], cause: &Field) -> Option<&'a mut Vec<Field>> {
    let empty = || Node { at: cause.at, kind: NodeKind::Map(Vec::new()) };
    let mut fields = root;
    for step in path {
        let index = fields.iter().position(|field| field.name == *step).unwrap_or_else(|| {
            fields.push(Field { name: (*step).to_owned(), at: cause.at, value: empty() });
            fields.len() - 1
        });
        let value = &mut fields[index].value;
        if value.kind == NodeKind::Null {
            *value = empty();
        }
        let NodeKind::Map(inner) = &mut value.kind else { return None };
        fields = inner;
    }
    Some(fields)
}
