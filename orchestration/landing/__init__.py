"""Landing: files and connector schemas, checked against their declaration, into raw tables."""

from orchestration.landing.declarations import load_declarations
from orchestration.landing.files import pending_files
from orchestration.landing.load import land
from orchestration.landing.report import LandingReport

__all__ = ["LandingReport", "land", "load_declarations", "pending_files"]
