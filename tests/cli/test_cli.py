"""The command line as its users see it: stdout, stderr and the exit code."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from samplemind_core import cli
from samplemind_core.config import build_config
from samplemind_core.errors import TrainingError
from samplemind_core.evaluation import out_of_fold
from samplemind_core.settings import Settings
from samplemind_core.store import Epoch
from samplemind_core.training import jobs
from samplemind_core.workspace import Workspace

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu", "epochs": 2}
SMALL = [part for name, value in TINY.items() if name != "epochs" for part in ("--set", f"{name}={value}")]
CLASSES = ["clap", "cymbal", "hihat", "kick", "snare", "tom"]
Call = Callable[..., Result]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the demo dataset and three runs; its tests only read it."""
    workspace = Workspace(Settings(workspace=tmp_path_factory.mktemp("cli"), database_url=None, worker="external"))
    workspace.make_demo(per_class=8, name="demo")
    workspace.train("demo", build_config("quick", TINY | {"save_every": 1}), name="first")
    for seed, name in enumerate(("second", "third"), start=1):
        workspace.train("demo", build_config("quick", TINY | {"epochs": 1, "seed": seed}), name=name)
    workspace.close()
    return workspace.root


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in an empty workspace."""
    return _caller(monkeypatch, tmp_path / "ws")


@pytest.fixture
def ask(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in the trained workspace."""
    return _caller(monkeypatch, trained)


def _caller(monkeypatch: pytest.MonkeyPatch, root: Path) -> Call:
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(root))
    monkeypatch.setenv("SAMPLEMIND_WORKER", "external")
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object, rc: int = 0) -> Result:
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        unforeseen = result.exception if not isinstance(result.exception, SystemExit) else None
        assert unforeseen is None, f"a traceback would be shown: {unforeseen!r}"
        assert result.exit_code == rc, result.output
        return result

    return call


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def only(result: Result) -> dict[str, Any]:
    return json.loads(result.stdout)


# -- datasets ------------------------------------------------------------------------------------


def test_demo(call: Call) -> None:
    shown = call("demo", "--per-class", 8, "--seed", 0)
    assert all(label in shown.stdout for label in CLASSES)
    assert "Dataset demo" in shown.stdout
    assert "48 clips" in shown.stdout
    again = only(call("demo", "--per-class", 8, "--seed", 0, "--name", "again", "--json"))
    assert again["class_names"] == CLASSES
    assert again["rejects"] == []
    assert {sum(splits.values()) for splits in again["counts"].values()} == {8}
    found = lines(call("datasets", "--json"))
    assert [row["name"] for row in found] == ["again", "demo"]
    assert len({row["fingerprint"] for row in found}) == 1  # the seed decides every sound and the split
    table = call("datasets").stdout
    assert all(row["id"] in table for row in found)


def test_a_name_in_use_is_told(call: Call) -> None:
    call("demo", "--per-class", 3)
    told = call("demo", "--per-class", 3, "--json", rc=1)
    assert only(told)["kind"] == "NameTakenError"
    assert "Error:" in told.stderr


def test_import_of_a_folder_tells_what_was_left_out(call: Call, bursts: Callable[..., Path]) -> None:
    folder = bursts(per_class=6)
    (folder / "low" / "broken.wav").write_bytes(b"no audio at all")
    dataset = only(call("import", folder, "--name", "with [b]markup[/b]", "--json"))
    assert (dataset["num_clips"], dataset["num_rejected"]) == (12, 1)
    (reject,) = dataset["rejects"]
    assert reject["name"].endswith("broken.wav")
    assert reject["reason"]
    shown = call("import", folder, "--name", "shown").stdout
    assert f"Not imported: {reject['name']}: {reject['reason']}" in shown
    assert "with [b]markup[/b]" in call("datasets").stdout


def test_import_of_a_zip(call: Call, bursts: Callable[..., Path], tmp_path: Path) -> None:
    folder = bursts(per_class=6)
    with zipfile.ZipFile(tmp_path / "bursts.zip", "w") as archive:
        for file in sorted(folder.rglob("*.wav")):
            archive.write(file, file.relative_to(folder))
    dataset = only(call("import", tmp_path / "bursts.zip", "--name", "zipped", "--classes", " high , low", "--json"))
    assert dataset["class_names"] == ["high", "low"]
    assert dataset["num_clips"] == 12


