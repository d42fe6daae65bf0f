"""The autoscaler's settings: where they come from, and one clear message for what is wrong."""

from pathlib import Path

import pytest

from autoscaler.settings import ENVIRONMENT, AutoscalerSettings, load, redis_url
from contracts.errors import SettingsError
from tests.unit.autoscaler_fakes import fleet_settings

SECRET = "c4nary-pw"  # noqa: S105 - that is what it is
SIGNAL = "signal: {kind: redis-list, queue: q, url: 'redis://:" + SECRET + "@h:6379/0'}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "autoscaler.yaml"


def loaded(file: Path, text: str, **env: str) -> AutoscalerSettings:
    file.write_text(text)
    return load({"AGENT_DOCKER_AUTOSCALER_FILE": str(file), **env})


def refusal(file: Path, text: str, **env: str) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(file, text, **env)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_the_plans_values_are_the_defaults() -> None:
    settings = load({})
    assert (settings.min_instances, settings.max_instances) == (1, 5)
    assert (settings.scale_up_threshold, settings.scale_down_threshold) == (100, 10)
    assert settings.check_interval == 60
    assert (settings.policy, settings.step, settings.stack) == ("threshold", "auto", "gpu")
    assert settings.signal.kind == "redis-list"


def test_a_file_is_read_and_the_environment_wins(file: Path) -> None:
    text = "policy: threshold\nminInstances: 2\nmaxInstances: 9\nstep: auto\n" + SIGNAL
    settings = loaded(file, text, MAX_INSTANCES="7", MIN_INSTANCES="", SCALE_UP_THRESHOLD="50")
    assert (settings.min_instances, settings.max_instances) == (2, 7)
    assert (settings.scale_up_threshold, settings.step) == (50, "auto")
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_each_of_the_plans_names(name: str) -> None:
    given = {"SCALING_CHECK_INTERVAL": 5000, "SCALE_UP_THRESHOLD": 50}.get(name, 5)
    assert load({name: str(given)}).model_dump()[ENVIRONMENT[name]] == given


def test_an_empty_file_is_the_defaults(file: Path) -> None:
    assert loaded(file, "") == loaded(file, "# nothing\n") == load({})


# Bad input.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("policy: magic\n", "autoscaler.policy: must be one of threshold, got 'magic'"),
        ("signal: {kind: kafka, queue: q}\n", "autoscaler.signal: `kind` must be bullmq"),
        ("minInstances: 6\n", "minInstances must not be above maxInstances, got 6 and 5"),
        ("scaleDownThreshold: 101\n", "scaleDownThreshold must not be above scaleUpThreshold"),
        ("checkIntervalMs: 0\n", "autoscaler.checkIntervalMs: Input should be greater"),
        ("healthIntervalSeconds: 0\n", "autoscaler.healthIntervalSeconds: Input should be greater"),
        ("minInstances: true\n", "autoscaler.minInstances: must not be true or false"),
        ("minInstances: -1\n", "autoscaler.minInstances: Input should be greater"),
        ("maxInstances: many\n", "autoscaler.maxInstances: Input should be a valid integer"),
        ("step: 2\n", "autoscaler.step: Input should be 1 or 'auto'"),
        ("dailyBudget: 0\n", "autoscaler.dailyBudget: Input should be greater"),
        ("hourlyBudget: .nan\n", "autoscaler.hourlyBudget: Input should be a finite number"),
        ("router: ftp://x\n", "autoscaler.router: String should match"),
        ("listen: nowhere\n", "autoscaler.listen: String should match"),
        ("maxInstance: 3\n", "autoscaler.maxInstance: is not a setting"),
    ],
)
def test_what_is_wrong_is_named(file: Path, text: str, told: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file} is not valid:\n")
    assert told in message


def test_every_mistake_is_named_at_once(file: Path) -> None:
    message = refusal(file, "policy: magic\nminInstances: -1\nboat: 1\n" + SIGNAL)
    for key in ("policy", "minInstances", "boat"):
        assert f"  autoscaler.{key}: " in message


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("text", ["many", "1.5", "1e3", "-"])
def test_a_variable_that_is_no_number_is_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} must be a whole number, got {text!r}$"):
        load({name: text})


def test_a_variable_that_is_out_of_range_is_named(file: Path) -> None:
    message = refusal(file, "", MIN_INSTANCES="-1")
    assert "MIN_INSTANCES" in message
    with pytest.raises(SettingsError, match="SCALING_CHECK_INTERVAL"):
        load({"SCALING_CHECK_INTERVAL": "0"})


