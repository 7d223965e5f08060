//! Who this user is to a registry: found where Docker and the reference CLI look, in their order.
//!
//! 1. `DEVCONTAINERS_OCI_AUTH` (`registry|user|token`, several with commas), the reference's own variable
//! 2. `DOCKER_AUTH_CONFIG`, a Docker configuration in a variable
//! 3. Docker's `config.json`: `credHelpers`, else `credsStore`, then `auths`
//! 4. without any of these, the platform's default credential helper
//! 5. `GITHUB_TOKEN`, for `ghcr.io`
//!
//! Nothing found means anonymous. Nothing here fails: what goes wrong is noted and told with the registry's refusal,
//! if it comes to that, because public artifacts need no credentials.

mod docker_config;
mod helper;

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;

use self::docker_config::DockerConfig;

/// The registry Docker means by its name, and the key it keeps that one's credentials under.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// Where to look.
#[derive(Clone)]
pub(crate) struct Credentials {
    environment: BTreeMap<String, String>,
    /// The folder of Docker's `config.json`.
    config_folder: Option<Utf8PathBuf>,
}

/// What to say to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password or token.
    Basic {
        /// The user.
        user: String,
        /// The password.
        secret: String,
    },
    /// A refresh token, to be exchanged for a token of the registry.
    Identity(String),
    /// A token of the registry itself.
    Registry(String),
}

/// Secrets stay out of logs.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic",
            Self::Identity(_) => "Identity",
            Self::Registry(_) => "Registry",
        })
    }
}

/// What was found for one registry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// The credential and where it came from; none means anonymous.
    pub(crate) credential: Option<(Credential, String)>,
    /// What went wrong on the way.
    pub(crate) notes: Vec<String>,
}

/// The credential that a docker with these variables has for a registry, from its own configuration and credential helpers
/// alone; `None` where it would be anonymous. May run a credential helper.
pub async fn docker_credential(registry: &str, environment: BTreeMap<String, String>) -> Option<Credential> {
    let credentials = Credentials::new(environment, None);
    credentials.docker(registry, &mut Vec::new()).await.map(|(credential, _)| credential)
}

impl Credentials {
    /// Looks into these variables, and into this folder of Docker's configuration instead of the one they name.
    pub(crate) fn new(environment: BTreeMap<String, String>, config_folder: Option<Utf8PathBuf>) -> Self {
        let config_folder = config_folder.or_else(|| {
            let named = environment.get("DOCKER_CONFIG").filter(|folder| !folder.is_empty());
            let home = environment.get("HOME").filter(|folder| !folder.is_empty());
            named.map(Utf8PathBuf::from).or_else(|| home.map(|home| Utf8PathBuf::from(home).join(".docker")))
        });
        Self { environment, config_folder }
    }

    /// A variable of the environment, unless it is empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The credential for a registry. May run a credential helper.
    pub(crate) async fn find(&self, registry: &str) -> Found {
        let mut notes = Vec::new();
        let mut credential = self.own_variable(registry, &mut notes);
        if credential.is_none() {
            credential = self.docker(registry, &mut notes).await;
        }
        if credential.is_none() {
            credential = self.github(registry);
        }
        Found { credential, notes }
    }

