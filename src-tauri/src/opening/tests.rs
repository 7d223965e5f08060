use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let made = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(made.path()).unwrap().canonicalize_utf8().unwrap();
    (made, path)
}

#[test]
fn a_word_is_a_link_a_url_or_a_path() {
    let (_kept, root) = folder();
    std::fs::create_dir(root.join("my web")).unwrap();
    std::fs::write(root.join("web.cove"), r#"{ "path": "my web" }"#).unwrap();
    std::fs::write(root.join("clone.cove"), r#"{ "repo": "https://git.example/x", "branch": "v1" }"#)
        .unwrap();
    std::os::unix::fs::symlink(root.join("my web"), root.join("link")).unwrap();
    let web = Opened { folder: Some(root.join("my web")), ..Opened::default() };
    for (word, opened) in [
        ("my web".to_owned(), web.clone()),
        ("./link/".to_owned(), web.clone()),
        (root.join("my web").into_string(), web.clone()),
        (format!("file://{root}/my%20web"), web.clone()),
        (format!("FILE://localhost{root}/my%20web/"), web.clone()),
        (format!("cove://open?path={root}/my%20web"), Opened { link: true, ..web.clone() }),
        ("web.cove".to_owned(), web),
        (
            "clone.cove".to_owned(),
            Opened {
                repository: Some("https://git.example/x".to_owned()),
                branch: Some("v1".to_owned()),
                ..Opened::default()
            },
        ),
        (
            "cove://up?repo=https://git.example/x".to_owned(),
            Opened { repository: Some("https://git.example/x".to_owned()), link: true, ..Opened::default() },
        ),
    ] {
        assert_eq!(Opened::of_word(&word, &root), opened, "{word}");
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let (_kept, root) = folder();
    std::fs::write(root.join("notes.txt"), "").unwrap();
    std::fs::write(root.join("odd.cove"), "{\n  \"start\": true }").unwrap();
    std::fs::write(root.join("gone.cove"), "{ \"path\": \"nowhere\" }").unwrap();
    std::fs::write(root.join("long.cove"), " ".repeat(LONGEST_COVE_FILE + 1)).unwrap();
    for (word, code, why) in [
        ("nowhere", ProblemCode::FolderNotFound, "nowhere` cannot be opened"),
        ("gone.cove", ProblemCode::FolderNotFound, "nowhere` cannot be opened"),
        ("notes.txt", ProblemCode::InvalidRequest, "is no folder"),
        ("odd.cove", ProblemCode::InvalidRequest, "unknown field `start`"),
        ("long.cove", ProblemCode::InvalidRequest, "more than 65536 bytes"),
        ("file://elsewhere/src", ProblemCode::InvalidRequest, "no path of this computer"),
        ("https://localhost/tmp", ProblemCode::InvalidRequest, "`https://localhost/tmp` is neither a folder"),
        ("cove://open?path=src", ProblemCode::InvalidRequest, "not absolute"),
    ] {
        let opened = Opened::of_word(word, &root);
        assert!(opened.folder.is_none() && opened.repository.is_none(), "{opened:?}");
        let refused = opened.refused.expect(word);
        assert!(refused.code == code && refused.title.contains(why), "{word}: {refused}");
    }
    let place = Opened::of_word("odd.cove", &root).refused.and_then(|refused| refused.place).unwrap();
    assert_eq!(
        (place.file, place.line, place.column),
        (root.join("odd.cove").into_string(), Some(2), Some(9))
    );
}

#[test]
fn the_last_of_too_many_is_kept() {
    let waiting = Waiting::default();
    for number in 0..MOST + 3 {
        waiting.put(Opened { branch: Some(number.to_string()), ..Opened::default() });
    }
    assert_eq!(waiting.take().unwrap().branch.as_deref(), Some("3"));
    assert_eq!((0..).map_while(|_| waiting.take()).count(), MOST - 1);
}

fn recent_of(path: &str) -> Opened {
    Opened { folder: Some(path.into()), ..Opened::default() }
}

#[test]
fn what_was_opened_lately_is_remembered_newest_first() {
    let (_kept, root) = folder();
    let file = root.join("app-recent.json");
    let recent = Recent::new(file.clone());
    assert_eq!(recent.list(), []);
    for number in 0..25 {
        recent.remember(recent_of(&format!("/src/{number}"))).unwrap();
    }
    recent.remember(Opened { link: true, ..recent_of("/src/20") }).unwrap();
    let folders: Vec<_> = recent.list().into_iter().filter_map(|it| it.folder).collect();
    assert_eq!(folders[..3], ["/src/20", "/src/24", "/src/23"]);
    assert_eq!(folders.len(), 20);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for passed_over in [
        Opened::default(),
        recent_of("relative"),
        Opened { repository: Some("ext::sh".to_owned()), ..Opened::default() },
        Opened { repository: Some("https://git.example/x".to_owned()), ..recent_of("/src/x") },
    ] {
        recent.remember(passed_over).unwrap();
    }
    assert_eq!(recent.list().len(), 20);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 1, "nothing is left beside it");
    recent.forget().unwrap();
    recent.forget().unwrap();
    assert_eq!(recent.list(), []);
    std::fs::write(&file, "[{]").unwrap();
    assert_eq!(recent.list(), []);
    recent.remember(recent_of("/src/web")).unwrap();
    assert_eq!(recent.list(), [recent_of("/src/web")]);
}

#[tokio::test]
async fn a_second_start_hands_over_and_is_answered() {
    let (_kept, root) = folder();
    let socket = root.join("run/app.sock");
    // Left over by one that was killed.
    drop(handover::bind(&socket).unwrap());
    let listener = handover::bind(&socket).unwrap();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let (taken, mut came) = tokio::sync::mpsc::unbounded_channel();
    let serving = tokio::spawn(handover::serve(listener, move |handover| taken.send(handover).unwrap()));
    let asked = |words: &[&str]| Handover { open: words.iter().map(|&word| word.to_owned()).collect() };
    let give = async |handover| {
        let socket = socket.clone();
        tokio::task::spawn_blocking(move || hand_over(&socket, &handover)).await.unwrap()
    };
    give(asked(&["/src/web", "cove://open?path=/x"])).await.unwrap();
    assert_eq!(came.recv().await.unwrap(), asked(&["/src/web", "cove://open?path=/x"]));
    give(asked(&[])).await.unwrap();
    assert_eq!(came.recv().await.unwrap(), asked(&[]));
    assert!(matches!(give(asked(&["x"; 17])).await, Err(NotHandedOver::TooMuch)));
    assert!(matches!(give(asked(&[&"x".repeat(70_000)])).await, Err(NotHandedOver::TooMuch)));
    // What is no line of ours is dropped, and the next is heard.
    for odd in ["\n", "{\"open\":[\"/x\"],\"start\":true}\n", "{\"open\":7}\n", "no end"] {
        use std::io::Write as _;
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(odd.as_bytes()).unwrap();
    }
    give(asked(&["/src/last"])).await.unwrap();
    assert_eq!(came.recv().await.unwrap(), asked(&["/src/last"]));
    serving.abort();
}

proptest! {
    #[test]
    fn any_word_is_something(word in "(file:|cove:)?\\PC{0,60}") {
        let opened = Opened::of_word(&word, Utf8Path::new("/nowhere"));
        prop_assert!(opened.folder.is_some() || opened.repository.is_some() || opened.refused.is_some());
    }
}
