"""Credential helpers: programs named docker-credential-NAME that keep passwords elsewhere. In: a registry's key; out: what the helper says.

Their protocol: one word as argument, the key or a JSON object on stdin, JSON on stdout; what went wrong is on stdout too.
"""

import json
import subprocess

from store.registry.credential import Credential
from store.registry.errors import InvalidCredentials, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TIMEOUT_S = 120                         # a helper may ask its user
_NOT_FOUND = ("credentials not found", "no credentials")
_TOKEN = "<token>"                       # the user name that marks a secret as an identity token


def get(name: str, key: str) -> "Credential | None":
    """The credential that the helper has for this key; None if it has none. Raises InvalidCredentials."""
    program = _program(name)
    done = _run(program, "get", key)
    if done.returncode:
        text = (done.stdout or done.stderr).strip()
        if any(words in text.lower() for words in _NOT_FOUND):
            return None
        raise InvalidCredentials(program, f"does not give the credentials of `{key}`: {printable(text) or f'it ended with status {done.returncode}'}")
    try:
        answer = json.loads(done.stdout)
    except (ValueError, RecursionError) as error:
        raise InvalidCredentials(program, f"answers what is no JSON ({error})") from error
    if not isinstance(answer, dict):
        raise InvalidCredentials(program, "answers what is no JSON object")
    username, secret = str(answer.get("Username") or ""), str(answer.get("Secret") or "")
    if not username and not secret:
        return None
    return Credential(identity=secret) if username == _TOKEN else Credential(username, secret)


def store(name: str, key: str, credential: Credential) -> None:
    """Have the helper keep it. Raises InvalidCredentials."""
    username, secret = (_TOKEN, credential.identity) if credential.identity else (credential.username, credential.password)
    _change(name, "store", json.dumps({"ServerURL": key, "Username": username, "Secret": secret}))


def erase(name: str, key: str) -> None:
    _change(name, "erase", key)


def _change(name: str, word: str, text: str) -> None:
    program = _program(name)
    done = _run(program, word, text)
    said = (done.stdout or done.stderr).strip()
    if done.returncode and not any(words in said.lower() for words in _NOT_FOUND):
        raise InvalidCredentials(program, f"fails at `{word}`: {printable(said) or f'it ended with status {done.returncode}'}")


def _program(name: str) -> str:
    if not name or name.strip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") or name.startswith((".", "-")):
        raise InvalidCredentials(name[:100], "is no name of a credential helper")
    return f"docker-credential-{name}"


def _run(program: str, word: str, text: str) -> "subprocess.CompletedProcess[Any]":
    try:
        return subprocess.run([program, word], input=text, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except FileNotFoundError as error:
        raise InvalidCredentials(program, "is named in the configuration, and is not on the PATH") from error
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise InvalidCredentials(program, f"cannot be run ({error})") from error
