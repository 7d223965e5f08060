use proptest::prelude::*;
use serde_json::json;

use super::*;

const FILE: &str = "# Ada's computer\n\nshares = [\n  \"~/src\", # work\n  \"/srv\",  # big disk\n]\n\
                    \n# Enough for everything.\n[machine] # the one\n  cpus    = 4   # of eight\n\n  # idle = \"2h\"\n\
                    [names]\nhttp_port = 80\n\n# The end.\n";

fn changed(text: &str, key: &str, value: Value) -> String {
    set(text, key, (!value.is_null()).then_some(&value)).unwrap()
}

#[test]
fn a_value_is_changed_where_it_stands() {
    assert_eq!(changed(FILE, "machine.cpus", json!(6)), FILE.replace("= 4 ", "= 6 "));
    assert_eq!(changed(FILE, "names.http_port", json!(7080)), FILE.replace("= 80\n", "= 7080\n"));
    let dotted = "machine.cpus = 4 # four\nmachine . memory_mib = 2048\n";
    assert_eq!(changed(dotted, "machine.cpus", json!(2)), dotted.replace("= 4", "= 2"));
    let inline = "machine = { cpus = 4, idle = '1h' } # small\n";
    assert_eq!(changed(inline, "machine.cpus", json!(2)), inline.replace("cpus = 4", "cpus = 2"));
    let quoted = "[\"machine\"]\n'cpus' = 4";
    assert_eq!(changed(quoted, "machine.cpus", json!(2)), "[\"machine\"]\n'cpus' = 2");
}

#[test]
fn a_new_key_comes_behind_its_kin() {
    let with = changed(FILE, "machine.idle", json!("1h"));
    assert_eq!(with, FILE.replace("# of eight\n", "# of eight\nidle = \"1h\"\n"));
    let with = changed(FILE, "back_up_machines", json!(true));
    assert_eq!(with, FILE.replace("]\n\n# Enough", "]\nback_up_machines = true\n\n# Enough"));
    let with = changed(FILE, "registries.offline", json!(false));
    assert_eq!(with, format!("{FILE}\n[registries]\noffline = false\n"));
    for (before, key, after) in [
        ("", "machine.cpus", "[machine]\ncpus = 1\n"),
        ("", "cpus", "cpus = 1\n"),
        ("# mine", "cpus", "# mine\ncpus = 1\n"),
        ("a = 2", "machine.cpus", "a = 2\n\n[machine]\ncpus = 1\n"),
        ("[a]\n", "a.cpus", "[a]\ncpus = 1\n"),
        ("[a]", "a.cpus", "[a]\ncpus = 1\n"),
        ("a.b = 2\n[c]\n", "a.cpus", "a.b = 2\na.cpus = 1\n[c]\n"),
        ("# Ada's\n\n# of a\n[a]\nb = 2\n", "cpus", "# Ada's\n\ncpus = 1\n\n# of a\n[a]\nb = 2\n"),
        ("a = { b = 2 }\n", "a.cpus", "a = { b = 2, cpus = 1 }\n"),
        ("a = {}\n", "a.cpus", "a = { cpus = 1 }\n"),
        ("[a]\r\nb = 2\r\n", "a.cpus", "[a]\r\nb = 2\r\ncpus = 1\r\n"),
        ("[a]\r\nb = 2\r\n", "c.cpus", "[a]\r\nb = 2\r\n\r\n[c]\r\ncpus = 1\r\n"),
    ] {
        assert_eq!(changed(before, key, json!(1)), after, "{before:?}");
    }
}

#[test]
fn a_key_that_goes_takes_its_line_and_an_empty_table() {
    let without = changed(FILE, "names.http_port", Value::Null);
    assert_eq!(without, FILE.replace("[names]\nhttp_port = 80\n", ""));
    let without = changed(FILE, "shares", Value::Null);
    assert!(without.starts_with("# Ada's computer\n\n\n# Enough"), "{without}");
    assert_eq!(changed(FILE, "machine.idle", Value::Null), FILE, "a comment says nothing");
    assert_eq!(changed(FILE, "dotfiles.repository", Value::Null), FILE);
    assert_eq!(changed("a = { b = 1 } # x\nc = 2\n", "a.b", Value::Null), "c = 2\n");
    assert_eq!(changed("a = { b = 1, c = 2 }\n", "a.b", Value::Null), "a = { c = 2 }\n");
    assert_eq!(changed("a.b = 1\na.c = 2\n", "a.c", Value::Null), "a.b = 1\n");
}

