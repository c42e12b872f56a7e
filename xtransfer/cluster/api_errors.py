"""Words for what an API server refuses or does not answer, and what of it may pass by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from xtransfer.errors import XtransferError

_OF_THE_ROLE = "rayjobs|rayclusters|pods|pods/log|events|jobs|configmaps|poddisruptionbudgets"
"""What the role xtransfer-submitter is about (k8s/base/rbac.yaml)."""
# What the API server says, as a regular expression, and what to do about it. 403 is the answer of whatever
# admits objects, not of roles alone.
FORBIDDEN = {
    r'User "system:anonymous"': (
        "No credentials were sent: renew those of the kubeconfig's user, then: kubectl auth whoami"
    ),
    rf'cannot \w+ resource "({_OF_THE_ROLE})"': (
        "Bind yourself to the role xtransfer-submitter (k8s/base/rbac.yaml), or ask for it."
    ),
    r"cannot \w+ resource": (
        "That takes an administrator's rights, which the role xtransfer-submitter does not give: k8s/README.md, "
        "'Once for a cluster'."
    ),
    r"status unknown for quota": "The quota is new, and not counted yet: try again in a few seconds.",
    r"(exceeded|failed) quota": (
        "Wait until others are done, or ask for more: kubectl describe resourcequota."
    ),
    r"violates PodSecurity": "See what it lacks: xtransfer k8s check OVERLAY",
    r"admission webhook|ValidatingAdmissionPolicy": (
        "A policy of the cluster's own refuses it: change the overlay, or ask whoever runs the cluster."
    ),
    r"cannot set (an ownerRef|blockOwnerDeletion)": (
        "This cluster lets only who may delete an object say who owns it: add the verb delete for configmaps "
        "and poddisruptionbudgets to the role xtransfer-submitter, then submit again."
    ),
    r"is being terminated": "Wait until the namespace is gone, then: xtransfer k8s setup OVERLAY",
}
NOT_SERVED = "the server could not find the requested resource"
"""As kubectl puts it: of a path that it does not know the server says 404 and no more, without a Status."""
NO_NAMESPACE = r'namespaces "[^"]*" not found'
NOT_FOUND = {
    NO_NAMESPACE: "Make it with: xtransfer k8s setup OVERLAY, or name another with --namespace.",
}
CONFLICTS = {
    r"Apply failed with \d+ conflict": (
        "Those fields are somebody else's: change them there, or take them over by kubectl apply --server-side "
        "--force-conflicts --field-manager=xtransfer."
    ),
}
MODIFIED = "the object has been modified"
"""Something that the server changes along with a request, such as a quota, was changed by another just then."""
UNTYPED = "failed to create typed patch object"
"""An applied object does not fit its kind, by a field that is unknown, say: the server calls that its own error (500)."""
UNFIT = {
    UNTYPED: "Correct that field, or leave it out.",
    r"may not be changed in an update|immutable|cannot change roleRef": (
        "Leave it as it is on the cluster; or delete the object there, and what it holds with it, and try again."
    ),
}
"""What fits no object of the kind, or not the one that is there."""
CRDS = {
    "/apis/ray.io/": "The KubeRay operator brings it: k8s/README.md, 'Once for a cluster'.",
    "/apis/kueue.x-k8s.io/": "Kueue brings it.",
    "/apis/monitoring.coreos.com/": (
        "The Prometheus operator brings it; without it, leave components/monitoring out of the overlay."
    ),
}
"""Where kinds of an operator are -> who brings them."""

MOST_WAIT_S = 60.0
"""Seconds that a busy server may ask for; whoever wants more is asked sooner, and then given up."""


class ApiError(XtransferError):
    """The API server refuses a request, or cannot be reached."""

    def __init__(self, where: str, what: str, next_: str = "", status: int = 0) -> None:
        super().__init__(where, what, next_)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the parts."""
        return (type(self), (self.where, self.what, self.next, self.status))


class Conflict(ApiError):
    """The object exists already, or is not what it was."""


class Gone(ApiError):
    """A watch asked for changes that the server no longer has."""


class NotServed(ApiError):
    """The server has no such kind of object: its CRD is not installed."""


class Unreachable(ApiError):
    """No answer: the request may have been carried out, or not."""


