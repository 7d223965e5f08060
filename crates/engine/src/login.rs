//! Who an image is pulled for.

use bollard::auth::DockerCredentials;

/// Who pulls. An engine knows nobody of itself: whoever asks it brings the login along.
#[derive(Clone)]
pub enum Login {
    /// A user and a password or token.
    User {
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

impl Login {
    pub(crate) fn for_the_engine(self) -> DockerCredentials {
        let none = DockerCredentials::default();
        match self {
            Self::User { user, secret } => {
                DockerCredentials { username: Some(user), password: Some(secret), ..none }
            }
            Self::Identity(token) => DockerCredentials { identitytoken: Some(token), ..none },
            Self::Registry(token) => DockerCredentials { registrytoken: Some(token), ..none },
        }
    }
}

/// Secrets stay out of logs.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}
