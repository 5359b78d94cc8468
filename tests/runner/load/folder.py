"""A directory of compose files, written from the test and loaded as a command would."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lang.diagnostic import render
from runner.errors import InvalidCompose
from runner.load import config
from runner.load.project import Loaded, LoadOptions, load
from runner.model.service import Service


class Folder:
    """`options` are LoadOptions' fields; `env` is the whole environment but for HOME."""

    def __init__(self, root: Path) -> None:
        self.root = root / "case"
        self.root.mkdir()
        self.home = root / "home"

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def options(self, env: Mapping[str, str], cwd: str = "", **options: Any) -> LoadOptions:
        return LoadOptions(str(self.root / cwd).rstrip("/"), {"HOME": str(self.home), **env}, **options)

    def load(self, *texts: str, env: Mapping[str, str] = {}, cwd: str = "", **options: Any) -> Loaded:
        """Load `texts` over each other; without any, what is there."""
        if texts:
            options["files"] = tuple(f"f{index}.yaml" for index in range(len(texts)))
            for name, text in zip(options["files"], texts):
                self.write(name, text)
        return load(self.options(env, cwd, **options))

    def service(self, *texts: str, **options: Any) -> Service:
        """The only service of `texts`, or the one called `a`."""
        services = {one.name: one for one in self.load(*texts, **options).project.services}
        return services["a"] if len(services) > 1 else next(iter(services.values()))

    def printed(self, *texts: str, **options: Any) -> dict[str, Any]:
        """What `config` prints, as a mapping."""
        if texts:
            options["files"] = tuple(f"f{index}.yaml" for index in range(len(texts)))
            for name, text in zip(options["files"], texts):
                self.write(name, text)
        return config.resolved(self.options(options.pop("env", {}), options.pop("cwd", ""), **options))[0]

    def refused(self, *texts: str, **options: Any) -> str:
        """The diagnostics that loading `texts` ends in, drawn."""
        with pytest.raises(InvalidCompose) as caught:
            self.load(*texts, **options)
        return "\n".join(render(one) for one in caught.value.diagnostics)

    def warned(self, *texts: str, **options: Any) -> list[str]:
        return [one.message for one in self.load(*texts, **options).warnings]


def one(attributes: str, more: str = "") -> str:
    """A compose file with one service `a` of an image and the (indented by nothing) YAML `attributes`, and top-level `more`."""
    lines = "".join(f"    {line}\n" for line in attributes.strip("\n").split("\n"))
    return f"services:\n  a:\n    image: busybox\n{lines}{more}"


