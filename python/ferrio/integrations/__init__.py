"""Where programs that others wrote choose their loop: one file for each of them. docs/integrations.md says which line
to write.

A file imports the program that it is for, so nothing of ferrio imports anything from here until somebody asks for it.
uvicorn, hypercorn and Django need no file: they take `ferrio:new_event_loop` or run under `python -m ferrio`. What
pytest loads is a package of its own, `pytest_ferrio`, because pytest loads it in every test run.
"""
