"""One task in a process of its own: `python -m benchmarks.task NAME ARGUMENTS`.

Processes that this one starts import it first, so it imports nothing before it works: what the work needs is measured,
and not what the benchmarks do.
"""

import sys

if __name__ == "__main__":
    from benchmarks.tasks import main

    main(sys.argv[1:])
