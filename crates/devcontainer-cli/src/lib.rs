//! The drop-in `devcontainer` command: the reference's commands, flags and JSON, on any engine.
