"""Say which failures may pass by themselves, so that trying again makes sense, and which cannot.

Belongs here: the one decision, and a failure in one line.
Does not belong here: how often and how soon something is tried again (orchestration/).
"""

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionLeftError

from cowrie_pipeline.warehouse.engine import UnreachableError

__all__ = ["in_one_line", "may_pass"]

# A database that is locked, restarted or out of reach; a deadlock, which PostgreSQL ends by undoing one of two.
_OF_DATABASES = (OperationalError, NoConnectionLeftError, UnreachableError)
# A network or disk that does not answer. Not every OSError: a missing file or permission has to be mended by somebody.
_OF_MACHINES = (ConnectionError, TimeoutError, BlockingIOError, InterruptedError)


def may_pass(error: BaseException) -> bool:
    """Say whether the same work may succeed later although nobody mends anything.

    What is not known to pass does not: settings, a database of something else, a row that contradicts a key, and
    mistakes in the code are the same at the next try.
    """
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        # SQLite has one class for a database that is locked and for a statement that is wrong
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            return False
    return isinstance(error, (*_OF_DATABASES, *_OF_MACHINES))


def in_one_line(error: BaseException) -> str:
    """Say in one line what went wrong; of what may pass, also that it is tried again.

    An error of a database goes on with the statement and a page of a manual, which are left out.
    """
    found = f"{type(error).__name__}: {error}".splitlines()[0]
    if not may_pass(error):
        return found
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return f"the connection to the database was lost, the work is tried again: {found}"
    return f"this may pass, the work is tried again: {found}"
