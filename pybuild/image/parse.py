"""`pybuild parse`: the tree of a Dockerfile as JSON, raw: nothing is expanded."""

import json

from pybuild.option import Operand, Usage
from pybuild.scanner import Options

USAGE = Usage("Print a Dockerfile's tree as JSON.", "pybuild parse Dockerfile | jq '.[].instruction'",
              (Operand("file", "?", "the Dockerfile, a directory that has one, or `-` (default: .)"),))


def main(options: Options) -> int:
    from lang.instruction import check_names
    from lang.parser import read
    from lang.tree import node
    from pybuild.image.dockerfile import load

    source = load(options.file or ".")
    raws = read(source)
    check_names(raws, source)
    print("[" + ",\n ".join(json.dumps(node(raw, source), ensure_ascii=False) for raw in raws) + "]")
    return 0
