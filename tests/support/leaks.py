"""A net below the whole test run: what must never be printed or stored, whichever test makes the program do it.

It sees what programs print that tests start (`support/command.py`), what tests print in their own process (the hook in
`conftest.py`), and objects as they stand in a sink when `support/exports.py` closes its bench. Packed columns of parts
are not unpacked here: `tests/e2e/test_nothing_leaks.py` does that for a few sinks.
"""

import re

#: The tokens of made-up worlds, and the keys and secrets that tests hand to the program.
_SECRETS = r"sandbox-token-\d+|made-up-(?:token|hash-key|secret)[\w-]*|(?:moto|weed)-secret"

#: Every made-up person has such an address.
_PEOPLE = r"[\w.+-]+@(?:[\w-]+\.)*example\.test"

_SECRET = re.compile(_SECRETS.encode())
_PRIVATE = re.compile(f"{_SECRETS}|{_PEOPLE}")


def leaked_words(text: str) -> set[str]:
    """Secrets, and addresses of people, in what was printed."""
    return set(_PRIVATE.findall(text))


def leaked_bytes(data: bytes) -> set[bytes]:
    """Secrets in what was stored; people may be there, where they were asked for."""
    return set(_SECRET.findall(data))
