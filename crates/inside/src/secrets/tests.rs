use rustix::process::{getgid, getuid};

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
