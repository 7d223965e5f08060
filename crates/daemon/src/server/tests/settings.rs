use super::*;

fn setting<'a>(report: &'a Value, key: &str) -> &'a Value {
    report["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap()
}

impl Served {
    fn config(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.temp.path()).unwrap().join("config.toml")
    }

    async fn settings(&self) -> Value {
        let (status, report) = self.call("GET", "/v1/settings", "").await;
        assert_eq!(status, StatusCode::OK, "{report}");
        report
    }

    async fn set(&self, set: Value) -> (StatusCode, Value) {
        self.call("PATCH", "/v1/settings", &json!({ "set": set }).to_string()).await
    }

    async fn not_set(&self, set: Value) -> Problem {
        self.refused("PATCH", "/v1/settings", &json!({ "set": set }).to_string()).await.1
    }
}

#[tokio::test]
async fn a_key_is_told_with_what_it_says_what_holds_and_what_it_can_be() {
    let served = Served::start();
    let report = served.settings().await;
    assert_eq!((&report["problem"], &report["daemon_restart_needed"]), (&Value::Null, &json!(false)));
    let cpus = setting(&report, "machine.cpus");
    let usual = crate::settings::default_machine();
    assert_eq!(cpus["kind"], "number");
    assert_eq!(cpus["takes_effect"], "machine_start");
    assert_eq!(
        (&cpus["value"], &cpus["default"], &cpus["in_force"]),
        (&Value::Null, &json!(usual.cpus), &json!(usual.cpus))
    );
    assert!(cpus["maximum"].as_u64().unwrap() >= u64::from(usual.cpus));
    let disk = setting(&report, "machine.disk_gib");
    assert_eq!(disk["minimum"], json!(usual.disk_gib), "it never shrinks");
    assert_eq!(setting(&report, "machine.idle")["in_force"], "10m");
    assert_eq!(setting(&report, "environments.idle")["default"], "never");
    assert_eq!(setting(&report, "names.http_port")["in_force"], 7080);
    assert_eq!(setting(&report, "consent.host_mounts")["options"], json!(["ask", "always", "never"]));
    assert_eq!(setting(&report, "dotfiles.repository")["default"], Value::Null);
}

#[tokio::test]
async fn a_change_keeps_the_persons_file_and_holds_as_soon_as_it_can() {
    use std::os::unix::fs::PermissionsExt;
    let served = Served::start();
    fs_err::write(served.config(), "# mine\n[machine]\ncpus = 1 # one\n").unwrap();
    fs_err::set_permissions(served.config(), std::fs::Permissions::from_mode(0o640)).unwrap();
    let before = served.settings().await;
    assert_eq!(setting(&before, "machine.cpus")["pending"], true, "written by hand, not read yet");
    let (status, report) = served
        .set(json!({"machine.idle": "1h", "environments.idle": "2h", "dotfiles.repository": "ada/dots", "dotfiles.target_path": "~/dots"}))
        .await;
    assert_eq!(status, StatusCode::OK, "{report}");
    let text = fs_err::read_to_string(served.config()).unwrap();
    assert_eq!(
        text,
        "# mine\n[machine]\ncpus = 1 # one\nidle = \"1h\"\n\n[dotfiles]\nrepository = \"ada/dots\"\n\
         target_path = \"~/dots\"\n\n[environments]\nidle = \"2h\"\n"
    );
    assert_eq!(fs_err::metadata(served.config()).unwrap().permissions().mode() & 0o777, 0o640);
    assert_ne!(report["digest"], before["digest"]);
    assert_eq!(report["daemon_restart_needed"], false);
    let spec = served.store.machine().unwrap().spec;
    assert_eq!(
        (spec.cpus, spec.idle.stop_after),
        (1, Some(3600)),
        "what was written by hand is taken up too"
    );
    // What holds at once does for the next environment.
    let body = json!({ "folder": served.folder("web") }).to_string();
    let (_, made) = served.call("POST", "/v1/environments", &body).await;
    assert_eq!(made["spec"]["dotfiles"]["repository"], "ada/dots");
    assert_eq!(made["spec"]["idle"]["stop_after"], 7200);

    let (_, report) = served.set(json!({"names.http_port": 80})).await;
    let port = setting(&report, "names.http_port");
    assert_eq!(
        (&port["value"], &port["in_force"], &port["pending"]),
        (&json!(80), &json!(7080), &json!(true))
    );
    assert_eq!(report["daemon_restart_needed"], true);
    let (_, report) = served.set(json!({"names.http_port": null})).await;
    assert_eq!(report["daemon_restart_needed"], false);
    let all = ["dotfiles.repository", "dotfiles.target_path", "environments.idle", "machine.idle"];
    let (status, report) =
        served.set(all.into_iter().map(|key| (key.to_owned(), Value::Null)).collect()).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    assert_eq!(setting(&report, "machine.idle")["in_force"], "10m");
    let text = fs_err::read_to_string(served.config()).unwrap();
    assert_eq!(text.trim_end(), "# mine\n[machine]\ncpus = 1 # one");
}

