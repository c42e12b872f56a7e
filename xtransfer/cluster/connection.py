"""To which API server, in which namespace and as whom: what kubectl would say, or the pod that this runs in."""

from __future__ import annotations

import os
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
        raise _unusable(context, str(error).splitlines()[0]) from None
    except (OSError, yaml.YAMLError) as error:
        raise _unusable(None, f"cannot be read: {' '.join(str(error).split())}") from None
    return Api(client.ApiClient(settings), found)


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
