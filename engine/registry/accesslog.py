"""The access log: a request that is over -> one line, as text or as JSON. What the client wrote is quoted, so that no line can be forged."""

import time

import msgspec

from engine.http.message import Done


def as_text(done: Done) -> str:
    """The combined log format of web servers, with the seconds behind it."""
    request = done.request
    when = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(done.began))
    line = f'{request.peer.host} - {_word(request.user)} [{when}] "{_quoted(f"{request.method} {request.target} HTTP/{request.version}")}" '
    line += f'{done.status} {done.sent} "{_quoted(request.header("referer", "-"))}" "{_quoted(request.header("user-agent", "-"))}" {done.seconds:.3f}'
    return line + (f" error={_quoted(done.error)}" if done.error else "")


def as_json(done: Done) -> str:
    request = done.request
    fields: "dict[str, object]" = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(done.began)) + f".{int(done.began % 1 * 1000):03d}Z",
        "peer": str(request.peer), "user": request.user, "method": request.method, "target": request.target, "route": request.route,
        "status": done.status, "received": done.received, "sent": done.sent, "seconds": round(done.seconds, 6),
        "agent": request.header("user-agent")}
    if done.error:
        fields["error"] = done.error
    return msgspec.json.encode({key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
                                for key, value in fields.items()}).decode()


def _word(user: str) -> str:
    return "".join(c if c.isprintable() and not c.isspace() else "?" for c in user) or "-"


def _quoted(text: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else f"\\x{ord(c):02x}" for c in text)
