"""The native protocol's server: translation between frames and the engine."""
