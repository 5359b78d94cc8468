"""`pyup container update`: change the limits and the restart policy of containers, running or not."""

from pybuild.option import VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options
from pybuild.stack.container.several import on_each
from pybuild.stack.container.wish import OPTIONS, limits_of
from pybuild.stack.opening import opened
from sandbox.spec import NO_LIMITS

_NAMES = ("--memory", "--memory-swap", "--memory-reservation", "--cpus", "--cpu-shares", "--cpu-quota", "--cpu-period", "--cpuset-cpus",
          "--cpuset-mems", "--pids-limit", "--blkio-weight")
USAGE = Usage(
    "Change limits and restart policies.", "pyup container update --memory 512m --restart always web",
    (Operand("containers", "+", "names or IDs"),),
    (Option("--restart", VALUE, "when to start it again: no, always, unless-stopped, on-failure[:N]", "POLICY"),
     *(option for option in OPTIONS if option.names.split()[-1] in _NAMES)))


def main(options: Options) -> int:
    for name in ("memory_swappiness", "device_read_bps", "device_write_bps", "device_read_iops", "device_write_iops"):
        setattr(options, name, None if name == "memory_swappiness" else [])
    limits, nano_cpus = limits_of(options)
    restart = None
    if options.restart:
        from pybuild.stack.container.words import restart as parse_restart

        restart = parse_restart(options.restart)
    if limits == NO_LIMITS and restart is None:
        raise Misuse("nothing is to be changed", "see `pyup container update --help`")
    with opened(options) as engine:
        return on_each(engine, options, lambda container: engine.update(
            container, limits=None if limits == NO_LIMITS else limits, restart=restart, nano_cpus=nano_cpus))
