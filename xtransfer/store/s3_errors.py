"""Words for what goes wrong in S3: where, what and what next, and never a secret."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from xtransfer.errors import NotFound, StoreError, shown


def explained(
    error: Any, *, store: str, name: str, endpoint: str, attempts: int | None
) -> StoreError:
    """Return the error to raise for a boto exception.

    Args:
        error: a botocore ClientError (the service refused), BotoCoreError (no answer) or
            ResponseParserError (an answer that is none).
        store: URL of the store.
        name: the object at hand; "" for none.
        endpoint: URL of the service.
        attempts: how often it was asked at most; None: as often as there was time for.
    """
    from botocore import exceptions as boto

    where = f"{store}/{name}" if name else store
    service = f"the S3 service at {_redacted(endpoint)}"
    if about_credentials(error):
        return StoreError(where, f"no usable AWS credentials: {plain(error)}", _CREDENTIALS)
    if isinstance(error, boto.ClientError):
        return _refusal(error, store, where, service)
    if unsendable(error):  # whose text repeats them
        what = "the AWS credentials hold a line end, or another character that no request can carry"
        return StoreError(
            where, what, "Write them anew: `echo` ends a file with one, `printf %s` does not."
        )
    if isinstance(error, boto.ProxyConnectionError):
        proxy = _redacted(str(error.kwargs.get("proxy_url", "")))
        what = f"the proxy {proxy or 'of this machine'} on the way to {service} cannot be reached"
        return StoreError(where, what, "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.")
    if isinstance(error, boto.SSLError):
        what = f"no trusted TLS connection to {service}"
        return StoreError(where, what, "Check the address (http or https?) and AWS_CA_BUNDLE.")
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        often = f"attempt {attempts} of {attempts}" if attempts else "for all of s3.give_up_after_s"
        asked = urlsplit(str(error.kwargs.get("endpoint_url", "")))
        if asked.netloc and not asked.netloc.endswith(
            urlsplit(endpoint).netloc
        ):  # a bucket's own address does
            # STS, for a role's credentials, or a bucket's region.
            service = f"{_redacted(f'{asked.scheme}://{asked.netloc}')}, which is not {service},"
        what = f"{service} cannot be reached ({type(error).__name__}, {often})"
        return StoreError(
            where, what, "Check s3.endpoint_url or AWS_ENDPOINT_URL, the network, and that it runs."
        )
    if type(error).__name__ == "ResponseParserError":
        return StoreError(
            where,
            f"what answers as {service} gives no reply of S3: {shown(plain(error), most=300)}",
            "Check s3.endpoint_url or AWS_ENDPOINT_URL, and proxies on the way there.",
        )
    return StoreError(where, f"S3 failed: {plain(error)}", _SETTINGS)


def about_credentials(error: Any) -> bool:
    """Say whether a boto exception is about getting credentials, and not about the request to S3.

    A role's credentials come from another service, whose refusals are ClientErrors of its own operations.
    """
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        return error.operation_name in _GIVING_CREDENTIALS
    # What has to do with credentials is raised under many names, all with one of these words.
    return re.search("Credential|Token|SSO|Login|Profile", type(error).__name__) is not None


def unsendable(error: Any) -> bool:
    """Say whether a boto exception says that a request's headers, which hold the credentials, are no text."""
    inner = getattr(error, "kwargs", {}).get("error")
    return isinstance(inner, ValueError) and (
        isinstance(inner, UnicodeEncodeError) or "header" in str(inner)
    )


def status_of(error: Any) -> int:
    """Return the HTTP status of a ClientError."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def expired(error: Any) -> bool:
    """Say whether a ClientError says that credentials have expired; the reply to a HEAD has only a status."""
    return error.response.get("Error", {}).get("Code", "") in _EXPIRED.split() or (
        status_of(error) == 400 and error.operation_name.startswith("Head")
    )


def plain(error: Exception) -> str:
    """Return an exception's text as one line, without the credentials that a URL may hold."""
    return _redacted(" ".join(str(error).split())).rstrip(".")


