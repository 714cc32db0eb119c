"""Whether a credential may be used at all, beside other runs: what the gate asks whoever knows of them."""

from collections.abc import Callable
from typing import Protocol

from exporter.core.studio import CredentialKey


class Permits(Protocol):
    """Who knows what other runs do with the same credentials."""

    async def held(self, credential: CredentialKey) -> bool:
        """Wait until the credential is ours; whether another run may have used it since this one began.

        Raises:
            CredentialError: it will not be.
        """
        ...

    def take(self, credential: CredentialKey, again: Callable[[], None]) -> bool:
        """Whether a request may be sent now; where not, *again* is called when it is worth asking again.

        Raises:
            CredentialError: the credential is not ours any more.
        """
        ...

    def stands(self, credential: CredentialKey) -> bool:
        """Whether a request that was let through some time ago may still be sent."""
        ...

    async def leave(self, credential: CredentialKey) -> None:
        """Nothing of it is in flight or waits: others may have it."""
        ...


class Free:
    """Permits for whoever is alone, or sends so little that it does not count."""

    async def held(self, credential: CredentialKey) -> bool:  # noqa: ARG002 - never needed
        """It is ours."""
        return False

    def take(self, credential: CredentialKey, again: Callable[[], None]) -> bool:  # noqa: ARG002 - never needed
        """It may be sent."""
        return True

    def stands(self, credential: CredentialKey) -> bool:  # noqa: ARG002 - never needed
        """It may be sent."""
        return True

    async def leave(self, credential: CredentialKey) -> None:
        """Nobody else wants it."""
