"""How long a key rests after its look-up failed: longer after each failure, and not all keys equally long.

Belongs here: the length of the rest, as a function of what failed and how often.
Does not belong here: counting failures (the cache keeps the count), deciding what is a failure (the sources).
"""

from datetime import datetime, timedelta
from hashlib import blake2b

from cowrie_pipeline.enrichment.outcomes import Outcome, Status

__all__ = ["ask_again_at", "is_failure", "rest_after"]

FIRST_REST = timedelta(minutes=15)
LONGEST_REST = timedelta(hours=24)
JITTER = 0.2

_HIGHEST_DOUBLING = 16  # 15 minutes doubled so often are long past the longest rest


def is_failure(status: Status) -> bool:
    """Whether an outcome counts as a failure of its key; a spent budget or a rate limit says nothing of the key."""
    return status is Status.ERROR


def rest_after(service: str, key: str, failures: int) -> timedelta:
    """Return how long to rest after `failures` failures in a row, at least 1: it doubles, up to 24 hours.

    The rest is up to 20 % longer or shorter, so that keys that failed together are not asked again together. By how
    much follows from the arguments alone.
    """
    doublings = min(failures - 1, _HIGHEST_DOUBLING)
    plain = min(FIRST_REST * (1 << doublings), LONGEST_REST / (1 + JITTER))
    digest = blake2b(f"{service}\0{key}\0{failures}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    share = int.from_bytes(digest) / 2**64
    return plain * (1 + JITTER * (2 * share - 1))


def ask_again_at(outcome: Outcome, failures: int) -> datetime | None:
    """Return when the key of an outcome may be asked again, where it is the last of `failures` failures in a row.

    A later time that the outcome names itself (the service's Retry-After, the end of a pause) wins. For what is no
    failure it is the time that the outcome names.
    """
    if not is_failure(outcome.status):
        return outcome.retry_at
    rested_at = outcome.fetched_at + rest_after(outcome.service, outcome.key, failures)
    return rested_at if outcome.retry_at is None else max(rested_at, outcome.retry_at)
