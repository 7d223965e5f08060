//! Who is who: the server's own authority, tokens, computers that come in as runners, and people who sign in.

mod authority;
mod enrolment;
mod id_token;
mod jwt;
mod link;
mod person;
mod personal;
mod provider;
mod sign_in;
mod token;
mod workload;

pub use authority::{Authority, AuthorityError, SignedCertificate};
pub use enrolment::{EnrolmentError, RunnerIdentity, enrol, invite, known, renew, revoke, revoke_all};
pub use id_token::IdTokenError;
pub use link::{enter, link};
pub use person::{
    Evidence, Person, PersonIdentity, SESSION_LASTS, begin_session, by_session, by_token, used,
};
pub use personal::{PersonalTokenError, make_token, make_token_for, take_back, token_of_sign_in, tokens};
pub use provider::{Claimed, DeviceGrant, DeviceProgress, Provider, ProviderError, ProviderOptions};
pub use sign_in::{SignInError, sign_in, told_of_refusal};
pub use token::Token;
pub(crate) use token::hex;
pub use workload::{
    SignedWorkload, Workload, WorkloadError, publish_keys, published_keys, rotate_key, workload_token,
};
