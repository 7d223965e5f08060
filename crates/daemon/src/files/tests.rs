//! From changes of a real folder to what a guest is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use protocol::files::{FileChange, FileChangeKind as Kind};

use super::changes;
use super::tree::Tree;

/// A folder of the host, as it is known.
struct Followed {
    folder: tempfile::TempDir,
    tree: Tree,
}

impl Followed {
    /// With these files in it; a name that ends in `/` is a folder.
    fn with(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            make(&folder.path().join(name), name);
        }
        let tree = Tree::read(folder.path()).unwrap();
        Self { folder, tree }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is told after hints at these names, a line each.
    fn told(&mut self, hints: &[&str]) -> Vec<String> {
        let root = self.folder.path().to_owned();
        let hints: Vec<PathBuf> = hints.iter().map(|name| root.join(name)).collect();
        let changes = changes::of(self.tree.look(hints).unwrap());
        changes.iter().map(|change| line(change, &root)).collect()
    }
}

/// As deep as Linux lets a path be, and far deeper than a stack of calls could be on a thread like this.
#[test]
fn folders_lie_as_deep_as_they_like() {
    let follow = || {
        let mut followed = Followed::with(&[]);
        let run = |followed: &Followed, program: &str, words: &[&str]| {
            let mut command = std::process::Command::new(program);
            assert!(command.args(words).current_dir(followed.folder.path()).status().unwrap().success());
        };
        run(&followed, "mkdir", &["-p", &"a/".repeat(1_900)]);
        assert_eq!(followed.told(&["a"]).len(), 1_900);
        run(&followed, "rm", &["-rf", "a"]);
        assert_eq!(followed.told(&["a"]).len(), 1_900);
        assert_eq!(followed.tree.len(), 0);
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(follow);
    thread.unwrap().join().unwrap();
}

fn make(path: &Path, content: &str) {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        std::fs::create_dir_all(path).unwrap();
    } else {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn line(change: &FileChange, root: &Path) -> String {
    let short = |path: &str| Path::new(path).strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let mut line = format!("{:?} {}", change.kind, short(&change.path)).to_lowercase();
    if let Some(to) = &change.to {
        line = line + " -> " + &short(to);
    }
    line + if change.folder { " /" } else { "" } + if change.last_link { " (last)" } else { "" }
}

#[test]
fn what_happened_to_a_file_is_told_as_what_it_was() {
    let mut it = Followed::with(&["a", "gone", "mode", "saved"]);
    std::fs::write(it.at("a"), "longer than before").unwrap();
    std::fs::write(it.at("new"), "").unwrap();
    std::fs::remove_file(it.at("gone")).unwrap();
    std::fs::set_permissions(it.at("mode"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(it.at(".saved.tmp"), "saved anew").unwrap();
    std::fs::rename(it.at(".saved.tmp"), it.at("saved")).unwrap();
    let hints = ["a", "new", "gone", "mode", ".saved.tmp", "saved"];
    let expected =
        ["deleted gone (last)", "created new", "replaced saved (last)", "modified a", "attributes mode"];
    assert_eq!(it.told(&hints), expected);
    assert_eq!(it.told(&hints), [""; 0], "it is known now");
}

#[test]
fn a_move_is_one_change_whatever_it_carries() {
    let mut it = Followed::with(&["a", "b", "d/x", "d/e/y", "over", "under"]);
    std::fs::rename(it.at("a"), it.at("c")).unwrap();
    std::fs::rename(it.at("d"), it.at("f")).unwrap();
    std::fs::rename(it.at("over"), it.at("under")).unwrap();
    let expected = ["moved a -> c", "moved d -> f /", "moved over -> under (last)"];
    assert_eq!(it.told(&["a", "c", "d", "f", "over", "under"]), expected);
    // What moved along is known under its new name.
    std::fs::write(it.at("f/e/y"), "more than before").unwrap();
    assert_eq!(it.told(&["f/e/y"]), ["modified f/e/y"]);
}

#[test]
fn a_chain_of_moves_is_told_so_that_no_target_is_taken() {
    let mut it = Followed::with(&["a", "b", "c"]);
    for (from, to) in [("c", "d"), ("b", "c"), ("a", "b")] {
        std::fs::rename(it.at(from), it.at(to)).unwrap();
    }
    assert_eq!(it.told(&["a", "b", "c", "d"]), ["moved c -> d", "moved b -> c", "moved a -> b"]);
}

#[test]
fn a_folder_made_anew_comes_after_the_one_that_moved_away() {
    let mut it = Followed::with(&["dist/a"]);
    std::fs::rename(it.at("dist"), it.at("dist.old")).unwrap();
    make(&it.at("dist/b"), "");
    assert_eq!(
        it.told(&["dist", "dist.old"]),
        ["moved dist -> dist.old /", "created dist /", "created dist/b"]
    );
}

#[test]
fn a_save_with_a_backup_is_a_move_and_a_new_file() {
    let mut it = Followed::with(&["text"]);
    std::fs::rename(it.at("text"), it.at("text~")).unwrap();
    std::fs::write(it.at("text"), "another text").unwrap();
    assert_eq!(it.told(&["text", "text~"]), ["moved text -> text~", "created text"]);
}

#[test]
fn a_new_file_with_the_number_of_an_old_one_is_no_move() {
    let mut it = Followed::with(&["old"]);
    std::fs::remove_file(it.at("old")).unwrap();
    std::fs::write(it.at("new"), "other content").unwrap();
    assert_eq!(it.told(&["old", "new"]), ["deleted old (last)", "created new"]);
}

#[test]
fn folders_come_from_the_top_and_go_from_the_bottom() {
    let mut it = Followed::with(&["d/e/f"]);
    std::fs::remove_dir_all(it.at("d")).unwrap();
    make(&it.at("g/h/i"), "");
    let told = it.told(&["d", "g"]);
    let expected = [
        "created g /",
        "created g/h /",
        "deleted d/e/f (last)",
        "deleted d/e / (last)",
        "deleted d / (last)",
        "created g/h/i",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_hint_at_a_folder_or_below_a_new_one_is_enough() {
    let mut it = Followed::with(&["d/x"]);
    make(&it.at("d/y"), "");
    assert_eq!(it.told(&["d"]), ["created d/y"]);
    make(&it.at("n/m/z"), "");
    assert_eq!(it.told(&["n/m/z"]), ["created n /", "created n/m /", "created n/m/z"]);
}

#[test]
fn links_are_names_and_lead_nowhere() {
    let mut it = Followed::with(&["d/x"]);
    std::os::unix::fs::symlink(it.at("d"), it.at("link")).unwrap();
    assert_eq!(it.told(&["link"]), ["created link"]);
    assert_eq!(it.told(&["link/x"]), [""; 0]);
}

/// One thing that a person does.
#[derive(Debug, Clone)]
enum Deed {
    Write(u8, u8),
    Save(u8),
    Folder(u8),
    Remove(u8),
    Move(u8, u8),
}

/// Names in two levels, so that deeds meet.
fn name(number: u8) -> String {
    let (outer, inner) = (number % 4, number / 4 % 4);
    if inner == 0 { format!("n{outer}") } else { format!("n{outer}/m{inner}") }
}

fn do_it(root: &Path, deed: &Deed) {
    let at = |number: &u8| root.join(name(*number));
    // What cannot be done is not done: a folder in the way, nothing there.
    let _ = match deed {
        Deed::Write(number, length) => std::fs::write(at(number), vec![b'x'; usize::from(*length)]),
        Deed::Save(number) => {
            let apart = root.with_extension("tmp");
            std::fs::write(&apart, "saved").and_then(|()| std::fs::rename(&apart, at(number)))
        }
        Deed::Folder(number) => std::fs::create_dir(at(number)),
        Deed::Remove(number) => {
            std::fs::remove_file(at(number)).or_else(|_| std::fs::remove_dir_all(at(number)))
        }
        Deed::Move(from, to) => std::fs::rename(at(from), at(to)),
    };
}

fn deeds() -> impl Strategy<Value = Vec<Vec<Deed>>> {
    let number = || 0..16u8;
    let deed = prop_oneof![
        (number(), any::<u8>()).prop_map(|(number, length)| Deed::Write(number, length)),
        number().prop_map(Deed::Save),
        number().prop_map(Deed::Folder),
        number().prop_map(Deed::Remove),
        (number(), number()).prop_map(|(from, to)| Deed::Move(from, to)),
    ];
    proptest::collection::vec(proptest::collection::vec(deed, 1..6), 1..8)
}

/// Every name there is; folders end in `/`.
fn names(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let short = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.insert(short + "/");
            names(&path, root, found);
        } else {
            found.insert(short);
        }
    }
}

/// What somebody knows who only listens.
fn hear(known: &mut BTreeSet<String>, change: &FileChange, root: &Path) {
    let short = |path: &str| {
        let path = Path::new(path).strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if change.folder { path + "/" } else { path }
    };
    let path = short(&change.path);
    match change.kind {
        Kind::Created => assert!(known.insert(path.clone()), "{path} was there"),
        Kind::Deleted => assert!(known.remove(&path), "{path} was not there"),
        Kind::Replaced | Kind::Modified | Kind::Attributes => {
            assert!(known.contains(&path), "{path} is not there");
        }
        Kind::Moved => {
            let to = short(change.to.as_deref().unwrap());
            assert!(known.remove(&path), "{path} was not there");
            let inside: Vec<String> =
                known.iter().filter(|it| change.folder && it.starts_with(&path)).cloned().collect();
            for old in inside {
                known.remove(&old);
                known.insert(to.clone() + &old[path.len()..]);
            }
            known.insert(to);
        }
        Kind::Overflow => unreachable!("the tree tells all"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever was done between two looks, who hears what is told knows what is there.
    #[test]
    fn who_listens_knows_what_is_there(windows in deeds()) {
        let folder = tempfile::tempdir().unwrap();
        let root = &folder.path().join("root");
        std::fs::create_dir(root).unwrap();
        let mut tree = Tree::read(root).unwrap();
        let mut known = BTreeSet::new();
        for deeds in windows {
            for deed in &deeds {
                do_it(root, deed);
            }
            let hints = (0..16).map(|number| root.join(name(number)));
            for change in changes::of(tree.look(hints).unwrap()) {
                hear(&mut known, &change, root);
            }
            let mut there = BTreeSet::new();
            names(root, root, &mut there);
            prop_assert_eq!(&known, &there);
            prop_assert!(tree.look_everywhere().unwrap().is_empty());
            prop_assert_eq!(tree.len(), there.len());
        }
    }
}

#[test]
fn a_folder_in_another_is_followed_by_itself_where_it_is_another_disk() {
    let of = |folders: &[&str]| {
        let folders: Vec<camino::Utf8PathBuf> = folders.iter().map(Into::into).collect();
        super::outermost(folders.iter()).into_iter().map(camino::Utf8PathBuf::into_string).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    let outer = folder.path().to_str().unwrap();
    let inner = format!("{outer}/inner");
    std::fs::create_dir(&inner).unwrap();
    assert_eq!(of(&[&inner, outer]), [outer]);
    assert_eq!(of(&["/proc", "/"]), ["/", "/proc"]);
}
