"""A build graph drawn: steps with what they take from which other; as text, Mermaid, or SVG. Pure.

In: the graph, and of each vertex whether a record has its result ("hit", "miss", "later": that depends on steps that run; "" for a source).
"""

from builder.graph import Graph, MergeOp, SourceImage, SourceLocal, SourceScratch, Vertex
from kernel.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.graph import Edge

    Verdicts = tuple[str, ...]

_WORDS = {"hit": "cached", "miss": "runs", "later": "depends on steps that run", "": ""}
_COLOURS = {"hit": "#dff0df", "miss": "#fbe3d6", "later": "#fbf3d6", "": "#eef3fb"}
_HEIGHT, _GAP_X, _GAP_Y, _LETTER, _LONG, _MARGIN = 30, 40, 50, 6.9, 72, 20


class Box(Value):
    """A vertex in a picture: its corner, its width, and how many steps are between it and the farthest source."""

    x: float
    y: float
    width: float
    level: int


def title(vertex: Vertex) -> str:
    op = vertex.op
    if vertex.label:
        return vertex.label
    if isinstance(op, SourceImage):
        return f"image {op.name}"
    if isinstance(op, SourceLocal):
        return "the build context" if op.name == "context" else f"context {op.name}"
    if isinstance(op, SourceScratch):
        return "scratch"
    if isinstance(op, MergeOp):
        return "merge"
    return str(getattr(op, "name", "")) or type(op).__name__


def taken(edge: "Edge") -> str:
    """What an edge takes of its vertex, for people; "" for all of it."""
    if edge.selector is None:
        return ""
    return " ".join((pick.keep and f"{pick.path}/./{pick.keep}") or pick.path or "." for pick in edge.selector.picks)


# ---------------------------------------------------------------- text
def to_text(graph: Graph, verdicts: "Verdicts") -> str:
    """A tree from the target down to what everything comes from; what was drawn in full before is named only."""
    return "".join(f"{line}\n" for line in _branch(graph, verdicts, graph.target, "", "", "", set()))


def _branch(graph: Graph, verdicts: "Verdicts", index: int, head: str, tail: str, what: str, drawn: "set[int]") -> "Iterator[str]":
    """head: before its own line; tail: before those below it."""
    todo = [(index, head, tail, what)]
    while todo:                                          # no recursion: a graph may be deeper than Python's stack
        at, first, rest, files = todo.pop()
        vertex = graph.vertices[at]
        again = at in drawn and bool(vertex.inputs)
        marks = [word for word in (_WORDS[verdicts[at]], "see above" if again else "") if word]
        yield f"{first}{title(vertex)}" + (f": {files}" if files else "") + (f"  ({', '.join(marks)})" if marks else "")
        drawn.add(at)
        if again or not vertex.inputs:
            continue
        if len(vertex.inputs) == 1:                      # a chain goes straight down
            todo.append((vertex.inputs[0].vertex, rest, rest, taken(vertex.inputs[0])))
            continue
        todo.append((vertex.inputs[0].vertex, rest, rest, taken(vertex.inputs[0])))
        todo += [(edge.vertex, f"{rest}├─ ", f"{rest}│  ", taken(edge)) for edge in reversed(vertex.inputs[1:])]


# ---------------------------------------------------------------- Mermaid
def to_mermaid(graph: Graph, verdicts: "Verdicts") -> str:
    def text(what: str) -> str:
        return _html(_short(what)).replace("#", "#35;").replace("|", "#124;")

    lines = ["flowchart TD"]
    for index, vertex in enumerate(graph.vertices):
        lines.append(f'    v{index}["{text(title(vertex))}"]')
    for index, vertex in enumerate(graph.vertices):
        for edge in vertex.inputs:
            files = text(taken(edge))
            lines.append(f"    v{edge.vertex} -->" + (f'|"{files}"|' if files else "") + f" v{index}")
    for verdict, colour in _COLOURS.items():
        names = [f"v{index}" for index, one in enumerate(verdicts) if one == verdict]
        if names:
            lines += [f"    classDef {verdict or 'source'} fill:{colour}", f"    class {','.join(names)} {verdict or 'source'}"]
    return "".join(f"{line}\n" for line in lines)


def _html(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _short(text: str) -> str:
    return text if len(text) <= _LONG else text[:_LONG - 1] + "…"


# ---------------------------------------------------------------- SVG
def to_svg(graph: Graph, verdicts: "Verdicts") -> str:
    """Rows of boxes: sources at the top, the target at the bottom."""
    boxes = _boxes(graph)
    width, height = max(b.x + b.width for b in boxes) + _MARGIN, max(b.y for b in boxes) + _HEIGHT + _MARGIN
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="12">',
             '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
             '<path d="M0,0L8,4L0,8z"/></marker></defs>']
    for vertex, box in zip(graph.vertices, boxes):
        for edge in vertex.inputs:
            above, files = boxes[edge.vertex], _html(_short(taken(edge)))
            parts.append(f'<line x1="{above.x + above.width / 2:.0f}" y1="{above.y + _HEIGHT:.0f}" x2="{box.x + box.width / 2:.0f}" y2="{box.y:.0f}" '
                         f'stroke="#456" marker-end="url(#a)">' + (f"<title>{files}</title>" if files else "") + "</line>")
    for vertex, box, verdict in zip(graph.vertices, boxes, verdicts):
        text, word = _html(_short(title(vertex))), _WORDS[verdict]
        rect = f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{_HEIGHT}" rx="6" fill="{_COLOURS[verdict]}" stroke="#456"/>'
        parts.append(f'<g>{f"<title>{word}</title>" if word else ""}{rect}<text x="{box.x + 10:.0f}" y="{box.y + 20:.0f}">{text}</text></g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _boxes(graph: Graph) -> "list[Box]":
    levels: list[int] = []
    for vertex in graph.vertices:                        # inputs come first
        levels.append(max((levels[edge.vertex] + 1 for edge in vertex.inputs), default=0))
    ends: dict[int, float] = {}
    found = []
    for vertex, level in zip(graph.vertices, levels):
        width = 20 + _LETTER * len(_short(title(vertex)))
        x = ends.get(level, _MARGIN)
        ends[level] = x + width + _GAP_X
        found.append(Box(x, _MARGIN + level * (_HEIGHT + _GAP_Y), width, level))
    return found
