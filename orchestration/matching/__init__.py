"""Probable matches: who may be one person though no identifier says so.

The last tier of identity. Splink learns from people without labels how much an equal name, a
similar address or another birth date tells, and scores pairs that share something. Pairs are
candidates with a probability; from where on one is admitted is decided where identity is built.
"""

from orchestration.matching.model import MODEL_FILE, ModelError
from orchestration.matching.people import PeopleError
from orchestration.matching.score import MatchResult, score
from orchestration.matching.settings import MatchSettings, MatchSettingsError, load_settings
from orchestration.matching.train import train

__all__ = [
    "MODEL_FILE",
    "MatchResult",
    "MatchSettings",
    "MatchSettingsError",
    "ModelError",
    "PeopleError",
    "load_settings",
    "score",
    "train",
]