#[test]
fn a_list_keeps_the_comments_of_what_stays() {
    let with = changed(FILE, "shares", json!(["~/src", "/srv", "/new", "/more"]));
    let new = FILE.replace("# big disk\n]", "# big disk\n  \"/new\",\n  \"/more\",\n]");
    assert_eq!(with, new);
    let without = changed(FILE, "shares", json!(["/srv"]));
    assert!(without.contains("# work\n  \"/srv\",  # big disk\n]"), "{without}");
    let line = "shares = ['~/src'] # mine\n";
    assert_eq!(changed(line, "shares", json!(["~/src", "/x"])), "shares = ['~/src', \"/x\"] # mine\n");
    assert_eq!(changed(line, "shares", json!([])), "shares = [] # mine\n");
    let turned = changed(FILE, "shares", json!(["/srv", "~/src"]));
    assert!(turned.contains("shares = [\"/srv\", \"~/src\"]\n"), "{turned}");
}

#[test]
fn what_cannot_be_said_is_refused() {
    for value in [json!({"a": 1}), json!([1]), json!(1.5)] {
        assert!(matches!(set(FILE, "machine.cpus", Some(&value)), Err(EditError::Value)), "{value}");
    }
    assert!(matches!(set("machine = 1\n", "machine.cpus", Some(&json!(1))), Err(EditError::Form)));
    assert!(matches!(set("[[machine]]\n", "machine.cpus", Some(&json!(1))), Err(EditError::Form)));
    assert!(matches!(set("machine = [", "machine.cpus", None), Err(EditError::Parse(_))));
    let text = json!("\"\\\n\u{1b}ö");
    let written = changed("", "dotfiles.repository", text.clone());
    assert_eq!(says(&written).unwrap()["dotfiles"]["repository"], text);
}

/// A piece of a file as people write them.
fn piece(table: &'static str) -> impl Strategy<Value = String> {
    let comment = prop::sample::select(vec!["", "# c\n", "\n", "\n# c [x] = 1\n\n"]);
    let value = prop::sample::select(vec![
        "1",
        "'x'",
        "[ 'a', # 1\n 'b' ]",
        "\"\"\"\n[t]\n# no\n\"\"\"",
        "{ q = 1 }",
    ]);
    let form = prop::sample::select(vec![0, 1, 2]);
    (comment, value, form, any::<bool>()).prop_map(move |(comment, value, form, both)| match form {
        0 => format!("{comment}[{table}] # h\n  one = {value} # v\n{}", if both { "two=2\n" } else { "" }),
        1 => format!("{comment}[{table}]\n"),
        _ => String::new(),
    })
}

fn file() -> impl Strategy<Value = String> {
    let top = prop::sample::select(vec![
        "",
        "# top\n",
        "zero = 1\n",
        "# t\n\nzero = [\n 'a', # x\n]\n",
        "c.one = 1\n",
    ]);
    (top, piece("a"), piece("b"), any::<bool>()).prop_map(|(top, a, b, crlf)| {
        let text = format!("{top}{a}{b}");
        if crlf { text.replace('\n', "\r\n") } else { text }
    })
}

proptest! {
    /// Setting and taking out touch no line but those of the key, its table's header and what sets them apart.
    #[test]
    fn no_other_line_is_touched(text in file(), key in prop::sample::select(vec![
        "zero", "new", "a.one", "a.two", "a.new", "b.one", "c.one", "c.two", "d.one",
    ]), value in prop::sample::select(vec![json!(7), json!("t"), json!(["a", "z"]), json!(true)])) {
        let with = set(&text, key, Some(&value)).unwrap();
        prop_assert_eq!(set(&with, key, Some(&value)).unwrap(), with.clone(), "it is said already");
        let without = set(&with, key, None).unwrap();
        let comments = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('#')).count();
        prop_assert!(comments(&without) >= comments(&set(&text, key, None).unwrap()));
        prop_assert_eq!(says(&without).unwrap(), says(&set(&text, key, None).unwrap()).unwrap());
        prop_assert_eq!(with.contains("\r\n"), text.contains("\r\n"));
    }

    #[test]
    fn no_text_makes_it_fall(text in "\\PC{0,60}", key in "[a-c](\\.[a-c])?") {
        let _ = set(&text, &key, Some(&json!(1)));
        let _ = set(&text, &key, None);
    }
}
