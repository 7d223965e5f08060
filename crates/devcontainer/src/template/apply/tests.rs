//! Templates as people apply them.

use super::*;
use proptest::prelude::*;

const METADATA: &str = r#"{"id": "go", "version": "1.0.0", "optionalPaths": [".github/*"], "options": {
    "variant": {"type": "string", "proposals": ["bookworm"], "default": "bookworm"},
    "level": {"type": "string", "enum": ["low", "high"], "default": "low"},
    "maven": {"type": "boolean", "default": false}, "empty": {"type": "string"}}}"#;

fn metadata() -> TemplateMetadata {
    TemplateMetadata::parse(METADATA.as_bytes(), "t.json".into()).unwrap()
}

fn files() -> BTreeMap<Utf8PathBuf, Vec<u8>> {
    let text = "// ${templateOption: variant }\n{\"image\": \"go:${templateOption:variant}-${templateOption:level}\", \"name\": \"${templateOption:maven}[${templateOption:empty}]${localEnv:HOME}${templateOption:typo}\"}";
    [
        (".devcontainer/devcontainer.json", text.as_bytes()),
        (".github/dependabot.yml", b"a"),
        (".github/workflows/a.yml", b"b"),
        ("README.md", b"about"),
        ("devcontainer-template.json", METADATA.as_bytes()),
        ("docs/README.md", b"kept"),
        ("logo.png", b"\x89PNG\0${templateOption:variant}\xff"),
    ]
    .into_iter()
    .map(|(path, bytes)| (Utf8PathBuf::from(path), bytes.to_vec()))
    .collect()
}

fn applied(options: &[(&str, &str)], omit: &[&str], features: &[&str]) -> Result<Applied, String> {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let omit: Vec<String> = omit.iter().map(|path| (*path).to_owned()).collect();
    let features: Vec<_> = features.iter().map(|id| ((*id).to_owned(), Map::new())).collect();
    let selection = Selection { options: &options, omit: &omit, features: &features };
    apply(&metadata(), &files(), &selection).map_err(|error| error.to_string())
}

#[test]
fn replaces_options_in_text_and_leaves_the_rest_alone() {
    let applied = applied(&[("level", "high")], &[".github/workflows/*"], &["ghcr.io/a/b:1"]).unwrap();
    let paths: Vec<&str> = applied.files.keys().map(|path| path.as_str()).collect();
    assert_eq!(
        paths,
        [".devcontainer/devcontainer.json", ".github/dependabot.yml", "docs/README.md", "logo.png"]
    );
    let config = String::from_utf8(applied.files[Utf8Path::new(".devcontainer/devcontainer.json")].clone());
    insta::assert_snapshot!(config.unwrap(), @r#"
    // bookworm
    {
      "image": "go:bookworm-high",
      "name": "false[]${localEnv:HOME}",
      "features": {
        "ghcr.io/a/b:1": {}
      }
    }
    "#);
    assert_eq!(applied.files[Utf8Path::new("logo.png")], files()[Utf8Path::new("logo.png")]);
    insta::assert_snapshot!(applied.undeclared[0], @".devcontainer/devcontainer.json: the template has no option `typo`");
}

#[test]
fn refuses_what_the_template_does_not_take() {
    insta::assert_snapshot!(applied(&[("varaint", "x")], &[], &[]).unwrap_err(), @"the template has no option `varaint`; did you mean `variant`? (it has variant, level, maven, empty)");
    insta::assert_snapshot!(applied(&[("level", "hihg")], &[], &[]).unwrap_err(), @"the option `level` cannot be `hihg`; did you mean `high`?: expected one of low, high");
    insta::assert_snapshot!(applied(&[("maven", "yes")], &[], &[]).unwrap_err(), @"the option `maven` cannot be `yes`: expected one of true, false");
    insta::assert_snapshot!(applied(&[], &[".devcontainer/*"], &["a"]).unwrap_err(), @"the template has no devcontainer.json to which the features could be added");
    let wrong =
        |text: &str| TemplateMetadata::parse(text.as_bytes(), "t.json".into()).unwrap_err().to_string();
    insta::assert_snapshot!(wrong("{\n \"id\": 1,\n \"optionalPaths\": \"x\"}"), @r#"
    t.json:2:8: "id": expected a string, found 1
    t.json:3:19: "optionalPaths": expected an array of strings, found "x"
    "#);
    insta::assert_snapshot!(wrong("{}"), @r#"t.json:1:1: "id": expected a string that is not empty, found nothing"#);
}

/// What git keeps there it also runs, on the computer itself.
#[test]
fn nothing_of_git_is_taken_from_a_template() {
    for path in [".git/hooks/post-checkout", ".GIT/config", "sub/.git/config", ".git"] {
        let files = BTreeMap::from([(Utf8PathBuf::from(path), b"x".to_vec())]);
        let selection = Selection { options: &BTreeMap::new(), omit: &[], features: &[] };
        let error = apply(&metadata(), &files, &selection).unwrap_err().to_string();
        assert!(error.contains(path) && error.contains("git"), "{error}");
    }
}

proptest! {
    #[test]
    fn never_panics(text in "(\\$\\{templateOption:|a|\\}|é| |\\{|\"|:){0,20}", metadata in "[{}\\[\\]\":,a-z]{0,40}") {
        let files = BTreeMap::from([(Utf8PathBuf::from("devcontainer.json"), text.clone().into_bytes())]);
        let features = [("a".to_owned(), Map::new())];
        let selection = Selection { options: &BTreeMap::new(), omit: &[], features: &features };
        let _outcome = apply(&super::tests::metadata(), &files, &selection);
        let _outcome = TemplateMetadata::parse(metadata.as_bytes(), "t".into());
    }
}
