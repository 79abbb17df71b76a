"""dockerapi."""
