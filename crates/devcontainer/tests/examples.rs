//! The examples of this repository are configurations that can be read.

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::dockerfile::Dockerfile;
use devcontainer::{Config, ContainerSource, Located, PortRules, SourceError, Sources, locate, merge, read};
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// The real disk, and no variables.
struct Disk;

impl Sources for Disk {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SourceError { path: path.to_owned(), source }),
        }
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path.exists()
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        let entries =
            path.read_dir_utf8().map_err(|source| SourceError { path: path.to_owned(), source })?.flatten();
        Ok(entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_owned()).collect())
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

fn example(name: &str) -> Config {
    let folder = Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples")).join(name);
    let located = locate(&Disk, &folder, None).expect("the example has one configuration");
    assert!(matches!(located, Located::ConfigFile(_)), "{name} has no configuration");
    read(&Disk, &folder, &located, "unused").expect("the example can be read")
}

#[test]
fn flask_postgres_is_compose_with_a_forwarded_port() {
    let config = example("flask-postgres");
    let ContainerSource::Compose(compose) = &config.container else { panic!("not compose") };
    assert_eq!(compose.service, "app");
    let resolved = merge(&[], &config);
    assert_eq!(resolved.forward_ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["8000"]);
    let rules = PortRules::new(&resolved.ports_attributes, resolved.other_ports_attributes.as_ref());
    let attributes = rules.attributes(&resolved.forward_ports[0], None);
    assert_eq!(attributes.label.as_deref(), Some("Web"));
    assert_eq!(resolved.effective_user("root"), "vscode");
}

#[test]
fn image_only_has_hooks_of_every_form() {
    let config = example("image-only");
    assert_eq!(config.container, ContainerSource::Image { image: "cove/base:trixie".to_owned() });
    let lifecycle = merge(&[], &config).lifecycle;
    assert_eq!(
        (lifecycle.on_create.len(), lifecycle.post_create.len(), lifecycle.post_start.len()),
        (1, 1, 1)
    );
}

#[test]
fn dockerfile_args_builds_on_the_base_image_as_its_own_user() {
    let config = example("dockerfile-args");
    let ContainerSource::Build(build) = &config.container else { panic!("not a build") };
    let text = Disk.read(&build.dockerfile).unwrap().expect("reading has checked that the file exists");
    let dockerfile = Dockerfile::parse(std::str::from_utf8(&text).unwrap()).unwrap();
    assert_eq!(dockerfile.base_image(None, &build.args).unwrap(), "cove/base:trixie");
    let user = dockerfile.user(None, &build.args, &BTreeMap::new()).unwrap();
    assert_eq!(user, merge(&[], &config).remote_user);
}
