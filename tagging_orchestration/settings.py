"""Every knob of the project in one typed place.

Values come from the environment (`TAGGING_*`, nested with `__`) and then from `tagging.yaml` of the project
folder. Secrets are taken from the environment only.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from tagging_orchestration.core.business.currencies import CURRENCIES
from tagging_orchestration.core.business.facts import TABLES
from tagging_orchestration.core.errors import ConfigurationError
from tagging_orchestration.core.models import DEFAULT_ORGANIZATION
from tagging_orchestration.core.parameters import (
    GateSettings,
    PartitionSettings,
    Strict,
    TaggerSettings,
    VocabularySettings,
)

CONFIG_FILE = "tagging.yaml"


def project_root() -> Path:
    """Folder of the project: the nearest one at or above the working directory with tagging.yaml or
    workspace.yaml, else the clone this package was installed from, else the working directory."""
    cwd = Path.cwd()
    for folder in (cwd, *cwd.parents):
        if (folder / CONFIG_FILE).is_file() or (folder / "workspace.yaml").is_file():
            return folder
    clone = Path(__file__).resolve().parents[1]
    return clone if (clone / "workspace.yaml").is_file() else cwd


class ColumnMapping(Strict):
    """Which columns of a source feed which fields of `contents`; None means "guess from common names"."""

    id: str | None = None
    title: str | None = None
    body: str | None = None
    url: str | None = None
    language: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    organization: str | None = None
    content_type: str | None = None
    tags: str | None = None
    metadata: list[str] | None = None


class SourceSettings(Strict):
    """One source of contents. `type` is guessed from the path's suffix where it can be.

    A `full_snapshot` source holds all its contents each time: rows gone from it become tombstones.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    type: Literal["csv", "tsv", "jsonl", "parquet", "folder", "postgres"] | None = None
    path: Path | None = None
    url_env: str | None = Field(default=None, description="name of the variable that holds a Postgres URL")
    table: str | None = None
    query: str | None = None
    columns: ColumnMapping = ColumnMapping()
    tag_separator: str | None = Field(
        default=None, description="in one cell; None: the first of | ; , that occurs"
    )
    date_format: str | None = None
    timezone: str = "UTC"
    encoding: str = "utf-8"
    content_type: str = "text"
    organization_id: str = DEFAULT_ORGANIZATION
    language: str | None = None
    full_snapshot: bool = True
    max_text_bytes: int = Field(default=1_000_000, gt=0)

    @model_validator(mode="after")
    def _one_location(self) -> SourceSettings:
        postgres = self.type == "postgres" or self.table or self.query or self.url_env
        if postgres and not (self.url_env and bool(self.table) != bool(self.query)):
            raise ValueError(f"source {self.name}: a postgres source needs url_env and either table or query")
        if not postgres and self.path is None:
            raise ValueError(f"source {self.name}: give a path (file or folder)")
        return self


class EmbeddingSettings(Strict):
    """Which models turn text into vectors, and how."""

    model: str = Field(default="all-MiniLM-L6-v2", description="sentence-transformers name or path")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_size: int = Field(default=32, gt=0)
    window: int = Field(default=512, gt=0, description="texts sorted by length together")
    threads: int | None = None


class RunSettings(Strict):
    """How Dagster runs."""

    executor: Literal["in_process", "multiprocess", "celery", "kubernetes"] = "in_process"
    max_concurrent_runs: int = Field(default=2, gt=0)
    batch_size: int = Field(default=512, gt=0, description="contents a transaction")
    max_attempts: int = Field(default=5, gt=0)
    retry_minutes: float = Field(default=1, gt=0, description="first back-off of a failed content; doubles")
    sensor_seconds: int = Field(default=10, gt=0)
    run_retention_days: int = Field(default=90, gt=0)
    rejected_retention_days: int = Field(default=90, gt=0)
    owner: str = "team:tagging"


class BusinessJoin(Strict):
    """A second file whose rows belong to those of a source: all rows that say the same in `match` (the column
    `by`, where it is named alike) as the source's row in `by` become columns of it, each by a formula."""

    path: Path
    by: str
    match: str | None = None
    columns: dict[str, str] = Field(description="new column: formula, such as sum(payment_value)")
    encoding: str = "utf-8"


