"""How far a clock is believed: a moment that has been cannot lie ahead of now.

Where a record says so, this clock was set back, or the one that made the record was ahead. Nobody can tell which, so
nothing counts as settled or fresh because of such a moment.
"""

from datetime import datetime, timedelta

#: Clocks of machines that keep time differ by less. S3 refuses signatures that are older than a few of these.
CLOCK_TOLERANCE = timedelta(minutes=5)


def lies_ahead(moment: datetime, now: datetime) -> bool:
    """Whether *moment*, which is said to be past, is further ahead of *now* than clocks differ."""
    return moment - now > CLOCK_TOLERANCE
