"""An address inventory made in the database itself: as many rows as a large installation has, in a minute.

Networks have no facts yet, as in a database that was filled by other means; addresses have documents in today's format
and in the older one. All is decided by the number of the row, so that every database gets the same.

Belongs here: the rows and their numbers. Does not belong here: what is measured on them (tasks.py).
"""

from datetime import datetime

from cowrie_pipeline.warehouse.engine import Warehouse
from cowrie_pipeline.warehouse.statements import with_parameters

__all__ = ["FIRST_ASN", "make_inventory"]

# 32-bit AS numbers that nobody has been given.
FIRST_ASN = 3_000_000_000

# Numbers from 0: 2654435761 is 2**32 divided by the golden ratio, so that the shares lie evenly over 0 to 1. Their cube
# gives a few networks very many addresses, as on the Internet, and each of them some.
_NUMBERED = {
    "sqlite": """
WITH RECURSIVE numbered (number) AS (
    SELECT 0 UNION ALL SELECT number + 1 FROM numbered WHERE number + 1 < :addresses
)""",
    "postgresql": """
WITH numbered AS (
    SELECT number FROM generate_series(CAST(0 AS BIGINT), CAST(:addresses AS BIGINT) - 1) AS series (number)
)""",
}
# 1.0.0.0 and up, one address in 256 left out at either end of each /24
_ADDRESS = {
    "sqlite": "(number / 16387064 + 1) || '.' || (number / 64516 % 254) || '.' || (number / 254 % 254) || '.' || "
    "(number % 254 + 1)",
    "postgresql": "CAST((number / 16387064 + 1) || '.' || (number / 64516 % 254) || '.' || (number / 254 % 254) || '.' "
    "|| (number % 254 + 1) AS INET)",
}
_JSON = {"sqlite": "", "postgresql": "::jsonb"}
_TRUNCATED = {"sqlite": "CAST({} AS INTEGER)", "postgresql": "CAST(FLOOR({}) AS BIGINT)"}
_LATER = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', :first_seen, '+' || {} || ' minutes') || '.000000'",
    "postgresql": ":first_seen + ({}) * INTERVAL '1 minute'",
}

_NETWORKS = """
INSERT INTO asn_inventory (asn_number, created_at, updated_at)
SELECT {first_asn} + number, :now, :now FROM numbered WHERE number < :networks ORDER BY number
"""
# One document in ten is of the older format.
_ADDRESSES = """
INSERT INTO ip_inventory (
    ip_address, current_asn, asn_source, asn_last_verified, first_seen, last_seen, session_count, geo_country,
    country_basis, enrichment, enrichment_digest, enrichment_state, enrichment_sources, enrichment_updated_at,
    enrichment_version, created_at
)
SELECT
    {address}, {first_asn} + network, 'maxmind', :now, {seen_first}, {seen_last}, 1 + number % 9,
    CASE number % 3 WHEN 0 THEN 'US' WHEN 1 THEN 'CN' ELSE 'DE' END, 'geolocation',
    (
        CASE
            WHEN number % 10 = 0 THEN
                '{{"maxmind": {{"asn": ' || ({first_asn} + network) || ', "asn_org": "Network ' || network
                || ' Ltd", "country": "US"}}, "cymru": {{"asn": ' || ({first_asn} + network)
                || ', "org": "NETWORK-' || network || '", "country": "US", "registry": "arin"}}}}'
            ELSE
                '{{"cymru": {{"asn": ' || ({first_asn} + network) || ', "country": "US", "expires_at": '
                || '"2026-06-28T00:00:00+00:00", "fetched_at": "2026-03-30T00:00:00+00:00", "origins": ['
                || ({first_asn} + network) || '], "prefix": "1.0.0.0/8", "registry": "arin", "status": "hit"}}, '
                || '"maxmind": {{"asn": ' || ({first_asn} + network) || ', "asn_build": "2026-03-01", "city": "Town '
                || (number % 40) || '", "country": "US", "expires_at": "2026-04-08T00:00:00+00:00", '
                || '"fetched_at": "2026-04-01T00:00:00+00:00", "geo_build": "2026-03-01", "latitude": 50.1, '
                || '"longitude": 8.6, "organization": "Network ' || network || ' Ltd", "status": "hit"}}}}'
        END
    ){json},
    'made-' || (number % 1000) || '-' || network, 'complete', 'maxmind+cymru', :now, 1, :now
FROM (SELECT number, {network} AS network FROM numbered) AS placed
"""
_SHARE = "(number * 2654435761 % 4294967296 / 4294967296.0)"


def make_inventory(warehouse: Warehouse, *, addresses: int, networks: int, first_seen: datetime, now: datetime) -> None:
    """Fill the inventories: `addresses` in `networks` without facts, first seen from `first_seen` on."""
    dialect = warehouse.dialect
    parts = {
        "first_asn": FIRST_ASN,
        "address": _ADDRESS[dialect],
        "json": _JSON[dialect],
        "network": _TRUNCATED[dialect].format(f"{networks} * {_SHARE} * {_SHARE} * {_SHARE}"),
        "seen_first": _LATER[dialect].format("number % 40000"),
        "seen_last": _LATER[dialect].format("number % 40000 + number % 500"),
    }
    with warehouse.begin() as connection:
        for statement in (_NETWORKS, _ADDRESSES):
            connection.execute(
                with_parameters(
                    _NUMBERED[dialect] + statement.format(**parts),
                    addresses=addresses,
                    networks=networks,
                    first_seen=first_seen,
                    now=now,
                )
            )
    with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # what autovacuum does within a minute or so of such a load
        connection.exec_driver_sql("VACUUM ANALYZE" if dialect == "postgresql" else "ANALYZE")
