"""A panic on purpose: PyO3 goes on with a panic when native code receives its `PanicException` from Python code.

Each extension module that is made with PyO3 has an exception of that name, so ferrio's is looked up before tests load
others.
"""

import ferrio  # noqa: F401 - makes its exception


def _known():
    return [kind for kind in BaseException.__subclasses__() if kind.__name__ == "PanicException"]


PanicException = _known()[0]
