"""A program of its own that a shim starts when its container has ended, is to be removed, and nobody is there any more to do it."""

import os
import sys


def argv(root: str, run: str, id: str) -> "tuple[str, ...]":
    """How to start it: a fresh interpreter, so that it is this version's code whatever version the shim is of."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    program = f"import sys\nsys.path.append({home!r})\nfrom runner.cleanup import main\nmain()"
    return (sys.executable, "-I", "-S", "-X", "utf8", "-c", program, root, run, id)


def main() -> None:
    """Arguments: root directory, run directory, ID of the container."""
    from runner.agent.client import Agent
    from runner.engine import Engine
    from runner.errors import Missing
    from sandbox.client import connect
    from store.root import open_root
    from store.store import Store

    root, run, id = sys.argv[1:]
    with Store(open_root(root, run)) as store, Engine(store, lambda: connect(run, shim="runner.shim"), lambda: Agent(root, run)) as engine:
        try:
            engine.remove(engine.find(id), force=True, volumes=True)
        except Missing:
            pass                                          # somebody was there after all
