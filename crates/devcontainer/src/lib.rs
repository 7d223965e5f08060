//! Turns files into a resolved description of a dev container, per the Dev Container specification.
