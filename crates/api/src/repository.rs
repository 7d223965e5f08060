//! The URL of a git repository, as a person types it.

use std::fmt;

/// Longest URL that is taken, in bytes.
const LONGEST: usize = 2048;

/// From so many characters on, the user in a web URL is taken for a token: those of all hosts are longer.
const SHORTEST_TOKEN: usize = 20;

/// How tokens of common hosts begin, and names that only stand before one.
const TOKENS: [&str; 16] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glptt-",
    "gitlab-ci-token",
    "atbb",
    "atctt",
    "x-token-auth",
    "x-access-token",
    "x-oauth-basic",
    "oauth2",
];

/// A repository to clone: where it is, and what of it is checked out.
///
/// Only `https`, `ssh` (also `user@host:path`) and `file` are taken, and `http` to this computer itself. Git has other
/// ways, some of which run commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryUrl {
    url: String,
    branch: Option<String>,
}

/// Why a text is no repository that is cloned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryUrlError {
    /// Git would understand it, or not; it is not cloned.
    #[error("`{url}` is no repository to clone: give an https, ssh or file URL, or user@host:path")]
    Scheme {
        /// The text, without what may be secret.
        url: String,
    },
    /// What it names is no name of a host, path or branch.
    #[error("`{url}` is no repository to clone: {why}")]
    Malformed {
        /// The text, without what may be secret.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// It holds a password or token, which would be written down in many places.
    #[error(
        "the URL of the repository on `{host}` holds a password or what looks like a token: leave out what is before the @, and grant git's own credentials"
    )]
    Password {
        /// The host.
        host: String,
    },
}

/// The parts of a URL.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    path: &'a str,
}

impl RepositoryUrl {
    /// Whether a text is meant as a URL, and not as the path of a folder.
    pub fn is_meant(text: &str) -> bool {
        let is_scheme = |scheme: &str| {
            !scheme.is_empty()
                && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
        };
        let begins = |mark| text.split_once(mark).is_some_and(|(scheme, _)| is_scheme(scheme));
        begins("::") || begins("://") || scp_like(text).is_some()
    }

    /// Reads a URL, with a branch or tag behind `#` if it is not the repository's own choice.
    ///
    /// # Errors
    /// It is not one, or not one that is cloned.
    pub fn parse(text: &str) -> Result<Self, RepositoryUrlError> {
        let (url, branch) = match text.split_once('#') {
            Some((url, branch)) => (url, Some(branch)),
            None => (text, None),
        };
        let parts = parts(url).ok_or_else(|| RepositoryUrlError::Scheme { url: without_secrets(url) })?;
        let malformed = |why| RepositoryUrlError::Malformed { url: without_secrets(url), why };
        if url.len() > LONGEST || url.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(malformed("it is too long, or holds spaces"));
        }
        // What others than git and its helpers could read in two ways is not read at all: the host that a person is
        // asked about is the one that git contacts.
        if !is_host(parts.host) || !parts.user.is_none_or(is_user) {
            return Err(malformed("what is before its path is no plain `host`, `host:port` or `user@host`"));
        }
        match parts.scheme {
            "https" | "ssh" => {}
            "file" if parts.host.is_empty() || parts.host == "localhost" => {}
            "http" if is_here(parts.host) => {}
            "http" => return Err(malformed("what passes without encryption can be changed: use https")),
            _ => return Err(RepositoryUrlError::Scheme { url: without_secrets(url) }),
        }
        let is_web = matches!(parts.scheme, "https" | "http");
        if parts.user.is_some_and(|user| user.contains(':') || is_token(user, is_web)) {
            return Err(RepositoryUrlError::Password { host: parts.host.to_owned() });
        }
        if is_web && parts.path.contains(['?', '\\']) {
            return Err(malformed(
                "a repository has no query (`?`) or `\\`, and a token does not belong there",
            ));
        }
        // Programs that git starts would take what begins with a dash for an option.
        let begins = [parts.host, parts.user.unwrap_or_default(), parts.path.trim_start_matches("/~")];
        if begins.iter().any(|part| part.starts_with('-')) {
            return Err(malformed("a part of it begins with a dash"));
        }
        if parts.path.trim_matches('/').is_empty() || (parts.scheme != "file" && parts.host.is_empty()) {
            return Err(malformed("it names no repository"));
        }
        let this = Self { url: url.to_owned(), branch: None };
        match branch {
            Some(branch) => this.with_branch(branch),
            None => Ok(this),
        }
    }

    /// The same repository with another branch or tag.
    ///
    /// # Errors
    /// Git could not have one of that name.
    pub fn with_branch(mut self, branch: &str) -> Result<Self, RepositoryUrlError> {
        if !is_branch(branch) {
            let why = "what is behind # is no name of a branch or tag";
            let url = readable(&format!("{}#{branch}", self.url));
            return Err(RepositoryUrlError::Malformed { url, why });
        }
        self.branch = Some(branch.to_owned());
        Ok(self)
    }

    /// The URL for git.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The branch or tag; the repository's own choice without one.
    pub fn branch(&self) -> Option<&str> {
        self.branch.as_deref()
    }

    /// The host, or this computer.
    pub fn host(&self) -> &str {
        let host = parts(&self.url).map_or("", |parts| parts.host);
        if host.is_empty() { "this computer" } else { host }
    }

    /// What a folder with it is called, as git would call it.
    pub fn name(&self) -> String {
        let path = parts(&self.url).map_or("", |parts| parts.path).trim_end_matches('/');
        let last = path.trim_end_matches("/.git").rsplit(['/', ':']).next().unwrap_or_default();
        let last = last.strip_suffix(".git").unwrap_or(last);
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let name: String = last.chars().map(|letter| if is_plain(letter) { letter } else { '-' }).collect();
        let name: String = name.trim_start_matches(['.', '-']).chars().take(64).collect();
        if name.is_empty() { "repository".to_owned() } else { name }
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        self.branch.iter().try_for_each(|branch| write!(f, "#{branch}"))
    }
}

