"""A minimal Django project: no database, three views."""
