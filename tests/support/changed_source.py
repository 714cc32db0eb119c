"""Studios of the simulated source whose past looks otherwise than it did."""

from dataclasses import replace

from exporter.sandbox.studios import Customer, Infraction, MadeUpStudio
from tests.support.sources import Span


def in_span(studio: MadeUpStudio, span: Span) -> list[Infraction]:
    """What happened on the days of *span*."""
    start, end = span
    return [i for i in studio.infractions if start <= i.starts_at.astimezone(studio.zone).date() < end]


def change(studio: MadeUpStudio, span: Span) -> None:
    """Let what happened in *span* look otherwise now: one gone, one new, one with another status."""
    gone, model, other = in_span(studio, span)[:3]
    studio.remove(gone.id)
    newcomer = Customer(id=model.customer.id + 50_000, name="Newcomer Example", email="newcomer@example.test")
    studio.add(replace(model, id=model.id + 10_000, customer=newcomer))
    studio.replace(replace(other, status="voided" if other.status != "voided" else "open"))
