"""A project drawn: services with what they depend on, their networks and volumes; as text, Mermaid, or SVG. Pure."""

from kernel.value import Value
from runner.load.config import image_name, in_dependency_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.model.project import Project
    from runner.model.service import Service

    Texts = tuple[str, ...]

_CONDITIONS = {"service_started": "", "service_healthy": "healthy", "service_completed_successfully": "ended well"}
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _LINE, _LETTER = 200, 26, 70, 24, 15, 6.7


class Edge(Value):
    """`name` needs `other`. label: until when it waits, "" for its start."""

    name: str
    other: str
    label: str
    required: bool = True


class Node(Value):
    """A service. lines: what is to be said of it below its name. level: 0 for what depends on nothing."""

    name: str
    lines: "Texts"
    level: int


def nodes(project: "Project") -> "tuple[Node, ...]":
    """Each after those it depends on."""
    levels: dict[str, int] = {}
    found = []
    for service in in_dependency_order(project):
        levels[service.name] = max((levels[name] + 1 for name, _ in service.depends_on if name in levels), default=0)
        found.append(Node(service.name, tuple(_lines(service, project)), levels[service.name]))
    return tuple(found)


def _lines(service: "Service", project: "Project") -> "Iterator[str]":
    yield ("built: " if service.build else "") + image_name(service, project.name)
    if service.replicas() != 1:
        yield f"{service.replicas()} replicas"
    ports = [f"{port.published or '*'}→{port.target}{'' if port.protocol == 'tcp' else '/' + port.protocol}" for port in service.ports]
    if ports:
        yield f"ports {', '.join(ports)}"
    networks = [key for key, _ in service.networks]
    if networks and networks != ["default"]:
        yield f"networks {', '.join(networks)}"
    elif service.network_mode:
        yield f"network {service.network_mode}"
    volumes = [mount.source for mount in service.volumes if mount.type == "volume" and mount.source]
    if volumes:
        yield f"volumes {', '.join(dict.fromkeys(volumes))}"


def edges(project: "Project") -> "tuple[Edge, ...]":
    names = {one.name for one in project.services}
    return tuple(Edge(service.name, other, _CONDITIONS.get(need.condition, need.condition), need.required)
                 for service in project.services for other, need in service.depends_on if other in names)


# ---------------------------------------------------------------- text
def to_text(project: "Project") -> str:
    """A tree from the services that nothing depends on; what was drawn in full before is named only."""
    needs: dict[str, list[Edge]] = {}
    for edge in edges(project):
        needs.setdefault(edge.name, []).append(edge)
    known = {node.name: node for node in nodes(project)}
    needed = {edge.other for edge in edges(project)}
    drawn: set[str] = set()
    lines = [project.name]
    tops = [name for name in sorted(known) if name not in needed]
    for index, name in enumerate(tops):
        lines += _branch(name, "", known, needs, drawn, head="", last=index == len(tops) - 1)
    return "".join(f"{line}\n" for line in lines)


def _branch(name: str, label: str, known: "dict[str, Node]", needs: "dict[str, list[Edge]]", drawn: "set[str]", *, head: str,
            last: bool) -> "Iterator[str]":
    more = f" [{label}]" if label else ""
    yield f"{head}{'└─ ' if last else '├─ '}{name}{more}" + (f"  ({'; '.join(known[name].lines)})" if name not in drawn else "  (see above)")
    if name in drawn:
        return
    drawn.add(name)
    below = needs.get(name, [])
    for index, edge in enumerate(below):
        yield from _branch(edge.other, edge.label, known, needs, drawn, head=f"{head}{'   ' if last else '│  '}", last=index == len(below) - 1)


# ---------------------------------------------------------------- Mermaid
def to_mermaid(project: "Project") -> str:
    lines = ["flowchart TD"]
    ids = {node.name: f"s{index}" for index, node in enumerate(nodes(project))}
    for node in nodes(project):
        text = "<br/>".join((f"<b>{_html(node.name)}</b>", *map(_html, node.lines)))
        lines.append(f'    {ids[node.name]}["{text}"]')
    for edge in edges(project):
        arrow = "-->" if edge.required else "-.->"
        lines.append(f"    {ids[edge.name]} {arrow}{f'|{edge.label}|' if edge.label else ''} {ids[edge.other]}")
    return "".join(f"{line}\n" for line in lines)


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


# ---------------------------------------------------------------- SVG
def to_svg(project: "Project") -> str:
    """Rows of boxes: what depends on others stands above them."""
    found = nodes(project)
    boxes = _boxes(found)
    width = max((x + w for x, _, w, _ in boxes.values()), default=0) + 20
    height = max((y + h for _, y, _, h in boxes.values()), default=0) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="12">',
             '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
             '<path d="M0,0L8,4L0,8z"/></marker></defs>']
    parts += [_arrow(boxes[edge.name], boxes[edge.other], edge) for edge in edges(project)]
    parts += [_box(node, boxes[node.name]) for node in found]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _boxes(found: "Iterable[Node]") -> "dict[str, tuple[float, float, float, float]]":
    """name -> (x, y, width, height)."""
    rows: dict[int, list[Node]] = {}
    for node in found:
        rows.setdefault(node.level, []).append(node)
    boxes: dict[str, tuple[float, float, float, float]] = {}
    y = 20.0
    for level in sorted(rows, reverse=True):
        x, tallest = 20.0, 0.0
        for node in rows[level]:
            width = max(_WIDTH, 20 + _LETTER * max(map(len, (node.name, *node.lines)), default=0))
            height = _HEIGHT + _LINE * len(node.lines)
            boxes[node.name] = (x, y, width, height)
            x, tallest = x + width + _GAP_X, max(tallest, height)
        y += tallest + _GAP_Y * 2
    return boxes


def _box(node: Node, place: "tuple[float, float, float, float]") -> str:
    x, y, width, height = place
    texts = [f'<text x="{x + 10:.0f}" y="{y + 18:.0f}" font-weight="bold">{_html(node.name)}</text>']
    texts += [f'<text x="{x + 10:.0f}" y="{y + 18 + _LINE * index:.0f}" fill="#444">{_html(line)}</text>' for index, line in enumerate(node.lines, 1)]
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="6" fill="#eef3fb" stroke="#456"/>' + "".join(texts)


def _arrow(start: "tuple[float, float, float, float]", end: "tuple[float, float, float, float]", edge: Edge) -> str:
    x1, y1 = start[0] + start[2] / 2, start[1] + start[3]
    x2, y2 = end[0] + end[2] / 2, end[1]
    dash = "" if edge.required else ' stroke-dasharray="4"'
    text = f'<text x="{(x1 + x2) / 2 + 4:.0f}" y="{(y1 + y2) / 2:.0f}" fill="#456">{edge.label}</text>' if edge.label else ""
    return f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="#456"{dash} marker-end="url(#a)"/>' + text
