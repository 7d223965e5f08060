//! Brings one dev container up on one engine, step by step: features, image, container, workplace, hooks.
