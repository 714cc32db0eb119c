"""How far the word of a clock is taken: by what it says, a moment that has been cannot lie ahead of now.

Where one does, this clock was set back, or the other one had been ahead. Nobody can tell which, so nothing is taken
for settled or fresh by such a moment.
"""

from datetime import datetime, timedelta

#: Clocks of machines that keep time differ by less. S3 refuses signatures that are older than a few of these.
CLOCK_TOLERANCE = timedelta(minutes=5)


def lies_ahead(moment: datetime, now: datetime) -> bool:
    """Whether *moment*, which is said to be past, is further ahead of *now* than clocks differ."""
    return moment - now > CLOCK_TOLERANCE
