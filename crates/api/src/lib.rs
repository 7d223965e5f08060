//! The resources a client sees and the problems it can be told about.
