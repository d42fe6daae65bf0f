"""Queues that the real Celery fills and empties, as the signal reads them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from celery import Celery

from autoscaler.signals import Signal, make_signal
from autoscaler.signals.settings import RedisList
from tests.redis.server import RedisServer, running_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@dataclass
class Broker:
    """A Celery application and the signal on its queue."""

    app: Celery
    signal: Signal

    def send(self, count: int, **options: object) -> None:
        for number in range(count):
            self.app.send_task("infer", args=(number,), **options)

    def read(self) -> tuple[int, int | None]:
        reading = self.signal.read()
        return reading.depth, reading.in_flight


@pytest.fixture(params=[None, ":"], ids=["usual", "colon"])
def broker(server: RedisServer, request: pytest.FixtureRequest) -> Iterator[Broker]:
    server.reset()
    app = Celery("infer", broker=server.url, set_as_current=False)
    if request.param is not None:
        app.conf.broker_transport_options = {"sep": request.param}
    settings = RedisList.model_validate(
        {
            "kind": "redis-list",
            "queue": "celery",
            "priorities": [0, 3, 6, 9],
            "separator": request.param,
            "inFlight": "unacked",
        }
    )
    signal = make_signal(settings, redis_url=server.url, env={}, now=lambda: 1.0)
    yield Broker(app, signal)
    signal.close()
    app.close()


def test_tasks_wait_in_the_queue_of_their_priority(broker: Broker, server: RedisServer) -> None:
    assert broker.read() == (0, 0)
    broker.send(5)
    broker.send(4, priority=3)
    broker.send(3, priority=9)
    broker.send(2, priority=7)
    broker.send(1, queue="another")
    with server.client() as client:
        keys = set(client.scan_iter("celery*"))
    assert len(keys) == 4
    assert broker.read() == (14, 0)


def test_a_task_with_a_countdown_waits_until_a_worker_holds_it(broker: Broker) -> None:
    broker.send(2, countdown=3600)
    assert broker.read() == (2, 0)


def test_a_task_that_a_consumer_took_is_in_flight_until_it_acknowledges(broker: Broker) -> None:
    broker.send(3)
    broker.send(1, priority=6)
    with broker.app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        taken = [queue.get(timeout=10) for _ in range(3)]
        assert broker.read() == (1, 3)
        taken[0].ack()
        assert broker.read() == (1, 2)
        taken[1].requeue()
        assert broker.read() == (2, 1)
        taken[2].ack()
        queue.close()
    assert broker.read() == (2, 0)
