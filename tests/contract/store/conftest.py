from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from exporter.store.base import ObjectStore
from exporter.store.local import LocalStore
from exporter.store.memory import MemoryStore
from exporter.store.s3 import S3Store
from tests.support.faulty_s3 import Faulty, faulty_store
from tests.support.s3_servers import S3Server, moto_server, seaweedfs_server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: With pytest-xdist, all that needs these servers runs in one worker, so each is started once.
ON_S3 = pytest.mark.xdist_group("s3")


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweedfs_server(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def moto_client(moto: S3Server) -> "Iterator[S3Client]":
    with moto.client() as client:
        yield client


@pytest.fixture(scope="session")
def seaweedfs_client(seaweedfs: S3Server) -> "Iterator[S3Client]":
    with seaweedfs.client() as client:
        yield client


@pytest.fixture
async def faulty(seaweedfs: S3Server, seaweedfs_client: "S3Client") -> AsyncIterator[Faulty]:
    async with faulty_store(seaweedfs, seaweedfs_client) as faulty:
        yield faulty


@pytest.fixture(params=["memory", "local", pytest.param("moto", marks=ON_S3), pytest.param("seaweedfs", marks=ON_S3)])
async def open_another(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], ObjectStore]]:
    """Opens a store, each time the same empty sink; memory is one object, so it is the same store too."""
    opened: list[ObjectStore] = []
    memory = MemoryStore()
    prefix = f"{uuid4().hex}/a lake"

    def open_one() -> ObjectStore:
        store: ObjectStore
        match request.param:
            case "memory":
                store = memory
            case "local":
                store = LocalStore(tmp_path / "a lake")
            case name:
                server: S3Server = request.getfixturevalue(name)
                store = S3Store(server.bucket, prefix, client=request.getfixturevalue(f"{name}_client"))
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
def store(open_another: Callable[[], ObjectStore]) -> ObjectStore:
    return open_another()
