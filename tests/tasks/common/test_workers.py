"""Work spread over processes and over a cluster is the same work."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from beatlens.errors import DataError, RecipeError
from beatlens.tasks.common import workers as module
from beatlens.tasks.common.workers import Workers


def halved(number: int) -> tuple[float, int]:
    return number / 2, os.getpid()


def refused(number: int) -> int:
    if number == 3:
        raise DataError("record 3 is damaged")
    return number


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_results_come_in_order_from_other_processes() -> None:
    said: list[tuple[int, int]] = []
    found = list(Workers(jobs=2).map(halved, range(20), lambda *call: said.append(call)))
    assert [value for value, _ in found] == [n / 2 for n in range(20)]
    assert os.getpid() not in {process for _, process in found}
    assert said == [(n, 20) for n in range(21)]


def test_one_job_works_here() -> None:
    assert {process for _, process in Workers().map(halved, range(3))} == {os.getpid()}


def test_a_cluster_does_the_same(scheduler: str) -> None:
    found = list(Workers(scheduler=scheduler).map(halved, range(20)))
    assert [value for value, _ in found] == [n / 2 for n in range(20)]
    assert os.getpid() not in {process for _, process in found}


@pytest.mark.parametrize("where", ["here", "processes", "cluster"])
def test_errors_come_through(where: str, request: pytest.FixtureRequest) -> None:
    workers = {
        "here": Workers,
        "processes": partial(Workers, 2),
        "cluster": lambda: Workers(scheduler=request.getfixturevalue("scheduler")),
    }[where]()
    with pytest.raises(DataError, match="record 3 is damaged"):
        list(workers.map(refused, range(6)))


def killed(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_is_killed_is_one_sentence() -> None:
    with pytest.raises(RecipeError, match=r"a worker was lost \(TerminatedWorkerError\)"):
        list(Workers(2).map(killed, range(4)))


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A server that takes connections; nothing answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)
        yield listening


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.6\r\n"])
def test_a_server_of_another_kind_is_no_scheduler(
    greeting: bytes, server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(module, "CONNECT_S", 1)

    def greet() -> None:
        connection, _ = server.accept()
        with connection, suppress(ConnectionResetError):
            connection.sendall(greeting)
            connection.recv(1)

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    start = time.monotonic()
    with pytest.raises(RecipeError, match=f"no Dask scheduler answers at {address} "):
        list(Workers(scheduler=address).map(halved, [1]))
    assert time.monotonic() - start < 30  # for ever before; the rest is importing Dask
    thread.join(5)


def test_a_cluster_without_workers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(module, "CONNECT_S", 2)
    with distributed.LocalCluster(
        n_workers=0, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        with pytest.raises(RecipeError, match=f"scheduler at {address} has no workers after 2 s"):
            list(Workers(scheduler=address).map(halved, [1]))


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(RecipeError, match="jobs are 0, expected at least 1"):
        Workers(jobs=0)
    pytest.importorskip("distributed", reason="Dask is not installed")
    with pytest.raises(RecipeError, match="no Dask scheduler answers at nonsense://x"):
        list(Workers(scheduler="nonsense://x").map(halved, [1]))
