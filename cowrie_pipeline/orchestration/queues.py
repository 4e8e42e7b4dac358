"""The queues of workers on other machines; without such workers they are names that nobody looks at.

A worker takes steps from both unless it is told which. Steps that ask one service with a scarce budget are in a queue
of their own, so that a worker can be kept for them that has the way out and the keys, and so that however many of them
wait for the service's pace, the other workers go on.

Belongs here: the names. Does not belong here: how workers are reached (celery_app.py).
"""

__all__ = ["COWRIE", "IN_SCARCE_QUEUE", "QUEUES", "SCARCE"]

COWRIE = "cowrie"
SCARCE = "scarce"
QUEUES = (COWRIE, SCARCE)

# the tag of an op; an op without it is in the queue COWRIE
IN_SCARCE_QUEUE = {"dagster-celery/queue": SCARCE}
