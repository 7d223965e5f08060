//! Who is who: the server's own authority, tokens, and computers that come in as runners.

mod authority;
mod enrolment;
mod token;

pub use authority::{Authority, AuthorityError, SignedCertificate};
pub use enrolment::{EnrolmentError, RunnerIdentity, enrol, invite, known, renew, revoke};
pub use token::Token;
pub(crate) use token::hex;
