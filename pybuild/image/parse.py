"""`pybuild parse`: the tree of a Dockerfile as JSON, raw: nothing is expanded."""

import json

from pybuild.option import Operand, Usage
from pybuild.scanner import Options

USAGE = Usage("Print a Dockerfile's tree as JSON.", "pybuild parse Dockerfile | jq '.[].instruction'",
              (Operand("file", "?", "the Dockerfile, a directory that has one, or `-` (default: .)"),))


def main(options: Options) -> int:
    from lang.instruction import INSTRUCTIONS, check
    from lang.parser import read
    from lang.tree import node
    from pybuild.image.dockerfile import load

    source = load(options.file or ".")
    raws = read(source)
    for raw in raws:
        if raw.name not in INSTRUCTIONS and raw.name != "INCLUDE":
            check(raw, source)                            # says what was probably meant
    print("[" + ",\n ".join(json.dumps(node(raw, source), ensure_ascii=False) for raw in raws) + "]")
    return 0
