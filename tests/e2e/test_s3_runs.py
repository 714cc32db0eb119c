"""The program as a user has it, with a bucket on a real HTTP server as its sink."""

import pytest

from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from tests.support.command import Exporter
from tests.support.exports import config_for, small_world, tokens_of
from tests.support.s3_servers import moto_server, seaweedfs_server

pytestmark = pytest.mark.xdist_group("s3")


@pytest.fixture(params=[moto_server, seaweedfs_server], ids=["moto", "SeaweedFS"])
def bucket(request, tmp_path_factory):
    with request.param(tmp_path_factory.mktemp("s3")) as server:
        yield server


async def test_a_bucket_is_examined_filled_found_settled_and_verified(bucket, tmp_path):
    world = small_world()
    async with serve(world, SandboxOptions(rate=None)) as sandbox:
        text = config_for(sandbox.base_url, world, sink=f"s3://{bucket.bucket}/lake")
        (tmp_path / "exporter.toml").write_text(f'{text}endpoint_url = "{bucket.endpoint_url}"\n')
        program = Exporter(tmp_path, bucket.environment | tokens_of(world))

        doctor = await program("doctor")
        assert doctor.code == 0, doctor.stdout
        asked = len(sandbox.requests)

        first = await program("run", "--json")
        assert first.code == 0, first.stderr
        assert first.document["totals"]["published"] == 6
        assert first.document["totals"]["requests"] == len(sandbox.requests) - asked

        asked = len(sandbox.requests)
        again = await program("run", "--json")
        assert (again.code, again.document["totals"]["settled"]) == (0, 6)
        assert len(sandbox.requests) == asked

        assert (await program("verify", "--source")).code == 0
        secrets = [*tokens_of(world).values(), bucket.secret_key]
        said = "".join(ended.stdout + ended.stderr for ended in (doctor, first, again))
        assert not any(secret in said for secret in secrets)
