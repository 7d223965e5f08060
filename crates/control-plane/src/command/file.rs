//! Files that declare resources, read so that every mistake has its line.

use std::collections::BTreeMap;
use std::io::Read as _;

use api::control::Draft;
use api::{Place, Problem, ProblemCode};
use camino::Utf8Path;
use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Number, Value};

use crate::resources;

/// Largest file, in bytes.
const LARGEST: u64 = 10 << 20;

/// What only the server says of a resource. It is passed over, so that what `get -o json` told can be applied again.
const SAID_BY_SERVER: [&str; 6] =
    ["id", "generation", "created_at", "updated_at", "deleted_at", "finalizers"];

/// Resources, and where each part of them stands.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) drafts: Vec<Draft>,
    /// By `Kind/name#path`, as the server names places.
    places: BTreeMap<String, Place>,
}

impl Declared {
    /// Reads files in the order in which they are named.
    pub(super) fn read(files: &[impl AsRef<Utf8Path>]) -> Result<Self, Problem> {
        let mut declared = Self::default();
        for file in files {
            let file = file.as_ref();
            let text = text_of(file)?;
            declared.add(file.as_str(), &text)?;
        }
        Ok(declared)
    }

    /// The same problem, at its place in a file where it is one of these resources.
    pub(super) fn place(&self, mut problem: Problem) -> Problem {
        if let Some(place) = problem.place.take() {
            problem.place = Some(self.nearest(&place.file).unwrap_or(place));
        }
        problem
    }

    /// Where a part stands, or the nearest one around it that is written down.
    fn nearest(&self, wanted: &str) -> Option<Place> {
        let mut path = wanted;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place.clone());
            }
            let end = path.rfind(['.', '[', '#'])?;
            if path.as_bytes()[end] == b'#' {
                return self.places.get(&format!("{}#", &path[..end])).cloned();
            }
            path = &path[..end];
        }
    }

    fn add(&mut self, file: &str, text: &str) -> Result<(), Problem> {
        let documents = MarkedYaml::load_from_str(text).map_err(|error| {
            let at = error.marker();
            invalid(format!("it is no YAML: {}", error.info())).at(place(file, at.line(), at.col() + 1))
        })?;
        for document in &documents {
            match &document.data {
                YamlData::Value(Scalar::Null) => {}
                YamlData::Sequence(several) => {
                    several.iter().try_for_each(|resource| self.add_one(file, resource))?;
                }
                _ => self.add_one(file, document)?,
            }
        }
        Ok(())
    }

    fn add_one(&mut self, file: &str, resource: &MarkedYaml<'_>) -> Result<(), Problem> {
        let mut places = BTreeMap::new();
        let mut value = value_of(file, resource, String::new(), &mut places)?;
        forget_what_the_server_says(&mut value);
        let draft: Draft = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let problem = invalid(format!("`{path}`: {}", error.inner()));
            near(&places, &path).cloned().map_or(problem.clone(), |at| problem.at(at))
        })?;
        let name = format!("{}/{}", draft.kind, draft.metadata.name);
        for (path, place) in places {
            self.places.insert(format!("{name}#{path}"), place);
        }
        let checked = resources::check_spec(draft.kind, &draft.metadata.name, draft.spec.clone());
        checked.map_err(|error| self.place(error.into()))?;
        self.drafts.push(draft);
        Ok(())
    }
}

fn forget_what_the_server_says(resource: &mut Value) {
    let Some(resource) = resource.as_object_mut() else { return };
    resource.remove("status");
    if let Some(metadata) = resource.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| !SAID_BY_SERVER.contains(&field.as_str()));
    }
}

fn text_of(file: &Utf8Path) -> Result<String, Problem> {
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        fs_err::File::open(file).and_then(|open| open.take(LARGEST + 1).read_to_string(&mut text))
    };
    match read {
        Ok(length) if length as u64 > LARGEST => {
            Err(Problem::new(ProblemCode::TooLarge, format!("{file} is longer than {LARGEST} bytes")))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(invalid(format!("{file} cannot be read")).caused_by(&error)),
    }
}

