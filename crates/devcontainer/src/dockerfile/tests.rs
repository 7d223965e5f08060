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
    assert_eq!(file.images(&Variables::new()), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(file.syntax.as_deref(), Some("docker/dockerfile:1"));
    assert_eq!(Dockerfile::parse("FROM a\n# syntax=x").unwrap().syntax, None);
}

proptest! {
    #[test]
    fn never_panics(text in "(FROM |ARG |ENV |USER |RUN <<E|a|é|=|:|\\$|\\{|\\}|-|\"|'|\\\\|\n| ){0,30}") {
        if let Ok(file) = Dockerfile::parse(&text) {
            let none = Variables::new();
            let _outcome = (file.base_image(None, &none), file.user(None, &none, &none), file.images(&none));
        }
    }
}
