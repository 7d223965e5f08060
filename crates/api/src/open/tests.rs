use proptest::prelude::*;

use super::*;

fn folder_of(path: &str) -> OpenLink {
    OpenLink::Folder(path.into())
}

fn clone_of(url: &str) -> OpenLink {
    OpenLink::Repository(RepositoryUrl::parse(url).unwrap())
}

#[test]
fn links_say_a_folder_or_a_repository() {
    for (link, meant) in [
        ("cove://open?path=/src/web", folder_of("/src/web")),
        ("COVE://open/?path=%2Fsrc%2Fmy%20web", folder_of("/src/my web")),
        ("cove://open?path=/src/c++", folder_of("/src/c++")),
        ("cove://open?path=/src//web/./x/", folder_of("/src/web/x")),
        ("cove://open?path=/src/b%C3%BCro", folder_of("/src/büro")),
        ("cove://open?path=/network/x", folder_of("/network/x")),
        ("cove://up?repo=https://git.example/team/web", clone_of("https://git.example/team/web")),
        ("cove://up?repo=git@git.example:team/web.git", clone_of("git@git.example:team/web.git")),
        (
            "cove://up?repo=https%3A%2F%2Fgit.example%2Fx&branch=fix%2Flogin",
            clone_of("https://git.example/x#fix/login"),
        ),
        ("cove://up?branch=v1&repo=https://git.example/x", clone_of("https://git.example/x#v1")),
        ("cove://up?repo=https://git.example/x%23v1", clone_of("https://git.example/x#v1")),
    ] {
        assert!(OpenLink::is_meant(link), "{link}");
        assert_eq!(OpenLink::parse(link), Ok(meant), "{link}");
    }
}

#[test]
fn all_else_is_refused_with_the_reason() {
    for (link, why) in [
        ("cove:open?path=/x", "begin with"),
        ("https://open?path=/x", "begin with"),
        ("cove://", "no action ``"),
        ("cove://rm?path=/x", "no action `rm`"),
        ("cove://open", "no `path`"),
        ("cove://open?path", "empty"),
        ("cove://open?path=", "empty"),
        ("cove://open?path=x", "not absolute"),
        ("cove://open?path=~/x", "not absolute"),
        ("cove://open?path=/src/../etc", "`..`"),
        ("cove://open?path=/src/%2e%2e/etc", "`..`"),
        ("cove://open?path=/src&path=/etc", "twice"),
        ("cove://open?path=/src&start=1", "`start`"),
        ("cove://open?path=/src&consents=all", "`consents`"),
        ("cove://open?path=/src#frag", "fragment"),
        ("cove://open?path=/s%", "hexadecimal"),
        ("cove://open?path=/s%zz", "hexadecimal"),
        ("cove://open?path=/s%+1", "hexadecimal"),
        ("cove://open?path=/s%ff", "UTF-8"),
        ("cove://open?path=/s%00", "not seen"),
        ("cove://open?path=/s%0Ax", "not seen"),
        ("cove://open?path=/src/%E2%80%AEevil", "not seen"),
        ("cove://open?path=/net/evil.example/x", "another computer"),
        ("cove://open?path=//net/evil.example/x", "another computer"),
        ("cove://open?path=/Network/Servers/evil", "another computer"),
        ("cove://up", "no `repo`"),
        ("cove://up?repo=/src/web", "no repository"),
        ("cove://up?repo=ext::sh%20-c%20evil", "no repository"),
        ("cove://up?repo=https://git.example/x&branch=--upload-pack%3Devil", "no name of a branch"),
        ("cove://up?repo=https://git.example/x%23a&branch=b", "two branches"),
        ("cove://up?repo=https://git.example/x&grant=true", "`grant`"),
    ] {
        let Err(refused) = OpenLink::parse(link) else { panic!("{link} was taken") };
        assert!(refused.to_string().contains(why), "{link}: {refused}");
        assert!(refused.to_string().contains("cannot be opened"), "{refused}");
    }
    let long = format!("cove://open?path=/{}", "x".repeat(LONGEST_LINK));
    let refused = OpenLink::parse(&long).unwrap_err().problem();
    assert!(refused.title.contains("longer than") && refused.title.len() < 400, "{refused}");
}

