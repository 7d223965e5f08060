use api::SecretValue;

use super::*;

fn id() -> EnvironmentId {
    EnvironmentId("aa11".into())
}

/// `user`, `env`, or the folder of a project.
fn scope(text: &str) -> SecretScope {
    match text {
        "user" => SecretScope::User,
        "env" => SecretScope::Environment { id: id() },
        "other" => SecretScope::Environment { id: EnvironmentId("bb22".into()) },
        folder => SecretScope::Project { folder: folder.into() },
    }
}

/// `$NAME` for a variable, else a path; nothing for what is usual.
fn target(text: &str) -> Option<SecretTarget> {
    match text.strip_prefix('$') {
        _ if text.is_empty() => None,
        Some(name) => Some(SecretTarget::Variable { name: name.into() }),
        None => Some(SecretTarget::File { path: text.into() }),
    }
}

fn wish(name: &str, of: &str, to: &str, value: Option<&str>) -> SecretWish {
    let value = value.map(|value| SecretValue(value.to_owned()));
    SecretWish { name: name.into(), scope: scope(of), value, target: target(to) }
}

fn second(number: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + number).unwrap()
}

fn book(entries: &[(&str, &str, &str, &str)]) -> Book {
    let mut book = Book::default();
    for (now, (name, of, to, value)) in (0..).zip(entries) {
        book.carry_out(&wish(name, of, to, Some(value)), second(now)).unwrap();
    }
    book
}