    fn own_variable(&self, registry: &str, notes: &mut Vec<String>) -> Option<(Credential, String)> {
        const NAME: &str = "DEVCONTAINERS_OCI_AUTH";
        for entry in self.variable(NAME)?.split(',').filter(|entry| !entry.is_empty()) {
            let mut parts = entry.splitn(3, '|');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(host), Some(user), Some(secret)) if host == registry => {
                    let credential = Credential::Basic { user: user.to_owned(), secret: secret.to_owned() };
                    return Some((credential, format!("with `{NAME}`")));
                }
                (Some(_), Some(_), Some(_)) => {}
                _ => notes.push(format!("`{NAME}` has an entry that is not `registry|user|token`")),
            }
        }
        None
    }

    async fn docker(&self, registry: &str, notes: &mut Vec<String>) -> Option<(Credential, String)> {
        let mut configured = false;
        let in_variable =
            self.variable("DOCKER_AUTH_CONFIG").map(|text| (text.to_owned(), "DOCKER_AUTH_CONFIG".into()));
        for (text, place) in in_variable.into_iter().chain(self.read_config(notes).await) {
            let config = match DockerConfig::parse(&text) {
                Ok(config) => config,
                Err(error) => {
                    notes.push(format!("`{place}` cannot be read: {error}"));
                    continue;
                }
            };
            configured |= config.has_credentials();
            if let Some(found) = self.in_config(&config, &place, registry, notes).await {
                return Some(found);
            }
        }
        if configured { None } else { self.platform_default(registry, notes).await }
    }

    async fn read_config(&self, notes: &mut Vec<String>) -> Option<(String, String)> {
        let path = self.config_folder.as_ref()?.join("config.json");
        match fs_err::tokio::read_to_string(&path).await {
            Ok(text) => Some((text, path.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                notes.push(error.to_string());
                None
            }
        }
    }

    async fn in_config(
        &self,
        config: &DockerConfig,
        place: &str,
        registry: &str,
        notes: &mut Vec<String>,
    ) -> Option<(Credential, String)> {
        if let Some((name, key)) = config.helper(registry) {
            match helper::get(name, &key, &self.environment).await {
                Ok(Some(credential)) => {
                    return Some((credential, format!("with what `docker-credential-{name}` gave")));
                }
                Ok(None) => {}
                Err(error) => notes.push(format!("`{place}` names a credential helper, but {error}")),
            }
        }
        match config.entry(registry)? {
            Ok(credential) => Some((credential, format!("with the credentials in `{place}`"))),
            Err(fault) => {
                notes.push(format!("the entry for `{registry}` in `{place}` cannot be used: {fault}"));
                None
            }
        }
    }

    /// As Docker and the reference do for people who never configured anything.
    async fn platform_default(
        &self,
        registry: &str,
        notes: &mut Vec<String>,
    ) -> Option<(Credential, String)> {
        let name = match std::env::consts::OS {
            "macos" => "osxkeychain",
            "windows" => "wincred",
            _ if helper::on_path("pass", &self.environment).is_some() => "pass",
            _ => "secretservice",
        };
        helper::on_path(&format!("docker-credential-{name}"), &self.environment)?;
        match helper::get(name, key_for(registry), &self.environment).await {
            Ok(credential) => Some((credential?, format!("with what `docker-credential-{name}` gave"))),
            Err(error) => {
                notes.push(error.to_string());
                None
            }
        }
    }

    fn github(&self, registry: &str) -> Option<(Credential, String)> {
        let ours = self.variable("GITHUB_HOST").is_none_or(|host| host == "github.com");
        let token = self.variable("GITHUB_TOKEN").filter(|_| registry == "ghcr.io" && ours)?;
        // ghcr.io looks at the token only.
        let credential = Credential::Basic { user: "USERNAME".to_owned(), secret: token.to_owned() };
        Some((credential, "with `GITHUB_TOKEN`".to_owned()))
    }
}

/// The key Docker keeps a registry's credentials under.
fn key_for(registry: &str) -> &str {
    if DOCKER_HUB.contains(&registry) { DOCKER_HUB_KEY } else { registry }
}

