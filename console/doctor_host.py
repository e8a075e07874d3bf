"""What ``orderpulse doctor`` looks at on this host: the hash key, directories, the recovery store, ports."""

import errno
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings
from config.units import Duration
from console.output import some
from console.results import holds_results
from console.status import Check, State

_SHORT_KEY = 16
_LITTLE_SPACE = 1 << 30
_NO_SPACE = 64 << 20


def hash_key(settings: Settings) -> Iterator[Check]:
    """Whether hashes of phones and addresses have a key, and one that cannot be tried out."""
    name = settings.privacy.hash_key_env
    key = os.environ.get(name, "")
    remedy = f"set {name} in the environment of every process, the same one for ever: another key makes other hashes"
    if not key:
        yield Check("hash key", "warning", f"{name} is not set: hashes of phones and cards can be guessed", remedy)
    elif len(key) < _SHORT_KEY:
        yield Check(
            "hash key", "warning", f"{name} has only {some(len(key), 'character')}", f"{remedy}; {_SHORT_KEY} up"
        )
    else:
        yield Check("hash key", "ok", f"{name} is set")


def output_directory(directory: Path, *, goes_on: bool) -> Iterator[Check]:
    """Whether results can be written there."""
    if directory.exists() and not directory.is_dir():
        yield Check("output", "wrong", f"{directory} is a file", "name a directory")
        return
    yield from _writable("output", directory)
    if directory.is_dir() and holds_results(directory) and not goes_on:
        remedy = "name another directory, go on with --recovery, or add --overwrite"
        yield Check("output", "warning", f"{directory} holds the results of an earlier run", remedy)


def recovery_store(directory: Path, settings: Settings) -> Iterator[Check]:
    """Whether a restart can go on from this store."""
    from dataflows.store import describe, read_manifest
    from dataflows.store_errors import StoreError

    if not directory.exists():
        yield from _writable("recovery store", directory)
        yield Check("recovery store", "ok", f"{directory} will be made by the first run")
        return
    yield from _writable("recovery store", directory)
    try:
        if read_manifest(directory) is None:
            yield Check("recovery store", "ok", f"{directory} will be filled by the first run")
            return
        state = describe(directory)
    except StoreError as error:
        yield Check("recovery store", "wrong", f"{error.where}: {error.what}", error.remedy)
        return
    if state.manifest.key_groups != settings.key_groups:
        what = f"was made with {state.manifest.key_groups} key groups, the settings say {settings.key_groups}"
        yield Check(
            "recovery store", "wrong", what, f"set key_groups = {state.manifest.key_groups}, or begin a new store"
        )
    used = f", used now by {state.held_by}" if state.held_by else ""
    if state.written_at is None:
        yield Check("recovery store", "ok", f"{directory}: nothing is committed yet{used}")
        return
    age = Duration(max(0, round(time.time() * 1000) - state.written_at) // 1000 * 1000)
    detail = f"{directory}: epoch {state.epoch}, {age} old, {state.size / 2**20:.1f} MiB{used}"
    late = bool(state.held_by) and age > 10 * settings.recovery.interval
    remedy = "see /readyz: a sink or a source may hold the flow back, or the disk is slow" if late else ""
    yield Check("recovery store", "warning" if late else "ok", detail, remedy)


def ports(settings: Settings, processes: int) -> Iterator[Check]:
    """Whether the ports of health and metrics can be had: one for each process, counted from ``metrics.port``."""
    host, first = settings.metrics.host, settings.metrics.port
    if not first:
        yield Check("ports", "warning", "metrics.port is 0: no health, no metrics", "set metrics.port")
        return
    taken = {port: why for port in range(first, first + processes) if (why := _cannot_listen(host, port)) is not None}
    for port, why in taken.items():
        remedy = "set metrics.port, or leave it if it is a run of OrderPulse that you examine"
        yield Check("ports", "warning", f"{host}:{port} cannot be had: {why}", remedy)
    if not taken:
        last = f" to {first + processes - 1}" if processes > 1 else ""
        yield Check("ports", "ok", f"{host}:{first}{last} can be had")


def _writable(name: str, directory: Path) -> Iterator[Check]:
    there = next(each for each in (directory, *directory.absolute().parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Check(name, "wrong", f"{there} may not be written to", "give this user the right, or name another place")
        return
    free = shutil.disk_usage(there).free
    if free < _LITTLE_SPACE:
        state: State = "wrong" if free < _NO_SPACE else "warning"
        yield Check(name, state, f"{there}: {free >> 20} MiB are free", "make room: the flow waits on a full disk")
    else:
        yield Check(name, "ok", f"{there} can be written to, {free >> 30} GiB are free")


def _cannot_listen(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
    return None
