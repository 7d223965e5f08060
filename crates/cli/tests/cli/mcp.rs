//! `cove mcp` as an agent's program meets it: lines of JSON-RPC on its standard input and output.

mod agent;
mod real;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use api::{Consent, ConsentKind, EventKind, Phase, Problem, ProblemCode, StepKind};
use serde_json::{Value, json};

use crate::fake::{Act, Fake, environment, running};
use agent::{Agent, is_error, text};

fn fake() -> Fake {
    Fake::start(vec![running("web", "/srv/web"), running("secret", "/srv/secret")], Vec::new())
}

fn sh(script: &str) -> Value {
    json!({ "argv": ["sh", "-c", script] })
}

#[test]
fn it_introduces_itself_and_its_tools() {
    let fake = fake();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let hello = &agent.hello;
    assert_eq!(hello["serverInfo"]["name"], "cove");
    assert!(hello["instructions"].as_str().unwrap().contains("environment `web`"), "{hello}");
    let listed = agent.ask("tools/list", json!({}));
    insta::assert_json_snapshot!(listed["tools"]);
    assert_eq!(agent.ask("ping", json!({})), json!({}));
    agent.end();
}

#[test]
fn a_program_gives_status_and_both_outputs_and_reads_its_input() {
    let fake = fake();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let result = agent.call(
        "exec",
        json!({
            "argv": ["sh", "-c", "cat; echo $WHO in $PWD >&2; exit 3"], "stdin": "given\n", "cwd": "/tmp",
            "env": {"WHO": "ada"}
        }),
    );
    assert_eq!(text(&result), "exit code 3\n--- stdout\ngiven\n--- stderr\nada in /tmp");
    let data = &result["structuredContent"];
    assert_eq!((&data["exit_code"], &data["stdout"]), (&json!(3), &json!("given\n")));
    assert!(!is_error(&result), "the tool did what it was asked for");
    agent.end();
}

#[test]
fn long_output_keeps_its_ends() {
    let fake = fake();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let result =
        agent.call("exec", sh("echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"));
    let data = &result["structuredContent"];
    let out = data["stdout"].as_str().unwrap();
    assert!(out.starts_with("first\nx") && out.ends_with("x\nlast\n"), "both ends are there");
    assert!(out.len() < 140_000, "{} bytes", out.len());
    assert_eq!(data["left_out"]["stdout"], json!(3_000_012 - 2 * 64 * 1024));
    assert!(out.contains("bytes left out"));
    agent.end();
}

/// A program that writes its process id and then waits longer than any test.
fn waiting(folder: &Path) -> Value {
    sh(&format!("echo $$ > {0}/new && mv {0}/new {0}/pid; exec sleep 600", folder.display()))
}

