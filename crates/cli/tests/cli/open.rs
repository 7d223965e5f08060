//! `cove open`. The editors are programs of a few lines that write down what they were told: no editor can run here.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fake::{Act, Fake, Ran, environment, running};

/// Puts an editor into a folder of its own.
fn editor(fake: &Fake, name: &str) -> PathBuf {
    let folder = fake.folder("bin");
    let told = fake.home.path().join("told");
    let script = format!(
        "#!/bin/sh\nfor word in \"$0\" \"$@\"; do echo \"${{word##*/bin/}}\"; done >> '{}'\n",
        told.display()
    );
    test_support::put_program(folder.join(name), &script);
    folder
}

fn told(fake: &Fake) -> String {
    std::fs::read_to_string(fake.home.path().join("told")).unwrap_or_default()
}

/// `cove` that finds the editors of that folder, and the shell that they are written in.
fn open(fake: &Fake, folder: &Path, words: &[&str]) -> Ran {
    let mut command = fake.cove(&[&["open"], words].concat());
    command
        .env("PATH", format!("{}:/bin", folder.display()))
        .env("XDG_CONFIG_HOME", fake.home.path().join("config"));
    Ran::of(command, fake.home.path())
}

#[test]
fn an_editor_of_vs_codes_kin_attaches_to_the_container_and_is_told_of_it_first() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let folder = editor(&fake, "code");
    let ran = open(&fake, &folder, &["web"]);
    assert_eq!(ran.status, Some(0), "{}", ran.all());
    let hex = "7b22636f6e7461696e65724e616d65223a222f7765622d6170702d31222c2273657474696e6773223a7b22636f6e74657874223a22636f7665227d7d";
    let uri = format!("vscode-remote://attached-container+{hex}/workspaces/web");
    assert_eq!(told(&fake), format!("code\n--folder-uri\n{uri}\n"));
    let context = fake.home.path().join(".docker/contexts/meta");
    assert_eq!(std::fs::read_dir(context).unwrap().count(), 1, "the docker context is there");
}

#[test]
fn extensions_and_settings_are_there_before_the_editor_is_and_follow_the_configuration() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let folder = editor(&fake, "code");
    let file = fake
        .home
        .path()
        .join("config/Code/User/globalStorage/ms-vscode-remote.remote-containers/nameConfigs/web-app-1.json");
    // What the editor sees at its start.
    let seen = fake.home.path().join("seen.json");
    let script = format!("#!/bin/sh\ncp '{}' '{}'\n", file.display(), seen.display());
    std::fs::write(folder.join("code"), script).unwrap();
    let open = || {
        let ran = open(&fake, &folder, &["web"]);
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{}", ran.all());
        let seen: Value = serde_json::from_slice(&std::fs::read(&seen).unwrap()).unwrap();
        std::fs::remove_file(fake.home.path().join("seen.json")).unwrap();
        seen
    };
    let feature = json!({"extensions": ["of.feature"], "settings": {"a": 1}});
    fake.customize(&[feature.clone(), json!({"extensions": ["of.config"], "settings": {"b": 1}})]);
    let expected = json!({
        "workspaceFolder": "/workspaces/web", "remoteUser": "vscode",
        "extensions": ["of.feature", "of.config"], "settings": {"a": 1, "b": 1},
    });
    assert_eq!(open(), expected);
    // The configuration changes, and the container is the same.
    fake.customize(&[feature, json!({"extensions": ["-of.feature", "other"], "settings": {"b": 2}})]);
    let now = open();
    assert_eq!(
        (&now["extensions"], &now["settings"]),
        (&json!(["other"]), &json!({"a": 1, "b": 2})),
        "{now}"
    );
}

