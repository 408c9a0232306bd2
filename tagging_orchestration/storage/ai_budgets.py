"""What calls may spend: reserved before a call leaves, settled when it is known what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool

from tagging_orchestration.core.enhancement.limits import AICostControl, Scope
from tagging_orchestration.storage.ai_providers import may_call
from tagging_orchestration.storage.connection import transaction


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens, money (millionths of a US dollar) and one request that a call may take."""

    id: UUID
    tokens: int
    micro_usd: int


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """What is used of a budget in the window of a moment; `scope` cost counts millionths of a US dollar."""

    scope: str
    window_start: datetime
    used: int
    reserved: int
    limit: int


@dataclass(frozen=True, slots=True)
class NotCallable:
    """A provider that was chosen may not be called after all."""

    reason: str


class _Refused(Exception):
    """Rolls a reservation back."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.scope: Scope = scope


class AIRateLimiter:
    """Budgets shared by all processes and organisations: the machine and the money are shared too.

    Tokens of the day refuse everybody; requests of the hour refuse all but critical alerts; requests of the minute
    and of a burst, and the money of the day, refuse everybody. Windows are UTC.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    def reserve(
        self,
        control: AICostControl,
        *,
        provider_id: UUID,
        template_key: str,
        tokens: int,
        micro_usd: int,
        past_hourly: bool,
        at: datetime,
        lease: timedelta,
    ) -> Reservation | Scope | NotCallable:
        """Reserve for one call, or the scope of the limit that refuses it. Whether the provider may be called is
        looked at in the same transaction, so that budgets are asked of who is really called.

        A reservation that is not settled within its lease lapses.
        """
        reservation = Reservation(uuid4(), tokens, micro_usd)
        try:
            with transaction(self._pool) as connection:
                reason = may_call(connection, provider_id, template_key, at)
                if reason is not None:
                    return NotCallable(reason)
                refused = self._reserve(connection, reservation, control.limits(), past_hourly, at, lease)
                if refused is not None and _release_lapsed(connection, at):
                    refused = self._reserve(connection, reservation, control.limits(), past_hourly, at, lease)
                if refused is not None:
                    raise _Refused(refused)
        except _Refused as error:
            return error.scope
        return reservation

    def use(self, at: datetime) -> list[BudgetUse]:
        """What is used of each budget at a moment, by scope; windows in which nothing was asked are left out."""
        with transaction(self._pool) as connection:
            rows = connection.execute(
                """
                SELECT b.scope, b.window_start, b.used, b.reserved, b."limit"
                FROM ai.ai_token_budgets AS b
                JOIN ai.budget_windows(%s) AS w ON w.scope = b.scope AND w.window_start = b.window_start
                WHERE b.organization_id = 'default'
                ORDER BY b.scope
                """,
                [at],
            ).fetchall()
        return [BudgetUse(*row) for row in rows]

    @staticmethod
    def _reserve(
        connection: Connection,
        reservation: Reservation,
        limits: Mapping[str, int],
        past_hourly: bool,
        at: datetime,
        lease: timedelta,
    ) -> Scope | None:
        row = connection.execute(
            "SELECT ai.reserve_budget(%s, %s, %s, %s, %s, %s, %s)",
            [
                reservation.id,
                reservation.tokens,
                reservation.micro_usd,
                Jsonb(limits),
                past_hourly,
                at + lease,
                at,
            ],
        ).fetchone()
        return cast("Scope | None", row[0] if row else None)


def settle(
    connection: Connection, reservation_id: UUID, tokens: int, micro_usd: int, *, requests: int = 1
) -> None:
    """Turn a reservation into what was spent; zeroes give it back in full. A reservation is settled once."""
    connection.execute("SELECT ai.settle_budget(%s, %s, %s, %s)", [reservation_id, tokens, micro_usd, requests])


def _release_lapsed(connection: Connection, at: datetime) -> int:
    row = connection.execute("SELECT ai.release_lapsed_reservations(%s)", [at]).fetchone()
    return row[0] if row else 0
