"""The resolver of the networks that users make: names of containers, and the host's own."""
