use super::*;
use proptest::prelude::*;

fn parse_in(written: &str, config: &str) -> Result<FeatureReference, ReferenceError> {
    let folders = Folders { config: config.into(), workspace: "/work".into() };
    FeatureReference::parse(written, Some(folders), LegacyIds::Mapped)
}

fn parsed(written: &str) -> FeatureReference {
    parse_in(written, "/work/.devcontainer").unwrap()
}

#[test]
fn names_of_registries() {
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let by_digest = format!("ghcr.io/my-org/my-features/my-feat@{digest}");
    // Written; registry; path; whole again.
    let cases = [
        ("ghcr.io/a/b", "ghcr.io", "a/b", "ghcr.io/a/b:latest"),
        ("ghcr.io/a/b:1.0.4", "ghcr.io", "a/b", "ghcr.io/a/b:1.0.4"),
        (
            "ghcr.io/DeVContainERS/Features/Docker-FROM-Docker:Dev",
            "ghcr.io",
            "devcontainers/features/docker-from-docker",
            "ghcr.io/devcontainers/features/docker-from-docker:dev",
        ),
        ("docker.io:8001/a/b/c_d", "docker.io:8001", "a/b/c_d", "docker.io:8001/a/b/c_d:latest"),
        ("docker.io:8001/a/b:1.3.4", "docker.io:8001", "a/b", "docker.io:8001/a/b:1.3.4"),
        ("localhost/a/b", "localhost", "a/b", "localhost/a/b:latest"),
        ("registry:5000/a/b", "registry:5000", "a/b", "registry:5000/a/b:latest"),
        (&by_digest, "ghcr.io", "my-org/my-features/my-feat", &by_digest),
        // The collection lives on under another name.
        (
            "ghcr.io/devcontainers-contrib/features/poetry:2",
            "ghcr.io",
            "devcontainers-extra/features/poetry",
            "ghcr.io/devcontainers-extra/features/poetry:2",
        ),
    ];
    for (written, registry, path, whole) in cases {
        let FeatureReference::Oci(feature) = parsed(written) else { panic!("{written}") };
        assert_eq!((feature.registry.as_str(), feature.path.as_str()), (registry, path));
        assert_eq!(feature.to_string(), whole);
        assert_eq!(format!("{}/{}", feature.namespace(), feature.id()), path);
    }
    assert_eq!(parsed("ghcr.io/a/b:1").canonical(&digest), format!("ghcr.io/a/b@{digest}"));
}

#[test]
fn other_names() {
    // Written; id; without version; whole again.
    let cases = [
        (
            "https://example.org/x/devcontainer-feature-ruby.tgz",
            "ruby",
            "https://example.org/x/devcontainer-feature-ruby.tgz",
        ),
        (
            "HTTPS://Example.ORG/X/devcontainer-feature-my_F-1.tgz?token=a/b",
            "my_F-1",
            "https://example.org/X/devcontainer-feature-my_F-1.tgz?token=a/b",
        ),
        ("./hello", "hello", "/work/.devcontainer/hello"),
        ("./x/../hello/", "hello", "/work/.devcontainer/hello"),
        ("owner/repo/helloworld", "helloworld", "owner/repo/helloworld"),
        ("owner/repo/helloworld@latest", "helloworld", "owner/repo/helloworld"),
        ("owner/repo/helloworld@v0.0.2", "helloworld", "owner/repo/helloworld@v0.0.2"),
        ("golang", "go", "ghcr.io/devcontainers/features/go:1"),
    ];
    for (written, id, whole) in cases {
        let reference = parsed(written);
        assert_eq!((reference.id(), reference.to_string().as_str()), (id, whole), "{written}");
    }
    let url = |written| match parsed(written) {
        FeatureReference::Release(feature) => feature.url(),
        other => panic!("{other}"),
    };
    assert_eq!(url("o/r/f"), "https://github.com/o/r/releases/latest/download/f.tgz");
    assert_eq!(url("o/r/f@v1"), "https://github.com/o/r/releases/download/v1/f.tgz");
    // A local feature is relative to the file and stays below the workspace's `.devcontainer`.
    let beside =
        |written| parse_in(written, "/work/.devcontainer/python").map(|reference| reference.to_string());
    assert_eq!(beside("../shared/tool").as_deref(), Ok("/work/.devcontainer/shared/tool"));
    assert_eq!(parse_in("./.devcontainer/tool", "/work").unwrap().to_string(), "/work/.devcontainer/tool");
}

