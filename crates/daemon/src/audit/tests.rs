use api::GrantKind;

use super::files::{Files, MOST_FILES, paths};
use super::*;

struct Folder {
    _temp: tempfile::TempDir,
    path: Utf8PathBuf,
}

impl Folder {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(temp.path()).unwrap().join("audit");
        Self { _temp: temp, path }
    }

    fn last(&self) -> Utf8PathBuf {
        paths(&self.path).unwrap().pop().unwrap()
    }
}

async fn used(audit: &Audit, purpose: &str) {
    let host = Some("github.com".to_owned());
    let event = AuditEvent::Used { kind: GrantKind::SshAgent, host, purpose: purpose.to_owned() };
    audit.record(None, None, event).await.unwrap();
}

#[tokio::test]
async fn lines_are_bound_to_each_other_and_only_their_owner_reads_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let audit = Audit::open(&folder.path).unwrap();
    let mut news = audit.follow();
    for purpose in ["one", "two\n{\"forged\": true}", "three"] {
        used(&audit, purpose).await;
    }
    drop(audit);
    let audit = Audit::open(&folder.path).unwrap();
    used(&audit, "four").await;
    let mode = |path: &Utf8Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder.path), mode(&folder.last())), (0o700, 0o600));
    let records = audit.read(None, None).await.unwrap();
    assert_eq!(records.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(news.recv().await.unwrap(), records[0]);
    assert_eq!(audit.read(None, Some(1)).await.unwrap(), records[3..]);
    assert_eq!(audit.read(Some(EnvironmentId("other".into())), None).await.unwrap(), []);
    let check = audit.verify().await.unwrap();
    assert_eq!((check.records, check.first, check.last, &check.broken), (4, 1, 4, &None));

    // Whatever is changed, taken out or put in is found, at the end as well.
    let text = fs_err::read_to_string(folder.last()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (changed, line) in [
        (text.replace("one", "0ne"), 2),
        ([lines[0], lines[2], lines[3], ""].join("\n"), 2),
        ([lines[1], lines[2], ""].join("\n"), 1),
        ([lines[0], lines[1], lines[2], ""].join("\n"), 3),
        (text.replace("four", "f0ur"), 4),
        (format!("{text}{{\"forged\": true}}"), 5),
        (format!("{text}{}\n", "x".repeat(100_000)), 5),
        (text.trim_end().to_owned(), 4),
        (String::new(), 1),
        ([lines[0], lines[0], lines[1], ""].join("\n"), 2),
        ([lines[0], "{}", lines[1], ""].join("\n"), 2),
    ] {
        fs_err::write(folder.last(), changed).unwrap();
        let broken = audit.verify().await.unwrap().broken.map_or(0, |broken| broken.line);
        assert_eq!(broken, line);
    }
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_taken_away_and_that_is_told() {
    for cut in [1, 20, 200] {
        let folder = Folder::new();
        let audit = Audit::open(&folder.path).unwrap();
        used(&audit, "one").await;
        let kept = fs_err::read(folder.last()).unwrap();
        used(&audit, "two").await;
        drop(audit);
        let whole = fs_err::read(folder.last()).unwrap();
        let cut = whole.len().saturating_sub(cut).max(kept.len() + 1);
        fs_err::write(folder.last(), &whole[..cut]).unwrap();
        let audit = Audit::open(&folder.path).unwrap();
        used(&audit, "three").await;
        let records = audit.read(None, None).await.unwrap();
        let bytes = (cut - kept.len()) as u64;
        assert_eq!(records[1].event, AuditEvent::Healed { bytes });
        assert_eq!(records.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(audit.verify().await.unwrap().broken, None);
    }
}

#[tokio::test]
async fn the_chain_goes_on_in_the_next_file_and_the_oldest_goes() {
    let folder = Folder::new();
    let audit = Audit::open(&folder.path).unwrap();
    {
        let mut files = audit.inner.files.lock().unwrap();
        *files = Files::open(&folder.path).unwrap().0.with_full(1000);
    }
    for number in 0..200 {
        used(&audit, &format!("use {number}")).await;
    }
    let kept = paths(&folder.path).unwrap();
    assert_eq!(kept.len(), MOST_FILES);
    let check = audit.verify().await.unwrap();
    assert_eq!((check.last, &check.broken), (200, &None));
    assert!(check.first > 1 && check.records == 201 - check.first, "{check:?}");

    // A new file of which no line was whole is no end of the chain.
    drop(audit);
    fs_err::write(folder.path.join(format!("{:020}.jsonl", 201)), "{\"sequence\":201,").unwrap();
    let audit = Audit::open(&folder.path).unwrap();
    used(&audit, "more").await;
    let check = audit.verify().await.unwrap();
    assert_eq!((check.last, check.broken), (202, None));
}

#[tokio::test]
async fn what_cannot_be_written_is_an_error_and_no_half_line() {
    let folder = Folder::new();
    let audit = Audit::open(&folder.path).unwrap();
    fs_err::remove_dir_all(&folder.path).unwrap();
    assert!(audit.record(None, None, AuditEvent::Ssh).await.is_err());
    fs_err::create_dir(&folder.path).unwrap();
    used(&audit, "one").await;
    assert_eq!(audit.verify().await.unwrap().records, 1);
}
