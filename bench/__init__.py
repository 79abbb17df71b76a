"""Measurements beside the peers: ``make bench``. Never part of a test suite."""
