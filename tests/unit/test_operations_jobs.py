"""What goes between the service and its child: documents that come back as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.automation import CommandResult, EngineEvent, StepEventMetadata
from pulumi.automation.errors import CommandError
from pulumi.automation.events import DiagnosticEvent, OpType, ResourcePreEvent
from pydantic import ValidationError

from contracts.fence import OVERTAKEN, SUPERSEDED
from contracts.program import INSTANCE_TYPE
from contracts.slots import UNCLEAR
from operations.engine_events import translate
from operations.errors import Conflict, Failed, LeaseLost, OperationError, Unclear
from operations.failures import failure, why
from operations.jobs import (
    EVENTS,
    ErrorEvent,
    Event,
    Job,
    MessageEvent,
    PhaseEvent,
    ResourceEvent,
    ResultEvent,
)

text = st.text(max_size=40)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(PhaseEvent, event=st.just("phase"), name=text),
    st.builds(MessageEvent, event=st.just("message"), severity=text, text=text, urn=text),
    st.builds(
        ResourceEvent,
        event=st.just("resource"),
        phase=st.sampled_from(["begin", "end", "failed"]),
        op=text,
        urn=text,
        type=text,
    ),
    st.builds(ResultEvent, event=st.just("result"), data=st.dictionaries(text, plain, max_size=3)),
    st.builds(ErrorEvent, event=st.just("error"), kind=text, message=text, hint=st.none() | text),
)
URN = f"urn:pulumi:gpu::agent-docker::agent-docker:gpu:GpuFleet${INSTANCE_TYPE}::gpu-a"
ROOT = "urn:pulumi:gpu::agent-docker::pulumi:pulumi:Stack::agent-docker-gpu"


@given(events)
def test_an_event_comes_back_as_it_was_on_one_line(event: Event) -> None:
    line = event.model_dump_json()
    assert "\n" not in line
    assert EVENTS.validate_json(line) == event


@given(st.dictionaries(text, plain, max_size=4), st.none() | st.lists(text).map(tuple))
def test_a_job_comes_back_as_it_was(
    settings: dict[str, object], named: tuple[str, ...] | None
) -> None:
    job = Job(kind="apply", stack="gpu", work_dir="/w", settings=settings, expendable=named)
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValidationError):
        Job.model_validate({"kind": "format", "stack": "gpu", "work_dir": "/w"})
    with pytest.raises(ValidationError):
        Job.model_validate({"kind": "apply", "stack": "gpu", "work_dir": "/w", "force": True})
    with pytest.raises(ValidationError):
        EVENTS.validate_json('{"event": "phase", "name": "x", "more": 1}')


def diagnostic(**fields: object) -> EngineEvent:
    told = {"message": "m", "color": "never", "severity": "error", "urn": URN} | fields
    return EngineEvent(sequence=1, timestamp=1, diagnostic_event=DiagnosticEvent(**told))


def test_what_the_engine_says_is_passed_on_but_for_its_own_noise() -> None:
    said = translate(diagnostic(message=" too dear \n"))
    assert said == MessageEvent(severity="error", text="too dear", urn=URN)
    assert said.name == "gpu-a"
    for noise in (
        {"message": "  "},
        {"severity": "debug"},
        {"ephemeral": True},
        {"message": "warning: using pulumi-language-python from $PATH at /x"},
    ):
        assert translate(diagnostic(**noise)) is None


def test_a_step_is_told_with_its_resource() -> None:
    meta = StepEventMetadata(
        op=OpType.CREATE, urn=URN, type=INSTANCE_TYPE, provider="p", logical=True
    )
    event = EngineEvent(sequence=1, timestamp=1, resource_pre_event=ResourcePreEvent(meta))
    seen = translate(event)
    assert isinstance(seen, ResourceEvent)
    assert (seen.phase, seen.op, seen.name) == ("begin", "create", "gpu-a")
    assert translate(EngineEvent(sequence=1, timestamp=1)) is None


def message(said: str, urn: str = URN) -> MessageEvent:
    return MessageEvent(severity="error", text=said, urn=urn)


def test_the_reason_is_the_providers_with_its_slot_and_hint() -> None:
    said = [
        message("Exception calling application: none fits\nhint: raise the cap"),
        message("Exception calling application: none fits\nhint: raise the cap"),
        message("update failed", ""),
    ]
    assert why("code: 255", said) == ("gpu-a: none fits", "raise the cap")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (f"{SUPERSEDED}: it has number 1, the last update had 2", LeaseLost),
        (f"{OVERTAKEN}: it has had 4 updates, 3 when this one was planned", Conflict),
        (f"{UNCLEAR}: gpu-x lives but is in no slot of the last update", Unclear),
        ("no offer of RTX 4090 on Vast.ai", Failed),
    ],
)
def test_refusals_of_the_program_that_callers_branch_on(
    said: str, kind: type[OperationError]
) -> None:
    error = CommandError(CommandResult(stdout="", stderr="error: update failed", code=255))
    found = failure(error, [message(f"error: {said}", ROOT)])
    assert type(found) is kind
    assert found.message == said


def test_the_lines_of_a_settings_error_stay_together() -> None:
    said = [
        message("error: Pulumi.gpu.yaml is not valid:\n  fleet.foo: is not a setting", ROOT),
        message("an unhandled error occurred: program exited with non-zero exit code: 1", ROOT),
    ]
    reason, hint = why("", said)
    assert reason == "Pulumi.gpu.yaml is not valid:\n  fleet.foo: is not a setting"
    assert hint is None


def test_without_events_the_engines_error_lines_are_the_reason() -> None:
    assert why("stdout: x\nstderr: y\nerror: no backend\nerror: no backend", []) == (
        "no backend",
        None,
    )
    assert why("only this\n\n", []) == ("only this", None)
    assert why("", []) == ("no reason was given", None)
    assert why("", [message("update failed", "")]) == ("update failed", None)
