"""Certificates of a made authority, for servers and clients."""

import ssl
import subprocess
from pathlib import Path

import pytest

from engine.http.tls import server_context


class Authority:
    """Makes certificates with the `openssl` command."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.certificate, self._key = directory / "ca.pem", directory / "ca.key"
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(self._key), "-out", str(self.certificate), "-days", "3",
                      "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign")

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    def issue(self, name: str) -> tuple[str, str]:
        """(certificate, key) for `name` and 127.0.0.1."""
        key, asked, made, extensions = (str(self.directory / f"{name}.{ending}") for ending in ("key", "csr", "pem", "ext"))
        self._openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", asked, "-subj", f"/CN={name}")
        Path(extensions).write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self._openssl("x509", "-req", "-in", asked, "-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", "3",
                      "-out", made, "-extfile", extensions)
        return made, key


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def server_files(authority: Authority) -> tuple[str, str]:
    return authority.issue("server")


@pytest.fixture
def tls(server_files: tuple[str, str]) -> ssl.SSLContext:
    return server_context(*server_files)


@pytest.fixture(scope="session")
def client_tls(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.certificate))
