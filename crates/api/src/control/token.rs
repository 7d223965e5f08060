//! Tokens of people, for programs.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Kind, Verb};
use crate::Name;

/// What a token can be used for, at most; who it is of may not do more either.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenScope {
    /// What; all if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<Verb>,
    /// With what; all if empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
}

impl TokenScope {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        Self::default().is_within(self)
    }

    /// Whether it lets nothing be done that the other does not.
    pub fn is_within(&self, other: &Self) -> bool {
        fn within<T: PartialEq>(some: &[T], of: &[T], all: &[T]) -> bool {
            let wanted = if some.is_empty() { all } else { some };
            of.is_empty() || wanted.iter().all(|one| of.contains(one))
        }
        within(&self.verbs, &other.verbs, &Verb::ALL) && within(&self.kinds, &other.kinds, &Kind::ALL)
    }
}

/// Asks for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonalTokenRequest {
    /// What it is for, for people.
    pub title: String,
    /// What it can be used for.
    #[serde(default)]
    #[schema(required = true)]
    pub scope: TokenScope,
    /// Seconds until it ends; at most a year.
    pub lifetime: u64,
}

/// The token, told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// What programs send.
    pub token: String,
    /// What is known of it from now on.
    pub about: PersonalToken,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonalToken {
    /// To take it back by.
    pub id: String,
    /// Whose it is.
    pub user: Name,
    /// What it is for.
    pub title: String,
    /// What it can be used for.
    pub scope: TokenScope,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// When it was last used, to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_within_another_if_nothing_in_it_is_outside() {
        let everything = TokenScope::default();
        let looking = TokenScope { verbs: vec![Verb::Get, Verb::List], kinds: Vec::new() };
        let projects = TokenScope { verbs: vec![Verb::Get], kinds: vec![Kind::Project] };
        for (narrow, wide) in [(&looking, &everything), (&projects, &looking), (&projects, &everything)] {
            assert!(narrow.is_within(wide) && !wide.is_within(narrow), "{narrow:?} {wide:?}");
            assert!(wide.is_within(wide));
        }
        let spelled_out = TokenScope { verbs: Verb::ALL.to_vec(), kinds: Kind::ALL.to_vec() };
        assert!(everything.is_everything() && spelled_out.is_everything() && !looking.is_everything());
        assert!(everything.is_within(&spelled_out));
    }
}