/// How to become known to a registry.
pub(crate) fn advice(registry: &str) -> String {
    let login = format!("if it exists and you may see it, log in with `docker login {registry}`");
    if registry == "ghcr.io" { format!("{login}, or set `GITHUB_TOKEN`") } else { login }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    struct Home(tempfile::TempDir);

    impl Home {
        fn with(config: &str) -> Self {
            let temp = tempfile::tempdir().unwrap();
            fs_err::write(temp.path().join("config.json"), config).unwrap();
            Self(temp)
        }

        fn path(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn helper(self, name: &str, script: &str) -> Self {
            use std::os::unix::fs::PermissionsExt as _;
            let path = self.path().join(format!("docker-credential-{name}"));
            fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            self
        }

        async fn find(&self, registry: &str, variables: &[(&str, &str)]) -> Found {
            let path = format!("{}:/usr/bin:/bin", self.path());
            let mut environment = BTreeMap::from([("PATH".to_owned(), path)]);
            environment.insert("DOCKER_CONFIG".to_owned(), self.path().to_string());
            environment.extend(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
            Credentials::new(environment, None).find(registry).await
        }
    }

    fn basic(user: &str, secret: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), secret: secret.to_owned() }
    }

    #[tokio::test]
    async fn each_place_is_found_in_its_turn() {
        // `dTpw` is `u:p`.
        let home = Home::with(
            r#"{"auths": {"plain.io": {"auth": "dTpw"}, "https://schemed.io/v2/": {"username": "a", "password": "b"},
                "https://index.docker.io/v1/": {"auth": "dTpw"}, "acr.io": {"auth": "MDo=", "identitytoken": "refresh"},
                "tok.io": {"registrytoken": "bearer"}},
               "credHelpers": {"helped.io": "one", "empty.io": "none"}}"#,
        )
        .helper("one", r#"read -r host; echo "{\"Username\":\"for-$host\",\"Secret\":\"s\"}""#)
        .helper("none", "echo credentials not found in native keychain; exit 1");
        for (registry, expected) in [
            ("plain.io", Some(basic("u", "p"))),
            ("schemed.io", Some(basic("a", "b"))),
            ("docker.io", Some(basic("u", "p"))),
            ("acr.io", Some(Credential::Identity("refresh".into()))),
            ("tok.io", Some(Credential::Registry("bearer".into()))),
            ("helped.io", Some(basic("for-helped.io", "s"))),
            ("empty.io", None),
            ("unknown.io", None),
            ("ghcr.io", Some(basic("USERNAME", "gh"))),
        ] {
            let found = home.find(registry, &[("GITHUB_TOKEN", "gh")]).await;
            assert_eq!(found.notes, Vec::<String>::new(), "{registry}");
            assert!(found.credential.map(|(credential, _)| credential) == expected, "{registry}");
        }
        let variables = BTreeMap::from([("GITHUB_TOKEN", "gh"), ("DOCKER_CONFIG", home.path().as_str())]);
        let variables: BTreeMap<_, _> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert!(
            docker_credential("ghcr.io", variables.clone()).await.is_none(),
            "docker knows no such token"
        );
        assert!(docker_credential("plain.io", variables).await == Some(basic("u", "p")));
        let own = ("DEVCONTAINERS_OCI_AUTH", "x.io|n|t,plain.io|me|t|with|bars");
        let found = home.find("plain.io", &[own]).await.credential.unwrap();
        assert!(found.0 == basic("me", "t|with|bars") && found.1.contains("DEVCONTAINERS_OCI_AUTH"));
        let elsewhere = [("GITHUB_TOKEN", "gh"), ("GITHUB_HOST", "github.example.com")];
        assert!(home.find("ghcr.io", &elsewhere).await.credential.is_none());
        let variable = ("DOCKER_AUTH_CONFIG", r#"{"auths": {"plain.io": {"auth": "eDp5"}}}"#);
        assert!(home.find("plain.io", &[variable]).await.credential.unwrap().0 == basic("x", "y"));
        assert!(home.find("helped.io", &[variable]).await.credential.is_some(), "the file is still read");
    }

    #[tokio::test]
    async fn a_store_answers_for_all_registries_and_may_hold_identity_tokens() {
        let home = Home::with(r#"{"auths": {"a.io": {}}, "credsStore": "desk"}"#)
            .helper("desk", r#"echo '{"Username":"<token>","Secret":"refresh"}'"#);
        let found = home.find("any.io", &[]).await;
        assert!(found.credential.unwrap().0 == Credential::Identity("refresh".into()));
    }

    #[tokio::test]
    async fn what_goes_wrong_is_noted_without_secrets() {
        let missing = Home::with(r#"{"credsStore": "desktop"}"#);
        let failing =
            Home::with(r#"{"credsStore": "bad"}"#).helper("bad", "echo SECRET; echo locked >&2; exit 2");
        let babbling = Home::with(r#"{"credsStore": "bad"}"#).helper("bad", "echo SECRET");
        let outside = Home::with(r#"{"credsStore": "../../bin/x"}"#);
        let broken = Home::with("{\n  \"auths\": {\"x.io\": ");
        let no_base64 = Home::with(r#"{"auths": {"x.io": {"auth": "SECRET!"}}}"#);
        for (home, told) in [
            (missing, "`docker-credential-desktop` is not on the PATH"),
            (failing, "locked"),
            (babbling, "its answer cannot be read"),
            (outside, "`../../bin/x` is not the name of a credential helper"),
            (broken, "cannot be read: EOF while parsing"),
            (no_base64, "`auth` is not `user:password` in base64"),
        ] {
            let found = home.find("x.io", &[]).await;
            assert!(found.credential.is_none());
            assert!(found.notes.len() == 1 && found.notes[0].contains(told), "{told}: {:?}", found.notes);
            assert!(!found.notes[0].contains("SECRET"), "{:?}", found.notes);
        }
    }
}
