"""Steps as MLflow runs: one experiment, a run a step, named by the step's folder and tagged with its key."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from xtransfer.tracking.facts import Facts

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

KEY = "xtransfer.key"
WRITTEN = "xtransfer.written"
"""Tag that says when (Unix s) and by whom a run was begun."""
YOUNG_S = 300.0
"""Age up to which a run that is not finished is taken for one that is being written."""
METRICS, OTHERS = 1000, 100
"""Most metrics, and most parameters or tags, of one request (MLflow's REST API)."""
PAGE = 1000
"""Runs of one request."""

T = TypeVar("T")


class MlflowRuns:
    """An experiment in MLflow.

    A run counts when it is finished: one that a writer left half-way is removed and made anew. Where two drivers
    are about to show the same step, the one that comes later leaves it to the other.

    Args:
        uri: of the tracking server or database.
        experiment: its name.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self.name = "mlflow"
        self._writer = secrets.token_hex(4)

    def known(self) -> set[str]:
        """Return the keys of the steps that have a finished run."""
        finished = set[str]()
        for run in self._runs():
            key = run.data.tags.get(KEY)
            if key is None:  # somebody else's
                continue
            if run.info.status == "FINISHED" and key not in finished:
                finished.add(key)
            elif not self._is_anothers(run):
                self._client.delete_run(run.info.run_id)
        return finished

    def show(self, facts: Facts) -> bool:
        """Make the run of a step, unless somebody else has made it or is about to; return whether it is finished."""
        from mlflow.entities import Metric, Param, RunTag

        if others := self._others(facts.key):
            return any(each.info.status == "FINISHED" for each in others)
        client, start, end = self._client, _ms(facts.started), _ms(facts.ended)
        run = client.create_run(
            self._experiment,
            start_time=start,
            run_name=facts.name,
            tags={KEY: facts.key, WRITTEN: f"{int(time.time())} {self._writer}"},
        )
        run_id = run.info.run_id
        metrics = [Metric(_name(name), value, end, 0) for name, value in facts.scores.items()]
        metrics += [
            Metric(_name(name), value, end, step)
            for name, points in facts.series.items()
            for step, value in points
        ]
        for some in _chunks(metrics, METRICS):
            client.log_batch(run_id, metrics=some)
        for some in _chunks(list(facts.params.items()), OTHERS):
            client.log_batch(run_id, params=[Param(_name(name), value) for name, value in some])
        for some in _chunks(list(facts.tags.items()), OTHERS):
            tags = [RunTag(f"xtransfer.{_name(name)}", value) for name, value in some]
            client.log_batch(run_id, tags=tags)
        # Two may have begun in the same moment: both see that now, and the same one goes on.
        others = self._others(facts.key)
        finished = any(each.info.status == "FINISHED" for each in others)
        if finished or any(each.info.run_id < run_id for each in others):
            client.delete_run(run_id)
            return finished
        client.set_terminated(run_id, "FINISHED", end_time=end)
        return True

    def _others(self, key: str) -> list[Any]:
        """Return the runs of a step that are finished, or that somebody else is writing."""
        found = self._client.search_runs([self._experiment], f"tags.`{KEY}` = '{key}'")
        return [each for each in found if each.info.status == "FINISHED" or self._is_anothers(each)]

    def _is_anothers(self, run: Any) -> bool:
        """Say whether somebody else is writing a run: one that began long ago was left."""
        began, _, writer = run.data.tags.get(WRITTEN, "").partition(" ")
        young = began.isdigit() and abs(time.time() - int(began)) < YOUNG_S
        return run.info.status == "RUNNING" and young and writer != self._writer

    @cached_property
    def _client(self) -> MlflowClient:
        # MLflow tells its makers of its use unless asked not to, talks, and tries for minutes.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    @cached_property
    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        return self._client.create_experiment(self.experiment) if not found else found.experiment_id

    def _runs(self) -> Iterator[Any]:
        """Yield all runs, the oldest first."""
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                max_results=PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return


def _name(name: str) -> str:
    """Return a name that MLflow takes."""
    return re.sub(r"[^\w./: -]", "_", name)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
