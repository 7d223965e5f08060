//! Decides the next steps from what is wanted and what is there.
