use super::super::collate;
use super::*;
use crate::locate::Located;
use crate::testing::Files;
use proptest::prelude::*;
use serde_json::json;

const FILE: &str = "/work/.devcontainer/devcontainer.json";

/// Every feature there is, by its reference without version.
struct World(BTreeMap<String, Value>);

impl World {
    fn of(features: &Value) -> Self {
        let entries = features.as_object().unwrap().iter();
        Self(entries.map(|(name, metadata)| (name.clone(), metadata.clone())).collect())
    }

    fn fetch(&self, wanted: &Wanted) -> Fetched {
        let name = wanted.reference.without_version();
        let name =
            name.strip_prefix("/work/.devcontainer/").map_or(name.clone(), |local| format!("./{local}"));
        let whole = wanted.reference.to_string();
        let metadata =
            self.0.get(&whole).or_else(|| self.0.get(&name)).unwrap_or_else(|| panic!("no {name}"));
        let text = metadata.to_string();
        let metadata = FeatureMetadata::parse(text.as_bytes(), &name).unwrap();
        Fetched { digest: digest_of(&format!("{name} {text}")), metadata }
    }
}

fn digest_of(text: &str) -> String {
    format!("sha256:{}", crate::digest::of(&json!(text)))
}

fn config(text: &str) -> Config {
    let sources = Files::new().with(FILE, text);
    crate::read(&sources, "/work".into(), &Located::ConfigFile(FILE.into()), "none").unwrap()
}

fn walk(world: &World, mut resolver: Resolver) -> Result<Resolver, FeatureError> {
    loop {
        let missing = resolver.missing();
        if missing.is_empty() {
            return Ok(resolver);
        }
        // Answers come in any order.
        for wanted in missing.iter().rev() {
            resolver.provide(wanted, world.fetch(wanted))?;
        }
    }
}

fn resolve(world: &Value, config_text: &Value) -> Result<Resolution, FeatureError> {
    let mut file = config_text.clone();
    file["image"] = json!("x");
    let text = serde_json::to_string_pretty(&file).unwrap();
    let config = config(&text);
    let request =
        FeatureRequest { config: Some(&config), text: Some(text.as_bytes()), ..FeatureRequest::default() };
    walk(&World::of(world), Resolver::new(&request)?)?.finish()
}

fn names(resolution: &Resolution) -> Vec<String> {
    let features = resolution.features.iter();
    features
        .map(|feature| match &feature.value {
            Value::Object(options) if !options.is_empty() => format!("{} {}", feature.written, feature.value),
            _ => feature.written.clone(),
        })
        .collect()
}

