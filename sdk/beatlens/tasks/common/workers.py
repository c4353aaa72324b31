"""Many recordings at once: on the cores of one machine (joblib), or on many machines (Dask).

joblib hands out the work in both cases; with a scheduler's address its own Dask backend sends it
there. Workers on other machines find recordings under the same paths, so the databases lie on a
shared disk.

>>> list(Workers().map(len, ["a", "bc"]))
[1, 2]
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from beatlens.errors import RecipeError

Item = TypeVar("Item")
Result = TypeVar("Result")
Shown = Callable[[int, int], None]
CONNECT_S = 10
"""Seconds that a scheduler may take to answer, and then to have a worker."""
MAX_GREETING = 1 << 20
"""Bytes that a scheduler's greeting may have; it has some hundred."""
_CARRIERS = {"joblib", "dask", "distributed", "concurrent"}
"""Packages that carry work; an exception of theirs says that a worker was lost."""


@dataclass(frozen=True)
class Workers:
    """Who does a piece of work that is the same for many recordings.

    Args:
        jobs: processes on this machine; 1 works in this one. Not looked at with a scheduler.
        scheduler: address of a Dask scheduler, `tcp://HOST:PORT`; None: this machine alone.
    """

    jobs: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise RecipeError(f"jobs are {self.jobs}, expected at least 1")

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        shown: Shown | None = None,
    ) -> Iterator[Result]:
        """Results of `function` for each item, in the items' order, each as soon as it is there.

        Args:
            function: of a module's top level, or an object of such a class, so that it can be sent;
                hashable, or Dask waits for ever.
            items: what it is called with.
            shown: called with (done, total).

        Raises:
            RecipeError: no scheduler answers at the address, it has no workers, or Dask is not
                installed; or a worker was lost.
            Exception: what `function` raised, in another process or here.
        """
        hash(function)
        if shown is not None:
            shown(0, len(items))
        alone = self.scheduler is None and self.jobs == 1
        results = map(function, items) if alone else self._spread(function, items)
        for done, result in enumerate(results, start=1):
            yield result
            if shown is not None:
                shown(done, len(items))

    def _spread(
        self, function: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        try:
            from joblib import Parallel, delayed
        except ImportError as error:
            raise RecipeError(
                "several jobs, or a scheduler, need the Python package 'joblib', which is not "
                "installed: pip install 'beatlens[cluster]', or leave --jobs and --scheduler out"
            ) from error
        with ExitStack() as held:
            jobs = self.jobs
            if self.scheduler is not None:
                held.enter_context(self._cluster(self.scheduler))
                jobs = -1  # all that the cluster has
            work = (delayed(function)(item) for item in items)
            try:
                yield from Parallel(n_jobs=jobs, return_as="generator")(work)
            except Exception as error:
                if type(error).__module__.partition(".")[0] not in _CARRIERS:
                    raise  # what `function` raised
                raise RecipeError(
                    f"the work stopped because a worker was lost ({type(error).__name__}), which "
                    "happens where memory runs out; use fewer --jobs, or workers with more memory"
                ) from error

    @staticmethod
    def _cluster(address: str) -> AbstractContextManager[Any]:
        """Connected to a scheduler that has workers, with joblib's work going there."""
        try:
            from dask.distributed import Client
        except ImportError as error:
            raise RecipeError(
                f"scheduler {address} is a Dask scheduler's address, but Dask is not installed: "
                "pip install 'beatlens[cluster]'"
            ) from error
        from joblib import parallel_config

        held = ExitStack()
        try:
            _check_answers(address)
            client: Any = Client(  # type: ignore[no-untyped-call]  # Dask ships no types
                address, timeout=CONNECT_S, set_as_default=True
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise RecipeError(
                f"no Dask scheduler answers at {address} ({_first_line(error)}); expected the "
                "address that `dask scheduler` prints, tcp://HOST:PORT"
            ) from error
        held.enter_context(client)
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            held.close()
            raise RecipeError(
                f"the Dask scheduler at {address} has no workers after {CONNECT_S} s; start some "
                f"with `dask worker {address}`"
            ) from error
        held.enter_context(parallel_config(backend="dask"))
        return held


def _check_answers(address: str) -> None:
    """Raise OSError or ValueError where no scheduler greets who connects to a TCP address.

    `Client` waits without end for the greeting of a server that is none.
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    scheme, place = parse_address(address)
    if scheme != "tcp":
        return
    with socket.create_connection(parse_host_port(place), timeout=CONNECT_S) as connection:
        greeting = connection.recv(8, socket.MSG_WAITALL)
    # A message begins with its length, 64 bits.
    if len(greeting) < 8 or int.from_bytes(greeting, "little") > MAX_GREETING:
        raise OSError("another kind of server is there")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


ALONE = Workers()
"""This process, one recording after the other."""
