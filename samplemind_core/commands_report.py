"""Reports: the health of a dataset, or what is known of checkpoints on the same clips."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samplemind_core.audio.decode import printable
from samplemind_core.errors import SampleMindError
from samplemind_core.files import write_atomic
from samplemind_core.terminal import Json, OtherDataset, Split, err, failing, out, print_json, progress
from samplemind_core.workspace import Workspace

if TYPE_CHECKING:
    from samplemind_core.data.findings import Finding, HealthReport

SHOWN = 5


def report(
    names: Annotated[list[str], typer.Argument(metavar="DATASET | RUN RUN…")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where the report of checkpoints goes: .html, .json or .csv.")
    ] = None,
    dataset: OtherDataset = None,
    split: Split = "test",
    again: Annotated[bool, typer.Option("--again", help="Measure a dataset anew even if nothing changed.")] = False,
    as_json: Json = False,
) -> None:
    """Show the health of a dataset, or write what is known of checkpoints as a page that opens offline.

    The health of a dataset: damaged, silent and doubled clips, leaks, shortcuts, classes and sources.
    """
    with failing(as_json):
        workspace = Workspace()
        if output is not None:
            _of_checkpoints(workspace, names, output, dataset, split, as_json)
            return
        if workspace.store.datasets.find(names[0]) is None and workspace.store.runs.find(names[0].partition(":")[0]):
            raise SampleMindError("The report of checkpoints is a file.", "Say where it goes: -o report.html")
        if len(names) > 1:
            raise SampleMindError(
                f"Expected one dataset, got {len(names)} names.", "For checkpoints, say where the report goes: -o FILE"
            )
        with progress() as told:
            found = workspace.health(names[0], again=again, progress=told)
        if as_json:
            print_json(found.as_dict())
        else:
            _show_health(workspace, found)


def _of_checkpoints(
    workspace: Workspace, names: list[str], output: Path, dataset: str | None, split: str, as_json: bool
) -> None:
    ending = output.suffix.lower()
    if ending not in {".html", ".json", ".csv"}:
        raise SampleMindError(
            f"Expected a file ending in .html, .json or .csv, got '{output.name}'.", "For example -o report.html"
        )
    with err.status("Writing the report"):
        found = workspace.report(names, dataset=dataset, split=split)
    content = {".html": found.html, ".json": json.dumps(found.data, indent=1), ".csv": found.csv}[ending].encode()
    write_atomic(output, content)
    if as_json:
        print_json({"path": str(output), "num_bytes": len(content)})
    else:
        out.print(f"Wrote {output} ({len(content) / 1e6:.1f} MB).", markup=False)


def _show_health(workspace: Workspace, found: HealthReport) -> None:
    out.print(found.headline, markup=False)
    for one in found.findings:
        out.print(f"\n{one.severity}: {one.title}", style="bold", markup=False)
        out.print(f"  {one.explanation}", markup=False)
        for line in _lines(workspace, found.dataset_id, one):
            out.print(f"  - {line}", markup=False)
    said = {one.explanation for one in found.findings}
    for part in (found.leakage, found.shortcuts):
        if part is not None and part.sentence not in said:
            out.print(f"\n{part.sentence}", markup=False)
    if found.groups:
        many = len(found.groups)
        out.print(f"\n{many} proposed {'source' if many == 1 else 'sources'}; split --accept-groups takes them over:")
        for group in found.groups[:SHOWN]:
            out.print(f"  - {group.name}: {len(group.clips)} clips; {'; '.join(group.reasons)}", markup=False)
    for note in found.notes:
        out.print(f"\nNote: {note}", markup=False)


def _lines(workspace: Workspace, dataset_id: str, finding: Finding) -> list[str]:
    """Return the first clips, or else the subjects, of a finding, with what was measured on each."""
    if finding.clips:
        first = finding.clips[:SHOWN]
        names = {clip.id: clip.name for clip in workspace.store.datasets.clips(dataset_id, ids=first)}
        about = [printable(names.get(one, str(one))) for one in first]
    else:
        about = list(finding.subjects[:SHOWN])
    return [": ".join(filter(None, pair)) for pair in zip_longest(about, finding.evidence[: len(about)], fillvalue="")]


def run_report(
    run: Annotated[str, typer.Argument(metavar="RUN")],
    out_file: Annotated[Path, typer.Option("--out", "-o", help="Where the page goes: a file ending in .html.")],
    as_json: Json = False,
) -> None:
    """Write one run as a page to mail or print: curves, settings, results, where it was trained; opens offline."""
    with failing(as_json):
        if out_file.suffix.lower() != ".html":
            raise SampleMindError(
                f"Expected a file ending in .html, got '{out_file.name}'.", "For example --out report.html"
            )
        with err.status("Writing the report"):
            content = Workspace().run_report(run).encode()
        write_atomic(out_file, content)
        if as_json:
            print_json({"path": str(out_file), "num_bytes": len(content)})
        else:
            out.print(f"Wrote {out_file} ({len(content) / 1e6:.1f} MB).", markup=False)
