use std::os::unix::fs::symlink;

use super::*;

const LINE: &str = "Include \"/x/config\"";

fn config(folder: &tempfile::TempDir) -> PersonsConfig {
    let home = Utf8Path::from_path(folder.path()).unwrap();
    PersonsConfig { file: home.join(".ssh/config") }
}

fn mode(path: &Utf8Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_file_that_is_missing_is_made_for_its_owner_alone_and_goes_again() {
    let home = tempfile::tempdir().unwrap();
    let config = config(&home);
    assert!(!config.remove(LINE).unwrap());
    assert!(config.add(LINE).unwrap() && !config.add(LINE).unwrap());
    assert_eq!((mode(&config.file), mode(config.file.parent().unwrap())), (0o600, 0o700));
    assert!(config.includes(LINE).unwrap() && config.remove(LINE).unwrap());
    assert!(!config.file.exists());
}

#[test]
fn a_link_stays_one_and_the_file_behind_it_keeps_its_mode() {
    let home = tempfile::tempdir().unwrap();
    let config = config(&home);
    let real = Utf8Path::from_path(home.path()).unwrap().join("dotfiles/ssh");
    std::fs::create_dir_all(real.parent().unwrap()).unwrap();
    std::fs::create_dir_all(config.file.parent().unwrap()).unwrap();
    std::fs::write(&real, "Host a\n").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../dotfiles/ssh", &config.file).unwrap();
    assert!(config.add(LINE).unwrap());
    assert!(config.file.is_symlink());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), format!("{LINE}\nHost a\n"));
    assert_eq!(mode(&real), 0o640);
    assert!(config.remove(LINE).unwrap());
    assert_eq!(std::fs::read_to_string(&real).unwrap(), "Host a\n");
    assert_eq!(std::fs::read_dir(real.parent().unwrap()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn what_is_read_only_or_leads_nowhere_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let config = config(&home);
    std::fs::create_dir_all(config.file.parent().unwrap()).unwrap();
    std::fs::write(&config.file, "Host a\n").unwrap();
    std::fs::set_permissions(&config.file, std::fs::Permissions::from_mode(0o444)).unwrap();
    let problem = config.add(LINE).unwrap_err();
    assert_eq!(problem.code, ProblemCode::SshConfig);
    assert!(problem.hints.iter().any(|hint| hint.text.contains(LINE)), "{problem:?}");
    assert_eq!(std::fs::read_to_string(&config.file).unwrap(), "Host a\n");
    std::fs::remove_file(&config.file).unwrap();
    symlink("nowhere", &config.file).unwrap();
    assert!(config.add(LINE).is_err() && config.file.is_symlink());
}

/// Asks the real ssh.
#[test]
fn what_overrides_the_configuration_is_told() {
    let folder = tempfile::Builder::new().prefix("state of cove ").tempdir().unwrap();
    let home = Utf8Path::from_path(folder.path()).unwrap();
    let own = OwnConfig::provide(&HomeLayout::at(home)).unwrap();
    let person = config(&folder);
    std::fs::create_dir_all(person.file.parent().unwrap()).unwrap();
    let line = own.line().unwrap();
    for before in [
        "Match host *.cove\n  ProxyCommand nc %h %p\n  User x\n",
        "Host *\r\n  ProxyJump bastion\r\n  StrictHostKeyChecking no\r\n  IdentityAgent /1password\r\n",
        "Host *\n  HostName elsewhere\n  IdentityFile ~/.ssh/id_rsa\n  UserKnownHostsFile /dev/null\n",
        "",
    ] {
        std::fs::write(&person.file, before).unwrap();
        assert!(!own.overridden_in(&person.file).is_empty(), "{before}");
        person.add(&line).unwrap();
        assert_eq!(own.overridden_in(&person.file), [], "{before}");
        // Where something else came first, it holds.
        let text = std::fs::read_to_string(&person.file).unwrap();
        std::fs::write(&person.file, format!("Host *\n  ProxyCommand other\nHost *\n{text}")).unwrap();
        assert_eq!(own.overridden_in(&person.file), [("proxycommand", "other".to_owned())], "{before}");
    }
}

/// The address of a repository may name any host, and older versions of ssh ask no questions.
#[test]
fn a_hostile_name_of_a_host_is_no_command() {
    let folder = tempfile::tempdir().unwrap();
    let home = Utf8Path::from_path(folder.path()).unwrap();
    let own = OwnConfig::provide(&HomeLayout::at(home)).unwrap();
    let proxy = |host: &str| {
        let said = Command::new("ssh").args(["-F", own.file.as_str(), "-G", "--", host]).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        said.lines().find_map(|line| line.strip_prefix("proxycommand ").map(str::to_owned))
    };
    assert!(proxy("web.cove").unwrap().ends_with(" ssh-proxy -- '%h'"));
    assert_eq!(proxy("a';touch x;'.cove"), None);
}

#[test]
fn the_program_is_named_as_path_has_it_so_that_an_upgrade_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(temp.path()).unwrap();
    let (kept, bin, other) = (root.join("Cellar/cove/1.2.3/bin"), root.join("bin"), root.join("other"));
    for folder in [&kept, &bin, &other] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(kept.join("cove"), "this").unwrap();
    std::fs::write(other.join("cove"), "another").unwrap();
    symlink("../Cellar/cove/1.2.3/bin/cove", bin.join("cove")).unwrap();
    let lasting = |path: &str| super::lasting(kept.join("cove"), path);
    assert_eq!(lasting(&format!("{other}:relative::{bin}:{kept}")), bin.join("cove"));
    assert_eq!(lasting(other.as_str()), kept.join("cove"));
    assert_eq!(lasting(""), kept.join("cove"));
}
