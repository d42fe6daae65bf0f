"""The real SDK, in a child process: it reads its environment when it is imported."""

from typing import Any

from localcloud.vastai.server import RunningCloud

Cli = Any  # the `Client` of conftest, which importlib mode cannot import

LIFE = """
offer = vast.search_offers("gpu_name=RTX_4090 num_gpus=1 disk_space>100", limit=1)[0]
made = vast.create_instance(offer["id"], image="a:1", disk=20, env={"A": "b"}, label="sdk",
                            runtype="ssh_direct", cancel_unavail=True)
number = made["new_contract"]
answer = {"made": made["success"], "id": number}
answer["shown"] = vast.show_instance(number)["label"]
answer["stop"] = vast.stop_instance(number)
answer["start"] = vast.start_instance(number)
answer["label"] = vast.label_instance(number, "sdk-2")
answer["prepay"] = vast.prepay_instance(number, 1.0)["success"]
answer["update"] = vast.update_instance(number, image="a:2")
answer["reboot"] = vast.reboot_instance(number)
answer["logs"] = vast.logs(number)
answer["listed"] = [[row["label"], row["extra_env"]] for row in vast.show_instances()]
answer["filters"] = vast.show_instance_filters()
answer["user"] = vast.show_user()["credit"]
answer["destroyed"] = vast.destroy_instance(number)
answer["gone"] = vast.show_instance(number)
"""

REST = """
answer = {}
offers = vast.search_offers_new("num_gpus=1", limit=30)
answer["offers"] = len(offers)
launched = vast.launch_instance("RTX_4090", "1", "a:1", label="launched")
answer["launched"] = launched["success"]
key = vast.create_ssh_key("ssh-ed25519 AAAA sdk")["key"]
answer["keys"] = [row["public_key"] for row in vast.show_ssh_keys()]
number = launched["new_contract"]
attached = vast.attach_ssh(number, "ssh-ed25519 BBBB sdk")
answer["attached"] = attached["success"]
answer["detached"] = vast.detach_ssh(number, attached["key"]["id"])["success"]
vast.delete_ssh_key(key["id"])
vast.stop_instance(number)
answer["executed"] = vast.execute(number, "du -d2 -h")
vast.destroy_instance(number)
"""


def test_the_life_of_an_instance(vastai: Cli) -> None:
    answer = vastai.sdk(LIFE)
    ok = {"success": True}
    assert (answer["made"], answer["shown"], answer["prepay"]) == (True, "sdk", True)
    assert [answer[name] for name in ("stop", "start", "label", "update", "destroyed")] == [ok] * 5
    assert answer["reboot"]["error"] == "invalid_id", "it was still loading"
    assert "rented" in answer["logs"]
    assert ["sdk-2", {"A": "b"}] in answer["listed"]
    assert answer["filters"][0]["gpu_name"] == "RTX 4090"
    assert 0 < answer["user"] <= 1000
    assert answer["gone"] is None


def test_the_rest(vastai: Cli, cloud: RunningCloud) -> None:
    answer = vastai.sdk(REST)
    assert answer["offers"] == 30
    assert "ssh-ed25519 AAAA sdk" in answer["keys"]
    assert (answer["launched"], answer["attached"], answer["detached"]) == (True, True, True)
    assert not list(cloud.cloud.live())


def test_the_sdk_retries_what_its_vendor_retries(vastai: Cli, cloud: RunningCloud) -> None:
    def order(kind: str, **details: object) -> None:
        cloud.run(lambda c: c.faults.order({"kind": kind, "on": "user", **details}))

    order("rate_limited")
    order("server_error", status=502)
    assert vastai.sdk('answer = vast.show_user()["id"]') > 0
    assert not cloud.cloud.faults.waiting
