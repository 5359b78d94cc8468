"""A container's state in docker's words for people: "Up 5 minutes (healthy)", "Exited (0) 2 hours ago"; ports as `ps` shows them. Pure."""

from runner.state import STARTING, State
from runner.upkeep import CREATED, DEAD, PAUSED, REMOVING, RESTARTING, SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.endpoint import PortMapping


def status_text(state: State, now: int) -> str:
    """now: nanoseconds since the epoch."""
    if state.is_running:
        since = duration_text((now - state.started_at) / SECOND)
        if state.status == RESTARTING:
            return f"Restarting ({state.exit_code}) {duration_text((now - state.finished_at) / SECOND)} ago"
        if state.status == PAUSED:
            return f"Up {since} (Paused)"
        health = "" if state.health is None else " (health: starting)" if state.health.status == STARTING else f" ({state.health.status})"
        return f"Up {since}{health}"
    if state.status == REMOVING:
        return "Removal In Progress"
    if state.status == DEAD:
        return "Dead"
    if state.status == CREATED or not state.started_at:
        return "Created"
    return f"Exited ({state.exit_code}) {duration_text((now - state.finished_at) / SECOND)} ago"


def duration_text(seconds: float) -> str:
    """As docker rounds an age: "Less than a second", "About a minute", "3 hours"."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return _plural(int(seconds), "second")
    minutes = int(seconds / 60)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(minutes / 60 + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for unit, length, most in (("day", 24, 24 * 14), ("week", 24 * 7, 24 * 60), ("month", 24 * 30, 24 * 365 * 2)):
        if hours < most:
            return _plural(int(hours / length), unit)
    return _plural(int(hours / 24 / 365), "year")


def _plural(count: int, unit: str) -> str:
    return f"{count} {unit}" + ("" if count == 1 else "s")


def ports_text(bound: "tuple[PortMapping, ...]", exposed: "tuple[str, ...]") -> str:
    """"0.0.0.0:8080->80/tcp, 443/tcp": published ports by container port, ranges drawn together; then what is only exposed."""
    groups: list[list[PortMapping]] = []
    for port in sorted(bound, key=lambda one: (one.host_ip, one.protocol, one.container_port, one.host_port)):
        last = groups[-1][-1] if groups else None
        if last and (last.host_ip, last.protocol) == (port.host_ip, port.protocol) and (
                port.container_port - last.container_port == port.host_port - last.host_port == 1):
            groups[-1].append(port)
        else:
            groups.append([port])
    shown = [(group[0].container_port, _arrow(group)) for group in groups]
    published = {(port.container_port, port.protocol) for port in bound}
    for word in exposed:
        number, _, protocol = word.partition("/")
        if number.isdigit() and (int(number), protocol or "tcp") not in published:
            shown.append((int(number), f"{number}/{protocol or 'tcp'}"))
    return ", ".join(text for _, text in sorted(shown, key=lambda one: one[0]))


def _arrow(group: "list[PortMapping]") -> str:
    first, last = group[0], group[-1]
    host = f"[{first.host_ip}]" if ":" in first.host_ip else first.host_ip or "0.0.0.0"
    span = (str(first.host_port), str(first.container_port)) if first is last else (
        f"{first.host_port}-{last.host_port}", f"{first.container_port}-{last.container_port}")
    return f"{host}:{span[0]}->{span[1]}/{first.protocol}"
