"""Which columns the first line of a CSV answer names.

It is not documented whether that line holds keys or labels, so it may hold keys, snake-case names, or labels as an
earlier JSON answer of the same dataset gave them. Source: docs/api.md section 5, "CSV header: labels or keys".
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.core.answer import Header
from exporter.core.report import Dataset
from exporter.tables.headers import required_columns
from exporter.tables.layout import known_columns


@dataclass(frozen=True, slots=True)
class Labels:
    """The headers of a JSON answer, kept to read CSV answers of the same dataset by."""

    headers: tuple[Header, ...]

    def keys(self, names: Sequence[str]) -> dict[str, str]:
        """Keys by label, for those of *names* that are the label of exactly one column."""
        counts = Counter(header.label for header in self.headers)
        return {h.label: h.key for h in self.headers if counts[h.label] == 1 and h.label in names}

    def describe(self, key: str, name: str) -> Header:
        """The header of *key*, which the CSV answer calls *name*."""
        header = next((h for h in self.headers if h.key == key), None)
        return Header(
            key=key,
            label=header.label if header else name,
            required=bool(header and header.required),
            holds_customer_id=bool(header and header.holds_customer_id),
        )


def learn_labels(headers: Sequence[Header]) -> Labels:
    """What the headers of a JSON answer teach about CSV answers of the same dataset."""
    return Labels(tuple(headers))


def resolve_csv_header(names: Sequence[str], dataset: Dataset, labels: Labels | None) -> tuple[str, ...] | None:
    """The key of each column of a CSV answer, in its order.

    Args:
        names: the first line.
        dataset: what was asked for.
        labels: of a JSON answer of the same dataset, if there was one.

    Returns:
        A name that cannot be resolved stands for itself. None where *names* are not keys and *labels* are needed.
    """
    known = {name: column.key for name, column in known_columns(dataset.spec).items()}
    by_key = {name: known[name] for name in names if name in known}
    by_label = labels.keys(names) if labels else {}
    if labels and tuple(names) == tuple(header.label for header in labels.headers):
        return tuple(known.get(header.key, header.key) for header in labels.headers)
    if {column.key for column in required_columns(dataset)} <= set(by_key.values()):
        keys = {**by_label, **by_key}
    elif labels is None and names:
        return None
    else:
        keys = {**by_key, **{label: known.get(key, key) for label, key in by_label.items()}}
    return tuple(keys.get(name, name) for name in names)