/// What the environment in `/srv/shop/api` gets, in one line.
fn got(book: &Book) -> String {
    let given = book.resolve(&id(), Utf8Path::new("/srv/shop/api"));
    let variables = given.secrets.variables().iter().map(|(name, value)| format!("${name}={value}"));
    let files = given.files.iter().map(|(path, name)| format!("{path}={}", given.values[name]));
    variables.chain(files).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_narrowest_scope_counts() {
    for (entries, expected) in [
        (&[][..], ""),
        (&[("A", "user", "", "u")], "$A=u"),
        (&[("A", "user", "", "u"), ("A", "/srv/shop", "", "p")], "$A=p"),
        (&[("A", "user", "", "u"), ("A", "/srv/shop", "", "p"), ("A", "env", "", "e")], "$A=e"),
        (&[("A", "/srv/shop/api", "", "near"), ("A", "/srv", "", "far")], "$A=near"),
        (&[("A", "user", "", "u"), ("A", "/srv/other", "", "p"), ("A", "other", "", "e")], "$A=u"),
        // A name is one secret wherever it goes, and a place holds one.
        (&[("A", "user", "", "u"), ("A", "env", "/run/secrets/A", "e")], "/run/secrets/A=e"),
        (&[("A", "user", "$TOKEN", "a"), ("B", "/srv", "$TOKEN", "b")], "$TOKEN=b"),
        (
            &[("A", "user", "", "a"), ("B", "user", "/x/b", "b"), ("C", "env", "$CC", "c")],
            "$A=a $CC=c /x/b=b",
        ),
    ] {
        assert_eq!(got(&book(entries)), expected, "{entries:?}");
    }
}

#[test]
fn a_list_for_one_environment_tells_by_what_each_is_hidden() {
    let book = book(&[
        ("A", "user", "", "u"),
        ("A", "/srv/shop", "", "p"),
        ("A", "env", "", "e"),
        ("B", "user", "", "abcd"),
        ("C", "other", "", "c"),
    ]);
    let told = |list: Vec<SecretStatus>| {
        let line = |it: SecretStatus| {
            let hidden = it.yields_to.map(|by| format!(" hidden {}", words(&by))).unwrap_or_default();
            format!("{} {}{}{hidden}", it.name, words(&it.scope), if it.masked { "" } else { " short" })
        };
        list.into_iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        told(book.list(Some((&id(), Utf8Path::new("/srv/shop/api"))))),
        [
            "A for all environments short hidden for the environment aa11",
            "B for all environments",
            "A for the project `/srv/shop` short hidden for the environment aa11",
            "A for the environment aa11 short",
        ]
    );
    assert_eq!(book.list(None).len(), 5);
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let long = "x".repeat(MOST_SECRET_BYTES + 1);
    let mut book = book(&[("A", "user", "", "u"), ("F", "user", "/run/secrets/f", "u")]);
    let before = book.list(None);
    for (name, to, value, expected) in [
        ("1A", "", "v", "cannot be the name of a secret"),
        ("A-B", "", "v", "cannot be the name of a secret"),
        ("", "", "v", "cannot be the name of a secret"),
        ("B", "", "", "is empty"),
        ("B", "", "a\0b", "zero byte"),
        ("B", "", &long, "longer than 64 KiB"),
        ("B", "$A", "v", "`A` goes to the same place"),
        ("B", "/run/secrets/f", "v", "`F` goes to the same place"),
        ("B", "$A=B", "v", "cannot be the name of a variable"),
        ("B", "relative", "v", "cannot be the path"),
        ("B", "/", "v", "cannot be the path"),
        ("B", "/a/../b", "v", "cannot be the path"),
        ("B", "/a//b", "v", "cannot be the path"),
        ("B", "/proc/self/environ", "v", "cannot be the path"),
        ("B", "/dev/cove/bin/x", "v", "cannot be the path"),
        ("B", "/run/secrets", "v", "cannot be the path"),
    ] {
        let problem = book.carry_out(&wish(name, "user", to, Some(value)), second(9)).unwrap_err();
        assert!(problem.title.contains(expected), "{name} {to}: {problem}");
        assert!(!problem.title.contains(&long));
    }
    let problem = book.carry_out(&wish("A", "env", "", None), second(9)).unwrap_err();
    assert_eq!(problem.title, "there is no secret `A` for the environment aa11");
    assert_eq!(problem.hints[0].text, "there is one for all environments");
    assert_eq!(book.list(None), before);
}

#[test]
fn a_value_that_is_gone_is_still_taken_out_of_what_is_printed() {
    let mut book = book(&[("A", "user", "", "first-value"), ("B", "env", "", "of-b-alone")]);
    let masks = |book: &Book| {
        let secrets = book.resolve(&id(), Utf8Path::new("/srv")).secrets;
        secrets.masks().apply("first-value second-value of-b-alone").into_owned()
    };
    let version = |book: &Book| book.resolve(&id(), Utf8Path::new("/srv")).versions["A"].clone();
    let first = version(&book);
    book.carry_out(&wish("A", "user", "", Some("first-value")), second(5)).unwrap();
    assert_eq!(version(&book), first, "the same value is no change");
    book.carry_out(&wish("A", "user", "", Some("second-value")), second(6)).unwrap();
    assert_ne!(version(&book), first);
    book.carry_out(&wish("B", "env", "", None), second(7)).unwrap();
    assert_eq!(masks(&book), "******** ******** ********");
    // After a month it may be anything; and with an environment all that was its own goes.
    let month = second(31 * 24 * 3600);
    book.carry_out(&wish("A", "user", "", Some("third-value")), month).unwrap();
    assert_eq!(masks(&book), "first-value ******** of-b-alone");
    assert!(!book.forget(&id()));
}

#[test]
fn of_former_values_the_oldest_go_when_they_are_too_long() {
    let mut book = Book::default();
    for number in 0..8 {
        let value = format!("{number}{}", "v".repeat(60 << 10));
        book.carry_out(&wish("A", "user", "", Some(&value)), second(number)).unwrap();
    }
    let first: String = book.former.iter().map(|it| &it.value[..1]).collect();
    assert_eq!(first, "3456");
}

#[test]
fn what_came_with_up_is_replaced_by_the_next_such_file() {
    let given = |pairs: &[(&str, &str)]| {
        Secrets(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    };
    let mut book = book(&[("KEPT", "env", "", "kept"), ("A", "user", "", "users")]);
    assert!(book.give(&id(), &given(&[("A", "a"), ("B", "b")]), second(5)));
    assert_eq!(got(&book), "$A=a $B=b $KEPT=kept");
    assert!(!book.give(&id(), &given(&[("A", "a"), ("B", "b")]), second(6)), "the same once more");
    assert!(book.give(&id(), &given(&[("B", "c")]), second(7)));
    assert_eq!(got(&book), "$A=users $B=c $KEPT=kept");
    assert!(book.give(&id(), &Secrets::default(), second(8)));
    assert_eq!(got(&book), "$A=users $KEPT=kept");
    assert!(book.prune([].into_iter()));
    assert_eq!(got(&book), "$A=users");
}

#[test]
fn what_a_task_left_is_known_for_that_run_of_it() {
    let mut book = Book::default();
    let outputs = BTreeMap::from([("url".to_owned(), "http://s3cret".to_owned())]);
    assert!(book.keep_outputs(&id(), "tasks/seed", "one", &outputs));
    assert!(!book.keep_outputs(&id(), "tasks/seed", "one", &outputs));
    assert_eq!(book.outputs(&id(), "tasks/seed", "one"), Some(&outputs));
    assert_eq!(book.outputs(&id(), "tasks/seed", "two"), None);
}
