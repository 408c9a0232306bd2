"""Gathering the evidence of alerts: tags that rose with them, rows that moved the metric, and the way between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from psycopg import Connection
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.business.evidence import (
    AlertEvidence,
    ContentCount,
    LineageLink,
    TagCount,
    TagEvidence,
    Window,
    top_tags,
    window_of,
)
from tagging_orchestration.storage.alert_rows import moving_rows
from tagging_orchestration.storage.connection import transaction

# A baseline holds so many contents where a year has them: eight quiet weeks tell little.
BASELINE_CONTENTS = 200
# A window with so many contents is not widened when it explains nothing.
ENOUGH_CONTENTS = 30
# Windows counted in one query: the contents of each, with their tags, are held at once.
PLACES_AT_ONCE = 25

# Metrics about one kind of fact are explained by the texts of that kind, where these say anything.
TEXTS_OF = {
    "avg_response_time": "raw.support_tickets",
    "ticket_volume": "raw.support_tickets",
    "bad_reviews": "raw.reviews",
    "customer_satisfaction_rate": "raw.reviews",
    "review_volume": "raw.reviews",
}


@dataclass(frozen=True, slots=True)
class EvidenceRequest:
    """An alert whose evidence is wanted."""

    alert_id: UUID
    metric_name: str
    dimension: str
    dimension_label: str
    direction: str
    alert_subtype: str
    opened_on: date
    last_seen_on: date

    @property
    def own_tag(self) -> int | None:
        """The tag the alert is about, for the dimension tag:<id>."""
        kind, _, value = self.dimension.partition(":")
        return int(value) if kind == "tag" and value.isdigit() else None


@dataclass(frozen=True, slots=True)
class _Place:
    """Somewhere to look for tags: a window of a segment, all contents or those of one kind of fact. `own_tag`
    is the tag an alert is about."""

    window: Window
    texts_of: str | None
    dimension: str
    own_tag: int | None
    is_wide: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """The tags of a place, and how many contents its window holds."""

    window: Window
    tags: tuple[TagEvidence, ...]
    contents: int

    @property
    def is_significant(self) -> bool:
        """Whether a tag explains the alert."""
        return any(tag.is_significant for tag in self.tags)


def gather_evidence(
    pool: ConnectionPool, organization_id: str, requests: Sequence[EvidenceRequest], as_of: date
) -> dict[UUID, AlertEvidence]:
    """The evidence of each alert, from contents and facts up to the day `as_of`."""
    if not requests:
        return {}
    with transaction(pool) as connection:
        found = _search(connection, organization_id, requests, as_of)
        samples = {id: _samples(answer.tags) for id, answer in found.items()}
        lineage = _lineage(connection, organization_id, {content for ids in samples.values() for content in ids})
        return {
            request.alert_id: AlertEvidence(
                found[request.alert_id].window,
                request.dimension,
                request.dimension_label,
                found[request.alert_id].tags,
                moving_rows(
                    connection,
                    organization_id,
                    request.metric_name,
                    request.dimension,
                    request.direction,
                    request.opened_on,
                    request.last_seen_on,
                ),
                tuple(link for content in samples[request.alert_id] for link in lineage[content]),
            )
            for request in requests
        }


def _samples(tags: Sequence[TagEvidence]) -> list[int]:
    """The sample contents of some tags, each once."""
    return list(dict.fromkeys(content for tag in tags for content in tag.sample_ids))


def _search(
    connection: Connection, organization_id: str, requests: Sequence[EvidenceRequest], as_of: date
) -> dict[UUID, _Found]:
    """What was found for each alert: in the first place that has significant tags, else in the first of all."""
    places = {request.alert_id: _places(request, as_of) for request in requests}
    found: dict[UUID, _Found] = {}
    for turn in range(max(map(len, places.values()))):
        asked = [
            (request, places[request.alert_id][turn])
            for request in requests
            if turn < len(places[request.alert_id])
            and _is_worth_it(places[request.alert_id][turn], found.get(request.alert_id))
        ]
        for (request, _), answer in zip(asked, _look(connection, organization_id, asked), strict=True):
            if request.alert_id not in found or answer.is_significant:
                found[request.alert_id] = answer
    return found


def _is_worth_it(place: _Place, found: _Found | None) -> bool:
    return found is None or not (found.is_significant or (place.is_wide and found.contents >= ENOUGH_CONTENTS))


def _places(request: EvidenceRequest, as_of: date) -> list[_Place]:
    window = window_of(request.alert_subtype, request.opened_on, request.last_seen_on, as_of)
    texts_of = TEXTS_OF.get(request.metric_name) if request.dimension == "all" else None
    kinds = dict.fromkeys((texts_of, None))
    return [
        _Place(window.widened(as_of) if wide else window, kind, request.dimension, request.own_tag, wide)
        for wide in (False, True)
        for kind in kinds
    ]


def _look(
    connection: Connection, organization_id: str, asked: Sequence[tuple[EvidenceRequest, _Place]]
) -> list[_Found]:
    """What is in each place. Alerts of one storm look at the same contents, which are counted once."""
    different = list(dict.fromkeys(place for _, place in asked))
    found: dict[_Place, _Found] = {}
    for start in range(0, len(different), PLACES_AT_ONCE):
        part = different[start : start + PLACES_AT_ONCE]
        found |= zip(part, _count_tags(connection, organization_id, part), strict=True)
    return [found[place] for _, place in asked]


def _count_tags(connection: Connection, organization_id: str, places: Sequence[_Place]) -> list[_Found]:
    # Indexes: contents_created_at, primary key of content_tags, support_tickets_content, reviews_content.
    query = """
        WITH asked AS (
            SELECT
                a.key, a.own_tag, a.texts_of, a.kind, a.value,
                a.first_day::timestamp AT TIME ZONE b.timezone AS starts_at,
                (a.last_day + 1)::timestamp AT TIME ZONE b.timezone AS ends_at,
                a.baseline_day::timestamp AT TIME ZONE b.timezone AS baseline_at
            FROM unnest(
                %(keys)s::integer[], %(own_tags)s::bigint[], %(texts_of)s::text[], %(kinds)s::text[],
                %(values)s::text[], %(first_days)s::date[], %(last_days)s::date[], %(baseline_days)s::date[]
            ) AS a (key, own_tag, texts_of, kind, value, first_day, last_day, baseline_day)
            CROSS JOIN (
                SELECT coalesce(max(timezone), 'UTC') AS timezone
                FROM analytics.business_profile
                WHERE organization_id = %(organization)s
            ) AS b
        ),
        placed AS MATERIALIZED (
            SELECT a.key, a.own_tag, c.id, c.created_at >= a.starts_at AS inside, s.mine
            FROM asked AS a
            CROSS JOIN LATERAL (
                SELECT least(
                    a.baseline_at,
                    coalesce(
                        (
                            SELECT e.created_at
                            FROM tagging.contents AS e
                            WHERE
                                e.organization_id = %(organization)s AND e.deleted_at IS NULL
                                AND e.created_at < a.starts_at AND e.created_at >= a.starts_at - interval '1 year'
                            ORDER BY e.created_at DESC
                            OFFSET %(baseline_contents)s
                            LIMIT 1
                        ),
                        a.starts_at - interval '1 year'
                    )
                )
            ) AS earliest (at)
            JOIN tagging.contents AS c
                ON c.organization_id = %(organization)s AND c.deleted_at IS NULL
                AND c.created_at >= earliest.at AND c.created_at < a.ends_at
            CROSS JOIN LATERAL (
                SELECT CASE a.kind
                    WHEN 'product' THEN
                        c.metadata ->> 'product_sku' IS NOT DISTINCT FROM a.value
                        OR EXISTS (
                            SELECT
                            FROM analytics.content_facts AS f
                            LEFT JOIN raw.order_items AS o
                                ON f.product_id IS NULL AND o.organization_id = f.organization_id
                                AND o.order_id = f.order_id
                            WHERE f.content_id = c.id AND coalesce(f.product_id, o.product_id) = a.value
                        )
                    WHEN 'category' THEN
                        EXISTS (
                            SELECT
                            FROM raw.products AS p
                            WHERE
                                p.organization_id = c.organization_id AND p.category = a.value
                                AND (
                                    p.product_id = c.metadata ->> 'product_sku'
                                    OR p.product_id IN (
                                        SELECT coalesce(f.product_id, o.product_id)
                                        FROM analytics.content_facts AS f
                                        LEFT JOIN raw.order_items AS o
                                            ON f.product_id IS NULL AND o.organization_id = f.organization_id
                                            AND o.order_id = f.order_id
                                        WHERE f.content_id = c.id
                                    )
                                )
                        )
                    WHEN 'region' THEN
                        EXISTS (
                            SELECT
                            FROM analytics.content_facts AS f
                            JOIN raw.customers AS u
                                ON u.organization_id = f.organization_id AND u.customer_id = f.customer_id
                            WHERE f.content_id = c.id AND u.region = a.value
                        )
                    ELSE true
                END
            ) AS s (mine)
            WHERE
                (s.mine OR c.created_at < a.starts_at)
                AND (
                    a.texts_of IS NULL OR EXISTS (
                        SELECT
                        FROM analytics.content_facts AS f
                        WHERE f.content_id = c.id AND f.fact_table = a.texts_of
                    )
                )
        ),
        totals AS (
            SELECT
                key, count(*) FILTER (WHERE inside) AS contents,
                count(*) FILTER (WHERE NOT inside AND mine) AS baseline,
                count(*) FILTER (WHERE NOT mine) AS elsewhere
            FROM placed
            GROUP BY key
        ),
        counted AS (
            SELECT
                p.key, ct.tag_id, count(*) FILTER (WHERE NOT p.inside AND p.mine) AS baseline,
                count(*) FILTER (WHERE NOT p.mine) AS elsewhere,
                array_agg(p.id ORDER BY ct.confidence DESC, p.id) FILTER (WHERE p.inside) AS contents
            FROM placed AS p
            JOIN tagging.content_tags AS ct ON ct.content_id = p.id
            GROUP BY p.key, ct.tag_id
            HAVING
                count(*) FILTER (WHERE p.inside) >= 2
                OR ct.tag_id = max(p.own_tag) AND count(*) FILTER (WHERE p.inside) > 0
        )
        SELECT
            t.key, t.contents, t.baseline, t.elsewhere, c.tag_id, g.name, g.parent_id, c.baseline, c.elsewhere,
            c.contents
        FROM totals AS t
        JOIN counted AS c ON c.key = t.key
        JOIN tagging.tags AS g ON g.id = c.tag_id
    """
    segments = [place.dimension.partition(":") for place in places]
    parameters = {
        "organization": organization_id,
        "baseline_contents": BASELINE_CONTENTS - 1,
        "keys": list(range(len(places))),
        "own_tags": [place.own_tag for place in places],
        "texts_of": [place.texts_of for place in places],
        "kinds": [kind for kind, _, _ in segments],
        "values": [value for _, _, value in segments],
        "first_days": [place.window.first for place in places],
        "last_days": [place.window.last for place in places],
        "baseline_days": [place.window.baseline_first for place in places],
    }
    totals: dict[int, ContentCount] = {}
    counts: dict[int, list[TagCount]] = defaultdict(list)
    for key, contents, before, around, tag_id, name, parent_id, baseline, elsewhere, ids in connection.execute(
        query, parameters
    ):
        totals[key] = ContentCount(contents, before, around)
        counts[key].append(TagCount(tag_id, name, parent_id, baseline, tuple(ids), elsewhere))
    return [
        _Found(place.window, top_tags(counts[key], totals[key], own_tag=place.own_tag), totals[key].window)
        if key in totals
        else _Found(place.window, (), 0)
        for key, place in enumerate(places)
    ]


def _lineage(
    connection: Connection, organization_id: str, content_ids: Iterable[int]
) -> dict[int, list[LineageLink]]:
    """The way from each content to the rows of `raw` it belongs to; a content without any stands for itself."""
    # Indexes: primary keys of contents and orders, support_tickets_content, reviews_content.
    query = """
        SELECT c.id, c.source, c.external_id, l.fact_table, l.fact_id
        FROM tagging.contents AS c
        CROSS JOIN LATERAL (
            SELECT 1 AS place, f.fact_table, f.fact_id FROM analytics.content_facts AS f WHERE f.content_id = c.id
            UNION
            SELECT 2, 'raw.orders', f.order_id
            FROM analytics.content_facts AS f
            JOIN raw.orders AS o ON o.organization_id = f.organization_id AND o.order_id = f.order_id
            WHERE f.content_id = c.id
            UNION
            SELECT 3, 'raw.products', p.product_id
            FROM raw.products AS p
            WHERE
                p.organization_id = c.organization_id
                AND (
                    p.product_id = c.metadata ->> 'product_sku'
                    OR p.product_id IN (
                        SELECT f.product_id FROM analytics.content_facts AS f WHERE f.content_id = c.id
                    )
                )
            UNION
            SELECT 4, 'tagging.contents', c.id::text
            WHERE NOT EXISTS (SELECT FROM analytics.content_facts AS f WHERE f.content_id = c.id)
        ) AS l
        WHERE c.organization_id = %s AND c.id = ANY (%s::bigint[])
        ORDER BY c.id, l.place, l.fact_id
    """
    links: dict[int, list[LineageLink]] = defaultdict(list)
    for content_id, source, external_id, table, id in connection.execute(
        query, [organization_id, sorted(content_ids)]
    ):
        links[content_id].append(LineageLink(content_id, source, external_id, table, id))
    return links
