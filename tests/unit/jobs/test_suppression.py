"""The list of who is left out, where the sink does not say what becomes of a put."""

import asyncio
import random

import pytest

from exporter.core.erasure import Person
from exporter.core.partition import pepper_key
from exporter.errors import OutcomeUnknownError, StoreError
from exporter.jobs.suppression import Suppression
from exporter.store.memory import MemoryStore
from tests.support.passing_store import PassingStore


class Deaf(PassingStore):
    """Puts never land, and nobody can tell."""

    def __init__(self, inner):
        super().__init__(inner)
        self.puts = 0

    async def step(self, effect, *, is_put=False):
        if not is_put:
            return await effect()
        self.puts += 1
        raise OutcomeUnknownError("the request was lost")


async def test_a_key_that_is_never_written_is_given_up():
    store = Deaf(MemoryStore())
    with pytest.raises(StoreError, match=rf"{pepper_key()}: was not written in 5 attempts.*run again"):
        await Suppression(store).add(Person(values=frozenset({"4711"})), sleep=asyncio.sleep, random=random.random)
    assert store.puts == 5
