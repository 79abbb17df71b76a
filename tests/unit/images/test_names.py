"""Names, ids, tenants, removal and what is collected: Docker's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from corten.errors import FailedPrecondition, InvalidArgument, NotFound
from corten.images.removal import User
from corten.images.types import Change, ImageRecord
from corten.testing.registry import FakeRegistry
from tests.unit.images.archives import archive, file
from tests.unit.images.conftest import MakeStore, Store


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as one:
        one.add("t/a:v1", [archive(file("a")), archive(file("x"))])
        one.add("t/b:v1", [archive(file("a")), archive(file("y"))])
        yield one


class Pulled:
    """Two images that share a layer, pulled by ``docker``."""

    def __init__(self, store: Store, registry: FakeRegistry) -> None:
        self.store = store
        self.registry = registry
        self.a: ImageRecord
        self.b: ImageRecord

    async def pull(self, tenant: str, rest: str) -> ImageRecord:
        return await self.store.images.pull(tenant, f"{self.registry.address}/{rest}")

    def ids(self, tenant: str = "docker") -> set[str]:
        return {image.id for image in self.store.images.list(tenant)}

    async def removed(self, ref: str, **options: object) -> list[str]:
        done = await self.store.images.remove("docker", ref, **options)  # type: ignore[arg-type]  # as given
        return [f"{one.action} {one.target}" for one in done]


@pytest.fixture
async def two(store: Store, registry: FakeRegistry) -> Pulled:
    pulled = Pulled(store, registry)
    pulled.a = await pulled.pull("docker", "t/a:v1")
    pulled.b = await pulled.pull("docker", "t/b:v1")
    return pulled


async def test_look_up(two: Pulled) -> None:
    get = two.store.images.get
    for ref in (
        two.a.id,
        two.a.id[7:],
        two.a.id[:20],
        two.a.id[7:19],
        two.a.tags[0],
        *two.a.digests,
    ):
        assert get("docker", ref) == two.a, ref
    assert get("docker", f"{two.a.tags[0]}@{two.a.digests[0].partition('@')[2]}") == two.a


@pytest.mark.parametrize(
    "ref", ["nosuch", "0" * 64, "sha256:" + "0" * 64, "docker.io/x@sha256:" + "0" * 64]
)
async def test_unknown(two: Pulled, ref: str) -> None:
    with pytest.raises(NotFound, match="No such image") as caught:
        two.store.images.get("docker", ref)
    assert "pull" in caught.value.hint


async def test_bad_and_ambiguous(two: Pulled) -> None:
    with pytest.raises(InvalidArgument):
        two.store.images.get("docker", "a/UPPER")
    for number in range(17):  # two of 17 ids begin with the same digit
        two.registry.add(f"t/n:{number}", [], config={"author": str(number)})
        await two.pull("docker", f"t/n:{number}")
    digits = [image_id[7] for image_id in two.ids()]
    common = next(digit for digit in digits if digits.count(digit) > 1)
    with pytest.raises(InvalidArgument, match="ambiguous"):
        two.store.images.get("docker", f"sha256:{common}")


async def test_tenants_do_not_see_each_other(two: Pulled) -> None:
    with pytest.raises(NotFound):
        two.store.images.get("k8s", two.a.id)
    assert two.store.images.list("k8s") == []
    mine = await two.pull("k8s", "t/a:v1")
    assert (mine.id, mine.tenant) == (two.a.id, "k8s")
    await two.removed(two.a.tags[0])
    assert two.ids("k8s") == {two.a.id}
    assert two.store.snapshots.has_layer(two.a.chain_id)


async def test_untag_keeps_what_has_another_tag(two: Pulled) -> None:
    await two.store.images.tag("docker", two.a.id, "other:1")
    assert await two.removed(two.a.tags[0]) == [
        f"untag {two.a.tags[0]}",
        f"untag {two.a.digests[0]}",
    ]
    assert two.store.images.get("docker", "other:1").id == two.a.id


async def test_two_tags_of_one_repository_keep_its_digest(two: Pulled) -> None:
    name = two.a.tags[0].removesuffix("v1") + "v2"
    await two.store.images.tag("docker", two.a.id, name)
    assert await two.removed(two.a.tags[0]) == [f"untag {two.a.tags[0]}"]
    assert two.store.images.get("docker", two.a.id).digests == two.a.digests


async def test_the_last_tag_takes_the_image(two: Pulled) -> None:
    assert await two.removed(two.a.tags[0]) == [
        f"untag {two.a.tags[0]}",
        f"untag {two.a.digests[0]}",
        f"delete {two.a.id}",
        f"delete {two.a.chain_id}",
    ]
    assert two.ids() == {two.b.id}
    assert not two.store.snapshots.has_layer(two.a.chain_id)
    assert two.store.snapshots.has_layer(two.b.chain_id)
    assert two.store.blobs() >= {two.b.id[7:]}
    assert two.a.id[7:] not in two.store.blobs()
    await two.removed(two.b.id)
    two.store.assert_empty()


async def test_by_id_in_several_repositories(two: Pulled) -> None:
    await two.store.images.tag("docker", two.a.id, "other:1")
    with pytest.raises(FailedPrecondition, match="referenced in multiple repositories"):
        await two.removed(two.a.id)
    done = await two.removed(two.a.id[7:19], force=True)
    assert done[3:] == [f"delete {two.a.id}", f"delete {two.a.chain_id}"]


async def test_in_use_by_a_stopped_container(two: Pulled) -> None:
    users = {two.a.id: User(id="c" * 64)}
    with pytest.raises(FailedPrecondition, match="unable to remove repository reference"):
        await two.removed(two.a.tags[0], users=users)
    with pytest.raises(FailedPrecondition, match="must be forced.*stopped container cccccccccccc"):
        await two.removed(two.a.id, users=users)
    assert two.ids() == {two.a.id, two.b.id}
    await two.removed(two.a.tags[0], users=users, force=True)
    assert two.ids() == {two.b.id}


async def test_in_use_by_a_running_container(two: Pulled) -> None:
    users = {two.a.id: User(id="c" * 64, running=True)}
    with pytest.raises(FailedPrecondition, match="cannot be forced.*running container"):
        await two.removed(two.a.id, users=users, force=True)
    with pytest.raises(FailedPrecondition, match="cannot be forced.*running container"):
        await two.removed(two.a.tags[0], users=users, force=True)
    await two.store.images.tag("docker", two.a.id, "other:1")
    await two.removed(two.a.tags[0], users=users)
    assert two.store.images.get("docker", two.a.id).tags == ("docker.io/library/other:1",)


async def test_layers_below_a_container_stay(two: Pulled) -> None:
    mounts = await two.store.snapshots.prepare("c", two.a.chain_id)
    await two.removed(two.a.id, users={two.a.id: User(id="c")}, force=True)
    assert two.ids() == {two.b.id}
    assert two.store.snapshots.mounts("c") == mounts
    await two.store.snapshots.remove("c")
    await two.removed(two.b.id)
    two.store.assert_empty()


async def test_a_tag_moves(two: Pulled) -> None:
    await two.store.images.tag("docker", two.b.id, two.a.tags[0])
    assert two.store.images.get("docker", two.a.tags[0]).id == two.b.id
    assert two.store.images.get("docker", two.a.id).tags == ()


async def test_removing_what_is_not_there(two: Pulled) -> None:
    with pytest.raises(NotFound):
        await two.removed("nosuch")


async def test_newest_first(two: Pulled) -> None:
    times = [image.created_at for image in two.store.images.list("docker")]
    assert times == sorted(times, reverse=True)


async def test_the_journal_is_part_of_the_transaction(
    make_store: MakeStore, registry: FakeRegistry
) -> None:
    def refuse(_: object, change: Change) -> None:
        raise FailedPrecondition(f"no {change.action}")

    store = await make_store(journal=refuse)
    with pytest.raises(FailedPrecondition, match="no pull"):
        await store.images.pull("docker", f"{registry.address}/t/a:v1")
    assert store.images.list("docker") == []
    store.assert_empty()


async def test_everything_is_found_again(make_store: MakeStore, registry: FakeRegistry) -> None:
    first = await make_store()
    image = await first.images.pull("docker", f"{registry.address}/t/a:v1")
    mounts = await first.snapshots.prepare("c", image.chain_id)
    await first.close()
    second = await make_store()
    assert second.images.list("docker") == [image]
    assert second.snapshots.mounts("c") == mounts
