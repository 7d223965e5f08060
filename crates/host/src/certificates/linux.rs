//! The system itself keeps none.

use super::Added;

pub(super) fn added() -> Added {
    Added::default()
}
