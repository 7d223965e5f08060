use super::*;

struct Place {
    _temp: tempfile::TempDir,
    root: Utf8PathBuf,
}

fn place() -> Place {
    let temp = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(temp.path()).unwrap().canonicalize_utf8().unwrap();
    for folder in ["shared", "other"] {
        fs_err::create_dir(root.join(folder)).unwrap();
    }
    Place { _temp: temp, root }
}

impl Place {
    fn shares(&self) -> Vec<Utf8PathBuf> {
        vec![self.root.join("shared")]
    }

    fn make(&self, folder: &str) -> Result<ExampleMade, Problem> {
        make("hello", Some(&self.root.join(folder)), &self.shares())
    }
}

#[test]
fn every_file_of_the_example_is_one_of_the_sources_and_can_be_read() {
    let sources = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for project in PROJECTS {
        let mut there: Vec<String> = Vec::new();
        let mut open = vec![sources.join(project.name)];
        while let Some(folder) = open.pop() {
            for entry in folder.read_dir_utf8().unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.into_path());
                } else {
                    let path = entry.path().strip_prefix(sources.join(project.name)).unwrap();
                    there.push(path.to_string());
                }
            }
        }
        let mut known: Vec<_> = project.files.iter().map(|file| file.path).collect();
        there.sort_unstable();
        known.sort_unstable();
        assert_eq!(there, known, "{}", project.name);
        let automations = project.files.iter().find(|file| file.path == ".cove/automations.yaml").unwrap();
        let read = automations::read(Utf8Path::new(automations.path), automations.content.as_bytes());
        let read = read.unwrap();
        assert_eq!((read.automations.services.len(), read.automations.tasks.len()), (1, 1));
    }
}

#[test]
fn it_is_put_there_once_and_completed_after_a_kill() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    let all = PROJECTS[0].files.len() as u64;
    let made = place.make("shared/a/../b/hello").unwrap_err();
    assert_eq!(made.code, ProblemCode::FolderNotFound, "`..` behind what is not there");
    let made = place.make("shared/b/hello").unwrap();
    assert_eq!((made.folder.as_path(), made.written), (place.root.join("shared/b/hello").as_path(), all));
    let program = fs_err::metadata(made.folder.join("scripts/serve.sh")).unwrap().permissions().mode();
    assert_eq!(program & 0o111, 0o111);
    assert_eq!(place.make("shared/b/hello").unwrap().written, 0);
    // A person adds something, and it still is the example.
    fs_err::write(made.folder.join("notes"), "mine").unwrap();
    assert_eq!(place.make("shared/b/hello").unwrap().written, 0);
    fs_err::remove_file(made.folder.join("notes")).unwrap();
    // Cut off in the middle.
    fs_err::remove_file(made.folder.join("site/index.html")).unwrap();
    fs_err::write(made.folder.join("README.md.cove-new"), "# He").unwrap();
    fs_err::remove_file(made.folder.join("README.md")).unwrap();
    assert_eq!(place.make("shared/b/hello").unwrap().written, 2);
    assert!(!made.folder.join("README.md.cove-new").exists());
    let listed = list(&[place.root.join("shared/b")]);
    assert_eq!(listed[0].folder, Some(place.root.join("shared/b/Cove/hello")));
    assert!(!listed[0].is_there);
}

#[test]
fn nothing_is_overwritten_and_nothing_comes_beside_what_is_there() {
    let place = place();
    let shared = place.root.join("shared");
    for (folder, file) in [("x", "README.md"), ("y", "mine"), ("z", "site/mine"), ("w", "src/lib.rs")] {
        let path = shared.join(folder).join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, "mine").unwrap();
        let problem = place.make(&format!("shared/{folder}")).unwrap_err();
        assert!(problem.title.contains("has something else in it"), "{problem}");
        assert_eq!(fs_err::read(&path).unwrap(), b"mine");
        assert_eq!(fs_err::read_dir(shared.join(folder)).unwrap().count(), 1, "{folder}");
    }
    // A link is never followed to where it leads.
    fs_err::write(place.root.join("other/target"), "mine").unwrap();
    fs_err::create_dir(shared.join("v")).unwrap();
    std::os::unix::fs::symlink(place.root.join("other/target"), shared.join("v/README.md")).unwrap();
    assert!(place.make("shared/v").is_err());
    assert_eq!(fs_err::read(place.root.join("other/target")).unwrap(), b"mine");
}

#[test]
fn it_goes_where_the_machine_sees_it_and_nowhere_else() {
    let place = place();
    std::os::unix::fs::symlink(place.root.join("other"), place.root.join("shared/link")).unwrap();
    for folder in ["other/hello", "shared/link/hello", "shared/../other/hello"] {
        let problem = place.make(folder).unwrap_err();
        assert_eq!(problem.code, ProblemCode::FolderNotShared, "{folder}: {problem}");
    }
    assert_eq!(fs_err::read_dir(place.root.join("other")).unwrap().count(), 0);
    fs_err::write(place.root.join("shared/file"), "").unwrap();
    assert_eq!(place.make("shared/file/hello").unwrap_err().code, ProblemCode::FolderNotFound);
    let relative = make("hello", Some(Utf8Path::new("hello")), &place.shares()).unwrap_err();
    assert!(relative.title.contains("not an absolute path"));
    assert!(make("bye", None, &place.shares()).unwrap_err().hints[0].text.contains("hello"));
    assert!(make("hello", None, &[]).is_err());
}
