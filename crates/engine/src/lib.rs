//! Drives one Docker Engine: build, create, exec and compose, for a resolved dev container.
