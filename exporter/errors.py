"""What can go wrong, in one tree.

The class says what to do, the attributes carry the facts, the message is for a person: *where: what is wrong, seen
instead of allowed; way out*. No message holds a secret or a customer's name. Foreign exceptions are translated in
the adapter that met them, once.
"""


class ExporterError(Exception):
    """Everything this program raises on purpose."""


class UsageError(ExporterError):
    """What the person asked for cannot be done; nothing was requested and nothing written (exit 2)."""


class ConfigError(UsageError):
    """The configuration is not valid."""


class SecretError(UsageError):
    """A secret's reference leads nowhere."""


class PlanConflictError(UsageError):
    """The plan does not fit what is published: another grain, or windows that overlap without covering."""


class SourceError(ExporterError):
    """The report API did not give what was asked.

    Attributes:
        status: HTTP status, or None where there was no answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TransientError(SourceError):
    """May pass: ask again.

    Attributes:
        retry_after_s: the wait that the server asked for, in seconds; None where it named none.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = retry_after_s


class UnavailableError(TransientError):
    """No usable answer: connection, time-out, 5xx, a page that is no report."""


class RateLimitedError(TransientError):
    """429: the credential is asked for more slowly from now on."""


class RejectedError(SourceError):
    """Will not pass: this task fails.

    Attributes:
        fields: parameter names that the server complained about.
    """

    def __init__(self, message: str, *, status: int | None = None, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, status=status)
        self.fields = fields


class StudioError(SourceError):
    """Will not pass for any task of this studio; others of its credential go on."""


class CredentialError(SourceError):
    """Will not pass for any task of this credential."""


class DataError(ExporterError):
    """Rows are not what the documentation or the plan promised."""


class DamagedError(DataError):
    """A published part is not whole, or is none of this program's; its rows cannot be kept."""


class MissingColumnError(DataError):
    """A column that was asked for did not come; no task of the studio will have it."""


class ChangedError(DataError):
    """The report changed while it was paged: fetch the window again."""


class StoreError(ExporterError):
    """The sink did not do what was asked."""


class NotifyError(ExporterError):
    """Nobody took the message that a run has ended; the run itself is as good as ever."""


class TakenOverError(ExporterError):
    """Another run goes on with what this one staged: stop."""


class NotFoundError(StoreError):
    """There is no object under this key."""


class PreconditionFailedError(StoreError):
    """Someone else wrote: read, merge, try again."""


class OutcomeUnknownError(StoreError):
    """The write may have landed: look before it is repeated or anything is deleted."""
