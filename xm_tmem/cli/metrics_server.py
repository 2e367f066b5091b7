# SPDX-License-Identifier: GPL-2.0-only
"""Metrics over HTTP, read from the host at each scrape. The HTTP is prometheus_client's (the extra `metrics`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from xm_tmem.errors import BadInput, Failed, Unsupported
from xm_tmem.render.prometheus import ENDINGS, Family

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

LOOPBACK = "127.0.0.1"
_MAX_PORT = 65535


def parse_address(text: str) -> tuple[str, int]:
    """ADDR:PORT, [IPv6]:PORT, :PORT or PORT; without an address the loopback. Raises BadInput."""
    address, _, port = text.rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    if not (port.isascii() and port.isdigit() and int(port[:6]) <= _MAX_PORT) or (
        ":" in address and not bracketed
    ):
        raise BadInput(f"{text!r} is no place to listen at: write ADDR:PORT, [IPv6]:PORT or PORT")
    return address.strip("[]") or LOOPBACK, int(port)


class _Collector:
    """What prometheus_client asks at each scrape; several may come at once, the host is asked by one at a time."""

    def __init__(self, read: Callable[[], Iterable[Family]]) -> None:
        self._read, self._lock = read, threading.Lock()

    def describe(self) -> list[Metric]:
        return []  # or else it would scrape when registered

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import Metric

        with self._lock:
            found = list(self._read())
        for family in found:
            metric = Metric(family.name, f"{family.help}.", family.kind)
            for labels, value in family.samples:
                metric.add_sample(family.name + ENDINGS.get(family.kind, ""), dict(labels), value)
            if metric.samples:
                yield metric


class MetricsServer:
    """Answers scrapes from threads of its own, until it is closed."""

    def __init__(self, address: str, port: int, read: Callable[[], Iterable[Family]]) -> None:
        """Port 0 is any that is free. Raises Unsupported (no prometheus_client), Failed (the port is taken)."""
        try:
            from prometheus_client import start_http_server
            from prometheus_client.registry import CollectorRegistry
        except ImportError:
            raise Unsupported("--listen needs prometheus_client: pip install 'xm-tmem[metrics]'") from None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(read))
        try:
            self._server, self._thread = start_http_server(port, address, registry)
        except (OSError, UnicodeError) as error:
            raise Failed(
                f"cannot listen at {address}, port {port}: {getattr(error, 'strerror', error)}"
            ) from None
        self.port: int = self._server.server_port

    def wait(self) -> None:
        """Until somebody interrupts."""
        self._thread.join()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
