from __future__ import annotations

import pytest

from samplemind_core import server


def test_a_ticket_opens_what_it_was_minted_for_and_nothing_else():
    ticket = server.ticket("run", "r1")
    assert server.valid("run", "r1", ticket)
    assert not server.valid("run", "r2", ticket)
    assert not server.valid("clip", "r1", ticket)


def test_a_ticket_expires_within_its_hour():
    ticket = server.ticket("run", "r1", ttl_s=600, now=7200.0)
    assert server.valid("run", "r1", ticket, now=7200.0 + 600)
    assert not server.valid("run", "r1", ticket, now=7200.0 + 600 + 3601)


def test_a_later_expiry_cannot_be_written_in():
    expiry, _, signature = server.ticket("run", "r1").partition(".")
    assert not server.valid("run", "r1", f"{int(expiry) + 3600}.{signature}")


@pytest.mark.parametrize(
    "forged", ["", ".", "9999999999", "9999999999.", "9999999999.é", "x.y", "١٢٣.ab", "9" * 99 + ".a"]
)
def test_nonsense_is_refused(forged):
    assert not server.valid("run", "r1", forged)


def test_the_address_of_a_clip_is_the_same_when_a_page_is_drawn_again():
    first, second = server.ticket("clip", "1", now=7200.0), server.ticket("clip", "1", now=7201.0)
    assert first == second