def failure(method: str, path: str, code: int, status: Mapping[str, Any]) -> ApiError:
    """Return the error to raise for a refusal.

    Args:
        method: of the request.
        path: of the request.
        code: HTTP status.
        status: the Status object that the server sent, or what `status_of` made of the refusal.
    """
    where, said = "kubernetes", str(status.get("message", ""))
    if code == 401:
        return ApiError(
            where, "does not know who you are", "Renew your credentials: kubectl auth whoami", code
        )
    if code == 403:
        return ApiError(where, said, _advice(FORBIDDEN, said), code)
    if code == 404 and NOT_SERVED in said:
        brings = next((text for start, text in CRDS.items() if path.startswith(start)), "")
        return NotServed(where, f"{path}: {said}", f"Is its CRD installed? {brings}".strip(), code)
    if code == 404:
        return ApiError(where, f"{path}: {said}", _advice(NOT_FOUND, said), code)
    if code == 409:
        return Conflict(where, said, _advice(CONFLICTS, said), code)
    if code == 410:
        return Gone(where, said, "", code)
    if code in (429, 503):
        error = ApiError(where, f"is too busy: {said}", "Try again later.", code)
        error.__dict__["retry_after"] = status.get("retry_after")
        return error
    return ApiError(where, f"{method} {path}: {said} ({code})", _advice(UNFIT, said), code)


def no_namespace(error: ApiError) -> bool:
    """Return whether a request was refused since its namespace is not there."""
    return error.status == 404 and re.search(NO_NAMESPACE, error.what) is not None


def _advice(known: Mapping[str, str], said: str) -> str:
    return next((advice for form, advice in known.items() if re.search(form, said)), "")


def status_of(error: Any) -> Mapping[str, Any]:
    """Return the Status object of a refusal, or what stands for it."""
    try:
        found = json.loads(error.body or "")
    except (TypeError, ValueError):
        found = {}
    status = dict(found) if isinstance(found, dict) else {}
    headers = error.headers or {}
    status["retry_after"] = headers.get("Retry-After")
    without = NOT_SERVED if error.status == 404 else error.reason or "without a word"
    status.setdefault("message", without)
    return status


def unreachable(method: str, url: str, error: Exception) -> Unreachable:
    """Return the error to raise where no answer came."""
    what = f"no answer to {method} {url}: {type(error).__name__}"
    return Unreachable("kubernetes", what, "Check the context, and that the cluster is up.")


def foreign(method: str, url: str) -> ApiError:
    """Return the error to raise where what came is nothing that an API server says: a proxy's page, say."""
    return ApiError(
        "kubernetes",
        f"the answer to {method} {url} is not that of an API server",
        "Check the context; something in between, such as a proxy, may ask for a login.",
    )


def unsendable() -> ApiError:
    """Return the error to raise where a header would hold what none may: the token is the only one of the user's."""
    return ApiError(
        "kubernetes",
        "the kubeconfig's token holds a character that no header may",
        "Renew your credentials: kubectl auth whoami",
    )


def insecure(method: str, url: str, error: Any) -> ApiError:
    """Return the error to raise where TLS fails: a certificate that is not trusted, or a line that broke in between."""
    said = " ".join(str(error.reason).split())
    what = f"no secure connection for {method} {url}: {said}"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        next_ = "Check the context, and certificate-authority in the kubeconfig."
        return ApiError("kubernetes", what, next_)
    return Unreachable("kubernetes", what, "Check the context, and that the cluster is up.")


def passes(error: ApiError) -> bool:
    """Return whether a failure may pass by itself."""
    if isinstance(error, Conflict):
        return MODIFIED in error.what
    if UNTYPED in error.what:
        return False
    return isinstance(error, Unreachable) or error.status in (429, 500, 502, 503, 504)


def may_be_starting(error: ApiError) -> bool:
    """Return whether a server may have said this only since it has just started.

    It answers before it has read roles, tokens and custom kinds, and until then refuses whoever they are for.
    """
    return isinstance(error, NotServed) or error.status in (401, 403)


def wait_s(error: ApiError, attempt: int) -> float:
    """Return the seconds to wait: the server's own word, up to MOST_WAIT_S, or 0.5, 1, 2, ..."""
    asked = str(error.__dict__.get("retry_after") or "")
    return min(float(asked), MOST_WAIT_S) if asked.isdecimal() else 0.5 * 2 ** (attempt - 1)
