//! What has a bound, and why it is that.

/// Authors of one side that a stamp remembers. A run that wrote is one; a disk from before the last 64 such runs may bring back
/// a value that was overwritten, as a rival. More would make each document larger for that rare case.
pub const AUTHORS_OF_A_SIDE: usize = 64;

/// Largest document, in bytes as [`crate::Document::size`] estimates them. A spec with a few hundred entries is a tenth of it.
pub const DOCUMENT_BYTES: usize = 256 * 1024;

/// Largest document that a server takes in. Two copies that were each just below the limit may have become one.
pub const RECEIVED_BYTES: usize = 4 * DOCUMENT_BYTES;

/// Highest version, or number of an event, that is believed of a runner. It leaves the server as many again before a JSON number is no longer exact.
pub const VERSION: u64 = 1 << 52;

/// Most fields of a document. Entries that were removed count: a removal is an edit as well.
pub const FIELDS: usize = 1024;

/// Deepest nesting of a field's value; what reads JSON gives up at 128.
pub const DEPTH: usize = 64;

/// Most documents of a runner, so that a Hello has an end: about half a megabyte.
pub const DOCUMENTS: usize = 4096;

/// Largest status of an environment, in bytes. It holds the end of a log.
pub const STATUS_BYTES: usize = 256 * 1024;

/// Largest event, in bytes.
pub const EVENT_BYTES: usize = 4096;

/// Events a runner keeps for a server that is away. A day of work makes some hundreds.
pub const EVENTS: usize = 1000;

/// Events sent at once.
pub const BATCH: usize = 100;

/// Documents, and statuses, on their way to the other side at once: one slow message does not stop the rest, and a returning
/// runner does not flood anybody.
pub const WINDOW: usize = 16;

/// Authors whose events a server remembers how far it has heard, for each runner.
pub const CURSORS: usize = 64;

/// Leases offered to a runner and not used yet. A Hello that was sent twice, or came late, makes one more.
pub const OFFERS: usize = 4;

/// Superseded runs that a server remembers, for each runner. One that is older is taken for a new start.
pub const FORMER: usize = 16;

/// Between two signs of life, in milliseconds. Shorter than what closes idle connections on the way.
pub const BEAT: u64 = 30_000;

/// Silence after which a connection is given up, in milliseconds: two signs of life may be lost.
pub const SILENCE: u64 = 3 * BEAT + 5_000;

/// After which what was not answered is sent again, in milliseconds.
pub const RESEND: u64 = 5_000;

/// How long a connection may take to be made and greeted, in milliseconds.
pub const GREETING: u64 = 15_000;

/// After which a refused runner asks again, in milliseconds: an update of either side takes people.
pub const REFUSED: u64 = 3_600_000;
