"""What it costs to import lang and parse a Dockerfile: `python bench/parse.py [--gate]`.

CPU time is reported; instructions are what is gated, for they do not depend on what else the machine does. valgrind counts them. Both are
beyond a bare interpreter, with the .pyc files written. --gate: only count, and exit 1 if a count is over its limit.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BLOCK = """FROM ${BASE} AS build
WORKDIR /src
ENV A=1 B="two words" \\
    C=3
COPY --chown=1000:1000 go.mod go.sum ./
RUN --mount=type=cache,target=/root/.cache \\
    go mod download && \\
    echo done
# comment
COPY . .
RUN ["go", "build", "-o", "/out/app"]

FROM scratch
LABEL a=b c=d
COPY --from=build /out/app /app
EXPOSE 8080
VOLUME /data
USER 1000
HEALTHCHECK --interval=30s CMD ["/app", "-check"]
ENTRYPOINT ["/app"]
CMD ["serve"]
RUN a; \\
    b; \\
    c
ARG VERSION=1
ENV V=$VERSION
STOPSIGNAL SIGTERM
ONBUILD RUN x
"""
HEAD = "# syntax=docker/dockerfile:1\nARG BASE=alpine:3.19\n"
PROGRAM = """import sys
sys.path.insert(0, {root!r})
from lang.parser import parse
from lang.source import Source
parse(Source("Dockerfile", open({path!r}).read()))
"""
# lines -> most instructions, in millions, that import and parse may take; measured 27 and 149 with Debian's Python 3.11
LIMITS = {30: 32, 1000: 175}
ROUNDS = 15


def dockerfile(lines: int) -> str:
    text = HEAD + BLOCK
    while text.count("\n") < lines:
        text += BLOCK
    return "\n".join(text.split("\n")[:lines]).rstrip("\\\n") + "\n"


def cpu(program: str, env: dict[str, str]) -> float:
    """Least CPU milliseconds of a few runs."""
    best = float("inf")
    for _ in range(ROUNDS):
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], env=env)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        best = min(best, (usage.ru_utime + usage.ru_stime) * 1e3)
    return best


def instructions(program: str, env: dict[str, str]) -> float:
    """Millions of instructions, 0 without valgrind."""
    if not shutil.which("valgrind"):
        return 0
    argv = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found, done.stderr
    return int(found[1]) / 1e6


def main() -> int:
    gate = "--gate" in sys.argv
    over = False
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ)
        bare = 0 if gate else cpu("pass", env), instructions("pass", env)
        print(f"bare interpreter: {bare[0]:.1f} ms CPU, {bare[1]:.1f} M instructions")
        for lines, limit in LIMITS.items():
            path = os.path.join(folder, "Dockerfile")
            with open(path, "w") as file:
                file.write(dockerfile(lines))
            program = PROGRAM.format(root=ROOT, path=path)
            subprocess.run([sys.executable, "-I", "-S", "-c", program], env=env, check=True)          # writes the .pyc files
            time, count = 0 if gate else cpu(program, env) - bare[0], instructions(program, env) - bare[1]
            over = over or count > limit
            print(f"{lines:5d} lines: {time:5.1f} ms CPU, {count:6.1f} M instructions (limit {limit}{', OVER' if count > limit else ''})")
    return int(over and gate)


if __name__ == "__main__":
    sys.exit(main())