class BusinessSource(Strict):
    """Where the rows of one table of `raw` come from. `columns` names, for a column of ours, one of theirs;
    `values` translates what a column says, such as their words for the status of an order. `where`, `computed`,
    `group_by` and `join` make our rows of theirs with small formulas (docs/business-sources.md)."""

    table: Literal[
        "customers",
        "products",
        "orders",
        "order_items",
        "support_tickets",
        "reviews",
        "inventory",
        "sessions",
        "calendar",
    ]
    path: Path | None = None
    url_env: str | None = Field(default=None, description="name of the variable that holds a Postgres URL")
    query: str | None = None
    columns: dict[str, str] = Field(default={}, description="column of ours: column of theirs")
    values: dict[str, dict[str, str]] = Field(default={}, description="column of ours: {their word: our word}")
    constants: dict[str, str] = Field(default={}, description="columns of ours that are the same in every row")
    computed: dict[str, str] = Field(default={}, description="column of ours: formula over their columns")
    where: str | None = Field(default=None, description="formula; rows for which it is not true are left out")
    group_by: list[str] = Field(default=[], description="rows that say the same in these columns become one")
    join: list[BusinessJoin] = Field(default=[], description="other files whose rows belong to these")
    content_source: str | None = Field(
        default=None, description="source of contents that holds the texts of tickets or reviews, by the same id"
    )
    encoding: str = "utf-8"
    timezone: str | None = Field(default=None, description="of times without one; None: the business's")
    date_format: str | None = None

    @model_validator(mode="after")
    def _one_location(self) -> BusinessSource:
        if (self.path is None) == (self.query is None) or bool(self.query) != bool(self.url_env):
            raise ValueError(f"business source {self.table}: give either a path, or url_env and a query")
        return self

    @model_validator(mode="after")
    def _known_columns(self) -> BusinessSource:
        known = {*TABLES[self.table].columns, "updated_at"}
        for said in (self.columns, self.values, self.constants, self.computed):
            if unknown := sorted(set(said) - known):
                raise ValueError(
                    f"business source {self.table}: raw.{self.table} has no column {', '.join(unknown)}; it has "
                    f"{', '.join(sorted(known))}"
                )
        return self


class NotificationChannel(Strict):
    """Somebody to tell of incidents. The address (an Apprise URL: mailto://, jsons://, slack://, ...) is a secret
    and stands in the environment variable `url_env`; without one the channel writes to the log."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    url_env: str | None = None
    min_severity: Literal["info", "warning", "critical"] = "warning"


class BusinessSettings(Strict):
    """The business beside the tags: its time, money and people, and where its facts come from."""

    demo: bool = Field(default=False, description="load the simulated shop whose texts are the sample contents")
    timezone: str = "UTC"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    locale: Literal["en", "zh-Hant"] = "en"
    opens_at: str = "09:00"
    closes_at: str = "18:00"
    open_weekdays: list[Annotated[int, Field(ge=0, le=6)]] = Field(
        default=[1, 2, 3, 4, 5], description="Sunday is 0"
    )
    profile: dict[str, Any] = Field(default={}, description="goals, priorities, market: quoted, never invented")
    sources: list[BusinessSource] = Field(default=[], description="where the facts come from")
    notify: list[NotificationChannel] = Field(default=[], description="whom to tell of incidents")
    alert_hours: float = Field(default=24, gt=0, description="an alert not seen again for so long expires")
    max_rejected_share: float = Field(default=0.2, ge=0, le=1, description="a load with more bad rows is refused")

    @model_validator(mode="after")
    def _one_business(self) -> BusinessSettings:
        if self.demo and self.sources:
            raise ValueError("the demo's facts and your own must not mix: remove `demo: true`, or the sources")
        return self

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, code: str) -> str:
        if code not in CURRENCIES:
            raise ValueError(f"{code} is no currency of ISO 4217: use a code such as TWD or EUR")
        return code

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{name!r} is no time zone: use a name such as Asia/Taipei") from None
        return name


class ProviderSettings(Strict):
    """What tagging.yaml states of a provider; it is written to the table `ai_providers`, where the rest stays as
    it is. The key stands in the environment variable `api_key_env`."""

    active: bool | None = None
    base_url: str | None = None
    model: str | None = None
    api_key_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    price_in_per_million: float | None = Field(default=None, ge=0, description="USD a million tokens")
    price_out_per_million: float | None = Field(default=None, ge=0)
    max_concurrency: int | None = Field(default=None, gt=0)


class TagProposalSettings(Strict):
    """The language model as one more generator of tags."""

    enabled: bool = False
    neighbours: int = Field(default=5, ge=0, description="similar contents whose tags the model sees")
    vocabulary: int = Field(default=40, ge=0, description="tags of the vocabulary the model may choose from")
    max_characters: int = Field(default=4000, gt=0, description="of a text that is shown to the model")
    max_contents: int = Field(default=200, gt=0, description="contents a run")
    contents_per_prompt: int = Field(default=5, gt=0, description="short texts that are asked about together")
    provider: str | None = Field(default=None, description="preferred provider: local, openai, claude")
    prompt_version: str | None = Field(default=None, description="None: the version in use")


class AiSettings(Strict):
    """The optional language model. What is stated here is written to the tables of the schema `ai` when prompts
    and providers are synchronised; what is not stated is the tables'."""

    enabled: bool | None = Field(default=None, description="None: as ai_system_config says")
    environment: Literal["development", "staging", "production"] = "development"
    providers: dict[str, ProviderSettings] = Field(default={}, description="by name: local, openai, claude")
    daily_token_limit: int = Field(default=200_000, ge=0, description="for everybody, critical alerts too")
    hourly_request_limit: int = Field(default=120, ge=0, description="critical alerts may exceed it")
    daily_cost_limit_usd: float = Field(default=5.0, ge=0)
    critical_first: bool = Field(default=True, description="critical alerts may exceed the hourly limit")
    alerts_per_run: int = Field(default=20, gt=0)
    usage_retention_days: int = Field(default=90, gt=0)
    person_names_model: str | None = Field(
        default=None, description="installed spaCy model that finds people's names; None: names are not looked for"
    )
    tags: TagProposalSettings = TagProposalSettings()


