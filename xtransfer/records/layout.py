"""The folders at the top of a store, and what the objects in them are called.

{kind of step}/{name}-{key}/...    a record and its files (`record`)
leases/        who is at work on a step, and who was (`leases`)
plans/         what drivers work off (`journal`)
resume/        checkpoints of trials that still run (`checkpoints`), what their workers hand over, and
               the micro-batch that memory sufficed for (`xtransfer.steps`)
rungs/         what was ruled of trials under ASHA (`xtransfer.sweeps.rungs`)
suggestions/   learning rates that Optuna suggested (`xtransfer.sweeps.suggestion`)
failures/      why steps failed (`failures`)
logs/          what steps and drivers said (`logs`)
reports/       the reports of experiments
quarantine/    damaged steps that were set aside (`quarantine`)
probes/        for a moment at a run's start (`probe`)
"""

from __future__ import annotations

from collections.abc import Mapping

FAILURES = "failures"
LEASES = "leases"
LOGS = "logs"
PLANS = "plans"
PROBES = "probes"
QUARANTINE = "quarantine"
REPORTS = "reports"
RESUME = "resume"
RUNGS = "rungs"
SUGGESTIONS = "suggestions"
PLAN_NOTE = "plan-"
"""How an object in a job's folder of logs begins that says which plan the job works on."""

_KEY = "[0-9a-f]{12}"
NAMES: Mapping[str, str] = {
    FAILURES: rf"{_KEY}\.json",
    LEASES: ".+",  # which `journal` reads, and plans
    LOGS: rf"[^/]+/([^/]+\.log|{PLAN_NOTE}{_KEY})",
    PLANS: ".+",
    PROBES: "[0-9a-f]{16}",
    QUARANTINE: r"\d{8}T\d{6}-[0-9a-f]{8}/.+",
    REPORTS: "[^/]+/[^/]+",
    RESUME: rf"{_KEY}/(\d{{9,}}/([0-9a-f]{{16}}\.safetensors|manifest\.json)|outcome/.+|memory\.json)",
    RUNGS: rf"{_KEY}/{_KEY}-\d+\.json",
    SUGGESTIONS: rf"{_KEY}\.json",
}
"""Folder whose objects no record names -> what the rest of their names is like, a regular expression."""
