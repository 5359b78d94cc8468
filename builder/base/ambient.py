"""What programs load without naming it in their files: name service modules, character sets, locales, certificates, time zones, terminals.

Everything here is left out where this machine lacks it: an image is then poorer, not broken.
"""

from builder.base.contents import Contents
from builder.base.layout import relative
from builder.base.loader import default_directories
from builder.base.plan import Link, Text

_SONAMES = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2",      # older glibc keeps these out of libc
            "libgcc_s.so.1",                                              # pthread_cancel and backtrace load it
            # parts of the C library that programs made for an older one name: what a step brings (a wheel, a binary release) is linked like that
            "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libanl.so.1", "libm.so.6", "libmvec.so.1", "libnsl.so.1")
_CHARACTER_SETS = ("UTF-16", "UTF-32", "UTF-7", "UNICODE", "ISO8859-1", "ISO8859-15", "CP1252")
_LOCALES = ("C.utf8", "C.UTF-8")
_LOCALE_PARTS = ("LC_ADDRESS", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION", "LC_MEASUREMENT", "LC_MESSAGES/SYS_LC_MESSAGES", "LC_MONETARY",
                 "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE", "LC_TIME")
_ZONES = ("UTC", "Etc/UTC")
# a TZif file (RFC 8536) in versions 1 and 2: no transition, one type of time with the offset 0 and the name UTC
_UTC_BLOCK = b"TZif2" + bytes(15 + 16) + b"\0\0\0\1\0\0\0\4" + bytes(6) + b"UTC\0"
_UTC = _UTC_BLOCK * 2 + b"\nUTC0\n"
_TERMINALS = ("ansi", "dumb", "linux", "screen", "screen-256color", "tmux", "tmux-256color", "vt100", "vt220", "xterm", "xterm-256color",
              "xterm-color")
_TABLES = ("/etc/protocols", "/etc/services", "/etc/login.defs")

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"    # where it lies in the image
_BUNDLES = (BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
            "/etc/ssl/ca-bundle.pem", "/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/cert.pem")
_OPENSSL = ("/usr/lib/ssl", "/etc/pki/tls", "/etc/ssl")      # OPENSSLDIR of the distributions


def add_ambient(contents: Contents, bundles: tuple[str, ...] = ()) -> None:
    """Add all of it that suits the programs that are in already. bundles: further names under which certificates are looked for."""
    for name in _SONAMES:
        contents.soname(name)
    directories = default_directories(contents.like.kind) if contents.like is not None else ()
    for directory in directories:
        _character_sets(contents, f"{directory}/gconv")
        if contents.has_library("libcrypto."):
            for name in contents.host.names(f"{directory}/ossl-modules"):
                contents.try_object(f"{directory}/ossl-modules/{name}")
    for locale in _LOCALES:
        for part in _LOCALE_PARTS:
            contents.file(f"/usr/lib/locale/{locale}/{part}")
    contents.add(*(Text(f"/usr/share/zoneinfo/{zone}", _UTC) for zone in _ZONES))
    for terminal in _TERMINALS:
        for directory in ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"):
            contents.file(f"{directory}/{terminal[0]}/{terminal}")
    for table in _TABLES:
        contents.file(table)
    _certificates(contents, bundles)


def _character_sets(contents: Contents, directory: str) -> None:
    if contents.file(f"{directory}/gconv-modules"):
        for name in contents.host.names(f"{directory}/gconv-modules.d"):
            contents.file(f"{directory}/gconv-modules.d/{name}")
        for name in _CHARACTER_SETS:
            contents.try_object(f"{directory}/{name}.so")


def _certificates(contents: Contents, bundles: tuple[str, ...]) -> None:
    """One bundle, under every name that this machine's programs may know it by."""
    host = contents.host
    found = next((path for path in _BUNDLES if host.is_file(path) and contents.file_as(BUNDLE, path)), "")
    for path in _OPENSSL:
        if host.is_directory(path):
            contents.file(f"{path}/openssl.cnf")
            if found:
                link(contents, f"{path}/cert.pem", BUNDLE)
            if path == "/usr/lib/ssl":
                link(contents, f"{path}/certs", "/etc/ssl/certs")
    known = [path for path in _BUNDLES[1:] if host.is_file(path)]
    for path in (*known, *bundles):
        if found and path.startswith(("/etc/", "/usr/")):
            link(contents, path, BUNDLE)


def link(contents: Contents, path: str, target: str) -> None:
    contents.add(Link(path, relative(path, target)))
