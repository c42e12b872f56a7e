"""Steps as MLflow runs: one experiment, a run a step, named by the step's folder and tagged with its key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from xtransfer.tracking.facts import Facts

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

KEY = "xtransfer.key"
METRICS, OTHERS = 1000, 100
"""Most metrics, and most parameters or tags, of one request (MLflow's REST API)."""
PAGE = 1000
"""Runs of one request."""

T = TypeVar("T")


class MlflowRuns:
    """An experiment in MLflow.

    A run counts when it is finished: one that a writer left half-way is removed and made anew, and so is
    all but the first where two drivers made one at the same time.

    Args:
        uri: of the tracking server or database.
        experiment: its name.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self.name = "mlflow"

    def known(self) -> set[str]:
        """Return the keys of the steps that have a finished run."""
        found: set[str] = set()
        for run in self._runs():
            key = run.data.tags.get(KEY)
            if key is None:  # somebody else's
                continue
            if run.info.status != "FINISHED" or key in found:
                self._client.delete_run(run.info.run_id)
            else:
                found.add(key)
        return found

    def show(self, facts: Facts) -> None:
        """Make the run of a step."""
        from mlflow.entities import Metric, Param, RunTag

        client, start, end = self._client, _ms(facts.started), _ms(facts.ended)
        run = client.create_run(
            self._experiment,
            start_time=start,
            run_name=facts.name,
            tags={KEY: facts.key},
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
        client.set_terminated(run_id, "FINISHED", end_time=end)

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
