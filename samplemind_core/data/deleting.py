"""Whether a dataset may go: never from under a run or a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplemind_core.errors import JobError, NameTakenError, NotFoundError
from samplemind_core.store.records import Dataset, Task

if TYPE_CHECKING:
    from samplemind_core.store import Store


def check_unused(store: Store, dataset: Dataset) -> None:
    """Refuse a dataset that runs belong to or that a task is busy with.

    Runs that were deleted and could be brought back do not count: they go with the dataset.

    Raises
    ------
    NameTakenError
        If there are runs.
    JobError
        If a search, a health check or another task waits for it or works on it.
    """
    runs = store.runs.all(dataset_id=dataset.id)
    if runs:
        who = f" and {len(runs) - 1:,} more were" if len(runs) > 1 else " was"
        raise NameTakenError(
            f"Run '{runs[0].name}'{who} trained on dataset '{dataset.name}'.",
            f"Delete {'these runs' if len(runs) > 1 else 'this run'} first.",
        )
    for task in store.tasks.all(statuses=("queued", "running")):
        if _dataset_of(store, task) == dataset.id:
            raise JobError(f"'{task.title}' is {task.status} and needs this dataset.", "Stop it first, or wait for it.")


def _dataset_of(store: Store, task: Task) -> str | None:
    if "search" in task.params:
        try:
            return store.searches.get(task.params["search"]).dataset_id
        except NotFoundError:
            return None
    found = store.datasets.find(str(task.params.get("dataset", "")))
    return None if found is None else found.id
