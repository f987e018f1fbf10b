"""crawl.py: each page is fetched once, in the order of discovery, with never more than three at a time."""

OUTPUT = """\
/ (4 links)
/blog (2 links)
/docs (3 links)
/shop (0 links)
/team (1 links)
/docs/install (1 links)
/blog/first (1 links)
/docs/api (0 links)
8 pages, at most 3 at once
"""


def test_output(run_example):
    assert run_example("crawl.py") == OUTPUT
