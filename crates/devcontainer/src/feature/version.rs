//! Versions as npm's `semver` reads them, as far as tags of registries need it, and what is newer than what
//! a configuration uses.

use super::reference::{OciFeature, OciVersion};
use serde::Serialize;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A semantic version. Build metadata is no part of the comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The first number.
    pub major: u64,
    /// The second number.
    pub minor: u64,
    /// The third number.
    pub patch: u64,
    /// What stands behind `-`, split at dots; empty for a release.
    pub pre: Vec<String>,
}

/// A text that is not `x.y.z`, with or without `-pre` and `+build`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a version such as 1.2.3")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let text = text.trim().trim_start_matches(['v', '=']).trim_start();
        let text = match text.split_once('+') {
            Some((version, build)) if is_identifiers(build, false) => version,
            Some(_) => return Err(NotAVersion),
            None => text,
        };
        let (numbers, pre) = match text.split_once('-') {
            Some((numbers, pre)) if is_identifiers(pre, true) => {
                (numbers, pre.split('.').map(str::to_owned).collect())
            }
            Some(_) => return Err(NotAVersion),
            None => (text, Vec::new()),
        };
        let numbers: Vec<u64> = numbers.split('.').map(number).collect::<Option<_>>().ok_or(NotAVersion)?;
        let [major, minor, patch] = numbers[..] else { return Err(NotAVersion) };
        Ok(Self { major, minor, patch, pre })
    }
}

/// A number without leading zeros, small enough for JavaScript.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|number| plain && *number < 1 << 53)
}

fn is_identifiers(text: &str, numbers_are_strict: bool) -> bool {
    text.split('.').all(|identifier| {
        let digits = identifier.bytes().all(|byte| byte.is_ascii_digit());
        !identifier.is_empty()
            && identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !(numbers_are_strict && digits && identifier.len() > 1 && identifier.starts_with('0'))
    })
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre.is_empty() { Ok(()) } else { write!(out, "-{}", self.pre.join(".")) }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (false, false) => compare_pre(&self.pre, &other.pre),
            // A release is newer than everything that led to it.
            (mine, theirs) => mine.cmp(&theirs),
        })
    }
}

fn compare_pre(left: &[String], right: &[String]) -> Ordering {
    let differing = left.iter().zip(right).map(|(left, right)| match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    });
    differing.into_iter().find(|ordering| ordering.is_ne()).unwrap_or(left.len().cmp(&right.len()))
}

impl Version {
    /// Whether the version is one of those that a tag stands for: `1` and `1.2` for every release that
    /// begins so, `1.2.3` for itself. A pre-release is met only by its own full version. Anything that is
    /// not written like this stands for none.
    pub fn satisfies(&self, range: &str) -> bool {
        if let Ok(exact) = range.parse::<Self>() {
            return *self == exact;
        }
        let range = range.trim().trim_start_matches(['v', '=']);
        let mut parts = Vec::new();
        for part in range.split('.') {
            match part {
                "x" | "X" | "*" => break,
                part => match number(part) {
                    Some(part) => parts.push(part),
                    None => return false,
                },
            }
        }
        let own = [self.major, self.minor, self.patch];
        self.pre.is_empty() && own.starts_with(&parts)
    }
}

/// What a configuration uses of a feature, could use, and what there is: one row of `outdated`. Serializes
/// to the reference's JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureVersions {
    /// The version in use: the lockfile's, else the wanted one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// The newest that the reference in the configuration allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// Its first number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_major: Option<String>,
    /// The newest of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
    /// Its first number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_major: Option<String>,
}

