"""Checks on the repository itself: form (test_tidy), layers (test_layers), public names (test_surface)."""
