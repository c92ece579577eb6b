"""One door to everything: what a page, a route, the command line or a notebook can ask for.

Opening a workspace and asking for what is stored needs no torch; it is imported when something is
trained, evaluated or classified in this process.
"""

from __future__ import annotations

import functools
import getpass
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.config import USUAL_FEATURES, FeatureConfig, RunConfig
from samplemind_core.errors import JobError, NotFoundError
from samplemind_core.files import make_folder, write_atomic
from samplemind_core.settings import Settings
from samplemind_core.starter import is_starter, judge_starter, starter_checkpoint
from samplemind_core.store import Checkpoint, Clip, Dataset, Epoch, Event, Reject, Run, Store, Task
from samplemind_core.store.records import ENDED, RESUMABLE
from samplemind_core.tasks import Tasks
from samplemind_core.tasks import jobs as task_jobs
from samplemind_core.training import control, jobs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from samplemind_core.data.editing import Editor
    from samplemind_core.data.findings import HealthReport
    from samplemind_core.data.hearing import Heard
    from samplemind_core.data.sources import ImportOptions
    from samplemind_core.data.versions import DatasetDiff
    from samplemind_core.evaluation.calibration import Calibration
    from samplemind_core.evaluation.comparison import Comparison
    from samplemind_core.evaluation.cross_validation import CrossValidation
    from samplemind_core.evaluation.embeddings import Embeddings, Neighbour
    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.evaluation.label_calibration import LabelCalibration
    from samplemind_core.evaluation.label_comparison import LabelComparison
    from samplemind_core.evaluation.label_doubts import LabelDoubts
    from samplemind_core.evaluation.label_errors import LabelErrors
    from samplemind_core.evaluation.label_robustness import LabelRobustness
    from samplemind_core.evaluation.metrics import Evaluation
    from samplemind_core.evaluation.multi_label import LabelEvaluation
    from samplemind_core.evaluation.out_of_fold import By
    from samplemind_core.evaluation.report import Report
    from samplemind_core.evaluation.robustness import Robustness
    from samplemind_core.inference.classifier import Classifier
    from samplemind_core.search.study import Found, Plan
    from samplemind_core.store import Search
    from samplemind_core.training.batch_finder import BatchSearch
    from samplemind_core.training.clip_record import ClipHistory
    from samplemind_core.training.examples import Example
    from samplemind_core.training.jobs import Listener
    from samplemind_core.training.lr_finder import LrCurve
    from samplemind_core.training.run_list import RunSummary
    from samplemind_core.training.training_data import TrainingData