#[test]
fn the_order_of_installation() {
    let hub = "ghcr.io/a/b";
    // What it shows; features; configuration; order.
    let cases = [
        (
            "by name",
            json!({"./c": {}, "./a": {}, "./b": {}}),
            json!({"features": {"./c": {}, "./b": {}, "./a": {}}}),
            vec!["./a", "./b", "./c"],
        ),
        (
            "soft requirements hold among what is installed and add nothing",
            json!({"./a": {"installsAfter": ["./c", "./absent", "common", "fish"]}, "./b": {}, "./c": {"installsAfter": ["./b"]}}),
            json!({"features": {"./a": {}, "./b": {}, "./c": {}}}),
            vec!["./b", "./c", "./a"],
        ),
        (
            "hard requirements are added, with theirs",
            json!({"./a": {"dependsOn": {"./c": {}}}, "./b": {}, "./c": {"dependsOn": {"./d": {}}}, "./d": {}}),
            json!({"features": {"./a": {}, "./b": {}}}),
            vec!["./b", "./d", "./c", "./a"],
        ),
        (
            "both kinds",
            json!({"./a": {"dependsOn": {"./b": {}}, "installsAfter": ["./c"]}, "./b": {"installsAfter": ["./c"]}, "./c": {}}),
            json!({"features": {"./a": {}, "./c": {}}}),
            vec!["./c", "./b", "./a"],
        ),
        (
            "equal names: more options first, then by option, then by value; equal ones once",
            json!({"./a": {"dependsOn": {"./b": {"x": "2", "y": "1"}}}, "./b": {}, "./c": {"dependsOn": {"./b": {"x": "1", "y": "2"}}},
                   "./d": {"dependsOn": {"./b": {"x": "1"}}}, "./e": {"dependsOn": {"./b": {"x": "1", "y": "2"}}}}),
            json!({"features": {"./a": {}, "./b": {}, "./c": {}, "./d": {}, "./e": {}}}),
            vec![
                r#"./b {"x":"1","y":"2"}"#,
                r#"./b {"x":"2","y":"1"}"#,
                r#"./b {"x":"1"}"#,
                "./b",
                "./a",
                "./c",
                "./d",
                "./e",
            ],
        ),
        (
            "tags from old to new, latest last",
            json!({"ghcr.io/a/b:1": {"version": "1.0.0"}, "ghcr.io/a/b:10": {"version": "10.0.0"}, "ghcr.io/a/b:9": {"version": "9.0.0"}, hub: {"version": "11.0.0"}}),
            json!({"features": {hub: {}, "ghcr.io/a/b:10": {}, "ghcr.io/a/b:9": {}, "ghcr.io/a/b:1": {}}}),
            vec!["ghcr.io/a/b:1", "ghcr.io/a/b:9", "ghcr.io/a/b:10", "ghcr.io/a/b"],
        ),
        (
            "the same content with the same options is the same feature, whatever its tag",
            json!({hub: {"id": "b"}, "ghcr.io/z/z": {"dependsOn": {"ghcr.io/A/b:latest": {}, "ghcr.io/a/b:2": "1"}}}),
            json!({"features": {hub: {}, "ghcr.io/z/z": {}, "ghcr.io/a/b:1": {"version": "1"}}}),
            vec![r#"ghcr.io/a/b:1 {"version":"1"}"#, hub, "ghcr.io/z/z"],
        ),
        (
            "every kind of source together",
            json!({"./l": {"dependsOn": {"https://h/devcontainer-feature-t.tgz": {}}}, hub: {}, "https://h/devcontainer-feature-t.tgz": {"installsAfter": [hub]}, "o/r/f": {}}),
            json!({"features": {"./l": {}, hub: {}, "o/r/f@1": {}}}),
            vec![hub, "o/r/f@1", "https://h/devcontainer-feature-t.tgz", "./l"],
        ),
        (
            "an override pulls forward what is ready",
            json!({"./a": {"dependsOn": {"./z": {}}}, "./b": {}, "./c": {}, "./z": {}}),
            json!({"overrideFeatureInstallOrder": ["./c"], "features": {"./a": {}, "./b": {}, "./c": {}}}),
            vec!["./c", "./b", "./z", "./a"],
        ),
        (
            "of two overrides the first, and neither before its requirements",
            json!({"./a": {"dependsOn": {"./z": {}}}, "./b": {}, "./c": {}, "./z": {}}),
            json!({"overrideFeatureInstallOrder": ["./a", "./c"], "features": {"./a": {}, "./b": {}, "./c": {}}}),
            vec!["./c", "./b", "./z", "./a"],
        ),
        (
            "an override reaches what only another feature needs, whatever the version",
            json!({"ghcr.io/a/a": {"dependsOn": {"ghcr.io/a/z:1": {}}}, "ghcr.io/a/b": {}, "ghcr.io/a/z": {}}),
            json!({"overrideFeatureInstallOrder": ["ghcr.io/a/z", "ghcr.io/a/a"], "features": {"ghcr.io/a/a": {}, "ghcr.io/a/b:2": {}}}),
            vec!["ghcr.io/a/z:1", "ghcr.io/a/a", "ghcr.io/a/b:2"],
        ),
        (
            "renamed features are found by each of their names and sort by the present one",
            json!({"ghcr.io/a/x": {"installsAfter": ["ghcr.io/a/old"]}, "ghcr.io/a/new": {"id": "new", "legacyIds": ["old"]},
                   "ghcr.io/b/old": {"id": "zzz", "legacyIds": ["old"]}, "ghcr.io/b/q": {"installsAfter": ["ghcr.io/b/zzz"]}, "ghcr.io/b/r": {}}),
            json!({"features": {"ghcr.io/a/x": {}, "ghcr.io/a/new": {}, "ghcr.io/b/old": {}, "ghcr.io/b/q": {}, "ghcr.io/b/r": {}}}),
            vec!["ghcr.io/a/new", "ghcr.io/b/r", "ghcr.io/b/old", "ghcr.io/a/x", "ghcr.io/b/q"],
        ),
        (
            "names of the time before registries",
            json!({"ghcr.io/devcontainers/features/node": {}, "ghcr.io/devcontainers/features/java": {}, "ghcr.io/devcontainers/features/python": {}}),
            json!({"overrideFeatureInstallOrder": ["python"], "features": {"node": "lts", "gradle": "latest", "python": "3"}}),
            vec!["python", r#"ghcr.io/devcontainers/features/java:1 {"installGradle":true}"#, "node"],
        ),
    ];
    for (shows, world, config, expected) in cases {
        let resolution = resolve(&world, &config).unwrap_or_else(|error| panic!("{shows}: {error}"));
        assert_eq!(names(&resolution), expected, "{shows}");
    }
}

#[test]
fn a_circle_is_told_whole() {
    let told = |world: &Value, config: &Value| resolve(world, config).unwrap_err().to_string();
    let hard = json!({"./a": {"dependsOn": {"./b": {}}}, "./b": {"dependsOn": {"./c": {}}}, "./c": {"dependsOn": {"./b": {}}}});
    insta::assert_snapshot!(told(&hard, &json!({"features": {"./a": {}}})), @"features wait for each other: `./b` waits for `./c` waits for `./b`");
    let soft = json!({"./a": {"installsAfter": ["./b"]}, "./b": {"installsAfter": ["./a"]}});
    insta::assert_snapshot!(told(&soft, &json!({"features": {"./a": {}, "./b": {}}})), @"features wait for each other: `./a` waits for `./b` waits for `./a`");
}

#[test]
fn mistakes_come_together_and_with_their_place() {
    let told =
        |config: &Value| resolve(&json!({"./a": {"dependsOn": {"b": {}}}}), config).unwrap_err().to_string();
    let wrong = json!({"features": {"/abs": {}, "./a": {"x": {}}, "ghcr.io/a/b": []}, "overrideFeatureInstallOrder": ["./a", "fsih"]});
    insta::assert_snapshot!(told(&wrong), @r#"
    /work/.devcontainer/devcontainer.json:3:5: "features./abs": `/abs` is not a feature: a local feature is named by a path relative to devcontainer.json, for example `./my-feature`
    /work/.devcontainer/devcontainer.json:5:12: "features../a.x": expected a string, a number, true or false, found an object
    /work/.devcontainer/devcontainer.json:7:5: "features.ghcr.io/a/b": expected an object with options, or a version as a string, found an array
    /work/.devcontainer/devcontainer.json:11:5: "overrideFeatureInstallOrder[1]": `fsih` is not a feature: it has no registry; expected for example `ghcr.io/devcontainers/features/node:1`; if it is a folder, prepend your Feature name with `./`
    "#);
    insta::assert_snapshot!(told(&json!({"features": {"./a": {}}})), @r#"./a: "dependsOn.b": `b` is not a feature: it has no registry; expected for example `ghcr.io/devcontainers/features/node:1`; if it is a folder, prepend your Feature name with `./`"#);
}

#[test]
fn warnings_have_their_place_too() {
    let world = json!({
        "./a": {"options": {"version": {"type": "string", "enum": ["1"]}}, "installsAfter": ["fish"]},
        "ghcr.io/x/old": {"id": "new", "legacyIds": ["old"], "deprecated": true},
        "ghcr.io/devcontainers/features/git": {},
    });
    let config = json!({
        "features": {"./a": {"version": "2", "vers": "1"}, "git": {}, "ghcr.io/x/old": {}},
        "overrideFeatureInstallOrder": ["./none"],
    });
    let said: Vec<String> =
        resolve(&world, &config).unwrap().warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    /work/.devcontainer/devcontainer.json:7:5: "features.git": `git` is an old name, write `ghcr.io/devcontainers/features/git:1`
    /work/.devcontainer/devcontainer.json:5:7: "features../a.vers": the feature has no option `vers` (version)
    /work/.devcontainer/devcontainer.json:4:18: "features../a.version": `2` is not among the values the feature lists (1)
    ./a: "installsAfter[0]": `fish` is not a feature: it has no registry; expected for example `ghcr.io/devcontainers/features/node:1`; if it is a folder, prepend your Feature name with `./`
    /work/.devcontainer/devcontainer.json:8:5: "features.ghcr.io/x/old": feature `old` is deprecated and gets no more updates
    /work/.devcontainer/devcontainer.json:8:5: "features.ghcr.io/x/old": the feature was renamed, write `ghcr.io/x/new`
    /work/.devcontainer/devcontainer.json:11:5: "overrideFeatureInstallOrder[0]": no feature to install is called `./none`
    "#);
}

#[test]
fn the_lockfile_pins_and_is_checked() {
    let world = World::of(
        &json!({"ghcr.io/a/b": {"version": "1.0.0", "dependsOn": {"ghcr.io/A/c": {}}}, "ghcr.io/a/c": {"version": "2.0.0"}, "./l": {}}),
    );
    let config = config(r#"{"image": "x", "features": {"ghcr.io/A/b:1": {}, "./l": {}}}"#);
    let more = json!({"ghcr.io/a/c:3": {"only": "here"}});
    let mut request =
        FeatureRequest { config: Some(&config), additional: more.as_object(), ..FeatureRequest::default() };
    let features = walk(&world, Resolver::new(&request).unwrap()).unwrap().finish().unwrap().features;
    let lockfile = Lockfile::of(&features);
    let locked: Vec<&str> = lockfile.features().map(|(id, _)| id).collect();
    assert_eq!(locked, ["ghcr.io/A/b:1", "ghcr.io/A/c"]);
    assert_eq!(lockfile.get("ghcr.io/a/B:1").unwrap().depends_on, ["ghcr.io/A/c"]);
    assert!(
        lockfile
            .features()
            .all(|(_, feature)| feature.resolved.ends_with(&format!("@{}", feature.integrity)))
    );

    request.lockfile = Some(&lockfile);
    let mut resolver = Resolver::new(&request).unwrap();
    let wanted = resolver.missing().into_iter().find(|wanted| wanted.pin.is_some()).unwrap();
    let integrity = &lockfile.get("ghcr.io/A/b:1").unwrap().integrity;
    assert_eq!(wanted.pinned().to_string(), format!("ghcr.io/a/b@{integrity}"));
    let other = Fetched { digest: "sha256:else".to_owned(), ..world.fetch(&wanted) };
    assert!(matches!(resolver.provide(&wanted, other), Err(FeatureError::Integrity { locked: true, .. })));
    assert_eq!(walk(&world, resolver).unwrap().finish().unwrap().features, features);
}

#[test]
fn draws_the_graph() {
    let world = World::of(
        &json!({"ghcr.io/a/b": {"id": "b", "dependsOn": {"ghcr.io/a/c": {}}, "installsAfter": ["./l"]}, "ghcr.io/a/c": {"id": "c", "dependsOn": {"ghcr.io/a/d": {}}}, "ghcr.io/a/d": {}, "./l": {"dependsOn": {"ghcr.io/a/c": {}}}}),
    );
    let config = config(
        r#"{"image": "x", "features": {"ghcr.io/a/b": {}, "./l": {}}, "overrideFeatureInstallOrder": ["./l"]}"#,
    );
    let request = FeatureRequest { config: Some(&config), ..FeatureRequest::default() };
    let resolver = Resolver::new(&request).unwrap();
    assert!(matches!(resolver.graph(), Err(FeatureError::NotFetched { .. })));
    insta::assert_snapshot!(walk(&world, resolver).unwrap().graph().unwrap().mermaid(), @"
    flowchart
    22058d[ghcr.io/a/b<br/><0><br>aliases: b]
    22058d[ghcr.io/a/b<br/><0><br>aliases: b] --> 85793f[ghcr.io/a/c<br/><0><br>aliases: c]
    85793f[ghcr.io/a/c<br/><0><br>aliases: c] --> 65b9a9[ghcr.io/a/d<br/><0>]
    22058d[ghcr.io/a/b<br/><0><br>aliases: b] -.-> 06de90[./l<br/><1>]
    06de90[./l<br/><1>]
    06de90[./l<br/><1>] --> 85793f[ghcr.io/a/c<br/><0><br>aliases: c]
    ");
}

#[test]
fn an_endless_chain_ends() {
    let mut resolver = {
        let more = json!({"ghcr.io/a/n0": {}});
        let request = FeatureRequest { additional: more.as_object(), ..FeatureRequest::default() };
        Resolver::new(&request).unwrap()
    };
    let error = (1..).find_map(|next| {
        let wanted = resolver.missing().remove(0);
        let text = json!({"dependsOn": {format!("ghcr.io/a/n{next}"): {}}}).to_string();
        let metadata = FeatureMetadata::parse(text.as_bytes(), "n").unwrap();
        resolver.provide(&wanted, Fetched { digest: digest_of(&text), metadata }).err()
    });
    assert!(matches!(error, Some(FeatureError::TooMany { limit: MAX_FEATURES, .. })));
}

/// Nobody makes us ask a thousand servers at once.
#[test]
fn a_crowd_of_dependencies_is_refused_before_it_is_fetched() {
    let more = json!({"ghcr.io/a/n": {}});
    let request = FeatureRequest { additional: more.as_object(), ..FeatureRequest::default() };
    let mut resolver = Resolver::new(&request).unwrap();
    let crowd: serde_json::Map<String, Value> =
        (0..=MAX_FEATURES).map(|index| (format!("h{index}.example/a/n"), json!({}))).collect();
    let text = json!({"dependsOn": crowd}).to_string();
    let metadata = FeatureMetadata::parse(text.as_bytes(), "n").unwrap();
    let wanted = resolver.missing().remove(0);
    let refused = resolver.provide(&wanted, Fetched { digest: digest_of(&text), metadata });
    assert!(matches!(refused, Err(FeatureError::TooMany { limit: MAX_FEATURES, .. })), "{refused:?}");
}

/// Features `f0`… whose requirements point to lower numbers only, so that there is no circle.
fn worlds() -> impl Strategy<Value = (Value, Vec<String>)> {
    let edges = || proptest::collection::vec((1_usize..8, 0_usize..7), 0..10);
    (edges(), edges(), Just((0..8).collect::<Vec<usize>>()).prop_shuffle()).prop_map(|(hard, soft, order)| {
        let name = |index: usize| format!("ghcr.io/a/f{index}");
        let below = |edges: &[(usize, usize)], index: usize| -> Vec<String> {
            edges.iter().filter(|(from, to)| *from == index && to < from).map(|(_, to)| name(*to)).collect()
        };
        let world: Map<String, Value> = (0..8)
            .map(|index| {
                let depends_on: Map<String, Value> =
                    below(&hard, index).into_iter().map(|name| (name, json!({}))).collect();
                let metadata = json!({"id": format!("f{index}"), "dependsOn": depends_on, "installsAfter": below(&soft, index)});
                (name(index), metadata)
            })
            .collect();
        (Value::Object(world), order.into_iter().take(5).map(name).collect())
    })
}

proptest! {
    #[test]
    fn the_order_is_sound((world, asked) in worlds()) {
        let order_of = |asked: &[String]| {
            let more: Map<String, Value> = asked.iter().map(|name| (name.clone(), json!({}))).collect();
            let request = FeatureRequest { additional: Some(&more), ..FeatureRequest::default() };
            let resolver = walk(&World::of(&world), Resolver::new(&request).unwrap()).unwrap();
            resolver.finish().unwrap().features
        };
        let features = order_of(&asked);
        let order: Vec<&str> = features.iter().map(|feature| feature.written.as_str()).collect();
        // Nothing that was asked for is lost, and nothing comes twice.
        prop_assert!(asked.iter().all(|name| order.contains(&name.as_str())));
        let mut once = order.clone();
        once.sort_by(|left, right| collate::compare(left, right));
        once.dedup();
        prop_assert_eq!(once.len(), order.len());
        for (index, feature) in features.iter().enumerate() {
            for (needed, _) in &feature.metadata.depends_on {
                prop_assert!(order[..index].contains(&needed.as_str()));
            }
            for before in &feature.metadata.installs_after {
                prop_assert!(!order[index..].contains(&before.as_str()));
            }
        }
        // It does not depend on the order in which features are asked for.
        let reversed: Vec<String> = asked.iter().rev().cloned().collect();
        let again = order_of(&reversed);
        prop_assert_eq!(again.iter().map(|feature| feature.written.as_str()).collect::<Vec<_>>(), order);
    }
}
