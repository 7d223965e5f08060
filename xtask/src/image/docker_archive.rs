//! An image with one layer in the form that `docker load` reads: a tar with the layer, its configuration, and a
//! list of both. Written here so that the bytes depend on nothing but the layer.

use std::io::{self, Read, Write};

use camino::Utf8Path;
use serde_json::json;

use super::arch::Arch;
use super::digest::Digest;

/// Length of a tar block.
const BLOCK: usize = 512;

/// What the image is called and how a container of it starts.
pub(crate) struct Description<'text> {
    /// `repository:tag`.
    pub(crate) tag: &'text str,
    pub(crate) arch: Arch,
    /// Value of the label `devcontainer.metadata`: JSON.
    pub(crate) metadata: &'text str,
    /// Seconds since 1970 that the image says it was made at.
    pub(crate) created: u64,
}

/// Writes the archive around the tar file of the layer.
pub(crate) fn write(description: &Description<'_>, layer: &Utf8Path, out: impl Write) -> io::Result<()> {
    let diff_id = Digest::of_file(layer)?;
    let created = rfc3339_day(description.created);
    let configuration = json!({
        "architecture": description.arch.debian(),
        "os": "linux",
        "created": created,
        "config": {
            "Cmd": ["/bin/bash"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
            "Labels": { "devcontainer.metadata": description.metadata },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
        "history": [{ "created": created, "created_by": "cargo xtask image" }],
    });
    let configuration = serde_json::to_vec(&configuration)?;
    let configuration_name = format!("{}.json", Digest::of(&configuration));
    let contents = json!([{
        "Config": configuration_name,
        "RepoTags": [description.tag],
        "Layers": ["layer.tar"],
    }]);
    let mut archive = Archive { out, time: description.created };
    archive.add(&configuration_name, configuration.len() as u64, configuration.as_slice())?;
    archive.add("layer.tar", fs_err::metadata(layer)?.len(), fs_err::File::open(layer)?)?;
    let contents = serde_json::to_vec(&contents)?;
    archive.add("manifest.json", contents.len() as u64, contents.as_slice())?;
    archive.finish()
}

struct Archive<W> {
    out: W,
    time: u64,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, name: &str, size: u64, mut content: impl Read) -> io::Result<()> {
        self.out.write_all(&header(name, size, self.time))?;
        let copied = io::copy(&mut content, &mut self.out)?;
        let padding = copied.next_multiple_of(BLOCK as u64) - copied;
        self.out.write_all(&[0; BLOCK][..padding as usize])
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()
    }
}

/// A ustar header of a plain file that belongs to root.
fn header(name: &str, size: u64, time: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, &format!("{time:011o}\0"));
    // The checksum counts its own field as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// The day of a time, as RFC 3339 at midnight UTC (days to a date after Howard Hinnant's `civil_from_days`).
fn rfc3339_day(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T00:00:00Z")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn tar_reads_the_archive_and_the_digests_agree() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let layer = folder.join("layer");
        fs_err::write(&layer, b"the layer").unwrap();
        let description =
            Description { tag: "cove/base:test", arch: Arch::Arm64, metadata: "[]", created: 1_754_697_600 };
        let archive = folder.join("archive.tar");
        write(&description, &layer, fs_err::File::create(&archive).unwrap()).unwrap();

        let unpacked =
            Command::new("tar").args(["-xf", archive.as_str(), "-C", folder.as_str()]).status().unwrap();
        assert!(unpacked.success());
        assert_eq!(fs_err::read(folder.join("layer.tar")).unwrap(), b"the layer");
        let read = |name: &str| {
            serde_json::from_slice::<serde_json::Value>(&fs_err::read(folder.join(name)).unwrap()).unwrap()
        };
        let contents = read("manifest.json");
        assert_eq!(contents[0]["RepoTags"][0], "cove/base:test");
        let configuration = read(contents[0]["Config"].as_str().unwrap());
        assert_eq!(configuration["rootfs"]["diff_ids"][0], format!("sha256:{}", Digest::of("the layer")));
        assert_eq!(configuration["created"], "2025-08-09T00:00:00Z");
    }

    #[test]
    fn days_become_dates() {
        for (seconds, date) in [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_767_139_200, "2025-12-31")]
        {
            assert_eq!(rfc3339_day(seconds), format!("{date}T00:00:00Z"));
        }
    }
}
