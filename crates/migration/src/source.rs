//! Where the engines of other products are.

use camino::{Utf8Path, Utf8PathBuf};
use engine::{AccessError, DockerAccess, Engine};

/// A product with a Docker Engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Docker Desktop.
    DockerDesktop,
    /// OrbStack.
    OrbStack,
    /// Colima, which can have several machines: profiles.
    Colima,
}

/// What places depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    /// The person's home.
    pub home: Utf8PathBuf,
    /// `COLIMA_HOME`.
    pub colima_home: Option<Utf8PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<Utf8PathBuf>,
}

/// Where to look for an engine, the likeliest place first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Sockets.
    pub sockets: Vec<Utf8PathBuf>,
    /// What to do when nobody answers.
    pub advice: String,
}

impl Product {
    /// The name people know.
    pub fn title(self) -> &'static str {
        match self {
            Self::DockerDesktop => "Docker Desktop",
            Self::OrbStack => "OrbStack",
            Self::Colima => "Colima",
        }
    }

    /// Where its socket can be. `profile` counts for Colima alone.
    pub fn places(self, profile: Option<&str>, variables: &Variables) -> Places {
        let home = &variables.home;
        let under_home = |paths: &[&str]| paths.iter().map(|path| home.join(path)).collect();
        match self {
            Self::DockerDesktop => Places {
                // The Mac's, then Linux's.
                sockets: under_home(&[".docker/run/docker.sock", ".docker/desktop/docker.sock"]),
                advice: "start Docker Desktop and wait until its engine runs".to_owned(),
            },
            Self::OrbStack => Places {
                sockets: under_home(&[".orbstack/run/docker.sock"]),
                advice: "start OrbStack, for instance with `orb start`".to_owned(),
            },
            Self::Colima => {
                let profile = profile.unwrap_or("default");
                let config = variables.config_home.clone().unwrap_or_else(|| home.join(".config"));
                let homes = match &variables.colima_home {
                    Some(named) => vec![named.clone()],
                    None => vec![home.join(".colima"), config.join("colima")],
                };
                Places {
                    sockets: homes.iter().map(|home| home.join(profile).join("docker.sock")).collect(),
                    advice: format!(
                        "start it with `colima start {profile} --runtime docker`; `colima list` shows the profiles"
                    ),
                }
            }
        }
    }
}

/// No engine answers.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is no socket at all.
    #[error("there is no engine's socket at {}", listed(.places))]
    NoSocket {
        /// Where it was looked for.
        places: Vec<Utf8PathBuf>,
    },
    /// There is a socket, but nobody behind it, or nobody that we can speak with.
    #[error("no engine answers at `{socket}`")]
    NoAnswer {
        /// The socket.
        socket: Utf8PathBuf,
        /// What happened.
        #[source]
        source: Box<AccessError>,
    },
}

fn listed(places: &[Utf8PathBuf]) -> String {
    places.iter().map(|place| format!("`{place}`")).collect::<Vec<_>>().join(" or ")
}

/// The first engine that answers at one of the places, and its socket.
pub async fn find(places: &[Utf8PathBuf]) -> Result<(Engine, Utf8PathBuf), FindError> {
    let mut failed = None;
    for socket in places.iter().filter(|place| exists(place)) {
        let env = [("DOCKER_HOST".to_owned(), format!("unix://{socket}"))].into();
        match Engine::foreign(DockerAccess { env, ..DockerAccess::default() }).await {
            Ok(engine) => return Ok((engine, socket.clone())),
            Err(source) => {
                failed
                    .get_or_insert(FindError::NoAnswer { socket: socket.clone(), source: Box::new(source) });
            }
        }
    }
    Err(failed.unwrap_or_else(|| FindError::NoSocket { places: places.to_vec() }))
}

fn exists(place: &Utf8Path) -> bool {
    place.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_has_its_places() {
        let plain = Variables { home: "/home/me".into(), ..Variables::default() };
        let moved = Variables { colima_home: Some("/data/colima".into()), ..plain.clone() };
        for (product, profile, variables, expected) in [
            (
                Product::DockerDesktop,
                None,
                &plain,
                &["/home/me/.docker/run/docker.sock", "/home/me/.docker/desktop/docker.sock"][..],
            ),
            (Product::OrbStack, None, &plain, &["/home/me/.orbstack/run/docker.sock"]),
            (
                Product::Colima,
                None,
                &plain,
                &["/home/me/.colima/default/docker.sock", "/home/me/.config/colima/default/docker.sock"],
            ),
            (Product::Colima, Some("big"), &moved, &["/data/colima/big/docker.sock"]),
        ] {
            assert_eq!(product.places(profile, variables).sockets, expected, "{product:?}");
        }
    }
}
