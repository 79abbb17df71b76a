"""Docker's rules for removing an image: untag, or delete with the last name."""

from __future__ import annotations

import sqlite3

from corten.errors import FailedPrecondition
from corten.images.types import Change, Removed


class Removal:
    """One ``rmi``: Docker's rules, inside one transaction."""

    def __init__(self, conn: sqlite3.Connection, tenant: str, *, force: bool, used: bool) -> None:
        """Arguments:
        used: whether a container of the tenant stands on the image.
        """
        self._conn = conn
        self._tenant = tenant
        self._force = force
        self._used = used
        self.done: list[Removed] = []
        self.changes: list[Change] = []

    def by_id(self, image_id: str) -> None:
        """All names and the image. Refused where several repositories name it, or it is used."""
        names = self._names(image_id)
        repositories = {_repository(name) for name, _ in names}
        if len(repositories) > 1 and not self._force:
            raise FailedPrecondition(
                f"image {image_id[7:19]} is referenced in several repositories",
                hint="remove its names one by one, or use --force",
            )
        self._check_unused(image_id)
        for name, _ in names:
            self._untag(name, image_id)
        self._delete(image_id)

    def by_name(self, image_id: str, name: str) -> None:
        """One name; with the last one the image too."""
        names = self._names(image_id)
        tags = [one for one, by_digest in names if not by_digest and one != name]
        others = [one for one, _ in names if one != name]
        repository = _repository(name)
        keeps_tag = any([_repository(one) == repository for one in tags])
        # A repository's digests go with its last tag.
        gone = (
            [] if keeps_tag or "@" in name else [o for o in others if _repository(o) == repository]
        )
        last = len(gone) == len(others)
        if last and not self._force:
            self._check_unused(image_id)
        for one in (name, *gone):
            self._untag(one, image_id)
        if last and not self._used:
            self._delete(image_id)

    def _check_unused(self, image_id: str) -> None:
        if self._used and not self._force:
            raise FailedPrecondition(
                f"image {image_id[7:19]} is in use by a container",
                hint="remove the container, or use --force",
            )

    def _names(self, image_id: str) -> list[tuple[str, int]]:
        return self._conn.execute(
            "SELECT name, by_digest FROM image_names WHERE tenant = ? AND image_id = ?"
            " ORDER BY by_digest, name",
            (self._tenant, image_id),
        ).fetchall()

    def _untag(self, name: str, image_id: str) -> None:
        self._conn.execute(
            "DELETE FROM image_names WHERE tenant = ? AND name = ?", (self._tenant, name)
        )
        self.done.append(Removed(action="untag", target=name, image_id=image_id))
        self.changes.append(
            Change(tenant=self._tenant, action="untag", image_id=image_id, name=name)
        )

    def _delete(self, image_id: str) -> None:
        self._conn.execute(
            "DELETE FROM image_owners WHERE tenant = ? AND image_id = ?", (self._tenant, image_id)
        )
        self.done.append(Removed(action="delete", target=image_id, image_id=image_id))
        self.changes.append(Change(tenant=self._tenant, action="delete", image_id=image_id))


def _repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
