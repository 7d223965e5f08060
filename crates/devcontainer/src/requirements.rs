//! What a configuration asks of the machine it runs on.

use crate::decode::{Fields, Mistakes, Spot};
use crate::jsonc::NodeKind;
use serde::{Deserialize, Serialize};

/// A number of bytes, written `8gb`, `512mb` or plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(
    /// Bytes.
    pub u64,
);

impl Size {
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
        let shift = match text[digits.len()..].trim() {
            "" => 0,
            "k" | "kb" => 10,
            "m" | "mb" => 20,
            "g" | "gb" => 30,
            "t" | "tb" => 40,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << shift).map(Self)
    }

    fn decode(spot: &Spot, mistakes: &mut Mistakes) -> Option<Self> {
        let read = match &spot.node.kind {
            NodeKind::Text(text) => Self::from_text(text),
            _ => spot.whole_number().map(Self),
        };
        read.or_else(|| spot.unexpected("a size such as \"8gb\"", mistakes))
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.0.to_string()
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::from_text(&text).ok_or(format!("`{text}` is not a size"))
    }
}

/// The least a machine should have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostRequirements {
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Main memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Room on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Size>,
    /// A graphics processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
}

/// How much a graphics processor matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenGpu", into = "WrittenGpu")]
pub enum Gpu {
    /// Not needed.
    No,
    /// Used where there is one.
    Optional,
    /// Needed, any will do.
    Required,
    /// Needed, at least this one.
    AtLeast {
        /// Its cores.
        cores: Option<u32>,
        /// Its memory.
        memory: Option<Size>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenGpu {
    Flag(bool),
    Word(String),
    AtLeast {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cores: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory: Option<Size>,
    },
}

impl From<Gpu> for WrittenGpu {
    fn from(gpu: Gpu) -> Self {
        match gpu {
            Gpu::No => Self::Flag(false),
            Gpu::Required => Self::Flag(true),
            Gpu::Optional => Self::Word("optional".to_owned()),
            Gpu::AtLeast { cores, memory } => Self::AtLeast { cores, memory },
        }
    }
}

impl From<WrittenGpu> for Gpu {
    fn from(written: WrittenGpu) -> Self {
        match written {
            WrittenGpu::Flag(false) => Self::No,
            WrittenGpu::Flag(true) => Self::Required,
            WrittenGpu::Word(_) => Self::Optional,
            WrittenGpu::AtLeast { cores, memory } => Self::AtLeast { cores, memory },
        }
    }
}

impl HostRequirements {
    pub(crate) fn decode(mut fields: Fields, mistakes: &mut Mistakes) -> Self {
        Self {
            cpus: decode_count(&mut fields, "cpus", mistakes),
            memory: fields.take("memory").and_then(|spot| Size::decode(&spot, mistakes)),
            storage: fields.take("storage").and_then(|spot| Size::decode(&spot, mistakes)),
            gpu: fields.take("gpu").and_then(|spot| Gpu::decode(spot, mistakes)),
        }
    }

    /// The larger of each.
    pub(crate) fn maximum(self, other: Self) -> Self {
        Self {
            cpus: self.cpus.max(other.cpus),
            memory: self.memory.max(other.memory),
            storage: self.storage.max(other.storage),
            gpu: match (self.gpu, other.gpu) {
                (Some(one), Some(two)) => Some(one.maximum(two)),
                (one, two) => one.or(two),
            },
        }
    }
}

fn decode_count(fields: &mut Fields, name: &str, mistakes: &mut Mistakes) -> Option<u32> {
    let spot = fields.take(name)?;
    let count = spot.whole_number().and_then(|number| u32::try_from(number).ok());
    count.filter(|count| *count > 0).or_else(|| spot.unexpected("a number above 0", mistakes))
}

impl Gpu {
    fn decode(spot: Spot, mistakes: &mut Mistakes) -> Option<Self> {
        const EXPECTED: &str = "true, false, \"optional\" or an object with \"cores\" and \"memory\"";
        match &spot.node.kind {
            NodeKind::Bool(false) => Some(Self::No),
            NodeKind::Bool(true) => Some(Self::Required),
            NodeKind::Text(text) if text == "optional" => Some(Self::Optional),
            NodeKind::Map(_) => {
                let mut fields = spot.fields(EXPECTED, mistakes)?;
                let cores = decode_count(&mut fields, "cores", mistakes);
                let memory = fields.take("memory").and_then(|spot| Size::decode(&spot, mistakes));
                Some(Self::AtLeast { cores, memory })
            }
            _ => spot.unexpected(EXPECTED, mistakes),
        }
    }

    /// The stronger wish; two detailed ones take the larger of each.
    fn maximum(self, other: Self) -> Self {
        match (self, other) {
            (Self::AtLeast { cores, memory }, Self::AtLeast { cores: other_cores, memory: other_memory }) => {
                Self::AtLeast { cores: cores.max(other_cores), memory: memory.max(other_memory) }
            }
            (detailed @ Self::AtLeast { .. }, _) | (_, detailed @ Self::AtLeast { .. }) => detailed,
            (Self::Required, _) | (_, Self::Required) => Self::Required,
            (Self::Optional, _) | (_, Self::Optional) => Self::Optional,
            (Self::No, Self::No) => Self::No,
        }
    }
}
