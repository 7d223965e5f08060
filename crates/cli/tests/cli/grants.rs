//! `cove grant`, `cove revoke` and `cove audit`: what is asked of the daemon, and what people see.

use serde_json::{Value, json};

use crate::fake::{Fake, Ran, environment, running};

fn fake() -> Fake {
    Fake::start(vec![running("web", "/srv/web"), environment("new", "/srv/new")], Vec::new())
}

/// Runs `cove` in the surroundings of a person whose agents are known.
fn run(fake: &Fake, line: &str) -> Ran {
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = fake.cove(&words);
    command
        .env("PATH", "/usr/bin")
        .env("TZ", "UTC")
        .env("SSH_AUTH_SOCK", "/run/agent")
        .env("GNUPGHOME", "")
        .env("GH_TOKEN", "tok-of-a-person");
    Ran::of(command, fake.home.path())
}

#[test]
fn a_grant_is_for_a_time_and_brings_the_ways_to_agents_and_no_secret() {
    let fake = fake();
    let mut told = Vec::new();
    for line in
        ["grant web ssh-agent", "grant web git --host Git.Example.com --for 30m", "grant new gh --for 2d"]
    {
        told.push(format!("$ {line}\n{}", run(&fake, line).all()));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    $ grant web ssh-agent
    --- stderr
    `web` may use your ssh-agent for every host for 8 h 00 min.
    Take it back with `cove revoke web ssh-agent`; see each use with `cove audit web`.
    Shells and services that run already do not know of it; new ones do.
    --- status 0
    $ grant web git --host Git.Example.com --for 30m
    --- stderr
    `web` may use your git for git.example.com for 30 min 00 s.
    Take it back with `cove revoke web git`; see each use with `cove audit web`.
    --- status 0
    $ grant new gh --for 2d
    --- stderr
    `new` may use your gh for github.com for 2 d 0 h.
    Take it back with `cove revoke new gh`; see each use with `cove audit new`.
    --- status 0
    ");
    let bodies: Vec<Value> = fake
        .requests()
        .iter()
        .map(|asked| {
            serde_json::from_str(asked.split_once('{').map(|(_, body)| format!("{{{body}")).unwrap().as_str())
                .unwrap()
        })
        .collect();
    let home = fake.home.path().to_str().unwrap();
    let variables = json!({"HOME": home, "PATH": "/usr/bin", "SSH_AUTH_SOCK": "/run/agent"});
    assert_eq!(
        bodies,
        [
            json!({"kind": "ssh-agent", "variables": variables}),
            json!({"kind": "git", "host": "Git.Example.com", "seconds": 1800, "variables": variables}),
            json!({"kind": "gh", "seconds": 172_800, "variables": variables}),
        ]
    );
}

#[test]
fn what_cannot_be_granted_is_told_before_anything_is_asked() {
    let fake = fake();
    let mut told = Vec::new();
    for line in [
        "grant web git",
        "grant web signing --host github.com",
        "grant web gh --for 32d",
        "grant web ssh-agent --host a/b",
    ] {
        told.push(format!("$ {line}\n{}", run(&fake, line).all()));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    $ grant web git
    --- stderr
    error[E0002]: git is granted for one host; name it with --host
    see: cove explain E0002
    --- status 1
    $ grant web signing --host github.com
    --- stderr
    error[E0002]: signing is not granted for a host
    see: cove explain E0002
    --- status 1
    $ grant web gh --for 32d
    --- stderr
    error[E0002]: a grant holds for a second at least and for 31 days at most
    see: cove explain E0002
    --- status 1
    $ grant web ssh-agent --host a/b
    --- stderr
    error[E0002]: `a/b` is no host: write github.com, or git.example.com:8443
    see: cove explain E0002
    --- status 1
    ");
    for line in ["grant web passwords", "grant web gh --for soon", "grant web", "grant", "revoke web"] {
        assert_ne!(run(&fake, line).status, Some(0), "{line}");
    }
    assert!(fake.requests().is_empty(), "{:?}", fake.requests());
}

#[test]
fn what_is_granted_is_listed_and_taken_back() {
    let fake = fake();
    insta::assert_snapshot!(run(&fake, "grant ls").all(), @r"
    --- stderr
    Nothing is granted. No environment gets your credentials by itself.
    --- status 0
    ");
    for line in [
        "grant web git --host git.example.com --for 31d",
        "grant web gh --for 31d",
        "grant new signing --for 31d",
    ] {
        assert_eq!(run(&fake, line).status, Some(0), "{line}");
    }
    let mut told = Vec::new();
    for line in [
        "grant ls",
        "grant ls new",
        "revoke web git --host github.com",
        "revoke web git",
        "revoke web --all",
        "revoke web --all",
        "grant ls",
    ] {
        told.push(format!("$ {line}\n{}", run(&fake, line).all()));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    $ grant ls
    ENVIRONMENT  KIND     HOST             LEFT
    web          git      git.example.com  30 d 23 h
    web          gh       github.com       30 d 23 h
    new          signing  -                30 d 23 h
    --- stderr
    --- status 0
    $ grant ls new
    ENVIRONMENT  KIND     HOST  LEFT
    new          signing  -     30 d 23 h
    --- stderr
    --- status 0
    $ revoke web git --host github.com
    --- stderr
    Nothing of the kind was granted to `web`.
    --- status 0
    $ revoke web git
    --- stderr
    `web` may no longer use your git for git.example.com.
    --- status 0
    $ revoke web --all
    --- stderr
    `web` may no longer use your gh for github.com.
    --- status 0
    $ revoke web --all
    --- stderr
    Nothing of the kind was granted to `web`.
    --- status 0
    $ grant ls
    ENVIRONMENT  KIND     HOST  LEFT
    new          signing  -     30 d 23 h
    --- stderr
    --- status 0
    ");
    let asked: Vec<String> = fake.requests().into_iter().filter(|it| it.starts_with("REVOKE")).collect();
    assert_eq!(
        asked,
        [
            "REVOKE web-id Some(\"git\") Some(\"github.com\")",
            "REVOKE web-id Some(\"git\") None",
            "REVOKE web-id None None",
            "REVOKE web-id None None",
        ]
    );
    let listed = run(&fake, "grant ls --json");
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!((&listed[0]["environment"], &listed[0]["kind"]), (&json!("new"), &json!("signing")));
}

#[test]
fn the_audit_log_is_lines_for_people_and_for_programs() {
    let fake = fake();
    insta::assert_snapshot!(run(&fake, "audit").all(), @r"
    2026-01-01 00:00:00 web              granted git for git.example.com until 2026-01-01 08:00:00
    2026-01-01 00:00:00 web              used git for git.example.com: fetch
    2026-01-01 00:00:00 web              refused gh for github.com: a token: it is not granted
    2026-01-01 00:00:00 web              started make by an agent
    2026-01-01 00:00:00 -                started uname
    2026-01-01 00:00:00 web              opened an ssh connection
    --- stderr
    --- status 0
    ");
    insta::assert_snapshot!(run(&fake, "audit web").all(), @r"
    2026-01-01 00:00:00 web              granted git for git.example.com until 2026-01-01 08:00:00
    2026-01-01 00:00:00 web              used git for git.example.com: fetch
    2026-01-01 00:00:00 web              refused gh for github.com: a token: it is not granted
    2026-01-01 00:00:00 web              started make by an agent
    2026-01-01 00:00:00 web              opened an ssh connection
    --- stderr
    --- status 0
    ");
    let lines = run(&fake, "audit web --json").out;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!((lines.lines().count(), &first["event"]["type"]), (5, &json!("granted")));
}

#[test]
fn a_log_that_was_changed_is_a_failure() {
    let fake = fake();
    insta::assert_snapshot!(run(&fake, "audit verify").all(), @r"
    6 lines, 1 to 6, are whole. The last has the hash ab12.
    --- stderr
    --- status 0
    ");
    fake.break_audit_log();
    insta::assert_snapshot!(run(&fake, "audit verify").all(), @r"
    --- stderr
    error[E0012]: the audit log was changed: 00000001.jsonl:5: it does not follow from the line before it
    hint: the 4 lines before it are whole
    see: cove explain E0012
    --- status 1
    ");
    let told = run(&fake, "audit verify --json");
    let check: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.status, &check["broken"]["line"]), (Some(1), &json!(5)));
}
