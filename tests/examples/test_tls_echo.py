"""tls_echo.py: a client that trusts the certificate is echoed; one that doesn't rejects the server itself."""

import shutil

import pytest

OUTPUT = """\
connected by TLSv1.3 to localhost
one -> ONE
two -> TWO
three -> THREE
a stranger: self-signed certificate
"""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the example makes its certificate with openssl")
def test_output(run_example):
    assert run_example("tls_echo.py") == OUTPUT