def _refusal(error: Any, store: str, where: str, service: str) -> StoreError:
    code = error.response.get("Error", {}).get("Code", "")
    if code in ("NoSuchKey", "NotFound", "404"):
        return NotFound(where, "no such object")
    if code == "NoSuchBucket":
        what = f"{service} has no such bucket"
        return StoreError(store, what, "Create it, or correct the URL of the store or service.")
    if code in ("400", "403") and _clocks_differ(error):  # a HEAD's: it says no more
        code = "RequestTimeTooSkewed"
    for codes, what, next_ in _REFUSALS:
        if code in codes.split():
            denied = "explicit deny" in str(error)
            return StoreError(where, f"{what} ({code})", _POLICY if denied else next_)
    if status_of(error) == 507:
        return StoreError(where, f"{_FULL[1]} ({code})", _FULL[2])
    if status_of(error) >= 500:
        return StoreError(where, f"{service} is overloaded or failing ({code})", "Try again later.")
    older = re.search("checksum|x-amz-|header", str(error), re.IGNORECASE)
    return StoreError(where, f"S3 refused: {plain(error)}", _NO_CHECKSUMS if older else "")


def _clocks_differ(error: Any) -> bool:
    """Say whether a reply was written at a time for which this machine's clock is too far off."""
    date = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return abs(parsedate_to_datetime(date).timestamp() - time.time()) > _SKEW_S
    except (ValueError, TypeError):
        return False


_SKEW_S = 15 * 60.0
"""By which S3 lets a request's time differ from its own, s."""
_EXPIRED = "ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired"
_POLICY = (
    "A policy denies it. Where that asks for headers of encryption, which are not sent, let the bucket's "
    "default encryption do it."
)
_NO_CHECKSUMS = "If it is a service that knows no checksums, set AWS_REQUEST_CHECKSUM_CALCULATION=when_required."
_SETTINGS = "Check the variables that begin with AWS_, and the AWS configuration file."
_GIVING_CREDENTIALS = (
    *("AssumeRole", "AssumeRoleWithWebIdentity", "GetRoleCredentials", "CreateToken"),
    "CreateOAuth2Token",
)
"""Operations of STS, IAM Identity Center and AWS sign-in that boto calls by itself."""
_CREDENTIALS = (
    "Check AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role of the node."
)
# The names that Ceph, MinIO and others give to full storage; AWS has no such limit.
NO_SPACE = (
    "InsufficientStorage QuotaExceeded BucketQuotaExceeded XMinioStorageFull "
    "XMinioAdminBucketQuotaExceeded StorageFull 507"
)
# Codes that S3 replies with (a HEAD reply has only a status), what they mean, and what next.
_REFUSALS = (
    (
        _EXPIRED,
        "the AWS credentials have expired",
        "Renew them (aws sso login, or a new session token) and start again.",
    ),
    (
        "400",  # the reply to a HEAD has no more to say
        "the service refuses the request, as it does when credentials have expired",
        _CREDENTIALS,
    ),
    (
        "InvalidAccessKeyId SignatureDoesNotMatch InvalidToken InvalidClientTokenId NotSignedUp",
        "the service does not accept the AWS credentials",
        _CREDENTIALS,
    ),
    (
        "AccessDenied AllAccessDisabled AccountProblem Forbidden 403",
        "access denied",
        "Let these credentials get, put, delete and list there, or use others.",
    ),
    (
        NO_SPACE,
        "the bucket's quota or the service's storage is used up",
        "Free some (xtransfer store gc) or raise the quota, and start again: what is recorded is safe.",
    ),
    (
        "RequestTimeTooSkewed RequestInTheFuture",
        "this machine's clock differs from the service's",
        "Set the clock (timedatectl set-ntp true) and start again.",
    ),
    (
        "PermanentRedirect AuthorizationHeaderMalformed IllegalLocationConstraintException 301",
        "the bucket is in another region",
        "Set s3.region or AWS_REGION to the bucket's.",
    ),
    (
        "NotImplemented 501",
        "the service lacks a function that xtransfer needs",
        f"Use one with conditional and multipart puts, such as AWS or SeaweedFS. {_NO_CHECKSUMS}",
    ),
)


_FULL = next(each for each in _REFUSALS if each[0] == NO_SPACE)


def _redacted(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)
