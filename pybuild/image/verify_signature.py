"""`pybuild verify-signature`: whether somebody whose key we have signed an image."""

import json

from pybuild.option import LIST, Operand, Option, Usage
from pybuild.scanner import Misuse, Options

USAGE = Usage("Say whether images are signed with one of the keys, and print what was signed.",
              "pybuild verify-signature --key team.pub registry.example.com/team/app:1.0",
              (Operand("images", "+", "names, with a tag or a digest"),),
              (Option("--key", LIST, "public key (PEM); default: those that the configuration names for the image", "FILE"),))


def main(options: Options) -> int:
    from pybuild.session import open_session
    from store.digest import Digest
    from store.reference import parse_reference
    from store.registry.errors import Unsigned
    from store.signing import PublicKey, verified

    with open_session(options.config) as session:
        for name in options.images:
            reference = parse_reference(name)
            paths = options.key or session.config.keys_for(reference.name)
            if not paths:
                raise Misuse(f"no key says who may sign `{name}`", "`--key FILE`, or [trust] in config.toml")
            repository = session.repository(reference)
            digest = Digest(reference.digest) if reference.digest else repository.manifest(reference.tag).digest
            found = verified(session, reference, digest, [PublicKey(path) for path in paths])
            if not found:
                raise Unsigned(reference.familiar(), digest, "no signature of it is by one of these keys")
            print(json.dumps([json.loads(payload) for payload in found]))
    return 0