/// A value as JSON has it, and where each part of it stands.
fn value_of(
    file: &str,
    node: &MarkedYaml<'_>,
    path: String,
    places: &mut BTreeMap<String, Place>,
) -> Result<Value, Problem> {
    let at = place(file, node.span.start.line(), node.span.start.col() + 1);
    places.insert(path.clone(), at.clone());
    let refused = |wrong: &str| invalid(wrong.to_owned()).at(at.clone());
    Ok(match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(value)) => Value::Bool(*value),
        YamlData::Value(Scalar::Integer(value)) => Value::Number((*value).into()),
        YamlData::Value(Scalar::FloatingPoint(value)) => Value::Number(
            Number::from_f64(**value).ok_or_else(|| refused("it is no number that can be written down"))?,
        ),
        YamlData::Value(Scalar::String(text)) => Value::String(text.to_string()),
        YamlData::Sequence(items) => {
            let below = |(index, item)| value_of(file, item, format!("{path}[{index}]"), places);
            Value::Array(items.iter().enumerate().map(below).collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = match &key.data {
                    YamlData::Value(Scalar::String(text)) => text.to_string(),
                    YamlData::Value(Scalar::Integer(number)) => number.to_string(),
                    YamlData::Value(Scalar::Boolean(value)) => value.to_string(),
                    _ => return Err(refused("a key is to be a word")),
                };
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                object.insert(key, value_of(file, value, below, places)?);
            }
            Value::Object(object)
        }
        _ => return Err(refused("tags and aliases mean nothing here")),
    })
}

fn near<'a>(places: &'a BTreeMap<String, Place>, path: &str) -> Option<&'a Place> {
    let mut path = if path == "." { "" } else { path };
    loop {
        if let Some(place) = places.get(path) {
            return Some(place);
        }
        path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
    }
}

fn place(file: &str, line: usize, column: usize) -> Place {
    let number = |number| u32::try_from(number).ok();
    Place { file: file.to_owned(), line: number(line), column: number(column) }
}

fn invalid(title: String) -> Problem {
    Problem::new(ProblemCode::ResourceInvalid, title)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Problem {
        let mut declared = Declared::default();
        declared.add("team.yaml", text).expect_err(text)
    }

    #[test]
    fn every_mistake_has_its_line_and_column() {
        let project = "kind: Project\nmetadata: { name: shop }\nspec:\n  repository: { url: u }\n";
        for (text, place, wrong) in [
            ("kind: [", "team.yaml:2:1", "no YAML"),
            ("kind: Box\nmetadata: { name: a }\nspec: {}\n", "team.yaml:1:7", "Box"),
            ("kind: Project\nmetadata: { name: A B }\nspec: {}\n", "team.yaml:2:19", "A B"),
            ("kind: Project\nspec: {}\n", "team.yaml:1:1", "metadata"),
            (&format!("{project}  colour: red\n"), "team.yaml:5:11", "colour"),
            (&format!("{project}---\n{project}  editors: [zed, 7]\n"), "team.yaml:10:18", "editors[1]"),
            (&format!("{project}  ? [a]\n  : b\n"), "team.yaml:4:3", "a key"),
        ] {
            let problem = told(text);
            let said = format!("{} {:?}", problem.title, problem.causes);
            assert_eq!(
                problem.place.map(|place| place.to_string()).unwrap_or_default(),
                place,
                "{text}{said}"
            );
            assert!(said.contains(wrong), "{said}");
        }
    }

    #[test]
    fn what_was_got_can_be_applied_again() {
        let mut declared = Declared::default();
        let got = r#"[{"kind": "Group", "metadata": {"id": "g-1", "name": "all", "organization": "acme", "generation": 3,
            "resource_version": 7, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z"},
            "spec": {"members": ["ann"]}, "status": {}},
            {"kind": "Project", "metadata": {"name": "shop"}, "spec": {"repository": {"url": "u"}}}]"#;
        declared.add("-", got).unwrap();
        let said: Vec<_> = declared
            .drafts
            .iter()
            .map(|one| (one.metadata.name.as_str(), one.metadata.resource_version))
            .collect();
        assert_eq!(said, [("all", Some(7)), ("shop", None)]);
        let problem = told("- kind: Group\n  metadata: { name: all }\n  spec: { colour: red }\n");
        assert_eq!(problem.place.unwrap().to_string(), "team.yaml:3:19");
    }

    #[test]
    fn what_a_server_refuses_is_told_at_its_place_in_the_file() {
        let mut declared = Declared::default();
        let text = "kind: Group\nmetadata:\n  name: all\nspec:\n  members:\n    - ann\n    - bob\n";
        declared.add("team.yaml", text).unwrap();
        for (named, at) in [
            ("Group/all#spec.members[1]", "team.yaml:7:7"),
            ("Group/all#spec.members[1].deeper", "team.yaml:7:7"),
            ("Group/all#spec.title", "team.yaml:5:3"),
            ("Group/other#spec.members[1]", "Group/other#spec.members[1]"),
        ] {
            let place = Place { file: named.to_owned(), line: None, column: None };
            let problem = declared.place(invalid("it cannot be".to_owned()).at(place));
            assert_eq!(problem.place.unwrap().to_string(), at);
        }
    }
}