Progress = Callable[[int, int | None, str], None]
ShouldStop = Callable[[], bool]
TEND_EVERY_S = 1.0
MAX_CLASSIFIERS = 4
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Workspace:
    """A folder and a database holding datasets, runs and checkpoints.

    Parameters
    ----------
    settings : Settings, optional
        Where things are; read from ``SAMPLEMIND_*`` environment variables by default.

    Raises
    ------
    StoreError
        If the database cannot be reached or was written by a newer version.
    StorageError
        If the folder cannot be made.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self.root = self.settings.root
        make_folder(self.root)
        self.store = Store(self.settings.url)
        self.tasks = Tasks(self.store, self.settings, lambda: self.tend(now=True))
        self._tended_at = self._swept_at = 0.0
        self._tending = threading.Lock()
        self._load_classifier = functools.lru_cache(MAX_CLASSIFIERS)(self._read_classifier)
        self._loading = threading.Lock()
        self._unmeasurable: set[tuple[Path, tuple[int, ...]]] = set()

    @classmethod
    def open(cls, root: Path | str | None = None) -> Workspace:
        """Open the workspace in a folder; that of the environment by default."""
        return cls(Settings.from_environment() if root is None else Settings.from_environment(workspace=Path(root)))

    def close(self) -> None:
        """Close the database's connections."""
        self.store.close()

    # -- data ------------------------------------------------------------------------------------

    def make_demo(
        self,
        *,
        per_class: int = 200,
        seed: int = 0,
        name: str = "demo",
        layers: bool = False,
        progress: Progress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Dataset:
        """Synthesise the demo dataset: six classes of one-shots, or layers of them, honestly marked synthetic."""
        from samplemind_core.data.importer import import_demo

        return import_demo(self.store, self.root, name, per_class, seed, progress, should_stop, layers=layers)

    def import_dataset(
        self,
        source: Path | str,
        *,
        name: str,
        options: ImportOptions | None = None,
        progress: Progress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Dataset:
        """Import a folder per class, a zip, a CSV manifest or ``train/validation/test.npz``.

        See :func:`samplemind_core.data.importer.import_dataset` for parameters and errors.
        """
        from samplemind_core.data.importer import import_dataset

        return import_dataset(
            self.store,
            self.root,
            Path(source).expanduser(),
            name,
            options=options,
            limits=self.settings.limits,
            progress=progress,
            should_stop=should_stop,
        )

    def datasets(self) -> list[Dataset]:
        """Return all datasets, newest first."""
        return self.store.datasets.all()

    def dataset(self, name_or_id: str) -> Dataset:
        """Return a dataset by name or id; raise :class:`NotFoundError` if there is none."""
        if not name_or_id:
            raise NotFoundError("The sounds that this checkpoint was trained on are not here.", "Name a dataset.")
        return self.store.datasets.get(name_or_id)

    def clips(self, name_or_id: str, version: int | None = None) -> list[Clip]:
        """Return the clips that take part in a dataset, as they are or as they were in a version."""
        found = self.dataset(name_or_id)
        clips = self.store.versions.clips(found if version is None else self.store.versions.at(found, version))
        return [clip for clip in clips if not clip.excluded]

    def edit(self, name_or_id: str, *, by: str = "", base: int | None = None) -> Editor:
        """Return what changes a dataset; see :class:`samplemind_core.data.editing.Editor`."""
        from samplemind_core.data.editing import Editor

        return Editor(self.store, self.dataset(name_or_id), author=by or machine_user(), base=base)

    def diff(self, a: str, b: str) -> DatasetDiff:
        """Return what differs between two datasets, or versions of them (``NAME@VERSION``)."""
        from samplemind_core.data.versions import diff, resolve_dataset

        return diff(self.store, resolve_dataset(self.store, a), resolve_dataset(self.store, b))

    def trained_on(self, ref: str, *, dataset: str | None = None, split: str = "test") -> str:
        """Return what to know where a checkpoint is judged on another version than it was trained on; mostly ''."""
        from samplemind_core.data.versions import trained_on
        from samplemind_core.evaluation.lineup import mean_members

        behind = [self.behind(member) for member in mean_members(ref) or [ref]]
        # Out-of-fold answers are about clips that were never heard: nothing flatters those.
        runs = [run for run, checkpoint in behind if run is not None and checkpoint is not None]
        notes = [trained_on(self.store, run, self.dataset(dataset or run.dataset_id), split) for run in runs]
        return " ".join(dict.fromkeys(note.sentence for note in notes if note and note.sentence))

    def rejects(self, dataset_id: str) -> list[Reject]:
        """Return what was not imported, with its reason."""
        return self.store.datasets.rejects(dataset_id)

    def delete_dataset(self, name_or_id: str) -> None:
        """Delete a dataset that nothing needs, with its files, its searches and runs that were deleted before.

        See :func:`samplemind_core.data.deleting.check_unused` for what keeps it.
        """
        from samplemind_core.data.deleting import check_unused
        from samplemind_core.data.incoming import delete_dataset_folder

        dataset = self.dataset(name_or_id)
        check_unused(self.store, dataset)  # before anything that could be brought back is gone
        control.sweep(self.store, self.settings, dataset_id=dataset.id)
        self.store.datasets.delete(dataset.id)
        delete_dataset_folder(self.root, dataset.id)

    def clip_audio(self, clip: Clip | int) -> Path | None:
        """Return the original file of a clip, or None where the dataset holds only spectrograms."""
        found = self.store.datasets.clip(clip) if isinstance(clip, int) else clip
        return self.root / "datasets" / str(found.dataset_id) / found.file if found.file else None

    def clip_wav(self, clip_id: int) -> bytes:
        """Return a clip as a 16-bit WAV that every browser plays.

        Raises
        ------
        NotFoundError
            If there is no such clip, or it has no audio.
        AudioError
            If its file was damaged since the import.
        """
        from samplemind_core.audio.decode import to_wav

        rate = min(self.store.datasets.clip(clip_id).sample_rate_hz or 44_100, 48_000)
        return to_wav(self._decoded(clip_id, rate), rate)

    def hear(self, clip_id: int, features: FeatureConfig | None = None) -> Heard:
        """Return a clip as a network hears it; errors as :meth:`clip_wav`, see :func:`data.hearing.hear`."""
        from samplemind_core.data.hearing import hear

        rate = self.store.datasets.clip(clip_id).sample_rate_hz or 44_100
        return hear(self._decoded(clip_id, rate), rate, features or USUAL_FEATURES)

    def augmented(self, clip_id: int, config: RunConfig, seed: int = 0) -> tuple[Example, ...]:
        """Return a clip as a run's epochs may have it; see :func:`training.examples.augmented_examples`."""
        from samplemind_core.training.examples import augmented_examples

        return augmented_examples(self._decoded(clip_id, config.features.sample_rate_hz), config, seed=seed)

    def health(
        self,
        name_or_id: str,
        *,
        again: bool = False,
        progress: Progress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> HealthReport:
        """Return what is wrong, risky or odd about a dataset as it is now, measured unless it was already.

        ``again`` measures anew; see :func:`samplemind_core.data.health.measure_health` for the rest. For large
        datasets submit a task of the kind ``health`` with the parameter ``dataset``.
        """
        from samplemind_core.data.health import measure_health

        stored = None if again else self.stored_health(name_or_id)
        return stored or measure_health(
            self.root, self.store, self.dataset(name_or_id), progress=progress, should_stop=should_stop
        )

    def stored_health(self, name_or_id: str) -> HealthReport | None:
        """Return the health report of a dataset as it is now, or None where it was not measured yet."""
        from samplemind_core.data.health import stored_report

        return stored_report(self.root, self.store, self.dataset(name_or_id))

    def _decoded(self, clip_id: int, rate_hz: int) -> npt.NDArray[np.float32]:
        from samplemind_core.audio.decode import decode

        path = self.clip_audio(clip_id)
        if path is None:
            raise NotFoundError(f"Clip {clip_id} has no audio.", "Its dataset was imported as spectrograms.")
        clip = self.store.datasets.clip(clip_id)
        return decode(path, rate_hz, name=clip.name, limits=self.settings.limits).waveform

    # -- training --------------------------------------------------------------------------------

    def submit(
        self,
        dataset: str,
        config: RunConfig,
        *,
        name: str | None = None,
        owner: str = "",
        start: bool = True,
        notes: str = "",
        tags: Sequence[str] = (),
        based_on: str | None = None,
    ) -> Run:
        """Queue a run and see to it that a worker takes it.

        Parameters
        ----------
        dataset : str
            Name or id.
        config : RunConfig
            See :func:`samplemind_core.config.build_config`.
        name : str, optional
            Unique among runs; made from the dataset and the preset by default.
        owner : str
            Who started it; the machine's user by default.
        start : bool
            Whether to start a worker if none is running.
        notes, tags
            What people write beside it.
        based_on : str, optional
            The run whose settings it started from.

        Raises
        ------
        NotFoundError, NameTakenError, ConfigError
        DataError
            If the dataset holds ready-made spectrograms, and the settings ask for others.
        """
        found = self.dataset(dataset)
        config = self._fitted(config, found)
        now = time.time()
        chosen = self._free_name(f"{found.name}-{config.preset}") if name is None else control.checked_name(name)
        run = Run(
            id=uuid.uuid4().hex[:12],
            name=chosen,
            dataset_id=found.id,
            status="queued",
            config=config.model_copy(update={"extended_at": ()}).model_dump(mode="json"),
            owner=owner or machine_user(),
            created_at=now,
            queued_at=now,
            progress={"epochs": config.train.epochs},
            dataset_version=found.version,
            dataset_fingerprint=found.fingerprint,
            notes=control.checked_notes(notes),
            tags=control.checked_tags(tags),
            based_on=None if based_on is None else self.run(based_on).id,
        )
        self.store.runs.add(run)
        # For people who look into the folder; the worker reads the database.
        write_atomic(jobs.run_folder(self.settings, run.id) / "config.json", config.model_dump_json(indent=2).encode())
        if start:
            self.tend(now=True)
        return self.run(run.id)

    def train(
        self, dataset: str, config: RunConfig, *, name: str | None = None, listener: Listener | None = None
    ) -> Run:
        """Train in this process and return the ended run.

        Parameters
        ----------
        dataset, config, name
            As for :meth:`submit`.
        listener : callable, optional
            Called with ('progress', dict), ('epoch', Epoch) and ('event', str).

        Raises
        ------
        JobError
            If another worker is training in this workspace.
        """
        with jobs.as_worker(self.settings):
            run = self.submit(dataset, config, name=name, start=False)
            worker = jobs.identity()
            claimed = self.store.runs.claim(worker, run.id)
            if claimed is None:
                raise JobError(f"Run '{run.name}' was taken from the queue by somebody else.", "Follow it on the page.")
            ended = jobs.execute(self.store, self.settings, claimed, worker, listener)
        self.tend(now=True)  # what was queued meanwhile found the lock taken
        return ended

    def cross_validate(
        self,
        dataset: str,
        config: RunConfig,
        *,
        num_folds: int = 5,
        by: By = "auto",
        name: str | None = None,
        owner: str = "",
        start: bool = True,
    ) -> Task:
        """Queue k trainings that each leave out one fold; see :func:`evaluation.out_of_fold.cross_validate`.

        ``name`` is that of the run that stands for them once they are done; the other parameters and errors
        are those of :meth:`submit`.
        """
        from samplemind_core.evaluation.cross_validation import KIND, task_params

        found = self.dataset(dataset)
        chosen = self._free_name(f"{found.name}-{config.preset}-folds") if name is None else control.checked_name(name)
        params = task_params(self.store, found, config, num_folds, by) | {"name": chosen}
        title = f"Cross-validation of {config.preset} settings on {found.name}"
        return self.tasks.submit(KIND, title, params, owner=owner or machine_user(), start=start)

    def cross_validation(self, run: str) -> CrossValidation | None:
        """Return the figures of a run's cross-validation; None where it has none."""
        from samplemind_core.evaluation.cross_validation import read_cross_validation

        return read_cross_validation(self.store, self.settings, self.run(run))

    def search(
        self, dataset: str, plan: Plan, num_trials: int, *, name: str | None = None, owner: str = "", start: bool = True
    ) -> Search:
        """Queue a search for better settings; see :mod:`samplemind_core.search`.

        Raises
        ------
        NotFoundError
        ConfigError
            If the plan cannot be followed, or judges by what clips with one label, or several, do not have.
        """
        from samplemind_core.search.work import submit_search

        found = self.dataset(dataset)
        chosen = f"{found.name}-{plan.config.preset}" if name is None else control.checked_name(name)
        return submit_search(
            self.store, self.tasks, found, plan, num_trials, chosen, owner or machine_user(), start=start
        )

    def search_results(self, search: str) -> Found:
        """Return what a search has found so far: its trials, the best one and which settings mattered."""
        from samplemind_core.search.study import read_found

        return read_found(self.store, self.store.searches.get(search))

    def extend_search(self, search: str, more: int, *, owner: str = "", start: bool = True) -> Search:
        """Queue further trials of a search that is done."""
        from samplemind_core.search.work import extend_search

        return extend_search(self.store, self.tasks, search, more, owner or machine_user(), start=start)

    def find_lr(
        self,
        dataset: str,
        config: RunConfig,
        num_steps: int = 120,
        progress: Progress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> LrCurve:
        """Return a range test of the learning rate; parameters and errors of :func:`training.lr_finder.find_lr`."""
        from samplemind_core.training.lr_finder import find_lr

        found = self.dataset(dataset)
        config = self._fitted(config, found)
        data = self._training_data(found, config, progress)
        return find_lr(
            config, data, num_steps=num_steps, device=self.settings.device, progress=progress, should_stop=should_stop
        )

    def submit_find_lr(self, dataset: str, config: RunConfig, *, owner: str = "") -> Task:
        """Queue :meth:`find_lr` as a task, whose result holds the ``curve`` and the ``config``."""
        found = self.dataset(dataset)
        params = {"dataset": found.id, "config": config.model_dump(mode="json")}
        return self.tasks.submit("find_lr", f"Learning rate for {found.name}", params, owner=owner or machine_user())

    def find_batch_size(self, dataset: str, config: RunConfig, progress: Progress | None = None) -> BatchSearch:
        """Return the largest batch that fits a GPU; errors of :func:`training.batch_finder.find_batch_size`."""
        from samplemind_core.training.batch_finder import find_batch_size, require_cuda

        device = require_cuda(config, self.settings.device)  # before minutes of reading
        found = self.dataset(dataset)
        config = self._fitted(config, found)
        return find_batch_size(config, self._training_data(found, config, progress), device=device)

    def _fitted(self, config: RunConfig, dataset: Dataset) -> RunConfig:
        """Return settings as a run on a dataset takes them; see :func:`data.dataset.fitted`."""
        from samplemind_core.data.dataset import fitted

        return fitted(config, dataset, self.store.datasets.split_sizes(dataset.id).get("train", 0))

    def _training_data(self, dataset: Dataset, config: RunConfig, progress: Progress | None) -> TrainingData:
        from samplemind_core.data.dataset import load_clips
        from samplemind_core.training.training_data import TrainingData
        from samplemind_core.training.variants import with_variants

        clips = load_clips(self.root, self.store, dataset, config.features, progress)
        return with_variants(TrainingData.of(clips), config, self.root, self.store, clips, progress)

    def stop(self, run: str, by: str = "", *, pause: bool = False) -> None:
        """Ask a run to finish its batch, save and end, or pause; a queued one leaves the queue."""
        self.store.runs.request_stop(self.run(run).id, by, pause=pause)
        self.tend(now=True)

    def resume(self, run: str, by: str = "") -> Run:
        """Queue a stopped, failed or interrupted run again, to go on from its last checkpoint."""
        resumed = self.store.runs.requeue(self.run(run).id, RESUMABLE, by)
        self.tend(now=True)
        return resumed

    def extend(self, run: str, epochs: int, by: str = "") -> Run:
        """Let a finished run train for more epochs; see :func:`training.control.extend_run`."""
        extended = control.extend_run(self.store, self.settings, self.run(run), epochs, by)
        self.tend(now=True)
        return extended

    def describe_run(
        self, run: str, *, name: str | None = None, notes: str | None = None, tags: Sequence[str] | None = None
    ) -> Run:
        """Change a run's name, notes or tags; what is None stays. See :func:`training.control.describe_run`."""
        return control.describe_run(self.store, self.run(run).id, name=name, notes=notes, tags=tags)

    def delete_run(self, run: str, by: str = "") -> Run:
        """Hide a run from every list; it can be brought back for ``settings.keep_deleted_h`` hours."""
        return self.store.runs.hide(self.run(run).id, by)

    def restore_run(self, run: str, by: str = "") -> Run:
        """Bring a deleted run back."""
        return self.store.runs.bring_back(self.run(run).id, by)

    def deleted_runs(self) -> list[Run]:
        """Return the runs that were deleted and can be brought back, newest first."""
        return self.store.runs.all(deleted=True)

    def tend(self, *, now: bool = False) -> None:
        """Notice dead workers and start one if runs or tasks wait. Cheap: does nothing if done a second ago."""
        if not self._tending.acquire(blocking=now):
            return
        try:
            if now or time.monotonic() - self._tended_at >= TEND_EVERY_S:
                jobs.tend(self.store, self.settings)
                task_jobs.tend(self.store, self.settings)
                self._tended_at = time.monotonic()
                if self._tended_at - self._swept_at >= control.SWEEP_EVERY_S:
                    control.sweep(self.store, self.settings)
                    self._swept_at = self._tended_at
        finally:
            self._tending.release()

    def runs(self, dataset: str | None = None) -> list[Run]:
        """Return runs, newest first."""
        return self.store.runs.all(dataset_id=None if dataset is None else self.dataset(dataset).id)

    def run_summaries(self) -> list[RunSummary]:
        """Return all runs with their curves and scores, newest first; see :mod:`training.run_list`."""
        from samplemind_core.training.run_list import summarise

        return summarise(self.store, self.settings)

    def clip_history(self, run: str) -> ClipHistory | None:
        """Return what each validation clip was called in each epoch of a run, or None where that was not noted."""
        from samplemind_core.training.clip_record import FILE, read_clip_record

        found = self.run(run)
        done = self.store.run_lists.curves([found.id]).get(found.id)
        return read_clip_record(jobs.run_folder(self.settings, found.id) / FILE, done.epochs[-1] if done else 0)

    def run(self, name_or_id: str) -> Run:
        """Return a run by name or id; raise :class:`NotFoundError` if there is none."""
        return self.store.runs.get(name_or_id)

    def epochs(self, run_id: str, after: int = 0) -> list[Epoch]:
        """Return a run's epochs after the given one."""
        return self.store.runs.epochs(run_id, after=after)

    def events(self, run_id: str, after: int = 0) -> list[Event]:
        """Return a run's events after the given id."""
        return self.store.runs.events(run_id, after=after)

    def checkpoints(self, run_id: str) -> list[Checkpoint]:
        """Return a run's checkpoints: best, last, then kept epochs."""
        return self.store.runs.checkpoints(run_id)

    def queue_position(self, run_id: str) -> int | None:
        """Return 1 for the run that starts next; None if it is not queued."""
        return self.store.runs.queue_position(run_id)

    def log_tail(self, run_id: str, lines: int = 40) -> str:
        """Return the end of a run's log."""
        path = jobs.run_folder(self.settings, run_id) / "worker.log"
        if not path.exists():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    # -- judging and using -----------------------------------------------------------------------

    def resolve(self, ref: str) -> tuple[Run, Checkpoint]:
        """Return the run and checkpoint that ``RUN``, ``RUN:best``, ``RUN:last`` or ``RUN:EPOCH`` names.

        ``starter`` names the model that the package brings along; see :mod:`samplemind_core.starter`.

        Raises
        ------
        NotFoundError
            If there is no such run or checkpoint; the message lists those there are. Also for ``mean(…)`` and
            ``folds(…)``, which are several.
        """
        if is_starter(ref):
            return starter_checkpoint()
        if control.TAKEN.fullmatch(ref):
            raise NotFoundError(f"'{ref}' does not name one checkpoint.", "Name a run, as RUN, RUN:last or RUN:EPOCH.")
        name, _, which = ref.partition(":")
        run = control.still_there(self.run(name))
        which = which or "best"
        found = self.checkpoints(run.id)
        for checkpoint in found:
            if checkpoint.kind == which or str(checkpoint.epoch) == which:
                return run, checkpoint
        there = ", ".join(f"{row.kind} (epoch {row.epoch})" for row in found) or "none yet"
        raise NotFoundError(f"Run '{run.name}' has no checkpoint '{which}'.", f"Checkpoints: {there}.")

    def checkpoint_path(self, ref: str) -> Path:
        """Return the file of a checkpoint."""
        return self.root / self.resolve(ref)[1].path

    def judge(
        self, ref: str, *, dataset: str | None = None, split: str = "test", progress: Progress | None = None
    ) -> Judged:
        """Return a checkpoint's logits on a split, stored or computed now; see :func:`evaluation.judging.judge`.

        ``mean(RUN, RUN:last)`` is judged by the mean probabilities of its members, ``folds(RUN)`` by its
        cross-validation.
        """
        from samplemind_core.evaluation.judging import judge
        from samplemind_core.evaluation.lineup import mean_members, mean_of
        from samplemind_core.evaluation.out_of_fold import folds_run, judge_out_of_fold

        if run_name := folds_run(ref):
            run = self.run(run_name)
            return judge_out_of_fold(self.store, self.settings, run, self.dataset(dataset or run.dataset_id), split)
        if members := mean_members(ref):
            dataset = dataset or self.resolve(members[0])[0].dataset_id
            return mean_of([self.judge(one, dataset=dataset, split=split, progress=progress) for one in members])
        run, checkpoint = self.resolve(ref)
        if is_starter(ref):
            return judge_starter(self.store, self.settings, self.dataset(dataset or run.dataset_id), split, progress)
        found = self.dataset(dataset or run.dataset_id)
        return judge(self.store, self.settings, checkpoint, found, split, progress)

    def evaluate(self, ref: str, *, dataset: str | None = None, split: str = "test") -> Evaluation | LabelEvaluation:
        """Return how a checkpoint fares, in all and by class: its accuracy, or its mean average precision."""
        from samplemind_core.evaluation.measuring import evaluate_judged

        return evaluate_judged(self.judge(ref, dataset=dataset, split=split))

    def compare(
        self, ref_a: str, ref_b: str, *, dataset: str | None = None, split: str = "test"
    ) -> Comparison | LabelComparison:
        """Return whether one of two checkpoints is really better on the same clips.

        Raises
        ------
        DataError
            If no clip is left that both could name.
        """
        return self.compare_many([ref_a, ref_b], dataset=dataset, split=split)[0]

    def compare_many(
        self, refs: Sequence[str], *, dataset: str | None = None, split: str = "test"
    ) -> tuple[Comparison | LabelComparison, ...]:
        """Return the first checkpoint's comparison with each other one, corrected for their number."""
        from samplemind_core.evaluation.lineup import line_up
        from samplemind_core.evaluation.measuring import compare_judged

        dataset = dataset or self._dataset_behind(refs[0])
        judged, _ = line_up([self.judge(ref, dataset=dataset, split=split) for ref in refs])
        return compare_judged(list(zip(refs, judged, strict=True)))

    def embeddings(self, ref: str, *, dataset: str | None = None, progress: Progress | None = None) -> Embeddings:
        """Return where a checkpoint's network puts the clips of a dataset, stored or computed now."""
        from samplemind_core.evaluation.embeddings import embed_dataset

        run, checkpoint = self.resolve(ref)
        return embed_dataset(self.store, self.settings, checkpoint, self.dataset(dataset or run.dataset_id), progress)

    def nearest_training_clips(
        self,
        ref: str,
        sound: int | npt.NDArray[np.floating],
        k: int = 5,
        *,
        label: str | None = None,
        dataset: str | None = None,
    ) -> list[Neighbour]:
        """Return the training clips that a checkpoint's network finds most like a sound, the nearest first.

        Parameters
        ----------
        ref : str
            See :meth:`resolve`.
        sound : int or ndarray
            Id of a clip, which is not among its own neighbours; a waveform (T,) at the checkpoint's rate; or a
            log-mel spectrogram (n_mels, frames) in dB.
        k : int
            At most so many.
        label : str, optional
            Only clips of this class.
        dataset : str, optional
            Search another dataset than the run's own.
        """
        from samplemind_core.evaluation.embeddings import embed_sound, nearest_clips

        embeddings = self.embeddings(ref, dataset=dataset)
        if isinstance(sound, int):
            clip = self.store.datasets.clip(sound)
            vector, without = embeddings.vector(sound), (clip.content_hash,)
            return nearest_clips(self.store, embeddings, vector, k, label=label, without=without)
        classifier = self.classifier(ref)
        vector = embed_sound(classifier.model, classifier.info.features, sound, classifier.device)
        return nearest_clips(self.store, embeddings, vector, k, label=label)

    def robustness(
        self,
        ref: str,
        *,
        dataset: str | None = None,
        split: str = "test",
        count: int = 120,
        progress: Progress | None = None,
    ) -> Robustness | LabelRobustness:
        """Return what a checkpoint withstands on at most ``count`` clips, stored or measured now."""
        from samplemind_core.evaluation.robustness import robustness_of

        run, checkpoint = self.resolve(ref)
        found = self.dataset(dataset or run.dataset_id)
        return robustness_of(self.store, self.settings, checkpoint, found, split, count, progress)

    def behind(self, ref: str) -> tuple[Run | None, Checkpoint | None]:
        """Return the run and checkpoint of any reference: none of ``mean(…)``, no checkpoint of ``folds(RUN)``."""
        from samplemind_core.evaluation.lineup import mean_members
        from samplemind_core.evaluation.out_of_fold import folds_run

        if mean_members(ref):
            return None, None
        run_name = folds_run(ref)
        return (self.run(run_name), None) if run_name else self.resolve(ref)

    def _dataset_behind(self, ref: str) -> str:
        from samplemind_core.evaluation.lineup import mean_members

        run, _ = self.behind((mean_members(ref) or [ref])[0])
        assert run is not None
        return run.dataset_id

    def report(self, refs: Sequence[str], *, dataset: str | None = None, split: str = "test") -> Report:
        """Return what is known of some checkpoints on the same clips, to send to somebody."""
        from samplemind_core.evaluation.lineup import line_up
        from samplemind_core.evaluation.report import describe_model, make_report

        chosen = self.dataset(dataset or self._dataset_behind(refs[0]))
        judged, notes = line_up([self.judge(ref, dataset=chosen.id, split=split) for ref in refs])
        models = []
        for letter, ref, one in zip(_LETTERS, refs, judged, strict=False):
            run, checkpoint = self.behind(ref)
            models.append(describe_model(letter, one, run, checkpoint, self.root, self.epochs(run.id) if run else []))
        clips = {clip.id or 0: clip for clip in self.clips(chosen.id)}
        return make_report(models, clips, chosen.name, split, notes)

    def run_report(self, run: str) -> str:
        """Return one run as an HTML page to mail or print; see :mod:`evaluation.run_report`."""
        from samplemind_core.evaluation.run_report import gather, run_report

        found = self.run(run)
        dataset = self.store.versions.at(self.dataset(found.dataset_id), found.dataset_version)
        best = next((one for one in self.checkpoints(found.id) if one.kind == "best"), None)
        path = None if best is None else self.root / best.path
        judge = functools.partial(self.judge, f"{found.id}:best")
        return run_report(gather(found, dataset, self.epochs(found.id), path, lambda split: judge(split=split)))

    def calibrate(self, ref: str) -> float:
        """Fit a checkpoint's temperature on its validation clips, keep it with the checkpoint and return it."""
        from samplemind_core.data.dataset import require_one_label
        from samplemind_core.evaluation.calibration import calibrate_checkpoint
        from samplemind_core.training.checkpoints import require_own

        run, checkpoint = self.resolve(ref)
        require_own(self.root / checkpoint.path)
        require_one_label(self.dataset(run.dataset_id), "A temperature")
        self.judge(ref, split="val")  # leaves the logits that the temperature is fitted on
        temperature = calibrate_checkpoint(self.store, self.root, checkpoint, run.dataset_id)
        assert temperature is not None
        return temperature

    def calibration(self, ref: str, *, split: str = "test") -> tuple[Calibration, Calibration]:
        """Return how far a checkpoint's confidence can be trusted, without and with its temperature."""
        from samplemind_core.evaluation.calibration import measure_calibration
        from samplemind_core.evaluation.measuring import require_one_answer
        from samplemind_core.training.checkpoints import read_info

        judged = require_one_answer(self.judge(ref, split=split), "Calibration")
        groups = judged.sources.tolist()
        before = measure_calibration(judged.logits, judged.targets, groups=groups)
        temperature = read_info(self.checkpoint_path(ref)).temperature
        return before, measure_calibration(judged.logits, judged.targets, temperature=temperature, groups=groups)

    def label_calibration(self, ref: str, *, split: str = "test") -> tuple[LabelCalibration, ...]:
        """Return how far confidence can be trusted where clips have several labels: of all together, then of each."""
        from samplemind_core.evaluation.label_calibration import calibration_of

        return calibration_of(self.judge(ref, split=split))

    def label_errors(
        self, ref: str, *, dataset: str | None = None, split: str = "test"
    ) -> tuple[LabelErrors | LabelDoubts, dict[int, Clip], str]:
        """Return doubtful labels, the clips by id, and whose answers they rest on.

        Out-of-fold answers on all clips where the run has them; a checkpoint's on a split otherwise.
        """
        from samplemind_core.evaluation.measuring import doubt_judged
        from samplemind_core.evaluation.out_of_fold import folds_ref, out_of_fold_file

        run, _ = self.behind(ref)
        basis = f"by {ref} on {split}"
        if run is not None and dataset is None and out_of_fold_file(self.settings, run.id).exists():
            ref, split, basis = folds_ref(run.id), "all", f"by the cross-validation of {run.name}"
        judged = self.judge(ref, dataset=dataset, split=split)
        clips = {clip.id or 0: clip for clip in self.clips(dataset or self._dataset_behind(ref))}
        home = self.dataset(dataset or self._dataset_behind(ref))
        return doubt_judged(self.root, self.store, home, judged), clips, basis

    def import_checkpoint(self, content: bytes, file_name: str, dataset: str, owner: str = "") -> Run:
        """Take in a checkpoint that another SampleMind wrote; see :mod:`training.imported`."""
        from samplemind_core.training.imported import import_checkpoint

        dataset_id = self.dataset(dataset).id
        return import_checkpoint(self.store, self.settings, content, file_name, dataset_id, owner or machine_user())

    def kept_labels(self, dataset_id: str) -> dict[int, str]:
        """Return the labels that somebody listened to and kept, by clip id."""
        from samplemind_core.evaluation.label_errors import read_kept_labels

        return read_kept_labels(self.root, dataset_id)

    def keep_label(self, dataset_id: str, clip_id: int, label: str) -> None:
        """Remember that a clip's label is right, whatever networks say of it."""
        from samplemind_core.evaluation.label_errors import write_kept_label

        write_kept_label(self.root, dataset_id, clip_id, label)

    def classifier(self, ref: str) -> Classifier:
        """Return the classifier of a checkpoint, kept in memory until the checkpoint changes.

        How far its confidence can be trusted is measured now if it was not at the end of training.
        """
        from samplemind_core.inference.trust import leave_trust, trust_file

        run, checkpoint = self.resolve(ref)
        path = self.root / checkpoint.path
        if is_starter(ref):
            self._unmeasurable.add((path, _stamp(path)))  # the sounds it learnt from are not here to measure by
        with self._loading:
            known = self._load_classifier(path, _stamp(path, trust_file(path)))
            # The best checkpoint of a run that goes on may be another one in a minute.
            if known.trust is None and run.status in ENDED and (path, _stamp(path)) not in self._unmeasurable:
                if leave_trust(self.store, self.settings, run, checkpoint) is None:
                    self._unmeasurable.add((path, _stamp(path)))
                known = self._load_classifier(path, _stamp(path, trust_file(path)))
            return known

    def _read_classifier(self, path: Path, _stamp: tuple[int, ...]) -> Classifier:
        from samplemind_core.inference.classifier import Classifier

        return Classifier.load(path, device=self.settings.device, limits=self.settings.limits)

    # -- the machine -----------------------------------------------------------------------------

    def doctor(self, *, check: bool = False) -> dict[str, Any]:
        """Return versions, device, workspace, database and limits."""
        from samplemind_core.doctor import examine

        return examine(self, check=check)

    def _free_name(self, base: str) -> str:
        taken = {run.name for run in self.store.runs.all(deleted=None)}
        base = base.replace(":", "-")
        return next(name for number in range(1, len(taken) + 2) if (name := f"{base}-{number}") not in taken)


def _stamp(*paths: Path) -> tuple[int, ...]:
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in paths)


def machine_user() -> str:
    """Return who this process runs as: the owner of what is done without a sign-in."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"  # a container without an entry for its user
