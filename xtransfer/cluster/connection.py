"""To which API server, in which namespace and as whom: what kubectl would say, or the pod that this runs in."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from xtransfer.cluster.api import Api
from xtransfer.errors import ConfigError, XtransferError


def connect(context: str | None, namespace: str | None) -> Api:
    """Connect as kubectl does: $KUBECONFIG or ~/.kube/config and its current context; else in a pod.

    Raises:
        XtransferError: the `kubernetes` package is not installed.
        ConfigError: no configuration, one that cannot be read, or no such context.
    """
    import yaml

    try:
        from kubernetes import client, config
    except ImportError:
        raise XtransferError(
            "kubernetes", "the client package is not installed", "pip install 'xtransfer[k8s]'"
        ) from None
    settings: Any = client.Configuration()
    # Retries are `Api`'s, which knows what may be sent again.
    settings.retries = False
    file = os.environ.get("KUBECONFIG") or None
    try:
        config.load_kube_config(config_file=file, context=context, client_configuration=settings)
        found = namespace or _context_namespace(file, context)
    except config.ConfigException as error:
        if context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=settings)
            return Api(client.ApiClient(settings), namespace or _pod_namespace())
        # An entry that lacks a key is quoted whole, with the token that stands in the wrong place.
        said = re.sub(r"\{.*\}", "{...}", str(error).splitlines()[0])
        raise _unusable(context, said) from None
    except (OSError, yaml.YAMLError) as error:
        raise _unusable(None, f"cannot be read: {' '.join(str(error).split())}") from None
    except (AttributeError, KeyError, TypeError, ValueError):  # a list for a mapping; wrong base64
        raise _unusable(None, "holds a value of another kind than belongs there") from None
    _trim_token(settings)
    return Api(client.ApiClient(settings), found)


def _trim_token(settings: Any) -> None:
    """Cut off the newline with which a file that holds a token ends (`tokenFile`), as kubectl does."""
    read = settings.refresh_api_key_hook

    def trimmed(given: Any) -> None:  # before each request, since tokens are renewed
        if read is not None:
            read(given)  # which puts itself into this one's place
        given.api_key = {name: value.strip() for name, value in given.api_key.items()}
        given.refresh_api_key_hook = trimmed

    settings.refresh_api_key_hook = trimmed


def _context_namespace(file: str | None, context: str | None) -> str:
    """Return the namespace of a context, of the current one for None."""
    from kubernetes.config import kube_config

    known: Any = kube_config.KubeConfigMerger(file or kube_config.KUBE_CONFIG_DEFAULT_LOCATION)
    chosen: Any = kube_config.KubeConfigLoader(config_dict=known.config, active_context=context)
    return str(chosen.current_context["context"].get("namespace") or "default")


def _unusable(context: str | None, what: str) -> ConfigError:
    where = f"context {context}" if context else "kubeconfig"
    next_ = "Contexts that there are: kubectl config get-contexts. Another file: KUBECONFIG=FILE."
    return ConfigError(where, what, next_)


def _pod_namespace() -> str:
    path = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "default"
