"""Where an error points: at the part of a value that does not read, not at the instruction. Every flag and every value that is looked at has a row."""

import pytest

from lang.diagnostic import render
from lang.errors import LangError
from lang.source import Source
from tests.lang.test_errors import walk

# an instruction; below it, what is pointed at and what is said
TABLE = r"""
COPY --exclude=ok --exclude=x/[a-/b a b
                              ^^^^^ its bracket does not read
COPY --exclude=[] a b
               ^^ its bracket does not read
COPY --exclude=! a b
               ^ `!` is no pattern: nothing after `!`
COPY --exclude="a[" a b
                 ^ its bracket does not read
ADD --exclude=[z-a] a b
              ^^^^^ its bracket does not read
COPY --chmod=9 a b
             ^ `9` is no mode: 0 to 07777 in octal
COPY --chmod=u+x,g=rwQ,o=r a b
                     ^ `u+x,g=rwQ,o=r` is no mode
COPY --chmod=uq a b
              ^ `uq` is no mode
COPY --chmod=u=x, a b
                 ^ `u=x,` is no mode
COPY --chown=${user a b
             ^^ no closing `}`
COPY --link=maybe a b
            ^^^^^ `maybe` is neither true nor false
COPY --link= a b
     ^^^^^^ the flag `--link` has no value
COPY --parents=1 a b
               ^ `1` is neither true nor false
COPY --from=7 a b
            ^ no stage named `7`
COPY --from=Nope a b
            ^^^^ no stage named `Nope`
COPY --from=a$b a b
            ^^^ a variable in `--from`
COPY --from=a --from=b a b
              ^^^^^^ the flag `--from` is given twice
COPY --form=a a b
     ^^^^^^ COPY has no flag `--form`
ADD --checksum=md5:00 http://a/b c
               ^^^^^^ `md5:00` is no digest
ADD --checksum=xyz https://a/b.git c
               ^^^ `xyz` is no commit
ADD --checksum=sha256:00 a b
               ^^^^^^^^^ a checksum for a source that is no URL and no git repository
ADD --keep-git-dir=1 a b
                   ^ `1` is neither true nor false
ADD --unpack=1 a b
             ^ `1` is neither true nor false
RUN --network=hots x
              ^^^^ `hots` is no network mode
RUN --network= x
              ^ a blank network mode
RUN --security=secure x
               ^^^^^^ `secure` is no security mode
RUN --device=,required x
             ^^^^^^^^^ a blank device
RUN --mount= x
            ^ a blank field in a mount
RUN --mount=type=cahce,target=/x x
                 ^^^^^ `cahce` is no type of mount
RUN --mount=type=cache,traget=/x x
                       ^^^^^^ a mount has no key `traget`
RUN --mount=type=cache,target=/x,foo=bar x
                                 ^^^ a mount has no key `foo`
RUN --mount=type=cache,target=/x,id x
                                 ^^ `id` without a value
RUN --mount=type=cache,target=/x,sharing=lokced x
                                         ^^^^^^ `lokced` is no way to share a cache
RUN --mount=type=cache,target=/x,mode=9 x
                                      ^ `9` is no mode
RUN --mount=type=cache,target=/x,uid=abc x
                                     ^^^ `abc` is no uid
RUN --mount=type=cache,target=/x,gid=-1 x
                                     ^^ `-1` is no gid
RUN --mount=type=cache,target=/x,ro=maybe x
                                    ^^^^^ `maybe` is neither true nor false
RUN --mount=type=cache,target=/x,required x
                                 ^^^^^^^^ `required` in a mount of type cache
RUN --mount=type=cache,target=/ x
                              ^ a mount on `/`
RUN --mount=type=cache,target= x
                       ^^^^^^^ a mount without a target
RUN --mount=type=cache,target=${x:^}/y x
                                 ^^ `:^` is no modifier
RUN --mount=type=tmpfs,target=/x,size=1q x
                                      ^^ `1q` is no size
RUN --mount=from=Foo,target=/x x
                 ^^^ no stage named `Foo`
RUN --mount=from=$b,target=/x x
                 ^^ a variable in `from`
RUN --mount=type=bind,from=9,target=/x x
                           ^ no stage named `9`
RUN --mount=type=secret,id=a,source=b x
                             ^^^^^^^^ both `id` and `source` in a secret mount
RUN --mount=type=secret x
            ^^^^^^^^^^^ a secret mount without `id`, `source` or `target`
RUN --mount=type=secret,id=x,sharing=y x
                             ^^^^^^^ `sharing` in a mount of type secret
RUN --mount=type=ssh,source=x x
                     ^^^^^^ `source` in a mount of type ssh
RUN --mount="type=cache,target=/x,sharing=bad" x
                                          ^^^ `bad` is no way to share a cache
RUN --mount=type=cache,\"target=/x,y\",'"s'haring="bad\"" x
                                                   ^^^ `bad` is no way to share a cache
RUN --mount=type=cache,ta"r"get=/x,sharing=b\a\d x
                                           ^^^^^ `bad` is no way to share a cache
RUN --mount=\"target=/x x
             ^^^^^^^^^^ no closing quote in a field of a mount
RUN --mount=target=/x,a\"b x
                      ^^^^ a quote inside a field of a mount
HEALTHCHECK --interval=5 CMD x
                       ^ no unit in the duration `5`
HEALTHCHECK --timeout=1m5x30s CMD x
                         ^ `x` is no unit of time
HEALTHCHECK --start-period=1.5.5s CMD x
                           ^^^^^^ `1.5.5s` is no duration
HEALTHCHECK --start-interval=1us CMD x
                             ^^^ `--start-interval` is shorter than 1ms
HEALTHCHECK --retries=many CMD x
                      ^^^^ `many` is no number of retries
HEALTHCHECK --retries=-1 CMD x
                      ^^ a negative number of retries
EXPOSE 80/foo
          ^^^ `foo` is no protocol: tcp, udp or sctp
EXPOSE 80 99999/tcp
          ^^^^^ `99999` is no port: 0 to 65535
EXPOSE 1-x
         ^ `x` is no port: 0 to 65535
EXPOSE 8-
       ^^ `8-` is no range of ports: first-last
EXPOSE 80-70
       ^^^^^ the range `80-70` ends before it begins
EXPOSE 1.2.3:80:80
       ^^^^^ `1.2.3` is no address
EXPOSE 1.2.3.4:x:80
               ^ `x` is no port: 0 to 65535
EXPOSE 80:81-82
       ^^^^^^^^ the ranges of `80:81-82` differ in length
EXPOSE "80/foo"
       ^^^^^^^^ `foo` is no protocol: tcp, udp or sctp
STOPSIGNAL SIGTREM
           ^^^^^^^ `SIGTREM` is no signal
"""
LINES = TABLE.strip("\n").split("\n")
ROWS = list(zip(LINES[::2], LINES[1::2]))


