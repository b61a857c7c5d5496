"""Dagster's declarations: assets, checks, jobs, schedules, sensors. No rule lives here."""
