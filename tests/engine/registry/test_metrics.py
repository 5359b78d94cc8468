"""Figures and log lines: what they say, and that a client cannot forge any."""

import json

from engine.http.body import Body
from engine.http.message import Done, Peer, Request
from engine.http.stream import Stream
from engine.registry.accesslog import as_json, as_text
from engine.registry.metrics import Metrics
from tests.engine.registry.hub import Hub


def done(target: str = "/v2/", agent: str = "test/1", *, method: str = "GET", status: int = 200, seconds: float = 0.02, error: str = "") -> Done:
    request = Request(method, target, {"user-agent": agent}, Body(), Peer("192.0.2.1", 1234), Stream.__new__(Stream))
    request.user, request.route = "alice", "base"
    return Done(request, status, 10, 20, seconds, 1_700_000_000.5, error)


def test_page_of_a_registry_that_was_used(hub: Hub) -> None:
    hub.push_image()
    hub.get("/v2/a/b/manifests/latest")
    hub.get("/nowhere")
    page = hub.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = page.body.decode().splitlines()
    assert 'registry_http_requests_total{code="200",handler="manifest",method="get"} 1' in lines
    assert 'registry_http_requests_total{code="201",handler="manifest",method="put"} 1' in lines
    assert 'registry_http_requests_total{code="404",handler="unknown",method="get"} 1' in lines
    assert {"registry_repositories 1", "registry_tags 1", "registry_manifests 1", "registry_blobs 2", "registry_uploads_open 0"} <= set(lines)
    assert all(line.startswith("#") or len(line.rsplit(" ", 1)) == 2 for line in lines)


def test_histogram_is_cumulative() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.02, 100.0):
        metrics.note(done(seconds=seconds))
    lines = metrics.page().splitlines()
    name = 'registry_http_request_duration_seconds_bucket{handler="base",method="get",le='
    assert next(line for line in lines if line.startswith(name)).endswith('"0.005"} 1')
    assert f'{name}"0.025"}} 2' in lines and f'{name}"+Inf"}} 3' in lines
    assert 'registry_http_request_duration_seconds_count{handler="base",method="get"} 3' in lines


def test_methods_that_a_client_makes_up_are_one_series() -> None:
    metrics = Metrics()
    for method in ("BREW", "X" * 1000):
        metrics.note(done(method=method))
    assert 'registry_http_requests_total{code="200",handler="base",method="other"} 2' in metrics.page().splitlines()


def test_counters_and_gauges() -> None:
    metrics = Metrics()
    metrics.count("c_total", "Help.", 2)
    metrics.count("c_total", "Help.")
    metrics.gauge("g", "Help.", lambda: 7)
    assert metrics.page().splitlines()[-6:] == [
        "# HELP c_total Help.", "# TYPE c_total counter", "c_total 3", "# HELP g Help.", "# TYPE g gauge", "g 7"]


def test_text_log() -> None:
    line = as_text(done())
    assert line.startswith("192.0.2.1 - alice [") and '"GET /v2/ HTTP/1.1" 200 20 "-" "test/1" 0.020' in line


def test_json_log() -> None:
    assert json.loads(as_json(done(error="ValueError: x"))) == {
        "time": "2023-11-14T22:13:20.500Z", "peer": "192.0.2.1:1234", "user": "alice", "method": "GET", "target": "/v2/", "route": "base", "status": 200,
        "received": 10, "sent": 20, "seconds": 0.02, "agent": "test/1", "error": "ValueError: x"}


def test_log_lines_cannot_be_forged() -> None:
    hostile = done(agent='a" 200\n127.0.0.1 - root \x1b[2J\udcff')
    for line in (as_text(hostile), as_json(hostile)):
        assert "\n" not in line and "\x1b" not in line
        line.encode()
