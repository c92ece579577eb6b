"""Where things are and how much is allowed, from ``SAMPLEMIND_*`` environment variables.

Settings belong to a machine; what belongs to a run is in :mod:`samplemind_core.config`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from samplemind_core.config import DeviceName, validation_faults
from samplemind_core.errors import ConfigError

MEBIBYTE = 1 << 20
PREFIX = "SAMPLEMIND_"


class Limits(BaseSettings):
    """Bounds that are checked before anything is decoded."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    max_file_mb: Annotated[int, Field(ge=1, le=4_096)] = Field(64, description="Largest audio file, in MiB.")
    max_clip_s: Annotated[float, Field(gt=0, le=86_400)] = Field(600.0, description="Longest audio file, in seconds.")
    max_archive_mb: Annotated[int, Field(ge=1, le=1_048_576)] = Field(
        512, description="Largest archive, packed, in MiB."
    )
    max_unpacked_mb: Annotated[int, Field(ge=1, le=1_048_576)] = Field(
        4_096, description="Largest archive, unpacked, in MiB."
    )
    max_archive_files: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        50_000, description="Most files in an archive."
    )
    max_uploads: Annotated[int, Field(ge=1, le=10_000)] = Field(
        200, description="Most files in one upload on the Classify page."
    )

    @property
    def max_file_bytes(self) -> int:
        """Largest audio file, in bytes."""
        return self.max_file_mb * MEBIBYTE


NO_LIMITS = Limits.model_construct(max_file_mb=4_096, max_clip_s=86_400)
"""For stored files, which passed the limits of their import: one lowered since then must not lock them out."""


class _Variables(EnvSettingsSource):
    """The environment, where a limit has one name only: its own variable, not one for the group."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a variable's value, or None."""
        return (None, field_name, False) if field_name == "limits" else super().get_field_value(field, field_name)


class Settings(BaseSettings):
    """The machine's settings. ``Settings()`` reads the environment at the moment of the call."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    workspace: Path = Field(Path("workspace"), description="Folder of the database, audio, caches and checkpoints.")
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the database; empty means SQLite in the workspace."
    )
    device: DeviceName = Field(
        "auto", description="Device for runs that ask for 'auto': auto, cpu, mps, cuda or cuda:N."
    )
    server_folders: bool = Field(True, description="Whether pages may import a folder of the machine by its path.")
    history: bool = Field(
        True, description="Whether the Classify page may remember what was asked; answers only, never the sounds."
    )
    key: str | None = Field(
        None, description="Secret that signs the tickets of live streams and audio; random per start if empty."
    )
    worker: Literal["auto", "external"] = Field(
        "auto", description="auto starts a worker when a run is queued; external expects one to be running."
    )
    listeners: Annotated[int, Field(ge=0, le=64)] | None = Field(
        None,
        description="Processes that decode where thousands of files wait; 0 or 1 leaves the work to threads of one "
        "process, empty means one for each core, up to four.",
    )
    lease_s: Annotated[float, Field(ge=1.0, le=3_600.0)] = Field(
        15.0, description="Seconds without a heartbeat after which a run counts as interrupted."
    )
    keep_deleted_h: Annotated[float, Field(ge=0.0, le=87_600.0)] = Field(
        168.0, description="Hours for which a deleted run can be brought back; then its files go too."
    )
    tensorboard: bool = Field(
        False,
        description="Whether runs also write TensorBoard event files into their folder; needs the package tensorboard "
        "(requirements-extras.txt).",
    )
    mlflow_uri: str | None = Field(
        None,
        description="MLflow tracking URI that runs are told to as well; needs the package mlflow-skinny "
        "(requirements-extras.txt).",
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds on files, archives and uploads.")

    @classmethod
    def from_environment(cls, **overrides: object) -> Settings:
        """Return the settings of the environment, with overrides.

        Raises
        ------
        ConfigError
            Naming every environment variable that cannot be used.
        """

        def named(field: str) -> str:
            return field if field in overrides else f"{PREFIX}{field.upper()}"

        faults: list[str] = []
        # Limits first and apart: as a default of Settings their faults would hide all others.
        limits = overrides.get("limits")
        if limits is None:
            try:
                limits = Limits()
            except ValidationError as error:
                faults += validation_faults(error, named)
                limits = Limits.model_construct()
        try:
            settings = cls(**overrides | {"limits": limits})  # type: ignore[arg-type]
        except ValidationError as error:
            faults += validation_faults(error, named)
        if faults:
            several = len(faults) > 1
            raise ConfigError(
                f"{len(faults)} setting{'s' if several else ''} of this machine cannot be used: {'; '.join(faults)}.",
                f"Correct {'these environment variables' if several else 'this environment variable'} and start again.",
            )
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments before the environment, and nothing else."""
        return init_settings, _Variables(settings_cls)

    @cached_property
    def root(self) -> Path:
        """Absolute path of the workspace folder."""
        return self.workspace.expanduser().resolve()

    @property
    def url(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.root / 'samplemind.db'}"
