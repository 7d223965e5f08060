//! Who may see the page: tokens that work once, the sessions they become, and where that is remembered.
//!
//! A session outlives the daemon, so that a page that is open goes on after a restart; only the digest of its token is
//! kept. The app's sessions are in memory alone: it asks anew.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How long a token waits to be swapped.
const SWAPPED_WITHIN: Duration = Duration::from_mins(2);

/// How long a session that nobody uses is remembered.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// Most sessions of a kind at once; the one that was not used for longest goes first.
const MOST: usize = 16;

/// A session's use is written down at most this often.
const WRITTEN_EVERY: Duration = Duration::from_hours(24);

/// What is remembered between two daemons.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    /// The port it was served on.
    port: Option<u16>,
    /// Sessions of browsers.
    sessions: Vec<Session>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    /// Hexadecimal SHA-256 of its token.
    digest: String,
    used: Timestamp,
}

/// Tokens and sessions.
#[derive(Debug)]
pub struct Sessions {
    file: Utf8PathBuf,
    kept: Kept,
    app: Vec<Session>,
    waiting: Vec<Session>,
}

impl Sessions {
    /// What an earlier daemon left. A file that cannot be read counts as none: people ask for the page again.
    pub fn open(file: Utf8PathBuf) -> Self {
        let kept = fs_err::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { file, kept: kept.unwrap_or_default(), app: Vec::new(), waiting: Vec::new() }
    }

    /// The port that pages which are open know.
    pub fn port(&self) -> Option<u16> {
        self.kept.port
    }

    /// Whether a page may be open somewhere that an earlier daemon served.
    pub fn is_awaited(&self, now: Timestamp) -> bool {
        self.kept.port.is_some() && self.kept.sessions.iter().any(|session| session.is_alive(now))
    }

    /// Remembers the port.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_port(&mut self, port: u16) -> io::Result<()> {
        if self.kept.port == Some(port) {
            return Ok(());
        }
        self.kept.port = Some(port);
        self.write()
    }

    /// A token that becomes a session once.
    pub fn issue(&mut self, now: Timestamp) -> String {
        self.waiting.retain(|waiting| is_within(waiting.used, SWAPPED_WITHIN, now));
        let (token, session) = made(now);
        add(&mut self.waiting, session);
        token
    }

    /// Swaps a token for a session's own, if it waits.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn swap(&mut self, token: &str, now: Timestamp) -> io::Result<Option<String>> {
        let digest = digest_of(token);
        let Some(place) = self.waiting.iter().position(|waiting| waiting.digest == digest) else {
            return Ok(None);
        };
        let waiting = self.waiting.remove(place);
        if !is_within(waiting.used, SWAPPED_WITHIN, now) {
            return Ok(None);
        }
        let (token, session) = made(now);
        self.kept.sessions.retain(|session| session.is_alive(now));
        add(&mut self.kept.sessions, session);
        self.write()?;
        Ok(Some(token))
    }

    /// A session for the app's window.
    pub fn admit_app(&mut self, now: Timestamp) -> String {
        let (token, session) = made(now);
        add(&mut self.app, session);
        token
    }

    /// Whether the token is of a session; that it was used is remembered.
    pub fn knows(&mut self, token: &str, now: Timestamp) -> bool {
        // Digests are compared: how long that takes tells nothing of a token.
        let digest = digest_of(token);
        if let Some(session) = self.app.iter_mut().find(|session| session.digest == digest) {
            session.used = now;
            return true;
        }
        let found = self.kept.sessions.iter_mut().find(|session| session.digest == digest);
        let Some(session) = found.filter(|session| session.is_alive(now)) else { return false };
        if !is_within(session.used, WRITTEN_EVERY, now) {
            session.used = now;
            if let Err(error) = self.write() {
                tracing::warn!(%error, "the use of a page's session could not be remembered");
            }
        }
        true
    }

    /// Ends all sessions.
    ///
    /// # Errors
    /// The file cannot be written; sessions of browsers would live again with the next daemon.
    pub fn end_all(&mut self) -> io::Result<()> {
        self.app.clear();
        self.waiting.clear();
        self.kept.sessions.clear();
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let json = serde_json::to_vec(&self.kept).map_err(io::Error::other)?;
        host::whole_file::write_for(&self.file, &json, 0o600)
    }
}

impl Session {
    fn is_alive(&self, now: Timestamp) -> bool {
        is_within(self.used, REMEMBERED, now)
    }
}

/// A clock that was put back makes nothing old.
fn is_within(since: Timestamp, limit: Duration, now: Timestamp) -> bool {
    now.duration_since(since).unsigned_abs() <= limit || now < since
}

fn made(now: Timestamp) -> (String, Session) {
    // 244 bits from the system's source of randomness.
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    bytes[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let session = Session { digest: digest_of(&token), used: now };
    (token, session)
}

fn add(sessions: &mut Vec<Session>, session: Session) {
    if sessions.len() >= MOST
        && let Some(oldest) = (0..sessions.len()).min_by_key(|index| sessions[*index].used)
    {
        sessions.remove(oldest);
    }
    sessions.push(session);
}

fn digest_of(token: &str) -> String {
    Sha256::digest(token).iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use jiff::ToSpan;

    use super::*;

    fn place() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("page.json");
        (folder, file)
    }

    #[test]
    fn a_token_works_once_and_not_for_long() {
        let (_folder, file) = place();
        let now = Timestamp::now();
        let mut sessions = Sessions::open(file);
        let token = sessions.issue(now);
        assert!(!sessions.knows(&token, now), "a token is no session");
        let session = sessions.swap(&token, now).unwrap().unwrap();
        assert!(sessions.knows(&session, now));
        assert_eq!(sessions.swap(&token, now).unwrap(), None);
        let late = sessions.issue(now);
        assert_eq!(sessions.swap(&late, now + 3.minutes()).unwrap(), None);
        assert_eq!(sessions.swap("", now).unwrap(), None);
    }

    #[test]
    fn a_session_of_a_browser_outlives_the_daemon_and_its_token_is_not_in_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, file) = place();
        let now = Timestamp::now();
        let mut sessions = Sessions::open(file.clone());
        let token = sessions.issue(now);
        let browser = sessions.swap(&token, now).unwrap().unwrap();
        let app = sessions.admit_app(now);
        sessions.set_port(4000).unwrap();
        let text = fs_err::read_to_string(&file).unwrap();
        assert!(!text.contains(&browser) && !text.contains(&token), "{text}");
        assert_eq!(fs_err::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let mut next = Sessions::open(file.clone());
        assert!(next.is_awaited(now) && next.port() == Some(4000));
        assert!(next.knows(&browser, now) && !next.knows(&app, now));
        assert!(!next.knows(&browser, now + (31 * 24).hours()), "nobody used it for a month");
        next.end_all().unwrap();
        assert!(!Sessions::open(file).knows(&browser, now));
    }

    #[test]
    fn there_are_not_more_than_so_many_and_the_unused_go_first() {
        let (_folder, file) = place();
        let now = Timestamp::now();
        let mut sessions = Sessions::open(file);
        let mut tokens = Vec::new();
        for count in 0..=MOST {
            let then = now + i64::try_from(count).unwrap().seconds();
            tokens.push(sessions.admit_app(then));
        }
        assert!(!sessions.knows(&tokens[0], now) && sessions.knows(&tokens[1], now));
    }
}