fn pid(folder: &Path) -> rustix::process::Pid {
    let text = agent::soon(|| std::fs::read_to_string(folder.join("pid")).ok());
    rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

fn until_gone(pid: rustix::process::Pid) {
    agent::soon(|| rustix::process::test_kill_process(pid).err());
}

#[test]
fn a_program_ends_with_its_call() {
    let fake = fake();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let id = agent.begin("exec", waiting(&fake.folder("cancelled")));
    let cancelled = pid(&fake.folder("cancelled"));
    agent.tell("notifications/cancelled", json!({ "requestId": id }));
    until_gone(cancelled);

    let mut late = waiting(&fake.folder("late"));
    late["timeout_seconds"] = json!(1);
    let result = agent.call("exec", late);
    assert_eq!(text(&result), "ended: it ran longer than 1 s (`timeout_seconds`)");
    assert_eq!(result["structuredContent"]["timed_out"], json!(true));
    until_gone(pid(&fake.folder("late")));

    agent.begin("exec", waiting(&fake.folder("left")));
    let left = pid(&fake.folder("left"));
    agent.end();
    until_gone(left);
}

#[test]
fn no_name_of_a_file_is_taken_for_something_else() {
    let fake = fake();
    let folder = fake.folder("odd");
    let names: [&[u8]; 8] =
        [b"-n", b"*", b"new\nline", b"$(touch x)", b"; exit 1", b".hidden", b"\xff", b"a 'b' \"c\""];
    for name in names {
        std::fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    std::fs::create_dir(folder.join("-d")).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.join("link")).unwrap();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let result = agent.call("list", json!({ "path": folder }));
    let mut entries: Vec<_> = result["structuredContent"]["entries"].as_array().unwrap().clone();
    entries.sort_by_key(|entry| entry["name"].to_string());
    let entries: Vec<_> =
        entries.iter().map(|entry| format!("{} {}", entry["kind"], entry["name"])).collect();
    insta::assert_snapshot!(entries.join("\n"));
    assert!(text(&result).contains("file   new\\nline\n"), "one line each: {}", text(&result));
    for name in names.iter().filter_map(|name| std::str::from_utf8(name).ok()) {
        let result = agent.call("read", json!({ "path": folder.join(name) }));
        assert_eq!(result["structuredContent"]["content"], json!(name), "{name:?}: {result}");
    }
    agent.end();
}

#[test]
fn files_are_read_in_pieces_and_what_is_none_is_said() {
    let fake = fake();
    let folder = fake.folder("files");
    std::fs::write(folder.join("text"), "häuser\n".repeat(2000)).unwrap();
    std::fs::write(folder.join("binary"), b"\x7fELF\0\0").unwrap();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let (mut whole, mut offset) = (String::new(), json!(0));
    while !offset.is_null() {
        // A letter lies across some of the cuts.
        let wish = json!({ "path": folder.join("text"), "offset": offset, "length": 1001 });
        let result = agent.call("read", wish);
        whole.push_str(result["structuredContent"]["content"].as_str().unwrap());
        offset = result["structuredContent"]["next_offset"].clone();
    }
    assert!(whole == "häuser\n".repeat(2000), "{} bytes came", whole.len());
    let result = agent.call("read", json!({ "path": folder.join("binary") }));
    assert_eq!(result["structuredContent"], json!({ "binary": true, "size": 6 }));
    for (tool, path, words) in [
        ("read", "/", "is a folder"),
        ("read", "/nowhere", "is not in the environment"),
        ("read", "/dev/null", "is a device"),
        ("list", "/dev/null", "is no folder"),
        ("list", "", "is no path"),
    ] {
        let result = agent.call(tool, json!({ "path": path }));
        assert!(is_error(&result) && text(&result).contains(words), "{tool} {path}: {}", text(&result));
    }
    agent.end();
}

#[test]
fn only_its_own_environment_is_in_reach() {
    let fake = fake();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    for (tool, arguments) in [
        ("environment", json!({ "environment": "secret" })),
        ("exec", json!({ "argv": ["sh"], "environment": "secret" })),
        ("exec", json!({ "argv": ["sh"], "user": "root" })),
        ("logs", json!({ "id": "secret-id" })),
    ] {
        let result = agent.call(tool, arguments);
        assert!(is_error(&result) && text(&result).contains("unknown field"), "{tool}: {}", text(&result));
    }
    let error = agent.refused("tools/call", json!({ "name": "stop", "arguments": {} }));
    assert_eq!(error["message"], "there is no tool `stop`");
    for tool in ["environment", "ports", "logs"] {
        let result = agent.call(tool, json!({})).to_string();
        assert!(!result.contains("secret"), "{result}");
    }
    agent.end();
}

#[test]
fn how_it_stands_is_told_with_what_changed() {
    let fake = fake();
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let result = agent.call("environment", json!({}));
    let told = text(&result);
    assert!(told.contains("running") && told.contains("cove up --rebuild"), "{told}");
    assert_eq!(result["structuredContent"]["changes"][0]["property"], "image");
    let ports = agent.call("ports", json!({}));
    assert_eq!(ports["structuredContent"]["ports"].as_array().unwrap().len(), 3);
    assert!(text(&ports).contains("localhost:15432"), "{}", text(&ports));
    let logs = agent.call("logs", json!({ "lines": 5 }));
    assert_eq!(text(&logs), "asked follow=false&tail=5\nstderr: careful\n");
    agent.end();
}

#[test]
fn a_problem_is_an_error_of_the_tool_with_what_to_do() {
    let mut stopped = environment("web", "/srv/web");
    stopped.status.phase = Phase::Stopped;
    let fake = Fake::start(vec![stopped], Vec::new());
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    assert_eq!(agent.call("environment", json!({}))["structuredContent"]["phase"], "stopped");
    let result = agent.call("exec", json!({ "argv": ["refused"] }));
    assert!(is_error(&result));
    insta::assert_snapshot!(text(&result), @r"
    error[E0006]: `web` is not running
    hint: the tool `up` starts it
    see: cove explain E0006
    ");
    assert_eq!(result["structuredContent"]["problem"]["code"], "E0006");
    assert!(is_error(&agent.call("exec", json!({ "argv": [] }))));
    agent.end();
}

#[test]
fn up_tells_its_way_and_leaves_consent_to_a_person() {
    let fake = Fake::start(
        vec![environment("web", "/srv/web")],
        vec![
            Act::Tell(EventKind::StepStarted {
                step: StepKind::PrepareImage,
                detail: "python:3.13".to_owned(),
            }),
            Act::Change(|environment| {
                environment.status = running("web", "/srv/web").status;
                let mut warning = Problem::new(ProblemCode::ConsentNeeded, "a mount was left out");
                let text = "/home/ada/.ssh".to_owned();
                warning.consents =
                    vec![Consent { kind: ConsentKind::HostMount, text, digest: "d1".to_owned() }];
                environment.status.warnings = vec![warning];
            }),
        ],
    );
    let mut agent = Agent::of(fake.cove(&["mcp", "web"]));
    let result =
        agent.ask("tools/call", json!({ "name": "up", "arguments": {}, "_meta": { "progressToken": "p1" } }));
    assert!(!is_error(&result), "{}", text(&result));
    assert!(text(&result).ends_with("cove up --trust /srv/web\n"), "{}", text(&result));
    assert_eq!(
        result["structuredContent"]["needs_consent"],
        json!([{ "kind": "host_mount", "text": "/home/ada/.ssh" }])
    );
    let asked = fake.requests();
    assert_eq!(
        asked,
        [r#"UP {"folder":"/srv/web","rebuild":false,"unasked":"leave_out"}"#],
        "once, and without consent"
    );
    let told: Vec<_> = agent.notes.iter().filter(|note| note["method"] == "notifications/progress").collect();
    let words = told[0]["params"]["message"].as_str().unwrap();
    assert!(words.ends_with("Preparing the image: python:3.13"), "{words}");
    assert_eq!(told[0]["params"]["progressToken"], "p1");
    agent.end();
}

#[test]
fn without_an_environment_it_says_so_and_ends() {
    let ran = fake().run(&["mcp", "none"]);
    assert_eq!((ran.out.as_str(), ran.status), ("", Some(1)), "no word on the protocol's stream");
    assert!(ran.err.contains("there is no environment `none`"), "{}", ran.err);
}
