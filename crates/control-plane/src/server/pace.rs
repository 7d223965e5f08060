//! How fast those may come who proved nothing: each of their requests makes the server write, or look something up.
//!
//! One number for each address. What nobody must be signed in for takes from it, and so does a token, session or certificate
//! that counts for nothing. Where nothing is left, the database is asked neither for the one nor for the other; what counted
//! lately goes on, so that nobody is kept out by somebody else who comes from the same address.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::{Problem, ProblemCode};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Control;
use super::answer::Refusal;
use super::caller::Proof;

/// As many may come at once from an address that was quiet. A whole office can be behind one.
const AT_ONCE: u32 = 200;

/// After that, one each so long.
const PAUSE: Duration = Duration::from_millis(100);

/// An address waits no longer than this, whatever it sent at once.
const LONGEST: Duration = Duration::from_mins(1);

/// Most addresses that are remembered, and most of what counted: some megabytes.
const MOST: usize = 10_000;

/// Who is at the other end of a connection, as far as that says who comes too often: an address, or of IPv6 the network that
/// one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

impl Peer {
    /// Who sends a request. All whose address nobody knows are one.
    pub(super) fn of(parts: &Parts) -> Self {
        parts.extensions.get().copied().unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into()))
    }
}

/// What is remembered of those who came.
#[derive(Debug)]
pub struct Pace {
    kept: Mutex<Kept>,
    now: fn() -> Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self { kept: Mutex::default(), now: Instant::now }
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// When an address may come again as if it never had.
    rested: HashMap<Peer, Instant>,
    /// Hashes of what counted since this was emptied last.
    counted: HashSet<String>,
}

impl Pace {
    /// Lets one more request in that needs no proof.
    ///
    /// # Errors
    /// Too many came.
    pub(super) fn enter(&self, peer: Peer) -> Result<(), Refusal> {
        self.lock().step(peer, (self.now)()).map_err(|wait| too_many(peer, wait))
    }

    /// Whether it is looked up at all if what somebody shows counts. `shown`: its hash.
    ///
    /// # Errors
    /// Too much of what this address showed did not, and this one is not known to.
    pub(super) fn may_show(&self, peer: Peer, shown: &str) -> Result<(), Refusal> {
        let kept = self.lock();
        let wait = kept.wait(peer, (self.now)()).filter(|_| !kept.counted.contains(shown));
        wait.map_or(Ok(()), |wait| Err(too_many(peer, wait)))
    }

    /// What somebody showed was looked up.
    pub(super) fn shown(&self, peer: Peer, shown: String, counts: bool) {
        let mut kept = self.lock();
        if counts {
            kept.count(shown);
        } else {
            kept.counted.remove(&shown);
            kept.charge(peer, (self.now)());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Each entry is put there whole: whoever panicked left nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// How long an address has to wait; not at all if absent.
    fn wait(&self, peer: Peer, now: Instant) -> Option<Duration> {
        let rested = self.rested.get(&peer)?.saturating_duration_since(now);
        (rested + PAUSE).checked_sub(PAUSE * AT_ONCE).filter(|wait| !wait.is_zero())
    }

    /// One more of an address, or how long it has to wait.
    fn step(&mut self, peer: Peer, now: Instant) -> Result<(), Duration> {
        if let Some(wait) = self.wait(peer, now) {
            return Err(wait);
        }
        self.charge(peer, now);
        Ok(())
    }

    /// What an address has had. Of what is looked up first many come together before one of them is known to count for nothing:
    /// they are paid for as well, up to an end.
    fn charge(&mut self, peer: Peer, now: Instant) {
        if self.rested.len() >= MOST && !self.rested.contains_key(&peer) {
            self.make_room(now);
        }
        let rested = self.rested.entry(peer).or_insert(now);
        *rested = (now.max(*rested) + PAUSE).min(now + PAUSE * AT_ONCE + LONGEST);
    }

    /// Forgets those who rested; or else, an eighth of all at a time, those who come next to that: the least is forgiven so.
    fn make_room(&mut self, now: Instant) {
        self.rested.retain(|_, rested| *rested > now);
        if self.rested.len() >= MOST {
            let mut rested: Vec<_> = self.rested.values().copied().collect();
            let (_, last, _) = rested.select_nth_unstable(MOST / 8);
            self.rested.retain(|_, rested| *rested > *last);
        }
    }

    fn count(&mut self, shown: String) {
        if self.counted.len() >= MOST && !self.counted.contains(&shown) {
            self.counted.clear();
        }
        self.counted.insert(shown);
    }
}

fn too_many(peer: Peer, wait: Duration) -> Refusal {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let title = format!("too many requests that nobody is signed in for came from {peer}");
    let again = if seconds == 1 { "a second".to_owned() } else { format!("{seconds} seconds") };
    let problem = Problem::new(ProblemCode::TooManyRequests, title)
        .with_hint(format!("wait {again}, and try it again"));
    Refusal::later(problem, u64::try_from(seconds).unwrap_or(u64::MAX))
}

/// That a request which needs no proof of who sends it may come in.
pub(super) struct Paced;

impl FromRequestParts<Control> for Paced {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, Refusal> {
        // The host has no address, and nobody to keep out.
        if parts.extensions.get() != Some(&Proof::Host) {
            control.pace.enter(Peer::of(parts))?;
        }
        Ok(Self)
    }
}

#[cfg(test)]
mod tests;