def test_import_of_a_manifest(call: Call, bursts: Callable[..., Path], tmp_path: Path) -> None:
    folder = bursts(("high", "low", "mid"), per_class=6)
    expected: dict[str, dict[str, int]] = {"high": {}, "low": {}}
    with (tmp_path / "list.csv").open("w", newline="") as stream:
        rows = csv.DictWriter(stream, ["sound", "what", "kit", "part"])
        rows.writeheader()
        for number, file in enumerate(sorted(folder.rglob("*.wav"))):
            label, part = file.parent.name, ("train", "train", "val", "test")[number % 4]
            rows.writerow({"sound": file.relative_to(tmp_path), "what": label, "kit": f"{part}{number}", "part": part})
            if label in expected:
                expected[label][part] = expected[label].get(part, 0) + 1
    columns = ["--path-column", "sound", "--label-column", "what", "--group-column", "kit", "--split-column", "part"]
    command = ["import", tmp_path / "list.csv", "--classes", "high,low", *columns]
    dataset = only(call(*command, "--name", "listed", "--json"))
    assert dataset["class_names"] == ["high", "low"]
    assert {
        label: {part: count for part, count in counts.items() if count} for label, counts in dataset["counts"].items()
    } == expected
    wrong = only(call(*command, "--name", "wrong", "--label-column", "genre", "--json", rc=1))
    assert wrong["kind"] == "ManifestError"
    assert "genre" in wrong["error"]


def test_a_relabel_and_what_differs_since(call: Call, bursts: Callable[..., Path]) -> None:
    call("import", str(bursts(per_class=4)), "--name", "tones")
    made = only(call("relabel", "tones", "middle", "high/high-000.wav", "--json"))
    assert (made["version"], made["message"]) == (2, "Relabelled 1 sample as middle")
    found = only(call("datasets", "diff", "tones@1", "tones", "--json"))
    assert found["counts"] == {"label": 1}
    assert found["changed"][0]["values"] == {"label": ["high", "middle"]}
    shown = call("datasets", "diff", "tones@1", "tones")
    assert "high-000.wav: label high → middle" in shown.stdout
    late = call("relabel", "tones", "low", "high/high-001.wav", "--base", "1", "--json", rc=1)
    assert json.loads(late.stdout)["kind"] == "VersionConflictError"
    lost = call("relabel", "tones", "low", "nothing.wav", "--json", rc=1)
    assert "no clips called 'nothing.wav'" in json.loads(lost.stdout)["error"]
    assert json.loads(call("datasets", "--json").stdout)["version"] == 2
    assert "Add --yes" in only(call("datasets", "delete", "tones", "--json", rc=1))["advice"]
    assert only(call("datasets", "delete", "tones", "--yes", "--json"))["name"] == "tones"
    assert call("datasets", "--json").stdout == ""


def test_an_import_of_nothing_leaves_nothing(call: Call, tmp_path: Path) -> None:
    told = only(call("import", tmp_path / "missing", "--name", "x", "--json", rc=1))
    assert "missing" in told["error"]
    assert told["advice"]
    assert call("datasets", "--json").stdout == ""


# -- training ------------------------------------------------------------------------------------


def test_training_prints_a_line_per_epoch_and_then_the_run(call: Call) -> None:
    call("demo", "--per-class", 8)
    result = call("train", "--dataset", "demo", "--preset", "quick", "--epochs", 2, *SMALL, "--name", "mine", "--json")
    *epochs, last = lines(result)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert {"train_loss", "val_accuracy", "lr", "clips_per_s", "health", "recall"} <= set(epochs[0])
    run = last["run"]
    assert (run["name"], run["status"]) == ("mine", "finished")
    assert (run["config"]["features"]["n_mels"], run["config"]["model"]["width"]) == (32, 0.5)
    assert "epoch   2/2" in result.stderr  # progress, for people

    more = call("train", "--dataset", "demo", "--epochs", 1, "--set", "min_steps=4", *SMALL, "--name", "more")
    assert "epochs instead of 1, as few samples make few steps each" in more.stderr
    assert "epoch   1/" in more.stderr
    assert "epoch   1/1 " not in more.stderr

    shown = call("train", "--dataset", "demo", "--epochs", 1, *SMALL)
    assert shown.stdout.startswith("demo-quick-1 finished: ")
    assert [row["name"] for row in lines(call("runs", "--json"))] == ["demo-quick-1", "more", "mine"]

    told = only(call("train", "--dataset", "demo", "--name", "mine", *SMALL, "--json", rc=1))
    assert told["kind"] == "NameTakenError"


