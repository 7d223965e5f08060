//! The image packed for its way to a person's machine. It is used unpacked: the packed files only travel.

use std::io;
use std::time::Instant;

use camino::Utf8Path;

use super::FILES;
use super::digest::{Digest, Hasher};
use super::manifest::Manifest;
use super::places::Places;
use super::stamp::Stamp;
use crate::output::{megabytes, say};

/// The most that kernel, initramfs and root may weigh together, packed.
const LIMIT: u64 = 90_000_000;
/// Slow to pack, fast to unpack.
const LEVEL: i32 = 19;
/// The largest window that a decoder accepts without being told.
const WINDOW_LOG: u32 = 27;

/// The image could not be packed, or is too large.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(
        "the packed image weighs {bytes} bytes, more than the {LIMIT} that are allowed; see which package of vm-images/packages.toml grew"
    )]
    TooLarge { bytes: u64 },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Packs each file of the image that changed, and returns the length of all.
pub(crate) fn pack(places: &Places, manifest: &Manifest) -> Result<u64, TransportError> {
    let mut total = 0;
    for name in FILES {
        let source = places.out.join(name);
        let packed = places.out.join(format!("{name}.zst"));
        let mut inputs = Hasher::default();
        inputs.add_part(manifest.digest(name).map_or("", Digest::as_str));
        inputs.add_part(format!("{LEVEL} {WINDOW_LOG}"));
        Stamp::new(&places.out, &format!("{name}.zst"), inputs, vec![packed.clone()]).run(|| {
            let started = Instant::now();
            compress(&source, &packed)?;
            say(format!("packed {name} in {:.0} s", started.elapsed().as_secs_f64()));
            Ok::<_, io::Error>(())
        })?;
        let size = fs_err::metadata(&packed)?.len();
        say(format!("{name}.zst: {}", megabytes(size)));
        total += size;
    }
    say(format!("for transport: {}", megabytes(total)));
    if total > LIMIT {
        return Err(TransportError::TooLarge { bytes: total });
    }
    Ok(total)
}

/// Compresses a file with zstd. One thread: the number of threads changes the bytes.
pub(crate) fn compress(source: &Utf8Path, packed: &Utf8Path) -> io::Result<()> {
    let partial = packed.with_extension("partial");
    let mut encoder = zstd::Encoder::new(fs_err::File::create(&partial)?, LEVEL)?;
    encoder.long_distance_matching(true)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(fs_err::metadata(source)?.len()))?;
    io::copy(&mut fs_err::File::open(source)?, &mut encoder)?;
    encoder.finish()?;
    fs_err::rename(partial, packed)
}
