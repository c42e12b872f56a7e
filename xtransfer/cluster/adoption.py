"""What a job that is there already does otherwise than the one that would be sent in its place.

The name of a job says its plan and nothing else, so the one that is found may have another store, placement or
image. Its ConfigMaps are named by their content: comparing names compares what is in them.
"""

from __future__ import annotations

from xtransfer.cluster.api import Api
from xtransfer.cluster.jobs import JobObjects
from xtransfer.cluster.manifests import Body, at, pod_templates
from xtransfer.cluster.placements import store_in


def differences(found: Body, objects: JobObjects) -> list[str]:
    """Return in words what a job that was found has otherwise than the one that would be sent."""
    theirs, ours = _configs(found), _configs(objects.job)
    words = [
        f"its {volume} is {theirs.get(volume, 'none')}, not {ours.get(volume, 'none')}"
        for volume in sorted(theirs.keys() | ours.keys())
        if theirs.get(volume) != ours.get(volume)
    ]
    images, sent = _images(found), _images(objects.job)
    if images != sent:
        words.append(f"its image is {', '.join(sorted(images))}, not {', '.join(sorted(sent))}")
    return words


def store_of_job(api: Api, found: Body) -> str:
    """Return the URL of the store that a job which was found works with, empty where nothing says it."""
    configs = (api.get("ConfigMap", name) for name in _configs(found).values())
    return store_in((body for body in configs if body is not None), found)


def mounts(found: Body, config: Body) -> bool:
    """Return whether a job that was found mounts this ConfigMap."""
    return config["metadata"]["name"] in _configs(found).values()


def _configs(job: Body) -> dict[str, str]:
    """Return volume -> ConfigMap of those that a job's pods mount."""
    return {
        str(volume["name"]): str(at(volume, "configMap", "name"))
        for each in pod_templates(job)
        for volume in each.spec.get("volumes") or ()
        if "configMap" in volume
    }


def _images(job: Body) -> set[str]:
    return {
        str(container.get("image"))
        for each in pod_templates(job)
        for _, container in each.containers()
    }
