//! Passwords and tokens that this person's git has for a server, by way of git itself: its helpers are asked as for a
//! command of theirs, except that nobody can be asked to type.

use api::GrantKind;
use protocol::grants::Answer;

use super::ask::{granted, told};
use super::broker::{self, Broker};
use super::programs;

/// Longest value that is handed to git, in bytes.
const LONGEST_VALUE: usize = 4096;

/// What git in a container asks for.
pub(super) struct Wanted {
    pub(super) protocol: String,
    pub(super) host: String,
    pub(super) path: Option<String>,
    pub(super) username: Option<String>,
}

pub(super) async fn login(broker: &Broker, asked: &Wanted) -> Result<Answer, String> {
    let host = &GrantKind::Git.host(&asked.host);
    let wanted = broker::Wanted::new(GrantKind::Git, Some(host), "a login of git");
    let Some(question) = question(asked, host) else {
        return Err(broker.refuse(wanted, "only logins by https are given").await);
    };
    let grant = granted(broker, &wanted).await?;
    let leave = broker.allow(grant, wanted).await?;
    let argv = ["git", "-c", "core.askPass=", "-c", "credential.interactive=never", "credential", "fill"];
    let said = programs::lines(&argv, &broker.means(&leave.grant), question.as_bytes()).await;
    let said = said.map_err(|error| told(&error))?;
    broker.confirm(&leave).await?;
    answer(&said).ok_or_else(|| format!("git on this computer has no login for {host}"))
}

/// In git's own words; `None` for what could say more than it seems to.
fn question(asked: &Wanted, host: &str) -> Option<String> {
    if asked.protocol != "https" {
        return None;
    }
    let mut question = String::from("protocol=https\n");
    let more = [("path", asked.path.as_deref()), ("username", asked.username.as_deref())];
    for (name, value) in std::iter::once(("host", Some(host))).chain(more) {
        let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
        if value.len() > LONGEST_VALUE || value.contains(['\n', '\r', '\0']) {
            return None;
        }
        question.extend([name, "=", value, "\n"]);
    }
    question.push('\n');
    Some(question)
}

fn answer(said: &[String]) -> Option<Answer> {
    let value = |key: &str| {
        let found = said.iter().find_map(|line| line.split_once('=').filter(|(name, _)| *name == key));
        found.map(|(_, value)| value.to_owned())
    };
    let expires = value("password_expiry_utc").and_then(|text| text.parse().ok());
    Some(Answer::Login { username: value("username")?, secret: value("password")?, expires })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_what_it_says_and_nothing_more() {
        let asked = |protocol: &str, path: &str, username: &str| Wanted {
            protocol: protocol.to_owned(),
            host: "github.com".to_owned(),
            path: Some(path.to_owned()),
            username: Some(username.to_owned()),
        };
        let words = |wanted| question(&wanted, "github.com");
        assert_eq!(
            words(asked("https", "a/b.git", "")).as_deref(),
            Some("protocol=https\nhost=github.com\npath=a/b.git\n\n")
        );
        for wrong in [
            asked("http", "", ""),
            asked("https", "a\nhost=evil.example", ""),
            asked("https", "", "x\r"),
            asked("https", &"x".repeat(5000), ""),
        ] {
            assert_eq!(words(wrong), None);
        }
    }
}
