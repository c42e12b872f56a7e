"""A small Kubernetes API server for tests, with a scripted operator for RayJobs.

It keeps what the real one keeps for a client: 404, 409 and 410 with Status objects, resource versions,
label and field selectors, watches with bookmarks and a history that can be cut off, server-side apply
with owners of fields, dry runs, strict field validation, the status subresource, preconditions of deletes,
finalizers, owner references, pods' logs. Faults are hooks that see each request before it is handled.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Body = dict[str, Any]
CLUSTER_WIDE = {"namespaces", "priorityclasses", "clusterroles", "clusterqueues", "resourceflavors"}
PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+/[^/]+))(?:/namespaces/(?P<ns>[^/]+))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>status|log))?$"
)
NAMESPACE_PATH = re.compile(r"/api/v1/namespaces(?:/(?P<name>[^/]+))?$")
JOB_FIELDS = {
    "activeDeadlineSeconds",
    "backoffLimit",
    "clusterSelector",
    "deletionStrategy",
    "entrypoint",
    "jobId",
    "managedBy",
    "metadata",
    "preRunningDeadlineSeconds",
    "rayClusterSpec",
    "runtimeEnvYAML",
    "shutdownAfterJobFinishes",
    "submissionMode",
    "submitterConfig",
    "submitterPodTemplate",
    "suspend",
    "ttlSecondsAfterFinished",
}
CONFIG_FIELDS = {"apiVersion", "kind", "metadata", "immutable", "data", "binaryData"}


@dataclass(kw_only=True)
class Request:
    """One request, as hooks see it and as the test may ask for it afterwards."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any

    @property
    def plural(self) -> str:
        match = PATH.match(self.path)
        return match.group("plural") if match else ""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a fault answers instead; `drop` closes the connection without a word."""

    code: int = 500
    message: str = "fault"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    after: bool = False
    """The request is carried out first, and only its answer is lost."""


class Refused(Exception):
    """Answered as a Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


class NotServed(Exception):
    """Answered as the server answers where it knows no such path: in plain text, without a Status."""


Fault = Callable[[Request], Answer | None]


