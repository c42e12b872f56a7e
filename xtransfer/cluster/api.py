"""The few requests that a job needs of a Kubernetes API server (`api_errors.py`: their failures in words).

Requests go by path and plain JSON: objects of custom kinds have no classes, and server-side apply takes what
kustomize renders.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from xtransfer.cluster.api_errors import (
    ApiError,
    NotServed,
    failure,
    foreign,
    insecure,
    passes,
    status_of,
    unreachable,
    unsendable,
    wait_s,
)
from xtransfer.cluster.kinds import path_of, path_of_body
from xtransfer.cluster.manifests import Body

MANAGER = "xtransfer"
"""The field manager that server-side apply knows this program by."""
CONNECT_S = 10.0
READ_S = 30.0
TRIES = 5
"""Times that a request is sent, while the server is too busy or does not answer."""
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
STAMP = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.(?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:\d\d)"
)
"""Time stamp of a log's line: RFC 3339, in the node's time zone."""


class Api:
    """Requests to one API server, in one namespace."""

    def __init__(
        self, client: Any, namespace: str, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.client = client
        self.namespace = namespace
        self.pause = pause

    def get(self, kind: str, name: str) -> Body | None:
        """Return an object, None where there is none.

        Raises:
            NotServed: the server does not know the kind.
        """
        try:
            return self._json("GET", path_of(kind, self.namespace, name=name))
        except NotServed:
            raise
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, *, labels: str = "") -> list[Body]:
        """Return the objects that a label selector selects."""
        query = {"labelSelector": labels} if labels else {}
        return self._json("GET", path_of(kind, self.namespace), query=query).get("items") or []

    def named(self, kind: str, name: str) -> tuple[Body | None, str]:
        """Return an object, None where there is none, and the version that a watch may go on from."""
        query = {"fieldSelector": f"metadata.name={name}"}
        found = self._json("GET", path_of(kind, self.namespace), query=query)
        return next(iter(found.get("items") or ()), None), found["metadata"]["resourceVersion"]

    def create(self, body: Body, *, dry_run: bool = False) -> Body:
        """Create an object, under strict field validation.

        Raises:
            Conflict: one of that name exists.
        """
        return self._json(
            "POST",
            path_of_body(body, self.namespace, named=False),
            query=_writing(dry_run=dry_run),
            body=body,
        )

    def apply(self, body: Body, *, dry_run: bool = False) -> Body:
        """Apply an object on the server's side; fields that others own are not taken.

        Raises:
            Conflict: another manager owns a field and has another value for it.
        """
        return self._json(
            "PATCH",
            path_of_body(body, self.namespace, named=True),
            query=_writing(dry_run=dry_run),
            body=body,
            content=APPLY,
        )

    def delete(self, kind: str, name: str, *, uid: str = "") -> bool:
        """Delete an object, and in the background what it owns; return whether there was one.

        Raises:
            Conflict: `uid` is given, and the object is another by now.
        """
        body: Body = {"apiVersion": "v1", "kind": "DeleteOptions"}
        body["propagationPolicy"] = "Background"
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", path_of(kind, self.namespace, name=name), body=body)
        except NotServed:
            raise
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def watch(
        self, kind: str, name: str, *, version: str, seconds: int
    ) -> Iterator[tuple[str, Body]]:
        """Yield (event, object) of each change of one object, for `seconds` or until the line drops.

        Raises:
            Gone: `version` is too old; read the object again.
            Unreachable: the connection broke.
        """
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        path = path_of(kind, self.namespace)
        with self._answer("GET", path, query=query, read_s=seconds + READ_S) as response:
            for line in _lines(response, self._url(path)):
                event = _parsed(line, "type", "GET", self._url(path))
                if event["type"] == "ERROR":
                    raise failure("GET", path, event["object"]["code"], event["object"])
                yield event["type"], event["object"]

    def logs(
        self,
        pod: str,
        container: str,
        *,
        tail: int | None = None,
        since: str = "",
    ) -> Iterator[tuple[str, str]]:
        """Yield (time stamp, line) of a container's log; no time stamp where the server gave none."""
        query = {"container": container, "timestamps": "true"}
        if tail is not None:
            query["tailLines"] = str(tail)
        if since:
            query["sinceTime"] = since
        path = f"{path_of('Pod', self.namespace, name=pod)}/log"
        with self._answer("GET", path, query=query) as response:
            for line in _lines(response, self._url(path)):
                stamp, _, text = line.partition(" ")
                # A node that has lost the log answers with a sentence of its own.
                yield (stamp, text) if STAMP.fullmatch(stamp) else ("", line)

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content: str = JSON,
    ) -> Body:
        """Send a request, again while the server is too busy or silent, and return its answer.

        Sending again is safe: reading, applying and deleting give the same result, and creating twice
        is a Conflict.
        """
        for attempt in range(1, TRIES + 1):
            try:
                with self._answer(
                    method, path, query=query or {}, body=body, content=content
                ) as got:
                    return _parsed(got.read(), "kind", method, self._url(path))
            except ApiError as error:
                if attempt == TRIES or not passes(error):
                    raise
                self.pause(wait_s(error, attempt))
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        body: Body | None = None,
        content: str = JSON,
        read_s: float = READ_S,
    ) -> Iterator[Any]:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self.client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Accept": JSON, "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=(CONNECT_S, read_s),
            )
        except ApiException as error:
            if not error.status:  # so the client package raises what TLS says
                raise insecure(method, self._url(path), error) from None
            raise failure(method, path, error.status or 0, status_of(error)) from None
        except (HTTPError, OSError) as error:
            raise unreachable(method, self._url(path), error) from None
        except ValueError:  # of http.client, which would quote the header, token and all
            raise unsendable() from None
        try:
            yield response
        except (HTTPError, OSError) as error:
            raise unreachable(method, self._url(path), error) from None
        finally:
            response.close()

    def _url(self, path: str) -> str:
        """Return a path with the server that was asked: which of several clusters does not answer, and where."""
        return f"{str(self.client.configuration.host).rstrip('/')}{path}"


def _writing(*, dry_run: bool) -> dict[str, str]:
    query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
    return {**query, "dryRun": "All"} if dry_run else query


def _parsed(data: bytes | str, field: str, method: str, url: str) -> Body:
    """Return the object that an answer holds; every one has this field."""
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict) or field not in found:
        raise foreign(method, url)
    return cast("Body", found)


def _lines(response: Any, url: str) -> Iterator[str]:
    """Yield the lines of an answer that comes in pieces; a cut-off last line is not one."""
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        for piece in response.stream(amt=None, decode_content=False):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield line.decode("utf-8", "replace")
    except (HTTPError, OSError) as error:
        raise unreachable("GET", url, error) from None
