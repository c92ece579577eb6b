from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from samplemind_core.errors import ConfigError
from samplemind_core.settings import MEBIBYTE, Limits, Settings


def test_the_defaults_need_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment()
    assert settings.root == tmp_path / "workspace"
    assert settings.url == f"sqlite:///{tmp_path / 'workspace' / 'samplemind.db'}"
    assert (settings.device, settings.worker, settings.server_folders, settings.key) == ("auto", "auto", True, None)
    assert settings.limits.max_file_bytes == 64 * MEBIBYTE
    assert not settings.root.exists()  # reading settings makes nothing


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("WORKSPACE", "/srv/samples", "root", Path("/srv/samples")),
        ("WORKSPACE", "~/samples", "root", Path("~/samples").expanduser()),
        ("DATABASE_URL", "postgresql://u@h/n", "url", "postgresql://u@h/n"),
        ("DEVICE", "cuda:1", "device", "cuda:1"),
        ("SERVER_FOLDERS", "false", "server_folders", False),
        ("KEY", "secret", "key", "secret"),
        ("WORKER", "external", "worker", "external"),
        ("LEASE_S", "2.5", "lease_s", 2.5),
    ],
)
def test_each_variable_is_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: object
) -> None:
    monkeypatch.setenv(f"SAMPLEMIND_{variable}", text)
    assert getattr(Settings.from_environment(), name) == value


@pytest.mark.parametrize("name", Limits.model_fields)
def test_each_limit_is_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SAMPLEMIND_{name.upper()}", "17")
    assert getattr(Settings.from_environment().limits, name) == 17
    assert getattr(Limits(), name) == 17


def test_the_environment_is_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings.from_environment()
    monkeypatch.setenv("SAMPLEMIND_LEASE_S", "3")
    assert (before.lease_s, Settings.from_environment().lease_s) == (15.0, 3.0)


def test_overrides_win_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", "/srv/samples")
    assert Settings.from_environment(workspace=tmp_path).root == tmp_path


def test_a_moving_process_keeps_its_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment()
    root = settings.root
    monkeypatch.chdir("/")
    assert settings.root == root


def test_faults_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLEMIND_LEASE_S", "0")
    monkeypatch.setenv("SAMPLEMIND_WORKER", "somewhere")
    monkeypatch.setenv("SAMPLEMIND_SERVER_FOLDERS", "perhaps")
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment()
    text = str(caught.value).lower()
    for name, value in (("lease_s", "'0'"), ("worker", "'somewhere'"), ("server_folders", "'perhaps'")):
        assert name in text
        assert value in text


@pytest.mark.parametrize("name", Limits.model_fields)
@pytest.mark.parametrize("value", ["0", "-1", "much", "nan", "100000000"])
def test_a_limit_out_of_range_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SAMPLEMIND_{name.upper()}", value)
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment()
    assert name in str(caught.value).lower()
    assert f"'{value}'" in str(caught.value)


def test_faults_name_their_variables_and_stand_together(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"MAX_FILE_MB": "0", "MAX_UPLOADS": "many", "LEASE_S": "0", "DEVICE": "gpu"}
    for name, value in wrong.items():
        monkeypatch.setenv(f"SAMPLEMIND_{name}", value)
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment()
    assert caught.value.problem.startswith("4 settings of this machine cannot be used: ")
    for name, value in wrong.items():
        assert f"SAMPLEMIND_{name}: " in caught.value.problem
        assert f"got '{value}'" in caught.value.problem


def test_a_wrong_argument_is_not_blamed_on_the_environment() -> None:
    with pytest.raises(ConfigError, match="lease_s: input") as caught:
        Settings.from_environment(lease_s=0)
    assert "SAMPLEMIND_" not in caught.value.problem


@pytest.mark.parametrize("text", ['{"max_file_mb": 1}', "no JSON"])
def test_limits_have_no_variable_of_their_own(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SAMPLEMIND_LIMITS", text)
    monkeypatch.setenv("SAMPLEMIND_MAX_UPLOADS", "17")
    for settings in (Settings.from_environment(), Settings()):
        assert (settings.limits.max_file_mb, settings.limits.max_uploads) == (64, 17)


def test_limits_may_be_given_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLEMIND_MAX_FILE_MB", "much")  # not asked for
    limits = Limits(max_file_mb=5)
    assert Settings.from_environment(limits=limits).limits == limits


@pytest.mark.parametrize("name", [*Settings.model_fields, *Limits.model_fields])
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = Settings.from_environment()
    monkeypatch.setenv(f"SAMPLEMIND_{name.upper()}", "")
    assert Settings.from_environment() == before


@pytest.mark.parametrize("group", [Settings, Limits])
def test_settings_are_frozen_and_described(group: type[BaseModel]) -> None:
    for name, field in group.model_fields.items():
        assert (field.description or "").endswith("."), name
        with pytest.raises(ValidationError):
            setattr(group(), name, None)
