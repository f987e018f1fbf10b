"""Programs that choose their own loop: one file for each. docs/integrations.md says which line to write.

A file imports its program, so ferrio imports nothing from here until somebody asks for it. uvicorn, hypercorn and
Django need no file: they take `ferrio:new_event_loop` or run under `python -m ferrio`. pytest's plugin is a separate
package, `pytest_ferrio`, because pytest loads it in every test run.
"""