#[test]
fn secrets_in_a_link_are_not_repeated_as_the_reason() {
    let refused = OpenLink::parse("cove://up?repo=https://me:s3cret@git.example/x").unwrap_err();
    assert!(!refused.why.contains("s3cret"), "{refused:?}");
}

fn file(text: &str) -> Result<OpenLink, String> {
    OpenLink::from_file(text.as_bytes(), Utf8Path::new("/src/team")).map_err(|error| {
        let problem = error.problem(Utf8Path::new("/src/team/web.cove"));
        format!("{}: {}", problem.place.expect("it has a place"), error.why)
    })
}

#[test]
fn files_say_a_folder_or_a_repository() {
    for (text, meant) in [
        (r#"{ "path": "/src/web" }"#, OpenLink::Folder("/src/web".into())),
        (r#"{ "path": "web" }"#, OpenLink::Folder("/src/team/web".into())),
        (r#"{ "path": "." }"#, OpenLink::Folder("/src/team/.".into())),
        (r#"{ "repo": "https://git.example/x" }"#, clone_of("https://git.example/x")),
        (r#"{ "repo": "https://git.example/x", "branch": "v1" }"#, clone_of("https://git.example/x#v1")),
    ] {
        assert_eq!(file(text), Ok(meant), "{text}");
    }
}

#[test]
fn a_file_is_refused_at_its_place() {
    for (text, wrong) in [
        ("", "/src/team/web.cove:1:1: EOF"),
        ("{\n  \"path\": \"web\",\n  \"start\": true\n}", "/src/team/web.cove:3:9: unknown field `start`"),
        ("{\n  \"path\": 7 }", "/src/team/web.cove:2:11: invalid type: integer `7`"),
        ("{ \"path\": \"\" }", "/src/team/web.cove:1:3: its `path` is empty"),
        ("{ \"path\": \"~/web\" }", "`~` is known to shells alone"),
        ("{ \"pfad\": \"web\" }", "unknown field `pfad`"),
        ("{ \"path\": \"web\", \"path\": \"x\" }", "duplicate field `path`"),
        (
            "{ \"path\": \"web\", \"repo\": \"https://git.example/x\" }",
            "web.cove:1:18: it has both `path` and `repo`",
        ),
        ("{ \"path\": \"web\", \"branch\": \"v1\" }", "`branch` goes with `repo`"),
        ("{ \"branch\": \"v1\" }", "neither `path` nor `repo`"),
        ("{}", "neither `path` nor `repo`"),
        ("{ \"repo\": \"ext::sh\" }", "/src/team/web.cove:1:3: `ext::sh` is no repository"),
        ("{ \"repo\": \"https://git.example/x\", \"branch\": \"-x\" }", "no name of a branch"),
        ("{ \"repo\": \"https://git.example/x#a\", \"branch\": \"b\" }", "two branches"),
        ("{ \"path\": \"web\" } trailing", "trailing characters"),
        ("[1]", "invalid"),
    ] {
        let Err(refused) = file(text) else { panic!("{text} was taken") };
        assert!(refused.contains(wrong), "{text}: {refused}");
    }
    let long = format!("{{ \"path\": \"{}\" }}", "x".repeat(LONGEST_COVE_FILE));
    assert!(file(&long).unwrap_err().contains("more than"));
}

proptest! {
    #[test]
    fn what_is_read_from_anything_can_be_shown_and_read_again(text in "(cove://(open|up)[?](path|repo)=)?\\PC{0,80}") {
        if let Ok(read) = OpenLink::parse(&text) {
            prop_assert_eq!(OpenLink::parse(&read.to_string()), Ok(read));
        }
    }

    #[test]
    fn every_folder_has_a_link(parts in prop::collection::vec("[^/\\pC\\p{Zl}\\p{Zp}]{1,12}", 1..5)) {
        let path: Utf8PathBuf = format!("/{}", parts.join("/")).into();
        let link = OpenLink::Folder(path.components().collect());
        if !parts.iter().any(|part| part == "..") && parts[0] != "net" && parts[0] != "Network" {
            prop_assert_eq!(OpenLink::parse(&link.to_string()), Ok(link));
        }
    }

    #[test]
    fn any_bytes_are_no_file_or_one(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(refused) = OpenLink::from_file(&bytes, Utf8Path::new("/src")) {
            prop_assert!(refused.line >= 1 && refused.column >= 1);
            prop_assert!(!refused.to_string().contains(char::is_control));
        }
    }
}
