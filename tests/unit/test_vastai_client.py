"""Every endpoint of the client: what is asked, what is understood, what is retried."""

import json
from collections.abc import Callable

import httpx
import pytest

from providers.vastai.client import VastClient
from providers.vastai.errors import Ambiguous, NotFound, Rejected, Unavailable, VastError
from tests.unit.conftest import Reply, Script
from tests.unit.test_vastai_cloud import KEY, TAILNET_KEY, Clock, instance_row, offer_row, order

Scripted = Callable[..., tuple[VastClient, Script]]


def ok(**body: object) -> httpx.Response:
    return httpx.Response(200, json=body or {"success": True})


def asked(script: Script, number: int = -1) -> tuple[str, str]:
    return script.asked[number].method, script.asked[number].url.path


class TestReading:
    def test_a_search_posts_the_query_and_reads_offers(self, scripted: Scripted) -> None:
        client, script = scripted(ok(offers=[offer_row(1)]))
        assert [offer.id for offer in client.search({"num_gpus": {"eq": 1}})] == [7001]
        assert asked(script) == ("POST", "/api/v0/bundles/")
        assert script.body() == {"num_gpus": {"eq": 1}}

    @pytest.mark.parametrize("bad", [{"host_id": None}, {"dph_total": "dear"}, {"dph_total": -1}])
    def test_a_malformed_offer_does_not_hide_the_others(
        self, scripted: Scripted, bad: dict[str, object]
    ) -> None:
        client, _ = scripted(ok(offers=[offer_row(1, **bad), offer_row(2), "noise"]))
        assert [offer.id for offer in client.search({})] == [7002]

    def test_a_price_that_is_no_number_is_no_offer(self, scripted: Scripted) -> None:
        row = json.dumps(offer_row(1) | {"dph_total": float("nan")})
        client, _ = scripted(httpx.Response(200, text=f'{{"offers": [{row}]}}'))
        with pytest.raises(VastError, match="bad `dph_total`"):
            client.search({})

    def test_what_hosts_did_not_measure_counts_as_nothing(self, scripted: Scripted) -> None:
        nulls = dict.fromkeys(("cpu_cores", "inet_up", "geolocation", "rented", "min_bid"))
        client, _ = scripted(ok(offers=[offer_row(1, **nulls)]))
        (offer,) = client.search({})
        assert (offer.cpu_cores, offer.inet_up, offer.country, offer.rented) == (0, 0, "", None)

    def test_the_list_follows_every_page(self, scripted: Scripted) -> None:
        client, script = scripted(
            *(
                ok(instances=[instance_row(number)], next_token=token)
                for number, token in enumerate(["t1", "t2", None], 1)
            )
        )
        assert [item.id for item in client.instances()] == [1, 2, 3]
        queries = [dict(request.url.params) for request in script.asked]
        assert [query.get("after_token") for query in queries] == [None, "t1", "t2"]
        assert {query["limit"] for query in queries} == {"25"}
        assert {query["select_filters"] for query in queries} == {"{}"}
        assert json.loads(queries[0]["order_by"]) == [{"col": "id", "dir": "asc"}]
        assert asked(script) == ("GET", "/api/v1/instances/")

    def test_a_list_without_an_end_is_an_error(self, scripted: Scripted) -> None:
        page = {"instances": [], "next_token": "t1"}
        client, _ = scripted(ok(**page), ok(**page))
        with pytest.raises(Unavailable, match="a page came twice"):
            client.instances()

    def test_a_label_is_asked_for_and_checked_again(self, scripted: Scripted) -> None:
        rows = [instance_row(1, label="mine"), instance_row(2, label="other")]
        client, script = scripted(ok(instances=rows))
        assert [item.id for item in client.instances(label="mine")] == [1]
        filters = script.asked[0].url.params["select_filters"]
        assert json.loads(filters) == {"label": {"eq": "mine"}}

    @pytest.mark.parametrize("rows", [None, {}, "none", [{"label": "without id"}], [7]])
    def test_an_unreadable_list_is_never_none(self, scripted: Scripted, rows: object) -> None:
        client, _ = scripted(ok(success=True, instances=rows))
        with pytest.raises(VastError):
            client.instances()

    def test_one_instance(self, scripted: Scripted) -> None:
        client, script = scripted(ok(instances=instance_row(7)))
        assert client.instance(7).id == 7
        assert asked(script) == ("GET", "/api/v0/instances/7/")
        assert dict(script.asked[0].url.params) == {"owner": "me"}

    @pytest.mark.parametrize("gone", [None, {}])
    def test_null_proves_that_an_instance_is_gone(self, scripted: Scripted, gone: object) -> None:
        client, _ = scripted(ok(instances=gone))
        with pytest.raises(NotFound):
            client.instance(7)

    def test_an_answer_without_instances_proves_nothing(self, scripted: Scripted) -> None:
        client, _ = scripted(ok(success=True))
        with pytest.raises(Unavailable, match="has no `instances`"):
            client.instance(7)

    def test_the_account(self, scripted: Scripted) -> None:
        client, script = scripted(ok(id=3, username=None, credit=4.5, email="x"))
        user = client.current_user()
        assert (user.id, user.username, user.credit) == (3, "", 4.5)
        assert asked(script) == ("GET", "/api/v0/users/current/")

    @pytest.mark.parametrize(("names", "seen"), [(["H100"], ["H100"]), (None, [])])
    def test_gpu_names(self, scripted: Scripted, names: object, seen: list[str]) -> None:
        client, script = scripted(ok(gpu_names=names))
        assert client.gpu_names() == seen
        assert asked(script) == ("GET", "/api/v0/gpu_names/unique/")