/// Whether git could have a branch or tag of this name, by the rules of `git check-ref-format`.
pub fn is_branch(name: &str) -> bool {
    let is_odd = |letter: char| letter.is_control() || " ~^:?*[\\".contains(letter);
    !name.is_empty()
        && name.len() <= 255
        && name != "@"
        && !name.starts_with(['-', '/'])
        && !name.ends_with(['/', '.'])
        && !name.contains("..")
        && !name.contains("//")
        && !name.contains("@{")
        && !name.chars().any(is_odd)
        && name.split('/').all(|part| !part.starts_with('.') && part.strip_suffix(".lock").is_none())
}

/// `user@host:path`.
fn scp_like(text: &str) -> Option<Parts<'_>> {
    let (place, path) = text.split_once(':')?;
    let (user, host) = place.split_once('@')?;
    let is_one = !place.contains('/') && !path.starts_with("//") && !path.starts_with(':');
    is_one.then_some(Parts { scheme: "ssh", user: Some(user), host, path })
}

fn parts(url: &str) -> Option<Parts<'_>> {
    let Some((scheme, rest)) = url.split_once("://") else { return scp_like(url) };
    if scheme.contains(':') {
        return None;
    }
    let (place, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = match place.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, place),
    };
    Some(Parts { scheme, user, host, path })
}

/// A name or number of a host, with a port or not; nothing for files.
fn is_host(host: &str) -> bool {
    let (name, port) = host_and_port(host);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    let is_number = |letter: char| letter.is_ascii_hexdigit() || ":.".contains(letter);
    let is_name = match name.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|number| number.chars().all(is_number)),
        None => name.chars().all(is_plain),
    };
    is_name && port.is_none_or(|port| !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn host_and_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // The last colon of a number is within its brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    }
}

/// The name of a user, also with a password, which is told of apart. Nothing is written as `%40`.
fn is_user(user: &str) -> bool {
    !user.is_empty() && user.chars().all(|letter| letter.is_ascii_graphic() && !"%?\\/@[]".contains(letter))
}

/// Whether what stands for a user looks like a secret.
fn is_token(user: &str, is_web: bool) -> bool {
    let user = user.to_ascii_lowercase();
    TOKENS.iter().any(|token| user.starts_with(token)) || (is_web && user.len() >= SHORTEST_TOKEN)
}

/// Whether a host is this computer.
fn is_here(host: &str) -> bool {
    matches!(host_and_port(host).0, "localhost" | "127.0.0.1" | "[::1]")
}

