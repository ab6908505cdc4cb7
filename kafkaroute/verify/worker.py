"""The program of a run's processes: one Producer or one Consumer each."""

from __future__ import annotations

import logging
import sys

from .talk import Talk


def main() -> int:
    talk = Talk()
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    logging.getLogger("kafka").setLevel(logging.ERROR)
    if talk.spec["role"] == "producer":
        from .producing import ProducerWork, TransactionalWork

        kind = TransactionalWork if talk.spec["transaction"] else ProducerWork
        kind(talk).run()
    else:
        from .consuming import ConsumerWork

        ConsumerWork(talk).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
