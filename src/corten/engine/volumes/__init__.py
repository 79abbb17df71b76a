"""Volumes: files that outlive the containers which use them."""
