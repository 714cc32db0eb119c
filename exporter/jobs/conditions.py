"""Whether the sink honours conditions on puts: a store that takes every put would lose rows when two runs meet.

`doctor` looks whenever it is called, a run once for each sink: while nothing is kept there yet that shows that one did.
"""

from contextlib import suppress

from exporter.core.partition import salt_key
from exporter.errors import NotFoundError, OutcomeUnknownError, PreconditionFailedError, StoreError
from exporter.store.base import Absent, ObjectStore

#: No object has it.
_ANOTHERS_ETAG = '"0123456789abcdef0123456789abcdef"'


async def require_conditions(store: ObjectStore, key: str, data: bytes) -> None:
    """See that an object is not replaced where the condition does not hold.

    Args:
        store: the sink.
        key: of an object that is there.
        data: its bytes; on a store that ignores conditions they are put again.

    Raises:
        StoreError: conditions are not honoured.
    """
    for wrong in (Absent(), _ANOTHERS_ETAG):
        # Where the answer is lost nobody can tell; the next run on an unused sink looks again.
        with suppress(PreconditionFailedError, OutcomeUnknownError):
            await store.put(key, data, condition=wrong)
            raise StoreError(
                f"{store.url}: ignores conditions on puts, so two runs could lose each other's rows;"
                f" use a store that honours If-Match and If-None-Match"
            )


async def require_conditions_once(store: ObjectStore, key: str, data: bytes) -> None:
    """See it as `require_conditions` does, unless a run has used the sink before."""
    try:
        await store.get(salt_key())
    except NotFoundError:
        await require_conditions(store, key, data)