/// A URL for people to read, however it is written: without who logs in, and without a query.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (query, rest) = match rest.rsplit_once('@') {
        Some((before, after)) => (before.contains('?'), format!("…@{after}")),
        None => (false, rest.to_owned()),
    };
    let shown = rest.split('?').next().unwrap_or_default();
    let cut = if query || shown.len() < rest.len() { "?…" } else { "" };
    readable(&format!("{scheme}{shown}{cut}"))
}

/// A text of others for one line of a terminal.
fn readable(text: &str) -> String {
    text.chars().take(200).filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ways_that_run_nothing_are_taken() {
        for (text, name, host) in [
            ("https://git.example/team/web.git", "web", "git.example"),
            ("https://me@git.example:8443/team/web/", "web", "git.example:8443"),
            ("ssh://git@git.example:22/~me/web", "web", "git.example:22"),
            ("git@git.example:team/my web.git", "", ""),
            ("git@git.example:web.git", "web", "git.example"),
            ("file:///srv/git/.hidden/.git", "hidden", "this computer"),
            ("http://127.0.0.1:8000/x.git#v1.0/rc", "x", "127.0.0.1:8000"),
            ("http://[::1]/x", "x", "[::1]"),
            ("https://my-team@dev.git.example/team/web", "web", "dev.git.example"),
            ("ssh://git@[fe80::1]:22/x%20y", "x-20y", "[fe80::1]:22"),
            ("ssh://a-very-long-name-of-a-person@git.example/x", "x", "git.example"),
        ] {
            let read = RepositoryUrl::parse(text);
            let seen = read.as_ref().map_or((String::new(), ""), |it| (it.name(), it.host()));
            assert_eq!((seen.0.as_str(), seen.1), (name, host), "{text}: {read:?}");
            assert!(RepositoryUrl::is_meant(text), "{text}");
        }
        for text in [
            "ext::sh -c evil%",
            "fd::7",
            "git://git.example/x",
            "http://git.example/x",
            "ftp://git.example/x",
            "https://-oProxyCommand=evil/x",
            "ssh://-oProxyCommand=evil/x",
            "ssh://-l@host/x",
            "git@-oProxyCommand=evil:x",
            "git@host:-x",
            "https://git.example",
            "https://git.example/x#--upload-pack=evil",
            "https://git.example/x#a..b",
            "https://evil.example?@git.example/x",
            "https://evil.example\\@git.example/x",
            "https://evil.example%2f@git.example/x",
            "https://evil.example%00.git.example/x",
            "https://a@evil.example@git.example/x",
            "https://git.example:x/y",
            "https://git.example:99999/y",
            "https://[evil/y",
            "https://bücher.example/x",
            "https://@git.example/x",
            "https://git.example/x?a=b",
            "http://[::1].evil.example/x",
            "git@[::1]:x",
            "https://git.example/x\ny",
            "file://server/share",
            "https://git.example/x#a\n\u{1b}[2Jb",
        ] {
            let Err(refused) = RepositoryUrl::parse(text) else { panic!("{text} was taken") };
            assert!(!refused.to_string().contains(char::is_control), "{refused:?}");
        }
    }

    #[test]
    fn what_is_secret_is_refused_and_not_repeated() {
        for text in [
            "https://me:s3cret@git.example/x",
            "git://me:s3cret@git.example/x",
            "git://s3cret@git.example/x",
            "https://ghp_s3cret@git.example/x",
            "https://GHP_s3cret@git.example/x",
            "https://github_pat_s3cret@git.example/x",
            "https://glpat-s3cret@git.example/x",
            "https://ATBBs3cret@git.example/x",
            "https://x-token-auth:s3cret@git.example/x",
            "https://oauth2-s3cret@git.example/x",
            "https://0123456789-0123-s3cret@git.example/x",
            "https://me%3As3cret@git.example/x",
            "https://me:s3/cret/s3cret@git.example/x",
            "https://git.example/x?private_token=s3cret",
            "https://git.example/x?private_token=s3cret@y",
            "https://s3cret?@git.example/x",
            "ssh://ghp_s3cret@git.example/x",
            "ghp_s3cret@git.example:x",
            "me:s3cret@git.example:x",
            "https://s3cret s3cret@git.example/x",
        ] {
            let error = RepositoryUrl::parse(text).expect_err(text).to_string();
            assert!(error.contains("repository") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn folders_are_no_urls() {
        for text in ["web", "./web", "/srv/web", "a:b", "team/web", "C:/web", "..", "a@b"] {
            assert!(!RepositoryUrl::is_meant(text), "{text}");
        }
    }
}
