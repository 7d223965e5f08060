//! What an organization's policies come to for one environment.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Admission;
use crate::Name;

/// The limits that hold for an environment, of all policies together. What is absent is not limited. A server refuses what
/// it can see when something is written; a runner gets these and holds its environments to the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Limits {
    /// Editors that environments may be opened in, by the words of `cove open --editor`: those that each of these names.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub editors: BTreeSet<Among>,
    /// Images that containers may be made of, by full name (`docker.io/library/debian:13`): those that each of these has a
    /// pattern for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub images: BTreeSet<Among>,
    /// Most environments of one person that run at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_per_user: Option<Bound<u32>>,
    /// Most environments of one person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environments_per_user: Option<Bound<u32>>,
    /// Longest time without use, in seconds, after which an environment stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<Bound<u64>>,
    /// Longest time, in seconds, after which an environment that nobody uses is to be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<Bound<u64>>,
    /// Who may reach forwarded ports, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Bound<Admission>>,
    /// Hosts that environments may always reach: those that each of these has a pattern for. Where there are none, nothing is
    /// said about any host.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub egress: BTreeSet<Among>,
    /// Whether configurations may mount folders of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_mounts: Option<Bound<bool>>,
    /// Whether configurations may run `initializeCommand` on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialize_command: Option<Bound<bool>>,
}

/// A limit, and the policies that set it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bound<T> {
    /// The limit.
    pub value: T,
    /// The policies, by name.
    pub policies: BTreeSet<Name>,
}

/// What one policy lets through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Among {
    /// The policy, by name.
    pub policy: Name,
    /// Ids or patterns.
    pub values: BTreeSet<String>,
}

impl Limits {
    /// The policy that does not allow an editor.
    pub fn forbids_editor(&self, id: &str) -> Option<&Among> {
        self.editors.iter().find(|among| !among.values.contains(id))
    }

    /// The editors that each policy allows which names any.
    pub fn allowed_editors(&self) -> BTreeSet<&str> {
        let named = self.editors.iter().flat_map(|among| &among.values).map(String::as_str);
        named.filter(|id| self.forbids_editor(id).is_none()).collect()
    }

    /// The policy that does not allow an image, whose full name this is.
    pub fn forbids_image(&self, full_name: &str) -> Option<&Among> {
        let covers = |among: &Among| among.values.iter().any(|pattern| matches_pattern(pattern, full_name));
        self.images.iter().find(|among| !covers(among))
    }

    /// Whether environments may reach a host whatever else is closed.
    pub fn always_reaches(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let covers = |among: &Among| {
            among.values.iter().any(|pattern| matches_pattern(&pattern.to_ascii_lowercase(), &host))
        };
        !self.egress.is_empty() && self.egress.iter().all(covers)
    }
}

/// Whether a pattern is for a text: `*` stands for any characters, also for `/` and for none; all else for itself. No
/// pattern takes longer than its length times that of the text.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Behind the last star, and how much of the text was left to it.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, read));
        } else if pattern.get(at) == Some(&text[read]) {
            at += 1;
            read += 1;
        } else if let Some((behind, taken)) = star {
            at = behind;
            read = taken + 1;
            star = Some((behind, read));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn among(policy: &str, values: &[&str]) -> Among {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Among { policy: Name::parse(policy).unwrap(), values }
    }

    #[test]
    fn every_policy_must_have_a_pattern() {
        let base = among("base", &["registry.example.com/*", "docker.io/library/*"]);
        let team = among("team", &["registry.example.com/team/*"]);
        let limits = Limits { images: [base, team.clone()].into(), ..Limits::default() };
        assert_eq!(limits.forbids_image("registry.example.com/team/app/web:1"), None);
        assert_eq!(limits.forbids_image("docker.io/library/debian:13"), Some(&team));
        assert_eq!(Limits::default().forbids_image("anything"), None);
    }

    #[test]
    fn without_a_list_of_hosts_none_is_promised() {
        assert!(!Limits::default().always_reaches("example.com"));
        let limits = Limits { egress: [among("base", &["*.example.com"])].into(), ..Limits::default() };
        assert!(limits.always_reaches("API.example.com"));
        assert!(!limits.always_reaches("example.com.evil.org"));
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let limits = Limits { editors: [among("base", &[])].into(), ..Limits::default() };
        assert!(limits.forbids_editor("code").is_some() && limits.allowed_editors().is_empty());
    }

    #[test]
    fn an_editor_is_allowed_by_each_policy_that_names_any() {
        let (base, team) = (among("base", &["code", "zed"]), among("team", &["cursor", "zed"]));
        let limits = Limits { editors: [base, team.clone()].into(), ..Limits::default() };
        assert_eq!(limits.allowed_editors(), ["zed"].into());
        assert_eq!((limits.forbids_editor("code"), limits.forbids_editor("zed")), (Some(&team), None));
    }

    #[test]
    fn stars_are_for_anything() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("*", "", true),
            ("**", "a/b", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*ab", "aab", true),
            ("a*b*c", "a-b-b-c", true),
            ("a", "ab", false),
            ("ab", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), fits, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_star_stands_for_it_fits(parts in proptest::collection::vec("[ab]{0,3}", 1..5), fill in "[abc]{0,3}") {
            prop_assert!(matches_pattern(&parts.join("*"), &parts.join(&fill)));
            prop_assert_eq!(matches_pattern(&parts.concat(), &(parts.concat() + &fill)), fill.is_empty());
        }
    }
}
