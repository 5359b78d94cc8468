"""Where a Python of any origin comes to lie in an image; made machines."""

from pathlib import Path

import pytest

from builder.base.contents import Contents
from builder.base.cpython import Python, add_python, environment, moves_of, running_python
from builder.base.errors import NotUsable
from builder.base.host import Host
from builder.base.ldcache import parse_cache
from builder.base.plan import Bytecode, Directory, Entry, File, Link, Text
from tests.builder.base.elves import elf, link, put

LD = "/lib64/ld-linux-x86-64.so.2"
CERTIFICATES = "/usr/lib/ssl/cert.pem"


def installed(root: Path, prefix: str, library: str = "lib", **facts: str) -> Python:
    """A small Python 3.11 below `prefix`."""
    lib = f"{prefix}/{library}/python3.11"
    put(root, LD, elf())
    put(root, "/usr/lib/libc.so.6", elf(soname="libc.so.6"))
    put(root, f"{prefix}/bin/python3.11", elf(("libpython3.11.so.1.0", "libc.so.6"), interpreter=LD, runpath=f"{prefix}/lib"))
    put(root, f"{prefix}/lib/libpython3.11.so.1.0", elf(("libc.so.6",), soname="libpython3.11.so.1.0"))
    for path in ("os.py", "json/__init__.py", "test/x.py", "json/tests/y.py", "site-packages/z.py", "idlelib/i.py", "__pycache__/os.cpython-311.pyc",
                 "config-3.11-x/libpython3.11.a", "EXTERNALLY-MANAGED", "turtle.py", "lib2to3/Grammar.txt", "ensurepip/_bundled/pip.whl"):
        put(root, f"{lib}/{path}", "x = 1\n", 0o644)
    put(root, f"{lib}/_sysconfigdata__linux.py", f"build_time_vars = {{'prefix': '{prefix}',\n 'LIBDIR': '{prefix}/lib'}}\n", 0o644)
    for name in ("_ssl", "_tkinter", "_testcapi", "_broken"):
        put(root, f"{lib}/lib-dynload/{name}.cpython-311.so", elf(("libgone.so",) if name == "_broken" else ("libc.so.6",)))
    python = Python("3.11", "3.11.7", f"{prefix}/bin/python3.11", prefix, lib, f"{lib}/lib-dynload", CERTIFICATES, "", "")
    return python._replace(**facts)


def entries(root: Path, python: Python) -> dict[str, Entry]:
    contents = Contents(Host(str(root)), ("/usr/bin",), moves_of(python))
    add_python(contents, python)
    return {entry.path: entry for entry in contents.done().entries}


def test_a_python_of_somebodys_own(tmp_path: Path) -> None:
    home = "/home/me/.pyenv/versions/3.11.7"
    found = entries(tmp_path, installed(tmp_path, home))
    lib = "/usr/local/lib/python3.11"
    assert found["/usr/local/bin/python3.11"] == File("/usr/local/bin/python3.11", f"{home}/bin/python3.11")
    assert found["/usr/local/bin/python3"] == Link("/usr/local/bin/python3", "python3.11") and found["/usr/local/bin/python"][1] == "python3.11"
    assert found[f"{lib}/os.py"] == File(f"{lib}/os.py", f"{home}/lib/python3.11/os.py")
    assert found[f"{lib}/__pycache__/os.cpython-311.pyc"] == Bytecode(
        f"{lib}/__pycache__/os.cpython-311.pyc", f"{home}/lib/python3.11/os.py", f"{lib}/os.py")
    assert not [path for path in found if path.startswith("/home")]
    cache = found["/etc/ld.so.cache"]
    assert isinstance(cache, Text)
    assert ("libpython3.11.so.1.0", "/usr/local/lib/libpython3.11.so.1.0") in {(entry.name, entry.path) for entry in parse_cache(cache.data)}


def test_what_stays_behind(tmp_path: Path) -> None:
    found = entries(tmp_path, installed(tmp_path, "/opt/py"))
    names = {path.removeprefix("/usr/local/lib/python3.11/") for path, entry in found.items() if isinstance(entry, File) and "python3.11/" in path}
    assert names == {"os.py", "json/__init__.py", "lib2to3/Grammar.txt", "ensurepip/_bundled/pip.whl", "lib-dynload/_ssl.cpython-311.so"}
    assert found["/usr/local/lib/python3.11/site-packages"] == Directory("/usr/local/lib/python3.11/site-packages")


