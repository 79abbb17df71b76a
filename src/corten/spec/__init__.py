"""Typed, immutable documents and values of the standards. Imports ``errors`` alone."""
