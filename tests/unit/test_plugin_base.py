"""The base of the offline plugins: values on the wire, refusals, differences, failures, its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import rpc
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import provider_pb2_grpc, status_pb2

from localcloud.plugins import diffs, values
from localcloud.plugins.config import settings
from localcloud.plugins.engine_log import EngineLog
from localcloud.plugins.model import (
    FAILED,
    Call,
    Found,
    Function,
    InitFailedError,
    Made,
    Old,
    Plugin,
    PluginError,
    ResourceType,
)
from localcloud.plugins.servicer import ProviderServicer
from localcloud.plugins.shapes import Fields, names, refusals
from localcloud.plugins.values import UNKNOWN, Properties, Values, decode, encode

BIN = Path(__file__).resolve().parents[2] / "localcloud/plugins/bin"
SCRIPTS = sorted(path.name for path in BIN.iterdir())
URN = "urn:pulumi:dev::project::toy:index/parent:Parent$toy:index:Toy::my-toy"
SECRET = "hunter2-hunter2"  # noqa: S105 - made up
TOY: Fields = {
    "name": "string",
    "size": "integer",
    "mode": "string",
    "labels": {"*": "string"},
    "parts": [{"id!": "string", "count": "integer"}],
    "fate": "string",
}


def create(call: Call[str], inputs: Properties) -> Made:
    made = Made("id-1", {"color": call.client})
    if inputs.get("fate") == "refused":
        raise PluginError(f"no: {inputs['mode']}")
    if inputs.get("fate") == "broken":
        raise ZeroDivisionError(f"oops {inputs['mode']}")
    if inputs.get("fate") == "half":
        raise InitFailedError(made, f"made, but {inputs['mode']}")
    return made


def read(call: Call[str], old: Old) -> Found | None:
    del call
    if old.id == "gone":
        return None
    found: Values = {"name": "found", "size": 2, "color": "grey", "mode": None}
    return Found(old.id, found, {"name": "found", "size": 2})


def update(call: Call[str], old: Old, inputs: Properties) -> Values:
    del old, inputs
    return {"color": f"new {call.client}"}


def delete(call: Call[str], old: Old) -> None:
    del call
    if old.outputs.get("fate") == "stuck":
        raise PluginError(f"cannot delete {old.outputs['mode']}")


def look(call: Call[str], args: Properties) -> Values:
    del call
    return {"seen": args["at"]}


TYPE = ResourceType[str](
    token="toy:index:Toy",  # noqa: S106 - a type's name
    inputs=TOY,
    create=create,
    read=read,
    update=update,
    delete=delete,
    replaces=frozenset({"mode"}),
    delete_before_replace=True,
    taints=True,
    computed=frozenset({"color"}),
    defaults={"size": 1},
    autoname="name",
)
PLUGIN = Plugin[str](
    name="toy",
    version="1.2.3",
    config={"paint!": "string", "auth": [{"password": "string"}]},
    configure=lambda given: values.text_of(given, "paint"),
    types=(TYPE,),
    functions=(Function[str]("toy:index:look", {"at!": "string"}, look),),
)


@pytest.fixture
def stub() -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    server = grpc.server(ThreadPoolExecutor(4))
    servicer = ProviderServicer(PLUGIN, EngineLog())
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            toy = provider_pb2_grpc.ResourceProviderStub(channel)
            toy.Configure(proto.ConfigureRequest(args=encode({"paint": "red"})))
            yield toy
    finally:
        server.stop(None).wait()


_texts = st.text(max_size=8)
_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=10,
)


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(_texts, _plain, max_size=4))
def test_values_survive_the_wire(sent: dict[str, Any]) -> None:
    got = decode(encode(sent))
    assert got == _without_nulls(sent)
    assert not got.secret


def test_unknowns_and_secrets_are_those_of_the_sdk() -> None:
    sent = encode({"plain": 1.5, "later": [UNKNOWN], "key": {"inner": SECRET}}, ["key"])
    assert sent["later"][0] == rpc.UNKNOWN
    assert sent["key"][rpc._special_sig_key] == rpc._special_secret_sig
    got = decode(sent)
    assert got == {"plain": 1.5, "later": [UNKNOWN], "key": {"inner": SECRET}}
    assert got.secret == {"key"}
    assert SECRET in got.words
    assert values.has_unknown(got["later"])


def test_a_secret_deep_within_marks_its_property() -> None:
    struct = encode({"envs": ["A=1"]})
    mark = {rpc._special_sig_key: rpc._special_secret_sig, "value": f"B={SECRET}"}
    struct["envs"].add_struct().update(mark)
    got = decode(struct)
    assert got == {"envs": ["A=1", f"B={SECRET}"]}
    assert got.secret == {"envs"}


def test_texts_lose_their_secrets() -> None:
    shown = values.hide(f"{SECRET}! and {SECRET}-long", [SECRET, f"{SECRET}-long", "", "an"])
    assert shown == "[secret]! and [secret]"
    assert values.hide("it said hunter2, line", ["TOKEN=hunter2", "a\nline\n"]) == (
        "it said [secret], [secret]"
    )


@pytest.mark.parametrize(
    ("given_", "path", "words"),
    [
        ({"nmae": "x"}, "nmae", "has no input nmae; did you mean name?"),
        ({"zzz": 1}, "zzz", "it takes fate, labels, mode, name, parts, size"),
        ({"size": "1"}, "size", "size is a string, expected a whole number"),
        ({"size": True}, "size", "size is a boolean"),
        ({"parts": [{"count": 1}]}, "parts[0].id", "requires parts[0].id"),
        ({"parts": [{"id": "a", "cuont": 1}]}, "parts[0].cuont", "did you mean parts[0].count?"),
        ({"parts": {}}, "parts", "expected a list"),
        ({"labels": {"any": 1}}, "labels.any", "expected a string"),
        ({"labels": []}, "labels", "expected an object"),
    ],
)
def test_inputs_that_the_sdk_does_not_have_are_refused(
    given_: Values, path: str, words: str
) -> None:
    (found,) = refusals(given_, TOY, "toy:index:Toy")
    assert found.path == path
    assert words in found.reason


def test_unknown_inputs_of_a_preview_are_taken() -> None:
    assert refusals({"size": UNKNOWN, "parts": [{"id": UNKNOWN}]}, TOY, "toy") == []
    assert names({"a!": "any", "b": "any"}) == {"a", "b"}


def test_settings_come_as_json_in_strings() -> None:
    sent = encode({"auth": f'[{{"password": "{SECRET}"}}]', "paint": "1", "version": "5"}, ["auth"])
    got = settings(decode(sent), PLUGIN.config)
    assert got == {"auth": [{"password": SECRET}], "paint": "1"}
    assert SECRET in got.words


def old(outputs: Values, inputs: Values | None = None) -> Old:
    return Old("id-1", Properties(outputs), Properties(outputs if inputs is None else inputs))


@pytest.mark.parametrize(
    ("before", "news", "wanted"),
    [
        (old({"size": 1}), {"size": 1}, {}),
        (old({"size": 1}), {"size": 2}, {"size": "update"}),
        (old({"size": 2}, {"size": 1}), {"size": 1}, {"size": "update"}),
        (old({"size": 1, "color": "red"}, {"size": 1}), {"size": 1}, {}),
        (old({}), {"size": 1}, {"size": "add"}),
        (old({}), {"parts": []}, {}),
        (old({"size": 1}), {}, {"size": "delete"}),
        (old({"size": 1}), {"size": UNKNOWN}, {"size": "update"}),
        (old({FAILED: True}, {}), {}, {FAILED: "delete"}),
    ],
)
def test_the_state_is_compared_with_the_inputs(
    before: Old, news: Values, wanted: dict[str, str]
) -> None:
    assert diffs.changes(TYPE, before, Properties(news)) == wanted


def test_a_difference_says_what_it_replaces() -> None:
    response = diffs.response(TYPE, {"mode": "update", "size": "add"})
    assert response.changes == proto.DiffResponse.DIFF_SOME
    assert list(response.replaces) == ["mode"]
    assert list(response.diffs) == ["mode", "size"]
    assert response.detailedDiff["mode"].kind == proto.PropertyDiff.UPDATE_REPLACE
    assert response.deleteBeforeReplace
    quiet = diffs.response(TYPE, {})
    assert quiet.changes == proto.DiffResponse.DIFF_NONE
    assert quiet.deleteBeforeReplace, "the program's own replace_on_changes needs it too"


Stub = provider_pb2_grpc.ResourceProviderStub


def test_the_first_questions(stub: Stub) -> None:
    assert stub.Handshake(proto.ProviderHandshakeRequest()).accept_secrets
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == "1.2.3"
    stub.Cancel(empty_pb2.Empty())
    wrong = stub.CheckConfig(proto.CheckRequest(news=encode({"pain": "x"})))
    assert [failure.property for failure in wrong.failures] == ["paint", "pain"]
    request = proto.DiffRequest(old_inputs=encode({"paint": "a"}), news=encode({"paint": "b"}))
    assert list(stub.DiffConfig(request).diffs) == ["paint"]


def test_check_fills_in_defaults_and_one_name(stub: Stub) -> None:
    request = proto.CheckRequest(urn=URN, news=encode({}), randomSeed=b"seed")
    first = decode(stub.Check(request).inputs)
    assert first["size"] == 1
    assert str(first["name"]).startswith("my-toy-")
    assert decode(stub.Check(request).inputs) == first, "a preview and its update agree"
    again = proto.CheckRequest(urn=URN, news=encode({}), olds=encode(first), randomSeed=b"other")
    assert decode(stub.Check(again).inputs)["name"] == first["name"]


def test_a_preview_leaves_what_is_computed_unknown(stub: Stub) -> None:
    request = proto.CreateRequest(urn=URN, properties=encode({"size": 1}), preview=True)
    answer = stub.Create(request)
    assert answer.id == ""
    assert decode(answer.properties) == {"size": 1, "color": UNKNOWN}
    update_ = proto.UpdateRequest(
        id="id-1", urn=URN, olds=encode({"color": "red"}), news=encode({"size": 2}), preview=True
    )
    assert decode(stub.Update(update_).properties) == {"size": 2, "color": "red"}


def test_what_came_as_a_secret_goes_as_one(stub: Stub) -> None:
    sent = encode({"mode": SECRET, "size": 3}, ["mode"])
    state = decode(stub.Create(proto.CreateRequest(urn=URN, properties=sent)).properties)
    assert state == {"mode": SECRET, "size": 3, "color": "red"}
    assert state.secret == {"mode"}
    read_ = proto.ReadRequest(id="x", urn=URN, properties=encode(state, ["mode"]), inputs=sent)
    answer = stub.Read(read_)
    assert decode(answer.properties) == {"size": 2, "color": "grey", "name": "found"}
    assert decode(answer.inputs) == {"mode": SECRET, "size": 2}
    assert decode(answer.inputs).secret == {"mode"}


def test_an_import_takes_all_inputs_and_the_gone_is_gone(stub: Stub) -> None:
    assert decode(stub.Read(proto.ReadRequest(id="x", urn=URN)).inputs) == {
        "name": "found",
        "size": 2,
    }
    assert stub.Read(proto.ReadRequest(id="gone", urn=URN)).id == ""


@pytest.mark.parametrize(
    ("fate", "text"),
    [("refused", "no: [secret]"), ("broken", "ZeroDivisionError: oops [secret]")],
)
def test_errors_hold_no_secret(stub: Stub, fate: str, text: str) -> None:
    sent = encode({"mode": SECRET, "fate": fate}, ["mode"])
    with pytest.raises(grpc.RpcError) as raised:
        stub.Create(proto.CreateRequest(urn=URN, properties=sent))
    assert raised.value.details() == text


def test_what_was_made_but_failed_is_kept(stub: Stub) -> None:
    sent = encode({"mode": SECRET, "fate": "half"}, ["mode"])
    with pytest.raises(grpc.RpcError) as raised:
        stub.Create(proto.CreateRequest(urn=URN, properties=sent))
    metadata = dict(raised.value.trailing_metadata())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    failed = proto.ErrorResourceInitFailed()
    assert status.details[0].Unpack(failed)
    assert (failed.id, list(failed.reasons)) == ("id-1", ["made, but [secret]"])
    state = decode(failed.properties)
    assert state[FAILED] is True
    assert state.secret == {"mode"}
    fresh = stub.Read(proto.ReadRequest(id="x", urn=URN, properties=failed.properties))
    assert FAILED not in decode(fresh.properties)


def test_a_delete_that_fails_says_so(stub: Stub) -> None:
    state = encode({"mode": SECRET, "fate": "stuck"}, ["mode"])
    with pytest.raises(grpc.RpcError, match=r"cannot delete \[secret\]"):
        stub.Delete(proto.DeleteRequest(id="x", urn=URN, properties=state))
    stub.Delete(proto.DeleteRequest(id="x", urn=URN, properties=encode({})))


def test_functions_answer_and_refuse(stub: Stub) -> None:
    answer = stub.Invoke(proto.InvokeRequest(tok="toy:index:look", args=encode({"at": "you"})))
    assert decode(getattr(answer, "return")) == {"seen": "you"}
    wrong = stub.Invoke(proto.InvokeRequest(tok="toy:index:look", args=encode({})))
    assert wrong.failures[0].property == "at"
    with pytest.raises(grpc.RpcError, match="has no function toy:index:hear; it has toy:index:loo"):
        stub.Invoke(proto.InvokeRequest(tok="toy:index:hear"))


def test_a_type_that_is_not_there_is_named_with_those_that_are(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError, match="no resource type toy:index:Boy; it has toy:index:Toy"):
        stub.Check(proto.CheckRequest(urn=URN.replace("Toy::", "Boy::"), news=encode({})))


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"AGENT_DOCKER_PYTHON": sys.executable}, "only runs with AGENT_DOCKER_OFFLINE=1\nhint: "),
        ({"AGENT_DOCKER_OFFLINE": "1"}, "AGENT_DOCKER_PYTHON is unset, expected"),
    ],
)
def test_a_plugin_refuses_to_run_by_accident(name: str, more: dict[str, str], words: str) -> None:
    ended = subprocess.run(
        [BIN / name],
        env={"PATH": os.defpath, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{name}: " in ended.stderr
    assert words in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None])
def test_a_plugin_ends_quietly(number: signal.Signals | None, tmp_path: Path) -> None:
    # What the program's folder holds does not matter to it.
    (tmp_path / "grpc.py").write_text("raise SystemExit('shadowed')")
    with subprocess.Popen(
        [BIN / "pulumi-resource-command", "127.0.0.1:1"],
        cwd=tmp_path,
        env={
            "PATH": os.defpath,
            "AGENT_DOCKER_OFFLINE": "1",
            "AGENT_DOCKER_PYTHON": sys.executable,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        if number is None:
            output, errors = process.communicate(timeout=20)  # closes its stdin
        else:
            process.send_signal(number)
            assert process.wait(20) == 0
            output, errors = process.communicate()
    assert (process.returncode, output, errors) == (0, "", "")
