"""Personal data is found however it is written, and nothing else is taken for it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from typing import Any

import pytest

from tagging_orchestration.clients.pii import PresidioMasker
from tagging_orchestration.core.enhancement.masking import mask_document
from tagging_orchestration.core.errors import ConfigurationError


@pytest.fixture(scope="module")
def masker() -> PresidioMasker:
    return PresidioMasker()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Write to john.doe+shop@mail.example.co.uk.", "Write to <EMAIL_1>."),
        ("請寄到john@example.com謝謝", "請寄到<EMAIL_1>謝謝"),
        ("john [at] example [dot] com", "<EMAIL_1>"),
        ("ａｍｙ＠ｅｘａｍｐｌｅ．ｃｏｍ", "<EMAIL_1>"),
        ("電話0912-345-678，或 0912 345 678", "電話<PHONE_1>，或 <PHONE_1>"),
        ("手機：0912345678", "手機：<PHONE_1>"),
        ("０９１２－３４５－６７８", "<PHONE_1>"),
        ("09\u200b12\u200b345678 給我", "<PHONE_1> 給我"),
        ("+886 912 345 678 or +886-2-2345-6789", "<PHONE_1> or <PHONE_2>"),
        ("(02)2345-6789 分機 12, 04-22334455", "<PHONE_1> 分機 12, <PHONE_2>"),
        ("call (415) 555-2671 or +44 20 7946 0958", "call <PHONE_1> or <PHONE_2>"),
        ("手机138-1234-5678", "手机<PHONE_1>"),
        ("phone me on 020 7946 0958", "phone me on <PHONE_1>"),
        ("卡號4111111111111111，期限12/28", "卡號<CARD_1>，期限12/28"),
        ("4111-1111-1111-1111 and 3782 822463 10005", "<CARD_1> and <CARD_2>"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN <IBAN_1>."),
        ("身分證A123456789、居留證 A800000014", "身分證<NATIONAL_ID_1>、居留證 <NATIONAL_ID_2>"),
        ("证件 11010519491231002X", "证件 <NATIONAL_ID_1>"),
        ("SSN 536-90-4399", "SSN <NATIONAL_ID_1>"),
        ("my social security number is 536904399", "my social security number is <NATIONAL_ID_1>"),
        ("passport no. 310123456; 護照號碼300123456", "passport no. <PASSPORT_1>; 護照號碼<PASSPORT_2>"),
        ("from 192.168.1.20 and fe80::1ff:fe23:4567:890a", "from <IP_1> and <IP_2>"),
        ("https://bob:hunter22@host.example/x", "<URL_1>"),
        ("reset: https://x.example/r?token=abcdef123456 please", "reset: <URL_1> please"),
        ("LINE ID: coffee_lover88，或加我LINE：amy.chen", "LINE ID: <LINE_ID_1>，或加我LINE：<LINE_ID_2>"),
        ("key sk-abcdefghijklmnopqrstuv", "key <SECRET_1>"),
        ("銀行帳號 012-345-6789012", "銀行帳號 <BANK_ACCOUNT_1>"),
        ("郵局帳號 0001234 0567890", "郵局帳號 <BANK_ACCOUNT_1>"),
        ("my sister, who will be at home, has 886-912-345-678", "my sister, who will be at home, has <PHONE_1>"),
        ("微信號：wang88，微信 amy_chen88", "微信號：<CHAT_ID_1>，微信 <CHAT_ID_2>"),
        ("密碼是 abc12345 請協助", "密碼是 <SECRET_1> 請協助"),
        ("健保卡號 000012345678", "健保卡號 <NATIONAL_ID_1>"),
    ],
)  # fmt: skip
def test_personal_data_is_masked(masker: PresidioMasker, text: str, masked: str) -> None:
    assert masker.mask(text) == masked
    assert masker.mask(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Order 20260214001, ORD-2026-000123 and ticket #4711234567 were merged.",
        "tracking number 4111111111111112, invoice AB-12345678",
        "訂單編號 0912345678，金額 NT$1,234,567，2026-02-14 10:30:00 到貨",
        "發票 AB-12345678，統編 12345675，批號 B200000010",
        "2026/02/14, 14-02-2026, 12:30:45, 2026-03-01T09:00:00+08:00",
        "firmware 2.4.1.10 and 版本 1.2.3.4 of the app",
        "In 2024 2025 2026 we sold 1200 1300 1400 units, or 100 200 300.",
        "The production line: packaging2. Next in line for 20 people; line 42: error",
        "EAN 4006381333931, ISBN 978-3-16-148410-0, SKU KT-GN60",
        "ratio 3:45, 10::20, std::vector, C++ a::b",
        "92-96 °C, 18-20 g, 1:16, pages 100-2000-3000",
        "https://lantern-and-leaf.example/products/kt-gn60?page=2&id=1234567",
        "1234567890 visitors, 0.123456789, $1,299.00, 12345678901234567890",
        "Meet @lantern at 10 @ the shop; 5 kg @ 10.00",
        "The passport holder case 12345678 sold out; 台灣護照套 300 個",
        "密碼錯誤代碼 E1023456；重設密碼後 iPhone15 無法登入；密碼要8個字",
        "微信支付失敗，訂單 W20261122 未成立；用微信付款 NT$1200",
    ],
)  # fmt: skip
def test_nothing_else_is_masked(masker: PresidioMasker, text: str) -> None:
    assert masker.mask(text) == text


def test_the_sample_contents_hardly_change(masker: PresidioMasker) -> None:
    """Two of them hold an e-mail address and a phone number, made to be found."""
    lines = (files("tagging_orchestration.demo") / "sample_contents.jsonl").read_text("utf-8").splitlines()
    texts = [row["title"] + "\n" + row["text"] for row in map(json.loads, lines)]
    changed = [masked for text in texts if (masked := masker.mask(text)) != text]
    assert len(changed) == 2
    assert all("<EMAIL_1>" in text and "<PHONE_1>" in text and "_2>" not in text for text in changed)


def test_equal_data_get_equal_marks_and_marks_that_are_there_keep_their_numbers(masker: PresidioMasker) -> None:
    text = "A@x.example, b@x.example, a@x.example; 0912-345-678 is +886912345678"
    assert masker.mask(text) == "<EMAIL_1>, <EMAIL_2>, <EMAIL_1>; <PHONE_1> is <PHONE_1>"
    assert masker.mask("as <EMAIL_3> said to c@x.example") == "as <EMAIL_3> said to <EMAIL_4>"


def test_documents_keep_their_shape_references_and_dates(masker: PresidioMasker) -> None:
    document = {
        "alert_details": "Ana <ana@x.example> called from 0912-345-678",
        "rows": [
            {"ref": "row:orders/4111111111111111", "who": "ana@x.example", "at": "2026-03-01T09:00:00+08:00"}
        ],
        "id": "6f1b2c1e-8f3a-4f0e-9d3c-2b1a0c9d8e7f",
        "count": 912345678,
        "by_person": {"bob@x.example": 3, "content:17": 1.5},
        "national_id": "A123456789",
        "flags": (True, None),
    }
    masked = mask_document(document, masker, "en")
    assert masked == {
        "alert_details": "Ana <<EMAIL_1>> called from <PHONE_1>",
        "rows": [{"ref": "row:orders/4111111111111111", "who": "<EMAIL_1>", "at": "2026-03-01T09:00:00+08:00"}],
        "id": "6f1b2c1e-8f3a-4f0e-9d3c-2b1a0c9d8e7f",
        "count": 912345678,
        "by_person": {"<EMAIL_2>": 3, "content:17": 1.5},
        "national_id": "<NATIONAL_ID_1>",
        "flags": (True, None),
    }
    assert mask_document(masked, masker, "en") == masked
    border = mask_document(["\ue000 a@x.example", "\n\ue000\n"], masker)
    assert border == ["\ue000 <EMAIL_1>", "\n\ue000\n"]


def test_a_model_of_names_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigurationError, match=r"ai\.person_names_model.*'xx_no_such_model'.*pip"):
        PresidioMasker("xx_no_such_model")
    assert PresidioMasker().fingerprint == PresidioMasker().fingerprint


def test_people_s_names_are_masked_by_an_installed_model(tmp_path) -> None:
    import spacy

    pipeline = spacy.blank("en")
    ruler: Any = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Ana Chen"}])
    pipeline.to_disk(tmp_path / "names")
    masker = PresidioMasker(str(tmp_path / "names"))
    assert masker.mask("Ana Chen wrote, and Ana Chen waits.", "en") == "<PERSON_1> wrote, and <PERSON_1> waits."
    assert masker.mask("Ana Chen", "zh-Hant") == "Ana Chen"
    assert masker.fingerprint != PresidioMasker().fingerprint


def test_texts_without_anything_like_it_load_nothing() -> None:
    code = (
        "import sys; from tagging_orchestration.clients.pii import PresidioMasker; "
        "print(PresidioMasker().mask('The grinder broke. 磨豆機壞了。'), 'presidio_analyzer' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "The grinder broke. 磨豆機壞了。 False"
