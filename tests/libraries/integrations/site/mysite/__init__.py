"""A Django project as small as they come: no database, three views."""
