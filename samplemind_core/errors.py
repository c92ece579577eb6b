"""One exception tree. Every message says what was expected, what came and what to do next.

    SampleMindError
    ├── ConfigError            a setting is out of range, unknown or of the wrong type
    ├── NotFoundError          a dataset, run, checkpoint or clip that does not exist
    ├── NameTakenError         a name that must be unique is in use
    ├── AudioError             one file or buffer could not become a waveform
    │   ├── UnreadableAudioError   not audio, or a format that cannot be decoded
    │   ├── TruncatedAudioError    the header promises more than the file holds
    │   ├── EmptyAudioError        no frames or no channels
    │   ├── NonFiniteAudioError    NaN or infinity among the samples
    │   └── AudioLimitError        over the limit of bytes or seconds
    ├── DataError              a collection of files could not become a dataset
    │   ├── ManifestError          a manifest's columns or rows
    │   ├── ArchiveError           an archive that is hostile, broken or over its limits
    │   ├── SplitError             no honest train/val/test split exists
    │   └── VersionConflictError   a dataset changed under somebody's change
    ├── CheckpointError        a checkpoint that is missing, damaged or does not fit
    ├── TrainingError          a run that cannot start or go on
    │   └── NonFiniteLossError     the loss became NaN or infinite
    ├── JobError               a queue operation that the run's or task's status does not allow
    ├── StoppedError           work that ended early because somebody asked it to
    ├── StoreError             the database is away, locked or of a newer version
    └── StorageError           the workspace folder cannot be written (full disk, rights)

Pages and the command line show the text of these and let everything else surface.
"""

from __future__ import annotations


class SampleMindError(Exception):
    """Base of every error that is meant to be read by a person.

    Parameters
    ----------
    problem : str
        What was expected and what came, as one or two sentences.
    advice : str
        What to do next, as one sentence.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        self.problem = problem
        self.advice = advice
        super().__init__(f"{problem} {advice}".strip())

    def __reduce__(self) -> tuple[type[SampleMindError], tuple[str, str]]:
        # Exceptions cross process borders by their arguments; keep the two parts apart.
        return type(self), (self.problem, self.advice)


class ConfigError(SampleMindError):
    """A setting is out of range, unknown or of the wrong type."""


class NotFoundError(SampleMindError):
    """A dataset, run, checkpoint or clip that does not exist."""


class NameTakenError(SampleMindError):
    """A name that must be unique is already in use."""


class AudioError(SampleMindError):
    """One file or buffer could not become a waveform."""


class UnreadableAudioError(AudioError):
    """Not audio, or in a format that cannot be decoded."""


class TruncatedAudioError(AudioError):
    """The header promises more frames than the file holds."""


class EmptyAudioError(AudioError):
    """No frames or no channels."""


class NonFiniteAudioError(AudioError):
    """NaN or infinity among the samples."""


class AudioLimitError(AudioError):
    """Over the limit of bytes or seconds."""


class DataError(SampleMindError):
    """A collection of files could not become a dataset."""


class ManifestError(DataError):
    """The columns or rows of a manifest are not usable."""


class ArchiveError(DataError):
    """A zip or tar archive that is hostile, broken or over its limits."""


class SplitError(DataError):
    """No honest train/val/test split of these clips exists."""


class VersionConflictError(DataError):
    """A dataset changed under somebody's change."""


class CheckpointError(SampleMindError):
    """A checkpoint that is missing, damaged or does not fit."""


class TrainingError(SampleMindError):
    """A run that cannot start or go on."""


class NonFiniteLossError(TrainingError):
    """The loss became NaN or infinite."""


class JobError(SampleMindError):
    """A queue operation that the run's or task's status does not allow."""


class StoppedError(SampleMindError):
    """Work that ended early because somebody asked it to."""


class StoreError(SampleMindError):
    """The database is away, locked or of a newer version."""


class StorageError(SampleMindError):
    """The workspace folder cannot be written."""
