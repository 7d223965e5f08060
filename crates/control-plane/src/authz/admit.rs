//! Whether a change of an environment is within the limits, as far as a server sees.
//!
//! Which image a container is made of, what it mounts and which editor is opened is known where an environment runs: its
//! runner holds it to these.

use std::collections::BTreeSet;
use std::fmt;

use api::control::{Admission, Bound, EnvironmentSpec, ForwardedPort, Limits};
use api::{DesiredPhase, IdlePolicy, Name};

/// How many environments somebody has, beside the one that is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that are not on their way out.
    pub environments: u32,
    /// Those that are to run.
    pub running: u32,
}

impl Counts {
    /// Of all environments of an organization but the one that is written. They must be read in the transaction that
    /// writes, or two changes at a time are one too many.
    pub fn of<'a>(owner: &Name, others: impl IntoIterator<Item = &'a EnvironmentSpec>) -> Self {
        let mut counts = Self::default();
        for other in others.into_iter().filter(|other| other.owner.as_ref() == Some(owner)) {
            counts.environments += u32::from(stays(other));
            counts.running += u32::from(runs(other));
        }
        counts
    }
}

/// A policy does not allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{beyond}, says {}", named(.policies))]
pub struct Forbidden {
    /// The policies that set the limit there.
    pub policies: BTreeSet<Name>,
    /// The limit, and what is beyond it.
    pub beyond: Beyond,
}

/// What is beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// Too many of one person run.
    RunningPerUser {
        /// The most.
        most: u32,
    },
    /// One person has too many.
    EnvironmentsPerUser {
        /// The most.
        most: u32,
    },
    /// It would stop too late.
    StopAfter {
        /// The longest time, in seconds.
        most: u64,
        /// What was wanted.
        wanted: IdlePolicy,
    },
    /// Too many could reach a port.
    Port {
        /// Which of the ports, counted from zero.
        index: usize,
        /// At most these may.
        most: Admission,
        /// Those who could.
        wanted: Admission,
    },
}

impl Beyond {
    /// The field of the spec that is to be changed, with the point before it.
    pub fn field(&self) -> String {
        match self {
            Self::RunningPerUser { .. } => ".desired_phase".to_owned(),
            Self::EnvironmentsPerUser { .. } => String::new(),
            Self::StopAfter { .. } => ".idle.stop_after".to_owned(),
            Self::Port { index, .. } => format!(".ports[{index}].admission"),
        }
    }

    /// What to do instead.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::RunningPerUser { .. } => "stop another one first",
            Self::EnvironmentsPerUser { .. } => "delete another one first",
            Self::StopAfter { .. } => "give a shorter time, or none",
            Self::Port { .. } => "let fewer reach it, or leave the admission out: then its owner alone does",
        }
    }
}

/// Fills what a person left open with what the limits say: an environment for which no time is given stops after the longest
/// that it may.
pub fn fit(limits: &Limits, spec: &mut EnvironmentSpec) {
    if let Some(most) = &limits.stop_after {
        spec.idle.stop_after.get_or_insert(most.value);
    }
}

/// Whether a change is within the limits. `before` is absent for an environment that is new, `counts` are those of who
/// owns it afterwards. Only what the change itself takes beyond a limit is refused: a limit that became narrower keeps nobody
/// from stopping, deleting, or changing something else.
///
/// # Errors
/// The first limit it goes beyond.
pub fn admit(
    limits: &Limits,
    before: Option<&EnvironmentSpec>,
    after: &EnvironmentSpec,
    counts: Counts,
) -> Result<(), Forbidden> {
    if !stays(after) {
        return Ok(());
    }
    // Of an environment that was another's, everything is new to who has it now.
    let before_of_theirs = before.filter(|before| before.owner == after.owner);
    let is_more = |counts: fn(&EnvironmentSpec) -> bool| {
        after.owner.is_some() && counts(after) && !before_of_theirs.is_some_and(counts)
    };
    if let Some(bound) = &limits.environments_per_user
        && is_more(stays)
        && counts.environments >= bound.value
    {
        return Err(beyond(bound, Beyond::EnvironmentsPerUser { most: bound.value }));
    }
    if let Some(bound) = &limits.running_per_user
        && is_more(runs)
        && counts.running >= bound.value
    {
        return Err(beyond(bound, Beyond::RunningPerUser { most: bound.value }));
    }
    if let Some(bound) = &limits.stop_after
        && before.is_none_or(|before| before.idle != after.idle || before.project != after.project)
        && after.idle.stop_after.is_none_or(|wanted| wanted > bound.value)
    {
        return Err(beyond(bound, Beyond::StopAfter { most: bound.value, wanted: after.idle }));
    }
    if let Some(bound) = &limits.ports
        && let Some((index, port)) = after.ports.iter().enumerate().find(|(_, port)| {
            port.admission > bound.value
                && !was_reached(before.filter(|before| before.project == after.project), port)
        })
    {
        return Err(beyond(bound, Beyond::Port { index, most: bound.value, wanted: port.admission }));
    }
    Ok(())
}

/// Whether as many could reach a port before.
fn was_reached(before: Option<&EnvironmentSpec>, port: &ForwardedPort) -> bool {
    let ports = before.map_or(&[][..], |before| &before.ports);
    ports.iter().any(|was| was.wish.is_for_same(&port.wish) && was.admission >= port.admission)
}

fn stays(spec: &EnvironmentSpec) -> bool {
    spec.desired_phase != DesiredPhase::Deleted
}

fn runs(spec: &EnvironmentSpec) -> bool {
    spec.desired_phase == DesiredPhase::Running
}

fn beyond<T>(bound: &Bound<T>, beyond: Beyond) -> Forbidden {
    Forbidden { policies: bound.policies.clone(), beyond }
}

fn named(policies: &BTreeSet<Name>) -> String {
    let names: Vec<_> = policies.iter().map(Name::as_str).collect();
    format!("{} {}", if names.len() == 1 { "policy" } else { "policies" }, names.join(", "))
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunningPerUser { most } => {
                write!(f, "of one person at most {most} environments run at a time")
            }
            Self::EnvironmentsPerUser { most } => write!(f, "one person has at most {most} environments"),
            Self::StopAfter { most, wanted } => {
                let most = IdlePolicy { stop_after: Some(*most) };
                write!(
                    f,
                    "an environment that nobody uses stops after {most} at the latest, and not {wanted}"
                )
            }
            Self::Port { most, wanted, .. } => {
                write!(f, "a port is reached by {most} at most, and not by {wanted}")
            }
        }
    }
}
