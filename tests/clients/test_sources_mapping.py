"""Which column feeds which field."""

import pytest

from tagging_orchestration.clients.sources.mapping import guess_columns, resolve_columns
from tagging_orchestration.core.errors import SourceError
from tagging_orchestration.settings import ColumnMapping


def guessed(*columns: str, **stated) -> dict[str, str]:
    return dict(guess_columns(list(columns), ColumnMapping(**stated)).by_field)


def test_common_names_are_found_whatever_their_spelling():
    assert guessed("Complaint ID", "Date received", "Consumer complaint narrative", "Tags", "Company") == {
        "id": "Complaint ID",
        "created_at": "Date received",
        "body": "Consumer complaint narrative",
        "tags": "Tags",
    }
    assert guessed("UUID", "Headline", "full-text", "permaLink", "LANG", "updatedAt") == {
        "id": "UUID",
        "title": "Headline",
        "body": "full-text",
        "url": "permaLink",
        "language": "LANG",
        "updated_at": "updatedAt",
    }


def test_chinese_names_are_found():
    assert guessed("編號", "標題", "內容", "標籤", "發布日期", "網址") == {
        "id": "編號",
        "title": "標題",
        "body": "內容",
        "tags": "標籤",
        "created_at": "發布日期",
        "url": "網址",
    }


def test_last_words_decide_where_no_whole_name_is_known():
    assert guessed("review_comment_title", "review_comment_message", "review_creation_date", "user_name") == {
        "title": "review_comment_title",
        "body": "review_comment_message",
        "created_at": "review_creation_date",
    }
    assert guessed("orderCreatedAt", "customerComment")["created_at"] == "orderCreatedAt"


def test_headlines_alone_are_the_text():
    assert guessed("id", "title", "label") == {"id": "id", "body": "title"}


def test_an_owner_is_not_guessed_from_a_fact():
    assert "organization" not in guessed("text", "organization")
    assert guessed("text", "organization_id")["organization"] == "organization_id"


def test_a_stated_column_wins_and_serves_one_field_only():
    assert guessed("id", "text", "body", body="text", title="body") == {
        "id": "id",
        "body": "text",
        "title": "body",
    }


def test_an_empty_name_forbids_the_guess():
    assert guessed("id", "text", id="") == {"body": "text"}


def test_a_missing_column_is_named_with_the_likeliest_one():
    with pytest.raises(SourceError) as error:
        resolve_columns(["id", "naration", "when"], ColumnMapping(body="narration"), "tickets.csv")
    assert str(error.value) == (
        "tickets.csv: there is no column 'narration' (columns.body in tagging.yaml). Did you mean 'naration'? "
        "Columns found: 'id', 'naration', 'when'"
    )
    with pytest.raises(SourceError, match=r"no column 'sku' \(columns.metadata"):
        resolve_columns(["id", "text"], ColumnMapping(metadata=["sku"]), "x.csv")


def test_no_text_column_says_how_to_name_it():
    with pytest.raises(SourceError, match=r"^x.csv: no column is known .* Columns found: 'a', 'b'.*body"):
        resolve_columns(["a", "b"], ColumnMapping(), "x.csv")


def test_a_doubled_column_is_refused_only_where_it_is_used():
    with pytest.raises(SourceError, match="two columns are named 'text'"):
        resolve_columns(["id", "text", "text"], ColumnMapping(), "x.csv")
    assert resolve_columns(["id", "text", "x", "x"], ColumnMapping(), "x.csv").by_field["body"] == "text"


def test_description_tells_guesses_from_statements():
    columns = resolve_columns(["nr", "text", "site"], ColumnMapping(id="nr", metadata=["site"]), "x.csv")
    assert columns.describe() == "id <- nr\nbody <- text (guessed)\nmetadata <- site"
    assert "a hash of the whole row" in resolve_columns(["text"], ColumnMapping(), "x.csv").describe()


def test_a_row_without_id_is_known_by_all_its_values():
    columns = resolve_columns(["text", "stars"], ColumnMapping(), "x.csv")
    first = columns.pick({"text": "好喝", "stars": "5"}).id
    assert first == columns.pick({"stars": "5", "text": "好喝"}).id
    assert first != columns.pick({"text": "好喝", "stars": "4"}).id
