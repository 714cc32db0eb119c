"""Keeps which published windows were asked for again and found unchanged, in one object a dataset."""

from collections.abc import Awaitable, Callable, Collection

from exporter.core.confirmed import Confirmation, Confirmations, parse_confirmations
from exporter.core.ledger import TaskKey
from exporter.core.partition import confirmed_key
from exporter.core.report import DatasetName
from exporter.errors import DataError, NotFoundError, StoreError
from exporter.jobs.conflict import MOST_CONFLICTS, back_off
from exporter.jobs.put import put_if
from exporter.store.base import Absent, Condition, ObjectStore


async def read_confirmations(store: ObjectStore, dataset: DatasetName) -> tuple[Confirmations, Condition]:
    """What is kept of *dataset*, and the condition to replace it on.

    Raises:
        DataError: it cannot be read.
        StoreError: the sink cannot be read.
    """
    key = confirmed_key(dataset)
    try:
        data, info = await store.get(key)
    except NotFoundError:
        return Confirmations(), Absent()
    try:
        return parse_confirmations(data), info.etag
    except ValueError as error:
        raise DataError(f"{key}: {error}; delete it: it only spares requests") from error


async def confirm(
    store: ObjectStore,
    dataset: DatasetName,
    new: Collection[Confirmation],
    replaced: Collection[TaskKey],
    *,
    run_id: str,
    sleep: Callable[[float], Awaitable[None]],
    random: Callable[[], float],
) -> None:
    """Add *new*, and drop what was said of windows that *run_id* replaced; nothing is written where nothing changes.

    Raises:
        DataError, StoreError: it could not be read or written.
    """
    for conflicts in range(MOST_CONFLICTS):
        await back_off(conflicts, sleep=sleep, random=random)
        kept, condition = await read_confirmations(store, dataset)
        changed = kept.without(replaced, by=run_id).merge(new)
        if changed == kept or await put_if(store, confirmed_key(dataset), changed.to_json(), condition):
            return
    raise StoreError(
        f"{confirmed_key(dataset)}: others replaced it {MOST_CONFLICTS} times while this run tried to; run again"
    )
