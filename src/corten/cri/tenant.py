"""Whose objects the CRI face sees and makes."""

from __future__ import annotations

from corten.engine.types import Tenant

TENANT: Tenant = "k8s"
