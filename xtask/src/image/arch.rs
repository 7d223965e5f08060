//! The two processors a guest can have, and what each is called by the tools that build it.

use std::fmt;

/// Processor architecture of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// The machine that runs the build.
    pub(crate) fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// Debian's name; also Docker's.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's target triple for the agent.
    pub(crate) fn rust_target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Debian's cross compiler for this processor: the command, and the packages that bring it with its C library.
    pub(crate) fn cross_compiler(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::Amd64 => ("x86_64-linux-gnu-gcc", ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"]),
            Self::Arm64 => ("aarch64-linux-gnu-gcc", ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
        }
    }

    /// The links that a merged-/usr root of this processor has at its top.
    pub(crate) fn top_links(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["bin", "lib", "lib64", "sbin"],
            Self::Arm64 => &["bin", "lib", "sbin"],
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.debian())
    }
}