def test_the_record_of_the_build_names_the_images_paths(tmp_path: Path) -> None:
    found = entries(tmp_path, installed(tmp_path, "/opt/py"))["/usr/local/lib/python3.11/_sysconfigdata__linux.py"]
    assert isinstance(found, Text)
    assert found.data.decode() == "build_time_vars = {'prefix': '/usr/local',\n 'LIBDIR': '/usr/local/lib'}\n"


def test_a_python_of_debian(tmp_path: Path) -> None:
    python = installed(tmp_path, "/usr", layout="debian", wheels="/usr/share/python-wheels/")
    lib = "/usr/local/lib/python3.11"
    put(tmp_path, "/etc/python3.11/sitecustomize.py", "x")
    link(tmp_path, "/usr/lib/python3.11/sitecustomize.py", "/etc/python3.11/sitecustomize.py")
    link(tmp_path, "/usr/lib/python3.11/_sysconfigdata_linux2.py", "_sysconfigdata__linux.py")
    put(tmp_path, "/usr/share/python-wheels/pip.whl", "x")
    found = entries(tmp_path, python)
    assert found["/usr/local/bin/python3.11"] == File("/usr/local/bin/python3.11", "/usr/bin/python3.11")
    assert found[f"{lib}/dist-packages"] == Link(f"{lib}/dist-packages", "site-packages")
    assert found["/usr/local/local"] == Link("/usr/local/local", ".")
    assert found[f"{lib}/_sysconfigdata_linux2.py"] == Link(f"{lib}/_sysconfigdata_linux2.py", "_sysconfigdata__linux.py")
    record = found[f"{lib}/_sysconfigdata__linux.py"]
    assert isinstance(record, Text) and record.data.decode() == "build_time_vars = {'prefix': '/usr/local',\n 'LIBDIR': '/usr/lib'}\n"
    assert "/usr/share/python-wheels/pip.whl" in found and "/usr/lib/libpython3.11.so.1.0" in found
    assert f"{lib}/sitecustomize.py" not in found and not [path for path in found if path.startswith(("/usr/lib/python3.11", "/etc/python"))]


def test_a_python_of_fedora_keeps_lib64(tmp_path: Path) -> None:
    found = entries(tmp_path, installed(tmp_path, "/usr", "lib64", layout="fedora"))
    assert {"/usr/local/lib64/python3.11/os.py", "/usr/local/lib64/python3.11/lib-dynload/_ssl.cpython-311.so"} <= set(found)


def test_a_python_that_is_there_already(tmp_path: Path) -> None:
    found = entries(tmp_path, installed(tmp_path, "/usr/local"))
    assert found["/usr/local/lib/python3.11/os.py"] == File("/usr/local/lib/python3.11/os.py", "/usr/local/lib/python3.11/os.py")
    assert found["/usr/local/bin/python3"] == Link("/usr/local/bin/python3", "python3.11")


def test_a_library_outside_of_the_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotUsable, match=r"`/srv/python3\.11` is not below /opt/py"):
        moves_of(installed(tmp_path, "/opt/py", library="lib")._replace(library="/srv/python3.11"))


@pytest.mark.parametrize(("certificates", "variables"), [
    ("/usr/lib/ssl/cert.pem", ()), ("/etc/ssl/cert.pem", ()), ("", ()),
    ("/home/me/openssl/cert.pem", ("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",))])
def test_environment_names_certificates_where_openssl_would_not_find_them(tmp_path: Path, certificates: str, variables: tuple[str, ...]) -> None:
    assert environment(installed(tmp_path, "/opt/py", certificates=certificates)) == variables


def test_running_python_is_no_venv() -> None:
    python = running_python()
    assert Path(python.library, "os.py").is_file() and Path(python.extensions).is_dir()
    assert not Path(python.executable).is_symlink() and not Path(python.prefix, "pyvenv.cfg").exists()
