use super::*;

fn target(user: &str) -> Target {
    Target {
        environment: "web".to_owned(),
        host: "web.cove".to_owned(),
        container: "cove-web".to_owned(),
        folder: "/workspaces/web".to_owned(),
        user: user.to_owned(),
    }
}

fn wanted(extensions: &[&str], settings: &Value) -> Customizations {
    Customizations::of(&[json!({"extensions": extensions, "settings": settings})])
}

#[test]
fn parts_add_up_and_can_take_away() {
    let all = Customizations::of(&[
        json!({"extensions": ["a.a", "b.b"], "settings": {"x": 1, "y": 1}}),
        json!({}),
        json!({"extensions": ["-A.A", "c.c", "B.b"], "settings": {"y": 2}}),
        json!([]),
        json!({"extensions": 3, "settings": []}),
    ]);
    assert_eq!(all.extensions, ["b.b", "c.c"]);
    assert_eq!(Value::Object(all.settings), json!({"x": 1, "y": 2}));
}

/// What Cove wrote, what is in the file, what it has to say now, and what comes of that; `null`: there is none.
#[test]
fn what_is_as_cove_left_it_follows_the_configuration_and_all_else_is_the_persons() {
    for (why, written, file, now, after) in [
        ("a value that changed", json!(1), json!(1), json!(2), json!(2)),
        ("one that is new", json!(null), json!(null), json!(1), json!(1)),
        ("one that is gone", json!(1), json!(1), json!(null), json!(null)),
        ("a person's own value", json!(1), json!("mine"), json!(2), json!("mine")),
        ("which stays without the configuration's", json!(1), json!("mine"), json!(null), json!("mine")),
        ("one from before Cove", json!(null), json!("mine"), json!(1), json!("mine")),
        ("one that a person took away", json!(1), json!(null), json!(1), json!(null)),
        ("also when the configuration changes", json!(1), json!(null), json!(2), json!(null)),
        ("both say the same", json!(1), json!(2), json!(2), json!(2)),
    ] {
        let settings = |value: &Value| if value.is_null() { json!({}) } else { json!({"x": value}) };
        let part = |value: &Value| Part { customizations: wanted(&[], &settings(value)), ..Part::default() };
        let there = json!({"settings": settings(&file)});
        let merged = merged(Some(&there), &[part(&written)], &part(&now), "/w");
        assert_eq!(merged.pointer("/settings/x").unwrap_or(&Value::Null), &after, "{why}");
    }
    for (why, written, file, now, after) in [
        ("one that is new", &[][..], &[][..], &["a.a"][..], &["a.a"][..]),
        ("one that is gone", &["a.a", "b.b"], &["a.a", "b.b"], &["b.b"], &["b.b"]),
        (
            "a person's own comes last",
            &["a.a"],
            &["own.own", "A.a"],
            &["a.a", "c.c"],
            &["a.a", "c.c", "own.own"],
        ),
        ("one that a person took away", &["a.a", "b.b"], &["b.b"], &["a.a", "b.b"], &["b.b"]),
        ("the person's own way to say so", &["a.a"], &["a.a", "-a.a"], &["a.a"], &["-a.a"]),
        ("and it stays said", &["a.a"], &["-a.a"], &["a.a"], &["-a.a"]),
    ] {
        let part = |names: &[&str]| Part { customizations: wanted(names, &json!({})), ..Part::default() };
        let merged = merged_extensions(Some(json!(file)), &[part(written)], &part(now));
        assert_eq!(merged, after, "{why}");
    }
}

#[test]
fn a_writer_that_ended_half_way_leaves_nothing_that_looks_like_a_persons() {
    let part = |x: i32| Part { customizations: wanted(&[], &json!({"x": x})), ..Part::default() };
    for is_in_the_file in [1, 2] {
        let file = json!({"settings": {"x": is_in_the_file}});
        assert_eq!(merged(Some(&file), &[part(1), part(2)], &part(3), "/w")["settings"]["x"], 3);
    }
}

#[test]
fn a_file_is_kept_true_from_opening_to_opening() {
    let temp = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(temp.path()).unwrap();
    let (of_editors, of_cove) = (root.join("config"), root.join("cove/editors"));
    let folders = Folders { of_editors: &of_editors, of_cove: &of_cove };
    let file = of_editors
        .join("Code/User/globalStorage/ms-vscode-remote.remote-containers/nameConfigs/cove-web.json");
    let open = |user: &str, wanted: &Customizations| {
        write(folders, Editor::Code, &target(user), wanted)
            .map(|()| serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap())
    };
    let first = wanted(&["a.a", "b.b"], &json!({"x": 1, "y": 1}));
    let mut now = open("vscode", &first).unwrap();
    assert_eq!(
        now,
        json!({
            "workspaceFolder": "/workspaces/web", "remoteUser": "vscode", "extensions": ["a.a", "b.b"],
            "settings": {"x": 1, "y": 1},
        })
    );
    // The person writes into it, and the configuration changes.
    now["settings"]["x"] = json!("mine");
    now["extensions"] = json!(["a.a", "own.own"]);
    now["forwardPorts"] = json!([1]);
    std::fs::write(&file, now.to_string()).unwrap();
    let second = wanted(&["b.b", "c.c"], &json!({"x": 2, "y": 2, "z": 2}));
    let expected = json!({
        "workspaceFolder": "/workspaces/web", "remoteUser": "dev", "extensions": ["c.c", "own.own"],
        "settings": {"x": "mine", "y": 2, "z": 2}, "forwardPorts": [1],
    });
    assert_eq!(open("dev", &second).unwrap(), expected);
    assert_eq!(open("dev", &second).unwrap(), expected, "and it stays so");
    assert_eq!(std::fs::read_dir(of_cove.join("code")).unwrap().count(), 1, "nothing is left behind");

    // Another editor has a file of its own; one without such files has none.
    write(folders, Editor::Cursor, &target("dev"), &first).unwrap();
    assert!(of_cove.join("cursor/cove-web.json").exists());
    write(folders, Editor::Zed, &target("dev"), &first).unwrap();
    assert!(!of_cove.join("zed").exists());

    std::fs::write(&file, "{").unwrap();
    assert!(open("dev", &second).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{", "what cannot be read is left alone");
    std::fs::remove_file(&file).unwrap();
    let anew = open("dev", &second).unwrap();
    assert_eq!(anew["extensions"], json!(["b.b", "c.c"]), "a file that was removed begins anew");
}
