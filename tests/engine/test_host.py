"""The language host under the real engine: results, failures, signals, and that nothing is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tools import engine

PROGRAMS = Path(__file__).parent / "programs"
DEADLINE_SECONDS = 60.0
Completed = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def pulumi_engine() -> engine.Engine:
    return engine.ensure()


class Stack:
    """The stack `dev` of one program, in folders of its own, run by the command line."""

    def __init__(self, found: engine.Engine, folder: Path, program: str) -> None:
        self.engine = found
        self.project = folder / program
        self.scratch = folder / "scratch"
        for name in ("home", "state", "scratch"):
            (folder / name).mkdir()
        (folder / "passphrase").write_text("correct horse")
        shutil.copytree(PROGRAMS / program, self.project)
        self.env = engine.child_environment(
            found,
            python=Path(sys.executable),
            home=folder / "home",
            backend_url=(folder / "state").as_uri(),
            passphrase_file=folder / "passphrase",
            extra={"TEST_FOLDER": str(self.scratch)},
        )
        assert self.run("stack", "init", "dev").returncode == 0

    def run(self, *arguments: str) -> Completed:
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=DEADLINE_SECONDS)
        return Completed(arguments, process.returncode, output)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [self.engine.pulumi, *arguments, "--non-interactive", "--color", "never"]
        return subprocess.Popen(
            command,
            cwd=self.project,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self) -> Completed:
        return self.run("up", "--yes", "--skip-preview")

    def outputs(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(
            self.run("stack", "output", "--json", "--show-secrets").stdout
        )
        return found

    def resources(self) -> list[str]:
        state = json.loads(self.run("stack", "export").stdout)
        urns = [resource["urn"] for resource in state["deployment"].get("resources", [])]
        return [urn.rpartition("::")[2] for urn in urns]


@pytest.fixture
def stack(pulumi_engine: engine.Engine, tmp_path: Path) -> Callable[[str], Stack]:
    return lambda program: Stack(pulumi_engine, tmp_path, program)


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    """What a test must end even if it fails; each entry is a process of its own making."""
    with ExitStack() as stack:
        yield stack


def test_a_dynamic_resource_lives_and_dies(stack: Callable[[str], Stack]) -> None:
    tiny = stack("tiny")
    assert tiny.run("config", "set", "plain", "visible").returncode == 0
    assert tiny.run("config", "set", "--secret", "secret", "hidden").returncode == 0

    planned = tiny.run("preview")
    assert planned.returncode == 0, planned.stdout
    assert "2 to create" in planned.stdout
    assert "a line of the program" in planned.stdout
    assert "a line on its stderr" in planned.stdout
    assert tiny.resources() == []

    done = tiny.up()
    assert done.returncode == 0, done.stdout
    assert "hidden" not in done.stdout
    assert tiny.resources() == ["tiny-dev", "default", "thing"]
    assert tiny.outputs() == {
        "program": sys.prefix,
        "provider": sys.prefix,
        "plain": "visible",
        "secret": "hidden",
        "root": str(tiny.project),
    }
    assert "2 unchanged" in tiny.up().stdout

    destroyed = tiny.run("destroy", "--yes", "--skip-preview")
    assert destroyed.returncode == 0, destroyed.stdout
    assert tiny.resources() == []


def test_an_exception_shows_the_programs_own_frames(stack: Callable[[str], Stack]) -> None:
    ended = stack("failing").run("preview")
    assert ended.returncode != 0
    assert "before the failure" in ended.stdout
    assert "Program failed with an unhandled exception" in ended.stdout
    assert "line 11, in <module>" in ended.stdout
    assert "line 8, in inner" in ended.stdout
    assert "ValueError: the reason" in ended.stdout
    for foreign in ("child.py", "runpy", "run_in_stack", "exit code"):
        assert foreign not in ended.stdout


def test_a_run_error_is_its_message(stack: Callable[[str], Stack]) -> None:
    ended = stack("refusing").run("preview")
    assert ended.returncode != 0
    assert "error: settings are wrong" in ended.stdout
    assert "hint: mend them" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_another_exit_code_is_named(stack: Callable[[str], Stack]) -> None:
    ended = stack("exiting").run("preview")
    assert ended.returncode != 0
    assert "program exited with non-zero exit code: 7" in ended.stdout


def test_a_missing_program_is_named(stack: Callable[[str], Stack]) -> None:
    tiny = stack("tiny")
    (tiny.project / "__main__.py").unlink()
    ended = tiny.run("preview")
    assert ended.returncode != 0
    assert f"no Python program at `{tiny.project}`" in ended.stdout


@pytest.mark.parametrize("option", ["env", "{project}/env"])
def test_the_virtualenv_of_the_project_runs_program_and_provider(
    stack: Callable[[str], Stack], option: str
) -> None:
    tiny = stack("tiny")
    make_virtualenv(tiny.project / "env")
    use_virtualenv(tiny, option.format(project=tiny.project))
    done = tiny.up()
    assert done.returncode == 0, done.stdout
    outputs = tiny.outputs()
    assert outputs["program"] == outputs["provider"] == str(tiny.project / "env")


def test_a_virtualenv_that_is_none_is_named(stack: Callable[[str], Stack]) -> None:
    tiny = stack("tiny")
    use_virtualenv(tiny, "nowhere")
    ended = tiny.run("preview")
    assert ended.returncode != 0
    assert "runtime option `virtualenv` is 'nowhere'" in ended.stdout
    assert f"python3 -m venv {tiny.project}/nowhere" in ended.stdout


def test_about_knows_python_and_packages(stack: Callable[[str], Stack]) -> None:
    printed = stack("tiny").run("about", "--json").stdout
    about = json.loads(printed[printed.index("{") :])  # a warning comes first
    assert about["runtime"]["executable"] == sys.executable
    assert about["runtime"]["version"] == sys.version.split()[0]
    assert {"name", "version"} <= about["dependencies"][0].keys()


def test_a_mandatory_violation_fails_the_preview(stack: Callable[[str], Stack]) -> None:
    tiny = stack("tiny")
    pack = str(PROGRAMS / "pack")
    allowed = tiny.run("preview", "--policy-pack", pack)
    assert allowed.returncode == 0, allowed.stdout
    tiny.env["TEST_NAME"] = "forbidden"
    refused = tiny.run("preview", "--policy-pack", pack)
    assert refused.returncode != 0
    assert "[mandatory]  no-forbidden" in refused.stdout


def test_an_interrupted_update_records_what_was_being_created(
    stack: Callable[[str], Stack], cleanup: ExitStack
) -> None:
    slow = stack("slow")
    up = cleanup.enter_context(slow.start("up", "--yes", "--skip-preview"))
    cleanup.callback(up.kill)
    provider = number_in(slow.scratch / "provider")
    program, host = numbers_in(slow.scratch / "program")
    up.send_signal(signal.SIGINT)
    (slow.scratch / "go").touch()
    output, _ = up.communicate(timeout=DEADLINE_SECONDS)
    assert up.returncode != 0
    assert_quiet(output)
    assert "first" in slow.resources()
    for pid in (program, host, provider):
        wait_until_gone(pid, seconds=5)


def test_an_interrupted_program_may_clean_up(
    stack: Callable[[str], Stack], cleanup: ExitStack
) -> None:
    busy = stack("busy")
    up = cleanup.enter_context(busy.start("up", "--yes", "--skip-preview"))
    cleanup.callback(up.kill)
    program, host = numbers_in(busy.scratch / "program")
    up.send_signal(signal.SIGINT)
    output, _ = up.communicate(timeout=DEADLINE_SECONDS)
    assert up.returncode != 0
    assert_quiet(output)
    assert (busy.scratch / "cleaned").exists()
    for pid in (program, host):
        wait_until_gone(pid, seconds=5)


def test_a_program_ends_with_its_host(stack: Callable[[str], Stack], cleanup: ExitStack) -> None:
    busy = stack("busy")
    up = cleanup.enter_context(busy.start("up", "--yes", "--skip-preview"))
    cleanup.callback(up.kill)
    program, host = numbers_in(busy.scratch / "program")
    os.kill(host, signal.SIGKILL)
    wait_until_gone(program, seconds=5)
    up.communicate(timeout=DEADLINE_SECONDS)
    assert up.returncode != 0


def test_nothing_but_a_provider_at_work_outlives_the_engine(
    stack: Callable[[str], Stack], cleanup: ExitStack
) -> None:
    slow = stack("slow")
    up = cleanup.enter_context(slow.start("up", "--yes", "--skip-preview"))
    provider = number_in(slow.scratch / "provider")
    # The SDK's provider server never ends by itself.
    cleanup.callback(os.kill, provider, signal.SIGKILL)
    cleanup.callback(up.kill)
    program, host = numbers_in(slow.scratch / "program")
    up.kill()
    up.wait(DEADLINE_SECONDS)
    for pid in (program, host):
        wait_until_gone(pid, seconds=5)
    assert is_running(provider)


def make_virtualenv(folder: Path) -> None:
    """Make a virtual environment that sees the packages of the one running this test."""
    command = [sys.executable, "-m", "venv", "--without-pip", folder]
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
    (packages,) = folder.glob("lib/python*/site-packages")
    import pulumi  # noqa: PLC0415 - only to find its folder

    (packages / "outer.pth").write_text(str(Path(pulumi.__file__).parents[1]))


def use_virtualenv(stack: Stack, option: str) -> None:
    runtime = f"runtime:\n  name: python\n  options:\n    virtualenv: {option}\n"
    (stack.project / "Pulumi.yaml").write_text(f"name: {stack.project.name}\n{runtime}")


def assert_quiet(output: str) -> None:
    for noise in ("Traceback", "KeyboardInterrupt", "exit code", "signal"):
        assert noise not in output


def number_in(path: Path) -> int:
    return numbers_in(path)[0]


def numbers_in(path: Path) -> list[int]:
    """Wait for a file and return the process ids in it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return [int(number) for number in text.split()]
        time.sleep(0.02)
    pytest.fail(f"{path} was not written within {DEADLINE_SECONDS:.0f} s")


def wait_until_gone(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} is alive {seconds} s later"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether a process is alive; one that is dead and not yet collected is not."""
    asked = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()[:1] not in ("", "Z")
