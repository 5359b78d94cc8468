"""`gpus:` and device reservations -> device nodes of this machine. Only looks at /dev."""

import os

from runner.errors import InvalidService
from sandbox.spec import Device

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runner.model.deploy import DeviceRequest

    Path = tuple[str | int, ...]

_CONTROL = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")


def devices(request: "DeviceRequest", at: "Path", dev: str = "/dev") -> "list[Device]":
    """Raises InvalidService if the machine has fewer than were asked for, or none of that kind.

    driver "nvidia" has /dev/nvidiaN, any other what is in /dev/dri; a driver's libraries have to be in the image.
    """
    nvidia = request.driver in ("", "nvidia") and os.path.exists(f"{dev}/nvidiactl")
    found = _numbered(dev, "nvidia") if nvidia else [] if request.driver == "nvidia" else _numbered(f"{dev}/dri", "renderD")
    if request.device_ids:
        wanted = [one for one in found if one.rpartition("/")[2].strip("abcdefghijklmnopqrstuvwxyzD") in request.device_ids]
        missing = len(request.device_ids) - len(wanted)
    else:
        count = len(found) if request.amount < 0 else request.amount or 1
        wanted, missing = found[:count], max(count, 1) - len(found)
    if missing > 0 or not wanted:
        what = f"the driver `{request.driver}`" if request.driver else "any driver"
        raise InvalidService(at, f"asks for devices of {what}, and this machine has {len(found) or 'none'}",
                             "name a device with `devices: [/dev/...]`, or leave it out")
    more = [f"{dev}/{name}" for name in _CONTROL if os.path.exists(f"{dev}/{name}")] if nvidia else []
    return [Device(path, "/dev" + path[len(dev):]) for path in (*wanted, *more)]


def _numbered(directory: str, prefix: str) -> "list[str]":
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    numbers = sorted(int(name[len(prefix):]) for name in names if name.startswith(prefix) and name[len(prefix):].isdigit())
    return [f"{directory}/{prefix}{number}" for number in numbers]
