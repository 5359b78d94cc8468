"""`pybuild sign`: sign images in their registry, in cosign's form."""

import os
import sys

from pybuild.option import FLAG, LIST, VALUE, Operand, Option, Usage
from pybuild.scanner import Misuse, Options

USAGE = Usage("Sign what names lead to in their registries, with a key of openssl's or cosign's; cosign and `pybuild verify-signature` verify it.",
              "openssl ecparam -name prime256v1 -genkey -noout -out team.pem\nopenssl ec -in team.pem -pubout -out team.pub\n"
              "pybuild sign --key team.pem registry.example.com/team/app:1.0",
              (Operand("images", "+", "names, with a tag or a digest"),),
              (Option("--key", VALUE, "private key (PEM); its password is asked for, or is in COSIGN_PASSWORD", "FILE"),
               Option("-a --annotation", LIST, "something more to be signed", "NAME=VALUE"),
               Option("-y --yes", FLAG, "for habits: nothing is asked", hidden=True)))


def main(options: Options) -> int:
    from pybuild.session import open_session
    from store.signing import Key, sign

    if not options.key:
        raise Misuse("a key is needed", "`--key FILE`")
    annotations = _pairs(options.annotation)
    key = Key(options.key, _password)
    with open_session(options.config) as session:
        for name in options.images:
            signed = sign(session, name, key, annotations)
            print(f"{signed.name}@{signed.digest}: signed, {signed.where}")
    return 0


def _pairs(words: "list[str]") -> "dict[str, str]":
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise Misuse(f"--annotation: `{word}` is no NAME=VALUE")
        found[name] = value
    return found


def _password() -> bytes:
    if "COSIGN_PASSWORD" in os.environ:
        return os.environ["COSIGN_PASSWORD"].encode()
    if not sys.stdin.isatty():
        raise Misuse("the key has a password, and there is no terminal to ask for it", "COSIGN_PASSWORD may have it")
    from pybuild.asking import ask_secretly

    return ask_secretly("Password of the key: ").encode()
