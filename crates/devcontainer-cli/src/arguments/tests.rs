use super::*;

fn parsed(line: &str) -> Command {
    read(line.split_whitespace().map(OsString::from))
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .command
}

fn refused(line: &str) -> String {
    match read(line.split_whitespace().map(OsString::from)) {
        Ok(_) => panic!("{line}: accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_grammar_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn switches_take_words() {
    let Command::Up(up) = parsed(
        "up --mount-workspace-git-root false --remove-existing-container true --prebuild false --build-no-cache \
         --include-configuration=true --workspace-folder true",
    ) else {
        panic!("not up")
    };
    assert!(
        !up.mount_workspace_git_root && up.remove_existing_container && !up.prebuild && up.build_no_cache
    );
    assert!(up.include.include_configuration);
    assert_eq!(up.workspace_folder.as_deref().map(camino::Utf8Path::as_str), Some("true"));
}

#[test]
fn options_may_be_spelt_with_capitals() {
    let Command::Up(up) = parsed("up --workspaceFolder=/A --idLabel aB=1 --buildNoCache true") else {
        panic!("not up")
    };
    assert_eq!(up.workspace_folder.as_deref().map(camino::Utf8Path::as_str), Some("/A"));
    assert_eq!(up.id_label[0].name, "aB");
    assert!(up.build_no_cache);
    let Command::Exec(exec) = parsed("exec ls --likeThis") else { panic!("not exec") };
    assert_eq!(exec.command, ["ls", "--likeThis"]);
}

#[test]
fn exec_stops_reading_at_the_command() {
    let Command::Exec(exec) = parsed(
        "exec --mount-workspace-git-root --workspace-folder /w ls --prebuild true -l --workspace-folder x",
    ) else {
        panic!("not exec")
    };
    assert_eq!(exec.command, ["ls", "--prebuild", "true", "-l", "--workspace-folder", "x"]);
    assert_eq!(exec.lookup.workspace_folder.as_deref().map(camino::Utf8Path::as_str), Some("/w"));
    assert!(exec.lookup.mount_workspace_git_root);
}

#[test]
fn lists_collect_and_single_options_take_the_last() {
    let Command::Up(up) = parsed(
        "up --id-label a=1 --id-label b=2=3 --config one --config two --mount type=volume,source=v,target=/v",
    ) else {
        panic!("not up")
    };
    assert_eq!(up.id_label.len(), 2);
    assert_eq!((up.id_label[1].name.as_str(), up.id_label[1].value.as_str()), ("b", "2=3"));
    assert_eq!(up.config.as_deref().map(camino::Utf8Path::as_str), Some("two"));
    assert_eq!(up.mount[0].mount.to_string(), "type=volume,source=v,target=/v");
}

#[test]
fn what_the_reference_refuses_is_refused() {
    for (line, words) in [
        ("up --id-label a=", "id-label must match"),
        ("up --mount type=tmpfs,source=a,target=/b", "mount must match"),
        ("up --remote-env =x", "remote-env must match"),
        // Recorded from @devcontainers/cli 0.89.
        ("up --no-lockfile --frozen-lockfile", "--no-lockfile and --frozen-lockfile are mutually exclusive."),
        (
            "build --noLockfile --experimental-lockfile",
            "--no-lockfile and --experimental-lockfile are mutually exclusive.",
        ),
        ("up --terminal-rows 5", "Implications failed:\n terminal-rows -> terminal-columns"),
        ("exec --terminal-columns 5 ls", "Implications failed:\n terminal-columns -> terminal-rows"),
        ("upgrade --feature x", "The '--target-version' and '--feature' flag must be used together."),
        (
            "features test --features a --global-scenarios-only",
            "Cannot combine --global-scenarios-only and --features",
        ),
        ("set-up", "Missing required argument: container-id"),
        ("templates apply", "Missing required argument: template-id"),
        // The reference has no such command.
        ("stop --all --workspace-folder .", "--all and --workspace-folder are mutually exclusive."),
        ("up --log-level loud", "possible values: trace, debug, info"),
        ("up --no-such-thing", "unexpected argument"),
        ("exec", "CMD"),
        ("", "Commands:"),
    ] {
        let said = refused(line);
        assert!(said.contains(words), "{line}: {said}");
    }
}
