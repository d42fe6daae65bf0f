"""Turns are kept by all that share an account, and their folder is private."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import SettingsError
from providers.vastai import pacing
from providers.vastai.pacing import VAST_INTERVALS, NoPace, SharedPace, replace_text, shared_folder
from tests.unit.test_vastai_cloud import Clock

MARGIN = 1.04


def pace(folder: Path, clock: Clock, account: str = "a") -> SharedPace:
    return SharedPace(account, folder=folder, clock=clock, sleep=clock.sleep)


class TestTurns:
    def test_the_first_turn_comes_at_once(self, folder: Path, clock: Clock) -> None:
        assert pace(folder, clock).turn("create") == 0.0

    @pytest.mark.parametrize(("endpoint", "seconds"), [*VAST_INTERVALS.items(), ("other", 1.0)])
    def test_the_next_waits_for_the_interval(
        self, folder: Path, clock: Clock, endpoint: str, seconds: float
    ) -> None:
        both = pace(folder, clock)
        both.turn(endpoint)
        assert both.turn(endpoint) == pytest.approx(seconds * MARGIN)

    def test_two_processes_of_an_account_share_turns(self, folder: Path, clock: Clock) -> None:
        pace(folder, clock).turn("create")
        assert pace(folder, clock).turn("create") == pytest.approx(4.5 * MARGIN)

    def test_accounts_and_endpoints_do_not_wait_for_each_other(
        self, folder: Path, clock: Clock
    ) -> None:
        pace(folder, clock).turn("create")
        assert pace(folder, clock, "b").turn("create") == 0.0
        assert pace(folder, clock).turn("list") == 0.0

    def test_time_that_passed_anyway_is_not_waited_for(self, folder: Path, clock: Clock) -> None:
        pace(folder, clock).turn("create")
        clock.now += 3.0
        assert pace(folder, clock).turn("create") == pytest.approx(4.5 * MARGIN - 3.0)

    def test_no_pace_never_waits(self) -> None:
        none = NoPace()
        none.hold("create", 60.0)
        assert none.turn("create") == none.turn("create") == 0.0

    @given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 9)), min_size=2, max_size=12))
    def test_any_order_of_callers_keeps_the_interval(
        self, tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[int, float]]
    ) -> None:
        clock, folder = Clock(), tmp_path_factory.mktemp("turns")
        paces = [pace(folder, clock) for _ in range(3)]
        times = []
        for who, passed in calls:
            clock.now += passed
            paces[who].turn("search")
            times.append(clock.now)
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert min(gaps) >= 2.0

    def test_threads_never_share_a_turn(self, folder: Path) -> None:
        taken: list[float] = []
        one = SharedPace("a", folder=folder, clock=lambda: 0.0, sleep=lambda _: None)

        def reach() -> None:
            taken.append(one._take("create"))

        threads = [threading.Thread(target=reach) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == pytest.approx([0.0] + [4.5 * MARGIN] * 7)

    def test_processes_never_share_a_turn(self, folder: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from providers.vastai.pacing import SharedPace\n"
            "print(SharedPace('a', folder=Path(sys.argv[1]), clock=lambda: 0.0)._take('create'))"
        )
        command = [sys.executable, "-c", code, str(folder)]
        children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
        waits = sorted(float(child.communicate(timeout=30)[0]) for child in children)
        assert waits == pytest.approx([0.0, 4.5 * MARGIN, 4.5 * MARGIN])


class TestHold:
    def test_everybody_waits_for_a_hold(self, folder: Path, clock: Clock) -> None:
        pace(folder, clock).hold("create", 12.0)
        assert pace(folder, clock).turn("create") == pytest.approx(12.0)

    def test_a_shorter_hold_does_not_shorten_a_longer_one(self, folder: Path, clock: Clock) -> None:
        both = pace(folder, clock)
        both.hold("create", 12.0)
        both.hold("create", 1.0)
        assert both.turn("create") == pytest.approx(12.0)

    def test_a_time_far_ahead_binds_nobody(self, folder: Path, clock: Clock) -> None:
        pace(folder, Clock(now=clock.now + 10_000)).turn("create")
        both = pace(folder, clock)
        assert both.turn("create") == 0.0
        assert both.turn("create") == pytest.approx(4.5 * MARGIN)


class TestTheFile:
    @pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"create": "soon"}', '{"create": null}'])
    def test_a_corrupt_file_is_written_anew(self, folder: Path, clock: Clock, text: str) -> None:
        both = pace(folder, clock)
        both._file.write_text(text)
        assert both.turn("create") == 0.0
        assert both.turn("create") > 0

    def test_it_holds_no_key(self, folder: Path, clock: Clock) -> None:
        pace(folder, clock, "the-key").turn("create")
        assert all("the-key" not in f"{p.name} {p.read_text()}" for p in folder.iterdir())

    def test_it_is_replaced_in_one_step(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = folder / "x.json"
        replace_text(path, "old")

        def cut(_self: Path, _target: Path) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Path, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            replace_text(path, "new")
        assert path.read_text() == "old"


class TestAFullDisk:
    @pytest.fixture
    def full(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """Nothing can be written, and no file made."""

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_text", refuse)
            patch.setattr(pacing.FileLock, "acquire", refuse)
            yield folder

    def test_turns_are_still_kept(self, full: Path, clock: Clock) -> None:
        one = pace(full, clock)
        assert one.turn("create") == 0.0
        assert one.turn("list") == 0.0
        assert one.turn("create") == pytest.approx(4.5 * MARGIN)
        one.hold("search", 12.0)
        assert one.turn("search") == pytest.approx(12.0)

    def test_what_was_written_before_still_binds(
        self, folder: Path, clock: Clock, request: pytest.FixtureRequest
    ) -> None:
        pace(folder, clock).turn("create")
        request.getfixturevalue("full")
        assert pace(folder, clock).turn("create") == pytest.approx(4.5 * MARGIN)

    def test_threads_never_share_a_turn(self, full: Path) -> None:
        one = SharedPace("a", folder=full, clock=lambda: 0.0, sleep=lambda _: None)
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(one._take, ["create"] * 8))
        assert sorted(taken) == pytest.approx([0.0] + [4.5 * MARGIN] * 7)

    def test_afterwards_all_know_again(self, folder: Path, clock: Clock) -> None:
        one = pace(folder, clock)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pacing, "replace_text", _refuse)
            one.turn("create")
        assert pace(folder, clock).turn("create") == 0.0
        one.turn("list")
        assert one._unwritten == {}
        assert pace(folder, clock).turn("create") > 0


def _refuse(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class TestTheFolder:
    @pytest.fixture(autouse=True)
    def _bare(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("AGENT_DOCKER_RUN_DIR", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def test_it_is_made_for_this_user_alone(self, tmp_path: Path) -> None:
        made = shared_folder()
        assert made == tmp_path / f"agent-docker-{os.getuid()}" == shared_folder()
        assert made.stat().st_mode & 0o777 == 0o700

    def test_without_a_runtime_folder_it_is_a_temporary_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        monkeypatch.setattr(pacing.tempfile, "gettempdir", lambda: str(tmp_path / "t"))
        assert shared_folder() == tmp_path / "t" / f"agent-docker-{os.getuid()}"

    def test_another_one_can_be_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(tmp_path / "a" / "b"))
        assert shared_folder() == tmp_path / "a" / "b"
        assert SharedPace("a")._file.parent == tmp_path / "a" / "b"

    def test_one_that_others_may_read_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        open_one = tmp_path / "open"
        open_one.mkdir(mode=0o755)
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(open_one))
        with pytest.raises(SettingsError, match="this user alone"):
            shared_folder()

    def test_one_of_somebody_else_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shared_folder()
        mine = os.getuid()
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(shared_folder()))
        monkeypatch.setattr(pacing.os, "getuid", lambda: mine + 1)
        with pytest.raises(SettingsError, match="this user alone"):
            shared_folder()

    def test_a_link_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        target = tmp_path / "target"
        target.mkdir(mode=0o700)
        (tmp_path / "link").symlink_to(target)
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(tmp_path / "link"))
        with pytest.raises(SettingsError, match="this user alone"):
            shared_folder()

    def test_a_file_in_its_place_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(tmp_path / "file"))
        with pytest.raises(SettingsError, match="cannot be used"):
            shared_folder()