def test_the_environment_is_named_without_a_file() -> None:
    with pytest.raises(SettingsError, match=r"^the environment is not valid:\n.*minInstances"):
        load({"MIN_INSTANCES": "9"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\n", "is not YAML: "),
        ("\ta: 1\n", "is not YAML: "),
        ("a: \x01\n", "is not YAML: "),
        ("- 1\n", "must be a mapping of settings, got "),
        ("word\n", "must be a mapping of settings, got "),
        ("minInstances: 1\nminInstances: 2\n", "is not YAML: "),
        ("stack: 2026-99-99\n", "is not YAML: "),
        ("? [a]\n: 1\n", ""),
        ("1: 2\n", ""),
    ],
)
def test_a_file_that_is_no_settings(file: Path, text: str, told: str) -> None:
    assert f"{file} {told}" in refusal(file, text)


@pytest.mark.parametrize(
    "text",
    [
        SIGNAL + "  oops: [\n",
        f"redis://:{SECRET}@h/0\n",
        f"- redis://:{SECRET}@h/0\n",
        f"signal:\n  url: redis://:{SECRET}@h/0\n  url: redis://:{SECRET}@i/0\n",
        f"signal: {{kind: redis-list, queue: q, url: ['{SECRET}']}}\n",
        f"signal: 'redis://:{SECRET}@h/0'\n",
        f"router: 'http://user:{SECRET}@router'\nminInstances: 9\n",
        f"router: 'ftp://user:{SECRET}@router'\n",
    ],
)
def test_no_message_holds_a_secret_of_the_file(file: Path, text: str) -> None:
    assert str(file) in refusal(file, text)


def test_bytes_that_are_no_text_are_no_yaml(file: Path) -> None:
    file.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(SettingsError, match="is not YAML"):
        load({"AGENT_DOCKER_AUTOSCALER_FILE": str(file)})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SettingsError, match=f"{path} cannot be read: "):
            load({"AGENT_DOCKER_AUTOSCALER_FILE": str(path)})


# Redis.


@pytest.mark.parametrize("url", ["redis://h:6379/0", f"rediss://:{SECRET}@h", "unix:///run/r.sock"])
def test_redis_is_where_the_variable_says(url: str) -> None:
    assert redis_url({"REDIS_URL": url}) == url


@pytest.mark.parametrize("url", ["", "h:6379", f"http://:{SECRET}@h", f":{SECRET}@h"])
def test_another_redis_url_is_refused_and_never_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        redis_url({"REDIS_URL": url})
    assert SECRET not in str(caught.value)
    assert str(caught.value).startswith("REDIS_URL must begin" if url else "REDIS_URL is not set")
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa55/c4nary-pw@redis",
        f"redis://:{SECRET}@redis:port",
        f"redis://:12#{SECRET}@redis:6379",
        f"rediss://:{SECRET}@redis?no_such_option=1",
        f"redis://:{SECRET}@redis?socket_timeout=long",
    ],
)
def test_one_that_redis_cannot_use_is_refused_and_never_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        redis_url({"REDIS_URL": url})
    assert str(caught.value).startswith("REDIS_URL is no URL of Redis, expected redis://")
    assert SECRET not in str(caught.value)
    assert "pa55" not in str(caught.value)
    assert "percent-encoded" in (caught.value.hint or "")


def test_none_is_not_set_either() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL is not set"):
        redis_url({})


# Limits.


def settings(**changes: object) -> AutoscalerSettings:
    return AutoscalerSettings.model_validate(changes)


@pytest.mark.parametrize(
    ("ours", "fleet", "limits"),
    [((1, 5), (1, 5), (1, 5)), ((2, 9), (1, 4), (2, 4)), ((0, 3), (2, 9), (2, 3))],
)
def test_the_stacks_own_range_bounds_it_too(
    ours: tuple[int, int], fleet: tuple[int, int], limits: tuple[int, int]
) -> None:
    made = settings(minInstances=ours[0], maxInstances=ours[1])
    found = made.limits(fleet_settings(min=fleet[0], max=fleet[1]))
    assert (found.minimum, found.maximum) == limits


def test_more_than_the_stack_allows_is_never_asked_for() -> None:
    """The program refuses such an update, again and again."""
    found = settings(minInstances=4, maxInstances=9).limits(fleet_settings(min=1, max=3))
    assert (found.minimum, found.maximum) == (3, 3)


def test_the_rest_of_the_limits() -> None:
    made = settings(step="auto", checkIntervalMs=60_000, hourlyBudget=2.5, dailyBudget=20)
    found = made.limits(fleet_settings(selection={"maxPricePerHour": 0.5}))
    assert (found.step, found.stale, found.price) == ("auto", 120, 0.5)
    assert (found.hourly_budget, found.daily_budget) == (2.5, 20)
    assert settings(checkIntervalMs=1000).limits(fleet_settings()).stale == 30
    assert settings(step=1).limits(fleet_settings()).step == "one"
