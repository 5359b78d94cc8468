"""Figures of a running server, in Prometheus' text format. In: requests that are over; out: the page at /metrics.

Names are those of docker's registry where it has the same figure, so that its dashboards work.
"""

from collections.abc import Callable
from threading import Lock

from engine.http.message import Done

_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")


class Metrics:
    def __init__(self) -> None:
        self._lock = Lock()
        self._requests: "dict[tuple[str, str, int], int]" = {}
        self._times: "dict[tuple[str, str], list[float]]" = {}       # one figure a bound, then sum and count
        self._received: "dict[str, int]" = {}
        self._sent: "dict[str, int]" = {}
        self._gauges: "list[tuple[str, str, Callable[[], int | float]]]" = []
        self._counters: "dict[str, tuple[str, float]]" = {}

    def note(self, done: Done) -> None:
        """One request that is over."""
        handler = done.request.route or "unknown"
        method = done.request.method if done.request.method in _METHODS else "other"    # a client cannot invent series
        with self._lock:
            key = (handler, method, done.status)
            self._requests[key] = self._requests.get(key, 0) + 1
            times = self._times.setdefault((handler, method), [0.0] * (len(_BOUNDS_S) + 2))
            for index, bound in enumerate(_BOUNDS_S):
                if done.seconds <= bound:
                    times[index] += 1
            times[-2] += done.seconds
            times[-1] += 1
            self._received[handler] = self._received.get(handler, 0) + done.received
            self._sent[handler] = self._sent.get(handler, 0) + done.sent

    def count(self, name: str, help: str, amount: float = 1) -> None:
        """Add to a counter of the server's own."""
        with self._lock:
            self._counters[name] = (help, self._counters.get(name, (help, 0.0))[1] + amount)

    def gauge(self, name: str, help: str, read: "Callable[[], int | float]") -> None:
        """A figure that is asked for when the page is made."""
        self._gauges.append((name, help, read))

    def page(self) -> str:
        lines: "list[str]" = []
        with self._lock:
            _head(lines, "registry_http_requests_total", "Requests that were answered; code 0: the client left first.", "counter")
            lines += [f'registry_http_requests_total{{code="{code}",handler="{handler}",method="{method.lower()}"}} {count}'
                      for (handler, method, code), count in sorted(self._requests.items())]
            self._histogram(lines)
            for name, help, values in (("registry_http_request_size_bytes_total", "Bytes of bodies received.", self._received),
                                       ("registry_http_response_size_bytes_total", "Bytes of bodies sent.", self._sent)):
                _head(lines, name, help, "counter")
                lines += [f'{name}{{handler="{handler}"}} {value}' for handler, value in sorted(values.items())]
            counters = sorted(self._counters.items())
        for name, (help, value) in counters:
            _head(lines, name, help, "counter")
            lines.append(f"{name} {value:g}")
        for name, help, read in self._gauges:
            _head(lines, name, help, "gauge")
            lines.append(f"{name} {read()}")
        return "\n".join([*lines, ""])

    def _histogram(self, lines: "list[str]") -> None:
        name = "registry_http_request_duration_seconds"
        _head(lines, name, "How long requests took.", "histogram")
        for (handler, method), times in sorted(self._times.items()):
            labels = f'handler="{handler}",method="{method.lower()}"'
            lines += [f'{name}_bucket{{{labels},le="{bound:g}"}} {count:g}' for bound, count in zip(_BOUNDS_S, times)]
            lines += [f'{name}_bucket{{{labels},le="+Inf"}} {times[-1]:g}', f"{name}_sum{{{labels}}} {times[-2]:.6f}",
                      f"{name}_count{{{labels}}} {times[-1]:g}"]


def _head(lines: "list[str]", name: str, help: str, kind: str) -> None:
    lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
