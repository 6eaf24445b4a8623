"""Deployment settings, one nested class, read from `OFFHAND_*` variables (`OFFHAND_WORKER__LEASE_SECONDS=30`).

Only what differs between deployments lives here; what a caller chooses per job lives in `store.job_kinds`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, IPvAnyNetwork, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ApiSettings(BaseModel):
    """Where the HTTP service listens."""

    host: str = "127.0.0.1"
    port: int = Field(8321, ge=1, le=65535)
    keys: Literal["auto", "required"] = "auto"
    trusted_proxies: list[IPvAnyNetwork] = []


class DatabaseSettings(BaseModel):
    """SQL: an SQLAlchemy URL; empty means `<home>/offhand.sqlite3`."""

    url: str = ""
    busy_timeout_seconds: float = Field(20.0, gt=0)
    pool_size: int = Field(5, ge=1)
    connect_timeout_seconds: int = Field(5, ge=1)
    migrate: bool = True


class ObjectSettings(BaseModel):
    """Objects: a local folder (empty: `<home>/objects`), or a bucket of an S3-compatible server. Times in seconds."""

    kind: Literal["local", "s3"] = "local"
    folder: str = ""
    bucket: str = "offhand"
    prefix: str = ""
    endpoint_url: str = ""
    public_url: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = Field("", repr=False)
    path_style: bool = True
    checksums: Literal["when_required", "when_supported"] = "when_required"
    presign: bool = True
    part_bytes: int = Field(8 * 1024**2, ge=5 * 1024**2)
    attempts: int = Field(5, ge=1)
    connect_timeout_seconds: float = Field(5.0, gt=0)
    read_timeout_seconds: float = Field(30.0, gt=0)


class BrokerSettings(BaseModel):
    """The doorbell between API and workers; unused in the embedded mode."""

    url: str = "redis://127.0.0.1:6379/0"
    queue: str = "offhand"
    connect_timeout_seconds: float = Field(2.0, gt=0)


class WorkerSettings(BaseModel):
    """Leases, the child process and the pace of the background loops. Times in seconds."""

    lease_seconds: float = Field(60.0, gt=0)
    heartbeat_seconds: float = Field(10.0, gt=0)
    poll_seconds: float = Field(0.5, gt=0)
    reap_seconds: float = Field(5.0, gt=0)
    ring_again_seconds: float = Field(20.0, gt=0)
    sweep_seconds: float = Field(300.0, gt=0)
    drain_seconds: float = Field(8.0, gt=0)
    backoff_seconds: float = Field(2.0, ge=0)
    max_attempts: int = Field(3, ge=1)
    recycle_after: int = Field(500, ge=1)
    shard_images: int = Field(64, ge=1)
    shard_seconds: float = Field(60.0, gt=0)
    batch: int = Field(8, ge=1)
    device: str = "auto"
    threads: int = Field(0, ge=0)
    features_mib: int = Field(2048, ge=0)
    min_reconstruction_psnr: float = Field(18.0, ge=0)
    weights: str = ""
    perceptual_weights: str = ""
    evaluation_weights: str = ""


class LimitSettings(BaseModel):
    """Limits of one caller."""

    upload_bytes: int = Field(2 * 1024**3, ge=1)
    images_per_job: int = Field(1_000_000, ge=1)
    queued_jobs: int = Field(100, ge=1)
    stored_bytes: int = Field(200 * 1024**3, ge=1)
    idempotency_hours: float = Field(24.0, gt=0)
    requests_per_minute: int = Field(6000, ge=1)
    retention_days: float | None = Field(None, gt=0)


class EgressSettings(BaseModel):
    """Machines that the service calls for its callers (webhooks, generators by URL), beside public ones over https."""

    trusted_hosts: list[str] = []

    @field_validator("trusted_hosts")
    @classmethod
    def _as_compared(cls, hosts: list[str]) -> list[str]:
        """Lower case, without brackets and final dots, as URLs are compared with them."""
        wrong = [host for host in hosts if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?", host)]
        if wrong:
            raise ValueError(f"expected hosts as name or name:port, [address]:port for IPv6; found {', '.join(wrong)}")
        return [re.sub(r"[\[\]]", "", host).replace(".:", ":").rstrip(".").lower() for host in hosts]


class WebhookSettings(BaseModel):
    """Keys that the secrets of webhooks are encrypted with in the database: the first encrypts, all decrypt."""

    keys: list[str] = Field([], repr=False)

    @field_validator("keys")
    @classmethod
    def _fernet_keys(cls, keys: list[str]) -> list[str]:
        wrong = [str(place) for place, key in enumerate(keys, start=1) if not is_key(key)]
        if wrong:
            raise ValueError(f"expected 32 bytes in URL-safe base64 (44 characters); key {', '.join(wrong)} is not")
        return keys


def is_key(text: str) -> bool:
    """Whether `text` is a key: 32 bytes in URL-safe base64."""
    return re.fullmatch(r"[\w-]{43}=", text, re.ASCII) is not None


class TracingSettings(BaseModel):
    """Where spans go (OpenTelemetry, OTLP over HTTP); empty: none are made."""

    endpoint: str = ""


class Settings(BaseSettings):
    """All deployment settings. `home` is the data folder, the default place of database and objects."""

    model_config = SettingsConfigDict(
        env_prefix="OFFHAND_",
        env_nested_delimiter="__",
        extra="ignore",
        # Values may be passwords and keys; errors name the setting.
        hide_input_in_errors=True,
    )

    home: Path = Path("offhand-data")
    generators_folder: str = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    api: ApiSettings = ApiSettings()
    database: DatabaseSettings = DatabaseSettings()
    objects: ObjectSettings = ObjectSettings()
    broker: BrokerSettings = BrokerSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    egress: EgressSettings = EgressSettings()
    webhooks: WebhookSettings = WebhookSettings()
    tracing: TracingSettings = TracingSettings()

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the database in use."""
        return self.database.url or f"sqlite:///{self.home.absolute() / 'offhand.sqlite3'}"

    @property
    def objects_folder(self) -> Path:
        """Root of the local object store."""
        return Path(self.objects.folder).absolute() if self.objects.folder else self.home.absolute() / "objects"

    @property
    def shipped_folder(self) -> Path | None:
        """Folder with one sub-folder per built-in generator, or None where no generator is installed.

        Found by path and not by import: the API lists generators on machines without torch.
        """
        if self.generators_folder:
            return Path(self.generators_folder).absolute()
        core = find_spec("core")
        if core is None or not core.submodule_search_locations:
            return None
        return Path(next(iter(core.submodule_search_locations))) / "generators" / "shipped"