class Settings(BaseSettings):
    """The settings of one process. Build it with `get_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="TAGGING_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    home: Path = Path()
    database_url: SecretStr | None = None
    dagster_database_url: SecretStr | None = None
    database_transaction_pooling: bool = Field(
        default=False, description="the database URL is of PgBouncer (or Supabase's port 6543) in transaction mode"
    )
    postgres_major: Literal[16, 18] = 18
    organization_id: str = DEFAULT_ORGANIZATION
    rules_file: Path = Path("rules.yaml")
    ranker_file: Path | None = Field(default=None, description="ranker weights other than the packaged ones")
    sources: list[SourceSettings] = []
    embedding: EmbeddingSettings = EmbeddingSettings()
    tagger: TaggerSettings = TaggerSettings()
    vocabulary: VocabularySettings = VocabularySettings()
    gates: GateSettings = GateSettings()
    partitions: PartitionSettings = PartitionSettings()
    runs: RunSettings = RunSettings()
    business: BusinessSettings = BusinessSettings()
    ai: AiSettings = AiSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over tagging.yaml."""
        yaml_file = project_root() / CONFIG_FILE
        return (init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=yaml_file))

    @model_validator(mode="before")
    @classmethod
    def _defaults_and_secrets(cls, data: Any) -> Any:
        root = project_root()
        home = Path(data.get("home") or ".tagging").expanduser()
        data["home"] = home if home.is_absolute() else root / home
        rules = Path(data.get("rules_file") or "rules.yaml").expanduser()
        data["rules_file"] = rules if rules.is_absolute() else root / rules
        if data.get("ranker_file"):
            data["ranker_file"] = root / Path(data["ranker_file"]).expanduser()
        data["sources"] = [_below(root, source) for source in data.get("sources") or []]
        business = data.get("business")
        if isinstance(business, dict) and business.get("sources"):
            sources = [_below(root, source) for source in business["sources"]]
            for source in sources:
                if isinstance(source, dict) and isinstance(source.get("join"), list):
                    source["join"] = [_below(root, joined) for joined in source["join"]]
            data["business"] = {**business, "sources": sources}
        return data

    @model_validator(mode="after")
    def _source_names(self) -> Settings:
        names = [source.name for source in self.sources]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"source names must differ, doubled: {', '.join(doubled)}")
        return self


def _below(root: Path, source: Any) -> Any:
    """The source with a relative path taken from the project folder, so that every process finds it."""
    if isinstance(source, dict) and source.get("path"):
        return {**source, "path": root / Path(source["path"]).expanduser()}
    return source


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once. Raises ConfigurationError naming each wrong key."""
    try:
        return Settings()
    except ValidationError as error:
        where = project_root() / CONFIG_FILE
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or '(top)'}: {item['msg']}" for item in error.errors()
        ]
        raise ConfigurationError(
            f"wrong settings (environment TAGGING_*, or {where}):\n" + "\n".join(lines)
        ) from None


def thread_limit() -> int:
    """CPU threads one process may use: OMP_NUM_THREADS when set, else the cores this process may run on."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdigit() and int(stated) > 0 else len(os.sched_getaffinity(0))