/// Compares what is used with the tags of the registry. `locked` is the lockfile's version; `pinned` the
/// version that the feature's own file says, needed only for a reference by digest that is not locked.
pub fn versions_of(
    feature: &OciFeature,
    tags: &[String],
    locked: Option<&str>,
    pinned: Option<&str>,
) -> FeatureVersions {
    let mut versions: Vec<(Version, &String)> =
        tags.iter().filter_map(|tag| Some((tag.parse().ok()?, tag))).collect();
    versions.sort_by(|left, right| right.0.cmp(&left.0));
    let latest = versions.first().map(|(_, tag)| (*tag).clone());
    let wanted = match &feature.version {
        OciVersion::Tag(tag) if tag == "latest" => latest.clone(),
        OciVersion::Tag(tag) => {
            versions.iter().find(|(version, _)| version.satisfies(tag)).map(|(_, tag)| (*tag).clone())
        }
        OciVersion::Digest(_) => locked.or(pinned).map(str::to_owned),
    };
    let major = |version: &Option<String>| {
        let version: Version = version.as_ref()?.parse().ok()?;
        Some(version.major.to_string())
    };
    FeatureVersions {
        current: locked.map(str::to_owned).or_else(|| wanted.clone()),
        wanted_major: major(&wanted),
        latest_major: major(&latest),
        wanted,
        latest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::{FeatureReference, LegacyIds};
    use proptest::prelude::*;

    #[test]
    fn orders_versions() {
        let ascending = [
            "0.9.9",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-10",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta",
            "1.0.0",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        let versions: Vec<Version> = ascending.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.windows(2).all(|pair| pair[0] < pair[1]));
        assert!("1.0.0+a".parse::<Version>().unwrap() == "v1.0.0+b".parse().unwrap());
        for wrong in ["", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.x", "latest", "1.2.3+"]
        {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_stand_for_ranges() {
        let cases = [
            ("1.2.3", "1", true),
            ("1.2.3", "1.2", true),
            ("1.2.3", "1.2.3", true),
            ("1.2.3", "1.x", true),
            ("1.2.3", "1.3", false),
            ("10.0.0", "1", false),
            ("1.2.3-beta", "1", false),
            ("1.2.3-beta", "1.2.3-beta", true),
            ("1.2.3", "dev", false),
            ("1.2.3", "1.2.3.4", false),
        ];
        for (version, range, expected) in cases {
            assert_eq!(version.parse::<Version>().unwrap().satisfies(range), expected, "{version} {range}");
        }
    }

    #[test]
    fn says_what_is_outdated() {
        let tags = ["1", "1.0", "1.0.4", "1.0.5", "1.3.2", "2.1.0", "latest"].map(str::to_owned);
        let row = |written: &str, locked: Option<&str>, pinned: Option<&str>| {
            let reference = FeatureReference::parse(written, None, LegacyIds::Mapped).unwrap();
            let FeatureReference::Oci(feature) = reference else { panic!("not of a registry") };
            let row = versions_of(&feature, &tags, locked, pinned);
            serde_json::to_string(&row).unwrap()
        };
        let digest = format!("ghcr.io/a/b@sha256:{}", "0".repeat(64));
        insta::assert_snapshot!(row("ghcr.io/a/b:1.0", Some("1.0.4"), None), @r#"{"current":"1.0.4","wanted":"1.0.5","wantedMajor":"1","latest":"2.1.0","latestMajor":"2"}"#);
        insta::assert_snapshot!(row("ghcr.io/a/b", None, None), @r#"{"current":"2.1.0","wanted":"2.1.0","wantedMajor":"2","latest":"2.1.0","latestMajor":"2"}"#);
        insta::assert_snapshot!(row("ghcr.io/a/b:0", None, None), @r#"{"latest":"2.1.0","latestMajor":"2"}"#);
        insta::assert_snapshot!(row(&digest, None, Some("1.0.4")), @r#"{"current":"1.0.4","wanted":"1.0.4","wantedMajor":"1","latest":"2.1.0","latestMajor":"2"}"#);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9v=.+xa-]{0,12}", range in "[0-9v=.+x*a-]{0,12}") {
            if let Ok(version) = text.parse::<Version>() {
                let _outcome = version.satisfies(&range);
                prop_assert_eq!(version.to_string().parse::<Version>(), Ok(version));
            }
        }
    }
}
