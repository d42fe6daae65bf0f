"""One update asks Vast.ai once, however many processes it has, and they never collide."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from providers.vastai import session as module
from providers.vastai.errors import Ambiguous, NoSuchOffer, Unavailable
from providers.vastai.pacing import process_lock
from providers.vastai.session import LISTING_LAG, current_update, rent_lock, rent_locks
from tests.unit.test_vastai_cloud import Clock, FakeCloud, label, wanted

A1 = label("gpu-a1")


class TestOneListing:
    def test_many_callers_and_processes_list_once(self, cloud: FakeCloud) -> None:
        cloud.add(501)
        shards = [cloud.session() for _ in range(4)]
        found: list[list[int]] = []
        threads = [
            threading.Thread(target=lambda s=shard: found.append([i.id for i in s.instances()]))
            for shard in shards * 3
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [[501]] * 12
        assert cloud.count("list") == 1

    def test_another_update_lists_again(self, cloud: FakeCloud) -> None:
        cloud.session("one").instances()
        cloud.add(501)
        assert [item.id for item in cloud.session("two").instances()] == [501]

    def test_what_the_update_destroyed_is_gone_for_all(self, cloud: FakeCloud) -> None:
        cloud.add(501)
        cloud.add(502, label=label("gpu-b2"))
        shards = [cloud.session(), cloud.session()]
        shards[0].instances()
        shards[0].destroyed(501)
        assert [item.id for item in shards[1].instances()] == [502]
        assert shards[1].labelled(A1) == []
        assert shards[1].labelled(A1, fresh=True) == []

    def test_a_fresh_listing_is_asked_for(self, cloud: FakeCloud) -> None:
        one = cloud.session()
        one.instances()
        cloud.add(501)
        assert one.labelled(A1) == []
        assert [item.id for item in one.labelled(A1, fresh=True)] == [501]
        assert [item.id for item in one.instances(fresh=True)] == [501]
        assert [item.id for item in one.labelled(A1)] == [501]

    def test_a_failed_listing_is_not_remembered(self, cloud: FakeCloud) -> None:
        cloud.add(501)
        cloud.faults["list"] = ["503"] * 4
        one = cloud.session()
        with pytest.raises(Unavailable):
            one.instances()
        assert [item.id for item in one.instances()] == [501]

    def test_nothing_secret_is_kept(self, cloud: FakeCloud) -> None:
        cloud.add(501)
        cloud.session().instances()
        cloud.session().choice(wanted())
        text = "".join(path.read_text() for path in cloud.folder.iterdir())
        assert "501" in text
        assert "canary" not in text

    @pytest.mark.parametrize("text", ["", "{", "[]", '"x"'])
    def test_a_broken_file_is_begun_anew(self, cloud: FakeCloud, text: str) -> None:
        cloud.add(501)
        one = cloud.session()
        one._file.write_text(text)
        assert [item.id for item in one.instances()] == [501]

    def test_knowledge_ends_with_its_lifetime(self, cloud: FakeCloud) -> None:
        one = cloud.session()
        one.instances()
        cloud.add(501)
        cloud.clock.now += 3599
        assert one.instances() == []
        cloud.clock.now += 1
        assert [item.id for item in one.instances()] == [501]


class TestOneSearch:
    def test_shards_search_once_a_wish(self, cloud: FakeCloud) -> None:
        for shard in (cloud.session(), cloud.session()):
            shard.choice(wanted())
            shard.choice(wanted(exclude_machines=frozenset({101})))
        assert cloud.count("search") == 1
        cloud.session().choice(wanted(disk_gb=80.0))
        assert cloud.count("search") == 2

    def test_an_offer_is_given_out_once(self, cloud: FakeCloud) -> None:
        first, second = cloud.session(), cloud.session()
        assert first.take(7001)
        assert not second.take(7001)
        left = second.choice(wanted())
        assert 7001 not in [offer.id for offer in left.ranked]
        assert [no.offer for no in left.refused] == [7001]

    def test_threads_never_take_the_same_offer(self, cloud: FakeCloud) -> None:
        shards = [cloud.session() for _ in range(8)]
        taken: list[bool] = []
        threads = [
            threading.Thread(target=lambda s=shard: taken.append(s.take(7001))) for shard in shards
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [False] * 7 + [True]

    def test_machines_where_one_died_come_last(self, cloud: FakeCloud) -> None:
        one = cloud.session()
        assert one.choice(wanted()).ranked[0].machine_id == 101
        one.destroyed(400, avoid_machine=101)
        machines = [offer.machine_id for offer in cloud.session().choice(wanted()).ranked]
        assert machines == [102, 103, 104, 105, 106, 101]


class TestRenting:
    def renting(self, cloud: FakeCloud, update: str, error: BaseException | None = None) -> bool:
        with cloud.session(update).renting(A1) as unsure:
            if error is not None:
                raise error
        return unsure

    def test_nobody_rented_before(self, cloud: FakeCloud) -> None:
        cloud.session().instances()
        assert not self.renting(cloud, "one")

    def test_a_renting_after_the_listing_makes_unsure(self, cloud: FakeCloud) -> None:
        cloud.session("one").instances()
        assert not self.renting(cloud, "two")
        assert self.renting(cloud, "one")

    @pytest.mark.parametrize(("later", "unsure"), [(LISTING_LAG, True), (LISTING_LAG + 0.1, False)])
    def test_a_renting_before_it_does_while_the_list_may_lag(
        self, cloud: FakeCloud, *, later: float, unsure: bool
    ) -> None:
        self.renting(cloud, "one")
        cloud.clock.now += later
        cloud.session("two").instances()
        cloud.clock.now += 100
        assert self.renting(cloud, "two") is unsure

    @pytest.mark.parametrize("error", [Ambiguous("?"), KeyboardInterrupt(), OSError()])
    def test_a_renting_in_doubt_makes_unsure_for_good(
        self, cloud: FakeCloud, error: BaseException
    ) -> None:
        with pytest.raises(type(error)):
            self.renting(cloud, "one", error)
        cloud.clock.now += 1000
        cloud.session("two").instances()
        assert self.renting(cloud, "two")
        cloud.clock.now += 1000
        cloud.session("three").instances()
        assert not self.renting(cloud, "three")

    def test_a_renting_that_surely_failed_does_not(self, cloud: FakeCloud) -> None:
        with pytest.raises(NoSuchOffer):
            self.renting(cloud, "one", NoSuchOffer("none"))
        cloud.clock.now += 1000
        cloud.session("two").instances()
        assert not self.renting(cloud, "two")

    def test_a_full_disk_does_not_cost_the_machine(
        self, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(_path: Path, _text: str) -> None:
            raise OSError(28, "No space left on device")

        with cloud.session().renting(A1):
            monkeypatch.setattr(module, "replace_text", full)
        monkeypatch.undo()
        assert self.renting(cloud, "two")

    def test_a_killed_process_frees_the_lock_and_leaves_the_doubt(self, cloud: FakeCloud) -> None:
        code = (
            "import sys, time; from pathlib import Path\n"
            "from providers.vastai.client import VastClient\n"
            "from providers.vastai.credentials import Credentials\n"
            "from providers.vastai.session import UpdateSession\n"
            "client = VastClient(Credentials(key='k', url='http://127.0.0.1:9', paced=False))\n"
            "session = UpdateSession(client, update='x', folder=Path(sys.argv[1]))\n"
            "with session.renting(sys.argv[2]):\n"
            "    print('held', flush=True); time.sleep(60)\n"
        )
        command = [sys.executable, "-c", code, str(cloud.folder), A1]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"held\n"
            entered = threading.Event()
            found: list[bool] = []

            def wait() -> None:
                found.append(self.renting(cloud, "one"))
                entered.set()

            threading.Thread(target=wait).start()
            assert not entered.wait(0.2)
            os.kill(child.pid, signal.SIGKILL)
            assert entered.wait(30)
        assert found == [True]

    def test_locks_are_by_label(self, cloud: FakeCloud) -> None:
        with cloud.session().holding(A1), cloud.session().holding(label("gpu-b2")):
            pass
        names = {rent_lock(A1, cloud.folder), rent_lock(label("gpu-b2"), cloud.folder)}
        assert set(rent_locks(cloud.folder)) == names


class TestFiles:
    def test_stale_ones_are_swept_and_the_pace_stays(self, cloud: FakeCloud) -> None:
        cloud.clock.now = 1_900_000_000.0
        old = ["update-aa.json", "update-aa.json.lock", "rent-aa.mark", "rent-aa.lock", "pace-a"]
        for name in old:
            (cloud.folder / name).touch()
            os.utime(cloud.folder / name, (1.0, 1.0))
        cloud.session("new")
        assert {path.name for path in cloud.folder.iterdir()} == {"pace-a"}

    def test_a_lock_stays_for_a_day_and_while_it_is_held(self, cloud: FakeCloud) -> None:
        cloud.clock.now = 1_900_000_000.0
        times = {"rent-aa.lock": 23 * 3600.0, "rent-bb.lock": 25 * 3600.0, "rent-cc.lock": 1e9}
        for name in times:
            (cloud.folder / name).touch()
        with process_lock(cloud.folder / "rent-cc.lock"):
            for name, age in times.items():
                then = cloud.clock.now - age
                os.utime(cloud.folder / name, (then, then))
            cloud.session("new")
            left = {path.name for path in cloud.folder.iterdir()}
            assert left == {"rent-aa.lock", "rent-cc.lock"}
        assert process_lock(cloud.folder / "rent-bb.lock").acquire(blocking=False)

    def test_what_cannot_be_swept_is_left(self, cloud: FakeCloud) -> None:
        cloud.clock.now = 1_900_000_000.0
        (cloud.folder / "update-aa.json").mkdir()
        os.utime(cloud.folder / "update-aa.json", (1.0, 1.0))
        cloud.session("new").instances()

    def test_the_shared_folder_is_the_default(
        self, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENT_DOCKER_RUN_DIR", str(cloud.folder))
        session = module.UpdateSession(cloud.client(), update="x", clock=Clock())
        assert session._file.parent == cloud.folder


class TestWhoseUpdate:
    def test_it_is_the_engine_and_its_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["x", "-v=9", "127.0.0.1:4711"])
        assert current_update() == f"{module._engine(os.getppid())} -v=9 127.0.0.1:4711"

    @pytest.mark.parametrize(
        ("stat", "engine"),
        [
            ("77 (pulumi-resource) S 42 1 1", 42),
            ("77 (pulumi) S 42 1 1", 77),
            ("77 (odd) name) S 42", 77),
            (None, 77),
        ],
    )
    def test_the_start_script_between_is_looked_through(
        self, tmp_path: Path, stat: str | None, engine: int
    ) -> None:
        if stat is not None:
            (tmp_path / "77").mkdir()
            (tmp_path / "77" / "stat").write_text(stat)
        assert module._engine(77, tmp_path) == engine
