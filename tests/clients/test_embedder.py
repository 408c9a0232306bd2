"""The embedder with the packaged model, and with small models made here: no network, no fakes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tagging_orchestration.clients import sentence_model
from tagging_orchestration.clients.embedder import RoutedEmbedder
from tagging_orchestration.clients.language import LibraryLanguageTools
from tagging_orchestration.clients.sentence_model import (
    PACKAGED_MODEL,
    cpu_has_bfloat16,
    find_model,
    load_model,
)
from tagging_orchestration.clients.statistical_vectors import StatisticalVectors
from tagging_orchestration.core.embedding import SCRIPT_SAMPLES
from tagging_orchestration.core.errors import ModelUnavailable
from tagging_orchestration.settings import EmbeddingSettings

STATISTICAL = StatisticalVectors.name
ENGLISH = "Heavy rain flooded the subway and trains were cancelled for the whole morning."
FOLD = LibraryLanguageTools().to_simplified

MakeModel = Callable[[str, Tokenizer], Path]


def routed(model: str | Path = PACKAGED_MODEL, **settings: object) -> RoutedEmbedder:
    values = {"model": str(model), "threads": 1, **settings}
    return RoutedEmbedder(EmbeddingSettings.model_validate(values), fold=FOLD)


@pytest.fixture(scope="session")
def embedder() -> RoutedEmbedder:
    """The default embedder; its model is loaded once."""
    return routed()


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Saves a real, tiny sentence-transformers model with random weights and the given tokenizer."""

    def make(name: str, tokenizer: Tokenizer) -> Path:
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
        from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp("models")
        BertModel(
            BertConfig(
                vocab_size=tokenizer.get_vocab_size(),
                hidden_size=24,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=64,
            )
        ).save_pretrained(folder / "bert")
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
        ).save_pretrained(folder / "bert")
        transformer = Transformer(str(folder / "bert"))
        model = SentenceTransformer(modules=[transformer, Pooling(24, pooling_mode="mean")], device="cpu")
        model.save(str(folder / name))
        return folder / name

    return make


@pytest.fixture(scope="session")
def multilingual(make_model: MakeModel) -> Path:
    """A model whose tokenizer knows English words and Chinese characters, but nothing else."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=["[UNK]", "[PAD]"], show_progress=False)
    tokenizer.train_from_iterator([SCRIPT_SAMPLES["LATIN"], SCRIPT_SAMPLES["CJK"]] * 3, trainer)
    return make_model("two-languages", tokenizer)


@pytest.fixture(scope="session")
def byte_level(make_model: MakeModel) -> Path:
    """A model whose tokenizer knows every byte, so that no character is unknown, but only English words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["[UNK]", "[PAD]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([SCRIPT_SAMPLES["LATIN"]] * 3, trainer)
    return make_model("bytes", tokenizer)


# ------------------------------------------------------------------------------------------------ routing


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("Stock markets fell sharply", PACKAGED_MODEL),
        ("Der Zug kam wegen des Regens zu spät", PACKAGED_MODEL),
        ("3.14 / 2026-01-01", PACKAGED_MODEL),
        (f"{ENGLISH} The line is called 板南線.", PACKAGED_MODEL),
        ("大雨造成捷運停駛", STATISTICAL),
        ("中國", STATISTICAL),
        ("用 Docker 部署 PostgreSQL 資料庫", STATISTICAL),
        ("データベースの設計", STATISTICAL),
        ("데이터베이스 설계", STATISTICAL),
        ("Проектирование баз данных", STATISTICAL),
        ("การออกแบบฐานข้อมูล", STATISTICAL),
        ("ნახვამდის მეგობარო", STATISTICAL),
        ("😀", STATISTICAL),
        ("", STATISTICAL),
    ],
)
def test_the_packaged_model_judges_only_what_it_can_read(embedder: RoutedEmbedder, text: str, model: str) -> None:
    assert embedder.model_for(text) == model


def test_a_multilingual_model_takes_chinese_and_leaves_the_rest(multilingual: Path) -> None:
    embedder = routed(multilingual)
    name = embedder.model_for("大家生而平等")
    assert name.startswith("two-languages@")
    assert embedder.model_for("All human beings") == name
    assert embedder.model_for("Все люди рождаются") == STATISTICAL


def test_bytes_of_a_script_are_no_knowledge_of_it(byte_level: Path) -> None:
    embedder = routed(byte_level)
    assert embedder.model_for("人人生而自由") == STATISTICAL
    assert embedder.model_for("human beings are born free").startswith("bytes@")


def test_routing_loads_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys\n"
        "from tagging_orchestration.clients.embedder import RoutedEmbedder\n"
        "from tagging_orchestration.settings import EmbeddingSettings\n"
        "embedder = RoutedEmbedder(EmbeddingSettings(), fold=str)\n"
        "assert 'tokenizers' not in sys.modules\n"
        "assert embedder.model_for('大雨') != embedder.model_for('rain')\n"
        "assert embedder.fingerprint\n"
        "heavy = {'torch', 'sklearn', 'transformers', 'pandas', 'dagster'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------ the sentence model


