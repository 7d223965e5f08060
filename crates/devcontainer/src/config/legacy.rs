//! Moves properties of old files to where the specification has them today.

use crate::jsonc::{Field, Node, NodeKind};

/// Moves `dockerFile` and `context` below `build`, and `extensions`, `settings` and `devPort` below
/// `customizations.vscode`. A property at its present place wins over its old spelling. Positions stay, so
/// that a mistake is still reported where the person wrote it.
pub(crate) fn modernise(root: &mut Vec<Field>) {
    shift(root, "dockerFile", &["build"], "dockerfile");
    if !root.iter().any(|field| field.name == "dockerComposeFile" || field.name == "image") {
        shift(root, "context", &["build"], "context");
    }
    for name in ["extensions", "settings", "devPort"] {
        shift(root, name, &["customizations", "vscode"], name);
    }
}

/// Moves `name` from `root` to `path` under its new name, making the objects on the way.
fn shift(root: &mut Vec<Field>, name: &str, path: &[&str], new_name: &str) {
    let Some(index) = root.iter().position(|field| field.name == name) else { return };
    let mut field = root.remove(index);
    let at = field.at;
    let mut fields = &mut *root;
    for step in path {
        let index = fields.iter().position(|field| field.name == *step).unwrap_or_else(|| {
            let value = Node { at, kind: NodeKind::Map(Vec::new()) };
            fields.push(Field { name: (*step).to_owned(), at, value });
            fields.len() - 1
        });
        // Something else than an object there is a mistake that is reported when it is read.
        let NodeKind::Map(inner) = &mut fields[index].value.kind else { return };
        fields = inner;
    }
    if !fields.iter().any(|field| field.name == new_name) {
        new_name.clone_into(&mut field.name);
        fields.push(field);
    }
}
