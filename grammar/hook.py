"""Hatchling's build hook: compiles the grammars, so that the wheel (and an editable install) carries their tables."""

import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, self.root)                     # a build backend does not see the project it builds
        from grammar.compiler import compile_grammar, names, write
        for name in names():
            write(name, compile_grammar(name))
        build_data["artifacts"].append("/grammar/*.table")