def test_a_run_that_fails_is_no_success(call: Call) -> None:
    call("demo", "--per-class", 3)
    result = call("train", "--dataset", "demo", *SMALL, "--set", "model.init=starter", "--json", rc=1)
    run = lines(result)[-1]["run"]
    assert run["status"] == "failed"
    assert "cannot start from the starter model" in run["end_reason"]  # which has another front end
    told = only(call("train", "--dataset", "demo", "--set", "model.name=unheard_of", "--json", rc=1))
    assert told["kind"] == "ConfigError"
    assert "unheard_of" in told["error"]


def test_ctrl_c_stops_and_saves(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("demo", "--per-class", 8)
    show = cli._show_epoch

    def interrupt(epoch: Epoch, *rest: Any) -> None:
        show(epoch, *rest)
        if epoch.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(cli, "_show_epoch", interrupt)
    before = signal.getsignal(signal.SIGINT)
    result = call("train", "--dataset", "demo", "--epochs", 9_000, *SMALL, "--json", rc=1)
    assert signal.getsignal(signal.SIGINT) is before
    run = lines(result)[-1]["run"]
    assert run["status"] == "stopped"
    assert "Stopping after this batch" in result.stderr
    kinds = [row["kind"] for row in lines(call("runs", "--json"))[0]["checkpoints"]]
    assert kinds == ["best", "last"]


def test_cross_validation_stops_goes_on_and_tells_every_fold(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("demo", "--per-class", 12)
    real, trained = out_of_fold._train_fold, []

    def train(*arguments: Any) -> Any:
        trained.append(arguments[4][0])
        if len(trained) == 2:
            raise TrainingError("The disk is full.", "Make room.")
        return real(*arguments)

    monkeypatch.setattr(out_of_fold, "_train_fold", train)
    failed = only(call("cross-validate", "demo", "--folds", 3, *SMALL, "--set", "epochs=1", "--json", rc=1))
    assert failed["error"] == "The disk is full."
    task_id = failed["advice"].split("--resume ")[1]
    found = only(call("cross-validate", "--resume", task_id, "--json"))
    assert trained == [0, 1, 1, 2]
    assert len(found["folds"]) == 3
    assert found["num_clips"] == 72
    assert set(found["over_folds"]) == {"accuracy", "balanced_accuracy", "macro_f1"}
    judged = only(call("evaluate", f"folds({found['run']['name']})", "--split", "all", "--json"))
    assert judged["accuracy"] == found["pooled"]["accuracy"]
    assert "Expected --by" in only(call("cross-validate", "demo", "--by", "luck", "--json", rc=1))["error"]
    assert "Expected a dataset" in only(call("cross-validate", "--json", rc=1))["error"]


def test_a_search_tells_its_trials_and_can_have_more(call: Call) -> None:
    call("demo", "--per-class", 8)
    over = ("--over", "lr=1e-3:1e-2:log", "--over", "dropout=0:0.5")
    found = only(call("search", "demo", "--trials", 1, *over, *SMALL, "--set", "epochs=1", "--json"))
    assert found["best"]["settings"] == {"train.lr": 0.004, "model.dropout": 0.2}
    more = call("search", "--resume", found["search"]["id"], "--trials", 1)
    assert "Best: trial" in more.stdout
    assert "train --dataset demo --preset quick --set" in more.stdout
    call("demo", "--layers", "--per-class", 8, "--name", "layers")
    several = only(call("search", "layers", "--trials", 1, *over, *SMALL, "--set", "epochs=1", "--json"))
    assert several["search"]["plan"]["objective"] == "val_map"
    assert 0 < several["best"]["value"] <= 1
    fault = only(call("search", "demo", "--over", "n_mels=1:2", "--json", rc=1))
    assert "cannot be searched" in fault["error"]
    assert "Expected a dataset" in only(call("search", "--json", rc=1))["error"]


def test_a_queued_run_waits_for_its_worker(call: Call, tmp_path: Path) -> None:
    call("demo", "--per-class", 3)
    queued = only(call("train", "--dataset", "demo", "--queue", "--name", "a [b]later[/b] one", "--json"))["run"]
    assert queued["status"] == "queued"
    assert "Queued run demo-quick-1" in call("train", "--dataset", "demo", "--queue").stdout
    found = lines(call("runs", "--json"))
    assert [row["status"] for row in found] == ["queued", "queued"]
    assert "a [b]later[/b] one" in call("runs").stdout
    assert not (tmp_path / "ws" / "worker.log").exists()  # no worker was started


def test_training_follows_the_worker_that_holds_the_workspace(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("demo", "--per-class", 3)
    settings = Settings.from_environment()
    workspace = Workspace(settings)

    def work(_seconds: float) -> None:
        claimed = workspace.store.runs.claim(jobs.identity())
        assert claimed is not None
        jobs.execute(workspace.store, settings, claimed, jobs.identity())

    monkeypatch.setattr(cli.time, "sleep", work)
    with jobs.as_worker(settings):
        result = call("train", "--dataset", "demo", "--epochs", 2, *SMALL, "--json")
    *epochs, last = lines(result)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert last["run"]["status"] == "finished"
    assert "waits in the queue" in result.stderr
    workspace.close()


def test_all_faults_of_the_settings_are_told(ask: Call) -> None:
    wrong = ("lr=0", "epoch=3", "optimizer=magic", "device=gpu")
    told = only(
        ask("train", "--dataset", "demo", *(part for pair in wrong for part in ("--set", pair)), "--json", rc=1)
    )
    assert told["kind"] == "ConfigError"
    for part in ("4 settings", "train.lr", "'epoch' (did you mean 'epochs'?)", "'magic'", "'gpu'"):
        assert part in told["error"]
    told = only(ask("train", "--dataset", "demo", "--set", "lr", "--set", "width", "--json", rc=1))
    assert "'lr'" in told["error"]
    assert "'width'" in told["error"]
    told = only(ask("train", "--dataset", "demo", "--epochs", 2, "--set", "epochs=3", "--json", rc=1))
    assert "twice" in told["error"]


# -- judging and using ---------------------------------------------------------------------------


def test_runs(ask: Call) -> None:
    found = lines(ask("runs", "--json"))
    assert [row["name"] for row in found] == ["third", "second", "first"]
    assert [(row["kind"], row["epoch"]) for row in found[-1]["checkpoints"]][1:] == [
        ("last", 2),
        ("epoch", 1),
        ("epoch", 2),
    ]
    table = ask("runs").stdout
    assert all(row["name"] in table and row["id"] in table for row in found)


@pytest.mark.parametrize("checkpoint", ["first", "first:best", "first:last", "first:1"])
def test_evaluate(ask: Call, checkpoint: str) -> None:
    found = only(ask("evaluate", checkpoint, "--split", "all", "--json"))
    assert (found["checkpoint"], found["split"], found["num_clips"]) == (checkpoint, "all", 48)
    assert [row["label"] for row in found["per_class"]] == found["class_names"] == CLASSES
    confusion = found["confusion"]
    right = sum(confusion[index][index] for index in range(6))
    assert found["accuracy"] == pytest.approx(right / 48)
    recalls = [confusion[index][index] / sum(confusion[index]) for index in range(6)]
    assert found["balanced_accuracy"] == pytest.approx(sum(recalls) / 6)


def test_evaluate_for_people(ask: Call) -> None:
    shown = ask("evaluate", "first", "--split", "val").stdout
    assert "balanced accuracy" in shown
    assert "6 val clips" in shown
    assert shown.count("cymbal") == 3  # per class, and as a row and a column of the confusion matrix


def test_an_edited_dataset_is_judged_as_it_is_now_and_says_so(ask: Call, trained: Path) -> None:
    workspace = Workspace(Settings(workspace=trained, database_url=None, worker="external"))
    tested = next(clip for clip in workspace.clips("demo") if clip.split == "train")
    workspace.edit("demo").move([tested.id or 0], "test")
    done = ask("evaluate", "first", "--json")
    assert "Trained on version 1 of the dataset, judged on version 2." in done.stderr
    assert "1 of" in done.stderr
    workspace.edit("demo").undo()
    workspace.close()


def test_compare_corrects_for_the_number_of_comparisons(ask: Call) -> None:
    found = only(ask("compare", "first", "second", "third:last", "--split", "all", "--json"))
    rows = found["comparisons"]
    assert [(row["a"], row["b"]) for row in rows] == [("first", "second"), ("first", "third:last")]
    low, high = sorted(rows, key=lambda row: row["p_value"])
    assert low["p_value_holm"] == pytest.approx(min(1.0, 2 * low["p_value"]))
    assert high["p_value_holm"] == pytest.approx(max(low["p_value_holm"], high["p_value"]))
    shown = ask("compare", "first", "second", "third:last", "--split", "all").stdout
    assert shown.count("Holm's correction for 2 comparisons") == 2
    assert "at least two" in only(ask("compare", "first", "--json", rc=1))["error"]


def test_doubtful_labels_calibration_and_a_report(ask: Call, tmp_path: Path) -> None:
    found = only(ask("errors", "first", "--split", "all", "--json"))
    assert found["num_clips"] == 48
    assert all(issue["label"] != issue["suggested"] for issue in found["issues"])
    assert "labels are probably wrong" in ask("errors", "first").stdout
    found = only(ask("calibrate", "first", "--json"))
    assert found["temperature"] > 0
    assert found["test"]["after"]["temperature"] == found["temperature"]
    for ending in ("html", "json", "csv"):
        told = only(ask("report", "first", "second", "-o", tmp_path / f"report.{ending}", "--split", "all", "--json"))
        assert told["num_bytes"] == (tmp_path / f"report.{ending}").stat().st_size
    assert json.loads((tmp_path / "report.json").read_text())["num_clips"] == 48
    assert "ending in .html" in only(ask("report", "first", "-o", tmp_path / "report.pdf", "--json", rc=1))["error"]
    mean = only(ask("evaluate", "mean(first, second)", "--split", "all", "--json"))
    assert mean["num_clips"] == 48


def test_classify(ask: Call, trained: Path, tmp_path: Path) -> None:
    sounds = sorted(trained.glob("datasets/*/audio/**/*.*"))[:3]
    folder = tmp_path / "folder"
    for number, sound in enumerate(sounds):
        place = folder / "deep" / f"{number}{sound.suffix.upper()}"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sound, place)
    (folder / "notes.txt").write_text("not a sound")
    (folder / "deep" / "._0.wav").write_bytes(b"left by a Mac")
    heard = ask("classify", "first", sounds[0], folder, "--json")
    found = lines(heard)
    assert "Left out: notes.txt: Not an audio file" in heard.stderr
    assert "macOS" in heard.stderr
    assert [row["path"] for row in found] == [
        str(sounds[0]),
        *(str(file) for file in sorted(folder.glob("deep/[!.]*"))),
    ]
    for row in found:
        assert row["probs"][row["label"]] == row["confidence"] == max(row["probs"].values())
        assert sum(row["probs"].values()) == pytest.approx(1.0)
    assert found[0]["probs"] == pytest.approx(found[1]["probs"], abs=1e-5)
    shown = ask("classify", "first", sounds[0]).stdout
    assert shown == f"{sounds[0]}\t{found[0]['label']}\t{found[0]['confidence']:.1%}\n"


def test_a_bad_file_has_its_line_and_the_others_go_on(ask: Call, trained: Path, tmp_path: Path) -> None:
    good = next(trained.glob("datasets/*/audio/**/*.*"))
    bad = tmp_path / "bad\udcff.wav"  # a name that is not UTF-8
    bad.write_bytes(b"RIFF")
    (tmp_path / "phone").mkdir()
    (tmp_path / "phone" / "voice.m4a").write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom")
    result = ask("classify", "first", bad, tmp_path / "missing.wav", tmp_path / "phone", good, "--json", rc=1)
    found = lines(result)
    assert ["error" in row for row in found] == ["label" not in row for row in found] == [True, True, True, False]
    assert found[0]["path"] == str(bad)
    assert "voice.m4a" in found[2]["error"]
    assert "3 of 4 files" in result.stderr
    (tmp_path / "empty").mkdir()
    assert "No audio file" in only(ask("classify", "first", tmp_path / "empty", "--json", rc=1))["error"]


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "nobody"),
        ("evaluate", "first:77"),
        ("classify", "mean(first, second)", "a.wav"),
        ("evaluate", "first", "--split", "dev"),
        ("evaluate", "first", "--dataset", "nothing"),
        ("compare", "first", "nobody"),
        ("classify", "nobody", "a.wav"),
        ("train", "--dataset", "nothing"),
        ("train", "--dataset", "nothing", "--queue"),
        ("train", "--dataset", "demo", "--preset", "slow"),
        ("split", "demo", "--fractions", "0.5,0.5,0.5"),
        ("import", ".", "--name", " "),
    ],
    ids=" ".join,
)
def test_what_does_not_exist_is_told(ask: Call, command: tuple[str, ...]) -> None:
    told = only(ask(*command, "--json", rc=1))
    assert set(told) == {"error", "advice", "kind"}
    assert told["error"]
    assert told["advice"]
    shown = ask(*command, rc=1)
    assert shown.stdout == ""
    assert told["error"] in shown.stderr


