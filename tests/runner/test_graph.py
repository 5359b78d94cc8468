from pathlib import Path
from xml.etree import ElementTree

from runner.graph import to_mermaid, to_svg, to_text
from tests.runner.planning import project_of

TEXT = """services:
  web: {build: ., ports: ["8080:80", "53/udp"], scale: 2, networks: [front, back],
        depends_on: {api: {condition: service_healthy}, odd: {condition: service_started, required: false}}}
  api: {image: api, networks: [back], depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully}}}
  job: {image: api, depends_on: [db], network_mode: none}
  db: {image: db, volumes: ["data:/d", "/anonymous"]}
  odd: {image: i}
networks: {front: , back: }
volumes: {data: }
"""


def text_of(directory: Path) -> str:
    (directory / "compose.yaml").write_text(TEXT)
    return to_text(project_of(directory / "compose.yaml"))


def test_text(tmp_path: Path) -> None:
    assert text_of(tmp_path) == """shop
└─ web  (built: shop-web; 2 replicas; ports 8080→80, *→53/udp; networks back, front)
   ├─ api [healthy]  (api; networks back)
   │  ├─ db [healthy]  (db; volumes data)
   │  └─ job [ended well]  (api; network none)
   │     └─ db  (see above)
   └─ odd  (i)
"""


def test_mermaid(tmp_path: Path) -> None:
    text_of(tmp_path)
    found = to_mermaid(project_of(tmp_path / "compose.yaml")).splitlines()
    assert found[0] == "flowchart TD"
    assert '    s0["<b>db</b><br/>db<br/>volumes data"]' in found
    assert any("-->|healthy|" in line for line in found) and any("-.->" in line for line in found)


def test_svg_is_xml_with_every_service(tmp_path: Path) -> None:
    text_of(tmp_path)
    root = ElementTree.fromstring(to_svg(project_of(tmp_path / "compose.yaml")))
    names = {one.text for one in root.iter("{http://www.w3.org/2000/svg}text") if one.get("font-weight")}
    assert names == {"web", "api", "job", "db", "odd"}
    assert len(list(root.iter("{http://www.w3.org/2000/svg}line"))) == 5
