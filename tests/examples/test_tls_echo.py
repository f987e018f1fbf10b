"""tls_echo.py: who knows the certificate is echoed, who doesn't is turned away by his own check."""

import shutil

import pytest

OUTPUT = """\
connected by TLSv1.3 to localhost
one -> ONE
two -> TWO
three -> THREE
a stranger: self-signed certificate
"""


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the example makes its certificate by the openssl program")
def test_output(run_example):
    assert run_example("tls_echo.py") == OUTPUT
