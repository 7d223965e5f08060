//! Why something is left out, and what to do about it.

use std::fmt;

use serde::{Serialize, Serializer};

/// Why something is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Running containers use the volume.
    VolumeBusy {
        /// Their names.
        containers: Vec<String>,
    },
    /// The volume's content is not kept by the engine.
    VolumeDriver {
        /// Who keeps it.
        driver: String,
    },
    /// There is a volume of the name with other content.
    VolumeDiffers {
        /// The volume.
        volume: String,
        /// How it differs.
        how: String,
    },
    /// There is a volume of the name with other labels or options.
    VolumeDefined {
        /// The volume.
        volume: String,
    },
    /// There is another container of the name.
    NameTaken {
        /// The name.
        name: String,
    },
    /// There is another network of the name.
    NetworkDiffers {
        /// The name.
        name: String,
    },
    /// The network is not one engine's own.
    NetworkShared {
        /// Its scope or driver.
        scope: String,
    },
    /// What it needs is neither here nor copied.
    Lacks {
        /// In words: "the volume `data`".
        what: Vec<String>,
    },
}

impl Reason {
    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            Self::VolumeBusy { containers } => format!(
                "stop {} at the source and run this again, or copy it as it is with `--running`: a database may be \
                 torn then",
                containers.join(", ")
            ),
            Self::VolumeDriver { driver } => {
                format!("make it anew with the driver `{driver}`, or copy its content through a container")
            }
            Self::VolumeDiffers { volume, .. } | Self::VolumeDefined { volume } => format!(
                "nothing is overwritten; if the one here is not needed: `docker --context cove volume rm {volume}`"
            ),
            Self::NameTaken { name } => format!(
                "nothing is overwritten; rename the one here: `docker --context cove rename {name} {name}-old`"
            ),
            Self::NetworkDiffers { name } => format!(
                "nothing is overwritten; if the one here is not needed: `docker --context cove network rm {name}`"
            ),
            Self::NetworkShared { .. } => {
                "make a network for one engine and put the container in it".to_owned()
            }
            Self::Lacks { .. } => "see why that is left out, and run this again".to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VolumeBusy { containers } => match containers.as_slice() {
                [one] => write!(out, "the container `{one}` runs with it"),
                more => write!(out, "the containers {} run with it", more.join(", ")),
            },
            Self::VolumeDriver { driver } => {
                write!(out, "its content is kept by `{driver}`, not by the engine")
            }
            Self::VolumeDiffers { how, .. } => {
                write!(out, "there is a volume of that name here with other content ({how})")
            }
            Self::VolumeDefined { .. } => {
                out.write_str("there is a volume of that name here with other labels or options")
            }
            Self::NameTaken { .. } => out.write_str("another container here has the name"),
            Self::NetworkDiffers { .. } => {
                out.write_str("there is a network of that name here that is not alike")
            }
            Self::NetworkShared { scope } => write!(out, "it is not one engine's own ({scope})"),
            Self::Lacks { what } => write!(out, "it needs {}, neither here nor copied", what.join(" and ")),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
