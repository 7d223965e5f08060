//! `cove secret`: what is asked of the daemon, and what people see.

use std::io::Write as _;
use std::process::Stdio;

use crate::fake::{Fake, Ran, running};

fn fake() -> Fake {
    Fake::start(vec![running("app", "/srv/app")], Vec::new())
}

/// Runs `cove` with something on its standard input.
fn given(fake: &Fake, input: &[u8], arguments: &[&str]) -> String {
    let mut command = fake.cove(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes).unwrap().replace(fake.home.path().to_str().unwrap(), "HOME")
    };
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }.all()
}

#[test]
fn a_value_comes_from_standard_input_and_goes_where_it_is_said() {
    let fake = fake();
    fake.folder("shop");
    let mut told = Vec::new();
    for (input, line) in [
        ("s3cret-value\n", "TOKEN"),
        ("abc", "TOKEN --env app"),
        ("line one\nline two\n", "KEY --as-file --project shop"),
        ("x-value\n", "KEY --project shop"),
        ("x-value\r\n", "OTHER --as-env API_KEY"),
        ("x-value\n", "CONF --as-file=/home/dev/.conf"),
    ] {
        let words: Vec<&str> = ["secret", "set"].into_iter().chain(line.split(' ')).collect();
        told.push(format!("$ {line}\n{}", given(&fake, input.as_bytes(), &words)));
    }
    insta::assert_snapshot!(told.join("\n"));
    let asked: Vec<String> = fake
        .requests()
        .into_iter()
        .map(|it| it.replace(std::fs::canonicalize(fake.home.path()).unwrap().to_str().unwrap(), "HOME"))
        .collect();
    insta::assert_snapshot!(asked.join("\n"));

    let list = fake.run(&["secret", "ls"]);
    // How long ago that is changes with the day.
    let lines: Vec<String> = list
        .out
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|it| !it.is_empty() && !it.ends_with(" ago"))
                .collect::<Vec<_>>()
                .join(" | ")
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
    assert!(!list.all().contains("s3cret-value"));
    assert_eq!(
        fake.run(&["secret", "rm", "TOKEN", "--env", "app"]).all(),
        "TOKEN is gone for the environment app\n--- stderr\n--- status 0"
    );
}

#[test]
fn what_is_no_value_is_refused_before_it_is_sent() {
    let fake = fake();
    let told = given(&fake, b"\xff\xfe", &["secret", "set", "KEY"]);
    assert!(told.contains("is not text (UTF-8)") && told.contains("base64"), "{told}");
    let both = fake.run(&["secret", "set", "KEY", "--env", "app", "--project", "."]);
    assert_eq!(both.status, Some(2), "{}", both.err);
    // A value is no argument.
    assert_eq!(fake.run(&["secret", "set", "KEY", "value"]).status, Some(2));
    assert!(fake.requests().is_empty());
}