class TestLogs:
    def test_they_are_fetched_without_the_key(self, scripted: Scripted, clock: Clock) -> None:
        link = ok(success=True, result_url="https://logs.test/l?sig=1")
        client, script = scripted(link, httpx.Response(404), httpx.Response(200, text="line"))
        assert client.logs(7, tail=5) == "line"
        assert asked(script, 0) == ("PUT", "/api/v0/instances/request_logs/7/")
        assert script.body(0) == {"tail": "5"}
        assert [request.url.host for request in script.asked[1:]] == ["logs.test"] * 2
        assert all("authorization" not in request.headers for request in script.asked[1:])
        assert clock.slept == [0.3]

    @pytest.mark.parametrize("url", [None, "https://logs.test/never"])
    def test_logs_that_never_come_are_unavailable(
        self, scripted: Scripted, url: str | None
    ) -> None:
        answers = [httpx.Response(404) for _ in range(30)]
        client, _ = scripted(ok(success=True, result_url=url), *answers)
        with pytest.raises(Unavailable, match="not ready in time"):
            client.logs(7)

    @pytest.mark.parametrize(
        ("url", "reply"),
        [("https://logs.test/x", httpx.ConnectError("no")), ("http://logs.test:bad/x", ok())],
    )
    def test_a_broken_link_is_unavailable(self, scripted: Scripted, url: str, reply: Reply) -> None:
        client, _ = scripted(ok(success=True, result_url=url), reply)
        with pytest.raises(Unavailable, match="cannot be fetched"):
            client.logs(7)


class TestChanging:
    def test_a_rental_is_complete_and_refuses_a_stopped_machine(self, scripted: Scripted) -> None:
        client, script = scripted(ok(success=True, new_contract=9))
        assert client.create(7001, order(), timeout=3.0) == 9
        assert asked(script) == ("PUT", "/api/v0/asks/7001/")
        assert script.body() == {
            "client_id": "me",
            "image": "ollama/ollama:0.12.6",
            "disk": 50.0,
            "label": order().label,
            "env": {"TAILSCALE_AUTH_KEY": TAILNET_KEY},
            "args": [],
            "runtype": "args",
            "price": None,
            "target_state": "running",
            "cancel_unavail": True,
        }
        assert script.asked[0].extensions["timeout"]["read"] == 3.0

    def test_a_bid_is_sent_as_the_price(self, scripted: Scripted) -> None:
        client, script = scripted(ok(success=True, new_contract=9))
        client.create(7001, order().model_copy(update={"price": 0.3, "onstart": "/bin/sh"}))
        assert (script.body()["price"], script.body()["onstart"]) == (0.3, "/bin/sh")

    def test_a_stopped_machine_is_a_machine(self, scripted: Scripted) -> None:
        client, _ = scripted(ok(success=False, new_contract=9, error="resources_unavailable"))
        assert client.create(7001, order()) == 9

    @pytest.mark.parametrize("contract", [None, True, "9", 9.0])
    def test_a_rental_without_a_clear_id_is_in_doubt(
        self, scripted: Scripted, contract: object
    ) -> None:
        client, _ = scripted(ok(success=True, new_contract=contract))
        with pytest.raises(Ambiguous, match="named no contract"):
            client.create(7001, order())

    def test_a_refused_rental_without_an_id_is_none(self, scripted: Scripted) -> None:
        client, _ = scripted(ok(success=False, error="invalid_args"))
        with pytest.raises(Rejected, match="refused create: invalid_args"):
            client.create(7001, order())

    @pytest.mark.parametrize(
        ("call", "method", "path", "body"),
        [
            (lambda c: c.destroy(7), "DELETE", "/api/v0/instances/7/", {}),
            (lambda c: c.start(7), "PUT", "/api/v0/instances/7/", {"state": "running"}),
            (lambda c: c.stop(7), "PUT", "/api/v0/instances/7/", {"state": "stopped"}),
            (lambda c: c.set_label(7, "x"), "PUT", "/api/v0/instances/7/", {"label": "x"}),
            (
                lambda c: c.bid(7, 0.25),
                "PUT",
                "/api/v0/instances/bid_price/7/",
                {"client_id": "me", "price": 0.25},
            ),
            (
                lambda c: c.update_template(7, image="i:1", env={"A": "b"}, onstart="s", args=[]),
                "PUT",
                "/api/v0/instances/update_template/7/",
                {
                    "id": 7,
                    "recycle": True,
                    "image": "i:1",
                    "env": {"A": "b"},
                    "onstart": "s",
                    "args": [],
                },
            ),
        ],
    )
    def test_each_change_is_one_call(
        self,
        scripted: Scripted,
        call: Callable[[VastClient], None],
        method: str,
        path: str,
        body: object,
    ) -> None:
        client, script = scripted(ok())
        call(client)
        assert (asked(script), script.body()) == ((method, path), body)
        assert script.asked[0].headers["authorization"] == f"Bearer {KEY}"

    @pytest.mark.parametrize("reply", [httpx.ReadTimeout("t"), httpx.Response(503)])
    @pytest.mark.parametrize("call", [lambda c: c.destroy(7), lambda c: c.create(7, order())])
    def test_a_change_is_never_sent_twice(
        self, scripted: Scripted, reply: Reply, call: Callable[[VastClient], None]
    ) -> None:
        client, script = scripted(reply)
        with pytest.raises(Ambiguous):
            call(client)
        assert len(script.asked) == 1
