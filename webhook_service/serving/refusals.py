"""The statuses with which requests that gunicorn can't read are refused."""

from http import HTTPStatus

from gunicorn.http import errors  # type: ignore[import-untyped]  # gunicorn has no types

# RFC 9110, section 15, and RFC 6585.
_STATUSES = {
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
}
_OF_THE_APPLICATION = (errors.InvalidResponseHeader, errors.InvalidResponseHeaderName)
# These are raised while a body is read, and are none of gunicorn's ParseExceptions.
_OF_A_BODY = (errors.InvalidChunkSize, errors.ChunkMissingTerminator, errors.InvalidChunkExtension)


def status_of(error: BaseException) -> HTTPStatus:
    """Returns the status for an error that occurred while a request was read or served."""
    if isinstance(error, _OF_THE_APPLICATION) or not isinstance(error, (errors.ParseException, *_OF_A_BODY)):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return _STATUSES.get(type(error), HTTPStatus.BAD_REQUEST)
