"""http_get.py: the head and body of each page, including one that doesn't exist."""

OUTPUT = """\
/: HTTP/1.1 200 OK, 9 bytes of text/plain
  ['Welcome!']
/poem: HTTP/1.1 200 OK, 33 bytes of text/plain
  ['Roses are red,', 'violets are blue.']
/lost: HTTP/1.1 404 Not Found, 23 bytes of text/plain
  ['There is no such page.']
7 lines in all
"""


def test_output(run_example):
    assert run_example("http_get.py") == OUTPUT
