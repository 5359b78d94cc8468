"""`pybuild doctor`: what this machine allows the calling user, and of each thing that is missing the one command that would allow it."""

import os
import tempfile

from pybuild.option import VALUE, Option, Usage
from pybuild.place import directories
from pybuild.scanner import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pybuild.output.listing import Row
    from sandbox.probe import Finding

USAGE = Usage("Say what this machine allows, and what would allow more. Everything is tried, and nothing is changed.",
              "pybuild doctor\npybuild doctor --format json", (),
              (Option("--format", VALUE, "table, json, or a Go template", "FORMAT"),))
_COLUMNS = (("WHAT", "Subject"), ("STATE", "State"), ("DETAIL", "Detail"))


def main(options: Options) -> int:
    from pybuild.output.listing import show

    rows = [_row(finding) for finding in _findings(options)]
    if options.format in (None, "", "table"):
        show(rows, _COLUMNS)
        _show_remedies(rows)
    else:
        show(rows, (*_COLUMNS, ("REMEDY", "Remedy")), format=options.format)
    return 0


def _findings(options: Options) -> "tuple[Finding, ...]":
    from runner.agent import probe as network
    from sandbox import probe

    return (*probe.probe(_existing(directories(options.root)[0])), *network.probe())


def _existing(root: str) -> str:
    """Where layers would be kept: there may be no store yet, then it is the nearest directory above; if that is not ours, one for scratch."""
    path = root
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path if os.access(path, os.W_OK | os.X_OK) else tempfile.gettempdir()


def _row(finding: "Finding") -> "Row":
    return {"Subject": finding.subject, "State": finding.verdict, "Detail": finding.detail, "Remedy": finding.remedy}


def _show_remedies(rows: "list[Row]") -> None:
    """Each command once, with what it is for."""
    remedies: dict[str, list[str]] = {}
    for row in rows:
        if row["Remedy"]:
            remedies.setdefault(row["Remedy"], []).append(row["Subject"])
    if remedies:
        print("\nThis would allow more:")
    for remedy, subjects in remedies.items():
        print(f"  {remedy}    # {', '.join(subjects)}")
