//! A Docker Engine for tests on this host: the very packages of the guest image, unpacked beside it.

use camino::Utf8PathBuf;

use super::ImageError;
use super::arch::Arch;
use super::digest::Hasher;
use super::lock::Lock;
use super::packages::PackagesError;
use super::places::Places;
use super::pool::Pool;
use super::stamp::Stamp;
use super::tree;

/// The engine, its client, the client's plugins, and the init that `--init` gives a container.
const PACKAGES: &[&str] =
    &["containerd", "docker-buildx", "docker-cli", "docker-compose", "docker.io", "tini"];

/// Unpacks the engine, after the image was built and its packages are in the pool. Gives the folder.
pub(crate) fn unpack() -> Result<Utf8PathBuf, ImageError> {
    let arch = Arch::host();
    let places = Places::new(arch, None)?;
    let lock_file = places.lock("packages");
    let text = fs_err::read_to_string(&lock_file)?;
    let lock = Lock::parse(&text).map_err(|source| PackagesError::Lock { lock: lock_file, source })?;
    let pool = Pool::open(places.pool())?;
    let pins: Vec<_> = lock.pins().filter(|pin| PACKAGES.contains(&pin.name.as_str())).collect();

    let folder = places.cache.join("test-engine");
    let mut inputs = Hasher::default();
    for pin in &pins {
        inputs.add_part(pin.sha256.as_str());
    }
    let program = folder.join("usr/sbin/dockerd");
    Stamp::new(&places.cache, "test-engine", inputs, vec![program]).run(|| {
        if folder.is_symlink() {
            fs_err::remove_file(&folder)?;
        } else if folder.exists() {
            fs_err::remove_dir_all(&folder)?;
        }
        let packages: Vec<_> = pins.iter().map(|pin| pool.path(pin)).collect();
        tree::unpack(arch, &packages, &folder).map_err(super::system::SystemError::from)?;
        Ok::<_, ImageError>(())
    })?;
    Ok(folder)
}
