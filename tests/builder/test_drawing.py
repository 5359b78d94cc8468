"""Build graphs as pictures: what is in them, and that they are well formed whatever a Dockerfile says."""

import xml.etree.ElementTree as ElementTree

import pytest

from builder.drawing import to_mermaid, to_svg, to_text
from builder.graph import CopyOp, Edge, Graph, MergeOp, MkdirOp, Pick, Selector, SourceImage, SourceLocal, SourceScratch, Vertex
from store.digest import Digest
from tests.builder.conftest import Builds

FILES = Selector((Pick("src/*.py"),))
GRAPH = Graph((Vertex(SourceImage("busybox", Digest("sha256:1"), "linux/amd64"), ()), Vertex(SourceLocal("context"), ()),
               Vertex(CopyOp("/src/"), (Edge(0), Edge(1, FILES)), "[build 2/2] COPY src/*.py /src/"), Vertex(SourceScratch("linux/amd64"), ()),
               Vertex(CopyOp("/"), (Edge(3), Edge(2, Selector((Pick("src"),)))), "[2/2] COPY --from=build /src <\"|#>"),
               Vertex(MergeOp(), (Edge(3), Edge(4)))), 5)
VERDICTS = ("", "", "hit", "", "miss", "later")


def test_text_goes_from_the_target_down() -> None:
    assert to_text(GRAPH, VERDICTS) == """\
merge  (depends on steps that run)
├─ [2/2] COPY --from=build /src <"|#>  (runs)
│  ├─ [build 2/2] COPY src/*.py /src/: src  (cached)
│  │  ├─ the build context: src/*.py
│  │  image busybox
│  scratch
scratch
"""


def test_mermaid_has_every_edge_and_no_stray_sign() -> None:
    lines = to_mermaid(GRAPH, VERDICTS).splitlines()
    assert lines[0] == "flowchart TD" and '    v1 -->|"src/*.py"| v2' in lines and "    v4 --> v5" in lines
    assert '    v4["[2/2] COPY --from=build /src &lt;&quot;#124;#35;&gt;"]' in lines and "    class v0,v1,v3 source" in lines


def test_svg_is_xml_with_a_box_for_every_vertex() -> None:
    space = "{http://www.w3.org/2000/svg}"
    picture = ElementTree.fromstring(to_svg(GRAPH, VERDICTS))
    assert len(picture.findall(f"{space}g/{space}rect")) == len(GRAPH.vertices)
    assert len(picture.findall(f"{space}line")) == sum(len(vertex.inputs) for vertex in GRAPH.vertices)


def test_very_long_chain_is_drawn() -> None:
    vertices = [Vertex(SourceScratch("linux/amd64"), ())] + [Vertex(MkdirOp("/x"), (Edge(i),), f"[{i}] WORKDIR /x") for i in range(3000)]
    graph = Graph(tuple(vertices), 3000)
    assert to_text(graph, ("",) * 3001).count("\n") == 3001 == len(ElementTree.fromstring(to_svg(graph, ("",) * 3001)).findall(".//{*}rect"))


@pytest.mark.parametrize("form", ["text", "mermaid", "svg"])
def test_graph_of_a_dockerfile_runs_nothing(as_root: Builds, form: str) -> None:
    as_root.write(f="x", Dockerfile="FROM busybox AS one\nRUN --network=none false\nFROM scratch\nCOPY --from=one /x f /\n")
    out = as_root.tool.pybuild("graph", "--format", form, str(as_root.context)).out
    assert "RUN --network=none false" in out and "image busybox" in out


def test_graph_says_what_is_cached(as_root: Builds) -> None:
    as_root.write(f="x", Dockerfile="FROM scratch\nCOPY f /\nCOPY f /g\n")
    as_root.tool.pybuild("build", str(as_root.context))
    as_root.write(Dockerfile="FROM scratch\nCOPY f /\nCOPY f /h\n")
    out = as_root.tool.pybuild("graph", str(as_root.context)).out
    assert "COPY f /  (cached)" in out and "COPY f /h  (runs)" in out
