"""The settings. daphne is among the applications, so the development server is an ASGI server."""

SECRET_KEY = "a test's"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["daphne", "mysite"]
ROOT_URLCONF = "mysite.urls"
ASGI_APPLICATION = "mysite.asgi.application"
USE_TZ = True
