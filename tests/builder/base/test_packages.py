"""What dpkg's files say of a machine."""

from pathlib import Path

import pytest

from builder.base.host import Host
from builder.base.packages import files_of, owners, versions
from tests.builder.base.elves import put

STATUS = """\
Package: grep
Status: install ok installed
Version: 3.8-5
Description: pattern
 Version: not this one

Package: gone
Status: deinstall ok config-files
Version: 1

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    put(tmp_path, "/var/lib/dpkg/status", STATUS)
    put(tmp_path, "/var/lib/dpkg/info/grep.list", "/.\n/bin\n/bin/grep\n/usr/share/doc/grep/README\n/usr/share/man/man1/grep.1.gz\n/usr/lib/grep/x\n")
    put(tmp_path, "/var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib/x86_64-linux-gnu/libc.so.6\n")
    return Host(str(tmp_path))


def test_owners_however_the_package_spells_the_path(host: Host) -> None:
    paths = {"/usr/bin/grep", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/unowned"}
    assert owners(host, paths) == {"/usr/bin/grep": "grep", "/usr/lib/x86_64-linux-gnu/libc.so.6": "libc6"}


def test_versions_of_what_is_installed(host: Host) -> None:
    assert versions(host) == {"grep": "3.8-5", "libc6": "2.36-9"}


def test_files_of_a_package_without_its_documentation(host: Host) -> None:
    assert files_of(host, "/usr/bin/grep") == ("/.", "/bin", "/bin/grep", "/usr/lib/grep/x")
    assert files_of(host, "/usr/bin/unowned") == ()


def test_a_machine_without_dpkg(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    assert (owners(host, {"/usr/bin/grep"}), versions(host), files_of(host, "/usr/bin/grep")) == ({}, {}, ())


def test_packages_do_not_enter_the_fingerprint(host: Host) -> None:
    owners(host, {"/usr/bin/grep"})
    versions(host)
    assert host.watched() == []