class FakeApi:
    """The server: its objects, its requests so far, its faults and its operator."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Body] = {}
        self.owners: dict[tuple[str, str, str], dict[tuple[str, ...], str]] = {}
        self.history: list[tuple[int, str, tuple[str, str, str], Body]] = []
        self.oldest = 0
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.logs: dict[str, list[str]] = {}
        self.missing: set[str] = set()
        """API groups whose CRDs are not installed."""
        self.finalizers = False
        self.watch_drops_after: int | None = None
        """Events after which each watch is cut off in the middle of a line."""
        self.changed = threading.Condition()
        self.expired = 0
        """Watches that were answered with 410."""
        self._version = 99
        self._names = itertools.count(1)
        self.closed = False
        self.url = ""

    # --- for tests ------------------------------------------------------------------------------

    def fail(self, times: int, answer: Answer, *, method: str = "", plural: str = "") -> None:
        """Answer the next requests of a kind so, `times` times."""
        left = [times]

        def fault(request: Request) -> Answer | None:
            if left[0] == 0 or (method and request.method != method):
                return None
            if plural and request.plural != plural:
                return None
            left[0] -= 1
            return answer

        self.faults.append(fault)

    def all(self, plural: str) -> list[Body]:
        """Return the objects of a kind."""
        with self.changed:
            return [copy.deepcopy(v) for (p, _, _), v in self.objects.items() if p == plural]

    def one(self, plural: str) -> Body:
        """Return the only object of a kind."""
        (found,) = self.all(plural)
        return found

    def sent(self, method: str, plural: str) -> list[Request]:
        """Return the requests of a kind so far."""
        return [r for r in self.requests if r.method == method and r.plural == plural]

    def forget(self) -> None:
        """Drop the history: watches from before now are too old (410)."""
        with self.changed:
            self.oldest = self._next_version()
            self.history.clear()

    def set_status(self, name: str, **status: Any) -> None:
        """Change a RayJob's status, as its operator does."""
        with self.changed:
            key = self._find("rayjobs", name)
            body = copy.deepcopy(self.objects[key])
            body.setdefault("status", {}).update(status)
            self._store(key, body, "MODIFIED")

    def relabel(self, name: str, label: str, value: str) -> None:
        """Give a RayJob another label, as somebody else may."""
        with self.changed:
            key = self._find("rayjobs", name)
            body = copy.deepcopy(self.objects[key])
            body["metadata"].setdefault("labels", {})[label] = value
            self._store(key, body, "MODIFIED")

    def start(self, name: str) -> str:
        """Run a RayJob: a new cluster with a head and a submitter; return the cluster's name."""
        number = next(self._names)
        cluster = f"{name}-{number:05d}"
        job = self.objects[self._find("rayjobs", name)]
        labels = job["metadata"].get("labels", {})
        for role in ("head", "submitter"):
            self.add_pod(f"{cluster}-{role}", {**labels, "xtransfer/role": role})
        self.set_status(
            name,
            jobDeploymentStatus="Running",
            jobStatus="RUNNING",
            rayClusterName=cluster,
            jobId=f"{name}-{number}",
        )
        return cluster

    def add_pod(self, name: str, labels: dict[str, str], **status: Any) -> None:
        """Make a pod of the namespace that tests use."""
        with self.changed:
            key = ("pods", "xtransfer", name)
            metadata = {"name": name, "namespace": "xtransfer", "labels": labels}
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
            self._complete(body)
            self._store(key, body, "ADDED")

    def drop_pod(self, name: str) -> None:
        """Remove a pod, as its cluster's end does."""
        with self.changed:
            self._drop(self._find("pods", name))

    def log(self, pod: str, *lines: str) -> None:
        """Add lines to a pod's log, each a nanosecond after the other."""
        known = self.logs.setdefault(pod, [])
        for line in lines:
            known.append(f"2026-01-01T00:00:00.{len(known):09d}Z {line}")

    def let_go(self, name: str) -> None:
        """Remove a deleted RayJob's finalizer."""
        with self.changed:
            self._drop(self._find("rayjobs", name))

    # --- objects --------------------------------------------------------------------------------

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _find(self, plural: str, name: str) -> tuple[str, str, str]:
        (key,) = [key for key in self.objects if key[0] == plural and key[2] == name]
        return key

    def _complete(self, body: Body) -> None:
        """Set what the server sets on an object it has not seen before."""
        number = next(self._names)
        metadata = body["metadata"]
        metadata["uid"] = f"uid-{number}"
        metadata["creationTimestamp"] = time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_760_000_000 + number)
        )

    def _store(self, key: tuple[str, str, str], body: Body, event: str) -> None:
        version = self._next_version()
        body["metadata"]["resourceVersion"] = str(version)
        self.objects[key] = body
        self.history.append((version, event, key, copy.deepcopy(body)))
        self.changed.notify_all()

    def _drop(self, key: tuple[str, str, str]) -> None:
        body = self.objects.pop(key)
        self.owners.pop(key, None)
        version = self._next_version()
        body["metadata"]["resourceVersion"] = str(version)
        self.history.append((version, "DELETED", key, body))
        uid = body["metadata"]["uid"]
        for other, value in list(self.objects.items()):
            owners = value["metadata"].get("ownerReferences") or ()
            if any(owner["uid"] == uid for owner in owners) and other in self.objects:
                self._drop(other)
        self.changed.notify_all()

    def handle(self, request: Request) -> tuple[int, Body]:
        """Carry a request out."""
        space = NAMESPACE_PATH.match(request.path)
        match = None if space else PATH.match(request.path)
        if not space and not match:
            raise NotServed
        if match and str(match.group("group")).partition("/")[0] in self.missing:
            raise NotServed
        parts = {"plural": "namespaces", "ns": None, "sub": None} if space else {}
        parts |= (space or match).groupdict()  # type: ignore[union-attr]
        plural, name = str(parts["plural"]), parts["name"]
        namespace = parts["ns"] or ""
        with self.changed:
            if request.method == "GET" and name is None:
                return 200, self._list(plural, namespace, request.query)
            if request.method == "POST":
                return self._create(plural, namespace, request)
            key = (plural, namespace, str(name))
            if request.method == "PATCH":
                return self._patch(key, request)
            if key not in self.objects:
                raise Refused(404, "NotFound", f'{plural} "{name}" not found')
            if request.method == "GET":
                return 200, copy.deepcopy(self.objects[key])
            if request.method == "PUT":
                return self._put(key, request, status=parts["sub"] == "status")
            return self._delete(key, request)

    def _list(self, plural: str, namespace: str, query: dict[str, str]) -> Body:
        items = [
            copy.deepcopy(body)
            for (p, n, name), body in self.objects.items()
            if p == plural
            and n == namespace
            and selects(query.get("labelSelector", ""), body)
            and query.get("fieldSelector", f"metadata.name={name}") == f"metadata.name={name}"
        ]
        version = {"resourceVersion": str(self._version)}
        return {"kind": "List", "metadata": version, "items": items}

    def _create(self, plural: str, namespace: str, request: Request) -> tuple[int, Body]:
        body = copy.deepcopy(request.body)
        key = (plural, namespace, body["metadata"]["name"])
        self._admit(plural, namespace, body, request)
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f'{plural} "{key[2]}" already exists')
        return self._new(key, body, request)

    def _new(self, key: tuple[str, str, str], body: Body, request: Request) -> tuple[int, Body]:
        body.pop("status", None)
        if key[1]:
            body["metadata"]["namespace"] = key[1]
        self._complete(body)
        if "dryRun" not in request.query:
            manager = request.query.get("fieldManager", "unknown")
            self.owners[key] = {path: manager for path, _ in leaves(request.body)}
            self._store(key, body, "ADDED")
        return 201, copy.deepcopy(body)

    def _admit(self, plural: str, namespace: str, body: Body, request: Request) -> None:
        if plural not in CLUSTER_WIDE and ("namespaces", "", namespace) not in self.objects:
            raise Refused(404, "NotFound", f'namespaces "{namespace}" not found')
        named = body["metadata"].get("namespace", namespace)
        if plural not in CLUSTER_WIDE and named != namespace:
            raise Refused(400, "BadRequest", "the namespace of the object is not the request's")
        unknown = set(body.get("spec") or ()) - JOB_FIELDS if plural == "rayjobs" else set()
        if unknown and request.query.get("fieldValidation") == "Strict":
            raise Refused(
                400, "BadRequest", f'strict decoding error: unknown field "spec.{min(unknown)}"'
            )

    def _patch(self, key: tuple[str, str, str], request: Request) -> tuple[int, Body]:
        if request.headers.get("content-type") != "application/apply-patch+yaml":
            raise Refused(415, "UnsupportedMediaType", "only server-side apply is played here")
        manager = request.query.get("fieldManager")
        if not manager:
            raise Refused(400, "BadRequest", "fieldManager is required for apply patch")
        if "managedFields" in request.body.get("metadata", {}):
            raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
        self._admit(key[0], key[1], request.body, request)
        unknown = set(request.body) - CONFIG_FIELDS if key[0] == "configmaps" else set()
        if unknown:
            what = f"({key[1]}/{key[2]}; /v1, Kind=ConfigMap): .{min(unknown)}: field not declared in schema"
            raise Refused(500, "", f"failed to create typed patch object {what}")
        if key not in self.objects:
            return self._new(key, copy.deepcopy(request.body), request)
        before = self.objects[key]
        body, owners = copy.deepcopy(before), dict(self.owners.get(key, {}))
        old, wanted = dict(leaves(before)), dict(leaves(request.body))
        # What a manager applied before and leaves out now goes.
        for path in [p for p, owner in owners.items() if owner == manager and p not in wanted]:
            del owners[path]
            if path != ("metadata", "namespace"):
                remove(body, path)
        for path, value in wanted.items():
            owner = owners.get(path, manager)
            if owner != manager and old.get(path) != value and request.query.get("force") != "true":
                text = f'conflict with "{owner}": .{".".join(path)}'
                raise Refused(409, "Conflict", f"Apply failed with 1 conflict: {text}")
            owners[path] = manager
        if before.get("immutable") and before.get("data") != request.body.get("data"):
            raise Refused(
                422, "Invalid", "data: Forbidden: field is immutable when `immutable` is set"
            )
        merge(body, request.body)
        if "dryRun" not in request.query and body != before:
            self.owners[key] = owners
            self._store(key, body, "MODIFIED")
        return 200, copy.deepcopy(body)

    def _put(
        self, key: tuple[str, str, str], request: Request, *, status: bool
    ) -> tuple[int, Body]:
        before, body = self.objects[key], copy.deepcopy(request.body)
        version = body["metadata"].get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified; apply your changes again")
        after = copy.deepcopy(before)
        if status:
            after["status"] = body.get("status", {})
        else:
            after = {**body, "status": before.get("status", {})}
            after["metadata"] = {**before["metadata"], **body["metadata"]}
        self._store(key, after, "MODIFIED")
        return 200, copy.deepcopy(after)

    def _delete(self, key: tuple[str, str, str], request: Request) -> tuple[int, Body]:
        body = self.objects[key]
        wanted = (request.body or {}).get("preconditions", {}).get("uid")
        if wanted and wanted != body["metadata"]["uid"]:
            raise Refused(409, "Conflict", "the UID in the precondition does not match")
        if self.finalizers and key[0] == "rayjobs":
            if "deletionTimestamp" not in body["metadata"]:
                body = copy.deepcopy(body)
                body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                self._store(key, body, "MODIFIED")
            return 200, copy.deepcopy(body)
        self._drop(key)
        return 200, {"kind": "Status", "status": "Success"}

    # --- watches --------------------------------------------------------------------------------

    def watch(self, request: Request) -> Iterator[Body]:
        """Yield the events that a watch asks for, until its time is over."""
        match = PATH.match(request.path)
        assert match
        query = request.query
        after = int(query.get("resourceVersion", "0"))
        ends = time.monotonic() + min(float(query.get("timeoutSeconds", "1")), 0.3)
        if after < self.oldest:
            self.expired += 1
            yield {
                "type": "ERROR",
                "object": status_body(410, "Expired", "too old resource version"),
            }
            return
        sent = after
        while not self.closed:
            with self.changed:
                fresh = [
                    (version, event, body)
                    for version, event, (plural, namespace, name), body in self.history
                    if version > sent
                    and plural == match.group("plural")
                    and namespace == (match.group("ns") or "")
                    and query.get("fieldSelector", f"metadata.name={name}")
                    == f"metadata.name={name}"
                ]
                if not fresh:
                    left = ends - time.monotonic()
                    if left <= 0:
                        break
                    self.changed.wait(left)
                    continue
            for version, event, body in fresh:
                sent = version
                yield {"type": event, "object": body}
        if query.get("allowWatchBookmarks") == "true":
            bookmark = {"kind": "Bookmark", "metadata": {"resourceVersion": str(sent)}}
            yield {"type": "BOOKMARK", "object": bookmark}


