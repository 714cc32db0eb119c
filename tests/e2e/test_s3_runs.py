"""The program as a user has it, with a bucket on a real HTTP server as its sink."""

import asyncio

import pytest

from exporter.errors import UsageError
from exporter.lambda_handler import handler
from exporter.sandbox.options import SandboxOptions
from exporter.sandbox.server import serve
from exporter.store.open import open_store
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


async def test_a_function_finds_its_configuration_and_its_shards_in_a_bucket(bucket, tmp_path, monkeypatch):
    world, url = small_world(), f"s3://{bucket.bucket}/plans/tonight.json"
    async with serve(world, SandboxOptions(rate=None)) as sandbox:
        text = config_for(sandbox.base_url, world, sink=f"s3://{bucket.bucket}/function")
        config = f'{text}endpoint_url = "{bucket.endpoint_url}"\n'.encode()
        environment = bucket.environment | tokens_of(world) | {"AWS_ENDPOINT_URL_S3": bucket.endpoint_url}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = open_store(f"s3://{bucket.bucket}", endpoint_url=bucket.endpoint_url)
        await store.put("exporter.toml", config)
        await store.close()

        async def call(**event):
            event["config"] = f"s3://{bucket.bucket}/exporter.toml"
            return await asyncio.to_thread(handler, event, Plenty())

        assert (await call(command="plan", shards=2, out=url))["shards"] == 2
        answers = [await call(shard=f"{url}#{index}") for index in (0, 1)]
        assert [(answer["state"], answer["totals"]["published"]) for answer in answers] == [("ok", 3)] * 2
        assert (await call(command="verify"))["state"] == "ok"
        with pytest.raises(UsageError, match="there is no such file"):
            await call(shard=f"s3://{bucket.bucket}/plans/another.json#0")


class Plenty:
    def get_remaining_time_in_millis(self):
        return 300_000