# -- the machine ---------------------------------------------------------------------------------


def test_doctor(ask: Call, trained: Path) -> None:
    facts = only(ask("doctor", "--json"))
    assert facts["workspace"]["path"] == str(trained)
    assert facts["front_end"]["ok"] is True
    assert facts["versions"]["torch"]
    shown = ask("doctor").stdout
    assert str(trained) in shown
    assert "max file mb" in shown


def test_a_front_end_that_differs_is_a_failure(ask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samplemind_core.doctor.PARITY_LIMIT_DB", 0.0)
    assert only(ask("doctor", "--json", rc=1))["front_end"]["ok"] is False


def test_environment_variables_that_cannot_be_used(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLEMIND_MAX_FILE_MB", "0")
    monkeypatch.setenv("SAMPLEMIND_WORKER", "somewhere")
    for command in ("datasets", "runs", "doctor", "demo"):
        told = only(call(command, "--json", rc=1))
        assert "SAMPLEMIND_MAX_FILE_MB" in told["error"]
        assert "SAMPLEMIND_WORKER" in told["error"]


def test_a_wrong_command_line_is_not_a_traceback(call: Call) -> None:
    assert "No such option" in call("train", "--speed", "fast", rc=2).stderr
    assert "Usage" in call("help", rc=2).stderr
    for arguments in (
        ("split", "demo", "--seed", -1),
        ("import", ".", "--name", "a", "--seed", 2**31),
        ("demo", "--seed", -1),
        ("search", "demo", "--seed", -1),
        ("errors",),
        ("datasets", "diff", "one"),
        ("nothing",),
    ):
        told = only(call(*arguments, "--json", rc=2))
        assert told["error"]
        assert told["kind"] == "UsageError"


def test_as_a_program(trained: Path, tmp_path: Path) -> None:
    environment = os.environ | {"SAMPLEMIND_WORKSPACE": str(trained), "PYTHONIOENCODING": "ascii"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-X", "importtime", "-m", "samplemind_core", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    listed = run("runs", "--json")
    assert listed.returncode == 0
    assert [json.loads(line)["name"] for line in listed.stdout.splitlines()] == ["third", "second", "first"]
    imported = {
        line.rsplit("|", 1)[-1].strip() for line in listed.stderr.splitlines() if line.startswith("import time")
    }
    assert "sqlalchemy" in imported
    assert imported.isdisjoint({"torch", "librosa", "numba", "sklearn", "streamlit"})

    told = run("evaluate", "näbody")
    assert told.returncode == 1
    assert told.stdout == ""
    errors = [line for line in told.stderr.splitlines() if not line.startswith("import time")]
    assert errors == ["Error: There is no run 'n\\xe4body'. Newest runs: 'third', 'second', 'first'."]

    if Path("/dev/full").exists():
        command = [sys.executable, "-m", "samplemind_core", "runs"]
        with Path("/dev/full").open("w") as full:
            lost = subprocess.run(
                command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False
            )
        assert lost.returncode == 1
        assert lost.stderr == "Error: The answer could not be written: No space left on device.\n"


def test_robustness_tells_each_change(ask: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from samplemind_core.evaluation import robustness
    from samplemind_core.evaluation.probes import PROBES

    monkeypatch.setattr(robustness, "PROBES", {name: PROBES[name] for name in ("gain", "cut")})
    found = only(ask("robustness", "first", "--clips", 4, "--json"))
    assert [curve["probe"] for curve in found["curves"]] == ["gain", "cut"]
    assert len(found["clip_ids"]) == 4
    assert 0 <= found["clean"]["accuracy"] <= 1
    # Measured once, shown from the store.
    assert "right when clean" in ask("robustness", "first", "--clips", 4).stdout
    ask("robustness", "first", "--clips", 0, rc=2)


@pytest.fixture
def one_shots(trained: Path, tmp_path: Path) -> Path:
    """Two sounds of the demo dataset in folders, and a file that is none."""
    folder = tmp_path / "one shots"
    (folder / "more").mkdir(parents=True)
    sounds = sorted((trained / "datasets").rglob("*.wav"))
    shutil.copy(sounds[0], folder / "a.wav")
    shutil.copy(sounds[-1], folder / "more" / "b.wav")
    (folder / "broken.wav").write_text("This is not a sound.")
    return folder


def test_classify_sorts_and_undoes(ask: Call, one_shots: Path, tmp_path: Path) -> None:
    there, sure = tmp_path / "sorted", ("--min-confidence", "0")
    found = lines(ask("classify", "first", one_shots, "--json", rc=1))
    wanted = {
        row["path"]: there / row["label"] / Path(row["path"]).name
        for row in found
        if row.get("label") not in {None, "none of these"}
    }
    (one_shots / "broken.wav").unlink()
    assert wanted, "the network names at least one"
    plan = only(ask("classify", "first", one_shots, "--sort-into", there, "--dry-run", *sure, "--json"))
    assert {copy["path"]: Path(copy["to"]) for copy in plan["copies"]} == wanted
    assert not there.exists()
    shown = ask("classify", "first", one_shots, "--sort-into", there, "--dry-run").stdout
    assert all(f"{path}\t→ {target}" in shown for path, target in wanted.items())
    assert "Nothing was touched" in shown

    done = only(ask("classify", "first", one_shots, "--sort-into", there, "--csv", tmp_path / "a.csv", "--json"))
    assert done["copied"] == len(wanted) == sum(done["by_class"].values())
    assert all(target.read_bytes() == Path(path).read_bytes() for path, target in wanted.items())
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 3
    assert str(there) in done["undo"]

    back = only(ask("classify", "--undo", there, "--json"))
    assert (back["removed"], back["left"]) == (len(wanted), [])
    assert not list(there.rglob("*.wav"))
    assert "left to undo" in ask("classify", "--undo", there, rc=1).stderr


def test_what_is_not_sorted_says_why(ask: Call, one_shots: Path, tmp_path: Path) -> None:
    into = ("--sort-into", tmp_path / "sorted")
    shown = ask("classify", "first", one_shots, *into, "--min-confidence", "1", "--dry-run", rc=1).stdout
    assert "Left where they are: 3" in shown
    assert f"{one_shots / 'broken.wav'}\t" in shown
    refused = only(ask("classify", "first", one_shots, *into, "--min-confidence", "1", "--json", rc=1))
    assert "--dry-run" in refused["advice"]
    assert not (tmp_path / "sorted").exists()


def test_a_changed_copy_is_not_undone(ask: Call, one_shots: Path, tmp_path: Path) -> None:
    (one_shots / "broken.wav").unlink()
    there = tmp_path / "sorted"
    copy = only(ask("classify", "first", one_shots, "--sort-into", there, "--pattern", "{name}", "--json"))["copies"][0]
    Path(copy["to"]).write_bytes(b"edited")
    assert "changed since" in ask("classify", "--undo", there, rc=1).stdout
    assert Path(copy["to"]).read_bytes() == b"edited"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--dry-run",), "--sort-into"),
        (("--pattern", "{class}"), "--sort-into"),
        (("--sort-into", "{folder}/out"), "lies inside"),
        (("--sort-into", "{folder}/a.wav"), "lies inside"),
        (("--sort-into", "out", "--pattern", "{label}/{name}"), "does not know"),
        (("--sort-into", "out", "--windows"), "as a whole"),
        (("--sort-into", "out", "--undo", "out"), "Undo first"),
        (("--windows", "--way", "backwards"), "hits, steps"),
        (("--way", "steps"), "--windows"),
        (("--csv", "{folder}"), "is a folder"),
    ],
)
def test_sorting_refuses_before_it_listens(ask: Call, one_shots: Path, arguments: tuple[str, ...], reason: str) -> None:
    filled = [argument.replace("{folder}", str(one_shots)) for argument in arguments]
    refused = only(ask("classify", "first", one_shots, *filled, "--json", rc=1))
    assert reason in f"{refused['error']} {refused['advice']}"


def test_classify_needs_a_run_and_files_unless_it_undoes(ask: Call) -> None:
    assert "Missing argument" in ask("classify", rc=2).output
    assert "Missing argument" in ask("classify", "first", rc=2).output
