from __future__ import annotations

import pytest
from starlette.websockets import WebSocketDisconnect

from samplemind_core import server


def numbers(message):
    return [row["epoch"] for row in message["epochs"]]


def test_epochs_so_far_come_first_then_new_ones(client, space, run, epoch):
    for number in (1, 2):
        space.store.runs.add_epoch(run.id, epoch(number))
    with client.websocket_connect(server.stream_url(run.id)) as socket:
        backfill = socket.receive_json()
        assert numbers(backfill) == [1, 2]
        assert backfill["run"]["status"] == "queued"
        space.store.runs.add_epoch(run.id, epoch(3))
        assert numbers(socket.receive_json()) == [3]


def test_every_viewer_gets_changes_of_the_run(client, space, run):
    url = server.stream_url(run.id)
    with client.websocket_connect(url) as one, client.websocket_connect(url) as two:
        for socket in (one, two):
            assert socket.receive_json()["run"]["status"] == "queued"
        space.store.runs.claim({"host": "here"}, run.id)
        for socket in (one, two):
            assert socket.receive_json()["run"]["status"] == "running"


def test_a_returning_viewer_gets_only_what_it_has_missed(client, space, run, epoch):
    for number in (1, 2, 3):
        space.store.runs.add_epoch(run.id, epoch(number))
    with client.websocket_connect(server.stream_url(run.id) + "&after=2&seen=1.5") as socket:
        message = socket.receive_json()
    assert numbers(message) == [3]
    assert "reset" not in message


@pytest.mark.parametrize("position", ["&after=7&seen=1.5", "&after=2&seen=9.9", "&after=2&seen=x"])
def test_a_returning_viewer_with_other_epochs_starts_over(client, space, run, position, epoch):
    for number in (1, 2, 3):
        space.store.runs.add_epoch(run.id, epoch(number))
    with client.websocket_connect(server.stream_url(run.id) + position) as socket:
        message = socket.receive_json()
    assert message["reset"] is True
    assert numbers(message) == [1, 2, 3]


def test_a_run_that_goes_back_resets_its_viewers(client, space, run, epoch):
    for number in (1, 2, 3):
        space.store.runs.add_epoch(run.id, epoch(number))
    with client.websocket_connect(server.stream_url(run.id)) as socket:
        assert numbers(socket.receive_json()) == [1, 2, 3]
        space.store.runs.truncate_epochs(run.id, 1)
        message = socket.receive_json()
        assert message["reset"] is True
        assert numbers(message) == [1]


def test_an_epoch_computed_anew_between_two_looks_resets_too(client, space, run, epoch):
    for number in (1, 2):
        space.store.runs.add_epoch(run.id, epoch(number))
    with client.websocket_connect(server.stream_url(run.id)) as socket:
        socket.receive_json()
        space.store.runs.add_epoch(run.id, epoch(2, val_loss=0.1, seconds=2.0))
        message = socket.receive_json()
        assert message["reset"] is True
        assert message["epochs"][-1]["val_loss"] == 0.1


def test_what_is_not_finite_becomes_null(client, space, run, epoch):
    space.store.runs.add_epoch(run.id, epoch(1, train_loss=float("inf")))
    with client.websocket_connect(server.stream_url(run.id)) as socket:
        assert socket.receive_json()["epochs"][0]["train_loss"] is None


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("/api/runs/r1/stream?t=1.2", server.CLOSE_FORBIDDEN),
        ("/api/runs/r1/stream", server.CLOSE_FORBIDDEN),
        (server.stream_url("nobody"), server.CLOSE_NOT_FOUND),
    ],
)
def test_a_stream_that_may_not_or_cannot_be_given_is_closed_for_good(client, run, url, code):
    with client.websocket_connect(url) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == code


def test_a_deleted_run_ends_its_streams(client, space, run):
    with client.websocket_connect(server.stream_url(run.id)) as socket:
        socket.receive_json()
        space.store.runs.delete(run.id)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == server.CLOSE_NOT_FOUND


def test_the_last_viewer_takes_the_feed_along(client, space, run):
    with client.websocket_connect(server.stream_url(run.id)) as socket:
        socket.receive_json()
        assert run.id in server.hub.feeds
    with client.websocket_connect(server.stream_url(run.id)) as socket:
        # A new feed: the first one was given up, or this one would have no backfill of its own.
        assert socket.receive_json()["run"]["id"] == run.id
        assert server.hub.feeds[run.id].viewers == 1
