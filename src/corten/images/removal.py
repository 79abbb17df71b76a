"""Docker's rules for removing an image: untag, or delete with the last name."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from corten.errors import FailedPrecondition
from corten.images.types import Change, Removed
from corten.spec import reference


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A container that stands on an image."""

    id: str
    running: bool = False


class Removal:
    """One ``rmi``: Docker's rules, inside one transaction."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        tenant: str,
        *,
        force: bool,
        users: Mapping[str, User],
    ) -> None:
        """Arguments:
        users: a container of each image that has one; one that runs, if there is.
        """
        self._conn = conn
        self._tenant = tenant
        self._force = force
        self._users = users
        self.done: list[Removed] = []
        self.changes: list[Change] = []

    def by_id(self, image_id: str) -> None:
        """All names and the image. Refused where several tags name it, or it is used."""
        names = self._names(image_id)
        if not self._force and not _single(names):
            raise FailedPrecondition(
                f"conflict: unable to delete {_short(image_id)} (must be forced) - image is"
                " referenced in multiple repositories"
            )
        self._check_unused(image_id)
        for name, _ in names:
            self._untag(name, image_id)
        self._delete(image_id)

    def by_name(self, image_id: str, name: str, shown: str) -> None:
        """One name; with the last one the image too.

        Arguments:
            shown: the name as the user gave it.
        """
        names = self._names(image_id)
        user = self._users.get(image_id)
        if user is not None and not self._force and _single(names):
            raise FailedPrecondition(
                f'conflict: unable to remove repository reference "{shown}" (must force) -'
                f" container {user.id[:12]} is using its referenced image {_short(image_id)}"
            )
        tags = [one for one, by_digest in names if not by_digest and one != name]
        others = [one for one, _ in names if one != name]
        repository = _repository(name)
        keeps_tag = any([_repository(one) == repository for one in tags])
        # A repository's digests go with its last tag.
        gone = (
            [] if keeps_tag or "@" in name else [o for o in others if _repository(o) == repository]
        )
        last = len(gone) == len(others)
        if last:
            self._check_unused(image_id)
        for one in (name, *gone):
            self._untag(one, image_id)
        if last:
            self._delete(image_id)

    def _check_unused(self, image_id: str) -> None:
        user = self._users.get(image_id)
        if user is None or (self._force and not user.running):
            return
        how = "cannot" if user.running else "must"
        state = "running" if user.running else "stopped"
        raise FailedPrecondition(
            f"conflict: unable to delete {_short(image_id)} ({how} be forced) - image is being"
            f" used by {state} container {user.id[:12]}"
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
        shown = reference.parse(name).familiar
        self.changes.append(
            Change(tenant=self._tenant, action="untag", image_id=image_id, name=shown)
        )

    def _delete(self, image_id: str) -> None:
        self._conn.execute(
            "DELETE FROM image_owners WHERE tenant = ? AND image_id = ?", (self._tenant, image_id)
        )
        self.done.append(Removed(action="delete", target=image_id, image_id=image_id))
        self.changes.append(Change(tenant=self._tenant, action="delete", image_id=image_id))


def _single(names: list[tuple[str, int]]) -> bool:
    """One tag at most, and no digest of another repository."""
    tags = [name for name, by_digest in names if not by_digest]
    repositories = {_repository(name) for name, _ in names}
    return len(names) <= 1 or (len(tags) <= 1 and len(repositories) == 1)


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def _repository(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]
