use std::os::unix::fs::symlink;

use rustix::process::{geteuid, getgid, getuid};

use super::*;

/// A container's folders, on whatever the test runs on.
struct Place {
    temp: tempfile::TempDir,
    order: SecretFiles,
}

impl Place {
    fn new() -> Self {
        let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
        Self {
            temp: tempfile::tempdir().unwrap(),
            order: SecretFiles { uid, gid, files: Vec::new(), gone: Vec::new() },
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.temp.path().join(path)
    }

    fn want(&mut self, files: &[(&str, &str, &str)]) {
        let before: Vec<String> = self.order.files.iter().map(|file| file.path.clone()).collect();
        let file = |(name, path, value): &(&str, &str, &str)| SecretFile {
            name: (*name).to_owned(),
            path: self.at(path).to_str().unwrap().to_owned(),
            value: (*value).to_owned(),
        };
        self.order.files = files.iter().map(file).collect();
        self.order.gone = before
            .into_iter()
            .filter(|path| self.order.files.iter().all(|file| file.path != *path))
            .collect();
    }

    fn go(&self) -> BTreeMap<String, String> {
        let keeper = Keeper { folder: self.at("memory"), order: &self.order };
        fs::create_dir_all(&keeper.folder).unwrap();
        let mut failed = BTreeMap::new();
        for path in &self.order.gone {
            keeper.take_away(Path::new(path)).unwrap();
        }
        for file in &self.order.files {
            if let Err(why) = keeper.put(file) {
                failed.insert(file.path.clone(), why);
            }
        }
        keeper.sweep();
        failed
    }

    fn numbers(&self, path: &str) -> (u64, u64) {
        let path = self.at(path);
        (fs::metadata(&path).unwrap().ino(), fs::symlink_metadata(&path).unwrap().ino())
    }
}

#[test]
fn files_come_change_in_one_step_and_go() {
    let mut place = Place::new();
    place.want(&[("A", "run/secrets/A", "one\n"), ("B", "home/.config/b", "two")]);
    assert!(place.go().is_empty());
    assert_eq!(fs::read_to_string(place.at("run/secrets/A")).unwrap(), "one\n");
    assert_eq!(fs::metadata(place.at("home/.config/b")).unwrap().mode() & 0o7777, 0o400);
    assert!(
        fs::symlink_metadata(place.at("home/.config/b")).unwrap().is_symlink(),
        "no value where layers are"
    );

    // Said again, nothing is touched; a new value is a new file and a new link.
    let before = place.numbers("run/secrets/A");
    let open = fs::File::open(place.at("run/secrets/A")).unwrap();
    assert!(place.go().is_empty());
    assert_eq!(place.numbers("run/secrets/A"), before);
    place.want(&[("A", "run/secrets/A", "three"), ("B", "home/.config/b", "two")]);
    assert!(place.go().is_empty());
    let after = place.numbers("run/secrets/A");
    assert!(after.0 != before.0 && after.1 != before.1);
    assert_eq!(io::read_to_string(open).unwrap(), "one\n", "who reads has the whole of one value");
    assert_eq!(fs::read_to_string(place.at("run/secrets/A")).unwrap(), "three");

    // Another place, and none at all.
    place.want(&[("A", "else/a", "three")]);
    assert!(place.go().is_empty());
    assert!(fs::symlink_metadata(place.at("run/secrets/A")).is_err());
    assert!(fs::symlink_metadata(place.at("home/.config/b")).is_err() && place.at("home/.config").exists());
    place.want(&[]);
    assert!(place.go().is_empty());
    assert_eq!(fs::read_dir(place.at("memory")).unwrap().count(), 0);
}

#[test]
fn what_is_not_ours_stays() {
    let mut place = Place::new();
    fs::write(place.at("file"), "mine").unwrap();
    symlink(place.at("file"), place.at("link")).unwrap();
    place.want(&[("A", "file", "x"), ("B", "link", "x"), ("C", "fine", "x"), ("../up", "up", "x")]);
    let failed = place.go();
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert_eq!(fs::read_to_string(place.at("link")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(place.at("fine")).unwrap(), "x");
    // Somebody replaced ours by a file of theirs.
    fs::remove_file(place.at("fine")).unwrap();
    fs::write(place.at("fine"), "theirs").unwrap();
    place.want(&[]);
    place.go();
    assert_eq!(fs::read_to_string(place.at("fine")).unwrap(), "theirs");
}

/// Needs root, as the program has it in a container.
#[test]
fn links_of_a_user_are_followed_with_their_rights_alone() {
    const USER: u32 = 40_123;
    if !getuid().is_root() {
        return;
    }
    let mut place = Place::new();
    fs::set_permissions(place.temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (folder, owner) in [("home", USER), ("home/own", USER), ("etc", 0), ("run", 0)] {
        fs::create_dir(place.at(folder)).unwrap();
        chown(place.at(folder), Some(owner), Some(owner)).unwrap();
    }
    for (link, to, owner) in [
        ("home/etc", "etc", USER),
        ("home/conf", "home/own", USER),
        ("var", "run", 0),
        ("home/new", "none", USER),
    ] {
        symlink(place.at(to), place.at(link)).unwrap();
        std::os::unix::fs::lchown(place.at(link), Some(owner), Some(owner)).unwrap();
    }
    place.want(&[
        ("A", "home/etc/a", "x"),
        ("B", "home/etc/deep/b", "x"),
        ("C", "home/conf/deep/c", "x"),
        ("D", "var/d", "x"),
        ("E", "home/new/e", "x"),
    ]);
    let failed: Vec<PathBuf> = place.go().into_keys().map(PathBuf::from).collect();
    assert_eq!(failed, ["home/etc/a", "home/etc/deep/b", "home/new/e"].map(|path| place.at(path)));
    assert!(geteuid().is_root(), "the rights are back");
    assert_eq!(fs::read_dir(place.at("etc")).unwrap().count(), 0);
    assert!(!place.at("none").exists());
    assert_eq!(fs::read_to_string(place.at("run/d")).unwrap(), "x");
    assert_eq!(fs::read_to_string(place.at("home/own/deep/c")).unwrap(), "x");
    let made = fs::metadata(place.at("home/own/deep")).unwrap();
    assert_eq!((made.uid(), made.gid()), (USER, USER));

    // A link is not taken away where the user could not do it.
    symlink(place.at("memory/C"), place.at("etc/c")).unwrap();
    let keeper = Keeper { folder: place.at("memory"), order: &place.order };
    assert!(keeper.take_away(&place.at("home/etc/c")).is_err());
    assert!(fs::symlink_metadata(place.at("etc/c")).is_ok());
    keeper.take_away(&place.at("home/conf/deep/c")).unwrap();
    assert!(fs::symlink_metadata(place.at("home/own/deep/c")).is_err());
}

#[test]
fn memory_is_told_from_disks() {
    let mounts = "1 0 0:1 / / rw - overlay overlay rw\n\
        2 1 0:2 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k\n\
        3 2 0:3 / /dev/cove/bin ro shared:1 - erofs /dev/vda ro\n";
    assert_eq!(kind_of(mounts, Path::new("/dev/cove/secrets")), Some("tmpfs"));
    assert_eq!(kind_of(mounts, Path::new("/devices")), Some("overlay"));
    let over = format!("{mounts}4 1 0:5 / /dev rw - devtmpfs udev rw\n");
    assert_eq!(kind_of(&over, Path::new("/dev/cove/secrets")), Some("devtmpfs"));
    assert_eq!(kind_of("broken", Path::new("/dev")), None);
}