def test_vectors_tell_meaning_and_keep_the_order(embedder: RoutedEmbedder) -> None:
    texts = ["Trains stopped because of the storm", ENGLISH, "How to bake sourdough bread", ENGLISH, "rain"]
    told: list[tuple[int, int]] = []
    vectors = embedder.encode(PACKAGED_MODEL, texts, lambda done, total: told.append((done, total)))
    assert vectors.shape == (5, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.4 > 0.2 > vectors[2] @ vectors[1]
    np.testing.assert_array_equal(vectors[1], vectors[3])
    assert told == [(4, 4)]


def test_the_fast_way_gives_the_vectors_of_plain_float32(embedder: RoutedEmbedder) -> None:
    texts = ["rain", ENGLISH, " ".join([ENGLISH] * 60), "A\n\ttitle  with spaces", "naïve café №5 ½"]
    loaded = load_model(find_model(PACKAGED_MODEL), "auto", 1)
    plain = loaded.model.encode(texts, batch_size=1, normalize_embeddings=True, show_progress_bar=False)
    assert np.min(np.sum(embedder.encode(PACKAGED_MODEL, texts) * plain, axis=1)) > 0.999


def test_batches_and_windows_do_not_change_the_vectors(embedder: RoutedEmbedder) -> None:
    texts = [f"{ENGLISH[: 7 * number]} {number}" for number in range(1, 12)]
    small = routed(batch_size=2, window=3).encode(PACKAGED_MODEL, texts)
    assert np.min(np.sum(small * embedder.encode(PACKAGED_MODEL, texts), axis=1)) > 0.999


def test_a_very_long_text_is_judged_by_its_head(embedder: RoutedEmbedder) -> None:
    head = " ".join([ENGLISH] * 30)
    short, long = embedder.encode(PACKAGED_MODEL, [head, head + " Bread recipe." * 50_000])
    assert short @ long > 0.999


def test_no_texts_no_rows(embedder: RoutedEmbedder) -> None:
    assert embedder.encode(PACKAGED_MODEL, []).shape == (0, 384)
    assert embedder.encode(STATISTICAL, []).shape == (0, 384)


def test_a_model_of_ones_own_is_used_by_its_path(multilingual: Path) -> None:
    embedder = routed(multilingual)
    name = embedder.model_for("大家生而平等")
    assert embedder.dimension(name) == 24
    vectors = embedder.encode(name, ["人人生而自由", "All human beings are born free"])
    assert vectors.shape == (2, 24)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert embedder.fingerprint == f"{name}/24+{STATISTICAL}/384"


@pytest.mark.parametrize(
    ("pooling", "dimension"),
    [
        ({"embedding_dimension": 24, "pooling_mode": ["mean", "max"]}, 48),
        ({"embedding_dimension": 24, "pooling_mode": "cls"}, 24),
        ({"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, 24),
    ],
    ids=["two modes", "one mode", "flags"],
)
def test_the_dimension_is_read_off_the_configuration(
    multilingual: Path, tmp_path: Path, pooling: dict[str, object], dimension: int
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(multilingual, copy)
    next(copy.glob("*Pooling/config.json")).write_text(json.dumps(pooling))
    embedder = routed(copy)
    assert embedder.dimension(embedder.model_for("All human beings")) == dimension


def test_a_dimension_that_is_not_stated_is_the_models_own(multilingual: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(multilingual, copy)
    (copy / "modules.json").unlink()
    embedder = routed(copy)
    assert embedder.dimension(embedder.model_for("All human beings")) == 24


def test_a_retrained_model_gets_another_name(multilingual: Path, tmp_path: Path) -> None:
    copy = tmp_path / multilingual.name
    shutil.copytree(multilingual, copy)
    assert routed(copy).fingerprint == routed(multilingual).fingerprint
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    assert routed(copy).fingerprint != routed(multilingual).fingerprint


def test_the_hubs_full_name_is_the_same_packaged_model(embedder: RoutedEmbedder) -> None:
    assert routed(f"sentence-transformers/{PACKAGED_MODEL}").fingerprint == embedder.fingerprint
    assert embedder.fingerprint == f"{PACKAGED_MODEL}/384+{STATISTICAL}/384"


# -------------------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags : fpu avx512f avx512_bf16 fsrm", True),
        ("flags : fpu amx_bf16", True),
        ("Features : fp asimd bf16", True),
        ("flags : fpu avx2 avx512f", False),
    ],
)
def test_bfloat16_is_read_off_the_cpus_flags(tmp_path: Path, flags: str, has: bool) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") is has
    assert not cpu_has_bfloat16(tmp_path / "missing")


def test_bfloat16_that_changes_vectors_is_not_used(
    multilingual: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_model.__wrapped__(multilingual, "bfloat16", 1).bfloat16
    assert not load_model.__wrapped__(multilingual, "float32", 1).bfloat16
    monkeypatch.setattr(sentence_model, "FAITHFUL", 1.1)
    assert not load_model.__wrapped__(multilingual, "bfloat16", 1).bfloat16
    assert "float32 is used" in caplog.text


# ------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("/nowhere/model", "/nowhere/model is no sentence-transformers model"),
        ("./models/none", "Give the folder"),
        ("paraphrase-multilingual-MiniLM-L12-v2", "HF_HUB_OFFLINE is set"),
        ("some/repository/too/deep", "neither a folder nor a name"),
    ],
)
def test_a_model_that_is_not_there_says_what_to_do(model: str, message: str) -> None:
    embedder = routed(model)
    with pytest.raises(ModelUnavailable, match=message) as caught:
        embedder.model_for("rain")
    assert model in str(caught.value) or Path(model).name in str(caught.value)


def test_a_model_of_the_hub_is_taken_from_the_local_cache(
    multilingual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--acme--tiny"
    shutil.copytree(multilingual, cached / "snapshots" / ("a" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    embedder = routed("acme/tiny")
    assert embedder.model_for("人人生而自由") == "acme/tiny"
    assert embedder.encode("acme/tiny", ["人人生而自由"]).shape == (1, 24)


def test_a_failed_download_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Port 9 of this machine: nobody answers.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailable, match=r"acme/tiny could not be downloaded .* a copy"):
        routed("acme/tiny").model_for("rain")


def test_a_damaged_model_says_where_it_is(multilingual: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(multilingual, copy)
    (copy / "model.safetensors").write_bytes(b"not weights")
    embedder = routed(copy)
    with pytest.raises(ModelUnavailable, match="damaged cannot be loaded"):
        embedder.encode(embedder.model_for("All human beings"), ["All human beings"])
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="tokenizer cannot be read"):
        routed(copy).model_for("All human beings")


def test_a_model_that_is_not_configured_is_refused(embedder: RoutedEmbedder) -> None:
    with pytest.raises(ModelUnavailable, match="model e5-base is not configured"):
        embedder.encode("e5-base", ["rain"])
    with pytest.raises(ModelUnavailable, match="model e5-base is not configured"):
        embedder.dimension("e5-base")


# ------------------------------------------------------------------------------------------ statistical vectors


def test_chinese_of_one_topic_lies_closer_than_chinese_of_another(embedder: RoutedEmbedder) -> None:
    texts = [
        "台北捷運因為大雨淹水，板南線上午全線停駛，旅客改搭公車。",
        "大雨造成捷運板南線淹水停駛，台北旅客上午改搭接駁公車。",
        "這款咖啡豆帶有柑橘與巧克力香氣，適合手沖，建議水溫九十度。",
        "手沖咖啡的水溫建議九十度左右，這支豆子有柑橘和巧克力的香氣。",
    ]
    similarity = (vectors := embedder.encode(STATISTICAL, texts)) @ vectors.T
    same, other = min(similarity[0, 1], similarity[2, 3]), similarity[:2, 2:].max()
    assert same > 0.4 > 0.2 > other


def test_traditional_and_simplified_are_one_spelling(embedder: RoutedEmbedder) -> None:
    vectors = embedder.encode(STATISTICAL, ["資料庫設計與ＡＰＩ", "资料库设计与API", "資料庫設計"])
    np.testing.assert_allclose(vectors[0], vectors[1])
    assert 0.5 < vectors[0] @ vectors[2] < 0.99


def test_unlike_short_tags_have_nothing_in_common(embedder: RoutedEmbedder) -> None:
    vectors = embedder.encode(STATISTICAL, ["咖啡", "房租", "天氣", "電腦", "базы данных", "погода"])
    assert np.abs(vectors @ vectors.T - np.eye(6)).max() < 0.3


def test_every_text_has_a_unit_vector_and_every_machine_the_same(embedder: RoutedEmbedder) -> None:
    texts = ["資料庫", "", "！？", "😀", " ", "x", "база данных", "永久標籤" * 5_000]
    vectors = embedder.encode(STATISTICAL, texts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    # Other values here mean that stored vectors no longer compare: give the model a new name.
    places = [7, 13, 17, 45, 46, 76, 123, 186, 187, 191, 207, 216, 219, 223, 249, 266, 321, 340, 353]
    assert np.flatnonzero(vectors[0]).tolist() == places
    np.testing.assert_allclose(vectors[0, places[:6]], np.array([-1, 1, -1, 1, -1, 2]) / np.sqrt(22), atol=1e-6)
    np.testing.assert_array_equal(vectors, np.vstack([embedder.encode(STATISTICAL, [text]) for text in texts]))