def selects(selector: str, body: Body) -> bool:
    """Return whether a label selector (a, a=b, joined by commas) selects an object."""
    labels = body["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, equals, value = term.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def instant(text: str) -> datetime | None:
    """Return a time of RFC 3339, to whole seconds, None for another text."""
    try:
        return datetime.fromisoformat(re.sub(r"\.\d+", "", text))
    except ValueError:
        return None


def merge(into: Body, patch: Body) -> None:
    """Merge mappings; other values, lists too, are replaced, and None removes."""
    for name, value in patch.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, dict) and isinstance(into.get(name), dict):
            merge(into[name], value)
        else:
            into[name] = copy.deepcopy(value)


def remove(body: Body, path: tuple[str, ...]) -> None:
    """Remove a field where it is there."""
    for name in path[:-1]:
        body = body.get(name) or {}
    body.pop(path[-1], None)


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (path, value) of what is no mapping."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))
    elif path and path[0] not in ("apiVersion", "kind") and path[:2] != ("metadata", "name"):
        yield path, value


def status_body(code: int, reason: str, message: str) -> Body:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def handler_of(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length) if length else b""
            request = Request(
                method=self.command,
                path=parts.path,
                query={name: values[-1] for name, values in parse_qs(parts.query).items()},
                headers={name.lower(): value for name, value in self.headers.items()},
                body=json.loads(text) if text else None,
            )
            api.requests.append(request)
            answer = next(filter(None, (fault(request) for fault in api.faults)), None)
            if answer and not answer.after:
                self._fault(answer)
            elif request.query.get("watch") == "true":
                self._watch(request)
            elif request.path.endswith("/log"):
                self._log(request)
            else:
                try:
                    code, body = api.handle(request)
                except NotServed:
                    self._send_data(404, b"404 page not found\n", "text/plain; charset=utf-8")
                    return
                except Refused as refused:
                    code = refused.code
                    body = status_body(code, refused.reason, refused.message)
                if answer:
                    self._fault(answer)
                else:
                    self._send(code, body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

        def _fault(self, answer: Answer) -> None:
            if answer.drop:
                self.close_connection = True
                return
            self._send(answer.code, status_body(answer.code, "", answer.message), answer.headers)

        def _send(self, code: int, body: Body, headers: dict[str, str] | None = None) -> None:
            self._send_data(code, json.dumps(body).encode(), "application/json", headers)

        def _send_data(
            self, code: int, data: bytes, kind: str, headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _watch(self, request: Request) -> None:
            self._begin()
            for number, event in enumerate(api.watch(request)):
                line = json.dumps(event).encode() + b"\n"
                if number == api.watch_drops_after:
                    self._piece(line[: len(line) // 2])
                    self.close_connection = True
                    return
                self._piece(line)
            self._piece(b"")

        def _log(self, request: Request) -> None:
            name = request.path.split("/")[-2]
            if not any(key[0] == "pods" and key[2] == name for key in api.objects):
                self._send(404, status_body(404, "NotFound", f'pods "{name}" not found'))
                return
            if name not in api.logs:
                text = (
                    f'container "{request.query["container"]}" in pod "{name}" is waiting to start'
                )
                self._send(400, status_body(400, "BadRequest", text))
                return
            asked, lines = request.query.get("sinceTime", ""), api.logs[name]
            if asked:
                since = instant(asked)
                if since is None:
                    self._send(400, status_body(400, "BadRequest", f"no time: {asked}"))
                    return
                # What a node says instead of a log has no time.
                lines = [line for line in lines if (instant(line.split()[0]) or since) >= since]
            if "tailLines" in request.query:
                lines = lines[-int(request.query["tailLines"]) :]
            self._begin()
            for line in lines:
                self._piece(line.encode() + b"\n")
            self._piece(b"")

        def _begin(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()

        def _piece(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

    return Handler


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: that is what some tests are about."""


@contextmanager
def serving() -> Iterator[FakeApi]:
    """Run a fake API server while the block lasts."""
    api = FakeApi()
    server = Server(("127.0.0.1", 0), handler_of(api))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        api.closed = True
        server.shutdown()
        thread.join()
        server.server_close()


def write_kubeconfig(path: Path, url: str, *, namespace: str = "") -> None:
    """Write a kubeconfig with the contexts `one` (current, with a token) and `other`."""
    context = {"cluster": "fake", "user": "me", **({"namespace": namespace} if namespace else {})}
    other = {"cluster": "fake", "user": "me", "namespace": "elsewhere"}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "one",
                "clusters": [{"name": "fake", "cluster": {"server": url}}],
                "users": [{"name": "me", "user": {"token": "secret-token"}}],
                "contexts": [
                    {"name": "one", "context": context},
                    {"name": "other", "context": other},
                ],
            }
        ),
        encoding="utf-8",
    )
