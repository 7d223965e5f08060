//! Dockerfiles as people write them.

use super::*;
use proptest::prelude::*;

fn vars(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn base(text: &str, target: Option<&str>, args: &[(&str, &str)]) -> Result<String, String> {
    let file = Dockerfile::parse(text).map_err(|error| error.to_string())?;
    file.base_image(target, &vars(args)).map_err(|error| error.to_string())
}

fn user(text: &str, args: &[(&str, &str)], env: &[(&str, &str)]) -> Option<String> {
    Dockerfile::parse(text).unwrap().user(None, &vars(args), &vars(env)).unwrap()
}

#[test]
fn finds_the_base_image() {
    let table = [
        ("FROM debian", "debian"),
        ("from --platform=$BUILDPLATFORM debian:12 as x", "debian:12"),
        ("ARG V=12\nFROM debian:${V}", "debian:12"),
        ("ARG V=12\nARG I=debian:$V\nFROM $I", "debian:12"),
        ("ARG V\nFROM debian:${V:-11}", "debian:11"),
        ("ARG V=1\nFROM ${V:+debian}", "debian"),
        ("FROM ${A:-${B:-alpine}}", "alpine"),
        ("FROM \"debian:12\"", "debian:12"),
        ("FROM a AS one\nFROM b AS two\nFROM ONE", "a"),
        ("FROM scratch\nCOPY . .", "scratch"),
        ("# comment\n\nFROM \\\n # within\n debian \\\n  AS x\n", "debian"),
        ("# escape=`\nFROM debian `\n AS x", "debian"),
        ("FROM \\\n\\ \t\ndebian", "debian"),
        // A character that is escaped itself continues nothing.
        ("FROM a\nRUN echo \\\\\nFROM b", "b"),
        ("# escape=`\nFROM a\nRUN echo ``\nFROM b", "b"),
        ("# escape=`\nFROM a\nRUN echo \\\\`\nFROM b", "a"),
        ("FROM a\nRUN <<EOF cat <<-\"END\"\nFROM no\nEOF\n\tEND\nRUN echo <<<x\nFROM b", "b"),
        ("FROM debian AS debian", "debian"),
    ];
    for (text, expected) in table {
        assert_eq!(base(text, None, &[]), Ok(expected.to_owned()), "{text}");
    }
    assert_eq!(base("ARG V=12\nFROM debian:$V", None, &[("V", "13")]), Ok("debian:13".to_owned()));
    assert_eq!(base("FROM a AS one\nFROM b", Some("One"), &[]), Ok("a".to_owned()));
    assert_eq!(base("FROM a AS one\nFROM b", Some("1"), &[]), Ok("b".to_owned()));
}

#[test]
fn says_what_is_missing() {
    insta::assert_snapshot!(base("RUN x", None, &[]).unwrap_err(), @"the Dockerfile has no `FROM`");
    insta::assert_snapshot!(base("FROM a AS one", Some("tow"), &[]).unwrap_err(), @"the Dockerfile has no stage `tow` (it has one)");
    insta::assert_snapshot!(base("\nFROM a b", None, &[]).unwrap_err(), @"line 2: expected `FROM [--platform=…] IMAGE [AS NAME]`, found `FROM a b`");
    insta::assert_snapshot!(base("FROM debian:$V", None, &[]).unwrap_err(), @r#"line 1: `FROM debian:$V` names no image: a variable in it has no value; give it a default with `ARG`, or set it in "build.args""#);
}

#[test]
fn follows_the_user_through_stages_and_variables() {
    assert_eq!(user("FROM a", &[], &[]), None);
    assert_eq!(user("FROM a\nUSER dev", &[], &[]).as_deref(), Some("dev"));
    assert_eq!(user("FROM a AS x\nUSER dev\nFROM x\nRUN y", &[], &[]).as_deref(), Some("dev"));
    assert_eq!(user("FROM a AS x\nUSER dev\nFROM b", &[], &[]), None);
    assert_eq!(user("FROM a\nARG U=one\nUSER $U", &[("U", "two")], &[]).as_deref(), Some("two"));
    assert_eq!(user("ARG U=top\nFROM a\nARG U\nUSER ${U}", &[], &[]).as_deref(), Some("top"));
    assert_eq!(user("FROM a\nARG U=arg\nENV U=\"env\"\nUSER $U", &[], &[]).as_deref(), Some("env"));
    assert_eq!(user("FROM a\nENV U old style\nUSER $U", &[], &[]).as_deref(), Some("old style"));
    assert_eq!(user("FROM a\nUSER $U", &[], &[("U", "base")]).as_deref(), Some("base"));
}

#[test]
fn lists_images_and_the_frontend() {
    let text = "# syntax=docker/dockerfile:1\nFROM a AS x\nFROM x\nFROM b\nFROM a\nFROM scratch";
    let file = Dockerfile::parse(text).unwrap();
    let images = |args: &[(&str, &str)]| file.images(&vars(args)).unwrap();
    assert_eq!(images(&[]), ["docker/dockerfile:1", "a", "b"]);
    assert_eq!(images(&[("BUILDKIT_SYNTAX", "mine:1 some words")]), ["mine:1", "a", "b"]);
    assert_eq!(file.syntax.as_deref(), Some("docker/dockerfile:1"));
    for (text, syntax) in [
        ("FROM a\n# syntax=x", None),
        ("# syntax=x\n# syntax=y\nFROM a", Some("x")),
        ("#!/usr/bin/env -S docker build\n# syntax=x\nFROM a", Some("x")),
        ("// syntax=x\nFROM a", Some("x")),
        ("# other=x\n# syntax=y\nFROM a", None),
    ] {
        assert_eq!(Dockerfile::parse(text).unwrap().syntax.as_deref(), syntax, "{text}");
    }
}

#[test]
fn lists_images_that_files_are_taken_from() {
    let table: &[(&str, &[&str])] = &[
        ("COPY --from=b /x /y", &["b"]),
        ("copy --chown=1:1 --from=\"b:1\" /x /y", &["b:1"]),
        ("COPY \\\n  --from=b \\\n  /x /y", &["b"]),
        ("COPY --chown=1:1 /x --from=b", &[]),
        ("COPY --from= /x /y", &[]),
        ("COPY --from=scratch /x /y", &[]),
        ("COPY --from=ONE /x /y", &[]),
        ("COPY --from=later /x /y", &[]),
        ("COPY --from=0 /x /y", &[]),
        ("COPY --from=a /x /y", &[]),
        ("ADD --from=b /x /y", &[]),
        ("RUN --mount=from=b,target=/x true", &["b"]),
        ("RUN --network=none --mount=type=cache,target=$HOME,FROM=b/c@sha256:0 it's", &["b/c@sha256:0"]),
        ("RUN --mount=from=b,target=/x --mount=type=bind,from=c,target=/y true", &["b", "c"]),
        ("RUN --mount='\"from=b\",target=/x' true", &["b"]),
        ("RUN --mount=from=one,target=/x true", &[]),
        ("RUN --mount=from=0,target=/x true", &["0"]),
        ("RUN --mount=type=cache,target=/x echo --mount=from=b", &[]),
        ("RUN <<E\nCOPY --from=b /x /y\nE", &[]),
        ("RUN echo COPY --from=b", &[]),
        ("ONBUILD COPY --from=b /x /y", &["b"]),
        ("onbuild run --mount=from=b,target=/x true", &["b"]),
        ("ONBUILD", &[]),
    ];
    for (instruction, expected) in table {
        let text = format!("FROM a AS one\nRUN x\nFROM one\n{instruction}\nFROM a AS later");
        let images = Dockerfile::parse(&text).unwrap().images(&Variables::new()).unwrap();
        assert_eq!(
            (images[0].as_str(), &images[1..]),
            ("a", &expected.iter().map(|&image| image.to_owned()).collect::<Vec<_>>()[..]),
            "{instruction}"
        );
    }
    let variable = |instruction: &str| {
        let file = Dockerfile::parse(&format!("ARG V=b\nFROM a\nARG V\n{instruction}")).unwrap();
        file.images(&Variables::new()).unwrap_err().to_string()
    };
    insta::assert_snapshot!(variable("COPY --from=r.io/x:${V:-1} /x /y"), @"line 4: the builder puts no variables into `from=r.io/x:$V`; let a stage of its own be `FROM` that, and take from the stage");
    assert!(variable("RUN --mount=from=$V,target=/x true").contains("`from=$V`"));
}

#[test]
fn names_the_stage_to_build() {
    let named = |text: &str, target: Option<&str>| {
        let named = name_stage(text, target, "dev").map_err(|error| error.to_string())?;
        assert_eq!(named.text.lines().count(), text.lines().count());
        Ok::<_, String>((named.text.into_owned(), named.name))
    };
    let table = [
        ("FROM a AS one\nFROM one  as\tTwo\nRUN x", None, "FROM a AS one\nFROM one  as\tTwo\nRUN x", "Two"),
        (
            "FROM a AS one\n \tfrom  --platform=p \tone  \nRUN x\n",
            None,
            "FROM a AS one\n \tfrom  --platform=p \tone AS dev  \nRUN x\n",
            "dev",
        ),
        ("FROM a", None, "FROM a AS dev", "dev"),
        ("FROM a\r\nRUN x\r\n", None, "FROM a AS dev\r\nRUN x\r\n", "dev"),
        ("FROM \\\n# within\n  a\nRUN x", None, "FROM \\\n# within\n  a AS dev\nRUN x", "dev"),
        ("FROM a \\", None, "FROM a AS dev \\", "dev"),
        ("FROM a AS dev\nFROM b", None, "FROM a AS dev\nFROM b AS dev_", "dev_"),
        ("FROM a AS one\nFROM b", Some("ONE"), "FROM a AS one\nFROM b", "one"),
        ("FROM a\nFROM b", Some("0"), "FROM a AS dev\nFROM b", "dev"),
        ("FROM a\nRUN <<E\nFROM no\nE\n", None, "FROM a AS dev\nRUN <<E\nFROM no\nE\n", "dev"),
        ("# escape=`\nFROM `\n a", None, "# escape=`\nFROM `\n a AS dev", "dev"),
    ];
    for (text, target, expected, name) in table {
        assert_eq!(named(text, target), Ok((expected.to_owned(), name.to_owned())), "{text}");
    }
    assert!(named("FROM a", Some("b")).is_err() && named("RUN x", None).is_err());
}

#[test]
fn knows_the_platform_and_the_frontend() {
    let text = "FROM a AS base-amd64\nUSER one\nFROM b AS base-arm64\nUSER two\nFROM base-${TARGETARCH}";
    let args = platform_args("linux/amd64", "linux/arm64");
    let file = Dockerfile::parse(text).unwrap();
    assert_eq!(file.base_image(None, &args).as_deref(), Ok("b"));
    assert_eq!(file.user(None, &args, &Variables::new()).unwrap().as_deref(), Some("two"));
    let contexts = |syntax: &str| Dockerfile::parse(&format!("{syntax}\nFROM a")).unwrap().named_contexts();
    assert_eq!(contexts(""), NamedContexts::BuiltIn);
    assert_eq!(contexts("# syntax=mycompany/image:1.4"), NamedContexts::Unknown);
    let table = [
        ("", true),
        (":latest", true),
        (":0", false),
        (":1", true),
        (":1.2", false),
        (":1.2.3", false),
        (":1.4", true),
        (":1.4.5", true),
        (":1.5-labs", true),
        (":1.2-labs", false),
        (":2", true),
        (":labs", true),
        (":1-labs", true),
    ];
    for (tag, expected) in table {
        let expected = if expected { NamedContexts::Yes } else { NamedContexts::No };
        assert_eq!(contexts(&format!("# syntax=docker.io/docker/dockerfile{tag}")), expected, "{tag}");
        assert_eq!(contexts(&format!("#syntax = docker/dockerfile{tag}")), expected, "{tag}");
    }
}

/// Where the reference sees less than the builder, we go with the builder.
#[test]
fn variables_are_those_of_the_builder() {
    assert_eq!(user("FROM a\nENV U=env\nARG U=arg\nUSER $U", &[], &[]).as_deref(), Some("env"));
    assert_eq!(user("ARG U=top\nFROM a\nUSER $U", &[], &[]), None);
    assert_eq!(
        user("FROM a AS one\nENV U=env\nARG V=arg\nFROM one\nUSER $U$V", &[], &[]).as_deref(),
        Some("envarg")
    );
    assert_eq!(user("FROM a\nENV U=env\nARG U\nUSER $U", &[], &[]).as_deref(), Some("env"));
    assert_eq!(user("FROM a\nARG A=1\nENV B=${A}\nUSER A${A}B${B}C", &[], &[]).as_deref(), Some("A1B1C"));
    assert_eq!(user("from a\nenv U=b\nuser $U", &[], &[]).as_deref(), Some("b"));
    assert_eq!(
        base("FROM c AS one\nFROM three AS two\nFROM d AS three", Some("two"), &[]),
        Ok("three".to_owned())
    );
    assert_eq!(base("ARG C\nFROM ${C:+\"r.io/\"}a:l", None, &[("C", "1")]), Ok("r.io/a:l".to_owned()));
    assert_eq!(base("FROM \"${C:-\"r.io/\"}a:l\"", None, &[]), Ok("r.io/a:l".to_owned()));
}

proptest! {
    #[test]
    fn never_panics(text in "(FROM |ARG |ENV |USER |RUN <<E|COPY --from=|RUN --mount=from=|a|é|=|:|\\$|\\{|\\}|-|\"|'|\\\\|\n| ){0,30}") {
        if let Ok(file) = Dockerfile::parse(&text) {
            let none = Variables::new();
            let named = name_stage(&text, None, "dev").unwrap();
            prop_assert_eq!(named.text.matches('\n').count(), text.matches('\n').count());
            let again = Dockerfile::parse(&named.text).unwrap();
            prop_assert_eq!(again.stages.len(), file.stages.len());
            prop_assert_eq!(again.stages.last().unwrap().name.as_deref(), Some(named.name.as_str()));
            let _outcome = (file.named_contexts(), file.base_image(None, &none), file.user(None, &none, &none), file.images(&none));
        }
    }
}
