"""The log of a container: nothing that was appended is lost, changed or torn, whatever way it is read."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.log import FRAME, HEAD, LogWriter, generations
from runner.logreader import LINE_MAX, Line, Lines, LogReader, Record, end_of, tail

RECORDS = st.lists(st.tuples(st.sampled_from((1, 2)), st.binary(max_size=40).map(lambda data: data.replace(b"x", b"\n"))), max_size=30)


def write(directory: Path, records: "list[tuple[int, bytes]]", max_size: int = 0, max_file: int = 1) -> LogWriter:
    writer = LogWriter(str(directory), max_size, max_file)
    for number, (stream, data) in enumerate(records):
        writer.append(stream, data, 1000 + number)
    return writer


def read(directory: Path, generation: int = 0, offset: int = 0) -> list[Record]:
    reader = LogReader(str(directory), generation, offset)
    found = list(reader.read())
    reader.close()
    return found


def lines_of(records: "list[tuple[int, bytes]]") -> list[Line]:
    """What a naive reader makes of it."""
    rest: dict[int, bytes] = {}
    found = []
    for number, (stream, data) in enumerate(records):
        *whole, rest[stream] = (rest.get(stream, b"") + data).split(b"\n")
        found += [Line(1000 + number, stream, text + b"\n") for text in whole]
    return found


@given(records=RECORDS)
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, records: "list[tuple[int, bytes]]") -> None:
    directory = tmp_path_factory.mktemp("log")
    write(directory, records).close()
    assert [(one.stream, one.data) for one in read(directory)] == records


@given(records=RECORDS, count=st.integers(0, 12))
def test_tail_is_the_end_of_all_lines(tmp_path_factory: pytest.TempPathFactory, records: "list[tuple[int, bytes]]", count: int) -> None:
    directory = tmp_path_factory.mktemp("log")
    write(directory, records).close()
    lines, reader, cutter = tail(str(directory), count)
    reader.close()
    unfinished = [line.text for line in cutter.rest()]
    wanted = max(0, count - len(unfinished)) if count else 0
    whole = lines_of(records)
    assert lines == (whole[-wanted:] if wanted else [])


@given(records=RECORDS, size=st.integers(30, 200))
def test_tail_across_files(tmp_path_factory: pytest.TempPathFactory, records: "list[tuple[int, bytes]]", size: int) -> None:
    directory = tmp_path_factory.mktemp("log")
    write(directory, records, max_size=size, max_file=1000).close()
    lines, reader, cutter = tail(str(directory), 1000)
    reader.close()
    assert lines == lines_of(records)
    assert sorted(cutter.unfinished) == sorted(line.stream for line in cutter.rest())


@given(records=RECORDS, cut=st.integers(0, 60))
def test_a_torn_end_is_cut_off_and_no_more(tmp_path_factory: pytest.TempPathFactory, records: "list[tuple[int, bytes]]", cut: int) -> None:
    directory = tmp_path_factory.mktemp("log")
    write(directory, [*records, (1, b"last")]).close()
    path = directory / "1"
    size = path.stat().st_size
    os.truncate(path, max(0, size - cut))
    writer = LogWriter(str(directory))
    writer.append(2, b"new", 5)
    writer.close()
    kept = [(one.stream, one.data) for one in read(directory)]
    assert kept[-1] == (2, b"new")
    assert kept[:-1] == [*records, (1, b"last")][:len(kept) - 1]
    if cut < FRAME + 4 and cut:
        assert len(kept) == len(records) + 1


def test_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    writer = write(tmp_path, [(1, b"a")])
    reader = LogReader(str(tmp_path))
    assert [one.data for one in reader.read()] == [b"a"]
    writer.append(1, b"b", 2)
    assert [one.data for one in reader.read()] == [b"b"]
    assert list(reader.read()) == []
    assert (reader.generation, reader.offset) == end_of(str(tmp_path))


def test_rotation_keeps_as_many_files_as_wanted(tmp_path: Path) -> None:
    writer = write(tmp_path, [(1, b"x" * 100)] * 10, max_size=100, max_file=3)
    assert generations(str(tmp_path)) == [9, 10, 11]
    assert writer.generation == 11
    assert len(read(tmp_path)) == 2


def test_a_single_file_is_begun_anew(tmp_path: Path) -> None:
    write(tmp_path, [(1, b"x" * 100)] * 4, max_size=150, max_file=1)
    assert len(generations(str(tmp_path))) == 1
    assert len(read(tmp_path)) == 0


def test_reader_follows_into_the_next_file(tmp_path: Path) -> None:
    writer = write(tmp_path, [(1, b"a")], max_size=10, max_file=5)
    reader = LogReader(str(tmp_path))
    assert [one.data for one in reader.read()] == [b"a"]
    for letter in (b"b", b"c"):
        writer.append(1, letter, 2)
    assert [one.data for one in reader.read()] == [b"b", b"c"]


def test_nothing_is_dropped_that_somebody_reads(tmp_path: Path) -> None:
    wanted = {1}
    writer = LogWriter(str(tmp_path), 10, 2, lambda generation: generation not in wanted)
    writer.append(1, b"a" * 10, 1)
    writer.append(1, b"b" * 10, 2)
    assert writer.is_full and generations(str(tmp_path)) == [1, 2]
    wanted.clear()
    assert writer.rotate() and generations(str(tmp_path)) == [2, 3]


def test_slow_reader_goes_on_with_what_is_left(tmp_path: Path) -> None:
    writer = write(tmp_path, [(1, b"a" * 10)], max_size=10, max_file=2)
    reader = LogReader(str(tmp_path), 1, 0)
    for letter in (b"b", b"c", b"d"):
        writer.append(1, letter * 10, 2)
    assert [one.data[:1] for one in reader.read()] == [b"d"]


def test_full_disk_is_told_when_there_is_room_again(tmp_path: Path) -> None:
    import resource

    writer = write(tmp_path, [(1, b"a")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))
    try:
        writer.append(1, b"b" * 100, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    writer.append(1, b"c", 3)
    assert [one.data for one in read(tmp_path)] == [b"a", b"[100 bytes of output were lost: no space on the disk]\n", b"c"]


def test_log_that_is_no_log_is_read_as_empty(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"\0" * 500)
    assert read(tmp_path) == []
    assert tail(str(tmp_path), 5)[0] == []


def test_line_that_never_ends_comes_in_pieces(tmp_path: Path) -> None:
    """As of `cat /dev/zero`: it is read in the time of its length, and in the memory of a few pieces."""
    chunk, count = b"x" * (1 << 16), 4 * LINE_MAX >> 16
    write(tmp_path, [(1, chunk)] * count + [(1, b"end\n")]).close()
    lines, reader, cutter = tail(str(tmp_path), 2)
    reader.close()
    assert [(len(line.text), line.text[-1:]) for line in lines] == [(LINE_MAX + len(chunk), b"x"), (len(lines[1].text), b"\n")]
    assert not cutter.unfinished
    pieces = [line.text for record in read(tmp_path) for line in cutter.cut(record)]
    assert b"".join(pieces) == chunk * count + b"end\n"
    assert max(map(len, pieces)) <= LINE_MAX + len(chunk)


def test_lines_keep_streams_apart() -> None:
    cutter = Lines()
    cut = [line for record in (Record(1, 1, b"out"), Record(2, 2, b"err\n"), Record(3, 1, b"put\nx")) for line in cutter.cut(record)]
    assert cut == [Line(2, 2, b"err\n"), Line(3, 1, b"output\n")]
    assert list(cutter.rest()) == [Line(3, 1, b"x")]
    assert list(cutter.rest()) == []


def test_head_is_sixteen_bytes() -> None:
    assert HEAD.size == 16 and FRAME == 20


def test_a_file_ends_with_a_line_and_is_no_larger_than_wanted(tmp_path: Path) -> None:
    data = b"".join(b"line %d\n" % number for number in range(1000))
    writer = write(tmp_path, [(1, data)], max_size=200, max_file=3)
    assert all((tmp_path / str(one)).stat().st_size <= 200 for one in generations(str(tmp_path)))
    kept = b"".join(record.data for one in generations(str(tmp_path)) for record in read(tmp_path, one)[:1])
    assert len(generations(str(tmp_path))) == 3 and data.endswith(kept) and kept.startswith(b"line ") and not writer.lost


def test_a_line_that_is_longer_than_a_file_may_be_has_one_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, [(1, b"a\n" + b"b" * 300 + b"\nc\n")], max_size=100, max_file=3)
    assert [next(record.data for record in read(tmp_path, one)) for one in generations(str(tmp_path))] == [b"a\n", b"b" * 300 + b"\n", b"c\n"]