#[test]
fn what_is_refused_and_why() {
    let refused = |written: &str| parse_in(written, "/work/.devcontainer").unwrap_err().to_string();
    insta::assert_snapshot!(refused("/opt/feature"), @"`/opt/feature` is not a feature: a local feature is named by a path relative to devcontainer.json, for example `./my-feature`");
    insta::assert_snapshot!(refused(r".\feature"), @r"`.\feature` is not a feature: a local feature is named by a path relative to devcontainer.json, for example `./my-feature`");
    insta::assert_snapshot!(refused("../outside"), @"`../outside` is not a feature: `/work/outside` is outside of `/work/.devcontainer`, where local features have to be");
    insta::assert_snapshot!(refused("./../../.devcontainer/x"), @"`./../../.devcontainer/x` is not a feature: `/.devcontainer/x` is outside of `/work/.devcontainer`, where local features have to be");
    insta::assert_snapshot!(refused("pyhton"), @"`pyhton` is not a feature: it has no registry; expected for example `ghcr.io/devcontainers/features/python:1`; if it is a folder, prepend your Feature name with `./`");
    insta::assert_snapshot!(refused("http://a.b/devcontainer-feature-x.tgz"), @"`http://a.b/devcontainer-feature-x.tgz` is not a feature: a tarball is downloaded by an `https://` address");
    insta::assert_snapshot!(refused("https://a.b/x/features.tgz"), @"`https://a.b/x/features.tgz` is not a feature: the name of the file is `features.tgz`, expected `devcontainer-feature-<id>.tgz` with an id of letters, digits, `-` and `_`");
    insta::assert_snapshot!(refused("ghcr.io/node:1"), @"`ghcr.io/node:1` is not a feature: expected `registry/namespace/id`, for example `ghcr.io/devcontainers/features/node:1`");
    insta::assert_snapshot!(refused("ghcr.io/a/b?c"), @"`ghcr.io/a/b?c` is not a feature: `b?c` may hold only letters and digits, with single `.`, `_` or `-` between them");
    insta::assert_snapshot!(refused("ghcr.io/devcontainers/features/"), @"`ghcr.io/devcontainers/features/` is not a feature: a part of its name between two `/`, or after the last one, is empty");
    for empty in
        ["ghcr.io//a/b", "ghcr.io/a//b:1", "ghcr.io/", "ghcr.io/a/:1", "owner//x", "owner/repository/"]
    {
        assert!(refused(empty).contains("is empty"), "{empty}: {}", refused(empty));
    }
    insta::assert_snapshot!(refused("ghcr.io/a/b:-1"), @"`ghcr.io/a/b:-1` is not a feature: `-1` is not a version: it may hold up to 128 letters, digits, `.`, `_` and `-`");
    insta::assert_snapshot!(refused("ghcr.io/a/b@md5:abc"), @"`ghcr.io/a/b@md5:abc` is not a feature: `md5:abc` is not a digest, expected `sha256:` and 64 hex digits");
    for wrong in [
        "",
        "ghcr.io//a/b",
        "ghcr.io/a/b:1:2",
        "ghcr.io/a/b/",
        "owner/repo",
        "owner/repo/",
        "owner/repo@1",
        "owner/repo/a b",
        "owner/repo/x@1@2",
        "https://a.b/devcontainer-feature-.tgz",
        "https://a.b/devcontainer-feature-a$b.tgz",
        "https://a.b/devcontainer-feature-x.tgz/",
    ] {
        assert!(parse_in(wrong, "/work/.devcontainer").is_err(), "{wrong}");
    }
    let nowhere = FeatureReference::parse("./x", None, LegacyIds::Mapped).unwrap_err();
    assert_eq!(nowhere.problem, ReferenceProblem::NoConfig);
    assert!(FeatureReference::parse("node", None, LegacyIds::Refused).is_err());
}

#[test]
fn versions_come_off_what_is_written() {
    for (written, name) in [
        ("ghcr.io/a/B:1.2", "ghcr.io/a/B"),
        ("host:5000/a/b", "host:5000/a/b"),
        ("host:5000/a/b@sha256:00", "host:5000/a/b"),
        ("./local", "./local"),
        ("node", "node"),
    ] {
        assert_eq!(without_version(written), name);
    }
}

proptest! {
    #[test]
    fn never_panics(written in "(\\.\\./|https://|ghcr.io/)?[a-zA-Z0-9:@/._é \\\\-]{0,40}") {
        if let Ok(reference) = parse_in(&written, "/work/.devcontainer") {
            let _url = (reference.id().len(), reference.without_version());
            // What it says of itself names the same again.
            if !matches!(reference, FeatureReference::Local(_)) {
                prop_assert_eq!(parse_in(&reference.to_string(), "/work"), Ok(reference));
            }
        }
    }
}
