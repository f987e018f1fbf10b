"""chat.py: each user hears the others in order, and hears joins and leaves; a nickname can't be taken twice."""

OUTPUT = """\
ada hears: * grace joins
ada hears: * alan joins
grace hears: * alan joins
grace hears: ada: hello, all
alan hears: ada: hello, all
ada hears: alan: hello, ada
grace hears: alan: hello, ada
ada hears: * that nick name is taken
ada hears: * alan leaves
grace hears: * alan leaves
ada hears: * grace leaves
the server is closed
"""


def test_output(run_example):
    assert run_example("chat.py") == OUTPUT
