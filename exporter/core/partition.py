"""Where things lie in the sink. Every key is made here and nowhere else."""

from dataclasses import dataclass

from exporter.core.report import DatasetName
from exporter.core.window import Window

#: Under it lie the rows that were fetched and are not published yet. Readers skip names with a leading underscore.
STAGING = "_staging"

#: Under it lies what became of plans that were done in shards.
PLANS = "_plans"

#: Under it lies who uses which credential.
LEASES = "_leases"

#: Under it lies who is left out of what is published, and what was removed. It is for the exporter alone.
ERASURE = "_erasure"


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One Hive partition of a dataset: the tasks whose windows begin in *month* ("2025-01")."""

    dataset: DatasetName
    month: str

    def __str__(self) -> str:
        return f"{self.dataset}/month={self.month}"

    @property
    def key(self) -> str:
        """The partition's one object."""
        return f"{self.dataset}/month={self.month}/part-00000.parquet"


def partition_of(dataset: DatasetName, window: Window) -> Partition:
    """Where the rows of *window* lie."""
    return Partition(dataset, window.start.isoformat()[:7])  # by a format it takes a plan of a million tasks seconds


def partitions_prefix(dataset: DatasetName) -> str:
    """What the keys of all partitions of *dataset* begin with."""
    return f"{dataset}/month="


def parse_partition(key: str) -> Partition | None:
    """The partition whose object *key* is; None for any other key."""
    dataset, _, rest = key.partition("/month=")
    month, _, name = rest.partition("/")
    if not dataset or not month or name != "part-00000.parquet":
        return None
    return Partition(DatasetName(dataset), month)


def manifests_prefix(dataset: DatasetName) -> str:
    """What the keys of all manifests of *dataset* begin with."""
    return f"{dataset}/_manifests/"


def manifest_key(dataset: DatasetName, run_id: str) -> str:
    """The record of one run."""
    return f"{manifests_prefix(dataset)}{run_id}.json"


def latest_key(dataset: DatasetName) -> str:
    """A copy of the last run's record."""
    return manifest_key(dataset, "latest")


def confirmed_key(dataset: DatasetName) -> str:
    """Which published windows were asked for again and found unchanged."""
    return manifest_key(dataset, "confirmed")


def success_key(dataset: DatasetName) -> str:
    """Says how far *dataset* reaches; put when a run has ended well. Source: Hadoop's marker of a whole output."""
    return f"{dataset}/_SUCCESS"


def plan_record_key(plan: str) -> str:
    """What became of a plan that was done in shards."""
    return f"{PLANS}/{plan}.json"


def staging_prefix(run_id: str) -> str:
    """What the keys of all that a run has staged begin with."""
    return f"{STAGING}/{run_id}/"


def owner_key(run_id: str) -> str:
    """Says which process a run is, so that another can tell whether it still lives."""
    return f"{staging_prefix(run_id)}run.json"


def segment_key(run_id: str, number: int) -> str:
    """One batch of staged pages."""
    return f"{staging_prefix(run_id)}{number:08d}.arrow"


def salt_key() -> str:
    """What the names of leases are made with, so that they tell nothing of credentials to other sinks."""
    return f"{LEASES}/salt.json"


def lease_key(name: str) -> str:
    """Who uses one credential, and how much of the last minute is used up."""
    return f"{LEASES}/{name}.json"


def pepper_key() -> str:
    """The secret that the list of people who are left out is made with."""
    return f"{ERASURE}/key.json"


def suppressed_key() -> str:
    """Who is left out, as keyed hashes."""
    return f"{ERASURE}/suppressed.json"


def receipts_prefix() -> str:
    """What the keys of all receipts begin with."""
    return f"{ERASURE}/receipts/"


def receipt_key(receipt_id: str) -> str:
    """What one `forget` searched and removed."""
    return f"{receipts_prefix()}{receipt_id}.json"


def intent_key(run_id: str, partition: Partition) -> str:
    """What a run is about to put, or has put, into *partition*."""
    return f"{staging_prefix(run_id)}put-{partition.dataset}-{partition.month}.json"
