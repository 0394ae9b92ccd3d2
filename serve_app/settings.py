"""Every setting of the brain: one frozen model, read once from `OMERUTA_*` variables or Serve arguments.

Limits that change while the brain runs (queue limits, schedules) are rows in the ledger, not settings.
Nested fields are set with a double underscore: `OMERUTA_CRAWL__ALLOW_NETWORKS='["127.0.0.0/8"]'`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LLMSettings(_Part):
    engine: str = "llamacpp"  # "llamacpp" | "vllm" | "echo"
    model: str = "auto"  # "auto" | "smollm2" | "tinyllama" | a path to a GGUF file
    hub_url: str = "https://huggingface.co"  # where set-up takes `tinyllama` from
    threads: int = Field(0, ge=0, description="0: the machine's cores")
    context_tokens: int = Field(8192, ge=512, description="shared by all slots")
    slots: int = Field(8, ge=1, le=64)
    max_queue: int = Field(32, ge=0)
    prefill_budget: int = Field(
        128, ge=16, description="prompt tokens per step while anyone decodes"
    )


class EmbedderSettings(_Part):
    backend: str = "torch"  # "torch" | "hash" (deterministic, for tests)
    model: str = "auto"  # "auto": the pinned all-MiniLM-L6-v2; or a sentence-transformers folder
    dtype: str = "auto"  # "auto": bfloat16 where the CPU has it | "float32" | "bfloat16"
    device: str = "cpu"
    threads: int = Field(0, ge=0, description="0: the machine's cores")
    batch_size: int = Field(32, ge=1, le=512)
    max_queue: int = Field(4096, ge=1, description="texts waiting")


class CrawlSettings(_Part):
    user_agent: str = "OmerutaBrain/0.1"
    contact: str = Field("", description="an address or URL put into the user agent")
    allow_networks: tuple[str, ...] = Field((), description="non-public networks that may be read")
    allow_hosts: tuple[str, ...] = Field(
        (), description="host names that may resolve to such networks"
    )
    allow_ports: tuple[int, ...] = (80, 443, 8080, 8443)
    resolve: dict[str, str] = Field(
        {}, description="host -> address, like an /etc/hosts of the crawler"
    )
    host_delay: float = Field(0.5, ge=0, description="seconds between two requests to a host")
    max_crawl_delay: float = Field(60.0, ge=0, description="cap of a robots.txt Crawl-delay")
    per_host: int = Field(2, ge=1, le=16)
    concurrency: int = Field(16, ge=1, le=256)
    timeout: float = Field(30.0, gt=0)
    max_bytes: int = Field(10_000_000, ge=1000, description="decompressed")
    max_redirects: int = Field(10, ge=0, le=20)
    extract_timeout: float = Field(20.0, gt=0)


class SearchSettings(_Part):
    """A JSON search API for research (off while `url` is empty). Only the operator sets it."""

    url: str = ""
    token_file: str = ""
    query_param: str = "q"
    results_field: str = "results"


class ServeSettings(_Part):
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    dashboard_port: int = Field(8265, ge=1, le=65535)
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="names besides `host` and loopback that requests may be addressed to; * is any",
    )
    allowed_origins: tuple[str, ...] = Field(
        (), description="other sites whose pages may call this brain, as https://name[:port]"
    )


class LimitSettings(_Part):
    body_bytes: int = Field(1_000_000, ge=1000)
    upload_bytes: int = Field(25_000_000, ge=1000)
    import_bytes: int = Field(1_000_000_000, ge=1000, description="an import, unpacked")
    message_chars: int = Field(8_000, ge=100)
    requests_per_minute: int = Field(1200, ge=1, description="per token and replica")
    waiting_tasks: int = Field(10_000, ge=1, description="queued tasks in all; more are refused")


class TaskSettings(_Part):
    result_ttl: float = Field(3600.0, gt=0, description="seconds a result is kept")
    history_ttl: float = Field(30 * 86400.0, gt=0, description="seconds a finished task is kept")
    retry_base: float = Field(60.0, ge=0, description="delay before the first retry")
    soft_limit: float = Field(300.0, gt=0)
    hard_limit: float = Field(600.0, gt=0)


class Settings(BaseSettings):
    """All of it. `home` holds every byte the brain keeps."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="OMERUTA_", env_nested_delimiter="__"
    )

    home: Path = Path.home() / ".omeruta"
    models: Path | None = None  # folder of the model files; None: `models` in home
    llm: LLMSettings = LLMSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    crawl: CrawlSettings = CrawlSettings()
    search: SearchSettings = SearchSettings()
    serve: ServeSettings = ServeSettings()
    limits: LimitSettings = LimitSettings()
    tasks: TaskSettings = TaskSettings()

    @property
    def models_dir(self) -> Path:
        return self.models or self.home / "models"

    @property
    def knowledge_dir(self) -> Path:
        return self.home / "knowledge"

    @property
    def ledger_path(self) -> Path:
        return self.home / "ledger" / "ledger.sqlite3"

    @property
    def secret_path(self) -> Path:
        return self.home / "secret"

    @property
    def owner_token_path(self) -> Path:
        return self.home / "owner-token"

    @property
    def ray_token_path(self) -> Path:
        return self.home / "ray-token"
