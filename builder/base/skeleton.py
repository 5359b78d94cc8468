"""What every base image has beside programs: directories, accounts, and the small files of /etc. Texts, by our own hand."""

from builder.base.host import Host
from builder.base.layout import MERGED, relative
from builder.base.plan import Directory, Entry, Link, Text

_SHARED, _PRIVATE = 0o1777, 0o700

_DIRECTORIES = (
    Directory("/boot"), Directory("/dev"), Directory("/etc"), Directory("/home"), Directory("/media"), Directory("/mnt"), Directory("/opt"),
    Directory("/proc"), Directory("/root", _PRIVATE), Directory("/run"), Directory("/run/lock", _SHARED), Directory("/srv"), Directory("/sys"),
    Directory("/tmp", _SHARED), Directory("/usr/bin"), Directory("/usr/lib"), Directory("/usr/local/bin"), Directory("/usr/local/lib"),
    Directory("/usr/local/sbin"), Directory("/usr/local/share"), Directory("/usr/share"), Directory("/usr/src"), Directory("/var/cache"),
    Directory("/var/lib"), Directory("/var/log"), Directory("/var/spool"), Directory("/var/tmp", _SHARED),
)
_LINKS = (Link("/var/lock", "../run/lock"), Link("/var/run", "../run"), Link("/etc/mtab", "../proc/self/mounts"),
          Link("/etc/os-release", "../usr/lib/os-release"))

# name, number, home; the numbers are those of Debian, which other distributions share up to bin and from 65534
_USERS = (("root", 0, "/root"), ("daemon", 1, "/usr/sbin"), ("bin", 2, "/bin"), ("sys", 3, "/dev"), ("games", 5, "/usr/games"),
          ("mail", 8, "/var/mail"), ("www-data", 33, "/var/www"), ("backup", 34, "/var/backups"), ("nobody", 65534, "/nonexistent"))
_GROUPS = (("root", 0), ("daemon", 1), ("bin", 2), ("sys", 3), ("adm", 4), ("tty", 5), ("disk", 6), ("mail", 8), ("kmem", 15), ("dialout", 20),
           ("floppy", 25), ("audio", 29), ("www-data", 33), ("backup", 34), ("utmp", 43), ("video", 44), ("staff", 50), ("games", 60),
           ("users", 100), ("nogroup", 65534))

_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
"""
_NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
"""
_RELEASE_KEYS = ("NAME", "VERSION", "VERSION_ID", "VERSION_CODENAME", "ID", "ID_LIKE")


def skeleton(host: Host, name: str, shell: str) -> list[Entry]:
    """Entries of every image. name: the image's, as people read it; shell: root's, a path in the image."""
    shells = "".join(f"{path}\n" for path in dict.fromkeys(("/bin/sh", shell)))
    return [*_DIRECTORIES, *_LINKS, *_tops(host), *_accounts(shell), Text("/etc/hosts", _HOSTS.encode()),
            Text("/etc/nsswitch.conf", _NSSWITCH.encode()), Text("/etc/shells", shells.encode()),
            Text("/usr/lib/os-release", os_release(host, name))]


def _tops(host: Host) -> list[Entry]:
    """/bin and its like: they lead where they lead here, else into /usr."""
    found: list[Entry] = []
    for path in (*MERGED, "/usr/sbin", "/usr/lib64"):
        target = host.place(path).real
        if path not in MERGED:
            found.append(Link(path, relative(path, target)) if target and target != path else Directory(path))
        else:
            found.append(Link(path, relative(path, target if target.startswith("/usr/") else MERGED[path])))
    return found


def _accounts(shell: str) -> list[Entry]:
    passwd = "".join(f"{name}:x:{user}:{_group(user)}:{name}:{home}:{'/usr/sbin/nologin' if user else shell}\n" for name, user, home in _USERS)
    group = "".join(f"{name}:x:{number}:\n" for name, number in _GROUPS)
    shadow = "".join(f"{name}:*::0:99999:7:::\n" for name, _, _ in _USERS)
    gshadow = "".join(f"{name}:*::\n" for name, _ in _GROUPS)
    return [Text("/etc/passwd", passwd.encode()), Text("/etc/group", group.encode()), Text("/etc/shadow", shadow.encode(), 0o640),
            Text("/etc/gshadow", gshadow.encode(), 0o640)]


def _group(user: int) -> int:
    return 60 if user == 5 else user             # games has another number as a group than as a user


def os_release(host: Host, name: str) -> bytes:
    """The image's os-release: this machine's identity, and a name that says what the image is."""
    facts = read_release(host)
    pretty = facts.get("PRETTY_NAME") or facts.get("NAME") or "Linux"
    kept = {"PRETTY_NAME": f"{name}, made of {pretty}", **{key: facts[key] for key in _RELEASE_KEYS if key in facts}, "VARIANT_ID": "host"}
    return "".join(f"{key}={_quoted(value)}\n" for key, value in kept.items()).encode("utf-8", "surrogateescape")


def read_release(host: Host) -> dict[str, str]:
    """What /etc/os-release says of this machine; {} if it has none."""
    text = (host.read("/etc/os-release", 1 << 16) or host.read("/usr/lib/os-release", 1 << 16)).decode("utf-8", "surrogateescape")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {key.strip(): _unquoted(value.strip()) for key, _, value in pairs}


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    return value.replace('\\"', '"').replace("\\$", "$").replace("\\`", "`").replace("\\\\", "\\")


def _quoted(value: str) -> str:
    if value and value.isascii() and all(letter.isalnum() or letter in "._-" for letter in value):
        return value
    for letter in "\\\"$`":
        value = value.replace(letter, "\\" + letter)
    return f'"{value}"'