def said(text: str) -> str:
    """The first diagnostic about a file, drawn."""
    with pytest.raises(LangError) as caught:
        walk(Source("Dockerfile", text))
    return render(caught.value.diagnostics()[0])


@pytest.mark.parametrize(("line", "wanted"), ROWS, ids=[line for line, _ in ROWS])
def test_value_that_does_not_read_is_pointed_at(line: str, wanted: str) -> None:
    carets = wanted[:len(wanted) - len(wanted.lstrip(" ^"))].rstrip()
    drawn = said(f"FROM scratch\n{line}\n").split("\n")
    assert drawn[0] == f"error: {wanted[len(carets) + 1:]}"
    assert drawn[1] == f" --> Dockerfile:2:{carets.index('^') + 1}"
    assert drawn[5] == f"  | {carets}"


def test_value_on_a_continuation_line_is_pointed_at() -> None:
    drawn = said("FROM scratch\nRUN --mount=type=cache,\\\nta\\\nrget=/x,shar\\\ning=bad x\n")
    assert "--> Dockerfile:5:5" in drawn and drawn.endswith("|     ^^^\n  = help: shared, private, locked")


def test_value_with_a_backtick_as_escape_is_pointed_at() -> None:
    drawn = said('# escape=`\nFROM scratch\nRUN --mount=type=cache,`"target=/x`",sha"r"ing=bad x\n')
    assert "--> Dockerfile:3:48" in drawn


def test_value_of_a_variable_is_pointed_at_where_the_variable_stands() -> None:
    drawn = said("FROM scratch\nARG MODE=u=rwz\nCOPY --chmod=$MODE a b\n")
    assert "--> Dockerfile:3:14" in drawn and "|              ^^^^^" in drawn
