use super::*;
use proptest::prelude::*;

const FILE: &str = ".devcontainer-lock.json";

fn parse(text: &str) -> Result<Option<Lockfile>, LockfileError> {
    Lockfile::parse(text.as_bytes(), FILE.into())
}

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn entry(digit: char, depends_on: &[&str]) -> LockedFeature {
    LockedFeature {
        version: Some("1.0.0".to_owned()),
        resolved: format!("ghcr.io/a/b@{}", digest(digit)),
        integrity: digest(digit),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn lockfile(entries: &[(&str, LockedFeature)]) -> Lockfile {
    Lockfile { features: entries.iter().map(|(id, feature)| ((*id).to_owned(), feature.clone())).collect() }
}

#[test]
fn stands_beside_its_configuration() {
    let beside = |config: &str| Lockfile::path_beside(config.into()).to_string();
    assert_eq!(beside("/w/.devcontainer/devcontainer.json"), "/w/.devcontainer/devcontainer-lock.json");
    assert_eq!(beside("/w/.devcontainer.json"), "/w/.devcontainer-lock.json");
}

#[test]
fn is_written_as_the_reference_writes_it() {
    let mut text =
        lockfile(&[("ghcr.io/A/b:2", entry('0', &["ghcr.io/a/E"])), ("ghcr.io/a/E", entry('1', &[]))])
            .to_text();
    text = text.replace(&"0".repeat(64), "00").replace(&"1".repeat(64), "11");
    insta::assert_snapshot!(text, @r#"
    {
      "features": {
        "ghcr.io/A/b:2": {
          "version": "1.0.0",
          "resolved": "ghcr.io/a/b@sha256:00",
          "integrity": "sha256:00",
          "dependsOn": [
            "ghcr.io/a/E"
          ]
        },
        "ghcr.io/a/E": {
          "version": "1.0.0",
          "resolved": "ghcr.io/a/b@sha256:11",
          "integrity": "sha256:11"
        }
      }
    }
    "#);
    assert_eq!(Lockfile::default().to_text(), "{\n  \"features\": {}\n}\n");
}

#[test]
fn is_read_with_care() {
    assert_eq!(parse(" \n"), Ok(None));
    assert_eq!(parse(r#"{"features": {}}"#), Ok(Some(Lockfile::default())));
    let refused = |text: &str| parse(text).unwrap_err().to_string();
    insta::assert_snapshot!(refused("{\"features\": {"), @".devcontainer-lock.json:1:14: not valid JSON: unterminated object");
    insta::assert_snapshot!(refused("{\"features\": {},}"), @".devcontainer-lock.json:1:17: not valid JSON: a lockfile has no comments and no trailing commas");
    insta::assert_snapshot!(refused("[]"), @r#".devcontainer-lock.json:1:1: expected an object with "features", found an empty array"#);
    insta::assert_snapshot!(refused("{\"features\": {\n\"a\": {\"version\": 1, \"integrity\": \"sha256:0\"}, \"b\": 2}}"), @r#"
    .devcontainer-lock.json:2:6: "features.a.resolved": expected where the feature comes from, found null
    .devcontainer-lock.json:2:18: "features.a.version": expected a string, found 1
    .devcontainer-lock.json:2:34: "features.a.integrity": expected `sha256:` and 64 hex digits, found "sha256:0"
    .devcontainer-lock.json:2:52: "features.b": expected an object with "resolved" and "integrity", found 2
    "#);
    let (pinned, other) = (digest('1'), digest('2'));
    let halves = |integrity: &str| {
        refused_or_read(&format!(
            "{{\"features\": {{\"a\": {{\"resolved\": \"h/a@{pinned}\", \"integrity\": \"{integrity}\"}}}}}}"
        ))
    };
    assert_eq!(halves(&pinned), None);
    let told = format!("\"features.a.integrity\": expected `{pinned}`, as in \"resolved\"");
    let error = halves(&other).unwrap();
    assert!(error.contains(&told), "{error}");
}

fn refused_or_read(text: &str) -> Option<String> {
    parse(text).err().map(|error| error.to_string())
}

#[test]
fn finds_what_is_news() {
    let locked = lockfile(&[("ghcr.io/a/B:1", entry('0', &[])), ("ghcr.io/a/gone", entry('1', &[]))]);
    assert!(locked.get("GHCR.io/a/b:1").is_some() && locked.get("ghcr.io/a/b").is_none());
    assert!(!locked.is_news_to(Some(locked.to_text().as_bytes())));
    // Only written differently.
    let compact = serde_json::to_string(&locked).unwrap();
    assert!(!locked.is_news_to(Some(compact.as_bytes())));
    assert!(locked.is_news_to(None) && locked.is_news_to(Some(b"")) && locked.is_news_to(Some(b"{}")));

    let now =
        lockfile(&[("ghcr.io/a/B:1", entry('2', &["ghcr.io/a/c"])), ("ghcr.io/a/new", entry('1', &[]))]);
    let said: Vec<String> = now.differences(&locked).iter().map(ToString::to_string).collect();
    let said = said.join("\n").replace(&"0".repeat(64), "00").replace(&"2".repeat(64), "22");
    insta::assert_snapshot!(said, @r#"
    feature `ghcr.io/a/B:1` has another "resolved": `ghcr.io/a/b@sha256:22`, locked is `ghcr.io/a/b@sha256:00`
    feature `ghcr.io/a/B:1` has another "integrity": `sha256:22`, locked is `sha256:00`
    feature `ghcr.io/a/B:1` has another "dependsOn": `ghcr.io/a/c`, locked is ``
    feature `ghcr.io/a/new` is not in the lockfile
    feature `ghcr.io/a/gone` is in the lockfile and not used any more
    "#);
    assert!(locked.differences(&locked).is_empty());
    let rest = locked.without(|id| id.ends_with("gone"));
    assert_eq!(rest.features().map(|(id, _)| id).collect::<Vec<_>>(), ["ghcr.io/a/B:1"]);
}

proptest! {
    #[test]
    fn survives_being_written_and_read(ids in proptest::collection::btree_set("[a-z/.:\"é]{1,9}", 0..4)) {
        let entries: Vec<(&str, LockedFeature)> = ids.iter().map(|id| (id.as_str(), entry('a', &["x"]))).collect();
        let lockfile = lockfile(&entries);
        prop_assert_eq!(parse(&lockfile.to_text()), Ok(Some(lockfile)));
    }

    #[test]
    fn never_panics(text in "[\\[\\]{}\":,fetures1 \n]{0,30}") {
        let _outcome = parse(&text);
        let _outcome = parse(&format!("{{\"features\": {text}}}"));
        let _outcome = Lockfile::default().is_news_to(Some(text.as_bytes()));
    }
}
