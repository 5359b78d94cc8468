"""inotify: what happens in a directory is told."""

from pathlib import Path

from kernel.watch import IN_CREATE, IN_DELETE, IN_IGNORED, IN_ISDIR, Change, Watch


def test_watch_tells_of_entries(tmp_path: Path) -> None:
    with Watch() as watch:
        watch.add(str(tmp_path), IN_CREATE | IN_DELETE)
        assert watch.read() == []
        (tmp_path / "d").mkdir()
        (tmp_path / "ünï").write_text("")
        (tmp_path / "ünï").unlink()
        assert watch.read() == [Change(str(tmp_path), "d", IN_CREATE | IN_ISDIR), Change(str(tmp_path), "ünï", IN_CREATE),
                                Change(str(tmp_path), "ünï", IN_DELETE)]


def test_watch_of_a_directory_that_goes_away_ends(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with Watch() as watch:
        watch.add(str(tmp_path / "d"), IN_CREATE)
        (tmp_path / "d").rmdir()
        assert watch.read() == [Change(str(tmp_path / "d"), "", IN_IGNORED)]