#[tokio::test]
async fn what_is_named_counts_though_the_file_said_it_before() {
    let served = Served::start();
    let usual = crate::settings::default_machine();
    assert_eq!(served.set(json!({"machine.memory_mib": 1024})).await.0, StatusCode::OK);
    served.call("PATCH", "/v1/machines/default", r#"{"memory_mib":512}"#).await;
    let report = served.settings().await;
    let memory = setting(&report, "machine.memory_mib");
    assert_eq!((&memory["value"], &memory["in_force"]), (&json!(1024), &json!(512)));
    assert_eq!(memory["pending"], false, "a later wish is no lag");
    served.set(json!({"machine.memory_mib": 1024})).await;
    assert_eq!(served.store.machine().unwrap().spec.memory_mib, 1024);
    served.set(json!({"machine.memory_mib": null})).await;
    assert_eq!(served.store.machine().unwrap().spec.memory_mib, usual.memory_mib);
}

#[tokio::test]
async fn a_file_that_is_wrong_or_has_become_another_is_left_alone() {
    let served = Served::start();
    let report = served.settings().await;
    fs_err::write(served.config(), "[machine]\ncpus = 1\n").unwrap();
    let patch = json!({ "digest": report["digest"], "set": {"machine.cpus": 2} }).to_string();
    let (status, problem) = served.refused("PATCH", "/v1/settings", &patch).await;
    assert_eq!((status, problem.code), (StatusCode::CONFLICT, ProblemCode::Conflict));
    let digest = served.settings().await["digest"].clone();
    let patch = json!({ "digest": digest, "set": {"machine.idle": "1h"} }).to_string();
    assert_eq!(served.call("PATCH", "/v1/settings", &patch).await.0, StatusCode::OK);

    let wrong = "[machine]\ncpus = 1\n  cpu = 2\n";
    fs_err::write(served.config(), wrong).unwrap();
    let report = served.settings().await;
    assert_eq!(report["problem"]["code"], "E0117");
    assert_eq!(
        (&report["problem"]["place"]["line"], &report["problem"]["place"]["column"]),
        (&json!(3), &json!(3))
    );
    assert_eq!(setting(&report, "machine.idle")["in_force"], "1h", "what it said before holds");
    let problem = served.not_set(json!({"machine.idle": "2h"})).await;
    assert_eq!(problem.code, ProblemCode::SettingsInvalid);
    assert!(problem.title.contains("config.toml:3:3: unknown field `cpu`"), "{problem}");
    assert_eq!(fs_err::read_to_string(served.config()).unwrap(), wrong);
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_changed() {
    let served = Served::start();
    let gone = served.folder("gone");
    fs_err::remove_dir(&gone).unwrap();
    for (set, words) in [
        (json!({"machine.cpu": 1}), "there is no setting `machine.cpu`"),
        (json!({"machine.cpus": 0}), "`machine.cpus` can be 1 to "),
        (json!({"machine.cpus": 100_000}), "`machine.cpus` can be 1 to "),
        (json!({"machine.cpus": "2"}), "`machine.cpus` can be 1 to "),
        (json!({"machine.disk_gib": 4}), "`machine.disk_gib` can be "),
        (json!({"machine.idle": "soon"}), "`soon` is no time"),
        (json!({"machine.idle": 5}), "`machine.idle` is text"),
        (json!({"registries.offline": "yes"}), "true or false"),
        (json!({"consent.host_mounts": "sandbox"}), "can be ask, always, never"),
        (json!({"registries.plain_http": ["a b"]}), "list of words"),
        (json!({"shares": ["src"]}), "not an absolute path"),
        (json!({"shares": [gone]}), "there is no folder"),
        (json!({"shares": ["/usr"]}), "has a folder of its own there"),
        (json!({"dotfiles.repository": "a\nb"}), "one line"),
        (json!({"dotfiles.target_path": "~/x"}), "missing field `repository`"),
        (json!({"machine.cpus": 1, "machine.memory_mib": 1}), "`machine.memory_mib` can be 512 to "),
    ] {
        let problem = served.not_set(set.clone()).await;
        let text = format!("{} {:?}", problem.title, problem.causes);
        assert!(text.contains(words), "{set}: {text}");
        assert!(!served.config().exists(), "{set}");
    }
    let near = served.not_set(json!({"machine.cpu": 1})).await;
    assert_eq!(near.hints[0].text, "did you mean `machine.cpus`?");
    let folder = served.folder("src");
    let (status, report) = served.set(json!({ "shares": [folder, "~"] })).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    let home = crate::paths::user_home().unwrap();
    assert_eq!(setting(&report, "shares")["in_force"], json!([folder, home]));
    assert_eq!(setting(&report, "shares")["value"], json!([folder, "~"]));
}

#[tokio::test]
async fn the_editor_that_is_chosen_is_the_one_of_the_command_line() {
    let served = Served::start();
    let (_, editors) = served.call("GET", "/v1/editors", "").await;
    assert_eq!((&editors["chosen"], editors["editors"].as_array().unwrap().len()), (&Value::Null, 7));
    let (_, editors) = served.call("PUT", "/v1/editors", r#"{"editor":"terminal"}"#).await;
    assert_eq!((&editors["chosen"], &editors["opens"]), (&json!("terminal"), &json!("terminal")));
    let file = served.temp.path().join("editor");
    assert_eq!(fs_err::read_to_string(&file).unwrap(), "terminal\n");
    let (_, problem) = served.refused("PUT", "/v1/editors", r#"{"editor":"teco"}"#).await;
    assert!(problem.hints[0].text.contains("zed"), "{problem:?}");
    served.call("PUT", "/v1/editors", "{}").await;
    assert!(!file.exists());
}

#[tokio::test]
async fn an_example_is_put_into_a_folder_that_the_machine_sees() {
    let served = Served::start();
    let folder = served.folder("shared");
    served.set(json!({ "shares": [folder] })).await;
    let (_, examples) = served.call("GET", "/v1/examples", "").await;
    assert_eq!((&examples[0]["name"], &examples[0]["is_there"]), (&json!("hello"), &json!(false)));
    assert_eq!(examples[0]["folder"], json!(folder.join("Cove/hello")));
    let (status, made) = served.call("POST", "/v1/examples/hello", "{}").await;
    assert_eq!((status, &made["folder"]), (StatusCode::OK, &json!(folder.join("Cove/hello"))));
    assert!(folder.join("Cove/hello/.devcontainer/devcontainer.json").is_file());
    let (_, examples) = served.call("GET", "/v1/examples", "").await;
    assert_eq!(examples[0]["is_there"], true);
    let elsewhere = json!({ "folder": served.folder("elsewhere") }).to_string();
    let (status, problem) = served.refused("POST", "/v1/examples/hello", &elsewhere).await;
    assert_eq!((status, problem.code), (StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::FolderNotShared));
    let (status, _) = served.refused("POST", "/v1/examples/bye", "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