#[test]
fn an_editor_that_cannot_be_told_of_extensions_opens_all_the_same() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let folder = editor(&fake, "code");
    let file = fake
        .home
        .path()
        .join("config/Code/User/globalStorage/ms-vscode-remote.remote-containers/nameConfigs/web-app-1.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "{ // mine\n").unwrap();
    let ran = open(&fake, &folder, &["web"]);
    assert!(
        ran.err.contains("VS Code could not be told the configuration's extensions and settings"),
        "{}",
        ran.all()
    );
    assert_eq!((ran.status, told(&fake).lines().next()), (Some(0), Some("code")));
}

/// Without a terminal of its own, as from a menu.
#[test]
fn a_terminal_opens_in_a_window_of_its_own_where_there_is_none() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let folder = editor(&fake, "xterm");
    let ran = open(&fake, &folder, &["web", "--editor", "terminal"]);
    assert_eq!(ran.status, Some(0), "{}", ran.all());
    let own = std::fs::canonicalize(env!("CARGO_BIN_EXE_cove")).unwrap();
    assert_eq!(told(&fake), format!("xterm\n-e\n{}\nshell\nweb\n", own.display()));
    // One that wants its options ended otherwise comes before it.
    std::fs::remove_file(fake.home.path().join("told")).unwrap();
    editor(&fake, "gnome-terminal");
    assert_eq!(open(&fake, &folder, &["web"]).status, Some(0));
    assert!(told(&fake).starts_with("gnome-terminal\n--\n"), "{}", told(&fake));
    let none = fake.folder("none");
    insta::assert_snapshot!(open(&fake, &none, &["web", "--editor", "terminal"]).all(), @r"
    --- stderr
    error[E0011]: there is no terminal here, and no program that opens one
    hint: in a terminal
          cove shell web
    see: cove explain E0011
    --- status 1
    ");
}

#[test]
fn others_come_by_ssh_once_that_leads_there_and_the_last_one_is_remembered() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    editor(&fake, "code");
    let folder = editor(&fake, "zed");
    let ran = open(&fake, &folder, &["web", "--editor", "zed"]);
    insta::assert_snapshot!(ran.all(), @r"
    --- stderr
    error[E0010]: the editor comes by ssh, and `HOME/.ssh/config` does not lead there yet
    hint: let it
          cove ssh-config install
    see: cove explain E0010
    --- status 1
    ");
    assert_eq!(fake.run(&["ssh-config", "install", "--yes"]).status, Some(0));
    // Somebody puts something in front of it.
    let config = fake.home.path().join(".ssh/config");
    let installed = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("Host *\n  ProxyCommand elsewhere %h\nMatch all\n{installed}")).unwrap();
    insta::assert_snapshot!(open(&fake, &folder, &["web"]).all(), @r"
    --- stderr
    error[E0010]: the editor comes by ssh, and `HOME/.ssh/config` does not lead there yet
    hint: let it
          cove ssh-config install
    see: cove explain E0010
    --- status 1
    ");
    std::fs::write(&config, format!("ProxyCommand elsewhere %h\n{installed}")).unwrap();
    insta::assert_snapshot!(open(&fake, &folder, &["web"]).all(), @r"
    --- stderr
    error[E0010]: the editor comes by ssh, and something in `HOME/.ssh/config` comes before what leads there
      caused by: proxycommand is elsewhere %h
    hint: let Cove's line be the first of the file
          cove ssh-config install
    see: cove explain E0010
    --- status 1
    ");
    assert_eq!(fake.run(&["ssh-config", "install"]).status, Some(0), "it was agreed to before");
    let ran = open(&fake, &folder, &["web"]);
    assert_eq!(
        (ran.status, told(&fake).as_str()),
        (Some(0), "zed\nssh://web.cove/workspaces/web\n"),
        "{}",
        ran.all()
    );
}

#[test]
fn an_address_can_be_had_without_any_editor_and_nothing_is_done() {
    let fake = Fake::start(vec![running("web", "/srv/web"), environment("new", "/srv/new")], Vec::new());
    let folder = fake.folder("none");
    let ran = open(&fake, &folder, &["web", "--editor", "jetbrains", "--print"]);
    insta::assert_snapshot!(ran.all(), @r"
    jetbrains-gateway://connect#type=ssh&host=web.cove&port=22&user=vscode&projectPath=%2Fworkspaces%2Fweb
    --- stderr
    --- status 0
    ");
    insta::assert_snapshot!(open(&fake, &folder, &["new", "--editor", "zed", "--print"]).all(), @r"
    --- stderr
    error[E0006]: `new` has no container yet
    hint: bring it up
          cove start new
    see: cove explain E0006
    --- status 1
    ");
    assert!(fake.requests().is_empty(), "{:?}", fake.requests());
    assert!(!fake.home.path().join("editor").exists() && !fake.home.path().join(".ssh").exists());
}

#[test]
fn what_is_not_there_is_said_with_what_to_install() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let folder = fake.folder("none");
    insta::assert_snapshot!(open(&fake, &folder, &["web"]).all(), @r"
    --- stderr
    error[E0011]: no editor was found that can open an environment
    hint: install VS Code, Cursor, Windsurf, Zed or JetBrains Gateway
    hint: or work in a terminal
          cove open --editor terminal
    see: cove explain E0011
    --- status 1
    ");
    insta::assert_snapshot!(open(&fake, &folder, &["web", "--editor", "cursor"]).all(), @r"
    --- stderr
    error[E0011]: Cursor was not found
    hint: install it, and put its command `cursor` into PATH
    hint: see what another program can be given
          cove open --editor cursor --print
    see: cove explain E0011
    --- status 1
    ");
}

#[test]
fn only_what_policies_allow_is_opened() {
    let mut web = running("web", "/srv/web");
    let limits = json!({ "editors": [
        { "policy": "base", "values": ["code", "cursor", "zed"] }, { "policy": "team", "values": ["cursor"] },
    ] });
    web.status.limits = Some(serde_json::from_value(limits).unwrap());
    let fake = Fake::start(vec![web], Vec::new());
    let folder = editor(&fake, "code");
    let named = ["web", "--editor", "code"];
    let refused = open(&fake, &folder, &named).all();
    insta::assert_snapshot!(refused, @r"
    --- stderr
    error[E0507]: `web` is not opened in VS Code, says policy team
    hint: editors that are allowed: cursor
    hint: or work in a terminal
          cove shell web
    see: cove explain E0507
    --- status 1
    ");
    assert_eq!(open(&fake, &folder, &[&named[..], &["--print"]].concat()).all(), refused);
    insta::assert_snapshot!(open(&fake, &folder, &["web"]).all(), @r"
    --- stderr
    error[E0507]: no editor that was found may open `web`, say policies base, team
    hint: editors that are allowed: cursor
    hint: or work in a terminal
          cove shell web
    see: cove explain E0507
    --- status 1
    ");
    assert!(!fake.home.path().join("editor").exists(), "what was refused is not remembered");

    // One that is allowed comes before the one that was named last, for another environment.
    std::fs::write(fake.home.path().join("editor"), "code\n").unwrap();
    editor(&fake, "cursor");
    let ran = open(&fake, &folder, &["web"]);
    assert_eq!((ran.status, told(&fake).lines().next()), (Some(0), Some("cursor")), "{}", ran.all());
    // A terminal is no editor.
    let ran = open(&fake, &folder, &["web", "--editor", "terminal", "--print"]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), "cove shell web\n"), "{}", ran.all());
}

#[test]
fn an_editor_that_fails_is_told_of() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let folder = editor(&fake, "windsurf");
    std::fs::write(folder.join("windsurf"), "#!/bin/sh\necho 'no display' >&2\nexit 3\n").unwrap();
    insta::assert_snapshot!(open(&fake, &folder, &["web", "--editor", "windsurf"]).all(), @r"
    --- stderr
    error[E0011]: Windsurf could not be started
    hint: it said: no display
    see: cove explain E0011
    --- status 1
    ");
}

#[test]
fn an_editor_opens_in_a_container_that_runs_though_a_hook_failed() {
    let mut web = running("web", "/srv/web");
    web.status.phase = api::Phase::Stopped;
    let fake = Fake::start(vec![web], vec![Act::Change(crate::ssh::with_a_failed_hook)]);
    let folder = editor(&fake, "code");
    let ran = open(&fake, &folder, &["web"]);
    assert!(ran.err.contains("warning[E0205]: postStartCommand failed"), "{}", ran.all());
    assert_eq!((ran.status, told(&fake).lines().next()), (Some(0), Some("code")), "{}", ran.all());
}
