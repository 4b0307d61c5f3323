"""Errors: refused deliveries, and failing storage."""

from collections.abc import Mapping

from webhook_service.domain.results import Reason, Result


class DeliveryRefused(Exception):
    """A delivery is not accepted; ``result`` and ``reason`` are for the log and the metrics."""

    result: Result

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class SignatureInvalid(DeliveryRefused):
    """Nothing shows that the delivery comes from its provider."""

    result = Result.INVALID_SIGNATURE


class PayloadInvalid(DeliveryRefused):
    """The delivery is authentic but can't be understood; ``problems`` names the fields and what is wrong with each."""

    result = Result.VALIDATION_ERROR

    def __init__(self, reason: Reason, problems: Mapping[str, list[str]]) -> None:
        super().__init__(reason)
        self.problems = problems


class BodyTooLarge(DeliveryRefused):
    """The body is over the limit, and was not read to its end."""

    result = Result.VALIDATION_ERROR

    def __init__(self) -> None:
        super().__init__(Reason.BODY_TOO_LARGE)


class StorageError(Exception):
    """The base class of all errors that storage raises."""


class StorageUnavailable(StorageError):
    """The database can't be reached, is full, or is not at the schema that this code needs.

    ``detail`` is for the caller; ``cause`` is what the driver said, for the log alone.
    """

    def __init__(self, detail: str, cause: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.cause = cause or detail


class ConnectionLost(StorageUnavailable):
    """A connection broke in use; a new one may work."""


class StorageBusy(StorageUnavailable):
    """Another thread, process or program has the turn to write. A later attempt may succeed."""


class RowRefused(StorageError):
    """The database refuses a row as invalid, so the transaction or savepoint around it was undone."""
