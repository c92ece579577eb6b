from __future__ import annotations

import pytest

from samplemind_core.data.findings import Twin
from samplemind_core.data.grouping import is_alone, linked, machine_of, propose_groups, sound_keys
from samplemind_core.store import Clip


def clip(number: int, name: str, source: str | None = None, label: str = "kick", digest: str = "") -> Clip:
    return Clip(
        row=number, name=name, label=label, target=0, source=source or name, split="train",
        content_hash=digest or f"h{number}", id=number,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "machine"),
    [
        ("RolandTR808", "TR-808"),
        ("Roland TR-808", "TR-808"),
        ("my 808 kicks", "TR-808"),
        ("808bd_01", "TR-808"),
        ("tidal-drum-machines/RolandTR909", "TR-909"),
        ("CR-78", "CR-78"),
        ("LM-2", "LinnDrum"),
        ("Emu SP-12", "E-mu SP-12"),
        ("SP1200", "E-mu SP-1200"),
        ("take 1808", None),
        ("808 and 909", None),
        ("kick 12", None),
        ("pack 3", None),
    ],
)
def test_machines_are_read_from_names(text: str, machine: str | None) -> None:
    assert machine_of(text) == machine


def test_links_are_followed() -> None:
    assert linked([(1, 2), (5, 4), (2, 3), (9, 4)]) == [[1, 2, 3], [4, 5, 9]]
    assert linked([]) == []


def test_clips_of_one_sound_share_a_key() -> None:
    clips = [clip(1, "a"), clip(2, "b"), clip(3, "c", digest="h1")]
    assert sound_keys(clips, []) == ["h1", "h2", "h1"]
    assert sound_keys(clips, [Twin(1, 2, False, 0.99), Twin(2, 77, False, 0.99)]) == ["h1", "h1", "h1"]


def test_what_is_well_grouped_stays() -> None:
    clips = [clip(number, f"kick/{number}.wav", source=("a", "b")[number % 2]) for number in range(6)]
    assert propose_groups(clips, []) == ()


def test_packs_of_one_machine_are_joined() -> None:
    clips = [
        clip(1, "1.wav", "Tidal TR808"),
        clip(2, "2.wav", "808 kit"),
        clip(3, "3.wav", "Jazz"),
        clip(4, "4.wav", "Jazz"),
    ]
    (group,) = propose_groups(clips, [])
    assert (group.name, group.clips, group.sources) == ("TR-808", (1, 2), ("808 kit", "Tidal TR808"))
    assert "drum machine" in group.reasons[0]


def test_sources_that_share_a_sound_are_joined() -> None:
    clips = [clip(1, "1.wav", "A"), clip(2, "2.wav", "A"), clip(3, "3.wav", "B"), clip(4, "4.wav", "C")]
    (group,) = propose_groups(clips, [Twin(2, 3, False, 0.99)])
    assert (group.name, group.clips, group.sources) == ("A", (1, 2, 3), ("A", "B"))
    assert group.reasons == ("1 sound in common",)


def test_clips_without_a_source_are_grouped_by_folder_and_by_name() -> None:
    clips = [
        *(clip(number, f"kick/Vinyl Days/{number}.wav") for number in range(3)),
        *(clip(10 + number, f"kick/KSHMR_Kick_{number}.wav") for number in range(4)),
        *(clip(20 + number, f"kick/kick_{number}.wav") for number in range(4)),
        clip(30, "kick/oddity.wav"),
    ]
    assert all(is_alone(one) for one in clips)
    groups = {group.name: group for group in propose_groups(clips, [])}
    assert set(groups) == {"Vinyl Days", "KSHMR"}
    assert groups["KSHMR"].clips == (10, 11, 12, 13)
    assert "folder" in groups["Vinyl Days"].reasons[0]


def test_names_of_proposals_are_unique() -> None:
    clips = [clip(number, f"{number}.wav") for number in range(1, 5)]
    named = [clip(9, "x.wav", "same"), clip(10, "y.wav", "same 2")]
    groups = propose_groups([*clips, *named], [Twin(1, 2, False, 0.99), Twin(3, 4, False, 0.99)])
    assert len({group.name for group in groups}) == 2
