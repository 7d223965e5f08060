use super::*;

fn parsed(line: &str) -> Command {
    let grammar = Arguments::command();
    let words = std::iter::once("devcontainer").chain(line.split_whitespace()).map(OsString::from).collect();
    let matches = grammar.clone().try_get_matches_from(join_switches(&grammar, words));
    matches
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .unwrap_or_else(|error| panic!("{line}: {error}"))
        .command
}

fn refused(line: &str) -> String {
    let grammar = Arguments::command();
    let words = std::iter::once("devcontainer").chain(line.split_whitespace()).map(OsString::from).collect();
    match grammar.clone().try_get_matches_from(join_switches(&grammar, words)) {
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
        ("up --no-lockfile --frozen-lockfile", "cannot be used with"),
        ("build --no-lockfile --experimental-lockfile", "cannot be used with"),
        ("up --terminal-rows 5", "--terminal-columns"),
        ("up --log-level loud", "possible values: trace, debug, info"),
        ("up --no-such-thing", "unexpected argument"),
        ("set-up", "--container-id"),
        ("exec", "CMD"),
        ("", "Commands:"),
    ] {
        let said = refused(line);
        assert!(said.contains(words), "{line}: {said}");
    }
}
