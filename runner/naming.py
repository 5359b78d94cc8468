"""IDs and names for containers that were given none."""

import os

_FIRST = """
    amber autumn brisk calm clear clever copper crisp dapper eager early fair gentle glad golden green hardy honest jolly keen kind
    lively loyal lucky mellow merry mild modest neat nimble patient plain polite proud quick quiet ready royal rustic sharp silent
    silver smooth snug sober solid spry steady sunny swift tidy true upbeat vivid warm wise witty young zesty placid candid daring
    nifty breezy
""".split()  # noqa: SIM905
_SECOND = """
    adler alder aspen badger beech birch bison cedar cobalt comet condor coral crane curlew dahlia dolphin dune ember falcon fern finch
    fjord gecko glacier grove harbor hazel heron ibis iris jasper juniper kestrel lagoon larch lark linden lotus lynx maple marten
    meadow merlin mesa nectar oriole osprey otter pebble pine plover poplar quartz raven reef robin rowan sable sparrow spruce stork
    thistle walnut willow
""".split()  # noqa: SIM905


def new_id() -> str:
    """64 hex digits, the first twelve of which are no decimal number: as a host name they must not look like one."""
    while True:
        found = os.urandom(32).hex()
        if not found[:12].isdecimal():
            return found


def new_name() -> str:
    """Two words, as "swift_heron"; whoever wants it looks whether it is taken."""
    first, second = os.urandom(2)
    return f"{_FIRST[first % len(_FIRST)]}_{_SECOND[second % len(_SECOND)]}"
